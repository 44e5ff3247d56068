//! Definitions as statements.

use super::syntax::{
    CreatePropertyGraph, EdgeTable, ElementTable, Endpoint, LabelDefinition, LabelName, MissingVertices, Properties,
    Property,
};
use lightning_sql::extension::quote_identifier;
use std::fmt;

impl fmt::Display for CreatePropertyGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_replace = if self.or_replace { "OR REPLACE " } else { "" };
        let if_not_exists = if self.if_not_exists { "IF NOT EXISTS " } else { "" };
        write!(f, "CREATE {or_replace}PROPERTY GRAPH {if_not_exists}{}", dotted(&self.name))?;
        tables(f, "VERTEX", &self.vertices)?;
        tables(f, "EDGE", &self.edges)?;
        match self.missing_vertices {
            None => Ok(()),
            Some(MissingVertices::Ignore) => f.write_str("\n    WITH (missing_vertices = 'ignore')"),
            Some(MissingVertices::Error) => f.write_str("\n    WITH (missing_vertices = 'error')"),
        }
    }
}

impl fmt::Display for ElementTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        self.labels(f)
    }
}

impl ElementTable {
    /// The table, its name in the graph and its key.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dotted(&self.table))?;
        if let Some(alias) = &self.alias {
            write!(f, " AS {}", quote_identifier(alias))?;
        }
        if !self.key.is_empty() {
            write!(f, " KEY {}", columns(&self.key))?;
        }
        Ok(())
    }

    fn labels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.labels.iter().try_for_each(|label| write!(f, " {label}"))
    }
}

impl fmt::Display for EdgeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.element.table(f)?;
        write!(f, " SOURCE {} DESTINATION {}", self.source, self.destination)?;
        self.element.labels(f)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "KEY {} REFERENCES ", columns(&self.key))?;
        }
        f.write_str(&quote_identifier(&self.vertices))?;
        if !self.columns.is_empty() {
            write!(f, " {}", columns(&self.columns))?;
        }
        Ok(())
    }
}

impl fmt::Display for LabelDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            LabelName::Default => f.write_str("DEFAULT LABEL ")?,
            LabelName::Named(name) => write!(f, "LABEL {} ", quote_identifier(name))?,
        }
        self.properties.fmt(f)
    }
}

impl fmt::Display for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Properties::None => f.write_str("NO PROPERTIES"),
            Properties::AllColumns { except } if except.is_empty() => f.write_str("PROPERTIES ALL COLUMNS"),
            Properties::AllColumns { except } => write!(f, "PROPERTIES ALL COLUMNS EXCEPT {}", columns(except)),
            Properties::Listed(properties) => {
                let shown: Vec<String> = properties.iter().map(Property::to_string).collect();
                write!(f, "PROPERTIES ({})", shown.join(", "))
            }
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} AS {}", self.expr, quote_identifier(&self.name))
    }
}

/// A list of tables, one a line; nothing when there are none.
fn tables<T: fmt::Display>(f: &mut fmt::Formatter<'_>, kind: &str, tables: &[T]) -> fmt::Result {
    if tables.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = tables.iter().map(|table| format!("\n        {table}")).collect();
    write!(f, "\n    {kind} TABLES ({}\n    )", shown.join(","))
}

fn dotted(name: &[String]) -> String {
    let parts: Vec<String> = name.iter().map(|part| quote_identifier(part)).collect();
    parts.join(".")
}

fn columns(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quote_identifier(name)).collect();
    format!("({})", names.join(", "))
}
