//! The patterns of `to_char`, `to_date`, `to_timestamp` and `to_number`: `YYYY-MM-DD HH24:MI:SS`, `FM999,990.00`.
//!
//! A pattern is cut into tokens, longest keyword first; what is no keyword stands for itself, and so does everything
//! between double quotes. `FM` before a keyword drops its padding, `TH` or `th` after a number adds an ordinal ending.

use super::row::{error, out_of_range};
use arrow::datatypes::IntervalMonthDayNano;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone as _, Timelike};
use datafusion::common::Result;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// Keywords, the longer before its prefixes.
const KEYWORDS: &[&str] = &[
    "Y,YYY", "IYYY", "YYYY", "HH24", "HH12", "MONTH", "Month", "month", "SSSSS", "SSSS", "A.M.", "P.M.", "a.m.",
    "p.m.", "B.C.", "A.D.", "b.c.", "a.d.", "IDDD", "DDD", "IYY", "YYY", "DAY", "Day", "day", "MON", "Mon", "mon",
    "TZH", "TZM", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "FF7", "FF8", "FF9", "HH", "MI", "SS", "MS", "US", "AM",
    "PM", "am", "pm", "YY", "IY", "BC", "AD", "bc", "ad", "DY", "Dy", "dy", "DD", "ID", "IW", "WW", "CC", "MM", "RM",
    "rm", "TZ", "tz", "OF", "Y", "I", "D", "W", "J", "Q",
];

#[derive(Debug)]
enum Token {
    Keyword { name: &'static str, fill: bool, ordinal: Option<bool> },
    Literal(String),
}

/// Cuts a pattern; keywords are found in any case where only one case is listed.
fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    let mut fill = true;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            tokens.push(Token::Literal(quoted[..end].to_owned()));
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        if let Some(after) = strip_keyword(rest, "FM") {
            fill = false;
            rest = after;
            continue;
        }
        if let Some((name, after)) = KEYWORDS.iter().find_map(|name| Some((*name, strip_keyword(rest, name)?))) {
            rest = after;
            let ordinal = match rest.get(..2) {
                Some("TH") => Some(true),
                Some("th") => Some(false),
                _ => None,
            };
            if ordinal.is_some() {
                rest = &rest[2..];
            }
            tokens.push(Token::Keyword { name, fill, ordinal });
            fill = true;
            continue;
        }
        tokens.push(Token::Literal(first.to_string()));
        rest = &rest[first.len_utf8()..];
    }
    tokens
}

fn strip_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    let cased = keyword.chars().any(|c| c.is_ascii_lowercase())
        || matches!(
            keyword,
            "MONTH"
                | "MON"
                | "DAY"
                | "DY"
                | "AM"
                | "PM"
                | "A.M."
                | "P.M."
                | "RM"
                | "TZ"
                | "BC"
                | "AD"
                | "B.C."
                | "A.D."
        );
    let same = if cased { head == keyword } else { head.eq_ignore_ascii_case(keyword) };
    same.then(|| &text[keyword.len()..])
}

/// A point in time by a pattern, with the nanoseconds over. `zone` is what TZ and OF show.
pub(super) fn moment(local_micros: i64, rest: i64, zone: &str, pattern: &str) -> Result<String> {
    let time = DateTime::from_timestamp_micros(local_micros).ok_or_else(|| error("22008", "timestamp out of range"))?;
    let time = time.naive_utc() + TimeDelta::nanoseconds(rest);
    let mut out = String::new();
    for token in tokens(pattern) {
        match token {
            Token::Literal(text) => out.push_str(&text),
            Token::Keyword { name, fill, ordinal } => {
                let mut shown = field(&time, zone, name, fill);
                if let Some(upper) = ordinal {
                    shown.push_str(&ordinal_ending(&shown, upper));
                }
                out.push_str(&shown);
            }
        }
    }
    Ok(out)
}

fn padded(value: i64, width: usize, fill: bool) -> String {
    if fill { format!("{value:0width$}") } else { value.to_string() }
}

