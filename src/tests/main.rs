//! The product from outside: the embedded API as a program uses it, and the `lightning` command as a person does.

mod aggregates;
mod aggregates_crash;
mod command;
mod demo;
mod embedded;
mod http;
mod http_client;
mod process;
mod serve;
