//! Points per second over HTTP: sends line protocol to a server that runs, on several connections, and prints what it took.
//!
//! ```text
//! lightning serve /tmp/points --http 127.0.0.1:8086
//! line_protocol 127.0.0.1:8086 --connections 4 --lines 5000 --points 20000000
//! ```
//!
//! A line is one point: a measurement, two tags, one float, a time stamp. Each connection makes one body before the clock starts and only puts
//! other time stamps into it for each request, so that the generator takes little from a server on the same cores. A request
//! counts when it was answered with 204, which is when its points are durable.

use clap::Parser;
use fastrand::Rng;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Digits of a time stamp in nanoseconds.
const TIME_DIGITS: usize = 19;
/// The first time stamp, in nanoseconds.
const TIME_FIRST: u64 = 1_700_000_000_000_000_000;
/// Nanoseconds between the rounds in which every host sends a point.
const ROUND: u64 = 10_000_000_000;
/// Pause before a request that the server had no memory for is sent again; it counts as part of the request's time.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Sends points in line protocol and prints how many were taken per second.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Where the server listens for HTTP
    address: SocketAddr,
    /// Connections that send at the same time
    #[arg(long, default_value_t = 4)]
    connections: u64,
    /// Lines of a request
    #[arg(long, default_value_t = 5_000)]
    lines: u64,
    /// Points altogether
    #[arg(long, default_value_t = 10_000_000)]
    points: u64,
    /// Hosts, of which each is a series
    #[arg(long, default_value_t = 1_000)]
    hosts: u64,
    /// The measurement
    #[arg(long, default_value = "cpu")]
    measurement: String,
}

fn main() -> Result<(), Error> {
    let arguments = Arguments::parse();
    let requests = arguments.points.div_ceil(arguments.lines);
    let bodies: Vec<Body> = (0..arguments.connections).map(|seed| Body::new(&arguments, seed)).collect();
    let bytes = bodies.first().map_or(0, |body| body.bytes.len() as u64);
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let outcomes: Vec<Result<Vec<Duration>, Error>> = thread::scope(|scope| {
        let threads: Vec<_> =
            bodies.into_iter().map(|body| scope.spawn(|| send(&arguments, body, &next, requests))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let mut latencies: Vec<Duration> = outcomes.into_iter().collect::<Result<Vec<_>, Error>>()?.concat();
    latencies.sort_unstable();
    let points = latencies.len() as u64 * arguments.lines;
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).map_or(0.0, |l| l.as_secs_f64() * 1e3);
    println!(
        "{points} points in {seconds:.2} s: {:.0} points/s, {:.1} MB/s; requests of {} lines: median {:.1} ms, 99 % {:.1} ms",
        points as f64 / seconds,
        (latencies.len() as u64 * bytes) as f64 / seconds / 1e6,
        arguments.lines,
        at(0.5),
        at(0.99),
    );
    Ok(())
}

/// The body of a request, and where its time stamps are.
#[derive(Debug)]
struct Body {
    bytes: Vec<u8>,
    times: Vec<usize>,
}

impl Body {
    fn new(arguments: &Arguments, seed: u64) -> Body {
        let mut random = Rng::with_seed(seed);
        let (mut bytes, mut times) = (Vec::new(), Vec::new());
        for line in 0..arguments.lines {
            let (host, value) = (line % arguments.hosts, random.u32(0..10_000));
            let region = ["eu-west", "eu-north", "us-east"][host as usize % 3];
            let text = format!(
                "{},host=host_{host},region={region} usage={}.{:02} ",
                arguments.measurement,
                value / 100,
                value % 100
            );
            bytes.extend_from_slice(text.as_bytes());
            times.push(bytes.len());
            bytes.extend_from_slice(&[b'0'; TIME_DIGITS]);
            bytes.push(b'\n');
        }
        Body { bytes, times }
    }

    /// Puts the time stamps of a request into it.
    fn set_times(&mut self, arguments: &Arguments, request: u64) {
        for (number, &place) in (request * arguments.lines..).zip(&self.times) {
            let mut time = TIME_FIRST + number / arguments.hosts * ROUND + number % arguments.hosts * 1_000;
            for digit in self.bytes[place..place + TIME_DIGITS].iter_mut().rev() {
                *digit = b'0' + (time % 10) as u8;
                time /= 10;
            }
        }
    }
}

/// Sends requests until there are none left; how long each took.
fn send(arguments: &Arguments, mut body: Body, next: &AtomicU64, requests: u64) -> Result<Vec<Duration>, Error> {
    let mut stream = TcpStream::connect(arguments.address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let head = format!(
        "POST /write?db=lightning&precision=ns HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
        arguments.address,
        body.bytes.len()
    );
    let mut latencies = Vec::new();
    loop {
        let request = next.fetch_add(1, Ordering::Relaxed);
        if request >= requests {
            return Ok(latencies);
        }
        body.set_times(arguments, request);
        let began = Instant::now();
        loop {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body.bytes)?;
            match read_answer(&mut answers)? {
                Answer::Written => break,
                Answer::Busy => thread::sleep(BUSY_PAUSE),
            }
        }
        latencies.push(began.elapsed());
    }
}

/// What became of a request.
enum Answer {
    Written,
    /// To be sent again: the server has no memory for it now.
    Busy,
}

/// Reads an answer; an error unless it is 204 or 503.
fn read_answer(answers: &mut impl BufRead) -> Result<Answer, Error> {
    let (mut status, mut line, mut length) = (String::new(), String::new(), 0);
    answers.read_line(&mut status)?;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    answers.read_exact(&mut body)?;
    match status.split(' ').nth(1) {
        Some("204") => Ok(Answer::Written),
        Some("503") => Ok(Answer::Busy),
        _ => Err(format!("{}{}", status, String::from_utf8_lossy(&body)).into()),
    }
}