fn worded(word: &str, width: usize, fill: bool) -> String {
    if fill { format!("{word:width$}") } else { word.to_owned() }
}

fn field(time: &NaiveDateTime, zone: &str, name: &'static str, fill: bool) -> String {
    let year = i64::from(time.year());
    let shown_year = if year > 0 { year } else { 1 - year };
    let iso = time.iso_week();
    let month = MONTHS[time.month0() as usize];
    let weekday = time.weekday().num_days_from_sunday() as usize;
    let day_name = DAYS[weekday];
    let hour12 = i64::from(time.hour12().1);
    let nanos = time.nanosecond();
    let micros = i64::from(nanos / 1000);
    let seconds = i64::from(time.num_seconds_from_midnight());
    let number = |value: i64, width: usize| padded(value, width, fill);
    match name {
        "YYYY" => number(shown_year, 4),
        "Y,YYY" => format!("{},{:03}", shown_year / 1000, shown_year % 1000),
        "YYY" => number(shown_year % 1000, 3),
        "YY" => number(shown_year % 100, 2),
        "Y" => (shown_year % 10).to_string(),
        "IYYY" => number(i64::from(iso.year()), 4),
        "IYY" => number(i64::from(iso.year()) % 1000, 3),
        "IY" => number(i64::from(iso.year()) % 100, 2),
        "I" => (i64::from(iso.year()) % 10).to_string(),
        "HH24" => number(i64::from(time.hour()), 2),
        "HH12" | "HH" => number(hour12, 2),
        "MI" => number(i64::from(time.minute()), 2),
        "SS" => number(i64::from(time.second()), 2),
        "MS" | "FF3" => format!("{:03}", micros / 1000),
        "US" | "FF6" => format!("{micros:06}"),
        "FF7" => format!("{:07}", nanos / 100),
        "FF8" => format!("{:08}", nanos / 10),
        "FF9" => format!("{nanos:09}"),
        "FF1" => format!("{:01}", micros / 100_000),
        "FF2" => format!("{:02}", micros / 10_000),
        "FF4" => format!("{:04}", micros / 100),
        "FF5" => format!("{:05}", micros / 10),
        "SSSS" | "SSSSS" => seconds.to_string(),
        "AM" | "PM" => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "am" | "pm" => if time.hour() < 12 { "am" } else { "pm" }.to_owned(),
        "A.M." | "P.M." => if time.hour() < 12 { "A.M." } else { "P.M." }.to_owned(),
        "a.m." | "p.m." => if time.hour() < 12 { "a.m." } else { "p.m." }.to_owned(),
        "BC" | "AD" => if year > 0 { "AD" } else { "BC" }.to_owned(),
        "bc" | "ad" => if year > 0 { "ad" } else { "bc" }.to_owned(),
        "B.C." | "A.D." => if year > 0 { "A.D." } else { "B.C." }.to_owned(),
        "b.c." | "a.d." => if year > 0 { "a.d." } else { "b.c." }.to_owned(),
        "MONTH" => worded(&month.to_uppercase(), 9, fill),
        "Month" => worded(month, 9, fill),
        "month" => worded(&month.to_lowercase(), 9, fill),
        "MON" => month[..3].to_uppercase(),
        "Mon" => month[..3].to_owned(),
        "mon" => month[..3].to_lowercase(),
        "MM" => number(i64::from(time.month()), 2),
        "RM" => worded(ROMAN[time.month0() as usize], 4, fill),
        "rm" => worded(&ROMAN[time.month0() as usize].to_lowercase(), 4, fill),
        "DAY" => worded(&day_name.to_uppercase(), 9, fill),
        "Day" => worded(day_name, 9, fill),
        "day" => worded(&day_name.to_lowercase(), 9, fill),
        "DY" => day_name[..3].to_uppercase(),
        "Dy" => day_name[..3].to_owned(),
        "dy" => day_name[..3].to_lowercase(),
        "DDD" => number(i64::from(time.ordinal()), 3),
        "IDDD" => number(i64::from(iso.week0()) * 7 + i64::from(time.weekday().number_from_monday()), 3),
        "DD" => number(i64::from(time.day()), 2),
        "D" => (weekday + 1).to_string(),
        "ID" => time.weekday().number_from_monday().to_string(),
        "W" => ((time.day() - 1) / 7 + 1).to_string(),
        "WW" => number(i64::from((time.ordinal() - 1) / 7 + 1), 2),
        "IW" => number(i64::from(iso.week()), 2),
        "CC" => number((shown_year + 99) / 100, 2),
        "J" => (i64::from(time.num_days_from_ce()) + 1_721_425).to_string(),
        "Q" => ((time.month() - 1) / 3 + 1).to_string(),
        "TZ" => zone.to_uppercase(),
        "tz" => zone.to_lowercase(),
        "OF" | "TZH" | "TZM" => offset(time, zone, name),
        other => other.to_owned(),
    }
}

