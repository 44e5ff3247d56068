//! What WITH says of a function: its ABI and its limits.
//!
//! | option | values | default |
//! |---|---|---|
//! | `abi` | `scalar`, `batch`, `component` | `scalar` for modules, `component` for components |
//! | `memory` | a size such as `64MB`, at most `4GB` | `64MB` |
//! | `timeout` | a time such as `250ms`, `1s`, `2min`; at most an hour | `1s` |
//! | `fuel` | instructions a call may take; none counted when it is not given | |

use lightning_sandbox::{Abi, Limits};
use lightning_sql::sqlstate::INVALID_PARAMETER_VALUE;
use lightning_sql::{Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most a guest's memory can be.
const MEMORY_BYTES_MAX: usize = 4 << 30;
/// Longest time-out.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The options of a function, read.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) abi: Option<Abi>,
    pub(crate) limits: Limits,
}

impl Options {
    pub(crate) fn read(options: &BTreeMap<String, String>) -> Result<Options> {
        let mut read = Options {
            abi: None,
            limits: Limits { memory_bytes: 64 << 20, timeout: Duration::from_secs(1), fuel: None },
        };
        for (name, value) in options {
            match name.as_str() {
                "abi" => {
                    let abi = value.to_lowercase().parse();
                    read.abi = Some(abi.map_err(|_| invalid(name, value, "scalar, batch and component"))?);
                }
                "memory" => {
                    let bytes = memory(value).filter(|bytes| (1..=MEMORY_BYTES_MAX).contains(bytes));
                    read.limits.memory_bytes = bytes.ok_or_else(|| invalid(name, value, "sizes up to 4GB, as 64MB"))?;
                }
                "timeout" => {
                    let time = time(value).filter(|time| !time.is_zero() && *time <= TIMEOUT_MAX);
                    read.limits.timeout = time.ok_or_else(|| invalid(name, value, "times up to 1h, as 1s or 250ms"))?;
                }
                "fuel" => {
                    let fuel = value.parse().ok().filter(|fuel: &u64| *fuel > 0);
                    read.limits.fuel = Some(fuel.ok_or_else(|| invalid(name, value, "numbers above 0"))?);
                }
                _ => {
                    return Err(Error::new(INVALID_PARAMETER_VALUE, format!("unrecognized option \"{name}\""))
                        .with_hint("Options are abi, memory, timeout and fuel."));
                }
            }
        }
        Ok(read)
    }
}

fn invalid(name: &str, value: &str, valid: &str) -> Error {
    Error::new(INVALID_PARAMETER_VALUE, format!("invalid value for option \"{name}\": \"{value}\""))
        .with_hint(format!("Valid values are {valid}."))
}

/// A number and its unit.
fn split(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim().to_lowercase()))
}

fn memory(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "kb" | "k" => 10,
        "mb" | "m" => 20,
        "gb" | "g" => 30,
        _ => return None,
    };
    usize::try_from(number).ok()?.checked_mul(1 << shift)
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    Some(match unit.as_str() {
        // A number alone is of milliseconds, as for statement_timeout.
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Options> {
        Options::read(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(read("memory", "1 MB").unwrap().limits.memory_bytes, 1 << 20);
        assert_eq!(read("memory", "65536").unwrap().limits.memory_bytes, 65_536);
        assert_eq!(read("timeout", "250").unwrap().limits.timeout, Duration::from_millis(250));
        assert_eq!(read("timeout", "2min").unwrap().limits.timeout, Duration::from_secs(120));
        assert_eq!(read("fuel", "1000").unwrap().limits.fuel, Some(1000));
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for (name, value) in [
            ("memory", "5GB"),
            ("memory", "0"),
            ("timeout", "2h"),
            ("timeout", "x"),
            ("fuel", "0"),
            ("abi", "c"),
            ("speed", "1"),
        ] {
            assert_eq!(read(name, value).unwrap_err().state().0, "22023", "{name} {value}");
        }
    }
}
