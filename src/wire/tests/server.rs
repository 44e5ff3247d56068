//! A server on a free port over a database in memory, for one test.

use lightning_sql::{Instance, InstanceOptions};
use lightning_storage::{Engine, Options};
use lightning_vfs::MemoryVfs;
use lightning_wire::{Server, ServerOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

/// A running server; stops when dropped.
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl TestServer {
    /// With default options.
    pub fn start() -> TestServer {
        TestServer::with(ServerOptions::default())
    }

    /// With these options.
    pub fn with(options: ServerOptions) -> TestServer {
        let storage = Options { memory_limit_bytes: 256 << 20, threads: 2 };
        let engine = Engine::open(Arc::new(MemoryVfs::new()), Path::new("/memory"), storage).expect("engine");
        let instance = Instance::open(engine, InstanceOptions { threads: 2, spill_dir: None, extensions: [].into() })
            .expect("instance");
        let server = Server::bind(instance, "127.0.0.1:0".parse().expect("address"), options).expect("bound");
        let address = server.local_addr().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        TestServer { address, stop: Some(stop), serving }
    }

    /// A driver's connection.
    pub async fn connect(&self) -> Client {
        let config = format!("host=127.0.0.1 port={} user=tester dbname=lightning", self.address.port());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("connected");
        tokio::spawn(async move {
            // Ends with the client, or with the server: the test sees either in its own calls.
            let _ = connection.await;
        });
        client
    }

    /// Asks the server to stop and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.serving.await.expect("no panic").expect("served");
    }
}
