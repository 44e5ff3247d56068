//! The product from outside: the embedded API as a program uses it, and the `lightning` command as a person does.

mod aggregates;
mod command;
mod embedded;
mod process;
mod serve;
