//! The flags of `vllm bench serve` about its result file → what is asked of it.

use std::path::PathBuf;

use super::resolve::usage;
use crate::error::Result;
use crate::export::vllm_json::{Asked, LATENCIES};
use crate::metrics::PERCENTILES;

/// vLLM's result file, for scripts that read it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Result file of vllm bench serve")]
pub struct ResultFileArgs {
    /// Write the result file of `vllm bench serve --save-result`: vllm_result.json beside the recording, and a copy under
    /// vLLM's name in --result-dir.
    #[arg(long)]
    pub save_result: bool,

    /// With an entry for each request in it.
    #[arg(long, requires = "save_result")]
    pub save_detailed: bool,

    /// Directory of the copy. [default: the current one]
    #[arg(long, value_name = "DIR", requires = "save_result")]
    pub result_dir: Option<PathBuf>,

    /// Name of the copy. [default: LABEL-RATEqps[-concurrencyN]-MODEL-DATE.json]
    #[arg(long, value_name = "FILE", requires = "save_result")]
    pub result_filename: Option<PathBuf>,

    /// What that name begins with. [default: openai-chat or openai]
    #[arg(long, value_name = "TEXT", requires = "save_result")]
    pub label: Option<String>,

    /// Keys to add to the file.
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., requires = "save_result")]
    pub metadata: Vec<String>,

    /// Latencies in the file: ttft, tpot, itl, e2el.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "ttft,tpot,itl")]
    pub percentile_metrics: Vec<String>,

    /// Percentiles of them, of 1, 5, 10, 25, 50, 75, 90, 95 and 99.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "99")]
    pub metric_percentiles: Vec<f64>,
}

impl ResultFileArgs {
    /// What is asked of the file, if it is asked for.
    ///
    /// # Errors
    /// A usage error for a latency or a percentile that is not computed, and for metadata that is no pair.
    pub(super) fn resolve(&self) -> Result<Option<Asked>> {
        for name in &self.percentile_metrics {
            if !LATENCIES.iter().any(|(theirs, _)| theirs == name) {
                return usage(&format!("--percentile-metrics {name}: use ttft, tpot, itl or e2el"));
            }
        }
        for percentile in &self.metric_percentiles {
            if !PERCENTILES.contains(percentile) {
                let known = PERCENTILES.map(|p| p.to_string()).join(", ");
                return usage(&format!("--metric-percentiles {percentile}: use some of {known}"));
            }
        }
        let mut metadata = Vec::new();
        for pair in &self.metadata {
            match pair.split_once('=') {
                Some((key, value)) => metadata.push((key.trim().into(), value.trim().into())),
                None => return usage(&format!("--metadata {pair}: must be KEY=VALUE")),
            }
        }
        Ok(self.save_result.then(|| Asked {
            dir: self.result_dir.clone().unwrap_or_default(),
            file_name: self.result_filename.clone(),
            detailed: self.save_detailed,
            label: self.label.clone(),
            metadata,
            latencies: self.percentile_metrics.clone(),
            percentiles: self.metric_percentiles.clone(),
        }))
    }
}
