//! A sweep → one offline page: what to deploy, latency by batch, memory, throughput against speed, behaviour under load.
//!
//! Invariants: those of every page; the numbers are those of the text. Not here: what the numbers are
//! ([`crate::profiler::sweep`], [`crate::forecast`]).

use crate::forecast::Forecast;
use crate::forecast::under_load::{Offered, UnderLoad};
use crate::profiler::capacity::{BatchPoint, Capacity};
use crate::profiler::frontier::OperatingPoint;
use crate::profiler::recommend::Recommendation;
use crate::report::number::{count, number, percent};
use crate::report::sweep::{Answer, facts, offered};

use super::axis::Axis;
use super::escape::{escape, escape_cut};
use super::figure::{Figure, Key, figure, no_data};
use super::svg::{Chart, Slice};
use super::table::table;
use super::{Page, section};

/// One colour for each tensor-parallel size, and the name that a legend can hold.
const SIZES: [(u32, &str, &str); 4] = [(1, "s1", "TP1"), (2, "s2", "TP2"), (4, "s3", "TP4"), (8, "s4", "TP8")];
/// Class, name, and what lies below a part of a bar and in it.
type Layer = (&'static str, &'static str, fn(&Capacity) -> [f64; 2]);
/// Class, name, and what is drawn of a level.
type Line = (&'static str, &'static str, fn(&UnderLoad) -> f64);
const GIB: f64 = (1u64 << 30) as f64;

/// The page.
pub fn render(answer: &Answer<'_>) -> Page {
    let (spec, sweep) = (answer.spec, answer.sweep);
    let title = format!("{} on {}, {}", spec.model.names[0], spec.gpu.name, spec.backend.as_str());
    let capacities = &sweep.capacities;
    let mut figures = vec![
        frontier(answer),
        memory(capacities),
        by_batch(capacities, "Time between tokens by batch", "ITL, ms", |p| p.itl_ms, spec.sla.itl_ms),
        by_batch(capacities, "Prefill of a whole batch at once", "TTFT, ms", |p| p.ttft_ms, spec.sla.ttft_ms),
    ];
    for f in answer.forecasts {
        figures.push(latency_by_rate(f, spec.sla.ttft_ms));
        figures.push(attainment(f));
    }
    let workload = format!(
        "prompts of {} and answers of {} tokens · mean TTFT {} ms and ITL {} ms at most · up to {} GPUs · predicted, nothing was run",
        count(spec.workload.isl_tokens.into()),
        count(spec.workload.osl_tokens.into()),
        number(spec.sla.ttft_ms),
        number(spec.sla.itl_ms),
        spec.max_gpus
    );
    let body = [
        format!(
            "<header><div><p class=\"kicker\">loadline · sweep</p><h1>{}</h1><p class=\"sub\">{}</p></div></header>\n<main>\n",
            escape_cut(&title, 120),
            escape(&workload)
        ),
        recommendation(answer),
        section("Plots", &figures),
        sizes(capacities),
        topologies(answer),
        answer.forecasts.iter().map(levels).collect(),
        "</main>\n".into(),
    ];
    Page::new(&title, &body.concat(), figures)
}

fn recommendation(answer: &Answer<'_>) -> String {
    let (class, heading) = match &answer.sweep.recommendation {
        Recommendation::Deploy { best, .. } => ("valid", format!("Deploy {}", best.topology)),
        Recommendation::Infeasible { binding, .. } => {
            ("invalid", format!("Nothing meets the SLA: {} binds", binding.as_str()))
        }
    };
    let lines: String = facts(answer)
        .iter()
        .map(|(label, text)| format!("<li>{}: {}</li>", escape(label), escape_cut(text, 400)))
        .collect();
    format!("<section class=\"verdict {class}\"><h2>{}</h2><ul>{lines}</ul></section>\n", escape(&heading))
}

fn size(tp: u32) -> Option<(&'static str, &'static str)> {
    SIZES.iter().find(|s| s.0 == tp).map(|s| (s.1, s.2))
}

