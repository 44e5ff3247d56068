//! COPY … FROM: rows from the client or a file.
//!
//! Bytes arrive cut anywhere. A [`RecordReader`] finds records and fields in them and fills one column builder per column;
//! full batches go to the statement's [`Sink`]. Nothing is kept unless the end of the data is reached without an error, and
//! an error says which line and column it is about.

use crate::copy_format::{Field, Fields, Format, Found};
use crate::error::{Error, Result};
use crate::outcome::{CopyIn, Outcome};
use crate::parser::copy::{CopyEnd, CopyFormat, CopyOptions, CopySource, CopyStatement};
use crate::provider::column_type;
use crate::session::Run;
use crate::sqlstate::{
    BAD_COPY_FILE_FORMAT, CHARACTER_NOT_IN_REPERTOIRE, INSUFFICIENT_PRIVILEGE, QUERY_CANCELED, UNDEFINED_FILE,
};
use crate::statements::insert::{Defaults, column_indexes};
use crate::statements::target::Name;
use crate::text::{ColumnBuilder, InputOptions};
use crate::transaction::{Transactions, WriteTxn};
use crate::unique::UniqueKey;
use crate::write::{Shape, Sink, source_of};
use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use lightning_catalog::Table;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;
/// Bytes of one record.
const RECORD_BYTES_MAX: usize = 1 << 30;
/// Characters of a line or value shown in an error's context.
const SHOWN_CHARACTERS_MAX: usize = 100;

/// Runs COPY FROM.
pub(crate) async fn run(run: &Run, copy: &CopyStatement) -> Result<Outcome> {
    let CopySource::Table(name, columns) = &copy.source else {
        return Err(Error::unsupported("COPY FROM into a query"));
    };
    let (write, table) = loop {
        let context = run.session.context()?;
        let table = Name::new(run, name)?.table(&context, "copy to")?;
        let mut write = run.session.write()?;
        if write.lock_target(run, &table).await?.is_some() {
            break (write, table);
        }
        write.finish().await?;
    };
    let columns = column_indexes(run, &table, &columns.iter().collect::<Vec<_>>())?;
    let target = Target::new(run, &table, columns).await?;
    match &copy.end {
        CopyEnd::Client if copy.options.format == CopyFormat::Parquet => {
            Err(Error::unsupported("COPY FROM STDIN in format parquet"))
        }
        CopyEnd::Client => {
            let count = target.columns.len();
            let reader = Box::new(CopyReader {
                records: RecordReader::new(target, &copy.options)?,
                sink: Sink::start(write, run.patience(&table), UniqueKey::all(&table, run.session.zone())),
                active: Arc::clone(&run.active),
                transactions: Arc::clone(&run.session.transactions),
            });
            Ok(Outcome::CopyIn(CopyIn { columns: count, binary: false, reader }))
        }
        CopyEnd::File(path) => {
            let rows = from_file(run, write, target, path, &copy.options).await?;
            Ok(Outcome::Done { tag: format!("COPY {rows}"), rows })
        }
    }
}

/// Refuses files to sessions of other machines' clients.
pub(crate) fn check_files(run: &Run, what: &str) -> Result<()> {
    if run.session.local_files {
        return Ok(());
    }
    Err(Error::new(INSUFFICIENT_PRIVILEGE, format!("permission denied to COPY {what} a file"))
        .with_hint("Use COPY ... FROM STDIN or COPY ... TO STDOUT; psql's \\copy does it for files of the client."))
}

/// The table and what fills its columns.
#[derive(Debug)]
struct Target {
    table: Arc<Table>,
    columns: Vec<usize>,
    shape: Shape,
    defaults: Defaults,
    options: InputOptions,
}

impl Target {
    async fn new(run: &Run, table: &Arc<Table>, columns: Vec<usize>) -> Result<Target> {
        let zone = run.session.zone();
        let defaults = Defaults::plan(run, table, |c| columns.contains(&c)).await?;
        let shape = Shape::new(table, zone);
        Ok(Target { table: Arc::clone(table), columns, shape, defaults, options: InputOptions { zone } })
    }

    fn builders(&self) -> Result<Vec<ColumnBuilder>> {
        let new =
            |column: &usize| ColumnBuilder::new(column_type(&self.table.columns[*column]), BATCH_ROWS, self.options);
        self.columns.iter().map(new).collect()
    }

    fn complete(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let mut filled: Vec<Option<ArrayRef>> = vec![None; self.table.columns.len()];
        for (column, array) in self.columns.iter().zip(arrays) {
            filled[*column] = Some(array);
        }
        self.defaults.complete(&self.shape, filled, rows)
    }
}

/// Turns bytes into batches.
#[derive(Debug)]
struct RecordReader {
    target: Target,
    format: Format,
    null: Vec<u8>,
    builders: Vec<ColumnBuilder>,
    /// Bytes of the record that has begun.
    pending: Vec<u8>,
    fields: Fields,
    rows: usize,
    /// Lines consumed.
    line: u64,
    skip_header: bool,
    ended: bool,
}

