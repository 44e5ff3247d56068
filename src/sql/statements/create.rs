//! CREATE SCHEMA, TABLE, TABLE AS, VIEW; SELECT INTO.

use super::index::{self, Wanted};
use super::target::{Name, folded};
use super::{done, insert, materialized, time_options};
use crate::arrow_names::sql_name;
use crate::context::StatementContext;
use crate::defaults::check_default;
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::plan::{named_query_plan, physical_plan, start};
use crate::prepared::bind;
use crate::present::client_schema;
use crate::provider::{arrow_schema, state_for};
use crate::semantics;
use crate::session::Run;
use crate::sqlstate::{
    DUPLICATE_SCHEMA, DUPLICATE_TABLE, INVALID_TABLE_DEFINITION, SUCCESSFUL_COMPLETION, SYNTAX_ERROR, TOO_MANY_COLUMNS,
    UNDEFINED_COLUMN, WRONG_OBJECT_TYPE,
};
use crate::type_names::sql_type;
use crate::types::{self, PgType};
use crate::write::{Shape, Sink, SourceColumn};
use arrow::array::ArrayRef;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, CreateView, DataType, Expr, IndexColumn as WrittenColumn,
    NullsDistinctOption, ObjectName, Query, SchemaName, SetExpr, Statement, TableConstraint, UniqueConstraint, Visit,
    Visitor,
};
use futures::StreamExt;
use lightning_catalog::{Edit, IndexColumn, NewColumn, NewPrimaryKey, NewTable, NewView, Oid, Relation, Table};
use lightning_storage::TableDefinition;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Columns of one table.
pub(super) const COLUMNS_MAX: usize = 1600;
/// Bytes of an identifier.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// CREATE SCHEMA.
pub(super) async fn schema(run: &Run, statement: &Statement) -> Result<Outcome> {
    let Statement::CreateSchema { schema_name, if_not_exists, .. } = statement else {
        return Err(Error::unsupported("this form of CREATE SCHEMA"));
    };
    let name = match schema_name {
        SchemaName::Simple(name) | SchemaName::NamedAuthorization(name, _) => {
            name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default()
        }
        SchemaName::UnnamedAuthorization(ident) => folded(ident),
    };
    if name.starts_with("pg_") {
        return Err(Error::new(crate::SqlState("42939"), format!("unacceptable schema name \"{name}\""))
            .with_detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    if catalog.schema(run.session.info.database_oid, &name).is_some() {
        if !if_not_exists {
            return Err(Error::new(DUPLICATE_SCHEMA, format!("schema \"{name}\" already exists")));
        }
        let message = format!("schema \"{name}\" already exists, skipping");
        run.session.notice("NOTICE", crate::sqlstate::DUPLICATE_SCHEMA, message);
    } else {
        let mut edit = Edit::new(&catalog);
        edit.create_schema(run.session.info.database_oid, &name)?;
        write.apply(edit)?;
    }
    write.finish().await?;
    Ok(done("CREATE SCHEMA"))
}

/// CREATE TABLE, with or without AS.
pub(super) async fn table(run: &Run, create: &CreateTable) -> Result<Outcome> {
    refuse(create)?;
    if let Some(query) = &create.query {
        let names = if run.parsed.column_names.is_empty() {
            create.columns.iter().map(|c| folded(&c.name)).collect()
        } else {
            run.parsed.column_names.clone()
        };
        if create.columns.iter().any(|c| c.data_type != DataType::Unspecified || !c.options.is_empty()) {
            return Err(Error::new(SYNTAX_ERROR, "CREATE TABLE AS takes column names without types"));
        }
        let target = NewTarget {
            name: &create.name,
            names,
            if_not_exists: create.if_not_exists,
            options: &create.table_options,
        };
        return table_as(run, target, query, "CREATE TABLE AS").await;
    }
    if create.columns.is_empty() && !run.parsed.text.trim_end().ends_with(')') {
        return Err(Error::new(SYNTAX_ERROR, "syntax error at end of input"));
    }
    let name = Name::new(run, &create.name)?;
    let columns = Columns::read(run, &name.name, create)?;
    for column in &columns.columns {
        check_default(run, &catalog_column(column)).await?;
    }
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    if exists(run, &name, &context, create.if_not_exists)? {
        write.finish().await?;
        return Ok(done("CREATE TABLE"));
    }
    let schema = name.creation_schema(&context)?;
    let mut edit = Edit::new(&context.catalog);
    make_table(run, &mut write, &mut edit, schema.oid, &name.name, columns).await?;
    write.apply(edit)?;
    write.finish().await?;
    Ok(done("CREATE TABLE"))
}

/// A column that ALTER TABLE adds, which is no key.
pub(super) async fn added_column(run: &Run, table: &str, definition: &ColumnDef) -> Result<NewColumn> {
    let mut read = Columns::plain(Vec::new());
    read.column(run, table, definition)?;
    if read.primary_key.is_some() || !read.uniques.is_empty() {
        return Err(Error::unsupported("ADD COLUMN with a key"));
    }
    let column = read.columns.remove(0);
    check_default(run, &catalog_column(&column)).await?;
    Ok(column)
}

pub(super) fn catalog_column(column: &NewColumn) -> lightning_catalog::Column {
    lightning_catalog::Column {
        name: column.name.clone(),
        type_oid: column.type_oid,
        type_modifier: column.type_modifier,
        not_null: column.not_null,
        default: column.default.clone(),
        default_oid: None,
        position: 0,
        dropped: false,
    }
}

fn refuse(create: &CreateTable) -> Result<()> {
    let what = if create.temporary || create.global.is_some() {
        "a temporary table"
    } else if create.or_replace {
        "CREATE OR REPLACE TABLE"
    } else if create.external {
        "an external table"
    } else if create.like.is_some() {
        "CREATE TABLE ... LIKE"
    } else if create.inherits.is_some() {
        "INHERITS"
    } else if create.partition_by.is_some() || create.partition_of.is_some() {
        "a partitioned table"
    } else if create.on_commit.is_some() {
        "ON COMMIT"
    } else if create.clone.is_some() {
        "CLONE"
    } else {
        return Ok(());
    };
    Err(Error::unsupported(what))
}

/// Whether the name is taken: an error, or a notice with IF NOT EXISTS.
fn exists(run: &Run, name: &Name, context: &StatementContext, if_not_exists: bool) -> Result<bool> {
    let schema = name.creation_schema(context)?;
    if context.catalog.taken_by(schema.oid, &name.name).is_none() {
        return Ok(false);
    }
    if !if_not_exists {
        return Err(Error::new(DUPLICATE_TABLE, format!("relation \"{}\" already exists", name.name)));
    }
    let message = format!("relation \"{}\" already exists, skipping", name.name);
    run.session.notice("NOTICE", DUPLICATE_TABLE, message);
    Ok(true)
}

/// Columns and keys of a table to be.
pub(super) struct Columns {
    pub(super) columns: Vec<NewColumn>,
    /// Its columns, and its name when it was given one.
    primary_key: Option<(Vec<usize>, Option<String>)>,
    uniques: Vec<Wanted>,
    options: time_options::Options,
}

impl Columns {
    /// Columns without keys.
    fn plain(columns: Vec<NewColumn>) -> Columns {
        Columns { columns, primary_key: None, uniques: Vec::new(), options: time_options::Options::default() }
    }

    fn read(run: &Run, table: &str, create: &CreateTable) -> Result<Columns> {
        check_identifier(table)?;
        if create.columns.len() > COLUMNS_MAX {
            return Err(Error::new(TOO_MANY_COLUMNS, format!("tables can have at most {COLUMNS_MAX} columns")));
        }
        let mut read = Columns::plain(Vec::new());
        for definition in &create.columns {
            read.column(run, table, definition)?;
        }
        for constraint in &create.constraints {
            read.constraint(table, constraint)?;
        }
        for index in read.primary_key.iter().flat_map(|(columns, _)| columns) {
            read.columns[*index].not_null = true;
        }
        read.options = time_options::read(&create.table_options, &read.columns)?;
        Ok(read)
    }

    fn column(&mut self, run: &Run, table: &str, definition: &ColumnDef) -> Result<()> {
        let name = folded(&definition.name);
        let position = run.parsed.position(definition.name.span.start);
        check_identifier(&name)?;
        if self.columns.iter().any(|c| c.name == name) {
            return Err(Error::new(
                crate::sqlstate::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        let pg = sql_type(&definition.data_type).map_err(|e| e.with_position(position))?;
        if pg.arrow_type().is_none() || pg.oid == types::UNKNOWN.oid {
            return Err(Error::new(
                INVALID_TABLE_DEFINITION,
                format!("column \"{name}\" has pseudo-type {}", pg.sql_name()),
            ));
        }
        let index = self.columns.len();
        let mut column = new_column(name, pg);
        let mut nullable = false;
        for option in &definition.options {
            match &option.option {
                ColumnOption::Null => nullable = true,
                ColumnOption::NotNull => column.not_null = true,
                ColumnOption::Default(expr) => column.default = Some(expr.to_string()),
                ColumnOption::PrimaryKey(_) => {
                    let name = option.name.as_ref().map(folded);
                    self.set_key(table, name, vec![index])?;
                }
                ColumnOption::Unique(unique) => {
                    self.add_unique(option.name.as_ref().map(folded), vec![index], unique)?;
                }
                ColumnOption::Check(_) => return Err(Error::unsupported("a CHECK constraint")),
                ColumnOption::ForeignKey(_) => return Err(Error::unsupported("a FOREIGN KEY constraint")),
                ColumnOption::Generated { .. } | ColumnOption::Identity(_) => {
                    return Err(Error::unsupported("a generated column"));
                }
                ColumnOption::Collation(name) => check_collation(name)?,
                other => return Err(Error::unsupported(format!("column option {other}"))),
            }
        }
        if nullable && column.not_null {
            let message =
                format!("conflicting NULL/NOT NULL declarations for column \"{}\" of table \"{table}\"", column.name);
            return Err(Error::new(SYNTAX_ERROR, message).with_position(position));
        }
        self.columns.push(column);
        Ok(())
    }

    fn constraint(&mut self, table: &str, constraint: &TableConstraint) -> Result<()> {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                let mut columns = Vec::new();
                for column in &key.columns {
                    columns.push(self.key_column(column)?);
                }
                self.set_key(table, key.name.as_ref().map(folded), columns)
            }
            TableConstraint::Unique(unique) => {
                let mut columns = Vec::new();
                for column in &unique.columns {
                    columns.push(self.key_column(column)?);
                }
                self.add_unique(unique.name.as_ref().map(folded), columns, unique)
            }
            TableConstraint::Check(_) => Err(Error::unsupported("a CHECK constraint")),
            TableConstraint::ForeignKey(_) => Err(Error::unsupported("a FOREIGN KEY constraint")),
            other => Err(Error::unsupported(format!("constraint {other}"))),
        }
    }

    fn key_column(&self, column: &WrittenColumn) -> Result<usize> {
        let name = match &column.column.expr {
            datafusion::sql::sqlparser::ast::Expr::Identifier(ident) => folded(ident),
            other => return Err(Error::new(SYNTAX_ERROR, format!("syntax error at or near \"{other}\""))),
        };
        self.columns
            .iter()
            .position(|c| c.name == name)
            .ok_or_else(|| Error::new(UNDEFINED_COLUMN, format!("column \"{name}\" named in key does not exist")))
    }

    fn set_key(&mut self, table: &str, name: Option<String>, columns: Vec<usize>) -> Result<()> {
        if self.primary_key.is_some() {
            return Err(Error::new(
                INVALID_TABLE_DEFINITION,
                format!("multiple primary keys for table \"{table}\" are not allowed"),
            ));
        }
        check_distinct(&self.columns, &columns, "primary key")?;
        self.primary_key = Some((columns, name));
        Ok(())
    }

    fn add_unique(&mut self, name: Option<String>, columns: Vec<usize>, unique: &UniqueConstraint) -> Result<()> {
        if unique.nulls_distinct == NullsDistinctOption::NotDistinct {
            return Err(Error::unsupported("NULLS NOT DISTINCT"));
        }
        if unique.characteristics.as_ref().is_some_and(|c| c.deferrable == Some(true)) {
            return Err(Error::unsupported("a deferrable constraint"));
        }
        check_distinct(&self.columns, &columns, "unique")?;
        // The same constraint twice is one.
        let is_known = |known: &Wanted| known.columns.iter().map(|c| c.column).eq(columns.iter().copied());
        if name.is_none() && self.uniques.iter().any(is_known) {
            return Ok(());
        }
        let columns = columns.into_iter().map(IndexColumn::ascending).collect();
        self.uniques.push(Wanted { name, columns, is_unique: true, is_constraint: true });
        Ok(())
    }
}

/// Refuses a constraint that names a column twice.
fn check_distinct(all: &[NewColumn], named: &[usize], what: &str) -> Result<()> {
    let mut seen = HashSet::new();
    match named.iter().find(|column| !seen.insert(**column)) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("column \"{}\" appears twice in {what} constraint", all[*twice].name);
            Err(Error::new(crate::sqlstate::DUPLICATE_COLUMN, message))
        }
    }
}

fn new_column(name: String, pg: PgType) -> NewColumn {
    NewColumn { name, type_oid: Oid(pg.oid), type_modifier: pg.modifier, not_null: false, default: None }
}

pub(super) fn check_identifier(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(SYNTAX_ERROR, "zero-length delimited identifier"));
    }
    if name.len() > IDENTIFIER_BYTES_MAX {
        return Err(Error::new(crate::SqlState("42622"), format!("identifier \"{name}\" is too long"))
            .with_detail(format!("The limit is {IDENTIFIER_BYTES_MAX} bytes.")));
    }
    Ok(())
}