fn by_batch(capacities: &[Capacity], heading: &str, label: &str, of: fn(&BatchPoint) -> f64, bound_ms: f64) -> Figure {
    let points = || capacities.iter().flat_map(|c| &c.curve);
    if points().next().is_none() {
        return no_data(heading, "The model fits on none of the sizes.");
    }
    let caption = format!(
        "Stage: static engine, all prompts in the cache and nobody waiting, up to the batch that fits into memory. Predicted, n = {} batches. Dashed: the bound of {} ms.",
        points().count(),
        number(bound_ms)
    );
    let axes = (
        Axis::log("sequences in the batch, log scale", points().map(|p| f64::from(p.batch))),
        Axis::log(format!("{label}, log scale"), points().map(of).chain([bound_ms])),
    );
    let mut chart = Chart::new(heading, &caption, axes, 0);
    let mut keys = Vec::new();
    for c in capacities.iter().filter(|c| !c.curve.is_empty()) {
        let Some((class, name)) = size(c.tp) else { continue };
        keys.push(Key::line(class, name));
        let curve: Vec<(f64, f64)> = c.curve.iter().map(|p| (p.batch.into(), of(p))).collect();
        chart.curve(class, &curve);
        for p in c.curve.iter().step_by(9) {
            chart.dot(
                class,
                (p.batch.into(), of(p)),
                &format!("{name}, batch {}: {} ms", count(p.batch.into()), number(of(p))),
            );
        }
    }
    chart.reference_y("slo", bound_ms, &format!("bound {} ms", number(bound_ms)));
    figure(heading, &keys, chart, &caption)
}

fn memory(capacities: &[Capacity]) -> Figure {
    let heading = "Memory of one GPU";
    let caption = format!(
        "GiB. KV cache is what is left for it by the engine's own policy; the rest is CUDA context, graphs, communication \
         and what the engine leaves free. Predicted, n = {} sizes.",
        capacities.len()
    );
    let highest = capacities.iter().map(|c| c.memory.hbm_bytes / GIB).fold(0.0, f64::max);
    let names: Vec<_> = capacities.iter().filter_map(|c| size(c.tp)).map(|s| s.1).collect();
    let axes = (Axis::classes("tensor-parallel size", &names), Axis::from_zero("GiB", highest));
    let mut chart = Chart::new(heading, &caption, axes, 0);
    // Each bar stands on the x axis; the taller ones are drawn first and show above the shorter ones.
    let parts: [Layer; 4] = [
        ("s4", "rest", |c| {
            [c.memory.weights_bytes + c.memory.activation_bytes + c.memory.kv_bytes, c.memory.other_bytes]
        }),
        ("s3", "KV cache", |c| [c.memory.weights_bytes + c.memory.activation_bytes, c.memory.kv_bytes]),
        ("s2", "activations", |c| [c.memory.weights_bytes, c.memory.activation_bytes]),
        ("s1", "weights", |c| [0.0, c.memory.weights_bytes]),
    ];
    for (class, name, of) in parts {
        let bars: Vec<Slice> = capacities
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let [below, own] = of(c).map(|bytes| bytes / GIB);
                let tokens =
                    if name == "KV cache" { format!(", {} tokens on all", count(c.kv_tokens)) } else { String::new() };
                Slice {
                    from: i as f64 + 0.2,
                    to: i as f64 + 0.8,
                    height: below + own,
                    note: format!("TP{}, {name}: {} GiB{tokens}", c.tp, number(own)),
                }
            })
            .collect();
        chart.bars(&format!("{class} solid"), &bars);
    }
    let keys = [
        Key::area("s1 solid", "weights"),
        Key::area("s2 solid", "activations"),
        Key::area("s3 solid", "KV cache"),
        Key::area("s4 solid", "rest"),
    ];
    figure(heading, &keys, chart, &caption)
}

