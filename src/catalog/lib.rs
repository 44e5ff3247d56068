//! Names and definitions: which databases, schemas, tables, views, property graphs and functions exist, and what they are made of.
//!
//! Storage knows tables by id and columns by position; everything a user calls by a name lives here. The catalog is
//! itself data: one reserved storage table ([`CATALOG_TABLE`]) holds a row per change of an object (`version`, `oid`,
//! `kind`, `dropped`, `definition`), and for each object the newest row wins. Because those rows are written by the same
//! storage transaction that creates or drops the tables they describe, DDL is atomic and recovers with everything else.
//!
//! A [`Snapshot`] is the immutable picture of all objects at one moment. Which picture belongs to a storage snapshot is
//! decided by the storage snapshot itself: the number of rows it sees in the catalog table names the version
//! ([`Catalog::snapshot`]). So a statement can never see tables of one moment with names of another, and no lock is needed
//! to keep the two in step.
//!
//! A DDL statement takes the snapshot its transaction sees, changes a copy through an [`Edit`], and appends the changed
//! objects' rows to the transaction. Two transactions that edit at the same time would both claim the next version, so
//! whoever edits must hold the one DDL lock (kept by the SQL layer) and must start from a snapshot taken after it got it.
//!
//! What must always hold: an OID is never reused, not even after a drop; a name is unique within its schema across tables,
//! views and indexes; a dropped object's dependents are gone or dropped with it.

mod trigger;
mod definition;
mod function;
mod edit;
mod error;
mod snapshot;
mod store;

pub use definition::{
    BOOTSTRAP_USER, Column, Database, FIRST_RESERVED_OID, FIRST_USER_OID, Graph, INFORMATION_SCHEMA, Index,
    IndexColumn, LIGHTNING_DATABASE, LIGHTNING_SCHEMA, Materialized, Oid, PG_CATALOG_SCHEMA, POSTGRES_DATABASE,
    PUBLIC_SCHEMA, PrimaryKey, Relation, Schema, Table, TimeOptions, View,
};
pub use edit::{Edit, NewColumn, NewGraph, NewIndex, NewModule, NewPrimaryKey, NewTable, NewView};
pub use error::{Error, ObjectKind, Result};
pub use function::{Argument, Function, Module, Returns, Volatility};
pub use snapshot::Snapshot;
pub use store::{CATALOG_TABLE, Catalog};
pub use trigger::{Trigger, TriggerEvent, TriggerLevel, TriggerTiming};
