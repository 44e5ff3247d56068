//! Settings of a session: what SET, RESET and SHOW work on.
//!
//! The list is PostgreSQL's where clients expect an answer; settings that change nothing here say so by accepting only
//! the value that is true. A setting's value is text in the form SHOW prints. Changes made inside a transaction block are
//! undone when it rolls back; `SET LOCAL` is undone at its end either way.

use crate::error::{Error, Result};
use crate::sqlstate::{CANT_CHANGE_RUNTIME_PARAM, INVALID_PARAMETER_VALUE, UNDEFINED_OBJECT};
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

/// How a setting's value is checked and normalised.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Any text.
    Text,
    /// `on` or `off`.
    Bool,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A number.
    Real(f64, f64),
    /// Milliseconds, also written with a unit; 0 switches off.
    Milliseconds,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Cannot be set at all.
    ReadOnly,
    /// A comma-separated list of identifiers.
    List,
    /// A time zone name or offset.
    TimeZone,
    /// `ISO, MDY` and relatives.
    DateStyle,
    /// `UTF8` in its spellings.
    Encoding,
}

#[derive(Debug)]
struct Definition {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Whether clients are told of changes.
    reported: bool,
    description: &'static str,
}

const fn definition(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    reported: bool,
    description: &'static str,
) -> Definition {
    Definition { name, default, kind, reported, description }
}

