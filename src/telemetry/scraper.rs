//! Endpoints and an interval → rows of `server_metrics.parquet`, until the run is over.
//!
//! In: [`ScraperSpec`]. Out: the file, and a [`ScrapeReport`]. Every endpoint is asked once before the run, on a grid of the
//! interval while it lasts, and once more when it is over, so that a counter has a value on either side of the load.
//! Invariants: the thread is the least important of the process (nice 19), keeps off the workers' cores where there are
//! others, and holds a bounded number of rows; an answer that is late delays that endpoint's next scrape and nothing else.
//! Not here: what the samples mean.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use super::fetch::{Fetched, Fetcher, MetricsEndpoint};
use super::series::SeriesTable;
use crate::error::{Error, Result};
use crate::record::server::{ServerRow, ServerWriter};
use crate::time::{Clock, SystemClock};

/// aiperf's interval.
pub const INTERVAL_NS: i64 = 333_000_000;
/// The least important there is.
const NICE: i32 = 19;

/// What to scrape.
#[derive(Debug)]
pub struct ScraperSpec {
    /// The endpoints, and of each whether it is kept although it does not answer before the run.
    pub endpoints: Vec<(MetricsEndpoint, bool)>,
    /// Time from one scrape to the next.
    pub interval_ns: i64,
    /// The run directory.
    pub dir: PathBuf,
    /// The run's id.
    pub run_id: String,
    /// The run's clock.
    pub clock: SystemClock,
    /// Cores that no worker is pinned to; empty for any core.
    pub cores: Vec<u32>,
}

/// What was scraped.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScrapeReport {
    /// Scrapes that brought samples.
    pub scrapes: u64,
    /// Scrapes that failed.
    pub failures: u64,
    /// The first failure, in words.
    pub first_failure: Option<String>,
    /// Endpoints that did not answer before the run and were left alone.
    pub without_metrics: Vec<String>,
    /// Samples that were not followed, for want of room.
    pub samples_left_out: u64,
    /// Lines that were no sample.
    pub bad_lines: u64,
}

/// A scraper at work. Dropping it ends it.
#[derive(Debug)]
pub struct Scraper {
    stop: Option<watch::Sender<bool>>,
    thread: Option<std::thread::JoinHandle<Result<ScrapeReport>>>,
}

impl Scraper {
    /// Asks every endpoint once, and goes on scraping those that answer on a thread of its own. Returns after the first
    /// scrapes, with the endpoints that are scraped from here on.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system refuses a thread.
    pub fn spawn(spec: ScraperSpec) -> Result<(Scraper, Vec<String>)> {
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = mpsc::channel();
        let internal = |e: std::io::Error| Error::Internal(format!("cannot scrape the server's metrics: {e}"));
        let body = move || {
            yield_to_the_workers(&spec.cores);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
            LocalSet::new().block_on(&runtime, scrape(spec, stopped, &ready))
        };
        let thread = std::thread::Builder::new().name("scraper".into()).spawn(body).map_err(internal)?;
        let scraper = Scraper { stop: Some(stop), thread: Some(thread) };
        // A thread that fails before it is ready tells why at its end.
        let scraped = is_ready.recv().unwrap_or_default();
        Ok((scraper, scraped))
    }

    /// Scrapes once more, and ends.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self) -> Result<ScrapeReport> {
        self.end().unwrap_or(Ok(ScrapeReport::default()))
    }

    fn end(&mut self) -> Option<Result<ScrapeReport>> {
        if let Some(stop) = self.stop.take() {
            // A thread that has failed no longer listens.
            let _ = stop.send(true);
        }
        let ended = self.thread.take()?.join();
        Some(ended.unwrap_or_else(|_| Err(Error::Internal("the scraper's thread panicked".into()))))
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Makes this thread the least important, on cores where no worker is. A system that refuses leaves it as it is.
fn yield_to_the_workers(cores: &[u32]) {
    let _ = rustix::process::setpriority_process(None, NICE);
    if !cores.is_empty() {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core as usize));
        let _ = sched_setaffinity(None, &set);
    }
}

/// What the endpoints' tasks share.
struct Shared {
    /// `None` before the first endpoint has answered.
    writer: Option<ServerWriter>,
    scrape: u32,
    report: ScrapeReport,
    /// Why the file is no longer written.
    failure: Option<Error>,
}

/// One endpoint.
struct Scraped {
    fetcher: Fetcher,
    url: Arc<str>,
    table: SeriesTable,
}

