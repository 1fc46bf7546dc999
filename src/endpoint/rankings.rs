//! How the three APIs of rerankers are spoken: a query, and the passages to put in order.
//!
//! Path, keys and fields are aiperf's `cohere_rankings`, `hf_tei_rankings` and `nim_rankings`. Not here: how the answers are
//! read, which are lists of scores ([`crate::wire::delta`]).

use super::EndpointType;

/// What stands around the texts of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rankings {
    pub(super) path: &'static str,
    /// Before the query.
    pub(super) open: &'static str,
    /// From the query to the first passage.
    pub(super) to_passages: &'static str,
    /// From one passage to the next.
    pub(super) between: &'static str,
    /// Behind the last passage.
    pub(super) close: &'static str,
    /// Whether the body names a model.
    pub(super) names_model: bool,
}

const COHERE: Rankings = Rankings {
    path: "/v2/rerank",
    open: r#"{"query":""#,
    to_passages: r#"","documents":[""#,
    between: r#"",""#,
    close: r#""]"#,
    names_model: true,
};

/// Hugging Face's text-embeddings-inference serves one model, and takes no name of one.
const HF_TEI: Rankings = Rankings { path: "/rerank", to_passages: r#"","texts":[""#, names_model: false, ..COHERE };

const NIM: Rankings = Rankings {
    path: "/v1/ranking",
    open: r#"{"query":{"text":""#,
    to_passages: r#""},"passages":[{"text":""#,
    between: r#""},{"text":""#,
    close: r#""}]"#,
    names_model: true,
};

impl Rankings {
    /// That of an API, where it ranks.
    pub(super) fn of(endpoint: EndpointType) -> Option<Rankings> {
        match endpoint {
            EndpointType::CohereRankings => Some(COHERE),
            EndpointType::HfTeiRankings => Some(HF_TEI),
            EndpointType::NimRankings => Some(NIM),
            _ => None,
        }
    }
}
