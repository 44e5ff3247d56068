//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Sync.
//!
//! Everything between two Syncs is one transaction unless the client opened its own. In the common case, one Execute
//! directly followed by Sync, the statement commits by itself before its completion is sent; only when more messages
//! come in between is an implicit transaction opened, and Sync commits it.
//!
//! A portal that stops at its row limit keeps its stream and the rest of its batch; portals end with the transaction.

use crate::backend::put;
use crate::connection::{Connection, Stop};
use crate::encode::{BoundBatch, Format, RowEncoder, describe, put_row};
use crate::frontend::PROTOCOL_VIOLATION;
use crate::parameter;
use crate::simple::{Completion, row_tag};
use futures::StreamExt;
use lightning_sql::encode::oid;
use lightning_sql::types::PgType;
use lightning_sql::{Error, Outcome, Prepared, RowStream, ScalarValue, SqlState, TransactionStatus};
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Statements and portals a client may keep at a time.
const NAMED_MAX: usize = 65_536;

/// The prepared statements and portals of a connection; the empty name is the unnamed one.
#[derive(Default)]
pub struct Portals {
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
}

impl std::fmt::Debug for Portals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Portals({} statements, {} portals)", self.statements.len(), self.portals.len())
    }
}

impl Portals {
    /// Ends every portal.
    pub fn close_all(&mut self) {
        self.portals.clear();
    }

    /// Forgets the unnamed statement and portal, as a simple query does.
    pub fn close_unnamed(&mut self) {
        self.statements.remove("");
        self.portals.remove("");
    }
}

struct Portal {
    prepared: Arc<Prepared>,
    formats: Vec<Format>,
    state: PortalState,
}

enum PortalState {
    /// Bound, not run.
    Bound(Vec<ScalarValue>),
    /// Stopped at a row limit.
    Suspended(Box<Suspended>),
    /// Ran to its end; whether it returned rows.
    Finished { rows: bool },
}

struct Suspended {
    rows: RowStream,
    encoder: RowEncoder,
    batch: Option<(BoundBatch, usize)>,
}

