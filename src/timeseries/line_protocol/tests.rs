//! The parser against the grammar, against random points and against random bytes.

use super::parser::{Parser, Point, Problem, Value};
use fastrand::Rng;

/// A point without borrowing, for comparing.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Field)>,
    time: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Text(String),
}

fn read(text: &str) -> (Vec<Owned>, Vec<Problem>) {
    let (mut parser, mut point, mut buffer) = (Parser::new(text), Point::new(), String::new());
    let (mut points, mut problems) = (vec![], vec![]);
    while let Some(result) = parser.next(&mut point) {
        if let Err(problem) = result {
            problems.push(problem);
            continue;
        }
        let tags = point.tags.iter().map(|(k, v)| (k.read(&mut buffer).to_owned(), v.read(&mut buffer).to_owned()));
        let tags = tags.collect();
        let fields = point.fields.iter().map(|(name, value)| {
            let value = match value {
                Value::Float(number) => Field::Float(*number),
                Value::Integer(number) => Field::Integer(*number),
                Value::Unsigned(number) => Field::Unsigned(*number),
                Value::Boolean(value) => Field::Boolean(*value),
                Value::Text(text) => Field::Text(text.read(&mut buffer).to_owned()),
            };
            (name.read(&mut buffer).to_owned(), value)
        });
        let fields = fields.collect();
        let measurement = point.measurement.read(&mut buffer).to_owned();
        points.push(Owned { measurement, tags, fields, time: point.time });
    }
    (points, problems)
}

fn point(measurement: &str, tags: &[(&str, &str)], fields: &[(&str, Field)], time: Option<i64>) -> Owned {
    let tags = tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let fields = fields.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    Owned { measurement: measurement.to_owned(), tags, fields, time }
}

fn one(text: &str) -> Owned {
    let (points, problems) = read(text);
    assert_eq!((points.len(), &problems), (1, &vec![]), "{text}");
    points.into_iter().next().unwrap()
}

#[test]
fn a_line_has_tags_fields_and_a_time() {
    let text = "cpu,host=a,region=eu usage=0.5,cores=8i,total=9u,busy=t,note=\"x y\" 1700000000000000000";
    let fields = [
        ("usage", Field::Float(0.5)),
        ("cores", Field::Integer(8)),
        ("total", Field::Unsigned(9)),
        ("busy", Field::Boolean(true)),
        ("note", Field::Text("x y".into())),
    ];
    let expected = point("cpu", &[("host", "a"), ("region", "eu")], &fields, Some(1_700_000_000_000_000_000));
    assert_eq!(one(text), expected);
    assert_eq!(one(&format!("{text}\r\n")), expected);
    assert_eq!(one(&format!("\n# a comment, a=1\n  {text}  \n\n")), expected);
    assert_eq!(one("m  a=1   -5 "), point("m", &[], &[("a", Field::Float(1.0))], Some(-5)));
}

