//! The HTTP listener: one for the whole server, for the routes of its extensions.
//!
//! It listens only when it is asked to, accepts so many connections and no more, and answers the requests of each in turn. What a request is for, its
//! handler knows ([`lightning_sql::http`]); here is what all have in common: which methods and paths there are, how long a client may take,
//! how large a body may be, and an orderly end.
//!
//! What must hold: nothing a client sends ends the process or another client's connection. Requests that browsers send for pages of other sites have an
//! `Origin`, and are refused, because no password can be set and whoever reaches the listener may write.

use crate::database::Database;
use crate::http_body::{self, Refusal};
use crate::server::{failure, resolve};
use futures::FutureExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lightning_sql::http::{Client, Method, Request, Response, Route, parameters};
use lightning_sql::{Error, Instance, Result, SqlState};
use lightning_wire::check_listen_address;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Connections at a time; the next one waits until one of them ends.
const CONNECTIONS_MAX: usize = 256;
/// Time a client has for the head of a request, which is also how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes read ahead, which the head of a request must fit into.
const READ_AHEAD_BYTES: usize = 256 << 10;
/// Time that requests get to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system could not give us another socket.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A running HTTP listener. Dropping it stops it in the background; [`HttpServer::stop`] waits for the end.
///
/// ```no_run
/// # fn main() -> lightning::Result<()> {
/// let database = lightning::Database::memory()?;
/// let server = lightning::HttpServer::start(&database, "127.0.0.1:0")?;
/// println!("curl http://{}/write --data-binary 'cpu,host=a usage=0.5'", server.local_addr());
/// server.stop()
/// # }
/// ```
#[derive(Debug)]
pub struct HttpServer {
    local_addr: SocketAddr,
    stopping: CancellationToken,
    /// `None` once somebody waits for it.
    serving: Option<JoinHandle<()>>,
    _database: Database,
}

impl HttpServer {
    /// Answers requests on an address such as `127.0.0.1:8086` (port 0: any free one). Only loopback addresses are allowed
    /// while no password can be set.
    pub fn start(database: &Database, address: &str) -> Result<HttpServer> {
        let address = resolve(address)?;
        check_listen_address(address).map_err(|why| Error::new(SqlState("22023"), why))?;
        let failed = |e| Error::new(SqlState("58030"), failure(address, &e));
        let _entered = database.runtime().enter();
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let instance = Arc::clone(database.instance());
        let routes = instance.extensions().iter().flat_map(|extension| extension.http_routes()).collect();
        let shared = Arc::new(Shared { instance, routes });
        let stopping = CancellationToken::new();
        let serving = Some(database.runtime().spawn(serve(listener, shared, stopping.clone())));
        Ok(HttpServer { local_addr, stopping, serving, _database: database.clone() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, lets requests end that have begun, and returns when all connections are closed.
    pub fn stop(mut self) -> Result<()> {
        self.stopping.cancel();
        match self.serving.take().map(futures::executor::block_on) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(e)) => Err(Error::new(SqlState("58030"), e.to_string())),
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// What connections share.
#[derive(Debug)]
struct Shared {
    instance: Arc<Instance>,
    routes: Vec<Route>,
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stopping: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            accepted = accepted => match accepted {
                (Ok(place), Ok((stream, _))) => {
                    let connection = connection(stream, Arc::clone(&shared), stopping.clone());
                    tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                // Out of descriptors, or a client that hung up at once: the others go on.
                _ => tokio::time::sleep(ACCEPT_RETRY).await,
            },
        }
    }
    drop(listener);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    // Connections that do not end in time are dropped with the task set.
    let _ = tokio::time::timeout(STOP_TIMEOUT, all_ended).await;
}

/// One connection from its first request to its last.
async fn connection(stream: TcpStream, shared: Arc<Shared>, stopping: CancellationToken) {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let client = Arc::new(Mutex::new(Client::new(Arc::clone(&shared.instance))));
    let service = service_fn(move |request| {
        let (shared, client) = (Arc::clone(&shared), Arc::clone(&client));
        async move {
            let response = match shared.answer(request, &client).await {
                Ok(response) => response,
                Err(refusal) => refused(refusal),
            };
            Ok::<_, Infallible>(outgoing(response))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(READ_AHEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A client that breaks the protocol was told so, if it can be told; whatever ended the connection, it ended.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

impl Shared {
    /// Answers one request.
    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        client: &Mutex<Client>,
    ) -> std::result::Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        if head.headers.contains_key(ORIGIN) {
            return Err((403, "requests that web pages send are refused".to_owned()));
        }
        let path = head.uri.path();
        let routes: Vec<&Route> = self.routes.iter().filter(|route| route.path == path).collect();
        if routes.is_empty() {
            return Err((404, format!("there is nothing at {path}")));
        }
        let method = method(&head.method);
        let route = routes.iter().find(|route| method.is_some_and(|method| route.methods.contains(&method)));
        let (Some(route), Some(method)) = (route, method) else {
            return Ok(
                refused((405, format!("{} is not allowed here", head.method))).with_header("Allow", allowed(&routes))
            );
        };
        let memory = Arc::new(self.instance.engine().budget().register("http requests"));
        let body = http_body::read(&head.headers, body, &memory).await?;
        let parameters = parameters(head.uri.query().unwrap_or_default());
        let request = Request { method, path: path.to_owned(), parameters, body };
        let mut client = client.lock().await;
        let answered = AssertUnwindSafe(route.handler.handle(request, &mut client)).catch_unwind().await;
        answered.map_err(|_| {
            // What its session was doing when that happened is not known.
            *client = Client::new(Arc::clone(&self.instance));
            (500, "internal error".to_owned())
        })
    }
}

fn method(method: &hyper::Method) -> Option<Method> {
    match *method {
        hyper::Method::GET => Some(Method::Get),
        hyper::Method::HEAD => Some(Method::Head),
        hyper::Method::POST => Some(Method::Post),
        _ => None,
    }
}

fn allowed(routes: &[&Route]) -> String {
    let methods = routes.iter().flat_map(|route| route.methods).map(|method| match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
    });
    methods.collect::<Vec<_>>().join(", ")
}

/// What the listener itself has to say, in the words of both of InfluxDB's interfaces.
fn refused((status, message): Refusal) -> Response {
    let code = match status {
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        413 => "request too large",
        500 => "internal error",
        503 => "unavailable",
        _ => "invalid",
    };
    let body = serde_json::json!({ "error": message, "code": code, "message": message });
    let response = Response::json(status, body.to_string());
    if status == 503 { response.with_header("Retry-After", "1") } else { response }
}

fn outgoing(response: Response) -> hyper::Response<Full<bytes::Bytes>> {
    let mut outgoing = hyper::Response::new(Full::new(response.body));
    *outgoing.status_mut() =
        hyper::StatusCode::from_u16(response.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            outgoing.headers_mut().append(name, value);
        }
    }
    outgoing
}
