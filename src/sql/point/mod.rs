//! Point statements: SELECT, UPDATE and DELETE of the one row with a given primary key, without planning.
//!
//! ```text
//! text ─► skeleton (literals taken out) ─► known template? ─► binding to the catalog ─► row by key ─► rows, or change
//!              │ the first time                 ▲
//!              └──► parse, as any statement ────┘ learn
//! ```
//!
//! A [`Template`](template::Template) is what a statement means but for its literals and parameters. It is learned from the syntax tree when a statement of
//! its skeleton is first parsed, and found again by the skeleton, so that later ones are not even parsed. A
//! [`Binding`](binding::Binding) is a template in one catalog: the table, its columns and types.
//!
//! Whatever is not plain goes the long way: a key of another type, an expression that is more than adding a number. The answer is the same on both ways; tests compare them.

mod skeleton;
mod template;
mod binding;
mod run;

pub(crate) use run::{PointCall, run};

use crate::parser::Parsed;
use parking_lot::RwLock;
use skeleton::{Skeleton, skeleton};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use template::Template;

/// Skeletons that are known; when there are more, all are forgotten.
const TEMPLATES_MAX: usize = 1024;

/// Templates by skeleton, shared by all sessions.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    known: RwLock<HashMap<String, Arc<Template>>>,
    answered: AtomicU64,
}

impl Templates {
    /// One more statement was answered without planning.
    pub(crate) fn count_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Statements answered without planning.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The statement, if its skeleton is known.
    pub(crate) fn find(&self, sql: &str) -> Option<PointCall> {
        let Skeleton { key, literals, .. } = skeleton(sql)?;
        let template = Arc::clone(self.known.read().get(&key)?);
        Some(PointCall { template, literals })
    }

    /// Learns what a statement that was parsed means, if it is a point statement.
    pub(crate) fn learn(&self, parsed: &Parsed) -> Option<PointCall> {
        let skeleton = skeleton(&parsed.text)?;
        let template = Arc::new(Template::of(parsed, &skeleton)?);
        let mut known = self.known.write();
        if known.len() >= TEMPLATES_MAX {
            known.clear();
        }
        known.insert(skeleton.key, Arc::clone(&template));
        Some(PointCall { template, literals: skeleton.literals })
    }
}