const DEFINITIONS: &[Definition] = &[
    definition(
        "application_name",
        "",
        Kind::Text,
        true,
        "Sets the application name to be reported in statistics and logs.",
    ),
    definition("bytea_output", "hex", Kind::Enum(&["hex", "escape"]), false, "Sets the output format for bytea."),
    definition("client_encoding", "UTF8", Kind::Encoding, true, "Sets the client's character set encoding."),
    definition(
        "client_min_messages",
        "notice",
        Kind::Enum(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]),
        false,
        "Sets the message levels that are sent to the client.",
    ),
    definition("DateStyle", "ISO, MDY", Kind::DateStyle, true, "Sets the display format for date and time values."),
    definition(
        "default_transaction_deferrable",
        "off",
        Kind::Bool,
        false,
        "Accepted for compatibility; serializable transactions that only read never wait.",
    ),
    definition(
        "default_transaction_isolation",
        "read committed",
        Kind::Enum(&["read committed", "read uncommitted", "repeatable read", "serializable"]),
        false,
        "Sets the transaction isolation level of each new transaction.",
    ),
    definition(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        false,
        "Sets the default read-only status of new transactions.",
    ),
    definition(
        "extra_float_digits",
        "1",
        Kind::Integer(-15, 3),
        false,
        "Sets the number of digits displayed for floating-point values.",
    ),
    definition(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::Milliseconds,
        false,
        "Accepted for compatibility; idle transactions are not ended.",
    ),
    definition("integer_datetimes", "on", Kind::ReadOnly, true, "Shows whether datetimes are integer based."),
    definition(
        "IntervalStyle",
        "postgres",
        Kind::Enum(&["postgres"]),
        true,
        "Sets the display format for interval values.",
    ),
    definition("is_superuser", "on", Kind::ReadOnly, true, "Shows whether the current user is a superuser."),
    definition("jit", "off", Kind::Bool, false, "Accepted for compatibility; there is no JIT compilation."),
    definition("lc_collate", "C", Kind::ReadOnly, false, "Shows the collation order locale."),
    definition(
        "lc_ctype",
        "C.UTF-8",
        Kind::ReadOnly,
        false,
        "Shows the character classification and case conversion locale.",
    ),
    definition("lc_messages", "C", Kind::Text, false, "Sets the language in which messages are displayed."),
    definition("lc_monetary", "C", Kind::Text, false, "Sets the locale for formatting monetary amounts."),
    definition("lc_numeric", "C", Kind::Text, false, "Sets the locale for formatting numbers."),
    definition("lc_time", "C", Kind::Text, false, "Sets the locale for formatting date and time values."),
    definition(
        "lock_timeout",
        "0",
        Kind::Milliseconds,
        false,
        "Sets the maximum allowed duration of any wait for a lock.",
    ),
    definition("max_connections", "100", Kind::ReadOnly, false, "Shows the maximum number of concurrent connections."),
    definition("max_identifier_length", "63", Kind::ReadOnly, false, "Shows the maximum identifier length."),
    definition("max_index_keys", "32", Kind::ReadOnly, false, "Shows the maximum number of index keys."),
    definition("memory_limit", "", Kind::ReadOnly, false, "Shows the bytes of the memory budget."),
    definition(
        "search_path",
        "\"$user\", public",
        Kind::List,
        false,
        "Sets the schema search order for names that are not schema-qualified.",
    ),
    definition("server_encoding", "UTF8", Kind::ReadOnly, true, "Shows the server (database) character set encoding."),
    definition("server_version", "15.8", Kind::ReadOnly, true, "Shows the server version."),
    definition("server_version_num", "150008", Kind::ReadOnly, false, "Shows the server version as an integer."),
    definition("session_authorization", "", Kind::ReadOnly, true, "Shows the session user name."),
    definition(
        "standard_conforming_strings",
        "on",
        Kind::Enum(&["on"]),
        true,
        "Causes '...' strings to treat backslashes literally.",
    ),
    definition(
        "statement_timeout",
        "0",
        Kind::Milliseconds,
        false,
        "Sets the maximum allowed duration of any statement.",
    ),
    definition(
        "synchronous_commit",
        "on",
        Kind::Enum(&["on"]),
        false,
        "Commits are acknowledged after they are durable.",
    ),
    definition("threads", "", Kind::ReadOnly, false, "Shows the threads one query may use."),
    definition(
        "TimeZone",
        "UTC",
        Kind::TimeZone,
        true,
        "Sets the time zone for displaying and interpreting time stamps.",
    ),
    definition(
        "transaction_deferrable",
        "off",
        Kind::Bool,
        false,
        "Accepted for compatibility; serializable transactions that only read never wait.",
    ),
    definition(
        "transaction_isolation",
        "read committed",
        Kind::Enum(&["read committed", "read uncommitted", "repeatable read", "serializable"]),
        false,
        "Sets the current transaction's isolation level.",
    ),
    definition("transaction_read_only", "off", Kind::Bool, false, "Sets the current transaction's read-only status."),
    definition(
        "work_mem",
        "4MB",
        Kind::Text,
        false,
        "Accepted for compatibility; operators share the one memory budget.",
    ),
    definition(
        "row_security",
        "on",
        Kind::Bool,
        false,
        "Accepted for compatibility; there are no row security policies.",
    ),
    definition("enable_seqscan", "on", Kind::Bool, false, "Accepted for compatibility; has no effect."),
    definition("geqo", "off", Kind::Bool, false, "Accepted for compatibility; has no effect."),
    definition("random_page_cost", "4", Kind::Real(0.0, 1e300), false, "Accepted for compatibility; has no effect."),
    definition("default_tablespace", "", Kind::Enum(&[""]), false, "Sets the default tablespace to create tables in."),
    definition(
        "default_table_access_method",
        "heap",
        Kind::Enum(&["heap"]),
        false,
        "Sets the default table access method for new tables.",
    ),
    definition(
        "xmloption",
        "content",
        Kind::Enum(&["content", "document"]),
        false,
        "Accepted for compatibility; there is no XML type.",
    ),
    definition("check_function_bodies", "on", Kind::Bool, false, "Accepted for compatibility; has no effect."),
    definition(
        "password_encryption",
        "scram-sha-256",
        Kind::Enum(&["scram-sha-256"]),
        false,
        "Chooses the algorithm for encrypting passwords.",
    ),
];

/// One row of SHOW ALL.
#[derive(Clone, Debug)]
pub struct SettingRow {
    /// Name.
    pub name: String,
    /// Current value.
    pub value: String,
    /// What it does.
    pub description: &'static str,
    /// Value after RESET.
    pub reset_value: String,
}

/// Values at a savepoint: those set, and those to put back at the transaction's end.
#[derive(Clone, Debug)]
pub(crate) struct SavedSettings {
    set: Arc<BTreeMap<String, String>>,
    local: Arc<BTreeMap<String, Option<String>>>,
}

#[derive(Clone, Debug, Default)]
struct Values {
    /// Values that differ from the defaults, by lower-case name. Names with a dot are the user's own.
    set: BTreeMap<String, String>,
    /// Values RESET goes back to (from the connection), by lower-case name.
    reset: BTreeMap<String, String>,
    /// Names to put back when the transaction ends, whatever its end, and their values before.
    local: BTreeMap<String, Option<String>>,
    /// `set` as it was when the transaction began.
    before: Option<BTreeMap<String, String>>,
    /// Reported names that changed since the client was told.
    changed: BTreeSet<&'static str>,
}