fn frontier(answer: &Answer<'_>) -> Figure {
    let (sla, sweep) = (answer.spec.sla, answer.sweep);
    let heading = "Throughput against speed";
    if sweep.front_any_ttft.is_empty() {
        return no_data(heading, "The model fits on none of the sizes.");
    }
    let corner = 1e3 / sla.itl_ms;
    let caption = format!(
        "What no other topology of up to {} GPUs beats, aggregated or disaggregated, in the mean field. Right of the line the ITL is within {} ms; \
         the solid front also keeps the TTFT within {} ms. Predicted, n = {} points.",
        answer.spec.max_gpus,
        number(sla.itl_ms),
        number(sla.ttft_ms),
        sweep.front_any_ttft.len()
    );
    let xy = |p: &OperatingPoint| (p.tokens_per_s_per_user, p.tokens_per_s_per_gpu);
    let xs = sweep.front_any_ttft.iter().map(|p| xy(p).0).chain([corner]);
    let highest = sweep.front_any_ttft.iter().map(|p| xy(p).1).fold(0.0, f64::max);
    let axes = (Axis::log("tokens/s of a user, log scale", xs), Axis::from_zero("tokens/s/GPU", highest));
    let mut chart = Chart::new(heading, &caption, axes, 1);
    chart.curve("s4 dash", &sweep.front_any_ttft.iter().map(xy).collect::<Vec<_>>());
    chart.curve("s1", &sweep.front.iter().map(xy).collect::<Vec<_>>());
    let note = |p: &OperatingPoint| {
        format!(
            "{}, {} each: TTFT {} ms, ITL {} ms, {} tok/s/GPU",
            p.topology,
            count(p.batch.into()),
            number(p.ttft_ms),
            number(p.itl_ms),
            number(p.tokens_per_s_per_gpu)
        )
    };
    for p in sweep.front.iter().step_by(4) {
        chart.dot("s1", xy(p), &note(p));
    }
    let mut keys = vec![Key::line("s1", "TTFT within the bound"), Key::line("s4 dash", "any TTFT")];
    if let Recommendation::Deploy { best, runner_up } = &sweep.recommendation {
        if let Some(second) = runner_up {
            chart.dot("s3 big", xy(&second.point), &format!("runner-up: {}", note(&second.point)));
            keys.push(Key::area("s3 solid", "runner-up"));
        }
        chart.dot("s2 big", xy(best), &format!("deploy: {}", note(best)));
        keys.push(Key::area("s2 solid", "deploy"));
    }
    chart.reference_x("slo", corner, &format!("ITL {} ms", number(sla.itl_ms)));
    figure(heading, &keys, chart, &caption)
}

/// Levels of an open loop with their rates.
fn rates(f: &Forecast) -> impl Iterator<Item = (f64, &UnderLoad)> {
    f.open_loop.iter().filter_map(|l| match l.offered {
        Offered::RateRps(rate) => Some((rate, l)),
        _ => None,
    })
}

fn latency_by_rate(f: &Forecast, bound_ms: f64) -> Figure {
    let heading = format!("TTFT under load, {}", f.point.topology);
    let caption = format!(
        "Poisson arrivals, played through in simulated time; n = {} requests at each of {} rates. Router, network and HTTP are not in it.",
        f.open_loop.first().map_or(0, |l| l.requests),
        rates(f).count()
    );
    let highest = rates(f).map(|(rate, _)| rate).fold(0.0, f64::max);
    let axes = (
        Axis::up_to("requests/s", highest * 1.02),
        Axis::log("TTFT, ms, log scale", rates(f).flat_map(|(_, l)| [l.ttft_ms.p50, l.ttft_ms.p99]).chain([bound_ms])),
    );
    let mut chart = Chart::new(&heading, &caption, axes, 0);
    let parts: [Line; 3] =
        [("s1", "p50", |l| l.ttft_ms.p50), ("s3", "p90", |l| l.ttft_ms.p90), ("s2", "p99", |l| l.ttft_ms.p99)];
    for (class, name, of) in parts {
        chart.curve(class, &rates(f).map(|(rate, l)| (rate, of(l))).collect::<Vec<_>>());
        for (rate, l) in rates(f) {
            chart.dot(class, (rate, of(l)), &format!("{} req/s, {name}: {} ms", number(rate), number(of(l))));
        }
    }
    chart.reference_y("slo", bound_ms, &format!("bound {} ms", number(bound_ms)));
    figure(&heading, &parts.map(|(class, name, _)| Key::line(class, name)), chart, &caption)
}

