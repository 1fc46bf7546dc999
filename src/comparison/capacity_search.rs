//! Runs at a number of clients → how many a deployment holds within its SLA, and how many until more of them bring nothing.
//!
//! The number is doubled while the bound on ITL holds and throughput grows; the edges that were passed on the way are then halved in:
//! first that of the SLA (both bounds), then that at which doubling ended. In: what measures. Out: [`Searched`]. Pure: no clock, no I/O.

use crate::error::Result;

/// An edge is known when its ends are no further apart than this share of the lower one (or neighbours).
const PRECISION: f64 = 0.1;

/// What one run says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loaded {
    /// Requests in flight.
    pub clients: u32,
    /// Mean TTFT, ms; `None` where nothing was answered.
    pub ttft_ms: Option<f64>,
    /// Mean ITL, ms; `None` where no answer has two tokens.
    pub itl_ms: Option<f64>,
    /// Tokens of answer per second.
    pub tokens_per_s: f64,
}

/// What bounds the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bound on mean TTFT, ms.
    pub ttft_ms: f64,
    /// Bound on mean ITL, ms.
    pub itl_ms: f64,
    /// Most clients, at least 1.
    pub clients_max: u32,
    /// Most runs, at least 1.
    pub runs_max: usize,
    /// Share by which throughput has to be above the highest before, for it to grow.
    pub growth_min: f64,
}

impl Limits {
    fn holds_itl(&self, p: &Loaded) -> bool {
        p.itl_ms.is_none_or(|ms| ms <= self.itl_ms)
    }

    /// Whether a run keeps both bounds.
    pub fn is_met(&self, p: &Loaded) -> bool {
        self.holds_itl(p) && p.ttft_ms.is_some_and(|ms| ms <= self.ttft_ms)
    }

    /// Whether throughput is as good as that of `most`.
    fn is_flat(&self, p: &Loaded, most: f64) -> bool {
        p.tokens_per_s * (1.0 + self.growth_min) > most
    }
}

/// Why the number of clients was doubled no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The bound on ITL was passed.
    Itl,
    /// Throughput grew no more.
    Throughput,
    /// The most clients that were allowed.
    ClientsMax,
    /// The most runs that were allowed.
    RunsMax,
    /// Nothing was answered.
    Unanswered,
    /// The user stopped it.
    Interrupted,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched {
    /// The runs, by number of clients.
    pub points: Vec<Loaded>,
    /// Why it ended.
    pub end: End,
    /// The fewest clients at which throughput is within the growth that counts of the highest; 0 without a run. Where throughput still
    /// grew at the end, the deployment holds more.
    pub capacity: u32,
    /// Whether throughput had stopped to grow.
    pub is_saturated: bool,
}

/// Searches. `measure` makes a run with so many clients; `None` where the user stopped it.
///
/// # Errors
/// Those of `measure`.
pub fn search(limits: &Limits, measure: &mut dyn FnMut(u32) -> Result<Option<Loaded>>) -> Result<Searched> {
    let mut points: Vec<Loaded> = Vec::new();
    let mut clients = 1;
    let mut end = loop {
        if points.len() >= limits.runs_max {
            break End::RunsMax;
        }
        let Some(p) = measure(clients)? else { break End::Interrupted };
        let most = highest(&points);
        points.push(p);
        if p.tokens_per_s <= 0.0 {
            break End::Unanswered;
        }
        if !limits.holds_itl(&p) {
            break End::Itl;
        }
        if most > 0.0 && p.tokens_per_s < most * (1.0 + limits.growth_min) {
            break End::Throughput;
        }
        if clients >= limits.clients_max {
            break End::ClientsMax;
        }
        clients = clients.saturating_mul(2).min(limits.clients_max);
    };
    let goes_on = !matches!(end, End::Interrupted | End::Unanswered)
        && halve(limits, &mut points, &|p, _| limits.is_met(p), measure)?
        && match end {
            End::Itl => halve(limits, &mut points, &|p, _| limits.holds_itl(p), measure)?,
            End::Throughput => halve(limits, &mut points, &|p, most| !limits.is_flat(p, most), measure)?,
            _ => true,
        };
    if !goes_on && end != End::Unanswered {
        end = End::Interrupted;
    }
    let most = highest(&points);
    let capacity = points.iter().find(|p| limits.is_flat(p, most)).map_or(0, |p| p.clients);
    Ok(Searched { points, end, capacity, is_saturated: end == End::Throughput })
}

fn highest(points: &[Loaded]) -> f64 {
    points.iter().map(|p| p.tokens_per_s).fold(0.0, f64::max)
}

