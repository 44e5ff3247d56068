//! Functions that users make, and the modules of code they are in.

use crate::definition::Oid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Identifier.
    pub oid: Oid,
    /// Its schema.
    pub schema: Oid,
    /// Name, which functions of other arguments may have too.
    pub name: String,
    /// Its arguments in order.
    pub arguments: Vec<Argument>,
    /// What it gives.
    pub returns: Returns,
    /// Whether it computes one value of many rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_aggregate: bool,
    /// The language it is written in, in lower case.
    pub language: String,
    /// What its result depends on.
    pub volatility: Volatility,
    /// Whether it is NULL for any NULL among its arguments, without being called.
    pub is_strict: bool,
    /// Its text in its language, or the name it has in its module.
    pub source: String,
    /// SHA-256 of the module it is in, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Further options, of its language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// `search_path` it was made under: names in its text mean what they meant then.
    pub search_path: Vec<String>,
}

impl Function {
    /// Types of its arguments.
    pub fn argument_types(&self) -> impl Iterator<Item = Oid> {
        self.arguments.iter().map(|argument| argument.type_oid)
    }

    /// Whether it is the function that a name and these types of arguments name.
    pub(crate) fn is_of(&self, arguments: &[Argument]) -> bool {
        self.argument_types().eq(arguments.iter().map(|argument| argument.type_oid))
    }
}

/// An argument of a function, or a column of the rows it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// OID of its PostgreSQL type.
    pub type_oid: Oid,
}

/// What a function gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// One value of a type.
    Value(Oid),
    /// Rows of named columns.
    Table(Vec<Argument>),
    /// Rows of one column without a name of its own.
    SetOf(Oid),
    /// Nothing: it is called by triggers.
    Trigger,
}

/// What the result of a function depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    /// On its arguments.
    Immutable,
    /// On its arguments and the statement's snapshot.
    Stable,
    /// On anything.
    Volatile,
}

/// Code that functions are in, kept once however many they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Identifier.
    pub oid: Oid,
    /// SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A module in a row of the catalog.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredModule {
    oid: Oid,
    hash: String,
    base64: String,
}

impl From<&Module> for StoredModule {
    fn from(module: &Module) -> StoredModule {
        use base64::Engine;
        let base64 = base64::engine::general_purpose::STANDARD.encode(&module.bytes);
        StoredModule { oid: module.oid, hash: module.hash.clone(), base64 }
    }
}

impl TryFrom<StoredModule> for Module {
    type Error = base64::DecodeError;

    fn try_from(stored: StoredModule) -> Result<Module, base64::DecodeError> {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(stored.base64)?;
        Ok(Module { oid: stored.oid, hash: stored.hash, bytes })
    }
}
