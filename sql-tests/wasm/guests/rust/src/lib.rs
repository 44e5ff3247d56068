//! What guests in Rust share: columns as the batch ABI passes them, memory, and the imports of triggers.
//!
//! ```text
//! rustup target add wasm32-unknown-unknown
//! cargo build --release --target wasm32-unknown-unknown --examples
//! ```
//!
//! makes `functions.wasm` and `trigger.wasm` in `target/wasm32-unknown-unknown/release/examples`. Guests do without the standard library here, which
//! keeps them to a few kilobytes; on this target it imports nothing and may be used. `Vec`, `String` and `format!` are there.
//!
//! What must hold: what a function returns stays where it is until the next batch, so it is leaked, and [`reset`] takes everything back.
#![no_std]
#![cfg_attr(not(target_arch = "wasm32"), allow(unused))]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::{mem, ptr, slice, str};

/// One column: of arguments as the server wrote it, of results as the guest is to fill it.
#[repr(C)]
pub struct Column {
    data: *const u8,
    data_bytes: i32,
    offsets: *const i32,
    validity: *const u8,
    rows: i32,
}

#[cfg(target_arch = "wasm32")]
const _: () = assert!(mem::size_of::<Column>() == 20);

/// The arguments of a call of the batch ABI.
///
/// # Safety
/// `args` must be what the server gave, which points to `count` columns.
pub unsafe fn arguments<'a>(args: *const Column, count: usize) -> &'a [Column] {
    // SAFETY: the caller's word.
    unsafe { slice::from_raw_parts(args, count) }
}

impl Column {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Whether the value of a row is not NULL.
    pub fn is_valid(&self, row: usize) -> bool {
        // SAFETY: a bitmap has a bit for each row.
        self.validity.is_null() || unsafe { *self.validity.add(row / 8) } >> (row % 8) & 1 == 1
    }

    /// The values of a column of fixed width; what stands at a NULL may be anything.
    ///
    /// # Safety
    /// `T` must be the type the values have: `i16`, `i32`, `i64`, `i128`, `f32`, `f64`, or of as many bytes.
    pub unsafe fn values<T: Copy>(&self) -> &[T] {
        if self.rows == 0 {
            return &[];
        }
        // SAFETY: the server aligns data to 8 bytes, and there is a value for each row.
        unsafe { slice::from_raw_parts(self.data.cast(), self.rows()) }
    }

    /// The bytes of a text or `bytea`; none for NULL.
    pub fn bytes(&self, row: usize) -> Option<&[u8]> {
        if !self.is_valid(row) {
            return None;
        }
        // SAFETY: there is an offset for each row and one more, and they rise within data.
        unsafe {
            let (from, to) = (*self.offsets.add(row) as usize, *self.offsets.add(row + 1) as usize);
            Some(slice::from_raw_parts(self.data.add(from), to - from))
        }
    }

    /// A text; none for NULL.
    pub fn text(&self, row: usize) -> Option<&str> {
        // SAFETY: texts are UTF-8 in the server.
        self.bytes(row).map(|bytes| unsafe { str::from_utf8_unchecked(bytes) })
    }

    /// A result of values of fixed width.
    pub fn of_values<T: Copy>(values: impl Iterator<Item = Option<T>>) -> Column {
        let mut validity = Bits::default();
        // What stands at a NULL does not matter.
        // SAFETY: numbers may be all zeros.
        let nothing: T = unsafe { mem::zeroed() };
        let data: Vec<T> = values.map(|value| validity.push(value).unwrap_or(nothing)).collect();
        let data_bytes = mem::size_of_val(data.as_slice()) as i32;
        Column {
            data: leak(data).cast(),
            data_bytes,
            offsets: ptr::null(),
            rows: validity.rows,
            validity: validity.leak(),
        }
    }

    /// A result of texts or bytes.
    pub fn of_texts<T: AsRef<[u8]>>(texts: impl Iterator<Item = Option<T>>) -> Column {
        let mut validity = Bits::default();
        let (mut data, mut offsets) = (Vec::new(), alloc::vec![0]);
        for text in texts {
            if let Some(text) = validity.push(text) {
                data.extend_from_slice(text.as_ref());
            }
            offsets.push(data.len() as i32);
        }
        let data_bytes = data.len() as i32;
        Column { data: leak(data), data_bytes, offsets: leak(offsets), rows: validity.rows, validity: validity.leak() }
    }

    /// Gives a result to the server, or an error.
    ///
    /// # Safety
    /// `out` must be what the server gave.
    pub unsafe fn give(result: Result<Column, String>, out: *mut Column) -> i32 {
        let (column, code) = match result {
            Ok(column) => (column, 0),
            Err(text) => {
                let data_bytes = text.len() as i32;
                let data = leak(text.into_bytes());
                (Column { data, data_bytes, offsets: ptr::null(), validity: ptr::null(), rows: 0 }, 1)
            }
        };
        // SAFETY: the caller's word.
        unsafe { out.write(column) };
        code
    }
}

/// Validity, as long as it grows.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    rows: i32,
    has_nulls: bool,
}

impl Bits {
    fn push<T>(&mut self, value: Option<T>) -> Option<T> {
        let bit = (self.rows % 8) as u8;
        if bit == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(value.is_some()) << bit;
        }
        self.rows += 1;
        self.has_nulls |= value.is_none();
        value
    }

    fn leak(self) -> *const u8 {
        if self.has_nulls { leak(self.bytes) } else { ptr::null() }
    }
}

