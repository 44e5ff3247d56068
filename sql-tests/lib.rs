//! SQL behaviour, tested as data.
//!
//! Every `slt/**/*.slt` is a script of statements with their results, one file a feature, each run in a fresh database:
//! once through the embedded API ([`embedded`]), and once over the wire protocol ([`wire`]) against a server in the
//! same process. Files outside `slt/lightning/` hold nothing but PostgreSQL's own behaviour and run against a
//! PostgreSQL server as well, which is where their expected results come from (`against-postgres.sh`). What PostgreSQL
//! does and Lightning does not do yet stands there too, under `skipif lightning`.
//!
//! How values are written in the files: NULL as `NULL`, the empty string as `(empty)`, a line feed as `\n`, spaces at the end as `·`; everything
//! else as PostgreSQL writes it. Column types are `I` for integers, `R` for other numbers, `B` for booleans and `T` for
//! the rest. An error is its SQLSTATE and message: `42P01: relation "nope" does not exist`.

pub mod column;
pub mod failure;
pub mod embedded;
pub mod wire;
