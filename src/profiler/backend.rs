//! The serving engines whose kernels and memory policy the constants know.

use crate::error::{Error, Result};

/// A serving engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// vLLM.
    Vllm,
    /// TensorRT-LLM.
    TrtLlm,
    /// SGLang.
    SgLang,
}

impl Backend {
    /// Every backend, in the order in which help lists them.
    pub const ALL: [Backend; 3] = [Backend::Vllm, Backend::TrtLlm, Backend::SgLang];

    /// The name on the command line and in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Backend::Vllm => "vllm",
            Backend::TrtLlm => "trtllm",
            Backend::SgLang => "sglang",
        }
    }

    /// The backend of that name.
    ///
    /// # Errors
    /// [`Error::Usage`] with the known names.
    pub fn parse(name: &str) -> Result<Backend> {
        Backend::ALL.into_iter().find(|b| b.as_str() == name).ok_or_else(|| {
            let known = Backend::ALL.map(Backend::as_str).join(", ");
            Error::Usage(format!("unknown backend `{name}`; known are {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_one_lists_them() {
        assert!(Backend::ALL.into_iter().all(|b| Backend::parse(b.as_str()).unwrap() == b));
        assert!(Backend::parse("tgi").unwrap_err().to_string().contains("vllm, trtllm, sglang"));
    }
}
