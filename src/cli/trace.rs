//! The arguments that name a trace and what is done to it, for every verb that takes one → how it is read and transformed.

use std::path::PathBuf;

use clap::ValueEnum;

use super::profile::INPUT;
use super::resolve::{non_negative_ns, positive_ns, usage};
use crate::error::Result;
use crate::trace::transform::{
    Filter, Limit, Pauses, Prefixes, RateBy, Repeat, RepeatUntil, Scale, Synthesis, TargetRate, Transforms, Window,
};
use crate::trace::{FORMATS, OnBadRow, ReadOptions, TimeOrigin, TimeUnit};

/// A trace, and what is done to it before it is used.
///
/// The changes are made in this order, whatever the order of the flags: filters, window, length limits, length scaling,
/// spreading of buckets, speed, target rate, loop.
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    /// Trace to replay: a file (plain, gzip or zstd), or a folder whose .json and .jsonl files are read as one.
    #[arg(long, value_name = "PATH", help_heading = INPUT)]
    pub input_file: Option<PathBuf>,

    /// Format of the trace; by default it is recognised by its content.
    #[arg(long, value_name = "FORMAT", long_help = formats_help(), help_heading = INPUT)]
    pub custom_dataset_type: Option<String>,

    /// What to do with a row that cannot be used: stop with its line and field, or skip and count it.
    #[arg(long, value_enum, default_value_t = OnBadRowArg::Fail, help_heading = INPUT)]
    pub on_bad_row: OnBadRowArg,

    /// Unit of the trace's times; by default inferred and printed.
    #[arg(long, value_enum, default_value_t = TimeUnitArg::Auto, help_heading = INPUT)]
    pub time_unit: TimeUnitArg,

    /// Where the trace's time axis begins: at its first request, at the file's own 0, which keeps a pause before the first, or
    /// in 1970, for a window --from --to in absolute seconds.
    #[arg(long, value_enum, default_value_t = TimeOriginArg::First, help_heading = INPUT)]
    pub time_origin: TimeOriginArg,

    /// Tokens in a prefix block of the trace; by default 512, or what the rows imply.
    #[arg(long, alias = "isl-block-size", value_name = "TOKENS", help_heading = INPUT)]
    pub block_size: Option<u32>,

    /// Use only the trace's requests to this model; can be given several times. Flags that change the trace are applied in the
    /// order in which they stand in this help, whatever their order on the command line.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    pub filter_model: Vec<String>,

    /// Use only the trace's requests of this kind (the trace's own word, e.g. search); can be given several times.
    #[arg(long, value_name = "KIND", help_heading = INPUT)]
    pub filter_type: Vec<String>,

    /// Start of the window of the trace to replay, in seconds.
    #[arg(long, value_name = "SECONDS", help_heading = INPUT)]
    pub from: Option<f64>,

    /// End of that window (exclusive), in seconds.
    #[arg(long, value_name = "SECONDS", help_heading = INPUT)]
    pub to: Option<f64>,

    /// Start of that window as aiperf has it: in milliseconds of the file's own times, inclusive; it becomes 0.
    #[arg(long, value_name = "MILLISECONDS", conflicts_with_all = ["from", "to", "fixed_schedule_auto_offset"], help_heading = INPUT)]
    pub fixed_schedule_start_offset: Option<u64>,

    /// End of that window as aiperf has it: in milliseconds of the file's own times, inclusive.
    #[arg(long, value_name = "MILLISECONDS", conflicts_with_all = ["from", "to"], help_heading = INPUT)]
    pub fixed_schedule_end_offset: Option<u64>,

    /// Make the first request that is sent 0, as is the default; not with --fixed-schedule-start-offset.
    #[arg(long, help_heading = INPUT)]
    pub fixed_schedule_auto_offset: bool,

    /// Leave out requests whose prompt is longer, with the turns that follow them; they are counted.
    #[arg(long, alias = "synthesis-max-isl", value_name = "TOKENS", help_heading = INPUT)]
    pub max_isl: Option<u32>,

    /// Cut longer answers to this length; they are counted.
    #[arg(long, alias = "synthesis-max-osl", value_name = "TOKENS", help_heading = INPUT)]
    pub max_osl: Option<u32>,

    /// Multiply the length of every prompt, and of what prompts share.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, help_heading = INPUT)]
    pub scale_isl: f64,

    /// Multiply the length of every answer.
    #[arg(long, alias = "synthesis-output-len-multiplier", value_name = "FACTOR", default_value_t = 1.0, help_heading = INPUT)]
    pub scale_osl: f64,

    /// Multiply the length of what prompts share: leading blocks that another prompt has too.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, help_heading = INPUT)]
    pub synthesis_prefix_len_multiplier: f64,

    /// Deal conversations out to this many families that share no blocks with each other.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = INPUT)]
    pub synthesis_prefix_root_multiplier: u32,

    /// Multiply the length of what prompts do not share.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, help_heading = INPUT)]
    pub synthesis_prompt_len_multiplier: f64,

    /// Where the recorder rounded arrivals into buckets (Mooncake's: 3 s), spread each bucket's requests over its gap.
    #[arg(long, help_heading = INPUT)]
    pub spread_buckets: bool,

    /// Replay faster (above 1) or slower (below 1) than recorded.
    #[arg(long, alias = "synthesis-speedup-ratio", value_name = "FACTOR", default_value_t = 1.0, help_heading = INPUT)]
    pub speed: f64,

    /// Bring the trace to this mean rate, bursts and swings included; --request-rate replaces them.
    #[arg(long, value_name = "PER_SECOND", help_heading = INPUT)]
    pub target_rate: Option<f64>,

    /// How: all requests faster or slower, or a seeded sample of them at their own times, sessions whole.
    #[arg(long, value_enum, default_value_t = RateByArg::Speed, requires = "target_rate", help_heading = INPUT)]
    pub target_rate_by: RateByArg,

    /// Cut longer pauses to this: those between the turns of a session, and after what a request waits for.
    #[arg(long, value_name = "SECONDS", help_heading = INPUT)]
    pub inter_turn_delay_cap_seconds: Option<f64>,

    /// Leave out the trace's pauses.
    #[arg(long, conflicts_with = "inter_turn_delay_cap_seconds", help_heading = INPUT)]
    pub ignore_trace_delays: bool,

    /// Replay the trace this many times, one pass after the other.
    #[arg(long = "loop", value_name = "N", conflicts_with = "loop_for", help_heading = INPUT)]
    pub passes: Option<u32>,

    /// Replay the trace again and again until its arrivals last this long.
    #[arg(long, value_name = "SECONDS", help_heading = INPUT)]
    pub loop_for: Option<f64>,

    /// What later passes share with earlier ones: nothing, or all prefixes.
    #[arg(long, value_enum, default_value_t = PrefixesArg::Fresh, help_heading = INPUT)]
    pub loop_prefixes: PrefixesArg,
}