fn attainment(f: &Forecast) -> Figure {
    let heading = format!("SLO attainment, {}", f.point.topology);
    let caption = format!(
        "Share of requests within both bounds, n = {} at each of {} rates. At least {} up to {} requests/s; the mean field alone would say {}.",
        f.open_loop.first().map_or(0, |l| l.requests),
        rates(f).count(),
        percent(f.attainment),
        number(f.capacity_rps),
        number(f.point.requests_per_s)
    );
    let highest = rates(f).map(|(rate, _)| rate).fold(0.0, f64::max);
    let axes = (Axis::up_to("requests/s", highest * 1.02), Axis::up_to("share within the SLA", 1.0));
    let mut chart = Chart::new(&heading, &caption, axes, 1);
    chart.curve("s1", &rates(f).map(|(rate, l)| (rate, l.attainment)).collect::<Vec<_>>());
    for (rate, l) in rates(f) {
        chart.dot("s1", (rate, l.attainment), &format!("{} req/s: {}", number(rate), percent(l.attainment)));
    }
    chart.reference_x("slo", f.capacity_rps, &format!("{} req/s", number(f.capacity_rps)));
    figure(&heading, &[], chart, &caption)
}

fn sizes(capacities: &[Capacity]) -> String {
    let row = |c: &Capacity| {
        let full = |of: fn(&BatchPoint) -> f64| c.full.as_ref().map_or("–".into(), |p| number(of(p)));
        vec![
            format!("TP{}", c.tp),
            count(c.kv_tokens),
            number(c.alone.ttft_ms),
            number(c.alone.itl_ms),
            count(c.max_batch_memory.into()),
            count(c.max_batch_itl.into()),
            full(|p| p.itl_ms),
            full(|p| p.tokens_per_s_per_gpu),
            full(|p| p.tokens_per_s_per_user),
        ]
    };
    let heads = [
        "",
        "KV tokens",
        "TTFT, ms",
        "ITL, ms",
        "batch by memory",
        "batch by ITL",
        "ITL there, ms",
        "tok/s/GPU",
        "tok/s/user",
    ];
    let rows: Vec<Vec<String>> = capacities.iter().map(row).collect();
    table(
        "By tensor-parallel size",
        "Stage: static engine. TTFT and ITL alone, the rest at the largest batch within both.",
        &heads,
        &rows,
    )
}

fn topologies(answer: &Answer<'_>) -> String {
    let row = |p: &OperatingPoint| {
        let gpu_s = p.gpu_s_per_million_tokens();
        vec![
            p.topology.to_string(),
            p.topology.gpus().to_string(),
            count(p.batch.into()),
            number(p.ttft_ms),
            number(p.itl_ms),
            number(p.requests_per_s),
            number(p.tokens_per_s_per_gpu),
            number(answer.gpu_hour_price.map_or(gpu_s, |price| price * gpu_s / 3600.0)),
        ]
    };
    let cost = if answer.gpu_hour_price.is_some() { "price/Mtok" } else { "GPU-s/Mtok" };
    let heads = ["", "GPUs", "batch", "TTFT, ms", "ITL, ms", "req/s", "tok/s/GPU", cost];
    let rows: Vec<Vec<String>> = answer.sweep.feasible.iter().map(row).collect();
    table(
        "Topologies within the SLA",
        "Stage: aggregated or disaggregated, mean field with queueing, at the highest load that keeps the means within the bounds.",
        &heads,
        &rows,
    )
}

fn levels(f: &Forecast) -> String {
    let row = |l: &UnderLoad| {
        vec![
            offered(l.offered),
            number(l.ttft_ms.p50),
            number(l.ttft_ms.p99),
            number(l.itl_ms.p50),
            number(l.itl_ms.p99),
            number(l.requests_per_s),
            percent(l.attainment),
            number(l.goodput_rps),
        ]
    };
    let rows: Vec<Vec<String>> = f.open_loop.iter().chain(&f.closed_loop).chain(&f.trace).map(row).collect();
    let heads = ["", "TTFT p50, ms", "p99", "ITL p50, ms", "p99", "req/s", "within SLA", "goodput, req/s"];
    table(
        &format!("Under load, {}", f.point.topology),
        "Stage: under load, simulated request by request: Poisson arrivals, then clients that ask again at once.",
        &heads,
        &rows,
    )
}
