//! The triggers that one statement fires for one event of one table.
//!
//! [`Fired`] is made when the statement knows its table, and asked along the way: [`Fired::statement`] before and after,
//! [`Fired::before_rows`] for every batch of rows on their way into the table, [`Fired::wrote`] for rows that are there, and
//! [`Fired::after_rows`] in the end.

use super::body::{Body, Ready};
use super::nested;
use super::rows::{ChangedRows, Evaluation, loose_schema, row_sets, with_columns};
use super::sql::{Left, SqlCall, Words};
use crate::context::StatementContext;
use crate::error::{Error, Result};
use crate::firing::{Frame, Guard, Pushed};
use crate::language::{Effects, Firing, Interrupt};
use crate::session::Run;
use crate::sqlstate::{DATATYPE_MISMATCH, INTERNAL_ERROR, SERIALIZATION_FAILURE};
use crate::transaction::{Lending, WriteTxn};
use crate::write::Shape;
use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use lightning_catalog::{Table, Trigger, TriggerEvent, TriggerLevel, TriggerTiming};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// So often a statement looks again because statements of its triggers came too late.
const ATTEMPTS_MAX: usize = 1_000;

/// Triggers of a table that fire for an event.
#[derive(Debug)]
pub(crate) struct Fired {
    run: Run,
    table: Arc<Table>,
    table_schema: String,
    schema: SchemaRef,
    /// What new rows must be in the end.
    shape: Shape,
    event: TriggerEvent,
    ready: Arc<[Ready]>,
    /// Rows that were changed, when a trigger will ask for them.
    changed: Vec<ChangedRows>,
    memory: MemoryReservation,
    /// Statements that wait for the transaction, each with the number of the trigger whose function gave it.
    waiting: Vec<(usize, String)>,
    attempts: usize,
}

/// New rows after BEFORE triggers.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The new rows that are left, checked; `None` for DELETE.
    pub(crate) new: Option<RecordBatch>,
    /// Which of the rows are left; `None`: all.
    pub(crate) kept: Option<UInt32Array>,
}

/// What one call led to.
struct Called {
    left: Left,
    statements: Vec<String>,
}

/// What a call is given.
enum Given<'a> {
    /// Rows, each for itself.
    Rows(&'a ChangedRows),
    /// All there is, or nothing.
    Statement,
}

impl Fired {
    /// Those that fire for an event; with UPDATE, of the columns `set`. `None`: there are none.
    pub(crate) fn of(
        run: &Run,
        context: &StatementContext,
        table: &Arc<Table>,
        event: TriggerEvent,
        set: &[usize],
    ) -> Result<Option<Fired>> {
        let is_meant = |trigger: &&Trigger| {
            let columns = &trigger.update_columns;
            let is_of = event != TriggerEvent::Update || columns.is_empty() || columns.iter().any(|c| set.contains(c));
            !trigger.is_disabled && trigger.events.contains(&event) && is_of
        };
        let meant: Vec<&Trigger> = table.triggers.iter().filter(is_meant).collect();
        if meant.is_empty() {
            return Ok(None);
        }
        let ready = |trigger: &&Trigger| {
            Ready::new(run, context, trigger).map_err(|e| called_by(e, &trigger.name, &table.name))
        };
        let ready = meant.iter().map(ready).collect::<Result<Vec<_>>>()?;
        let pool = &run.session.base.runtime_env().memory_pool;
        let memory = MemoryConsumer::new("changed rows").register(pool);
        let run = Run { parameters: Vec::new(), ..run.with(Arc::clone(&run.parsed)) };
        let shape = Shape::new(table, run.session.zone());
        Ok(Some(Fired {
            table_schema: context.catalog.schema_by_oid(table.schema).map_or_else(String::new, |s| s.name.clone()),
            schema: loose_schema(table),
            table: Arc::clone(table),
            run,
            shape,
            event,
            ready: ready.into(),
            changed: Vec::new(),
            memory,
            waiting: Vec::new(),
            attempts: 0,
        }))
    }

