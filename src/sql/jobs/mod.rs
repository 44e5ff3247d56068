//! Work in the background: what it is, when it is due, and how it went.
//!
//! Jobs follow from the catalog and are stored nowhere else: a table WITH (retention = …) has one that deletes what has become too old
//! ([`retention`]), a continuous aggregate WITH (refresh = …) one that brings it up to date ([`refresh`]). So DDL that commits changes the jobs, DDL that is rolled back does not, and after a restart they are there again.
//! How they went, which `lightning.jobs` shows, is known since the start.
//!
//! One task ([`schedule`]) runs them, one after the other, each as statements of a session of its own: a job has the rights, locks and
//! errors of any client. It sleeps until the next is due or DDL has committed, and is gone with the instance. A job that fails
//! is tried again soon, then later and later, up to its own pace.

mod session;
mod refresh;
mod retention;
mod schedule;

pub(crate) use schedule::{JobRow, Jobs};
