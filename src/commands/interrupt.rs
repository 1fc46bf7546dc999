//! Ctrl-C and SIGTERM → the stop switch: the first drains, the next cuts.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::stop::StopSwitch;
use crate::error::{Error, Result};

/// Listens for signals until it is dropped.
#[derive(Debug)]
pub(super) struct Interrupts {
    /// Dropping it ends the thread's wait.
    _end: tokio::sync::oneshot::Sender<()>,
}

impl Interrupts {
    /// Starts to listen. `on_signal` is called after each, with the switch as it is then.
    pub(super) fn listen(switch: Arc<StopSwitch>, on_signal: fn(&StopSwitch)) -> Result<Interrupts> {
        let internal = |e: std::io::Error| Error::Internal(format!("cannot wait for signals: {e}"));
        let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(internal)?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(internal)?,
                signal(SignalKind::terminate()).map_err(internal)?,
            )
        };
        let wait = async move {
            loop {
                tokio::select! {
                    _ = &mut ended => return,
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                switch.escalate();
                on_signal(&switch);
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait)).map_err(internal)?;
        Ok(Interrupts { _end: end })
    }
}
