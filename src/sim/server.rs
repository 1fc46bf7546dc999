//! Starts and stops the simulated deployment: one thread, one runtime, one listening socket.
//!
//! In: a [`ServeConfig`]. Out: a [`ServerHandle`] of a server that listens; after its end, the [`Oracle`].
//! Invariants: a server that was started is stopped when its handle is dropped, within a second; nothing but the
//! counters is shared with other threads.

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsAcceptor;

use super::config::ServeConfig;
use super::connection;
use super::deployment::Deployment;
use super::driver::Engine;
use super::oracle::{Counters, Oracle, OracleLog, ServerCounts};
use super::service::Service;
use super::tls;
use super::tokenize::Words;
use crate::engine::interference::CpuTimes;
use crate::engine::recv;
use crate::engine::stamped::WireClock;
use crate::error::{Error, Result};
use crate::time::alarm::Alarm;
use crate::time::{Anchor, SystemClock, monotonic_ns};

/// How long answers in flight may go on after a stop.
const DRAIN: Duration = Duration::from_millis(500);
/// Connections that may wait to be accepted: the kernel's own bound (`somaxconn`) is the lower one.
const BACKLOG: i32 = 4096;
/// Wait after an `accept` that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A server that runs on its own thread. Dropping it stops the server.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    scheme: &'static str,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
    thread: Option<JoinHandle<std::io::Result<Oracle>>>,
}

impl ServerHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, or `https://` with TLS, without a path.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What it has done so far; after [`ServerHandle::shutdown`], what it did.
    pub fn counts(&self) -> ServerCounts {
        self.counters.read()
    }

    /// Completes when the server has stopped by itself, which is an error that [`ServerHandle::finish`] tells.
    pub async fn ended(&mut self) {
        // The sender is dropped with the server's thread; it never sends.
        let _ = (&mut self.ended).await;
    }

    /// Stops accepting, lets answers in flight go on for half a second, cuts the rest off, and waits for the end.
    ///
    /// # Errors
    /// [`Error::Internal`] where the server had failed before.
    pub fn shutdown(&mut self) -> Result<Oracle> {
        if let Some(stop) = self.stop.take() {
            // A server that has failed no longer listens to this.
            let _ = stop.send(());
        }
        let Some(thread) = self.thread.take() else { return Ok(Oracle::default()) };
        let ended = thread.join().map_err(|_| Error::Internal("the simulated server's thread panicked".into()))?;
        ended.map_err(|e| Error::Internal(format!("the simulated server failed: {e}")))
    }

    /// [`ServerHandle::shutdown`], for good; what the server remembers.
    ///
    /// # Errors
    /// Those of [`ServerHandle::shutdown`].
    pub fn finish(mut self) -> Result<Oracle> {
        self.shutdown()
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        let _ = self.shutdown();
    }
}

/// Starts a simulated deployment. It listens when this returns.
///
/// # Errors
/// [`Error::Usage`] for an unknown model or GPU, a model that does not fit, a setting that cannot be, an address
/// that cannot be had, a certificate or key that cannot be used, or a core that does not exist; [`Error::Internal`] where the system refuses a thread or a timer.
pub fn spawn(config: &ServeConfig) -> Result<ServerHandle> {
    let deployment = config.engine()?;
    let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listener = listen(config)?;
    let internal = |e: std::io::Error| Error::Internal(format!("cannot start the simulated server: {e}"));
    let address = listener.local_addr().map_err(internal)?;
    let counters = Arc::new(Counters::default());
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let (thread_config, thread_counters) = (config.clone(), Arc::clone(&counters));
    let run = move || {
        let _end = end;
        let started = start(&thread_config, deployment, thread_counters, listener, tls);
        match started {
            Ok(server) => {
                let _ = ready.send(Ok(()));
                server.run(stopped)
            }
            Err(e) => {
                let _ = ready.send(Err(e));
                Ok(Oracle::default())
            }
        }
    };
    let thread = std::thread::Builder::new().name("sim-server".into()).spawn(run).map_err(internal)?;
    let started = is_ready.recv().map_err(|_| Error::Internal("the simulated server's thread panicked".into()))?;
    let handle = ServerHandle { address, scheme, counters, stop: Some(stop), ended, thread: Some(thread) };
    started.map(|()| handle)
}