fn formats_help() -> String {
    let lines: String = FORMATS.iter().map(|f| format!("\n  {}: {}", f.name(), f.summary())).collect();
    format!("Format of the trace; by default it is recognised by its content:{lines}")
}

/// Policy for bad rows, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnBadRowArg {
    /// Stop.
    Fail,
    /// Skip and count.
    Skip,
}

/// Time units, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeUnitArg {
    /// Infer it.
    Auto,
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// Origins of time, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeOriginArg {
    /// The first request.
    First,
    /// The file's own 0.
    Zero,
    /// 1970.
    Epoch,
}

/// Ways to a rate, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RateByArg {
    /// All requests, faster or slower.
    Speed,
    /// A sample, at its own times.
    Sampling,
}

/// Prefixes of later passes, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrefixesArg {
    /// Each pass has blocks of its own, so that it hits as much as the first.
    Fresh,
    /// All passes have the same blocks, so that later ones find them cached.
    Kept,
}

impl TraceArgs {
    /// How the file is read.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            format: self.custom_dataset_type.clone(),
            on_bad_row: match self.on_bad_row {
                OnBadRowArg::Fail => OnBadRow::Fail,
                OnBadRowArg::Skip => OnBadRow::Skip,
            },
            time_unit: match self.time_unit {
                TimeUnitArg::Auto => TimeUnit::Auto,
                TimeUnitArg::S => TimeUnit::S,
                TimeUnitArg::Ms => TimeUnit::Ms,
                TimeUnitArg::Us => TimeUnit::Us,
                TimeUnitArg::Ns => TimeUnit::Ns,
            },
            time_origin: match self.time_origin {
                TimeOriginArg::First if self.has_offsets() => TimeOrigin::Zero,
                TimeOriginArg::First => TimeOrigin::First,
                TimeOriginArg::Zero => TimeOrigin::Zero,
                TimeOriginArg::Epoch => TimeOrigin::Epoch,
            },
            block_size: self.block_size,
        }
    }

    /// What is done to the trace. What depends on the trace itself is checked when it is done.
    ///
    /// # Errors
    /// A usage error where flags contradict each other.
    pub fn transforms(&self) -> Result<Transforms> {
        if !(self.speed.is_finite() && self.speed > 0.0) {
            return usage("--speed must be a positive number: 2 replays twice as fast, 0.5 half as fast");
        }
        if self.target_rate.is_some() && self.target_rate_by == RateByArg::Speed && self.speed != 1.0 {
            return usage("--speed and --target-rate both set the speed; give one, or --target-rate-by sampling");
        }
        let filters = !(self.filter_model.is_empty() && self.filter_type.is_empty());
        let limits = self.max_isl.is_some() || self.max_osl.is_some();
        let scales = self.scale_isl != 1.0 || self.scale_osl != 1.0;
        let synthesis = Synthesis {
            shared: self.synthesis_prefix_len_multiplier,
            own: self.synthesis_prompt_len_multiplier,
            families: self.synthesis_prefix_root_multiplier,
        };
        let unchanged = Synthesis { shared: 1.0, own: 1.0, families: 1 };
        Ok(Transforms {
            synthesis: (synthesis != unchanged).then_some(synthesis),
            filter: filters.then(|| Filter { models: self.filter_model.clone(), kinds: self.filter_type.clone() }),
            window: self.window()?,
            limit: limits.then_some(Limit { input_tokens_max: self.max_isl, output_tokens_max: self.max_osl }),
            scale: scales.then_some(Scale { input: self.scale_isl, output: self.scale_osl }),
            spread_buckets: self.spread_buckets,
            speed: (self.speed != 1.0).then_some(self.speed),
            target_rate: self.target_rate.map(|rate_rps| TargetRate {
                rate_rps,
                by: match self.target_rate_by {
                    RateByArg::Speed => RateBy::Speed,
                    RateByArg::Sampling => RateBy::Sampling,
                },
            }),
            pauses: self.pauses()?,
            repeat: self.repeat()?,
        })
    }

    /// Whether the window is of the file's own times.
    fn has_offsets(&self) -> bool {
        self.fixed_schedule_start_offset.is_some() || self.fixed_schedule_end_offset.is_some()
    }

    /// The window that aiperf's offsets ask for.
    fn offsets(&self) -> Result<Option<Window>> {
        let (start, end) = (self.fixed_schedule_start_offset, self.fixed_schedule_end_offset);
        let ns = |flag, ms: u64| non_negative_ns(flag, ms as f64 / 1e3);
        let from_ns = start.map(|ms| ns("--fixed-schedule-start-offset", ms)).transpose()?;
        let end_ns = end.map(|ms| ns("--fixed-schedule-end-offset", ms)).transpose()?;
        if end_ns.is_some_and(|end_ns| end_ns < from_ns.unwrap_or(0)) {
            return usage("--fixed-schedule-end-offset must not lie before --fixed-schedule-start-offset");
        }
        let first_is_zero = start.is_none();
        // Its end is inside.
        Ok(Some(Window { from_ns: from_ns.unwrap_or(0), to_ns: end_ns.map(|ns| ns + 1), first_is_zero }))
    }

    fn window(&self) -> Result<Option<Window>> {
        if self.has_offsets() {
            return self.offsets();
        }
        if self.from.is_none() && self.to.is_none() {
            return Ok(None);
        }
        let from_ns = non_negative_ns("--from", self.from.unwrap_or(0.0))?;
        let to_ns = self.to.map(|s| positive_ns("--to", s)).transpose()?;
        if to_ns.is_some_and(|to_ns| to_ns <= from_ns) {
            return usage("--to must lie behind --from");
        }
        Ok(Some(Window { from_ns, to_ns, first_is_zero: false }))
    }

    /// The longest pause between turns; of drawn conversations too.
    pub(super) fn longest_pause_ns(&self) -> Result<Option<i64>> {
        let flag = "--inter-turn-delay-cap-seconds";
        self.inter_turn_delay_cap_seconds.map(|s| non_negative_ns(flag, s)).transpose()
    }

    /// What is done to the trace's pauses.
    fn pauses(&self) -> Result<Option<Pauses>> {
        let longest_ns = self.longest_pause_ns()?.filter(|_| self.input_file.is_some());
        Ok(longest_ns.or(self.ignore_trace_delays.then_some(0)).map(|longest_ns| Pauses { longest_ns }))
    }

    fn repeat(&self) -> Result<Option<Repeat>> {
        let prefixes = match self.loop_prefixes {
            PrefixesArg::Fresh => Prefixes::Fresh,
            PrefixesArg::Kept => Prefixes::Kept,
        };
        let until = match (self.passes, self.loop_for) {
            (Some(passes), _) => RepeatUntil::Passes(passes),
            (None, Some(s)) => RepeatUntil::DurationNs(positive_ns("--loop-for", s)?),
            (None, None) if prefixes == Prefixes::Kept => return usage("--loop-prefixes needs --loop or --loop-for"),
            (None, None) => return Ok(None),
        };
        Ok(Some(Repeat { until, prefixes }))
    }
}
