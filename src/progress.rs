//! A sign of life under a statement that takes longer than a second.
//!
//! It lives on the standard error, and goes before the first byte of the result: [`ClearOnWrite`] sees to that.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a statement runs before it gets a bar.
const QUIET_TIME: Duration = Duration::from_secs(1);
/// Time between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// Shows the time a statement has been running, from one second on, until it is cleared or dropped.
#[derive(Debug)]
pub struct Progress {
    /// Dropping the sender ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to wait.
    pub fn start() -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let draw = move || {
            if stopped.recv_timeout(QUIET_TIME) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_elapsed(QUIET_TIME);
            let style = ProgressStyle::with_template("{spinner} running for {elapsed}, Ctrl-C cancels");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                bar.tick();
            }
            bar.finish_and_clear();
        };
        // Without a thread there is no bar, and the statement runs as well.
        let thread = std::thread::Builder::new().name("lightning-progress".to_string()).spawn(draw).ok();
        Progress { stop: Some(stop), thread }
    }

    /// Takes the bar from the screen; returns when it is gone.
    pub fn clear(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A bar that failed to draw is no reason to fail the statement.
            let _ = thread.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Clears a bar before the first byte goes out.
#[derive(Debug)]
pub struct ClearOnWrite<'a, W> {
    progress: &'a mut Progress,
    out: W,
}

impl<'a, W: Write> ClearOnWrite<'a, W> {
    /// Writes to `out` once `progress` is gone.
    pub fn new(progress: &'a mut Progress, out: W) -> Self {
        ClearOnWrite { progress, out }
    }
}

impl<W: Write> Write for ClearOnWrite<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.progress.clear();
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
