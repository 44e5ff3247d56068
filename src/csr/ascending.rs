//! All paths from a vertex, shorter ones first: what `SHORTEST k` and shortest trails need.
//!
//! [`Walks`] go deep first in memory of one path; here they go once for each length and give only paths of that length
//! (iterative deepening, Korf 1985). Short paths are enumerated again each time, but there are far fewer of them than
//! of long ones. When no path was cut off by its length there are no longer ones.

use crate::error::{Result, Stop};
use crate::view::{NONE, Step, View};
use crate::walks::{Lengths, Mode, Walks};

/// Paths from one vertex, shorter ones first.
#[derive(Clone, Debug)]
pub struct Ascending<'a> {
    walks: Walks<'a>,
    start: u32,
    lengths: Lengths,
    /// The length of the paths given now; [`NONE`] after the last.
    length: u32,
}

impl<'a> Ascending<'a> {
    /// Paths from `start`. With [`Mode::Walk`] there may be no end of them.
    pub fn new(view: &'a View<'a>, mode: Mode, lengths: Lengths, start: u32, stop: Stop<'a>) -> Ascending<'a> {
        let length = if lengths.min > lengths.max { NONE } else { lengths.min };
        let mut walks = Walks::new(view, mode, Lengths { min: length, max: length }, stop);
        walks.start(start);
        Ascending { walks, start, lengths, length }
    }

    /// Only paths to vertices where `reach` is 0, as [`Walks::toward`].
    pub fn toward(mut self, reach: &'a [u32]) -> Ascending<'a> {
        self.walks = self.walks.toward(reach);
        self.walks.start(self.start);
        self
    }

    /// The steps of the next path; `None` after the last.
    #[expect(clippy::should_implement_trait, reason = "it lends what it gives, which an Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<&[Step]>> {
        while self.length != NONE {
            if self.walks.advance()? {
                return Ok(Some(self.walks.path()));
            }
            self.length = if self.walks.was_cut() && self.length < self.lengths.max { self.length + 1 } else { NONE };
            self.walks.set_lengths(Lengths { min: self.length, max: self.length });
            self.walks.start(self.start);
        }
        Ok(None)
    }
}
