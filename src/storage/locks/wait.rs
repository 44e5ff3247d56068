//! How a waiter learns what became of its request: by sleeping on it, or by being called.

use super::error::LockError;
use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// Called once, without any lock of ours held, when a wait is over.
pub type Waker = Box<dyn FnOnce() + Send>;

/// The end of a wait, told once.
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    outcome: Option<Result<(), LockError>>,
    waker: Option<Waker>,
}

impl Signal {
    pub(super) fn new(waker: Option<Waker>) -> Signal {
        Signal { state: Mutex::new(State { outcome: None, waker }), changed: Condvar::new() }
    }

    /// Ends the wait. Only the first call counts.
    pub(super) fn end(&self, outcome: Result<(), LockError>) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(wake) = waker {
            wake();
        }
    }

    pub(super) fn outcome(&self) -> Option<Result<(), LockError>> {
        self.state.lock().outcome.clone()
    }

    /// Sleeps until the wait is over, at most until `deadline`: then `None`.
    pub(super) fn sleep(&self, deadline: Option<Instant>) -> Option<Result<(), LockError>> {
        let mut state = self.state.lock();
        while state.outcome.is_none() {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.outcome.clone()
    }
}