fn offset(time: &NaiveDateTime, zone: &str, name: &str) -> String {
    let seconds = match zone.parse::<chrono_tz::Tz>() {
        Ok(zone) => zone.offset_from_utc_datetime(time).fix().local_minus_utc(),
        Err(_) => 0,
    };
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    match name {
        "TZH" => format!("{sign}{hours:02}"),
        "TZM" => format!("{minutes:02}"),
        _ if minutes == 0 => format!("{sign}{hours:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}"),
    }
}

fn ordinal_ending(number: &str, upper: bool) -> String {
    let mut digits = number.bytes().rev();
    let (last, before) = (digits.next(), digits.next());
    let ending = match (before, last) {
        (Some(b'1'), _) => "th",
        (_, Some(b'1')) => "st",
        (_, Some(b'2')) => "nd",
        (_, Some(b'3')) => "rd",
        _ => "th",
    };
    if upper { ending.to_uppercase() } else { ending.to_owned() }
}

/// An interval by a pattern: its parts as they are, hours beyond 23 included.
pub(super) fn interval(value: IntervalMonthDayNano, pattern: &str) -> String {
    let micros = value.nanoseconds / 1000;
    let seconds = micros / 1_000_000;
    let mut out = String::new();
    for token in tokens(pattern) {
        match token {
            Token::Literal(text) => out.push_str(&text),
            Token::Keyword { name, fill, .. } => {
                let (part, width) = match name {
                    "YYYY" => (i64::from(value.months / 12), 4),
                    "MM" => (i64::from(value.months % 12), 2),
                    "DD" | "DDD" => (i64::from(value.days), name.len()),
                    "HH24" | "HH" => (seconds / 3600, 2),
                    "HH12" => (seconds / 3600 % 12, 2),
                    "MI" => (seconds / 60 % 60, 2),
                    "SS" => (seconds % 60, 2),
                    "MS" => (micros / 1000 % 1000, 3),
                    "US" => (micros % 1_000_000, 6),
                    other => {
                        out.push_str(other);
                        continue;
                    }
                };
                out.push_str(&padded(part, width, fill));
            }
        }
    }
    out
}

/// What a text gave by a pattern.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Microseconds since 1970 of the local time.
    pub(super) local_micros: i64,
    /// Offset east of Greenwich, if the text had one.
    pub(super) offset_seconds: Option<i64>,
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    seconds_of_day: Option<i64>,
    afternoon: Option<bool>,
    before_christ: bool,
    offset_hours: Option<i64>,
    offset_minutes: i64,
}

/// Reads a text by a pattern.
pub(super) fn parse_moment(text: &str, pattern: &str) -> Result<Parsed> {
    let mut rest = text.trim_start();
    let mut fields = Fields::default();
    let tokens = tokens(pattern);
    for (i, token) in tokens.iter().enumerate() {
        if rest.is_empty() {
            break;
        }
        match token {
            Token::Literal(literal) => rest = skip_literal(rest, literal),
            Token::Keyword { name, .. } => {
                rest = rest.trim_start();
                let adjoining = matches!(tokens.get(i + 1), Some(Token::Keyword { .. }));
                rest = read_field(rest, name, adjoining, &mut fields)?;
            }
        }
    }
    fields.finish(text)
}

