//! Starting the built `lightning` command, and stopping it on every way out of a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The command with arguments, its input closed.
pub fn lightning(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightning"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub fn run(arguments: &[&str]) -> Output {
    lightning(arguments).output().unwrap()
}

/// Runs the command to its end with this on its standard input.
pub fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut child =
        lightning(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What it wrote to its standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it wrote to its standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running `lightning serve`, killed when dropped.
pub struct Serving {
    child: Child,
    /// Port it listens on.
    pub port: u16,
    /// The line it printed.
    pub line: String,
    /// Where it listens for HTTP, if it does.
    pub http: Option<SocketAddr>,
}

impl Serving {
    /// Serves `dir` on a free port; returns when it accepts connections.
    pub fn start(dir: &Path, more: &[&str]) -> Serving {
        let mut arguments = vec!["serve", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        arguments.extend(more);
        let mut child = lightning(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let mut http = String::new();
        if more.contains(&"--http") {
            output.read_line(&mut http).unwrap();
        }
        let Some(port) = line.split([':', ';']).nth(1).and_then(|port| port.parse().ok()) else {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the server did not start: {line}{error}");
        };
        let http = http.trim_end().rsplit(' ').next().and_then(|address| address.parse().ok());
        Serving { child, port, line, http }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }

    /// Resident memory in bytes, where the system tells.
    pub fn resident_bytes(&self) -> Option<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
    }

    /// A client of the server.
    pub async fn connect(&self) -> tokio_postgres::Client {
        self.try_connect("lightning").await.unwrap()
    }

    /// A client of a database of the server.
    pub async fn try_connect(&self, database: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user("lightning").dbname(database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
