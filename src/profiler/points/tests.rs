//! Tables that are made here; those that were measured are in `tests/accuracy.rs`.

use super::*;
use crate::profiler::backend::Backend;
use crate::profiler::cost::{CostModel, StepLoad};
use crate::profiler::{gpu, model};

const FORWARD: &str = "model,quant,system,backend,tp,kind,batch,seq_len,latency_ms,note\n\
    Qwen3-32B,bfloat16,h200_sxm,vllm,2,prefill,1,2048,100,\"a, b\"\n\
    Qwen3-32B,bfloat16,h200_sxm,vllm,2,decode,8,2176,,x\n\
    Qwen4-1T,bfloat16,h200_sxm,vllm,2,decode,8,2176,10,x\n\
    Qwen3-32B,nvfp4,h200_sxm,vllm,2,decode,8,2176,10,x\n\
    Qwen3-32B,bfloat16,gb200,vllm,2,decode,0,2176,10,x\n\
    Qwen3-32B,bfloat16,gb200,vllm,2,decode,8,2176,10,x\n";

#[test]
fn the_fuzzers_corpus_is_scored_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/points");
    let mut scored = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        fuzz_points(&bytes);
        scored += u32::from(std::str::from_utf8(&bytes).is_ok_and(|text| score("points", text).is_ok()));
    }
    assert!(scored >= 2, "{scored} of the corpus are tables of points");
}

fn cells(csv: &str) -> Vec<Vec<String>> {
    let table = Table::parse("scored", csv).unwrap();
    let names: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    (0..table.rows()).map(|r| names.iter().map(|n| table.cell(r, n).unwrap().to_string()).collect()).collect()
}

#[test]
fn every_row_comes_back_with_a_prediction_or_the_reason_why_not() {
    let scored = score("points.csv", FORWARD).unwrap();
    assert_eq!((scored.kind.name, scored.rows, scored.predicted), ("forward passes", 6, 3));
    let header = scored.csv.lines().next().unwrap();
    assert!(header.ends_with("note,predicted_ms,predicted_ms_low,predicted_ms_high,stage,status"), "{header}");
    let rows = cells(&scored.csv);
    let cost = CostModel::new(model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap(), Backend::Vllm, 2);
    let expected = cost.unwrap().step_s(&StepLoad::prefill(1, 2048)) * 1e3;
    assert_eq!(rows[0][9], "a, b");
    let of = |row: usize, column: usize| rows[row][column].parse::<f64>().unwrap();
    assert!((of(0, 10) - expected).abs() < 1e-3, "{} {expected}", of(0, 10));
    assert!(of(0, 11) < of(0, 10) && of(0, 10) < of(0, 12));
    assert_eq!((&rows[0][13][..], &rows[0][14][..]), ("static", "predicted"));
    for (row, why) in [(2, "unknown model"), (3, "no arithmetic for nvfp4"), (4, "`batch` is \"0\"")] {
        assert!(rows[row][14].starts_with("not predicted: ") && rows[row][14].contains(why), "{:?}", rows[row]);
        assert!(rows[row][10..14].iter().all(String::is_empty), "{:?}", rows[row]);
    }
    assert!(rows[5][14].starts_with("predicted (kernels of b200_sxm"), "{:?}", rows[5]);
    assert_eq!(scored.refused.iter().map(|(_, n)| n).sum::<usize>(), 3);
}

#[test]
fn errors_are_those_of_the_rows_that_were_measured() {
    let scored = score("points.csv", FORWARD).unwrap();
    // All, Qwen3-32B on gb200, and on h200_sxm, of which one row was not measured.
    let rows: Vec<usize> = scored.groups.iter().map(|g| g.errors[0].as_ref().unwrap().rows).collect();
    assert_eq!(rows, [2, 1, 1]);
    let all = Errors::of(&[0.1, -0.3, 0.2]).unwrap();
    assert_eq!((all.rows, all.median), (3, 0.2));
    assert!((all.mape - 0.2).abs() < 1e-12 && all.bias.abs() < 1e-12);
    assert_eq!(Errors::of(&[0.1, -0.3]).unwrap().median, 0.2);
    assert_eq!(Errors::of(&[]), None);
    let unmeasured = FORWARD.replace("latency_ms", "remark");
    assert!(score("points.csv", &unmeasured).unwrap().groups.is_empty());
}