fn listen(config: &ServeConfig) -> Result<TcpListener> {
    let at = format!("{}:{}", config.host, config.port);
    let fail = |e: std::io::Error| Error::Usage(format!("cannot listen on {at}: {e} (choose --host and --port)"));
    let address = (config.host.as_str(), config.port).to_socket_addrs().map_err(fail)?.next();
    let address = address.ok_or_else(|| fail(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        if config.oracle {
            // A request often comes with its connection, before that is accepted.
            let _ = recv::enable_stamps(socket.as_fd());
        }
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    open().map_err(fail)
}

/// A server on its thread, ready to run.
struct Server {
    runtime: tokio::runtime::Runtime,
    service: Rc<Service>,
    listener: tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    alarm: Alarm,
    accept_delay: Duration,
    restart: Option<Duration>,
}

fn start(
    config: &ServeConfig,
    deployment: Box<dyn Deployment + Send>,
    counters: Arc<Counters>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) -> Result<Server> {
    let internal = |e: std::io::Error| Error::Internal(format!("cannot start the simulated server: {e}"));
    if let Some(core) = config.core {
        pin_to(core)?;
    }
    // Every eighth task looks for I/O instead of every 61st: the alarm is I/O, and late tokens are what a fast batch
    // would otherwise get.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(8).build();
    let runtime = runtime.map_err(internal)?;
    let entered = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).map_err(internal)?;
    // The engine's axis is CLOCK_MONOTONIC itself; nothing here asks for the time since 1970 on it.
    let axis = Anchor { t0_unix_ns: 0, t0_monotonic_ns: 0 };
    let alarm = Alarm::new(axis).map_err(internal)?;
    drop(entered);
    let service = Rc::new(Service {
        engine: Rc::new(Engine::new(deployment)),
        counters,
        oracle: OracleLog::new(config.oracle),
        wire_clock: config.oracle.then(|| WireClock::new(SystemClock::at(axis))),
        model: config.model.clone(),
        model_json: serde_json::Value::from(config.model.as_str()).to_string(),
        max_model_tokens: config.max_model_len,
        seed: config.seed,
        // Checked when the engine was made.
        queue_full_status: StatusCode::from_u16(config.queue_full_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        faults: config.faults.clone(),
        faults_drawn: Cell::new(0),
        started_ns: monotonic_ns(),
        words: Words::default(),
    });
    let duration = |ns: i64| Duration::from_nanos(ns.max(0).unsigned_abs());
    let (accept_delay, restart) = (duration(config.accept_delay_ns), config.restart_ns.map(duration));
    Ok(Server { runtime, service, listener, tls, alarm, accept_delay, restart })
}

fn pin_to(core: usize) -> Result<()> {
    let fail = |why: String| Error::Usage(format!("cannot pin the simulated server to core {core}: {why}"));
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err(fail("there is no such core".into()));
    }
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores).map_err(|e| fail(e.to_string()))
}

impl Server {
    fn run(self, mut stopped: oneshot::Receiver<()>) -> std::io::Result<Oracle> {
        let Server { runtime, service, listener, tls, alarm, accept_delay, restart } = self;
        let local = LocalSet::new();
        let outcome = local.block_on(&runtime, async {
            let mut driver = pin!(Rc::clone(&service.engine).drive(alarm));
            let mut connections = JoinSet::new();
            let (closing, is_closing) = watch::channel(false);
            let accepting = async {
                let mut restart = pin!(async {
                    match restart {
                        Some(after) => tokio::time::sleep(after).await,
                        None => std::future::pending().await,
                    }
                });
                let mut is_restarted = false;
                loop {
                    let accepted = tokio::select! {
                        () = &mut restart, if !is_restarted => {
                            is_restarted = true;
                            connections.abort_all();
                            continue;
                        }
                        accepted = listener.accept() => accepted,
                    };
                    match accepted {
                        Ok((stream, _)) => {
                            if !accept_delay.is_zero() {
                                tokio::time::sleep(accept_delay).await;
                            }
                            let (service, is_closing) = (Rc::clone(&service), is_closing.clone());
                            connections.spawn_local(connection::serve(service, stream, tls.clone(), is_closing));
                        }
                        Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                    }
                    while connections.try_join_next().is_some() {}
                }
            };
            // A dropped handle and a stop are the same.
            tokio::select! {
                failed = &mut driver => return failed,
                _ = &mut stopped => {}
                () = accepting => {}
            }
            drop(listener);
            let _ = closing.send(true);
            let drained = async { while connections.join_next().await.is_some() {} };
            tokio::select! {
                failed = &mut driver => failed,
                _ = tokio::time::timeout(DRAIN, drained) => Ok(()),
            }
        });
        drop(local);
        let cpu_ns = CpuTimes::of_this_thread().cpu_ns;
        outcome.map(|()| Oracle { cpu_ns, ..service.oracle.take() })
    }
}