/// A separator of the pattern takes one separator of the text, whichever; a letter takes any one character.
fn skip_literal<'a>(rest: &'a str, literal: &str) -> &'a str {
    let mut rest = rest;
    for wanted in literal.chars() {
        let Some(found) = rest.chars().next() else { break };
        if wanted.is_whitespace() {
            rest = rest.trim_start();
        } else if wanted.is_alphanumeric() || !found.is_alphanumeric() {
            rest = &rest[found.len_utf8()..];
        }
    }
    rest
}

fn digits<'a>(rest: &'a str, max: usize, adjoining: bool, name: &str) -> Result<(i64, usize, &'a str)> {
    let max = if adjoining { max } else { max.max(if name == "YYYY" { 9 } else { max }) };
    let len = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let value = rest[..len].parse().map_err(|_| {
        let shown: String = rest.chars().take(max).collect();
        error("22007", format!("invalid value \"{shown}\" for \"{name}\""))
    })?;
    Ok((value, len, &rest[len..]))
}

fn read_field<'a>(rest: &'a str, name: &str, adjoining: bool, fields: &mut Fields) -> Result<&'a str> {
    let width = match name {
        "YYYY" | "IYYY" => 4,
        "YYY" | "DDD" | "MS" => 3,
        "Y" | "D" | "Q" | "W" | "ID" => 1,
        "US" | "FF6" => 6,
        "SSSS" | "SSSSS" => 5,
        _ => 2,
    };
    let number = || digits(rest, width, adjoining, name);
    Ok(match name {
        "YYYY" | "YYY" | "YY" | "Y" => {
            let (value, len, after) = number()?;
            // Fewer than four digits mean the year nearest to 2020.
            let value = match len {
                1 | 2 if name != "YYYY" => {
                    if value < 70 {
                        2000 + value
                    } else {
                        1900 + value
                    }
                }
                3 if name == "YYY" => {
                    if value < 520 {
                        2000 + value
                    } else {
                        1000 + value
                    }
                }
                _ => value,
            };
            fields.year = Some(value);
            after
        }
        "MM" => set(number()?, &mut fields.month),
        "DD" => set(number()?, &mut fields.day),
        "DDD" => set(number()?, &mut fields.day_of_year),
        "SSSS" | "SSSSS" => set(number()?, &mut fields.seconds_of_day),
        "HH24" | "HH12" | "HH" => store(number()?, &mut fields.hour),
        "MI" => store(number()?, &mut fields.minute),
        "SS" => store(number()?, &mut fields.second),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let (value, len, after) = digits(rest, 6, adjoining, name)?;
            fields.micros = value * 10i64.pow(6u32.saturating_sub(len as u32));
            after
        }
        "MONTH" | "Month" | "month" | "MON" | "Mon" | "mon" => {
            let full = matches!(name, "MONTH" | "Month" | "month");
            let found = MONTHS.iter().position(|month| {
                let wanted = if full { month } else { &month[..3] };
                rest.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted))
            });
            let shown: String = rest.chars().take(9).collect();
            let found = found.ok_or_else(|| error("22007", format!("invalid value \"{shown}\" for \"{name}\"")))?;
            fields.month = Some(found as i64 + 1);
            &rest[if full { MONTHS[found].len() } else { 3 }..]
        }
        "DAY" | "Day" | "day" | "DY" | "Dy" | "dy" => rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
        "AM" | "PM" | "am" | "pm" | "A.M." | "P.M." | "a.m." | "p.m." => {
            let lower = rest.to_ascii_lowercase();
            fields.afternoon = Some(lower.starts_with('p'));
            rest.get(name.len()..).unwrap_or("")
        }
        "BC" | "AD" | "bc" | "ad" | "B.C." | "A.D." | "b.c." | "a.d." => {
            fields.before_christ = rest.to_ascii_lowercase().starts_with('b');
            rest.get(name.len()..).unwrap_or("")
        }
        "TZH" | "OF" => {
            let negative = rest.starts_with('-');
            let unsigned = rest.trim_start_matches(['+', '-']);
            let (value, _, after) = digits(unsigned, 2, true, name)?;
            fields.offset_hours = Some(if negative { -value } else { value });
            after
        }
        "TZM" => store(number()?, &mut fields.offset_minutes),
        "J" | "Q" | "W" | "WW" | "D" | "ID" | "IW" | "CC" | "TZ" | "tz" => {
            rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
        }
        other => return Err(error("0A000", format!("formatting field \"{other}\" is only supported in to_char"))),
    })
}

