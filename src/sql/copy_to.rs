//! COPY … TO: rows to the client or a file, as text, CSV, binary or Parquet.

use crate::copy_binary;
use crate::copy_from::check_files;
use crate::encode::{Format, RowEncoder, Zone};
use crate::error::{Error, Result};
use crate::outcome::{CopyOut, CopyRows, Outcome, RowStream};
use crate::parser::copy::{CopyEnd, CopyFormat, CopyOptions, CopySource, CopyStatement};
use crate::parser::names::star;
use crate::plan::{executable, named_query_plan, start};
use crate::prepared::bind;
use crate::provider::state_for;
use crate::session::Run;
use crate::sqlstate::{INSUFFICIENT_PRIVILEGE, IO_ERROR, UNDEFINED_FUNCTION, WRONG_OBJECT_TYPE};
use crate::statements::target::Name;
use crate::text::TextColumn;
use crate::{parser, present, semantics, types};
use arrow::array::RecordBatch;
use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{Bytes, BytesMut};
use datafusion::sql::sqlparser::ast::{Query, SelectItem, SetExpr, TableFactor};
use futures::{StreamExt, stream};
use lightning_catalog::Relation;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs COPY TO.
pub(crate) async fn run(run: &Run, copy: &CopyStatement) -> Result<Outcome> {
    let query = match &copy.source {
        CopySource::Query(query) => query.as_ref().clone(),
        CopySource::Table(name, columns) => {
            let context = run.session.context()?;
            let wanted = Name::new(run, name)?;
            if let Some(relation @ (Relation::View(_) | Relation::Graph(_))) = wanted.find(&context) {
                let kind = relation.kind();
                return Err(Error::new(WRONG_OBJECT_TYPE, format!("cannot copy from {kind} \"{}\"", wanted.name))
                    .with_hint("Try the COPY (SELECT ...) TO variant."));
            }
            table_query(name, columns)?
        }
    };
    let rows = rows(run, &query).await?;
    match &copy.end {
        CopyEnd::Client if copy.options.format == CopyFormat::Parquet => {
            Err(Error::unsupported("COPY TO STDOUT in format parquet"))
        }
        CopyEnd::Client => Ok(Outcome::CopyOut(to_client(rows, &copy.options, run.session.zone())?)),
        CopyEnd::File(path) => {
            let rows = to_file(run, rows, path, &copy.options).await?;
            Ok(Outcome::Done { tag: format!("COPY {rows}"), rows })
        }
    }
}

async fn rows(run: &Run, query: &Query) -> Result<RowStream> {
    let context = run.session.context()?;
    let mut state = state_for(&run.session.base, &run.session.info, &context);
    semantics::begin_statement(&mut state, &run.session.info);
    let plan = bind(named_query_plan(&state, query).await?, run, None)?;
    let (logical, physical) = executable(&state, &plan).await?;
    let stream = start(&state, physical)?;
    Ok(present::rows(&logical, stream, "COPY", &run.active, &run.session.transactions))
}

/// `SELECT columns FROM table`.
fn table_query(
    name: &datafusion::sql::sqlparser::ast::ObjectName,
    columns: &[datafusion::sql::sqlparser::ast::Ident],
) -> Result<Query> {
    let mut query = parser::parse_query("SELECT * FROM placeholder")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        if let Some(TableFactor::Table { name: slot, .. }) = select.from.first_mut().map(|f| &mut f.relation) {
            *slot = name.clone();
        }
        select.projection = if columns.is_empty() {
            star()
        } else {
            let column = |c: &datafusion::sql::sqlparser::ast::Ident| {
                SelectItem::UnnamedExpr(datafusion::sql::sqlparser::ast::Expr::Identifier(c.clone()))
            };
            columns.iter().map(column).collect()
        };
    }
    Ok(query)
}

/// Writes batches.
enum Encoder {
    Text(TextEncoder),
    Binary(TupleEncoder),
}

