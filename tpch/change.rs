//! Changes one percent of the largest tables without changing an answer: half of these rows are updated to what they are, half are deleted
//! and inserted again.

use crate::Failure;
use futures::executor::block_on;
use lightning::Database;
use std::time::{Duration, Instant};

/// A table and a number that is as good as random for each of its rows.
const TABLES: [(&str, &str, &str); 2] = [
    ("orders", "CAST(o_orderkey AS bigint) * 7919 / 32", "o_totalprice = o_totalprice"),
    ("lineitem", "CAST(l_orderkey AS bigint) * 7919 / 32 + l_linenumber * 31", "l_quantity = l_quantity"),
];

/// Changes rows of `orders` and `lineitem`; how many, and how long it took.
pub(crate) fn change(database: &Database) -> Result<(u64, Duration), Failure> {
    let start = Instant::now();
    let session = database.connect()?;
    let mut changed = 0;
    for (table, number, set) in TABLES {
        changed += block_on(session.execute(&format!("UPDATE {table} SET {set} WHERE ({number}) % 200 = 3")))?;
        let moved = format!("CREATE TABLE moved AS SELECT * FROM {table} WHERE ({number}) % 200 = 77");
        changed += block_on(session.execute(&moved))?;
        block_on(session.execute(&format!("DELETE FROM {table} WHERE ({number}) % 200 = 77")))?;
        block_on(session.execute(&format!("INSERT INTO {table} SELECT * FROM moved")))?;
        block_on(session.execute("DROP TABLE moved"))?;
    }
    Ok((changed, start.elapsed()))
}
