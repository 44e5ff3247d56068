//! From what CREATE PROPERTY GRAPH says to what it means.

use super::{EdgeTable, Element, Endpoint, Graph, Label, Property};
use crate::definition::{
    CreatePropertyGraph, EdgeTable as EdgeDefinition, ElementTable, Endpoint as EndpointDefinition, LabelDefinition,
    LabelName, MissingVertices, Properties, Property as PropertyDefinition,
};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Visit, Visitor};
use lightning_catalog::{Oid, Relation, Table};
use lightning_sql::extension::{Scope, folded, parse_expression};
use lightning_sql::types::PgType;
use lightning_sql::{Error, Result, SqlState};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const UNDEFINED_TABLE: SqlState = SqlState("42P01");
const UNDEFINED_COLUMN: SqlState = SqlState("42703");
const WRONG_OBJECT_TYPE: SqlState = SqlState("42809");
const INVALID_DEFINITION: SqlState = SqlState("42P16");
const DUPLICATE_OBJECT: SqlState = SqlState("42710");
const DATATYPE_MISMATCH: SqlState = SqlState("42804");
const FEATURE_NOT_SUPPORTED: SqlState = SqlState("0A000");

/// Graphs looked up so far.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Looks up every name of a definition.
pub(crate) fn resolve(create: &CreatePropertyGraph, oid: Oid, scope: &Scope<'_>) -> Result<Graph> {
    let mut names = HashSet::new();
    let elements = create.vertices.iter().chain(create.edges.iter().map(|edges| &edges.element));
    if let Some(twice) = elements.map(ElementTable::name).find(|name| !names.insert(name.to_owned())) {
        let message = format!("alias \"{twice}\" used more than once as element table");
        return Err(Error::new(DUPLICATE_OBJECT, message));
    }
    let vertices = create.vertices.iter().map(|table| element(table, scope)).collect::<Result<Vec<_>>>()?;
    let edges = create.edges.iter().map(|table| edge_table(table, &vertices, scope)).collect::<Result<Vec<_>>>()?;
    let graph = Graph {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        oid,
        name: create.name.last().cloned().unwrap_or_default(),
        vertices,
        edges,
        missing: create.missing_vertices.unwrap_or(MissingVertices::Ignore),
    };
    check_properties(&graph)?;
    Ok(graph)
}

/// A definition of the same graph that leaves nothing open.
pub(crate) fn explicit(graph: &Graph, create: &CreatePropertyGraph) -> CreatePropertyGraph {
    let columns = |table: &Table, columns: &[usize]| -> Vec<String> {
        columns.iter().map(|column| table.columns[*column].name.clone()).collect()
    };
    let element = |element: &Element| ElementTable {
        table: vec![element.schema.clone(), element.table.name.clone()],
        alias: Some(element.name.clone()),
        key: columns(&element.table, &element.key),
        labels: element.labels.iter().map(written_label).collect(),
    };
    let endpoint = |edges: &EdgeTable, end: &Endpoint| EndpointDefinition {
        key: columns(&edges.element.table, &end.key),
        vertices: graph.vertices[end.vertices].name.clone(),
        columns: columns(&graph.vertices[end.vertices].table, &end.columns),
    };
    CreatePropertyGraph {
        name: create.name.clone(),
        or_replace: false,
        if_not_exists: false,
        vertices: graph.vertices.iter().map(element).collect(),
        edges: graph
            .edges
            .iter()
            .map(|edges| EdgeDefinition {
                element: element(&edges.element),
                source: endpoint(edges, &edges.source),
                destination: endpoint(edges, &edges.destination),
            })
            .collect(),
        missing_vertices: Some(graph.missing),
    }
}

fn written_label(label: &Label) -> LabelDefinition {
    let property =
        |property: &Property| PropertyDefinition { name: property.name.clone(), expr: property.expr.clone() };
    LabelDefinition {
        name: LabelName::Named(label.name.clone()),
        properties: match label.properties.is_empty() {
            true => Properties::None,
            false => Properties::Listed(label.properties.iter().map(property).collect()),
        },
    }
}