/// The settings of one session.
#[derive(Debug, Default)]
pub struct Settings {
    values: RwLock<Values>,
}

impl Settings {
    /// Settings of a new session; `fixed` are values of this server, `startup` those the client asked for.
    pub(crate) fn new(fixed: &[(&str, String)], startup: &[(String, String)]) -> Result<Settings> {
        let settings = Settings::default();
        {
            let mut values = settings.values.write();
            values.changed = DEFINITIONS.iter().filter(|d| d.reported).map(|d| d.name).collect();
            for (name, value) in fixed {
                values.reset.insert(name.to_lowercase(), value.clone());
            }
        }
        for (name, value) in startup {
            let Ok(definition) = find(name) else {
                if name.contains('.') {
                    settings.values.write().reset.insert(name.to_lowercase(), value.clone());
                }
                continue;
            };
            let value = check(definition, value)?;
            settings.values.write().reset.insert(definition.name.to_lowercase(), value);
        }
        Ok(settings)
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<String> {
        let key = canonical(name);
        let values = self.values.read();
        if let Some(value) = values.set.get(key.as_ref()).or_else(|| values.reset.get(key.as_ref())) {
            return Some(value.clone());
        }
        find(&key).ok().map(|d| d.default.to_owned())
    }

    /// The name as SHOW prints it.
    pub fn display_name(name: &str) -> String {
        find(&canonical(name)).map_or_else(|_| name.to_owned(), |d| d.name.to_owned())
    }

    /// Sets a value; `local`: until the transaction ends.
    pub fn set(&self, name: &str, value: &str, local: bool) -> Result<()> {
        let key = canonical(name).into_owned();
        let (key, value, reported) = match find(&key) {
            Ok(definition) => {
                if matches!(definition.kind, Kind::ReadOnly) {
                    return Err(Error::new(
                        CANT_CHANGE_RUNTIME_PARAM,
                        format!("parameter \"{}\" cannot be changed", definition.name),
                    ));
                }
                (key, check(definition, value)?, definition.reported.then_some(definition.name))
            }
            Err(_) if key.contains('.') => (key, value.to_owned(), None),
            Err(e) => return Err(e),
        };
        let mut values = self.values.write();
        let old = values.set.insert(key.clone(), value);
        if local {
            values.local.entry(key).or_insert(old);
        } else {
            values.local.remove(&key);
        }
        values.changed.extend(reported);
        Ok(())
    }

    /// Back to the value of the connection's start.
    pub fn reset(&self, name: &str) -> Result<()> {
        let key = canonical(name).into_owned();
        let definition = find(&key);
        if let Err(e) = &definition
            && !key.contains('.')
        {
            return Err(e.clone());
        }
        let mut values = self.values.write();
        values.set.remove(&key);
        values.changed.extend(definition.ok().filter(|d| d.reported).map(|d| d.name));
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&self) {
        let mut values = self.values.write();
        let names: Vec<String> = std::mem::take(&mut values.set).into_keys().collect();
        values.changed.extend(names.iter().filter_map(|n| find(n).ok()).filter(|d| d.reported).map(|d| d.name));
    }

    /// Every setting, by name.
    pub fn all(&self) -> Vec<SettingRow> {
        let values = self.values.read();
        let mut rows: Vec<SettingRow> = DEFINITIONS
            .iter()
            .map(|d| {
                let key = d.name.to_lowercase();
                let reset_value = values.reset.get(&key).cloned().unwrap_or_else(|| d.default.to_owned());
                let value = values.set.get(&key).cloned().unwrap_or_else(|| reset_value.clone());
                SettingRow { name: d.name.to_owned(), value, description: d.description, reset_value }
            })
            .collect();
        rows.sort_by_key(|r| r.name.to_lowercase());
        rows
    }

    /// Remembers the values a rollback goes back to.
    pub(crate) fn begin_transaction(&self) {
        let mut values = self.values.write();
        values.before = Some(values.set.clone());
    }

    /// The values a savepoint goes back to.
    pub(crate) fn save(&self) -> SavedSettings {
        let values = self.values.read();
        SavedSettings { set: Arc::new(values.set.clone()), local: Arc::new(values.local.clone()) }
    }

    /// Goes back to a savepoint's values.
    pub(crate) fn restore(&self, saved: &SavedSettings) {
        let mut values = self.values.write();
        let differs = |name: &str| saved.set.get(&name.to_lowercase()) != values.set.get(&name.to_lowercase());
        let changed: Vec<&'static str> =
            DEFINITIONS.iter().filter(|d| d.reported && differs(d.name)).map(|d| d.name).collect();
        values.changed.extend(changed);
        (values.set, values.local) = (saved.set.as_ref().clone(), saved.local.as_ref().clone());
    }

    /// Ends a transaction: undoes `SET LOCAL`, and everything when it did not commit.
    pub(crate) fn end_transaction(&self, committed: bool) {
        let mut values = self.values.write();
        let before = values.before.take();
        let is_unchanged = values.local.is_empty() && (committed || before.as_ref().is_none_or(|b| *b == values.set));
        if is_unchanged {
            return;
        }
        let after = if committed {
            let mut set = values.set.clone();
            for (name, old) in std::mem::take(&mut values.local) {
                match old {
                    Some(old) => set.insert(name, old),
                    None => set.remove(&name),
                };
            }
            set
        } else {
            values.local.clear();
            before.unwrap_or_else(|| values.set.clone())
        };
        let changed: Vec<&'static str> = DEFINITIONS
            .iter()
            .filter(|d| d.reported)
            .filter(|d| after.get(&d.name.to_lowercase()) != values.set.get(&d.name.to_lowercase()))
            .map(|d| d.name)
            .collect();
        values.changed.extend(changed);
        values.set = after;
    }

    /// Reported settings that changed since the last call.
    pub(crate) fn take_changes(&self) -> Vec<(String, String)> {
        let changed = std::mem::take(&mut self.values.write().changed);
        changed.into_iter().map(|name| (name.to_owned(), self.get(name).unwrap_or_default())).collect()
    }

    /// `statement_timeout`, when set.
    pub(crate) fn statement_timeout(&self) -> Option<std::time::Duration> {
        let ms = milliseconds(&self.get("statement_timeout")?)?;
        (ms > 0).then(|| std::time::Duration::from_millis(ms as u64))
    }

    /// `lock_timeout`, when set.
    pub(crate) fn lock_timeout(&self) -> Option<std::time::Duration> {
        let ms = milliseconds(&self.get("lock_timeout")?)?;
        (ms > 0).then(|| std::time::Duration::from_millis(ms as u64))
    }

    /// The schemas of `search_path` for this user.
    pub(crate) fn search_path(&self, user: &str) -> Vec<String> {
        let text = self.get("search_path").unwrap_or_default();
        split_list(&text).into_iter().map(|name| if name == "$user" { user.to_owned() } else { name }).collect()
    }
}

/// Splits `a, "B c"` into identifiers, folding those without quotes.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut current = String::new();
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    let mut was_quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                current.push('"');
                chars.next();
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                names.push((std::mem::take(&mut current), std::mem::take(&mut was_quoted)));
            }
            c if quoted => current.push(c),
            c if c.is_whitespace() => {}
            c => current.extend(c.to_lowercase()),
        }
    }
    names.push((current, was_quoted));
    names.into_iter().filter(|(name, quoted)| *quoted || !name.is_empty()).map(|(name, _)| name).collect()
}