#[test]
fn backslashes_escape_what_would_end_a_name() {
    let f = |value| Field::Float(value);
    assert_eq!(one(r"a\ b\,c=d x=1"), point("a b,c=d", &[], &[("x", f(1.0))], None));
    assert_eq!(one(r"m,k\=1\ \,=v\=\,\  f\ \=\,=1"), point("m", &[("k=1 ,", "v=, ")], &[("f =,", f(1.0))], None));
    assert_eq!(one(r"C:\dir,p=C:\x\y x=1"), point(r"C:\dir", &[("p", r"C:\x\y")], &[("x", f(1.0))], None));
    assert_eq!(one(r"a\=b x=1").measurement, r"a\=b");
    let text = |value: &str| point("m", &[], &[("s", Field::Text(value.into()))], None);
    assert_eq!(one(r#"m s="a \"quoted\" \\ \n word, = #""#), text(r#"a "quoted" \ \n word, = #"#));
    assert_eq!(one("m s=\"two\nlines\r\n\""), text("two\nlines\r\n"));
    assert_eq!(one("m s=\"\""), text(""));
    assert_eq!(one("größe,ort=Köln höhe=1").tags, [("ort".to_owned(), "Köln".to_owned())]);
}

#[test]
fn values_are_read_as_they_are_written() {
    let value = |text: &str| one(&format!("m v={text}")).fields.remove(0).1;
    for (text, expected) in [
        ("1", Field::Float(1.0)),
        ("-1.5", Field::Float(-1.5)),
        ("1e5", Field::Float(1e5)),
        ("1.E-2", Field::Float(0.01)),
        (".5", Field::Float(0.5)),
        ("1.", Field::Float(1.0)),
        ("1i", Field::Integer(1)),
        ("-9223372036854775808i", Field::Integer(i64::MIN)),
        ("18446744073709551615u", Field::Unsigned(u64::MAX)),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    for text in ["t", "T", "true", "True", "TRUE"] {
        assert_eq!(value(text), Field::Boolean(true));
    }
    for text in ["f", "F", "false", "False", "FALSE"] {
        assert_eq!(value(text), Field::Boolean(false));
    }
}

#[test]
fn a_wrong_line_is_one_problem_with_its_place() {
    for (text, column, message) in [
        ("m", 2, "the fields are missing"),
        ("m ", 3, "the fields are missing"),
        (",a=b x=1", 1, "expected a measurement"),
        ("m,=b x=1", 3, "expected a tag's name"),
        ("m,a= x=1", 5, "expected a tag's value"),
        ("m,a x=1", 4, "expected an equals sign behind the name of a tag"),
        ("m,a=b=c x=1", 6, "an equals sign in a tag's value needs a backslash"),
        ("m x", 4, "expected an equals sign behind the name of a field"),
        ("m x=", 5, "expected a field's value"),
        ("m x=1,", 7, "expected a field's name"),
        ("m x=abc", 5, "\"abc\" is not a value; a string needs double quotes"),
        ("m x=1.5i", 5, "\"1.5i\" is not a value; a string needs double quotes"),
        ("m x=-1u", 5, "\"-1u\" is not a value; a string needs double quotes"),
        ("m x=nan", 5, "\"nan\" is not a value; a string needs double quotes"),
        ("m x=é", 5, "\"é\" is not a value; a string needs double quotes"),
        ("m x=1e999", 5, "1e999 is out of range for a double precision number"),
        ("m x=9223372036854775808i", 5, "9223372036854775808i is out of range for a 64-bit integer"),
        ("m é=1 x", 7, "\"x\" is not a time stamp"),
        ("m x=1 99999999999999999999", 7, "time stamp 99999999999999999999 is out of range"),
        ("m x=1 1 2", 9, "expected the end of the line"),
        ("m x=\"a\"b", 8, "expected a comma, a space or the end of the line"),
        ("m x=\"a", 5, "a string that begins here does not end"),
    ] {
        let (points, problems) = read(&format!("first a=1\n{text}"));
        assert_eq!(points.len(), 1, "{text}");
        let expected = Problem { line: 2, column: Some(column), message: message.to_owned() };
        assert_eq!(problems, [expected], "{text}");
    }
}

#[test]
fn lines_behind_a_wrong_one_are_read_and_counted() {
    let (points, problems) = read("a x=1\r\nb\r\nc s=\"two\nlines\"\n# d\n\ne x=\nf x=1");
    let names: Vec<&str> = points.iter().map(|point| point.measurement.as_str()).collect();
    assert_eq!(names, ["a", "c", "f"]);
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(lines, ["line 2, column 2: the fields are missing", "line 7, column 5: expected a field's value"]);
}

/// Characters that mean something, and others.
const CHARACTERS: [char; 16] = ['a', 'b', 'Z', '0', '_', '.', '\\', ',', ' ', '=', '"', '#', 'é', '☃', '-', '\t'];

/// A name; a backslash at its end, or before what could be escaped, has no spelling.
fn random_name(random: &mut Rng) -> String {
    loop {
        let name: String = (0..random.usize(1..8)).map(|_| *random.choice(&CHARACTERS).unwrap_or(&'a')).collect();
        let is_ambiguous = ["\\\\", "\\,", "\\ ", "\\="].iter().any(|pair| name.contains(pair)) || name.ends_with('\\');
        // A line begins with its measurement.
        let begins_badly = name.starts_with(['#', '\t', ' ']);
        if !is_ambiguous && !begins_badly {
            return name;
        }
    }
}

fn random_field(random: &mut Rng) -> Field {
    match random.u32(0..5) {
        0 => {
            let number = f64::from_bits(random.u64(..));
            Field::Float(if number.is_finite() { number } else { 0.25 })
        }
        1 => Field::Integer(random.i64(..)),
        2 => Field::Unsigned(random.u64(..)),
        3 => Field::Boolean(random.bool()),
        _ => {
            let more = ['\n', '\r', 'x'];
            let text = (0..random.usize(0..9)).map(|_| match random.bool() {
                true => *random.choice(&CHARACTERS).unwrap_or(&'a'),
                false => *random.choice(&more).unwrap_or(&'a'),
            });
            Field::Text(text.collect())
        }
    }
}

fn random_point(random: &mut Rng) -> Owned {
    let tags = (0..random.usize(0..4)).map(|_| (random_name(random), random_name(random))).collect();
    let fields = (0..random.usize(1..5)).map(|_| (random_name(random), random_field(random))).collect();
    let time = random.bool().then(|| random.i64(..));
    Owned { measurement: random_name(random), tags, fields, time }
}

fn written(point: &Owned) -> String {
    let escape = |text: &str, characters: &[char]| {
        let escaped = text.chars().flat_map(|c| characters.contains(&c).then_some('\\').into_iter().chain([c]));
        escaped.collect::<String>()
    };
    let key = |text: &str| escape(text, &[',', ' ', '=']);
    let mut line = escape(&point.measurement, &[',', ' ']);
    for (name, value) in &point.tags {
        line.push_str(&format!(",{}={}", key(name), key(value)));
    }
    for (at, (name, value)) in point.fields.iter().enumerate() {
        let value = match value {
            Field::Float(number) => format!("{number:?}"),
            Field::Integer(number) => format!("{number}i"),
            Field::Unsigned(number) => format!("{number}u"),
            Field::Boolean(value) => value.to_string(),
            Field::Text(text) => format!("\"{}\"", escape(text, &['"', '\\'])),
        };
        line.push_str(&format!("{}{}={value}", if at == 0 { ' ' } else { ',' }, key(name)));
    }
    point.time.map_or(line.clone(), |time| format!("{line} {time}"))
}

#[test]
fn points_that_are_written_are_read_as_they_were() {
    let mut random = Rng::with_seed(7);
    for _ in 0..500 {
        let points: Vec<Owned> = (0..random.usize(1..20)).map(|_| random_point(&mut random)).collect();
        let end = *random.choice(&["\n", "\r\n", "\n\n", "\n# x\n"]).unwrap_or(&"\n");
        let text: String = points.iter().map(|point| written(point) + end).collect();
        assert_eq!(read(&text), (points, vec![]), "{text}");
    }
}

#[test]
fn no_text_makes_the_parser_panic_or_stand_still() {
    let mut random = Rng::with_seed(8);
    for _ in 0..20_000 {
        let pieces = ["m", "a=1", ",", " ", "=", "\"", "\\", "\n", "\r", "#", "1i", "é", "t", "1e5", "-", "0"];
        let text: String = (0..random.usize(0..24)).map(|_| *random.choice(&pieces).unwrap_or(&"")).collect();
        let (points, problems) = read(&text);
        assert!(points.len() + problems.len() <= text.len(), "{text:?}");
        assert!(problems.iter().all(|problem| problem.line <= text.lines().count() + 1), "{text:?}: {problems:?}");
    }
}
