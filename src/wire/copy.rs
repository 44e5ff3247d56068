//! COPY over the connection: bytes pass through as they come, in both directions, never gathered.

use crate::backend::put;
use crate::connection::{Connection, Stop};
use crate::frontend::{self, PROTOCOL_VIOLATION, fatal};
use futures::StreamExt;
use lightning_sql::{CopyIn, CopyOut};
use pgwire::messages::PgWireFrontendMessage as Message;
use pgwire::messages::copy::{CopyData, CopyDone, CopyInResponse, CopyOutResponse};
use std::sync::atomic::Ordering;

impl Connection {
    /// Takes rows from the client; returns the command tag.
    pub(crate) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<String, Stop> {
        self.put_notices();
        let (format, columns, formats) = layout(copy.binary, copy.columns);
        put(&mut self.output.buffer, CopyInResponse::new(format, columns, formats));
        self.output.flush().await?;
        loop {
            match self.next_copy_message().await {
                Ok(Message::CopyData(data)) => copy.push(data.data).await?,
                Ok(Message::CopyDone(_)) => {
                    let rows = self.run_watched(async |_| copy.finish().await).await?;
                    return Ok(format!("COPY {rows}"));
                }
                Ok(Message::CopyFail(fail)) => return Err(copy.abort(&fail.message).await.into()),
                // Allowed while copying in, and without effect.
                Ok(Message::Flush(_) | Message::Sync(_)) => {}
                Ok(_) => {
                    copy.abort("unexpected message during COPY from stdin").await;
                    return Err(Stop::Fatal(fatal(
                        PROTOCOL_VIOLATION,
                        "unexpected message type during COPY from stdin",
                    )));
                }
                Err(stop) => {
                    copy.abort("connection lost during COPY from stdin").await;
                    return Err(stop);
                }
            }
        }
    }

    async fn next_copy_message(&mut self) -> Result<Message, Stop> {
        let shutdown = self.shutdown().clone();
        let (kind, body) = tokio::select! {
            message = self.input.message() => message?,
            () = shutdown.cancelled() => {
                let message = "terminating connection due to administrator command";
                return Err(Stop::Fatal(fatal(lightning_sql::SqlState("57P01"), message)));
            }
        };
        Ok(frontend::decode(kind, body)?)
    }

    /// Sends rows to the client; returns the command tag.
    pub(crate) async fn copy_out(&mut self, mut copy: CopyOut) -> Result<String, Stop> {
        self.put_notices();
        let (format, columns, formats) = layout(copy.binary, copy.columns);
        put(&mut self.output.buffer, CopyOutResponse::new(format, columns, formats));
        while let Some(data) = self.run_watched(async |_| copy.data.next().await).await {
            for row in data?.rows() {
                put(&mut self.output.buffer, CopyData::new(row));
                self.output.flush_if_full().await?;
            }
        }
        put(&mut self.output.buffer, CopyDone::new());
        Ok(format!("COPY {}", copy.rows.load(Ordering::Acquire)))
    }
}

/// Overall format, column count and format of each column.
fn layout(binary: bool, columns: usize) -> (i8, i16, Vec<i16>) {
    (i8::from(binary), columns as i16, vec![i16::from(binary); columns])
}