fn canonical(name: &str) -> Cow<'_, str> {
    let name = match name.chars().any(|c| c.is_uppercase()) {
        true => Cow::Owned(name.to_lowercase()),
        false => Cow::Borrowed(name),
    };
    match name.as_ref() {
        "time zone" | "time.zone" => "timezone".into(),
        "session authorization" => "session_authorization".into(),
        "transaction isolation level" | "transaction.isolation.level" => "transaction_isolation".into(),
        "names" => "client_encoding".into(),
        _ => name,
    }
}

/// Definitions by their names in lower case.
static BY_NAME: LazyLock<HashMap<String, &'static Definition>> =
    LazyLock::new(|| DEFINITIONS.iter().map(|definition| (definition.name.to_lowercase(), definition)).collect());

fn find(name: &str) -> Result<&'static Definition> {
    let name = canonical(name);
    BY_NAME
        .get(name.as_ref())
        .copied()
        .ok_or_else(|| Error::new(UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\"")))
}

fn invalid(definition: &Definition, value: &str) -> Error {
    Error::new(INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{}\": \"{value}\"", definition.name))
}

fn check(definition: &Definition, value: &str) -> Result<String> {
    let bad = || invalid(definition, value);
    Ok(match definition.kind {
        Kind::Text | Kind::ReadOnly | Kind::List => value.to_owned(),
        Kind::Bool => match value.to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" | "t" => "on".to_owned(),
            "off" | "false" | "no" | "0" | "f" => "off".to_owned(),
            _ => {
                let message = format!("parameter \"{}\" requires a Boolean value", definition.name);
                return Err(Error::new(INVALID_PARAMETER_VALUE, message));
            }
        },
        Kind::Integer(min, max) => {
            let number: i64 = value.trim().parse().map_err(|_| bad())?;
            if !(min..=max).contains(&number) {
                let message = format!(
                    "{number} is outside the valid range for parameter \"{}\" ({min} .. {max})",
                    definition.name
                );
                return Err(Error::new(INVALID_PARAMETER_VALUE, message));
            }
            number.to_string()
        }
        Kind::Real(min, max) => {
            let number: f64 = value.trim().parse().map_err(|_| bad())?;
            if !(min..=max).contains(&number) {
                return Err(bad());
            }
            number.to_string()
        }
        Kind::Milliseconds => {
            let ms = milliseconds(value).filter(|ms| (0..=i64::from(i32::MAX)).contains(ms)).ok_or_else(bad)?;
            show_milliseconds(ms)
        }
        Kind::Enum(allowed) => {
            let lower = value.to_lowercase();
            let lower = if definition.default == "on" && matches!(lower.as_str(), "true" | "1" | "yes") {
                "on".into()
            } else {
                lower
            };
            let lower = if definition.default == "off" && matches!(lower.as_str(), "false" | "0" | "no") {
                "off".into()
            } else {
                lower
            };
            if !allowed.contains(&lower.as_str()) {
                return Err(bad().with_hint(format!("Available values: {}.", allowed.join(", "))));
            }
            lower
        }
        Kind::TimeZone => time_zone(value).ok_or_else(bad)?,
        Kind::DateStyle => date_style(value).ok_or_else(bad)?,
        Kind::Encoding => match value.trim_matches('\'').to_lowercase().replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" => "UTF8".to_owned(),
            _ => return Err(bad().with_hint("Only UTF8 is supported.")),
        },
    })
}