/// Leaves values where they are until the next batch.
fn leak<T>(values: Vec<T>) -> *const T {
    let at = values.as_ptr();
    mem::forget(values);
    at
}

/// Memory that is only ever taken, and all given back before the next batch.
struct Heap {
    /// Where the next value goes; 0 before the first.
    next: AtomicUsize,
}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static HEAP: Heap = Heap { next: AtomicUsize::new(0) };

#[cfg(target_arch = "wasm32")]
unsafe extern "C" {
    /// Where the linker says that data and stack end.
    static __heap_base: u8;
}

#[cfg(target_arch = "wasm32")]
// SAFETY: regions do not overlap, for `next` only rises while anything is in use.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        use core::arch::wasm32::{memory_grow, memory_size};
        let next = match self.next.load(Ordering::Relaxed) {
            0 => &raw const __heap_base as usize,
            next => next,
        };
        let at = (next + layout.align() - 1) & !(layout.align() - 1);
        let end = match at.checked_add(layout.size()) {
            Some(end) => end,
            None => return ptr::null_mut(),
        };
        let have = memory_size(0) * 65536;
        if end > have && memory_grow(0, (end - have + 65535) / 65536) == usize::MAX {
            return ptr::null_mut();
        }
        self.next.store(end, Ordering::Relaxed);
        at as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Room for the server to write arguments to; 0 when there is none.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub extern "C" fn alloc(bytes: usize, align: usize) -> *mut u8 {
    match Layout::from_size_align(bytes, align) {
        // SAFETY: the heap takes empty layouts, too.
        Ok(layout) => unsafe { HEAP.alloc(layout) },
        Err(_) => ptr::null_mut(),
    }
}

/// Gives everything back, before the next batch.
///
/// # Safety
/// Nothing that was taken before is used any more.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reset() {
    HEAP.next.store(0, Ordering::Relaxed);
}

/// A panic is a trap, which ends the statement.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// What triggers are told and may do.
pub mod trigger {
    use alloc::string::String;

    mod imports {
        #[link(wasm_import_module = "lightning")]
        unsafe extern "C" {
            pub safe fn event() -> i32;
            pub safe fn timing() -> i32;
            pub fn column(name: *const u8, bytes: usize) -> i32;
            pub fn argument(i: i32, to: *mut u8, room: usize) -> i32;
            pub fn raise(text: *const u8, bytes: usize);
            pub fn execute(text: *const u8, bytes: usize);
            pub safe fn is_null(which: i32, column: i32) -> i32;
            pub safe fn get_i64(which: i32, column: i32) -> i64;
            pub safe fn get_f64(which: i32, column: i32) -> f64;
            pub fn get_text(which: i32, column: i32, to: *mut u8, room: usize) -> i32;
            pub safe fn set_null(column: i32);
            pub safe fn set_i64(column: i32, value: i64);
            pub safe fn set_f64(column: i32, value: f64);
            pub fn set_text(column: i32, text: *const u8, bytes: usize);
        }
    }

    pub use imports::{event, get_f64, get_i64, is_null, set_f64, set_i64, set_null, timing};

    /// What [`event`] says.
    pub const INSERT: i32 = 1;
    /// What [`event`] says.
    pub const UPDATE: i32 = 2;
    /// What [`event`] says.
    pub const DELETE: i32 = 3;
    /// The row as it was.
    pub const OLD: i32 = 0;
    /// The row as it will be or is.
    pub const NEW: i32 = 1;
    /// What a trigger returns for a row that stays.
    pub const KEEP_ROW: i32 = 0;
    /// What a trigger returns for a row that is left out.
    pub const SKIP_ROW: i32 = 1;

    /// The number of a column; ends the statement when there is none of this name.
    pub fn column(name: &str) -> i32 {
        // SAFETY: the text lives as long as the call; so it is below.
        let number = unsafe { imports::column(name.as_ptr(), name.len()) };
        if number < 0 {
            raise(&alloc::format!("the table has no column \"{name}\""))
        }
        number
    }

    /// Ends the statement with an error.
    pub fn raise(text: &str) -> ! {
        unsafe { imports::raise(text.as_ptr(), text.len()) };
        unreachable!("raise does not return")
    }

    /// Runs a statement in the same transaction, after the function has returned.
    pub fn execute(sql: &str) {
        unsafe { imports::execute(sql.as_ptr(), sql.len()) };
    }

    /// An argument of the trigger.
    pub fn argument(i: i32) -> Option<String> {
        copied(|to, room| unsafe { imports::argument(i, to, room) })
    }

    /// A value as text; none for NULL.
    pub fn get_text(which: i32, column: i32) -> Option<String> {
        copied(|to, room| unsafe { imports::get_text(which, column, to, room) })
    }

    /// Writes a value of the new row.
    pub fn set_text(column: i32, text: &str) {
        unsafe { imports::set_text(column, text.as_ptr(), text.len()) };
    }

    /// A text that the server copies: first its length, then itself.
    fn copied(copy: impl Fn(*mut u8, usize) -> i32) -> Option<String> {
        let bytes = copy(core::ptr::NonNull::dangling().as_ptr(), 0);
        if bytes < 0 {
            return None;
        }
        let mut text = alloc::vec![0; bytes as usize];
        copy(text.as_mut_ptr(), text.len());
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}