fn check_collation(name: &ObjectName) -> Result<()> {
    let name = name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone()).unwrap_or_default();
    if matches!(name.to_lowercase().as_str(), "c" | "posix" | "default" | "ucs_basic") {
        return Ok(());
    }
    Err(Error::unsupported(format!("collation \"{name}\"")))
}

/// Creates the table in storage and in the catalog, with its indexes.
async fn make_table(
    run: &Run,
    write: &mut crate::transaction::WriteTxn,
    edit: &mut Edit,
    schema: Oid,
    name: &str,
    columns: Columns,
) -> Result<Arc<Table>> {
    let Columns { columns, primary_key, uniques, options } = columns;
    let primary_key = primary_key.map(|(columns, key_name)| {
        let free = || index::free_name(edit.current(), schema, name, "", "pkey");
        NewPrimaryKey { name: key_name.unwrap_or_else(free), columns }
    });
    let key = primary_key.as_ref().map_or_else(Vec::new, |k| k.columns.clone());
    let described: Vec<lightning_catalog::Column> = columns.iter().map(catalog_column).collect();
    let time = options.time.as_ref().map(|time| time.column);
    let plain = TableDefinition::new(arrow_schema(&described), key);
    let definition = TableDefinition { partition: options.partition, time, ..plain };
    let storage_table = write.txn()?.storage.create_table(definition)?;
    let new = NewTable { schema, name: name.to_owned(), columns, primary_key, time: options.time, storage_table };
    let table = edit.create_table(new)?;
    for unique in uniques {
        index::build(run, write, edit, &table, unique).await?;
    }
    Ok(table)
}

