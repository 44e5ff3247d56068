//! The `lightning` command. All of it is in the library's `cli` module, where tests reach it.

use std::process::ExitCode;

/// Analytical queries allocate and free many large buffers from many threads; mimalloc gives them back promptly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lightning::cli::main()
}