fn set<'a>((value, _, after): (i64, usize, &'a str), field: &mut Option<i64>) -> &'a str {
    *field = Some(value);
    after
}

fn store<'a>((value, _, after): (i64, usize, &'a str), field: &mut i64) -> &'a str {
    *field = value;
    after
}

impl Fields {
    fn finish(self, text: &str) -> Result<Parsed> {
        let wrong = || error("22008", format!("date/time field value out of range: \"{text}\""));
        let year = self.year.unwrap_or(1);
        let year = if self.before_christ { 1 - year } else { year };
        let year = i32::try_from(year).map_err(|_| wrong())?;
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, u32::try_from(day).map_err(|_| wrong())?),
            None => {
                let part = |value: Option<i64>| u32::try_from(value.unwrap_or(1)).ok();
                part(self.month).zip(part(self.day)).and_then(|(month, day)| NaiveDate::from_ymd_opt(year, month, day))
            }
        };
        let date = date.ok_or_else(wrong)?;
        let hour = match self.afternoon {
            Some(_) if !(1..=12).contains(&self.hour) => {
                return Err(error("22007", format!("hour \"{}\" is invalid for the 12-hour clock", self.hour)));
            }
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        if !(0..=24).contains(&hour) || !(0..60).contains(&self.minute) || !(0..=60).contains(&self.second) {
            return Err(wrong());
        }
        let seconds = self.seconds_of_day.unwrap_or(hour * 3600 + self.minute * 60 + self.second);
        let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        let sign = if self.offset_hours.is_some_and(|hours| hours < 0) { -1 } else { 1 };
        let offset_seconds = self.offset_hours.map(|hours| hours * 3600 + sign * self.offset_minutes * 60);
        Ok(Parsed { local_micros: midnight + seconds * 1_000_000 + self.micros, offset_seconds })
    }
}

/// Decimals a number pattern shows.
pub(super) fn decimals(pattern: &str) -> i32 {
    let point = pattern.find(['.', 'D', 'd']);
    point.map_or(0, |at| pattern[at..].chars().filter(|c| matches!(c, '9' | '0')).count() as i32)
}

