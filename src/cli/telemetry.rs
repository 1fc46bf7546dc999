//! The flags that say what is asked of the server beside the load → what is meant.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::base_url::BaseUrl;
use super::profile::OUTPUT;
use crate::error::{Error, Result};
use crate::export::server::ServerFormat;

/// The arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetryArgs {
    /// Further URLs whose metrics are scraped, in Prometheus' text format, each third of a second while the run lasts. Those of
    /// the endpoint (its /metrics) always are, if it has some; --no-server-metrics leaves it alone.
    #[arg(long, value_name = "URL", num_args = 1.., value_delimiter = ',', help_heading = OUTPUT)]
    pub server_metrics: Vec<String>,

    /// Scrape no metrics.
    #[arg(long, conflicts_with = "server_metrics", help_heading = OUTPUT)]
    pub no_server_metrics: bool,

    /// Files to write of the server's metrics, beside server_metrics.parquet, from which `report` makes them again.
    #[arg(long, value_enum, value_name = "FORMAT,…", num_args = 1.., value_delimiter = ',',
        default_values_t = [ServerFormatArg::Json, ServerFormatArg::Csv], help_heading = OUTPUT)]
    pub server_metrics_formats: Vec<ServerFormatArg>,
}

/// Formats, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServerFormatArg {
    /// Numbers, for programs.
    Json,
    /// Numbers, for spreadsheets.
    Csv,
    /// Every scrape that brought something new.
    Jsonl,
    /// Every value that changed.
    Parquet,
}

/// What is asked of the server beside the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Whether the endpoint's own metrics are scraped, if it has some.
    pub of_endpoint: bool,
    /// Further URLs.
    pub further: Vec<BaseUrl>,
    /// Files to write.
    pub formats: Vec<ServerFormat>,
}

impl TelemetryArgs {
    pub(super) fn resolve(&self) -> Result<TelemetryConfig> {
        let further = self.server_metrics.iter().map(|url| metrics_url(url)).collect::<Result<_>>()?;
        let mut formats: Vec<ServerFormat> = self.server_metrics_formats.iter().map(|format| format.meant()).collect();
        formats.sort_unstable();
        formats.dedup();
        Ok(TelemetryConfig { of_endpoint: !self.no_server_metrics, further, formats })
    }
}

impl TelemetryConfig {
    /// As the manifest keeps it.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "enabled": self.of_endpoint,
            "urls": self.further.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "formats": self.formats.iter().map(|format| format.as_str()).collect::<Vec<_>>(),
        })
    }
}

/// A URL of metrics; as aiperf, `/metrics` is added where it is missing.
fn metrics_url(url: &str) -> Result<BaseUrl> {
    let mut parsed = BaseUrl::parse(url).map_err(|error| match error {
        Error::Usage(text) => Error::Usage(text.replacen("--url", "--server-metrics", 1)),
        other => other,
    })?;
    if !parsed.path.ends_with("/metrics") {
        parsed.path.push_str("/metrics");
    }
    Ok(parsed)
}

impl ServerFormatArg {
    fn meant(self) -> ServerFormat {
        match self {
            ServerFormatArg::Json => ServerFormat::Json,
            ServerFormatArg::Csv => ServerFormat::Csv,
            ServerFormatArg::Jsonl => ServerFormat::Jsonl,
            ServerFormatArg::Parquet => ServerFormat::Parquet,
        }
    }
}

impl std::fmt::Display for ServerFormatArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.meant().as_str())
    }
}