/// SELECT … INTO.
pub(super) async fn select_into(run: &Run, query: &Query) -> Result<Outcome> {
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(Error::unsupported("this form of SELECT INTO"));
    };
    let Some(into) = select.into.take() else { return Err(Error::unsupported("this form of SELECT INTO")) };
    if into.temporary {
        return Err(Error::unsupported("a temporary table"));
    }
    let options = &CreateTableOptions::None;
    let target = NewTarget { name: &into.name, names: Vec::new(), if_not_exists: false, options };
    table_as(run, target, &query, "SELECT").await
}

/// A table to be made of a query.
struct NewTarget<'a> {
    name: &'a ObjectName,
    /// Names of its first columns.
    names: Vec<String>,
    if_not_exists: bool,
    options: &'a CreateTableOptions,
}

/// Creates a table from a query and fills it.
async fn table_as(run: &Run, target: NewTarget<'_>, query: &Query, tag: &str) -> Result<Outcome> {
    let name = Name::new(run, target.name)?;
    check_identifier(&name.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    if exists(run, &name, &context, target.if_not_exists)? {
        write.finish().await?;
        return Ok(done(tag));
    }
    let schema = name.creation_schema(&context)?;
    let mut state = state_for(&run.session.base, &run.session.info, &context);
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = bind(named_query_plan(&state, query).await?, run, None)?;
    let mut columns = columns_of(&state, &plan, target.names)?;
    columns.options = time_options::read(target.options, &columns.columns)?;
    let sources: Vec<SourceColumn> = insert::sources(&state, &plan)?;
    let mut edit = Edit::new(&context.catalog);
    let table = make_table(run, &mut write, &mut edit, schema.oid, &name.name, columns).await?;
    write.apply(edit)?;
    if run.parsed.no_data {
        write.finish().await?;
        return Ok(done("CREATE TABLE AS"));
    }
    let shape = Shape::new(&table, run.session.zone());
    let physical = physical_plan(&state, &plan).await?;
    let mut stream = start(&state, physical)?;
    let mut sink = Sink::start(write, run.patience(&table), Vec::new());
    while let Some(batch) = stream.next().await {
        run.active.check()?;
        let batch = batch?;
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .enumerate()
            .map(|(i, values)| shape.assign(i, &sources[i], values))
            .collect::<Result<_>>()?;
        sink.push(shape.batch(columns, batch.num_rows())?).await?;
    }
    let rows = sink.finish().await?;
    Ok(Outcome::Done { tag: format!("SELECT {rows}"), rows })
}

/// The columns a query makes.
pub(super) fn columns_of(
    state: &datafusion::execution::session_state::SessionState,
    plan: &datafusion::logical_expr::LogicalPlan,
    names: Vec<String>,
) -> Result<Columns> {
    let analyzed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
    let schema = client_schema(analyzed.schema().as_arrow());
    if names.len() > schema.fields().len() {
        return Err(Error::new(SYNTAX_ERROR, "too many column names were specified"));
    }
    let mut columns: Vec<NewColumn> = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let name = names.get(index).cloned().unwrap_or_else(|| field.name().clone());
        if columns.iter().any(|c| c.name == name) {
            return Err(Error::new(
                crate::sqlstate::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        let mut pg = types::pg_type(field);
        if let (1700, arrow::datatypes::DataType::Decimal128(precision, scale)) = (pg.oid, field.data_type()) {
            pg = PgType::numeric(*precision, *scale);
        }
        if matches!(field.data_type(), arrow::datatypes::DataType::Struct(_) | arrow::datatypes::DataType::Map(..)) {
            let name = sql_name(&field.data_type().to_string()).into_owned();
            return Err(Error::unsupported(format!("a column of type {name}")));
        }
        columns.push(new_column(name, pg));
    }
    if columns.is_empty() {
        return Err(Error::unsupported("a table without columns"));
    }
    Ok(Columns::plain(columns))
}

/// CREATE VIEW.
pub(super) async fn view(run: &Run, create: &CreateView) -> Result<Outcome> {
    if create.materialized {
        return materialized::create(run, create).await;
    }
    if create.temporary {
        return Err(Error::unsupported("a temporary view"));
    }
    let name = Name::new(run, &create.name)?;
    check_identifier(&name.name)?;
    let mut write = run.session.write()?;
    let catalog = write.lock_ddl(run).await?;
    let context = run.session.set_context(write.txn()?.storage.snapshot(), catalog);
    let schema = name.creation_schema(&context)?;
    let mut state = state_for(&run.session.base, &run.session.info, &context);
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = bind(named_query_plan(&state, &create.query).await?, run, None)?;
    let names = create.columns.iter().map(|c| folded(&c.name)).collect();
    let columns = columns_of(&state, &plan, names)?.columns;
    let depends_on = dependencies(run, &create.query, &context)?;
    let new = NewView {
        schema: schema.oid,
        name: name.name.clone(),
        definition: create.query.to_string(),
        written: run.parsed.defining_query(),
        search_path: context.search_path.clone(),
        columns,
        depends_on,
        materialized: None,
    };
    let mut edit = Edit::new(&context.catalog);
    match context.catalog.relation(schema.oid, &name.name).cloned() {
        None => {
            edit.create_view(new)?;
        }
        Some(Relation::View(old)) if create.or_replace && old.materialized.is_none() => {
            check_replacement(&edit, &old, &new)?;
            edit.replace_view(old.oid, new)?;
        }
        Some(_) if create.or_replace => {
            return Err(Error::new(WRONG_OBJECT_TYPE, format!("\"{}\" is not a view", name.name)));
        }
        Some(_) if create.if_not_exists => {
            let message = format!("relation \"{}\" already exists, skipping", name.name);
            run.session.notice("NOTICE", SUCCESSFUL_COMPLETION, message);
            return Ok(done("CREATE VIEW"));
        }
        Some(_) => {
            return Err(Error::new(DUPLICATE_TABLE, format!("relation \"{}\" already exists", name.name)));
        }
    }
    write.apply(edit)?;
    write.finish().await?;
    Ok(done("CREATE VIEW"))
}

/// A replaced view keeps its columns, may add some, and must not come to read itself.
fn check_replacement(edit: &Edit, old: &lightning_catalog::View, new: &NewView) -> Result<()> {
    if new.columns.len() < old.columns.len() {
        return Err(Error::new(INVALID_TABLE_DEFINITION, "cannot drop columns from view"));
    }
    for (old, new) in old.columns.iter().zip(&new.columns) {
        if old.name != new.name {
            let message = format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name);
            return Err(Error::new(INVALID_TABLE_DEFINITION, message));
        }
        if (old.type_oid, old.type_modifier) != (new.type_oid, new.type_modifier) {
            let message = format!("cannot change data type of view column \"{}\"", old.name);
            return Err(Error::new(INVALID_TABLE_DEFINITION, message));
        }
    }
    let readers = edit.dependents_of(old.oid);
    let reads_itself =
        new.depends_on.contains(&old.oid) || readers.iter().any(|reader| new.depends_on.contains(&reader.oid()));
    if reads_itself {
        let message = format!("infinite recursion detected in rules for relation \"{}\"", old.name);
        return Err(Error::new(crate::sqlstate::INVALID_OBJECT_DEFINITION, message));
    }
    Ok(())
}

/// The tables and views a query names.
pub(super) fn dependencies(run: &Run, query: &Query, context: &StatementContext) -> Result<Vec<Oid>> {
    #[derive(Default)]
    struct Names {
        relations: Vec<ObjectName>,
        functions: Vec<ObjectName>,
        ctes: HashSet<String>,
    }
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
                self.ctes.insert(folded(&cte.alias.name));
            }
            ControlFlow::Continue(())
        }
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            self.relations.push(relation.clone());
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr {
                self.functions.push(function.name.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _ = query.visit(&mut names);
    let extensions = run.session.instance.extensions().iter();
    names.relations.extend(extensions.flat_map(|extension| extension.relations(query)));
    let mut oids = Vec::new();
    for relation in &names.relations {
        let name = Name::new(run, relation)?;
        if name.schema.is_none() && names.ctes.contains(&name.name) {
            continue;
        }
        if let Some(found) = name.find(context)
            && !oids.contains(&found.oid())
        {
            oids.push(found.oid());
        }
    }
    // Functions of a user's that have the name, of tables among the relations too; which of them is meant is known only with types.
    for function in names.functions.iter().chain(&names.relations) {
        let name = Name::new(run, function)?;
        if name.schema.is_none() && crate::clauses::is_function(&run.session.base, &name.name) {
            continue;
        }
        for found in context.functions(name.schema.as_deref(), &name.name) {
            if !oids.contains(&found.oid) {
                oids.push(found.oid);
            }
        }
    }
    Ok(oids)
}