impl Encoder {
    fn new(schema: &SchemaRef, options: &CopyOptions, zone: Tz) -> Result<Encoder> {
        if options.format != CopyFormat::Binary {
            return Ok(Encoder::Text(TextEncoder { options: options.clone(), zone }));
        }
        for field in schema.fields() {
            let pg = types::pg_type(field);
            // Sent as text here, which is not what their binary form is in PostgreSQL.
            if matches!(pg.oid, 22 | 30 | 194) {
                let message = format!("no binary output function available for type {}", pg.sql_name());
                return Err(Error::new(UNDEFINED_FUNCTION, message));
            }
        }
        let formats = vec![Format::Binary; schema.fields().len()];
        // Binary time stamps are instants: no zone changes them.
        let rows = RowEncoder::new(schema, &formats, Zone::Utc);
        Ok(Encoder::Binary(TupleEncoder { rows, header: copy_binary::header() }))
    }

    fn header(&self, schema: &Schema) -> CopyRows {
        match self {
            Encoder::Text(encoder) => encoder.header(schema),
            Encoder::Binary(_) => none(),
        }
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<CopyRows> {
        match self {
            Encoder::Text(encoder) => encoder.batch(batch),
            Encoder::Binary(encoder) => encoder.batch(batch),
        }
    }

    fn trailer(&mut self) -> CopyRows {
        match self {
            Encoder::Text(_) => none(),
            Encoder::Binary(encoder) => encoder.trailer(),
        }
    }
}

fn none() -> CopyRows {
    CopyRows { bytes: Bytes::new(), ends: Vec::new() }
}

/// Writes batches in the binary format.
struct TupleEncoder {
    rows: RowEncoder,
    /// The header, until it has gone out. It goes in one message with the first row or, without rows, the trailer, as
    /// PostgreSQL sends it: drivers rely on it.
    header: Vec<u8>,
}

impl TupleEncoder {
    fn batch(&mut self, batch: &RecordBatch) -> Result<CopyRows> {
        if batch.num_rows() == 0 {
            return Ok(none());
        }
        let rows = self.rows.bind(batch)?;
        let mut out = BytesMut::with_capacity(self.header.len() + batch.num_rows() * (2 + batch.num_columns() * 12));
        out.extend_from_slice(&std::mem::take(&mut self.header));
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..rows.rows() {
            rows.put_tuple(row, &mut out);
            ends.push(out.len());
        }
        Ok(CopyRows { bytes: out.freeze(), ends })
    }

    fn trailer(&mut self) -> CopyRows {
        let mut out = std::mem::take(&mut self.header);
        out.extend_from_slice(&copy_binary::trailer());
        one(out)
    }
}

fn one(bytes: Vec<u8>) -> CopyRows {
    let ends = vec![bytes.len()];
    CopyRows { bytes: bytes.into(), ends }
}

/// Writes batches in a text format.
struct TextEncoder {
    options: CopyOptions,
    zone: Tz,
}

impl TextEncoder {
    fn header(&self, schema: &Schema) -> CopyRows {
        if !self.options.header {
            return none();
        }
        let mut out = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                out.push(self.options.delimiter);
            }
            self.value(field.name().as_bytes(), &mut out, schema.fields().len());
        }
        out.push(b'\n');
        one(out)
    }

    fn batch(&self, batch: &RecordBatch) -> Result<CopyRows> {
        let columns: Vec<TextColumn> =
            batch.columns().iter().map(|c| TextColumn::new(c, self.zone)).collect::<Result<_>>()?;
        let mut out = Vec::with_capacity(batch.num_rows() * columns.len() * 8);
        let mut ends = Vec::with_capacity(batch.num_rows());
        let mut scratch = Vec::new();
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(self.options.delimiter);
                }
                if column.is_null(row) {
                    out.extend_from_slice(self.options.null.as_bytes());
                    continue;
                }
                scratch.clear();
                column.write(row, &mut scratch);
                self.value(&scratch, &mut out, columns.len());
            }
            out.push(b'\n');
            ends.push(out.len());
        }
        Ok(CopyRows { bytes: out.into(), ends })
    }

    fn value(&self, value: &[u8], out: &mut Vec<u8>, columns: usize) {
        match self.options.format {
            CopyFormat::Csv => self.csv(value, out, columns),
            _ => self.text(value, out),
        }
    }

    fn csv(&self, value: &[u8], out: &mut Vec<u8>, columns: usize) {
        let CopyOptions { delimiter, quote, escape, null, .. } = &self.options;
        let special = |b: &u8| *b == *delimiter || *b == *quote || *b == b'\n' || *b == b'\r';
        // A line that is only the end marker would end the data when read back.
        let quoted = value == null.as_bytes() || value.iter().any(special) || (columns == 1 && value == b"\\.");
        if !quoted {
            return out.extend_from_slice(value);
        }
        out.push(*quote);
        for byte in value {
            if byte == quote || byte == escape {
                out.push(*escape);
            }
            out.push(*byte);
        }
        out.push(*quote);
    }

    fn text(&self, value: &[u8], out: &mut Vec<u8>) {
        for byte in value {
            let escaped = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                b if *b == self.options.delimiter => *b,
                b => {
                    out.push(*b);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', escaped]);
        }
    }
}