    fn with(&self, timing: TriggerTiming, level: TriggerLevel) -> impl Iterator<Item = (usize, &Ready)> {
        let is_meant = move |trigger: &Trigger| trigger.timing == timing && trigger.level == level;
        self.ready.iter().enumerate().filter(move |(_, ready)| is_meant(&ready.trigger))
    }

    /// Whether rows have to pass [`Fired::before_rows`].
    pub(crate) fn has_before_rows(&self) -> bool {
        self.with(TriggerTiming::Before, TriggerLevel::Row).next().is_some()
    }

    /// Whether rows can pass while the transaction is elsewhere.
    pub(crate) fn can_wait(&self) -> bool {
        self.with(TriggerTiming::Before, TriggerLevel::Row).all(|(_, ready)| ready.body.can_wait())
    }

    /// Whether somebody asks for rows after they were changed.
    pub(crate) fn asks_for_rows(&self) -> bool {
        let names = |trigger: &Trigger| trigger.old_table.is_some() || trigger.new_table.is_some();
        self.ready.iter().any(|ready| {
            let trigger = &ready.trigger;
            trigger.timing == TriggerTiming::After && (trigger.level == TriggerLevel::Row || names(trigger))
        })
    }

    /// Whether rows as they were are needed at all.
    pub(crate) fn needs_old(&self) -> bool {
        self.has_before_rows() || self.asks_for_rows()
    }

    /// The table.
    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The form of rows before they pass.
    pub(crate) fn shape(&self) -> Shape {
        if self.has_before_rows() { self.shape.clone().unchecked() } else { self.shape.clone() }
    }

    /// Fires the triggers of the statement itself.
    pub(crate) async fn statement(&mut self, timing: TriggerTiming, write: &mut WriteTxn) -> Result<()> {
        if self.with(timing, TriggerLevel::Statement).next().is_none() {
            return Ok(());
        }
        let before = self.lend(write)?;
        for (_, ready) in self.with(timing, TriggerLevel::Statement) {
            Box::pin(self.fire_statement(ready)).await.map_err(|e| self.named(e, ready))?;
        }
        self.reclaim(write, before)
    }

    /// Fires the triggers of the rows that were changed.
    pub(crate) async fn after_rows(&mut self, write: &mut WriteTxn) -> Result<()> {
        if self.changed.is_empty() || self.with(TriggerTiming::After, TriggerLevel::Row).next().is_none() {
            return Ok(());
        }
        let before = self.lend(write)?;
        for (_, ready) in self.with(TriggerTiming::After, TriggerLevel::Row) {
            for rows in &self.changed {
                Box::pin(self.fire_after(ready, rows.clone())).await.map_err(|e| self.named(e, ready))?;
            }
        }
        self.reclaim(write, before)
    }

    /// Lets statements inside this one have the transaction; what the session's statement sees so far.
    fn lend(&self, write: &mut WriteTxn) -> Result<Option<Arc<StatementContext>>> {
        write.lend(Lending::Moving)?;
        Ok(self.run.session.info.statement())
    }

    /// Takes the transaction back.
    fn reclaim(&self, write: &mut WriteTxn, before: Option<Arc<StatementContext>>) -> Result<()> {
        write.reclaim()?;
        *self.run.session.info.statement.write() = before;
        Ok(())
    }