async fn scrape(
    spec: ScraperSpec,
    stopped: watch::Receiver<bool>,
    ready: &mpsc::Sender<Vec<String>>,
) -> Result<ScrapeReport> {
    let start_ns = spec.clock.now_ns();
    let shared = Shared { writer: None, scrape: 0, report: ScrapeReport::default(), failure: None };
    let shared = Rc::new(RefCell::new(shared));
    let mut kept = Vec::new();
    for (endpoint, always) in spec.endpoints {
        let url: Arc<str> = endpoint.url.as_str().into();
        let mut scraped = Scraped { fetcher: Fetcher::new(endpoint, spec.clock), url, table: SeriesTable::default() };
        let fetched = scraped.fetcher.fetch().await;
        let taken = fetched.text.clone().and_then(|text| scraped.table.take(&text));
        if taken.is_err() && !always {
            shared.borrow_mut().report.without_metrics.push(scraped.url.to_string());
            continue;
        }
        // The table has seen this text: forget it, so that what it says is told as changed.
        scraped.table = SeriesTable::default();
        let mut shared = shared.borrow_mut();
        if shared.writer.is_none() {
            shared.writer = Some(ServerWriter::create(&spec.dir, &spec.run_id, start_ns)?);
        }
        shared.take(&mut scraped, fetched);
        drop(shared);
        kept.push(scraped);
    }
    let _ = ready.send(kept.iter().map(|scraped| scraped.url.to_string()).collect());
    let mut tasks = JoinSet::new();
    for scraped in kept {
        let (clock, interval_ns) = (spec.clock, spec.interval_ns);
        tasks.spawn_local(follow(scraped, shared.clone(), stopped.clone(), (clock, start_ns, interval_ns)));
    }
    while tasks.join_next().await.is_some() {}
    let mut shared = shared.borrow_mut();
    let written = shared.writer.take().map(ServerWriter::finish).transpose();
    let lost = written.map_err(|e| Error::Internal(format!("server_metrics.parquet: {e}"))).err();
    match shared.failure.take().or(lost) {
        Some(error) => Err(error),
        None => Ok(std::mem::take(&mut shared.report)),
    }
}

/// Scrapes one endpoint until the run is over, and once more.
async fn follow(
    mut scraped: Scraped,
    shared: Rc<RefCell<Shared>>,
    mut stopped: watch::Receiver<bool>,
    (clock, start_ns, interval_ns): (SystemClock, i64, i64),
) {
    loop {
        let now_ns = clock.now_ns();
        // The next line of the grid; lines that a late answer passed are left out.
        let wait_ns = interval_ns - (now_ns - start_ns).rem_euclid(interval_ns);
        let over = tokio::select! {
            () = tokio::time::sleep(Duration::from_nanos(wait_ns.unsigned_abs())) => false,
            // A dropped switch is one that is thrown.
            _ = stopped.wait_for(|over| *over) => true,
        };
        let fetched = scraped.fetcher.fetch().await;
        shared.borrow_mut().take(&mut scraped, fetched);
        if over {
            return;
        }
    }
}

impl Shared {
    /// Takes a scrape: counts it and hands its rows to the file.
    fn take(&mut self, scraped: &mut Scraped, fetched: Fetched) {
        let Fetched { sent_ns, first_byte_ns, end_ns, text } = fetched;
        let scrape = self.scrape;
        self.scrape += 1;
        let (samples, error) = match text.and_then(|text| scraped.table.take(&text)) {
            Ok(change) => {
                self.report.scrapes += 1;
                self.report.samples_left_out += change.left_out;
                self.report.bad_lines += change.bad_lines;
                (change.changed, None)
            }
            Err(why) => {
                self.report.failures += 1;
                self.report.first_failure.get_or_insert_with(|| format!("{}: {why}", scraped.fetcher.url()));
                (Vec::new(), Some(Arc::<str>::from(why)))
            }
        };
        let row = |sample| ServerRow {
            scrape,
            endpoint: scraped.url.clone(),
            sent_ns,
            first_byte_ns,
            end_ns,
            error: error.clone(),
            sample,
        };
        let alone = samples.is_empty().then(|| row(None));
        let rows = samples.into_iter().map(|sample| row(Some(sample))).chain(alone);
        if let Some(Err(e)) = self.writer.as_mut().map(|writer| writer.push(rows, end_ns)) {
            self.failure.get_or_insert_with(|| Error::Internal(format!("server_metrics.parquet: {e}")));
        }
    }
}