fn element(definition: &ElementTable, scope: &Scope<'_>) -> Result<Element> {
    let (schema, table) = table(&definition.table, scope)?;
    let key = match (definition.key.is_empty(), &table.primary_key) {
        (false, _) => indexes(&table, &definition.key)?,
        (true, Some(key)) => key.columns.clone(),
        (true, None) => {
            let name = definition.name();
            let message =
                format!("no key specified and no suitable primary key exists for definition of element \"{name}\"");
            return Err(Error::new(INVALID_DEFINITION, message));
        }
    };
    let mut labels: Vec<Label> = Vec::with_capacity(definition.labels.len());
    for label in &definition.labels {
        let label = resolved_label(label, definition.name(), &table)?;
        if labels.iter().any(|known| known.name == label.name) {
            let message =
                format!("label \"{}\" specified more than once for element \"{}\"", label.name, definition.name());
            return Err(Error::new(DUPLICATE_OBJECT, message));
        }
        labels.push(label);
    }
    Ok(Element { name: definition.name().to_owned(), schema, table, key, labels })
}

/// The table of this name, and its schema.
fn table(parts: &[String], scope: &Scope<'_>) -> Result<(String, Arc<Table>)> {
    let shown = parts.join(".");
    let name = ObjectName::from(parts.iter().map(|part| Ident::with_quote('"', part)).collect::<Vec<_>>());
    match scope.relation(&name) {
        Some(Relation::Table(table)) => {
            let schema = scope.context().catalog.schema_by_oid(table.schema);
            Ok((schema.map(|schema| schema.name.clone()).unwrap_or_default(), Arc::clone(table)))
        }
        Some(other @ Relation::View(_)) => {
            let message = format!("{} \"{shown}\" as an element of a property graph", other.kind());
            Err(Error::new(FEATURE_NOT_SUPPORTED, format!("{message} is not supported")))
        }
        Some(other) => Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{shown}\" is a {}", other.kind()))),
        None => Err(Error::new(UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"))),
    }
}

fn indexes(table: &Table, names: &[String]) -> Result<Vec<usize>> {
    let index = |name: &String| {
        table.column_index(name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            Error::new(UNDEFINED_COLUMN, message)
        })
    };
    names.iter().map(index).collect()
}

fn resolved_label(definition: &LabelDefinition, element: &str, table: &Table) -> Result<Label> {
    let name = match &definition.name {
        LabelName::Default => element.to_owned(),
        LabelName::Named(name) => name.clone(),
    };
    let mut properties: Vec<Property> = Vec::new();
    match &definition.properties {
        Properties::None => {}
        Properties::AllColumns { except } => {
            let except = indexes(table, except)?;
            let columns = table.columns.iter().enumerate();
            let wanted = columns.filter(|(index, column)| !column.dropped && !except.contains(index));
            properties.extend(wanted.map(|(_, column)| Property {
                name: column.name.clone(),
                expr: lightning_sql::extension::quoted(&column.name),
            }));
        }
        Properties::Listed(listed) => {
            for property in listed {
                if properties.iter().any(|known| known.name == property.name) {
                    let message = format!("property \"{}\" specified more than once", property.name);
                    return Err(Error::new(DUPLICATE_OBJECT, message));
                }
                check_columns(&property.expr, table)?;
                properties.push(Property { name: property.name.clone(), expr: property.expr.clone() });
            }
        }
    }
    Ok(Label { name, properties })
}

