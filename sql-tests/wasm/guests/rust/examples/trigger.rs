//! A trigger for each row: names without blanks around them, none that is empty, and a journal of what changes.
//!
//! ```sql
//! CREATE TABLE customer (id bigint PRIMARY KEY, name text, changes bigint);
//! CREATE TABLE customer_was (id bigint, name text);
//! CREATE FUNCTION customer() RETURNS trigger LANGUAGE wasm AS 'file:/…/trigger.wasm';
//! CREATE TRIGGER customer BEFORE INSERT OR UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION customer('customer_was');
//! ```
#![no_std]

extern crate alloc;

use guest::trigger::{
    KEEP_ROW, NEW, OLD, SKIP_ROW, UPDATE, argument, column, event, execute, get_i64, get_text, raise, set_i64, set_text,
};

/// Called for each row.
#[unsafe(no_mangle)]
pub extern "C" fn customer() -> i32 {
    // Rows are many, so each gives back what the one before took.
    // SAFETY: nothing of an earlier row is kept.
    #[cfg(target_arch = "wasm32")]
    unsafe {
        guest::reset()
    };
    let (id, name, changes) = (column("id"), column("name"), column("changes"));
    if get_i64(NEW, id) < 0 {
        return SKIP_ROW;
    }
    if let Some(text) = get_text(NEW, name) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            raise("a customer has a name");
        }
        set_text(name, trimmed);
    }
    if event() != UPDATE {
        set_i64(changes, 0);
        return KEEP_ROW;
    }
    set_i64(changes, get_i64(OLD, changes) + 1);
    if let (Some(table), Some(was)) = (argument(0), get_text(OLD, name)) {
        let was = was.replace('\'', "''");
        execute(&alloc::format!("INSERT INTO \"{table}\" VALUES ({}, '{was}')", get_i64(OLD, id)));
    }
    KEEP_ROW
}