fn to_client(rows: RowStream, options: &CopyOptions, zone: Tz) -> Result<CopyOut> {
    let count = Arc::new(AtomicU64::new(0));
    let mut encoder = Encoder::new(&rows.schema, options, zone)?;
    let header = encoder.header(&rows.schema);
    let columns = rows.schema.fields().len();
    let counted = Arc::clone(&count);
    let batches = rows.batches.map(Some).chain(stream::iter([None]));
    let encoded = batches.map(move |batch| match batch {
        Some(batch) => {
            let batch = batch?;
            counted.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            encoder.batch(&batch)
        }
        None => Ok(encoder.trailer()),
    });
    let data = stream::iter([Ok(header)]).chain(encoded).boxed();
    Ok(CopyOut { columns, binary: options.format == CopyFormat::Binary, data, rows: count })
}

/// Writes to `path` under another name first, so that a failed statement leaves no half file.
async fn to_file(run: &Run, rows: RowStream, path: &str, options: &CopyOptions) -> Result<u64> {
    check_files(run, "to")?;
    let partial = format!("{path}.partial-{}", run.session.info.process_id);
    let result = write_file(run, rows, &partial, options).await;
    let result = match result {
        Ok(rows) => std::fs::rename(&partial, path).map(|()| rows).map_err(|e| file_error(path, &e)),
        Err(e) => Err(e),
    };
    if result.is_err() {
        // Best effort: the statement's own error matters more.
        let _ = std::fs::remove_file(&partial);
    }
    result
}

fn file_error(path: &str, e: &std::io::Error) -> Error {
    let (state, why) = match e.kind() {
        std::io::ErrorKind::NotFound => (crate::sqlstate::UNDEFINED_FILE, "No such file or directory".to_owned()),
        std::io::ErrorKind::PermissionDenied => (INSUFFICIENT_PRIVILEGE, "Permission denied".to_owned()),
        std::io::ErrorKind::StorageFull => (crate::sqlstate::DISK_FULL, e.to_string()),
        _ => (IO_ERROR, e.to_string()),
    };
    Error::new(state, format!("could not open file \"{path}\" for writing: {why}"))
}

async fn write_file(run: &Run, mut rows: RowStream, path: &str, options: &CopyOptions) -> Result<u64> {
    let file = File::create(path).map_err(|e| file_error(path, &e))?;
    if options.format == CopyFormat::Parquet {
        return write_parquet(rows, file, path).await;
    }
    let mut encoder = Encoder::new(&rows.schema, options, run.session.zone())?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let io = |e: std::io::Error| file_error(path, &e);
    writer.write_all(&encoder.header(&rows.schema).bytes).map_err(io)?;
    let mut count = 0;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        writer.write_all(&encoder.batch(&batch)?.bytes).map_err(io)?;
    }
    writer.write_all(&encoder.trailer().bytes).map_err(io)?;
    let file = writer.into_inner().map_err(|e| file_error(path, e.error()))?;
    file.sync_all().map_err(io)?;
    Ok(count)
}

async fn write_parquet(mut rows: RowStream, file: File, path: &str) -> Result<u64> {
    let bad = |e: parquet::errors::ParquetError| Error::new(IO_ERROR, format!("could not write file \"{path}\": {e}"));
    let fields: Vec<Field> = rows
        .schema
        .fields()
        .iter()
        .map(|f| {
            if f.data_type() == &DataType::Null {
                Field::new(f.name(), DataType::Utf8View, true)
            } else {
                f.as_ref().clone()
            }
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(bad)?;
    let mut count = 0;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        writer.write(&batch).map_err(bad)?;
    }
    let file = writer.into_inner().map_err(bad)?;
    file.sync_all().map_err(|e| file_error(path, &e))?;
    Ok(count)
}