const SERVING: &str = "model_path,system,backend,precision,mode,isl,osl,gemm_quant_mode,moe_quant_mode,batch_size,tp_size,pp_size,\
    attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms\n\
    Qwen/Qwen3-32B,h100_sxm,trtllm,fp8,agg,2048,256,fp8,,32.0,2.0,1,,1,1,487,23.3\n\
    deepseek-ai/DeepSeek-R1,b200_sxm,sglang,fp4,agg,1024,1024,nvfp4,nvfp4,16,8,1,1,8,1,200,10\n\
    deepseek-ai/DeepSeek-R1,b200_sxm,sglang,fp4,agg,1024,1024,nvfp4,nvfp4,16,64,1,1,8,8,200,10\n\
    openai/gpt-oss-120b,b200_sxm,vllm,fp4,agg,1024,1024,nvfp4,nvfp4,16,1,1,1,1,1,200,10\n\
    Qwen/Qwen3-32B,h100_sxm,trtllm,fp8,disagg,2048,256,fp8,,32,2,1,,1,1,487,23.3\n\
    Qwen/Qwen3-235B-A22B-FP8,h100_sxm,trtllm,fp8,agg,2048,256,fp8,fp8,32,1,1,1,1,1,487,23.3\n";

#[test]
fn serving_points_get_both_latencies_and_a_layout_that_is_read_otherwise_is_told() {
    let scored = score("points.csv", SERVING).unwrap();
    assert_eq!((scored.kind.name, scored.rows, scored.predicted), ("aggregated serving", 6, 4));
    let table = Table::parse("scored", &scored.csv).unwrap();
    let cell = |row, column| table.cell(row, column).unwrap();
    for row in 0..4 {
        assert_eq!(cell(row, "stage"), "aggregated");
        for column in ["predicted_ttft_ms", "predicted_tpot_ms", "predicted_ttft_ms_low", "predicted_tpot_ms_high"] {
            assert!(cell(row, column).parse::<f64>().unwrap() > 0.0, "{row} {column}");
        }
    }
    assert!(cell(2, "status").contains("read as tp 8 dp 1 moe_tp 1 moe_ep 8"), "{}", cell(2, "status"));
    assert!(cell(4, "status").contains("disaggregated"));
    assert!(cell(5, "status").contains("do not fit on 1 x h100_sxm"), "{}", cell(5, "status"));
}

/// The first serving row, with one column more.
fn with(column: &str, value: &str) -> String {
    let mut lines = SERVING.lines();
    format!("{},{column}\n{},{value}\n", lines.next().unwrap(), lines.next().unwrap())
}

#[test]
fn how_lengths_were_drawn_is_told_by_a_column_or_else_by_the_source() {
    let ttft_ms = |column, value| {
        let scored = score("points.csv", &with(column, value)).unwrap();
        let table = Table::parse("scored", &scored.csv).unwrap();
        table.cell(0, "predicted_ttft_ms").unwrap().parse::<f64>().unwrap()
    };
    let (unknown, drawn, alike) =
        (ttft_ms("note", "x"), ttft_ms("random_range_ratio", "0.8"), ttft_ms("random_range_ratio", "1"));
    assert!(drawn < unknown && unknown < alike, "{drawn} {unknown} {alike}");
    for (source, expected) in
        [("db-dump/2026-04-27", drawn), ("source_file=2026-04-06.csv", drawn), ("source_file=qwen3.csv", alike)]
    {
        assert_eq!(ttft_ms("silicon_data_source", source), expected, "{source}");
    }
}

#[test]
fn the_terms_of_a_row_are_what_its_prediction_is_made_of() {
    let csv = terms("points.csv", SERVING).unwrap();
    let rows = cells(&csv);
    // The disaggregated row, and the one whose weights do not fit, have none.
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0][..9], ["Qwen/Qwen3-32B", "h100_sxm", "trtllm", "fp8", "hopper", "dense", "any", "32", "32"]);
    assert_eq!(rows[0][13..], ["487", "23.3"]);
    assert_eq!((&rows[1][4][..], &rows[1][5][..]), ("blackwell", "experts"));
    let law = "header\ntrtllm,hopper,dense,any,0,0,0,0,1,0,0,0,1,1,1,1";
    let by_law = score_by(&Law::parse(law).unwrap(), "points.csv", &with("note", "x")).unwrap();
    let table = Table::parse("scored", &by_law.csv).unwrap();
    let own_ms: f64 = rows[0][12].parse().unwrap();
    assert!((table.cell(0, "predicted_ttft_ms").unwrap().parse::<f64>().unwrap() - own_ms).abs() < 1e-3);
}

#[test]
fn a_table_of_no_known_kind_is_refused_with_the_kinds() {
    let error = |text: &str| score("points.csv", text).unwrap_err().to_string();
    assert!(error("a,b\n1,2\n").contains("seq_len") && error("a,b\n").contains("model_path"));
    assert!(error("").contains("empty"));
}
