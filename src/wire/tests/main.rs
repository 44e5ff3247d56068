//! The wire protocol from a client's side: a real driver, and raw sockets for what no driver would send.

mod raw;
mod server;

mod copying;
mod driver;
mod protocol;