/// Halves in where `holds` ends, which is told the highest throughput. False where the user stopped it.
fn halve(
    limits: &Limits,
    points: &mut Vec<Loaded>,
    holds: &dyn Fn(&Loaded, f64) -> bool,
    measure: &mut dyn FnMut(u32) -> Result<Option<Loaded>>,
) -> Result<bool> {
    while points.len() < limits.runs_max {
        let most = highest(points);
        let Some(at @ 1..) = points.iter().position(|p| !holds(p, most)) else { return Ok(true) };
        let (low, high) = (points[at - 1].clients, points[at].clients);
        if f64::from(high - low) <= (f64::from(low) * PRECISION).max(1.0) {
            return Ok(true);
        }
        let Some(p) = measure(low + (high - low) / 2)? else { return Ok(false) };
        points.insert(at, p);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { ttft_ms: 500.0, itl_ms: 50.0, clients_max: 1024, runs_max: 16, growth_min: 0.05 };

    /// A deployment whose step takes `base + slope · clients` ms up to a batch of `room`; the others queue.
    fn deployment(base: f64, slope: f64, room: u32) -> impl FnMut(u32) -> Result<Option<Loaded>> {
        move |clients| {
            let batch = f64::from(clients.min(room));
            let itl_ms = base + slope * batch;
            let waits = f64::from(clients.saturating_sub(room)) / f64::from(room);
            Ok(Some(Loaded {
                clients,
                ttft_ms: Some(4.0 * batch + waits * 256.0 * itl_ms),
                itl_ms: Some(itl_ms),
                tokens_per_s: batch / itl_ms * 1e3,
            }))
        }
    }

    fn clients(found: &Searched) -> Vec<u32> {
        found.points.iter().map(|p| p.clients).collect()
    }

    #[test]
    fn the_bound_on_itl_is_halved_in() {
        // 20 + 0.3 c ≤ 50 up to 100 clients, 4 c ≤ 500 up to 125.
        let found = search(&LIMITS, &mut deployment(20.0, 0.3, 1000)).unwrap();
        assert_eq!((found.end, found.is_saturated), (End::Itl, false));
        assert_eq!(clients(&found), [1, 2, 4, 8, 16, 32, 64, 96, 104, 112, 128]);
        let best = found.points.iter().filter(|p| LIMITS.is_met(p)).map(|p| p.clients).max();
        assert_eq!(best, Some(96));
    }

    #[test]
    fn where_ttft_binds_first_its_edge_is_found_too() {
        // 4 c ≤ 100 up to 25 clients, the ITL up to 100.
        let limits = Limits { ttft_ms: 100.0, ..LIMITS };
        let found = search(&limits, &mut deployment(20.0, 0.3, 1000)).unwrap();
        assert_eq!(clients(&found), [1, 2, 4, 8, 16, 24, 26, 28, 32, 64, 96, 104, 112, 128]);
        assert_eq!(found.points.iter().filter(|p| limits.is_met(p)).map(|p| p.clients).max(), Some(24));
    }

    #[test]
    fn where_throughput_stops_to_grow_is_the_capacity() {
        let found = search(&LIMITS, &mut deployment(5.0, 0.01, 40)).unwrap();
        assert_eq!((found.end, found.is_saturated), (End::Throughput, true));
        assert!((36..=42).contains(&found.capacity), "{found:?}");
        assert!(found.points.iter().any(|p| p.clients == 128), "64 still brought more than 32, 128 no more than 64");
        let best = found.points.iter().filter(|p| LIMITS.is_met(p)).map(|p| p.clients).max();
        assert!(best >= Some(40) && best < Some(60), "queueing breaks the TTFT: {best:?}");
    }

    #[test]
    fn it_ends_at_its_limits_and_where_nothing_is_answered() {
        let wide = |limits: &Limits| search(limits, &mut deployment(1.0, 0.001, 100_000)).unwrap();
        let found = wide(&Limits { clients_max: 20, ..LIMITS });
        assert_eq!((found.end, clients(&found)), (End::ClientsMax, vec![1, 2, 4, 8, 16, 20]));
        let found = wide(&Limits { runs_max: 3, ..LIMITS });
        assert_eq!((found.end, found.points.len()), (End::RunsMax, 3));
        let silent = |clients| Ok(Some(Loaded { clients, ttft_ms: None, itl_ms: None, tokens_per_s: 0.0 }));
        let found = search(&LIMITS, &mut { silent }).unwrap();
        assert_eq!((found.end, found.points.len()), (End::Unanswered, 1));
        // Not even one client is held: there is nothing to halve in.
        let found = search(&LIMITS, &mut deployment(90.0, 1.0, 10)).unwrap();
        assert_eq!((found.end, clients(&found)), (End::Itl, vec![1]));
    }

    #[test]
    fn an_interrupt_keeps_what_was_measured() {
        for stop_at in 0..11 {
            let (mut runs, mut inner) = (0, deployment(20.0, 0.3, 1000));
            let found = search(&LIMITS, &mut |clients| {
                runs += 1;
                if runs > stop_at { Ok(None) } else { inner(clients) }
            })
            .unwrap();
            assert_eq!((found.end, found.points.len()), (End::Interrupted, stop_at));
        }
    }
}
