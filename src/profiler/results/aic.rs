//! `best_config_topn.csv` of AI Configurator (or AISimulate, its successor) → [`OperatingPoint`]s.
//!
//! Its stages and factors stay in the figures: an aggregated TTFT has a queue factor, a disaggregated one is 1.98 times its
//! static prefill, rates are cut by 8 to 10 %. They are shown beside our own and never mixed with them.
//! Rows that share GPUs otherwise than by tensor parallelism alone are left out and counted.

use std::collections::HashMap;

use crate::profiler::capacity::Workload;
use crate::profiler::frontier::{OperatingPoint, Topology};

/// Rows of a file, at most.
const ROWS_MAX: usize = 10_000;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AicTable {
    /// The rows, in the file's order, which is best first.
    pub points: Vec<OperatingPoint>,
    /// Rows left out.
    pub left_out: usize,
    /// The version of the kernels' tables.
    pub version: Option<String>,
}

/// Reads a file; replicas are counted up to `max_gpus`.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(text: &str, workload: Workload, max_gpus: u32) -> Result<AicTable, String> {
    let mut rows = records(text)?.into_iter();
    let heads = rows.next().ok_or("it is empty")?;
    let mut table = AicTable::default();
    for cells in rows {
        let row: HashMap<&str, &str> = heads.iter().map(String::as_str).zip(cells.iter().map(String::as_str)).collect();
        table.version = table.version.or_else(|| row.get("version").or(row.get("(d)version")).map(|v| (*v).to_owned()));
        match point(&row, workload, max_gpus)? {
            Some(point) => table.points.push(point),
            None => table.left_out += 1,
        }
    }
    Ok(table)
}

fn point(row: &HashMap<&str, &str>, workload: Workload, max_gpus: u32) -> Result<Option<OperatingPoint>, String> {
    let number = |name: &str| {
        let value = row.get(name).and_then(|v| v.parse::<f64>().ok()).filter(|v| v.is_finite() && *v >= 0.0);
        value.ok_or_else(|| format!("a row has no number `{name}`"))
    };
    let whole = |name: &str| number(name).map(|v| v.round() as u32);
    let plain = |half: &str| Ok::<_, String>(whole(&format!("{half}pp"))? == 1 && whole(&format!("{half}dp"))? == 1);
    let gpus = whole("num_total_gpus")?;
    let replicas = max_gpus.checked_div(gpus).unwrap_or(0);
    let (topology, batch) = if row.contains_key("(p)tp") {
        if !(plain("(p)")? && plain("(d)")?) {
            return Ok(None);
        }
        let workers = |half: &str| Ok::<_, String>(whole(&format!("{half}workers"))?.saturating_mul(replicas));
        let topology = Topology::Disaggregated {
            prefill_tp: whole("(p)tp")?,
            prefill_workers: workers("(p)")?,
            decode_tp: whole("(d)tp")?,
            decode_workers: workers("(d)")?,
        };
        (topology, whole("(d)bs")?)
    } else {
        if !plain("")? {
            return Ok(None);
        }
        (Topology::Aggregated { tp: whole("tp")?, replicas }, whole("bs")?)
    };
    let itl_ms = number("tpot")?;
    if replicas == 0 || itl_ms == 0.0 {
        return Ok(None);
    }
    let requests_per_s = number("seq/s")? * f64::from(replicas);
    Ok(Some(OperatingPoint {
        topology,
        batch,
        ttft_ms: number("ttft")?,
        itl_ms,
        requests_per_s,
        tokens_per_s_per_gpu: requests_per_s * f64::from(workload.osl_tokens) / f64::from(gpus * replicas),
        tokens_per_s_per_user: 1e3 / itl_ms,
    }))
}

/// The cells of every line.
fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut reader = csv_core::Reader::new();
    let mut input = text.as_bytes();
    let (mut cells, mut ends) = (vec![0; text.len() + 1], vec![0; 4096]);
    let mut rows = Vec::new();
    loop {
        let (result, read, _, count) = reader.read_record(input, &mut cells, &mut ends);
        input = &input[read..];
        match result {
            csv_core::ReadRecordResult::Record => {
                let starts = std::iter::once(0).chain(ends[..count].iter().copied());
                let cell = |(from, to): (usize, &usize)| String::from_utf8_lossy(&cells[from..*to]).into_owned();
                rows.push(starts.zip(&ends[..count]).map(cell).collect());
                if rows.len() > ROWS_MAX {
                    return Err(format!("it has more than {ROWS_MAX} lines"));
                }
            }
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::End => return Ok(rows),
            csv_core::ReadRecordResult::OutputFull | csv_core::ReadRecordResult::OutputEndsFull => {
                return Err("a line of it has too many cells".into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: Workload = Workload { isl_tokens: 2048, osl_tokens: 256 };
    // Heads and rows as AI Configurator 0.12.0 writes them, without the columns that are not read.
    const AGG: &str = "model,bs,ttft,tpot,seq/s,tokens/s/gpu,num_total_gpus,tp,pp,dp,version\n\
                       Qwen/Qwen3-32B,80,485.28,49.528,6.204,791.027,2,2,1,1,1.3.0rc20\n\
                       Qwen/Qwen3-32B,80,485.28,49.528,6.204,791.027,2,1,2,1,1.3.0rc20\n";
    const DISAGG: &str = "model,(p)workers,(d)bs,(d)workers,ttft,tpot,seq/s,num_total_gpus,(p)tp,(p)pp,(p)dp,(d)tp,(d)pp,(d)dp\n\
                          \"Qwen/Qwen3-32B\",6,328,1,383.456,45.354,25.348,8,1,1,1,2,1,1\n";

    #[test]
    fn both_modes_are_read_and_what_is_not_tensor_parallel_is_counted() {
        let agg = parse(AGG, WORKLOAD, 8).unwrap();
        assert_eq!((agg.points.len(), agg.left_out, agg.version.as_deref()), (1, 1, Some("1.3.0rc20")));
        let p = agg.points[0];
        assert_eq!((p.topology, p.batch), (Topology::Aggregated { tp: 2, replicas: 4 }, 80));
        assert!((p.tokens_per_s_per_gpu - 794.1).abs() < 0.1 && (p.requests_per_s - 24.816).abs() < 1e-9, "{p:?}");
        let disagg = parse(DISAGG, WORKLOAD, 8).unwrap();
        assert_eq!(disagg.points[0].topology.to_string(), "6 x TP1 prefill + 1 x TP2 decode");
        assert!((disagg.points[0].tokens_per_s_per_gpu - 811.1).abs() < 0.1);
    }

    #[test]
    fn what_is_missing_is_named_and_too_few_gpus_are_no_row() {
        assert!(parse("", WORKLOAD, 8).unwrap_err().contains("empty"));
        assert!(parse("a,b\n1,2\n", WORKLOAD, 8).unwrap_err().contains("`num_total_gpus`"));
        assert_eq!(parse(DISAGG, WORKLOAD, 4).unwrap().left_out, 1);
    }
}