/// A number by a pattern.
pub(super) fn number(digits: i128, scale: i8, pattern: &str) -> Result<String> {
    let fill = !pattern.to_ascii_uppercase().starts_with("FM");
    let pattern = if fill { pattern } else { &pattern[2..] };
    let shown_decimals = decimals(pattern) as i8;
    let magnitude = round_to(digits.unsigned_abs(), scale, shown_decimals).ok_or_else(out_of_range)?;
    let negative = digits < 0 && magnitude != 0;
    let unit = 10u128.checked_pow(shown_decimals.unsigned_abs().into()).ok_or_else(out_of_range)?;
    let whole = (magnitude / unit).to_string();
    let whole = if whole == "0" { String::new() } else { whole };
    let fraction = format!("{:0width$}", magnitude % unit, width = shown_decimals.max(0) as usize);
    let point = pattern.find(['.', 'D', 'd']).unwrap_or(pattern.len());
    let places = pattern[..point].chars().filter(|c| matches!(c, '9' | '0')).count();
    let overflow = whole.len() > places;
    let first_zero = pattern[..point].chars().filter(|c| matches!(c, '9' | '0')).position(|c| c == '0');
    let mut number = NumberText { out: String::new(), started: false, sign_done: false, negative };
    let explicit_sign = pattern.to_ascii_uppercase().contains("MI")
        || pattern.to_ascii_uppercase().contains("PR")
        || pattern.to_ascii_uppercase().contains('S');
    let mut place = 0;
    let mut behind = fraction.chars();
    let mut after_point = false;
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let upper = rest.get(..2).unwrap_or("").to_ascii_uppercase();
        rest = &rest[c.len_utf8()..];
        match (c, upper.as_str()) {
            ('9' | '0', _) if after_point => {
                let digit = behind.next().unwrap_or('0');
                number.out.push(if overflow { '#' } else { digit });
            }
            ('9' | '0', _) => {
                let from_right = places - place;
                let digit = (from_right <= whole.len()).then(|| whole.as_bytes()[whole.len() - from_right] as char);
                let zero = first_zero.is_some_and(|first| place >= first);
                let last_of_integer = place + 1 == places && shown_decimals == 0 && whole.is_empty();
                place += 1;
                match digit {
                    _ if overflow => number.digit('#', explicit_sign),
                    Some(digit) => number.digit(digit, explicit_sign),
                    None if zero || last_of_integer => number.digit('0', explicit_sign),
                    None if fill => number.out.push(' '),
                    None => {}
                }
            }
            (',' | 'G' | 'g', _) if number.started => number.out.push(','),
            (',' | 'G' | 'g', _) if fill => number.out.push(' '),
            (',' | 'G' | 'g', _) => {}
            ('.' | 'D' | 'd', _) => {
                number.start(explicit_sign);
                number.out.push('.');
                after_point = true;
            }
            (_, "MI") => {
                rest = &rest[1..];
                if negative {
                    number.out.push('-')
                } else if fill {
                    number.out.push(' ')
                }
            }
            (_, "PL" | "SG") => {
                rest = &rest[1..];
                number.out.push(if negative { '-' } else { '+' });
                number.sign_done = true;
            }
            (_, "PR") => {
                rest = &rest[1..];
                if negative {
                    number.out = format!("<{}>", number.out.trim_start());
                } else if fill {
                    number.out = format!(" {} ", number.out);
                }
            }
            ('S' | 's', _) => {
                number.sign_done = true;
                let sign = if negative { '-' } else { '+' };
                if number.started || pattern.ends_with(['S', 's']) {
                    number.out.push(sign)
                } else {
                    number.leading_sign(sign)
                }
            }
            ('L' | 'l', _) => number.out.push(if fill { ' ' } else { '$' }),
            (other, _) => number.out.push(other),
        }
    }
    if !fill && after_point {
        let keep = pattern[point..]
            .rfind('0')
            .map_or(0, |at| pattern[point..=point + at].chars().filter(|c| matches!(c, '9' | '0')).count());
        number.trim_fraction(keep);
    }
    if fill && !explicit_sign && !number.sign_done {
        // The sign has a place of its own in front.
        number.out.insert(0, ' ');
    }
    Ok(number.out)
}

struct NumberText {
    out: String,
    started: bool,
    sign_done: bool,
    negative: bool,
}

impl NumberText {
    fn digit(&mut self, digit: char, explicit_sign: bool) {
        self.start(explicit_sign);
        self.out.push(digit);
    }

    /// Before the first digit: the sign, directly in front.
    fn start(&mut self, explicit_sign: bool) {
        if self.started {
            return;
        }
        self.started = true;
        if self.negative && !explicit_sign {
            self.sign_done = true;
            self.out.push('-');
        }
    }

    fn leading_sign(&mut self, sign: char) {
        self.out.push(sign);
    }

