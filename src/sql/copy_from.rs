//! COPY … FROM: rows from the client or a file.
//!
//! Bytes arrive cut anywhere. A [`RecordReader`], or a [`TupleReader`] in format binary, finds records and fields in them and
//! fills one column builder per column; full batches go to the statement's [`Sink`]. Nothing is kept unless the end of the data is reached without an error, and
//! an error says which line and column it is about.

use crate::copy_binary::TupleReader;
use crate::copy_format::{Field, Fields, Format, Found};
use crate::copy_target::{BATCH_ROWS, Filling, RECORD_BYTES_MAX, Target};
use crate::error::{Error, Result};
use crate::outcome::{CopyIn, Outcome};
use crate::parser::copy::{CopyEnd, CopyFormat, CopyOptions, CopySource, CopyStatement};
use crate::session::Run;
use crate::sqlstate::{BAD_COPY_FILE_FORMAT, INSUFFICIENT_PRIVILEGE, QUERY_CANCELED, UNDEFINED_FILE};
use crate::statements::insert::column_indexes;
use crate::statements::target::Name;
use crate::text::{ColumnBuilder, utf8};
use crate::transaction::Transactions;
use crate::triggers::{Fired, TriggeredSink};
use crate::unique::UniqueKey;
use crate::write::{Sink, source_of};
use arrow::array::RecordBatch;
use bytes::Bytes;
use lightning_catalog::{Relation, TriggerEvent, TriggerTiming};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;
/// Characters of a line or value shown in an error's context.
const SHOWN_CHARACTERS_MAX: usize = 100;

/// Runs COPY FROM.
pub(crate) async fn run(run: &Run, copy: &CopyStatement) -> Result<Outcome> {
    let CopySource::Table(name, columns) = &copy.source else {
        return Err(Error::unsupported("COPY FROM into a query"));
    };
    let (mut write, table, context) = loop {
        let context = run.session.context()?;
        let table = Name::new(run, name)?.table(&context, "copy to")?;
        let mut write = run.session.write()?;
        if let Some((storage, catalog)) = write.lock_target(run, &table).await? {
            break (write, table, run.session.set_context(storage, catalog));
        }
        write.finish().await?;
    };
    let columns = column_indexes(run, &table, &columns.iter().collect::<Vec<_>>())?;
    let mut target = Target::new(run, &table, columns).await?;
    let now = match context.catalog.relation_by_oid(table.oid) {
        Some(Relation::Table(now)) => now,
        _ => &table,
    };
    let mut fired = Fired::of(run, &context, now, TriggerEvent::Insert, &[])?;
    if let Some(fired) = &mut fired {
        target.shape = fired.shape();
        fired.statement(TriggerTiming::Before, &mut write).await?;
    }
    let keys = UniqueKey::all(&table, run.session.zone());
    let start = |write| match fired {
        None => Way::Plain(Sink::start(write, run.patience(&table), keys)),
        Some(fired) => Way::Triggered(Box::new(TriggeredSink::start(run, fired, &context, write, keys))),
    };
    match &copy.end {
        CopyEnd::Client if copy.options.format == CopyFormat::Parquet => {
            Err(Error::unsupported("COPY FROM STDIN in format parquet"))
        }
        CopyEnd::Client => {
            let count = target.columns.len();
            let reader = Box::new(CopyReader {
                records: Records::new(target, &copy.options)?,
                sink: start(write),
                active: Arc::clone(&run.active),
                transactions: Arc::clone(&run.session.transactions),
            });
            let binary = copy.options.format == CopyFormat::Binary;
            Ok(Outcome::CopyIn(CopyIn { columns: count, binary, reader }))
        }
        CopyEnd::File(path) => {
            check_files(run, "from")?;
            let rows = from_file(run, start(write), target, path, &copy.options).await?;
            Ok(Outcome::Done { tag: format!("COPY {rows}"), rows })
        }
    }
}

/// Where rows go.
#[derive(Debug)]
enum Way {
    Plain(Sink),
    Triggered(Box<TriggeredSink>),
}

impl Way {
    async fn push(&mut self, batch: RecordBatch) -> Result<()> {
        match self {
            Way::Plain(sink) => sink.push(batch).await,
            Way::Triggered(sink) => Box::pin(sink.push(batch)).await,
        }
    }