/// Fails unless an expression is of columns of `table` alone.
fn check_columns(expr: &str, table: &Table) -> Result<()> {
    struct Columns<'a>(&'a Table);
    impl Visitor for Columns<'_> {
        type Break = Error;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
            let name = match expr {
                Expr::Identifier(name) => name,
                Expr::CompoundIdentifier(parts) => parts.last().expect("a compound name has parts"),
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                    let message = "cannot use subquery in property expression";
                    return ControlFlow::Break(Error::new(FEATURE_NOT_SUPPORTED, message));
                }
                _ => return ControlFlow::Continue(()),
            };
            let name = folded(name);
            match self.0.column_index(&name) {
                Some(_) => ControlFlow::Continue(()),
                None => ControlFlow::Break(Error::new(UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))),
            }
        }
    }
    match parse_expression(expr)?.visit(&mut Columns(table)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn edge_table(definition: &EdgeDefinition, vertices: &[Element], scope: &Scope<'_>) -> Result<EdgeTable> {
    let element = element(&definition.element, scope)?;
    let source = endpoint(&definition.source, "source", &element, vertices)?;
    let destination = endpoint(&definition.destination, "destination", &element, vertices)?;
    Ok(EdgeTable { element, source, destination })
}

fn endpoint(definition: &EndpointDefinition, which: &str, edges: &Element, vertices: &[Element]) -> Result<Endpoint> {
    let name = &definition.vertices;
    let Some(number) = vertices.iter().position(|element| element.name == *name) else {
        let message = format!("{which} vertex table \"{name}\" of edge \"{}\" does not exist", edges.name);
        return Err(Error::new(UNDEFINED_TABLE, message));
    };
    let vertex = &vertices[number];
    if definition.key.is_empty() {
        let message = format!("no {} key specified for edge \"{}\"", which.to_uppercase(), edges.name);
        let hint = format!("Write {} KEY (columns) REFERENCES {name} (columns).", which.to_uppercase());
        return Err(Error::new(INVALID_DEFINITION, message).with_hint(hint));
    }
    let key = indexes(&edges.table, &definition.key)?;
    let columns = match definition.columns.is_empty() {
        true => vertex.key.clone(),
        false => indexes(&vertex.table, &definition.columns)?,
    };
    if key.len() != columns.len() {
        let message = format!("mismatching number of columns in {which} vertex definition of edge \"{}\"", edges.name);
        return Err(Error::new(INVALID_DEFINITION, message));
    }
    if vertex.key.iter().any(|column| !columns.contains(column)) || columns.len() != vertex.key.len() {
        let message = format!("{which} key of edge \"{}\" must reference the key of vertex \"{name}\"", edges.name);
        return Err(Error::new(INVALID_DEFINITION, message));
    }
    for (of_edge, of_vertex) in key.iter().zip(&columns) {
        let (of_edge, of_vertex) = (&edges.table.columns[*of_edge], &vertex.table.columns[*of_vertex]);
        if of_edge.type_oid != of_vertex.type_oid {
            let message = format!(
                "column \"{}\" of edge \"{}\" and column \"{}\" of vertex \"{name}\" have different types",
                of_edge.name, edges.name, of_vertex.name
            );
            return Err(Error::new(DATATYPE_MISMATCH, message));
        }
    }
    Ok(Endpoint { vertices: number, key, columns })
}

/// A label means the same properties wherever it stands, of the same types as far as these are those of columns.
fn check_properties(graph: &Graph) -> Result<()> {
    let elements: Vec<&Element> = graph.vertices.iter().chain(graph.edges.iter().map(|edges| &edges.element)).collect();
    for (number, element) in elements.iter().enumerate() {
        for label in &element.labels {
            let others =
                elements[..number].iter().flat_map(|other| other.labels.iter().map(move |label| (other, label)));
            let Some((other, known)) = others.into_iter().find(|(_, other)| other.name == label.name) else { continue };
            let names = |label: &Label| label.properties.iter().map(|p| p.name.clone()).collect::<HashSet<_>>();
            if names(known) != names(label) {
                let message = format!("mismatching properties in definition of label \"{}\"", label.name);
                return Err(Error::new(INVALID_DEFINITION, message));
            }
            for property in &label.properties {
                let same = known.properties.iter().find(|known| known.name == property.name);
                let types = same
                    .and_then(|same| Some((column_type(&other.table, same)?, column_type(&element.table, property)?)));
                if let Some((one, two)) = types.filter(|(one, two)| one != two) {
                    let (one, two) = (one.base_name(), two.base_name());
                    let message = format!("property \"{}\" data type mismatch: {one} vs. {two}", property.name);
                    return Err(Error::new(DATATYPE_MISMATCH, message));
                }
            }
        }
    }
    Ok(())
}

/// The type of a property that is a column.
fn column_type(table: &Table, property: &Property) -> Option<PgType> {
    let Expr::Identifier(name) = parse_expression(&property.expr).ok()? else { return None };
    let column = &table.columns[table.column_index(&folded(&name))?];
    PgType::by_oid(column.type_oid.0)
}
