//! A worked example: two endpoints, one that starts anew, and the window's edges.

use super::*;
use crate::record::server::{ServerRow, ServerSample};

fn row(scrape: u32, t_s: f64, sample: Option<(&str, &str, &str, f64)>) -> ServerRow {
    let t_ns = (t_s * 1e9) as i64;
    let sample = sample.map(|(kind, name, labels, value)| {
        let family = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        ServerSample {
            metric: family.unwrap_or(name).into(),
            metric_type: kind.into(),
            help: "".into(),
            name: name.into(),
            labels: labels.into(),
            value: (!value.is_nan()).then_some(value),
        }
    });
    ServerRow {
        scrape,
        endpoint: "http://h/metrics".into(),
        sent_ns: t_ns - 2_000_000,
        first_byte_ns: t_ns,
        end_ns: t_ns,
        error: None,
        sample,
    }
}

fn fold(rows: &[ServerRow], window_start_s: f64) -> ServerMetrics {
    let mut fold = Fold::new((window_start_s * 1e9) as i64);
    let mut replay = Replay::default();
    let on_scrape = &mut |scrape: &Scrape, series: &[Series]| fold.take(scrape, series);
    rows.iter().for_each(|row| replay.push(row, on_scrape));
    replay.finish(on_scrape);
    fold.finish()
}

#[test]
fn a_counter_is_counted_from_the_last_scrape_before_the_window_and_through_a_new_start() {
    let c = |scrape, t_s, value| row(scrape, t_s, Some(("counter", "x_total", "a=\"b\"", value)));
    let rows =
        [c(0, 0.0, 100.0), c(1, 1.0, 110.0), c(2, 2.0, 130.0), row(3, 3.0, None), c(4, 4.0, 5.0), c(5, 5.0, 7.0)];
    let found = fold(&rows, 1.5);
    assert_eq!(found.series.len(), 1);
    let series = &found.series[0];
    // 110 → 130, then anew: 5, and 2 more; from the scrape at 1 s to that at 5 s.
    assert_eq!((&series.stats, series.duration_s), (&SeriesStats::Counter(27.0), 4.0));
    assert_eq!((&*series.metric, series.labels[0].1.as_str()), ("x", "b"));
    let info = &found.endpoints[0];
    assert_eq!((info.fetches, info.updates_ns.len(), info.latency_mean_ms), (6, 5, 2.0));
}

#[test]
fn a_series_that_appears_is_counted_from_0_and_one_that_was_there_from_its_value() {
    let there = row(0, 0.0, Some(("counter", "x_total", "", 50.0)));
    let appears = row(1, 1.0, Some(("counter", "y_total", "", 8.0)));
    let found = fold(&[there, appears], -1.0);
    let totals: Vec<_> = found.series.iter().map(|s| (&*s.metric, s.stats.clone())).collect();
    assert_eq!(totals, [("x", SeriesStats::Counter(0.0)), ("y", SeriesStats::Counter(8.0))]);
}

#[test]
fn a_gauge_counts_at_every_scrape_whether_or_not_it_changed_and_not_while_it_is_gone() {
    let g = |scrape, value| row(scrape, f64::from(scrape), Some(("gauge", "g", "", value)));
    let rows = [g(0, 9.0), g(1, 1.0), row(2, 2.0, None), g(3, f64::NAN), g(4, 4.0)];
    let found = fold(&rows, 0.5);
    let SeriesStats::Gauge(stats) = &found.series[0].stats else { panic!("{:?}", found.series) };
    assert_eq!((stats.n, stats.mean, stats.min, stats.max), (3, 2.0, 1.0, 4.0));
}

#[test]
fn a_histogram_is_one_series_and_its_percentiles_lie_in_its_buckets() {
    let h = |scrape, name, labels, value| row(scrape, f64::from(scrape), Some(("histogram", name, labels, value)));
    let reading = |n: u32, [a, b, c]: [f64; 3], sum| {
        [
            h(n, "t_bucket", "m=\"x\",le=\"0.1\"", a),
            h(n, "t_bucket", "m=\"x\",le=\"0.5\"", b),
            h(n, "t_bucket", "m=\"x\",le=\"+Inf\"", c),
            h(n, "t_sum", "m=\"x\"", sum),
            h(n, "t_count", "m=\"x\"", c),
        ]
    };
    let rows = [reading(0, [10.0, 10.0, 10.0], 1.0), reading(1, [10.0, 18.0, 20.0], 4.0)].concat();
    let found = fold(&rows, 0.0);
    assert_eq!(found.series.len(), 1);
    let SeriesStats::Histogram(stats) = &found.series[0].stats else { panic!("{:?}", found.series) };
    assert_eq!((stats.count, stats.sum), (10.0, 3.0));
    assert_eq!(stats.buckets.iter().map(|b| b.2).collect::<Vec<_>>(), [0.0, 8.0, 10.0]);
    assert_eq!((stats.percentile(50.0), stats.percentile(99.0)), (Some(0.1 + 0.4 * 5.0 / 8.0), Some(0.5)));
    assert_eq!(HistogramStats::default().percentile(50.0), None);
}
