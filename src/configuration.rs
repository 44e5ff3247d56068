//! How a database is opened: memory, threads, and the sizes people write (`200MB`).
//!
//! Defaults are the product: half of the machine's memory, one thread for every core. A container's limit counts as
//! the machine's memory, because the kernel kills a process that believes otherwise.

use std::path::Path;
use std::str::FromStr;

/// Smallest budget a database opens with: enough for one worker's buffers, a few page frames and one mem block.
pub const MEMORY_LIMIT_BYTES_MIN: usize = 32 << 20;

/// Assumed when the system does not tell how much memory it has.
const MEMORY_BYTES_UNKNOWN: usize = 4 << 30;

/// Where the `lightning serve` command listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:5433";

/// Resources a database may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Bytes that page frames, rows not yet on disk and query operators may hold together.
    pub memory_limit_bytes: usize,
    /// Threads that run queries, encode and flush.
    pub threads: usize,
}

impl Default for Configuration {
    fn default() -> Self {
        Configuration {
            memory_limit_bytes: (memory_bytes() / 2).max(MEMORY_LIMIT_BYTES_MIN),
            threads: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// A number of bytes as people write it: `200MB`, `1.5 GB`, `64KiB`, `4096`.
///
/// As in PostgreSQL's settings a kB is 1,024 bytes; case does not matter and `KiB` means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let bad = || format!("\"{text}\" is not a size; write a number with B, kB, MB, GB or TB, as 200MB");
        let number: f64 = number.parse().map_err(|_| bad())?;
        let unit_bytes = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1u64,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(bad()),
        };
        let bytes = number * unit_bytes as f64;
        if bytes >= (1u64 << 60) as f64 {
            return Err(format!("\"{text}\" is more memory than a machine can have"));
        }
        Ok(ByteSize(bytes as usize))
    }
}

/// A memory limit from the command line: a [`ByteSize`] of at least [`MEMORY_LIMIT_BYTES_MIN`].
pub fn parse_memory_limit(text: &str) -> Result<usize, String> {
    let ByteSize(bytes) = text.parse()?;
    if bytes < MEMORY_LIMIT_BYTES_MIN {
        return Err(format!("at least {} MB are needed", MEMORY_LIMIT_BYTES_MIN >> 20));
    }
    Ok(bytes)
}

/// Memory this process may use: the machine's, or its container's when that is less.
fn memory_bytes() -> usize {
    let machine = read(Path::new("/proc/meminfo")).as_deref().and_then(meminfo_total_bytes);
    let containers = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = containers.iter().filter_map(|path| read(Path::new(path))?.trim().parse::<usize>().ok()).min();
    match (machine, container) {
        (Some(machine), Some(container)) => machine.min(container),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => MEMORY_BYTES_UNKNOWN,
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The `MemTotal` line of `/proc/meminfo`.
fn meminfo_total_bytes(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1kB", 1 << 10),
            ("200MB", 200 << 20),
            ("200mb", 200 << 20),
            (" 2 GB ", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("64K", 64 << 10),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MB", "-1MB", "1.2.3MB", "10 parsecs", "999999999TB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert!(parse_memory_limit("1MB").is_err());
        assert_eq!(parse_memory_limit("32MB"), Ok(32 << 20));
    }

    #[test]
    fn meminfo_gives_the_machines_memory() {
        assert_eq!(meminfo_total_bytes("MemTotal:        8000 kB\nMemFree: 1 kB\n"), Some(8_192_000));
        assert_eq!(meminfo_total_bytes("MemFree: 1 kB\n"), None);
    }
}
