//! What a frame is known to hold, pinned in the page cache as long as somebody looks at it.

use super::{Contents, Frame};
use crate::error::{Error, Result};
use crate::lookup::{KeyFilter, Tails};
use crate::segment::{BlockFooter, SegmentSummary};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

/// One kind of what frames hold.
pub(crate) trait Kept: Sized {
    /// It, if this is what is there.
    fn of(contents: &Contents) -> Option<&Self>;
}

/// A frame whose contents are a `T`.
pub(crate) struct Pinned<T> {
    frame: Arc<Frame>,
    kind: PhantomData<T>,
}

impl<T: Kept> Pinned<T> {
    /// Pins `frame`, which must hold a `T`.
    pub(crate) fn new(frame: Arc<Frame>) -> Result<Pinned<T>> {
        match T::of(&frame.contents) {
            Some(_) => Ok(Pinned { frame, kind: PhantomData }),
            None => Err(Error::Unsupported("a frame that holds something else".into())),
        }
    }
}

impl<T: Kept> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        T::of(&self.frame.contents).expect("checked when it was pinned")
    }
}

impl<T> Clone for Pinned<T> {
    fn clone(&self) -> Pinned<T> {
        Pinned { frame: self.frame.clone(), kind: PhantomData }
    }
}

impl<T> fmt::Debug for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frame.fmt(f)
    }
}

impl Kept for BlockFooter {
    fn of(contents: &Contents) -> Option<&BlockFooter> {
        if let Contents::Footer(footer) = contents { Some(footer) } else { None }
    }
}

impl Kept for SegmentSummary {
    fn of(contents: &Contents) -> Option<&SegmentSummary> {
        if let Contents::Summary(summary) = contents { Some(summary) } else { None }
    }
}

impl Kept for Tails {
    fn of(contents: &Contents) -> Option<&Tails> {
        if let Contents::Tails(tails) = contents { Some(tails) } else { None }
    }
}

impl Kept for KeyFilter {
    fn of(contents: &Contents) -> Option<&KeyFilter> {
        if let Contents::Filter(filter) = contents { Some(filter) } else { None }
    }
}