impl Connection {
    /// Parse: prepares a statement.
    pub(crate) async fn parse(&mut self, parse: Parse) -> Result<(), Stop> {
        let name = parse.name.unwrap_or_default();
        if !name.is_empty() && self.portals.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(SqlState("42P05"), message).into());
        }
        if self.portals.statements.len() >= NAMED_MAX {
            return Err(Error::new(SqlState("53400"), "too many prepared statements in this session").into());
        }
        self.portals.statements.remove(&name);
        let types: Vec<Option<PgType>> = parse.type_oids.iter().map(|oid| known_type(*oid)).collect();
        let query = parse.query;
        let prepared = self.run_watched(async |session| session.prepare(&query, &types).await).await?;
        self.portals.statements.insert(name, Arc::new(prepared));
        put(&mut self.output.buffer, ParseComplete::new());
        Ok(())
    }

    /// Bind: gives a statement its parameters.
    pub(crate) fn bind(&mut self, bind: Bind) -> Result<(), Stop> {
        let prepared = self.statement(&bind.statement_name.unwrap_or_default())?;
        let types = prepared.parameters();
        if bind.parameters.len() != types.len() {
            let message = format!(
                "bind message supplies {} parameters, but the prepared statement requires {}",
                bind.parameters.len(),
                types.len()
            );
            return Err(Error::new(PROTOCOL_VIOLATION, message).into());
        }
        let formats = Format::expand(&bind.parameter_format_codes, types.len(), "parameter")?;
        let zone = self.session.setting("TimeZone").unwrap_or_default();
        let zone =
            lightning_sql::text::datetime::zone(&zone).or_else(|_| lightning_sql::text::datetime::zone("UTC"))?;
        let mut parameters = Vec::with_capacity(types.len());
        for (i, value) in bind.parameters.into_iter().enumerate() {
            parameters.push(parameter::decode(i + 1, types[i], formats[i], value, zone)?);
        }
        let columns = prepared.schema().map_or(0, |schema| schema.fields().len());
        let formats = match prepared.schema() {
            Some(_) => Format::expand(&bind.result_column_format_codes, columns, "result")?,
            None => Vec::new(),
        };
        let name = bind.portal_name.unwrap_or_default();
        if !name.is_empty() && self.portals.portals.contains_key(&name) {
            return Err(Error::new(SqlState("42P03"), format!("cursor \"{name}\" already exists")).into());
        }
        if self.portals.portals.len() >= NAMED_MAX {
            return Err(Error::new(SqlState("53400"), "too many open portals in this session").into());
        }
        let portal = Portal { prepared, formats, state: PortalState::Bound(parameters) };
        self.portals.portals.insert(name, portal);
        put(&mut self.output.buffer, BindComplete::new());
        Ok(())
    }

    /// Describe: parameter and result types of a statement, or the result of a portal.
    pub(crate) fn describe(&mut self, request: Describe) -> Result<(), Stop> {
        let name = request.name.unwrap_or_default();
        let (prepared, formats) = match request.target_type {
            b'S' => {
                let prepared = self.statement(&name)?;
                let types = prepared.parameters().iter().map(|pg| pg.oid).collect();
                put(&mut self.output.buffer, ParameterDescription::new(types));
                (prepared, Vec::new())
            }
            b'P' => {
                let portal = self.portals.portals.get(&name).ok_or_else(|| unknown_portal(&name))?;
                (portal.prepared.clone(), portal.formats.clone())
            }
            other => return Err(invalid_target("DESCRIBE", other)),
        };
        match prepared.schema() {
            Some(schema) => put(&mut self.output.buffer, describe(&schema, &formats)),
            None => put(&mut self.output.buffer, NoData::new()),
        }
        Ok(())
    }

    /// Close: forgets a statement or portal; unknown names are fine.
    pub(crate) fn close(&mut self, close: Close) -> Result<(), Stop> {
        let name = close.name.unwrap_or_default();
        match close.target_type {
            b'S' => drop(self.portals.statements.remove(&name)),
            b'P' => drop(self.portals.portals.remove(&name)),
            other => return Err(invalid_target("CLOSE", other)),
        }
        put(&mut self.output.buffer, CloseComplete::new());
        Ok(())
    }

    /// Execute: runs a portal, up to a number of rows.
    pub(crate) async fn execute(&mut self, execute: Execute) -> Result<(), Stop> {
        let name = execute.name.unwrap_or_default();
        let mut portal = self.portals.portals.remove(&name).ok_or_else(|| unknown_portal(&name))?;
        let last = self.input.next_is_sync();
        let limit = u64::try_from(execute.max_rows).unwrap_or(0);
        if !(self.implicit_transaction || last && limit == 0) {
            self.session.begin_implicit().await;
            self.implicit_transaction = true;
        }
        let completion = self.run_portal(&mut portal, limit).await?;
        self.portals.portals.insert(name, portal);
        let Some(completion) = completion else {
            put(&mut self.output.buffer, PortalSuspended::new());
            return Ok(());
        };
        if last && self.implicit_transaction {
            self.implicit_transaction = false;
            self.session.end_implicit(true).await?;
        }
        self.put_completion(&completion);
        Ok(self.output.flush_if_full().await?)
    }

    /// Runs a portal on; `None` when it stopped at its limit.
    async fn run_portal(&mut self, portal: &mut Portal, limit: u64) -> Result<Option<Completion>, Stop> {
        match std::mem::replace(&mut portal.state, PortalState::Finished { rows: portal.prepared.schema().is_some() }) {
            PortalState::Bound(parameters) => {
                let prepared = portal.prepared.clone();
                let outcome =
                    self.run_watched(async |session| session.run_prepared(&prepared, parameters).await).await?;
                match outcome {
                    Outcome::Rows(rows) if limit > 0 => {
                        // Values leave in the types that were described, whatever this run's plan calls them.
                        let schema = portal.prepared.schema().unwrap_or_else(|| rows.schema.clone());
                        let encoder = RowEncoder::new(&schema, &portal.formats, self.zone());
                        self.run_limited(portal, Suspended { rows, encoder, batch: None }, limit).await
                    }
                    outcome => self.send_outcome(outcome, Some(&portal.formats)).await.map(Some),
                }
            }
            PortalState::Suspended(suspended) => self.run_limited(portal, *suspended, limit).await,
            PortalState::Finished { rows: true } => Ok(Some(Completion::Tag("SELECT 0".to_owned()))),
            PortalState::Finished { rows: false } => Err(Error::new(SqlState("55000"), "portal cannot be run").into()),
        }
    }

    /// Sends up to `limit` rows (0: all) and keeps the rest in the portal.
    async fn run_limited(
        &mut self,
        portal: &mut Portal,
        mut suspended: Suspended,
        limit: u64,
    ) -> Result<Option<Completion>, Stop> {
        let mut count = 0u64;
        loop {
            let Some((batch, mut next)) = suspended.batch.take() else {
                match self.run_watched(async |_| suspended.rows.batches.next().await).await {
                    Some(batch) => suspended.batch = Some((suspended.encoder.bind(&batch?)?, 0)),
                    None => return Ok(Some(Completion::Tag(row_tag(&suspended.rows.tag, count)))),
                }
                continue;
            };
            while next < batch.rows() && (limit == 0 || count < limit) {
                put_row(&batch, next, &mut self.output.buffer);
                self.output.flush_if_full().await?;
                next += 1;
                count += 1;
            }
            if limit > 0 && count == limit {
                suspended.batch = (next < batch.rows()).then_some((batch, next));
                portal.state = PortalState::Suspended(Box::new(suspended));
                return Ok(None);
            }
        }
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>, Error> {
        self.portals.statements.get(name).cloned().ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            Error::new(SqlState("26000"), message)
        })
    }

    /// DISCARD ALL and DEALLOCATE ALL end the protocol's prepared statements too.
    pub(crate) fn forget_deallocated(&mut self, tag: &str) {
        if matches!(tag, "DISCARD ALL" | "DEALLOCATE ALL") {
            self.portals.statements.clear();
        }
        if self.session.transaction_status() == TransactionStatus::Idle && matches!(tag, "COMMIT" | "ROLLBACK") {
            self.portals.close_all();
        }
    }
}

/// The type a client declared for a parameter; 0 and `unknown` leave it to the server.
fn known_type(oid: u32) -> Option<PgType> {
    match oid {
        0 | oid::UNKNOWN => None,
        oid => Some(PgType { oid, modifier: -1, len: oid::len_of(oid) }),
    }
}

fn unknown_portal(name: &str) -> Stop {
    Error::new(SqlState("34000"), format!("portal \"{name}\" does not exist")).into()
}

fn invalid_target(message: &str, subtype: u8) -> Stop {
    Error::new(PROTOCOL_VIOLATION, format!("invalid {message} message subtype {subtype}")).into()
}
