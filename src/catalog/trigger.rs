//! Triggers: functions that changes of a table call.

use crate::definition::Oid;
use serde::{Deserialize, Serialize};

/// A trigger of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Identifier.
    pub oid: Oid,
    /// Name, unique among the table's triggers.
    pub name: String,
    /// When it runs.
    pub timing: TriggerTiming,
    /// What it runs for.
    pub events: Vec<TriggerEvent>,
    /// The columns of UPDATE OF, as indexes into [`crate::Table::columns`]; all of them when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update_columns: Vec<usize>,
    /// How often it runs.
    pub level: TriggerLevel,
    /// Text of the condition that rows must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Name the function knows the old rows by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_table: Option<String>,
    /// Name the function knows the new rows by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_table: Option<String>,
    /// The function.
    pub function: Oid,
    /// What it is called with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Whether it was switched off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_disabled: bool,
}

/// When a trigger runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerTiming {
    /// Before the rows are written.
    Before,
    /// After they were.
    After,
}

/// What a trigger runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerEvent {
    /// INSERT and COPY.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// TRUNCATE.
    Truncate,
}

/// How often a trigger runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerLevel {
    /// Once a row.
    Row,
    /// Once a statement.
    Statement,
}