    /// Has rows pass the BEFORE triggers on their way to where the transaction is: what functions want to run waits.
    pub(crate) async fn before_rows_apart(
        &mut self,
        context: &Arc<StatementContext>,
        rows: ChangedRows,
    ) -> Result<Passed> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let before = waiting.len();
        let passed = self.pass(rows, Some(context), &mut waiting).await;
        self.waiting = waiting;
        self.memory.try_grow(self.waiting[before..].iter().map(|(_, text)| text.capacity()).sum())?;
        passed
    }

    /// Runs what waits for the transaction.
    pub(crate) async fn run_waiting(&mut self, write: &mut WriteTxn) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let before = self.lend(write)?;
        for (number, text) in std::mem::take(&mut self.waiting) {
            let ready = &self.ready[number];
            let pushed = self.push(None, &HashMap::new(), ready)?;
            nested::run_texts(&self.run, &[text]).await.map_err(|e| self.named(e, ready))?;
            drop(pushed);
        }
        self.reclaim(write, before)
    }

    /// Has new rows pass the BEFORE triggers, with the transaction at hand.
    pub(crate) async fn before_inserts(&mut self, write: &mut WriteTxn, new: RecordBatch) -> Result<RecordBatch> {
        let before = self.lend(write)?;
        let passed = self.pass(ChangedRows::inserted(new), None, &mut Vec::new()).await?;
        self.reclaim(write, before)?;
        passed.new.ok_or_else(|| Error::new(INTERNAL_ERROR, "new rows must stay new rows"))
    }

    /// Has rows that are locked pass the BEFORE triggers. `None`: the statement has to look again, after it forgot what was written.
    pub(crate) async fn before_changes(&mut self, write: &mut WriteTxn, rows: ChangedRows) -> Result<Option<Passed>> {
        let before = self.run.session.info.statement();
        write.lend(Lending::Keeping)?;
        let passed = match self.pass(rows, None, &mut Vec::new()).await {
            Ok(passed) => {
                write.reclaim()?;
                Some(passed)
            }
            Err(e) if e.state() == SERIALIZATION_FAILURE && self.attempts < ATTEMPTS_MAX => {
                if !write.reclaim_failed().await? {
                    return Err(e);
                }
                self.attempts += 1;
                None
            }
            Err(e) => return Err(e),
        };
        *self.run.session.info.statement.write() = before;
        Ok(passed)
    }

    /// The rows as all BEFORE triggers leave them. With a context statements are not run but handed out.
    async fn pass(
        &self,
        rows: ChangedRows,
        context: Option<&Arc<StatementContext>>,
        waiting: &mut Vec<(usize, String)>,
    ) -> Result<Passed> {
        let all = rows.len();
        let kept = UInt32Array::from_iter_values(0..all as u32);
        let mut left = Left { rows: rows.loosened(&self.schema)?, kept };
        for (number, ready) in self.with(TriggerTiming::Before, TriggerLevel::Row) {
            if left.kept.is_empty() {
                break;
            }
            self.run.active.check()?;
            let passing = Box::pin(self.pass_one(ready, &mut left, context));
            let statements = passing.await.map_err(|e| self.named(e, ready))?;
            waiting.extend(statements.into_iter().map(|text| (number, text)));
        }
        let new = left.rows.new.as_ref().map(|new| self.shape.checked(new)).transpose()?;
        Ok(Passed { new, kept: (left.kept.len() < all).then_some(left.kept) })
    }

    async fn pass_one(
        &self,
        ready: &Ready,
        left: &mut Left,
        context: Option<&Arc<StatementContext>>,
    ) -> Result<Vec<String>> {
        let meant = self.meant(ready, &left.rows, context).await?;
        let given = match &meant {
            None => left.rows.clone(),
            Some(meant) if meant.is_empty() => return Ok(Vec::new()),
            Some(meant) => left.rows.take(meant)?,
        };
        let guard =
            (self.event != TriggerEvent::Insert).then_some(Guard { table: self.table.oid, allows_inserts: false });
        let called = self.call(ready, Given::Rows(&given), guard).await?;
        if context.is_none() {
            let _pushed = self.push(guard, &HashMap::new(), ready)?;
            nested::run_texts(&self.run, &called.statements).await?;
        }
        self.take_over(left, meant, called.left)?;
        Ok(if context.is_some() { called.statements } else { Vec::new() })
    }

    /// Puts what a function left of the rows it was given among the others.
    fn take_over(&self, left: &mut Left, meant: Option<UInt32Array>, from: Left) -> Result<()> {
        let Some(meant) = meant else {
            left.kept = take(&left.kept, &from.kept, None)?.as_primitive::<UInt32Type>().clone();
            left.rows = from.rows;
            return Ok(());
        };
        // Of each row: where it is now, behind those that were there; `None` when it was left out.
        let all = left.kept.len();
        let mut places: Vec<Option<u32>> = (0..all as u32).map(Some).collect();
        meant.values().iter().for_each(|row| places[*row as usize] = None);
        for (at, given) in from.kept.values().iter().enumerate() {
            places[meant.value(*given as usize) as usize] = Some((all + at) as u32);
        }
        let places = UInt32Array::from_iter_values(places.into_iter().flatten());
        let kept: Vec<u32> =
            from.kept.values().iter().map(|row| left.kept.value(meant.value(*row as usize) as usize)).collect();
        let kept = arrow::compute::concat(&[&left.kept, &UInt32Array::from(kept)])?;
        left.kept = take(&kept, &places, None)?.as_primitive::<UInt32Type>().clone();
        let both = |a: &Option<RecordBatch>, b: Option<RecordBatch>| match (a, b) {
            (Some(a), Some(b)) => Ok(Some(concat_batches(&self.schema, [a, &b])?)),
            (None, None) => Ok(None),
            _ => Err(Error::new(INTERNAL_ERROR, "rows of a trigger must stay what they are")),
        };
        let rows = ChangedRows { old: both(&left.rows.old, from.rows.old)?, new: both(&left.rows.new, from.rows.new)? };
        left.rows = rows.take(&places)?;
        Ok(())
    }

    /// Numbers of the rows that satisfy the trigger's condition; `None`: all.
    async fn meant(
        &self,
        ready: &Ready,
        rows: &ChangedRows,
        context: Option<&Arc<StatementContext>>,
    ) -> Result<Option<UInt32Array>> {
        let Some(condition) = &ready.condition else { return Ok(None) };
        let context = match context {
            Some(context) => Arc::clone(context),
            None => self.run.session.context()?,
        };
        let depth = self.run.session.info.firing.depth();
        let sets = row_sets(&self.schema, rows, depth)?;
        let evaluation = Evaluation { run: &self.run, context: &context, clause: super::WHEN };
        let meant = evaluation.over(&sets, Vec::new(), Some(condition.clone())).await?.rows;
        Ok((meant.len() < rows.len()).then_some(meant))
    }

    /// Rows are in the table now.
    pub(crate) fn wrote(&mut self, rows: ChangedRows) -> Result<()> {
        if rows.len() == 0 || !self.asks_for_rows() {
            return Ok(());
        }
        self.memory.try_grow(rows.memory_bytes())?;
        self.changed.push(rows.loosened(&self.schema)?);
        Ok(())
    }

    /// The same of new rows.
    pub(crate) fn wrote_new(&mut self, new: &RecordBatch) -> Result<()> {
        if self.asks_for_rows() { self.wrote(ChangedRows::inserted(new.clone())) } else { Ok(()) }
    }

    async fn fire_after(&self, ready: &Ready, rows: ChangedRows) -> Result<()> {
        self.run.active.check()?;
        let rows = match self.meant(ready, &rows, None).await? {
            None => rows,
            Some(meant) if meant.is_empty() => return Ok(()),
            Some(meant) => rows.take(&meant)?,
        };
        let called = self.call(ready, Given::Rows(&rows), None).await?;
        if called.statements.is_empty() {
            return Ok(());
        }
        let (_, tables) = self.transition(ready)?;
        let _pushed = self.push(None, &tables, ready)?;
        nested::run_texts(&self.run, &called.statements).await
    }

    async fn fire_statement(&self, ready: &Ready) -> Result<()> {
        self.run.active.check()?;
        if let Some(condition) = &ready.condition {
            let context = self.run.session.context()?;
            let evaluation = Evaluation { run: &self.run, context: &context, clause: super::WHEN };
            if !evaluation.holds(condition.clone()).await? {
                return Ok(());
            }
        }
        let is_change = matches!(self.event, TriggerEvent::Update | TriggerEvent::Delete);
        let guard = (is_change && ready.trigger.timing == TriggerTiming::Before)
            .then_some(Guard { table: self.table.oid, allows_inserts: true });
        let called = self.call(ready, Given::Statement, guard).await?;
        let (_, tables) = self.transition(ready)?;
        let _pushed = self.push(guard, &tables, ready)?;
        nested::run_texts(&self.run, &called.statements).await
    }

    /// Calls a trigger's function. Statements of one in SQL have run then.
    async fn call(&self, ready: &Ready, given: Given<'_>, guard: Option<Guard>) -> Result<Called> {
        let started = Instant::now();
        let (names, tables) = self.transition(ready)?;
        let rows = match &given {
            Given::Rows(rows) => rows.len(),
            Given::Statement if tables.is_empty() => 0,
            Given::Statement => self.changed.iter().map(ChangedRows::len).sum(),
        };
        let pushed = self.push(guard, &tables, ready)?;
        let called = match &ready.body {
            Body::Sql(items) => {
                let words = self.words(ready, names);
                let call = SqlCall {
                    run: &self.run,
                    table: &self.table,
                    schema: &self.schema,
                    timing: ready.trigger.timing,
                    words: &words,
                    pushed: &pushed,
                };
                match given {
                    Given::Rows(rows) => {
                        let left = Box::pin(call.rows(items, rows.clone())).await;
                        left.map(|left| Called { left, statements: Vec::new() })
                    }
                    Given::Statement => Box::pin(call.statement(items)).await.map(|()| Called::nothing()),
                }
            }
            Body::Foreign(body) => {
                let interrupt = self.interrupt();
                match given {
                    Given::Rows(rows) => {
                        let firing = self.firing(ready, rows.old.as_ref(), rows.new.as_ref());
                        let effects = body.fire(&firing, &interrupt);
                        effects.and_then(|effects| self.left(ready, rows, effects))
                    }
                    Given::Statement => {
                        let all = |wanted: bool, of: fn(&ChangedRows) -> Option<&RecordBatch>| {
                            let batches = self.changed.iter().filter_map(of);
                            wanted.then(|| concat_batches(&self.schema, batches)).transpose()
                        };
                        let old = all(ready.trigger.old_table.is_some(), |rows| rows.old.as_ref())?;
                        let new = all(ready.trigger.new_table.is_some(), |rows| rows.new.as_ref())?;
                        let effects = body.fire(&self.firing(ready, old.as_ref(), new.as_ref()), &interrupt);
                        effects.map(|effects| Called { statements: effects.statements, ..Called::nothing() })
                    }
                }
            }
        };
        drop(pushed);
        self.run.session.instance.triggers().count(ready.trigger.oid, rows as u64, started.elapsed());
        // A function that was interrupted says so in its own words.
        self.run.active.check()?;
        called
    }

    fn interrupt(&self) -> Interrupt {
        let token = self.run.active.token().clone();
        Arc::new(move || token.is_cancelled())
    }

    fn firing<'a>(&self, ready: &'a Ready, old: Option<&'a RecordBatch>, new: Option<&'a RecordBatch>) -> Firing<'a> {
        let Trigger { timing, level, .. } = ready.trigger;
        Firing { event: self.event, timing, level, arguments: &ready.arguments, old, new }
    }

    /// What a function in another language leaves of rows.
    fn left(&self, ready: &Ready, rows: &ChangedRows, effects: Effects) -> Result<Called> {
        let wrong = |what: &str| Error::new(DATATYPE_MISMATCH, format!("function {} gave {what}", ready.function.name));
        let Effects { new, skipped, statements } = effects;
        let mut rows = rows.clone();
        if let Some(new) = new.filter(|_| rows.new.is_some() && ready.trigger.timing == TriggerTiming::Before) {
            let types = new.schema().fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
            let is_fit = types.iter().eq(self.schema.fields().iter().map(|field| field.data_type()));
            if !is_fit || new.num_rows() != rows.len() {
                return Err(wrong("new rows of another form than the table's"));
            }
            rows.new = Some(with_columns(&self.schema, new.columns().to_vec(), new.num_rows())?);
        }
        let is_ascending = skipped.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_ascending || skipped.last().is_some_and(|last| *last >= rows.len()) {
            return Err(wrong("rows to leave out that are not among those it was given"));
        }
        let mut skipped = skipped.into_iter().peekable();
        let is_kept = |row: &u32| skipped.next_if_eq(&(*row as usize)).is_none();
        let kept: UInt32Array = (0..rows.len() as u32).filter(is_kept).map(Some).collect();
        if kept.len() < rows.len() {
            rows = rows.take(&kept)?;
        }
        Ok(Called { left: Left { rows, kept }, statements })
    }

    /// Enters a call.
    fn push(
        &self,
        guard: Option<Guard>,
        tables: &HashMap<String, Arc<dyn TableProvider>>,
        ready: &Ready,
    ) -> Result<Pushed> {
        let search_path = ready.function.search_path.clone();
        self.run.session.info.firing.push(Frame { tables: tables.clone(), search_path, guard })
    }

    /// The transition tables of a trigger: names with what they stand for, and the tables.
    #[expect(clippy::type_complexity, reason = "two lists of one use")]
    fn transition(&self, ready: &Ready) -> Result<(Vec<(String, String)>, HashMap<String, Arc<dyn TableProvider>>)> {
        let (mut names, mut tables) = (Vec::new(), HashMap::new());
        let depth = self.run.session.info.firing.depth();
        let wanted = [(&ready.trigger.old_table, "old"), (&ready.trigger.new_table, "new")];
        for (name, which) in wanted {
            let Some(name) = name else { continue };
            let of = |rows: &ChangedRows| if which == "old" { rows.old.clone() } else { rows.new.clone() };
            let batches = self.changed.iter().filter_map(of).collect();
            let table = MemTable::try_new(Arc::clone(&self.schema), vec![batches])?;
            let slot = format!("transition {depth} {which}");
            names.push((name.clone(), slot.clone()));
            tables.insert(slot, Arc::new(table) as Arc<dyn TableProvider>);
        }
        Ok((names, tables))
    }

    fn words(&self, ready: &Ready, tables: Vec<(String, String)>) -> Words {
        let trigger = &ready.trigger;
        let texts = [
            ("tg_op", event_name(self.event).to_owned()),
            ("tg_name", trigger.name.clone()),
            ("tg_table_name", self.table.name.clone()),
            ("tg_relname", self.table.name.clone()),
            ("tg_table_schema", self.table_schema.clone()),
            ("tg_when", timing_name(trigger.timing).to_owned()),
            ("tg_level", level_name(trigger.level).to_owned()),
        ];
        let numbers = [("tg_nargs", trigger.arguments.len()), ("tg_relid", self.table.oid.0 as usize)];
        Words { texts: texts.into(), numbers: numbers.into(), arguments: trigger.arguments.clone(), tables }
    }

    fn named(&self, error: Error, ready: &Ready) -> Error {
        let line = format!(
            "function {} called by trigger \"{}\" of table \"{}\"",
            ready.function.name, ready.trigger.name, self.table.name
        );
        let mut error = nested::with_line(error, &line);
        (error.0.position, error.0.location) = (None, None);
        error
    }
}

impl Called {
    fn nothing() -> Called {
        let left = Left { rows: ChangedRows { old: None, new: None }, kept: UInt32Array::from(Vec::<u32>::new()) };
        Called { left, statements: Vec::new() }
    }
}

fn called_by(error: Error, trigger: &str, table: &str) -> Error {
    nested::with_line(error, &format!("trigger \"{trigger}\" of table \"{table}\""))
}

/// As `tg_op` has it, and CREATE TRIGGER.
pub(crate) fn event_name(event: TriggerEvent) -> &'static str {
    match event {
        TriggerEvent::Insert => "INSERT",
        TriggerEvent::Update => "UPDATE",
        TriggerEvent::Delete => "DELETE",
        TriggerEvent::Truncate => "TRUNCATE",
    }
}

/// As `tg_when` has it.
pub(crate) fn timing_name(timing: TriggerTiming) -> &'static str {
    match timing {
        TriggerTiming::Before => "BEFORE",
        TriggerTiming::After => "AFTER",
    }
}

/// As `tg_level` has it.
pub(crate) fn level_name(level: TriggerLevel) -> &'static str {
    match level {
        TriggerLevel::Row => "ROW",
        TriggerLevel::Statement => "STATEMENT",
    }
}
