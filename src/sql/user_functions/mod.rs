//! Functions that users make, on their way from a call to what it stands for.
//!
//! 1. [`names`] finds the calls of a query that the catalog knows, along the search path, and puts marks in the place of their
//!    names. A function that is built in goes before a user's of the same name, unless the schema is written.
//! 2. `plan` makes a [`family::Family`] of all functions of a name, with the bodies of those in SQL planned ([`sql_body`]), and
//!    registers it under the mark as a [`family::UserCall`] that takes anything.
//! 3. When the plan is analyzed, `semantics` chooses the function by the types of the arguments, as PostgreSQL does, and puts the
//!    body's expression in the place of the call, or the function of another language ([`code`]).
//!
//! Aggregates are registered as such ([`aggregate`]). Functions that give rows are tables: those in SQL are planned like views, with their
//! arguments written into the body; the others are called when they are read ([`rows`]).

pub(crate) mod sql_body;
pub(crate) mod code;
pub(crate) mod family;
pub(crate) mod aggregate;
pub(crate) mod rows;
pub(crate) mod names;