fn milliseconds(value: &str) -> Option<i64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: i64 = value[..digits].parse().ok()?;
    let scale = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(scale)
}

fn show_milliseconds(ms: i64) -> String {
    match ms {
        0 => "0".to_owned(),
        ms if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}min", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

fn time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    match value.to_lowercase().as_str() {
        "default" | "local" => return Some("UTC".to_owned()),
        "utc" | "z" | "zulu" => return Some("UTC".to_owned()),
        _ => {}
    }
    if let Ok(zone) = value.parse::<chrono_tz::Tz>() {
        return Some(zone.name().to_owned());
    }
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|z| z.name().eq_ignore_ascii_case(value)) {
        return Some(zone.name().to_owned());
    }
    value.parse::<arrow::array::timezone::Tz>().is_ok().then(|| value.to_owned())
}

fn date_style(value: &str) -> Option<String> {
    let mut order = "MDY";
    for word in value.split(',') {
        match word.trim().to_lowercase().as_str() {
            "iso" | "default" => {}
            "mdy" | "us" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_path_folds_and_unquotes() {
        assert_eq!(split_list("\"$user\", Public, \"A b\""), ["$user", "public", "A b"]);
    }

    #[test]
    fn rollback_puts_settings_back() {
        let settings = Settings::default();
        settings.begin_transaction();
        settings.set("statement_timeout", "2s", false).unwrap();
        assert_eq!(settings.get("statement_timeout").unwrap(), "2s");
        settings.end_transaction(false);
        assert_eq!(settings.get("statement_timeout").unwrap(), "0");
    }

    #[test]
    fn local_values_end_with_the_transaction() {
        let settings = Settings::default();
        settings.begin_transaction();
        settings.set("TimeZone", "Europe/Berlin", true).unwrap();
        settings.end_transaction(true);
        assert_eq!(settings.get("timezone").unwrap(), "UTC");
    }

    #[test]
    fn unknown_settings_are_refused_and_own_ones_kept() {
        let settings = Settings::default();
        assert_eq!(settings.set("nonsense", "1", false).unwrap_err().state(), UNDEFINED_OBJECT);
        settings.set("my.own", "1", false).unwrap();
        assert_eq!(settings.get("my.own").unwrap(), "1");
    }
}