impl RecordReader {
    fn new(target: Target, options: &CopyOptions) -> Result<RecordReader> {
        Ok(RecordReader {
            builders: target.builders()?,
            target,
            format: Format::new(options),
            null: options.null.clone().into_bytes(),
            pending: Vec::new(),
            fields: Fields::default(),
            rows: 0,
            line: 0,
            skip_header: options.header,
            ended: false,
        })
    }

    /// Takes more bytes; batches that became full go to `out`.
    fn push(&mut self, data: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        if self.pending.is_empty() {
            let used = self.consume(data, false, out)?;
            self.pending.extend_from_slice(&data[used..]);
        } else {
            self.pending.extend_from_slice(data);
            let pending = std::mem::take(&mut self.pending);
            let used = self.consume(&pending, false, out)?;
            self.pending = pending;
            self.pending.drain(..used);
        }
        if self.pending.len() > RECORD_BYTES_MAX {
            return Err(Error::new(BAD_COPY_FILE_FORMAT, "a record is too long").with_context(self.place()));
        }
        Ok(())
    }

    /// No more bytes.
    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.consume(&pending, true, out)?;
        out.extend(self.batch()?);
        Ok(())
    }

    fn consume(&mut self, data: &[u8], at_end: bool, out: &mut Vec<RecordBatch>) -> Result<usize> {
        let mut at = 0;
        while at < data.len() && !self.ended {
            let mut fields = std::mem::take(&mut self.fields);
            let found = self.format.record(&data[at..], at_end, &mut fields);
            let result = match found {
                Found::Incomplete => {
                    self.fields = fields;
                    break;
                }
                Found::EndMarker(length) => {
                    self.ended = true;
                    at += length;
                    Ok(())
                }
                Found::Unterminated => {
                    self.line += count_lines(&data[at..]);
                    Err(Error::new(BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"))
                        .map_err(|e| e.with_context(self.place_with_line(&data[at..])))
                }
                Found::Record { length, lines } => {
                    self.line += lines;
                    let raw = &data[at..at + length];
                    at += length;
                    self.record(raw, &fields)
                }
            };
            self.fields = fields;
            result?;
            if self.rows == BATCH_ROWS {
                out.extend(self.batch()?);
            }
        }
        Ok(if self.ended { data.len() } else { at })
    }

    fn record(&mut self, raw: &[u8], fields: &Fields) -> Result<()> {
        if std::mem::take(&mut self.skip_header) {
            return Ok(());
        }
        let wanted = self.builders.len();
        if fields.len() > wanted {
            return Err(Error::new(BAD_COPY_FILE_FORMAT, "extra data after last expected column")
                .with_context(self.place_with_line(raw)));
        }
        if fields.len() < wanted {
            let column = &self.target.table.columns[self.target.columns[fields.len()]].name;
            return Err(Error::new(BAD_COPY_FILE_FORMAT, format!("missing data for column \"{column}\""))
                .with_context(self.place_with_line(raw)));
        }
        for index in 0..wanted {
            let field = fields.get(index, raw);
            if let Err(e) = append(&mut self.builders[index], &field, &self.null) {
                return Err(self.located(e, index, &field));
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let batch = self.target.complete(arrays, rows);
        batch.map(Some).map_err(|e| if e.0.context.is_none() { e.with_context(self.place()) } else { e })
    }

    fn place(&self) -> String {
        format!("COPY {}, line {}", self.target.table.name, self.line)
    }

    fn place_with_line(&self, raw: &[u8]) -> String {
        format!("{}: \"{}\"", self.place(), shown(raw))
    }

    fn located(&self, e: Error, index: usize, field: &Field<'_>) -> Error {
        let column = &self.target.table.columns[self.target.columns[index]].name;
        e.with_context(format!("{}, column {column}: \"{}\"", self.place(), shown(field.bytes))).with_column(column)
    }
}

fn append(builder: &mut ColumnBuilder, field: &Field<'_>, null: &[u8]) -> Result<()> {
    if !field.quoted && field.raw == null {
        builder.append_null();
        return Ok(());
    }
    let text = std::str::from_utf8(field.bytes).map_err(|e| {
        let at = e.valid_up_to();
        let bad: Vec<String> =
            field.bytes[at..].iter().take(e.error_len().unwrap_or(1)).map(|b| format!("0x{b:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", bad.join(" "));
        Error::new(CHARACTER_NOT_IN_REPERTOIRE, message)
    })?;
    builder.append(text)
}

fn count_lines(data: &[u8]) -> u64 {
    data.iter().filter(|b| **b == b'\n').count() as u64
}

fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let text = text.trim_end_matches(['\n', '\r']);
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// COPY FROM STDIN while it runs.
#[derive(Debug)]
pub(crate) struct CopyReader {
    records: RecordReader,
    sink: Sink,
    active: Arc<crate::active::Active>,
    transactions: Arc<Transactions>,
}

impl CopyReader {
    pub(crate) async fn push(&mut self, data: Bytes) -> Result<()> {
        let result = self.push_inner(&data).await;
        result.inspect_err(|_| self.transactions.fail())
    }

    async fn push_inner(&mut self, data: &[u8]) -> Result<()> {
        self.active.check()?;
        let mut batches = Vec::new();
        self.records.push(data, &mut batches)?;
        self.send(batches).await
    }

    async fn send(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        for batch in batches {
            self.sink.push(batch).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<u64> {
        let transactions = Arc::clone(&self.transactions);
        let result = async {
            self.active.check()?;
            let mut batches = Vec::new();
            self.records.finish(&mut batches)?;
            self.send(batches).await?;
            self.sink.finish().await
        }
        .await;
        result.inspect_err(|_| transactions.fail())
    }

    pub(crate) async fn abort(self, reason: &str) -> Error {
        self.transactions.fail();
        Error::new(QUERY_CANCELED, format!("COPY from stdin failed: {reason}"))
    }
}

async fn from_file(run: &Run, write: WriteTxn, target: Target, path: &str, options: &CopyOptions) -> Result<u64> {
    check_files(run, "from")?;
    let file = File::open(path).map_err(|e| open_error(path, &e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Error::new(crate::sqlstate::WRONG_OBJECT_TYPE, format!("\"{path}\" is a directory")));
    }
    let mut sink = Sink::start(write, run.patience(&target.table), UniqueKey::all(&target.table, run.session.zone()));
    let (sender, mut batches) = mpsc::channel(2);
    let (options, active) = (options.clone(), Arc::clone(&run.active));
    let reader = tokio::task::spawn_blocking(move || match options.format {
        CopyFormat::Parquet => read_parquet(file, &target, &active, &sender),
        _ => read_records(file, target, &options, &active, &sender),
    });
    while let Some(batch) = batches.recv().await {
        sink.push(batch).await?;
    }
    reader.await.map_err(|e| match e.try_into_panic() {
        Ok(payload) => crate::sqlstate::panicked(payload.as_ref()),
        Err(_) => crate::sqlstate::cancelled(false),
    })??;
    sink.finish().await
}

fn open_error(path: &str, e: &std::io::Error) -> Error {
    let (state, why) = match e.kind() {
        std::io::ErrorKind::NotFound => (UNDEFINED_FILE, "No such file or directory".to_owned()),
        std::io::ErrorKind::PermissionDenied => (INSUFFICIENT_PRIVILEGE, "Permission denied".to_owned()),
        _ => (crate::sqlstate::IO_ERROR, e.to_string()),
    };
    Error::new(state, format!("could not open file \"{path}\" for reading: {why}"))
}

fn read_error(e: &std::io::Error) -> Error {
    Error::new(crate::sqlstate::IO_ERROR, format!("could not read from COPY file: {e}"))
}

fn read_records(
    mut file: File,
    target: Target,
    options: &CopyOptions,
    active: &crate::active::Active,
    sender: &mpsc::Sender<RecordBatch>,
) -> Result<()> {
    let mut records = RecordReader::new(target, options)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut batches = Vec::new();
    loop {
        active.check()?;
        let length = file.read(&mut buffer).map_err(|e| read_error(&e))?;
        if length == 0 {
            records.finish(&mut batches)?;
        } else {
            records.push(&buffer[..length], &mut batches)?;
        }
        for batch in batches.drain(..) {
            if sender.blocking_send(batch).is_err() {
                // The statement failed elsewhere; its error is reported there.
                return Ok(());
            }
        }
        if length == 0 {
            return Ok(());
        }
    }
}

fn read_parquet(
    file: File,
    target: &Target,
    active: &crate::active::Active,
    sender: &mpsc::Sender<RecordBatch>,
) -> Result<()> {
    let bad = |e: parquet::errors::ParquetError| Error::new(BAD_COPY_FILE_FORMAT, e.to_string());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(bad)?;
    let schema = Arc::clone(builder.schema());
    let wanted = target.columns.len();
    if schema.fields().len() != wanted {
        return Err(Error::new(
            BAD_COPY_FILE_FORMAT,
            format!("the file has {} columns, {wanted} are expected", schema.fields().len()),
        ));
    }
    let sources: Vec<_> = schema.fields().iter().map(|f| source_of(f, false)).collect();
    for (source, column) in sources.iter().zip(&target.columns) {
        target.shape.check(*column, source)?;
    }
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(bad)? {
        active.check()?;
        let batch = batch?;
        let arrays = batch
            .columns()
            .iter()
            .zip(&sources)
            .zip(&target.columns)
            .map(|((values, source), column)| target.shape.assign(*column, source, values))
            .collect::<Result<Vec<_>>>()?;
        if sender.blocking_send(target.complete(arrays, batch.num_rows())?).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