    fn trim_fraction(&mut self, keep: usize) {
        if let Some(point) = self.out.find('.') {
            while self.out.len() > point + 1 + keep && self.out.ends_with('0') {
                self.out.pop();
            }
        }
    }
}

fn round_to(magnitude: u128, from: i8, to: i8) -> Option<u128> {
    let unit = 10u128.checked_pow(u32::from((to - from).unsigned_abs()))?;
    if to >= from { magnitude.checked_mul(unit) } else { Some(magnitude.checked_add(unit / 2)? / unit) }
}

/// The number in a text, whatever separators and signs it is written with.
pub(super) fn parse_number(text: &str) -> Result<(i128, i8)> {
    let negative = text.contains('-') || text.trim_start().starts_with('<');
    let mut digits: i128 = 0;
    let mut scale: i8 = 0;
    let mut after_point = false;
    let mut any = false;
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) => {
                any = true;
                digits =
                    digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(digit))).ok_or_else(out_of_range)?;
                scale += i8::from(after_point);
            }
            None if c == '.' => after_point = true,
            None => {}
        }
    }
    if !any {
        return Err(error("22P02", format!("invalid input syntax for type numeric: \"{text}\"")));
    }
    Ok((if negative { -digits } else { digits }, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time: &str, pattern: &str) -> String {
        let micros = time.parse::<NaiveDateTime>().expect("a time").and_utc().timestamp_micros();
        moment(micros, 0, "UTC", pattern).expect("shown")
    }

    #[test]
    fn times_follow_their_pattern() {
        // Expected texts are PostgreSQL 15's.
        let time = "2024-02-29T15:04:05.678901";
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "2024-02-29 15:04:05"),
            ("FMDD.FMMM.YY HH12:MI am", "29.2.24 03:04 pm"),
            ("Day, DDth FMMonth YYYY", "Thursday , 29th February 2024"),
            ("Dy Mon MS US Q DDD", "Thu Feb 678 678901 1 060"),
            ("\"year\" YYYY", "year 2024"),
            ("IYYY-IW-ID", "2024-09-4"),
            ("J CC WW W", "2460370 21 09 5"),
        ] {
            assert_eq!(shown(time, pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn texts_are_read_by_their_pattern() {
        for (text, pattern, expected) in [
            ("05 Dec 2000", "DD Mon YYYY", "2000-12-05T00:00:00"),
            ("20240229", "YYYYMMDD", "2024-02-29T00:00:00"),
            ("2024-02-29 03:04:05 pm", "YYYY-MM-DD HH12:MI:SS am", "2024-02-29T15:04:05"),
            ("2024/060", "YYYY-DDD", "2024-02-29T00:00:00"),
        ] {
            let expected = expected.parse::<NaiveDateTime>().expect("a time").and_utc().timestamp_micros();
            assert_eq!(parse_moment(text, pattern).expect("read").local_micros, expected, "{text}");
        }
        assert!(parse_moment("2024-13-01", "YYYY-MM-DD").is_err());
        assert!(parse_moment("abc", "YYYY").is_err());
    }

    #[test]
    fn numbers_follow_their_pattern() {
        // Expected texts are PostgreSQL 15's.
        for (digits, scale, pattern, expected) in [
            (1234567, 0, "9,999,999", " 1,234,567"),
            (-125, 1, "999.99", " -12.50"),
            (125, 1, "FM999.99", "12.5"),
            (125, 1, "FM990.00", "12.50"),
            (5, 1, "0.9", " 0.5"),
            (485, 0, "999", " 485"),
            (-485, 0, "999", "-485"),
            (485, 0, "00999", " 00485"),
            (-485, 0, "999MI", "485-"),
            (485, 0, "FM999MI", "485"),
            (12345, 0, "999", " ###"),
            (0, 0, "FM999", "0"),
        ] {
            assert_eq!(number(digits, scale, pattern).expect("shown"), expected, "{digits} {scale} {pattern}");
        }
    }
}
