//! Functions: `muladd` and `day_of_week` of the scalar ABI, `words` and `backwards` of the batch ABI.
//!
//! ```sql
//! CREATE FUNCTION muladd(a bigint, b bigint, c bigint) RETURNS bigint LANGUAGE wasm AS 'file:/…/functions.wasm';
//! CREATE FUNCTION day_of_week(d date) RETURNS integer LANGUAGE wasm AS 'file:/…/functions.wasm';
//! CREATE FUNCTION words(t text) RETURNS integer LANGUAGE wasm AS 'file:/…/functions.wasm' WITH (abi = 'batch');
//! CREATE FUNCTION backwards(t text) RETURNS text LANGUAGE wasm AS 'file:/…/functions.wasm' WITH (abi = 'batch');
//! ```
#![no_std]

extern crate alloc;

use alloc::string::String;
use guest::Column;

/// a * b + c, around the ends of bigint.
#[unsafe(no_mangle)]
pub extern "C" fn muladd(a: i64, b: i64, c: i64) -> i64 {
    a.wrapping_mul(b).wrapping_add(c)
}

/// 0 for Sunday, as `extract(dow FROM d)`: the first day of 1970 was a Thursday.
#[unsafe(no_mangle)]
pub extern "C" fn day_of_week(days: i32) -> i32 {
    (days % 7 + 11) % 7
}

/// Words of a text.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn words(args: *const Column, _rows: i32, out: *mut Column) -> i32 {
    let text = &unsafe { guest::arguments(args, 1) }[0];
    let counts = (0..text.rows()).map(|row| text.text(row).map(|text| text.split_whitespace().count() as i32));
    let result = Ok(Column::of_values(counts));
    unsafe { Column::give(result, out) }
}

/// The characters of a text from the last to the first. Refuses texts of more than 1,000 bytes.
///
/// # Safety
/// Called by the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn backwards(args: *const Column, _rows: i32, out: *mut Column) -> i32 {
    let text = &unsafe { guest::arguments(args, 1) }[0];
    let longest = (0..text.rows()).filter_map(|row| text.bytes(row)).map(<[u8]>::len).max();
    let result = match longest {
        Some(bytes) if bytes > 1000 => Err(alloc::format!("a text of {bytes} bytes is too long")),
        _ => {
            let turned = (0..text.rows()).map(|row| text.text(row).map(|text| text.chars().rev().collect::<String>()));
            Ok(Column::of_texts(turned))
        }
    };
    unsafe { Column::give(result, out) }
}
