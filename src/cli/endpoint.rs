//! The arguments about the API to speak, and about the requests of those that take several texts.

use clap::ValueEnum;

use super::profile::INPUT;
use super::resolve::{law, usage};
use crate::endpoint::EndpointType;
use crate::error::Result;
use crate::schedule::spec::LengthLaw;
use crate::schedule::texts::TextLaws;

/// Most texts of one request.
const TEXTS_MAX: f64 = 100_000.0;

/// APIs, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EndpointArg {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// `/v1/embeddings`; answers are vectors, in one piece.
    Embeddings,
    /// Cohere's `/v2/rerank`; answers are scores, in one piece.
    #[value(name = "cohere_rankings", alias = "cohere-rankings")]
    CohereRankings,
    /// Hugging Face TEI's `/rerank`, likewise.
    #[value(name = "hf_tei_rankings", alias = "hf-tei-rankings")]
    HfTeiRankings,
    /// NVIDIA NIM's `/v1/ranking`, likewise.
    #[value(name = "nim_rankings", alias = "nim-rankings")]
    NimRankings,
}

impl From<EndpointArg> for EndpointType {
    fn from(typed: EndpointArg) -> EndpointType {
        match typed {
            EndpointArg::Chat => EndpointType::Chat,
            EndpointArg::Completions => EndpointType::Completions,
            EndpointArg::Responses => EndpointType::Responses,
            EndpointArg::Messages => EndpointType::Messages,
            EndpointArg::Embeddings => EndpointType::Embeddings,
            EndpointArg::CohereRankings => EndpointType::CohereRankings,
            EndpointArg::HfTeiRankings => EndpointType::HfTeiRankings,
            EndpointArg::NimRankings => EndpointType::NimRankings,
        }
    }
}

/// Flags about requests of several texts.
#[derive(Clone, Debug, clap::Args)]
pub struct TextArgs {
    /// Texts of each drawn request to --endpoint-type embeddings, each of --isl tokens.
    #[arg(short = 'b', long, visible_aliases = ["batch-size-text", "batch-size"], value_name = "TEXTS", default_value_t = 1,
        help_heading = INPUT)]
    pub prompt_batch_size: u32,

    /// Mean number of passages of a request to a reranker (--endpoint-type …_rankings); 10 where it is not given.
    #[arg(long, value_name = "PASSAGES", help_heading = INPUT)]
    pub rankings_passages_mean: Option<f64>,

    /// Standard deviation of their number.
    #[arg(long, value_name = "PASSAGES", requires = "rankings_passages_mean", help_heading = INPUT)]
    pub rankings_passages_stddev: Option<f64>,

    /// Mean length of a passage; 128 where it is not given.
    #[arg(long, value_name = "TOKENS", help_heading = INPUT)]
    pub rankings_passages_prompt_token_mean: Option<f64>,

    /// Standard deviation of that length.
    #[arg(long, value_name = "TOKENS", requires = "rankings_passages_prompt_token_mean", help_heading = INPUT)]
    pub rankings_passages_prompt_token_stddev: Option<f64>,

    /// Mean length of the query; 32 where it is not given.
    #[arg(long, value_name = "TOKENS", help_heading = INPUT)]
    pub rankings_query_prompt_token_mean: Option<f64>,

    /// Standard deviation of that length.
    #[arg(long, value_name = "TOKENS", requires = "rankings_query_prompt_token_mean", help_heading = INPUT)]
    pub rankings_query_prompt_token_stddev: Option<f64>,
}

impl TextArgs {
    /// The laws of the texts of a request to `endpoint`, where it has several; `input` is that of one text.
    ///
    /// # Errors
    /// A usage error where the API takes no such thing, or a law cannot be.
    pub(super) fn laws(&self, endpoint: EndpointType, input: LengthLaw) -> Result<Option<TextLaws>> {
        if self.prompt_batch_size == 0 {
            return usage("--prompt-batch-size must be at least 1");
        }
        let batch = f64::from(self.prompt_batch_size);
        if batch > 1.0 && endpoint != EndpointType::Embeddings {
            return usage("--prompt-batch-size puts several texts into requests for --endpoint-type embeddings alone");
        }
        if !endpoint.ranks() {
            if self.asks_to_rank() {
                return usage(
                    "--rankings-passages-mean and its like need --endpoint-type cohere_rankings, hf_tei_rankings or nim_rankings",
                );
            }
            let batches = TextLaws { query: None, count: LengthLaw::exactly(batch), tokens: input };
            return match batch <= TEXTS_MAX {
                true => Ok((batch > 1.0).then_some(batches)),
                false => usage("--prompt-batch-size must be at most 100,000"),
            };
        }
        let (passages, passages_stddev) =
            (self.rankings_passages_mean.unwrap_or(10.0), self.rankings_passages_stddev.unwrap_or(0.0));
        if !((1.0..=TEXTS_MAX).contains(&passages) && (0.0..=TEXTS_MAX).contains(&passages_stddev)) {
            return usage(
                "--rankings-passages-mean must be from 1 to 100,000, and its standard deviation not negative",
            );
        }
        let length = |flag, mean: Option<f64>, default, stddev: Option<f64>| {
            law(flag, mean.unwrap_or(default), stddev.unwrap_or(0.0))
        };
        Ok(Some(TextLaws {
            query: Some(length(
                "--rankings-query-prompt-token-mean",
                self.rankings_query_prompt_token_mean,
                32.0,
                self.rankings_query_prompt_token_stddev,
            )?),
            count: LengthLaw::normal(passages, passages_stddev),
            tokens: length(
                "--rankings-passages-prompt-token-mean",
                self.rankings_passages_prompt_token_mean,
                128.0,
                self.rankings_passages_prompt_token_stddev,
            )?,
        }))
    }

    /// Whether anything is said of a reranker's requests.
    fn asks_to_rank(&self) -> bool {
        let means = [
            self.rankings_passages_mean,
            self.rankings_passages_prompt_token_mean,
            self.rankings_query_prompt_token_mean,
        ];
        means.iter().any(Option::is_some)
    }

    /// Whether requests to `endpoint` are of several texts.
    pub(super) fn asks_for_texts(&self, endpoint: EndpointType) -> bool {
        endpoint.ranks() || self.prompt_batch_size != 1 || self.asks_to_rank()
    }
}