    async fn finish(self) -> Result<u64> {
        match self {
            Way::Plain(sink) => sink.finish().await,
            Way::Triggered(sink) => Box::pin(sink.finish()).await,
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

/// Reads records in the format they have.
#[derive(Debug)]
enum Records {
    /// Text or CSV.
    Text(Box<RecordReader>),
    Binary(TupleReader),
}

impl Records {
    fn new(target: Target, options: &CopyOptions) -> Result<Records> {
        Ok(match options.format {
            CopyFormat::Binary => Records::Binary(TupleReader::new(target)?),
            _ => Records::Text(Box::new(RecordReader::new(target, options)?)),
        })
    }

    fn push(&mut self, data: &[u8], out: &mut Vec<RecordBatch>) -> Result<()> {
        match self {
            Records::Text(reader) => reader.push(data, out),
            Records::Binary(reader) => reader.push(data, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        match self {
            Records::Text(reader) => reader.finish(out),
            Records::Binary(reader) => reader.finish(out),
        }
    }
}

/// Turns lines into batches.
#[derive(Debug)]
struct RecordReader {
    filling: Filling,
    format: Format,
    null: Vec<u8>,
    /// Bytes of the record that has begun.
    pending: Vec<u8>,
    fields: Fields,
    skip_header: bool,
    ended: bool,
}

impl RecordReader {
    fn new(target: Target, options: &CopyOptions) -> Result<RecordReader> {
        Ok(RecordReader {
            filling: Filling::new(target)?,
            format: Format::new(options),
            null: options.null.clone().into_bytes(),
            pending: Vec::new(),
            fields: Fields::default(),
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
            return Err(Error::new(BAD_COPY_FILE_FORMAT, "a record is too long").with_context(self.filling.place()));
        }
        Ok(())
    }

    /// No more bytes.
    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.consume(&pending, true, out)?;
        self.filling.end_batch(out)
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
                    self.filling.line += count_lines(&data[at..]);
                    Err(Error::new(BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"))
                        .map_err(|e| e.with_context(self.place_with_line(&data[at..])))
                }
                Found::Record { length, lines } => {
                    self.filling.line += lines;
                    let raw = &data[at..at + length];
                    at += length;
                    self.record(raw, &fields, out)
                }
            };
            self.fields = fields;
            result?;
        }
        Ok(if self.ended { data.len() } else { at })
    }

    fn record(&mut self, raw: &[u8], fields: &Fields, out: &mut Vec<RecordBatch>) -> Result<()> {
        if std::mem::take(&mut self.skip_header) {
            return Ok(());
        }
        let wanted = self.filling.builders.len();
        if fields.len() > wanted {
            return Err(Error::new(BAD_COPY_FILE_FORMAT, "extra data after last expected column")
                .with_context(self.place_with_line(raw)));
        }
        if fields.len() < wanted {
            let column = self.filling.target.column(fields.len());
            return Err(Error::new(BAD_COPY_FILE_FORMAT, format!("missing data for column \"{column}\""))
                .with_context(self.place_with_line(raw)));
        }
        for index in 0..wanted {
            let field = fields.get(index, raw);
            if let Err(e) = append(&mut self.filling.builders[index], &field, &self.null) {
                return Err(self.filling.located(e, index, Some(&shown(field.bytes))));
            }
        }
        self.filling.end_row(out)
    }

    fn place_with_line(&self, raw: &[u8]) -> String {
        format!("{}: \"{}\"", self.filling.place(), shown(raw))
    }
}

fn append(builder: &mut ColumnBuilder, field: &Field<'_>, null: &[u8]) -> Result<()> {
    if !field.quoted && field.raw == null {
        builder.append_null();
        return Ok(());
    }
    builder.append(utf8(field.bytes)?)
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
    records: Records,
    sink: Way,
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

async fn from_file(run: &Run, mut sink: Way, target: Target, path: &str, options: &CopyOptions) -> Result<u64> {
    let file = File::open(path).map_err(|e| open_error(path, &e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Error::new(crate::sqlstate::WRONG_OBJECT_TYPE, format!("\"{path}\" is a directory")));
    }
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
    let mut records = Records::new(target, options)?;
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
