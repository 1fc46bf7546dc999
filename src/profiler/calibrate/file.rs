//! A calibration ↔ its file: what was fitted, for which deployment, and what it is worth.
//!
//! JSON, with a version. `sweep --profile` and `serve --profile` read it. A file of another model, GPU or engine is refused:
//! host costs of one engine say nothing of another's.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Calibration, HeldOut};
use crate::error::{Error, InputError, Result};

/// Name and version of the file's shape.
const SCHEMA: &str = "loadline.profile/1";

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileFile {
    /// `SCHEMA`.
    pub schema: String,
    /// The model that was measured.
    pub model: String,
    /// The GPU.
    pub gpu: String,
    /// The serving engine.
    pub backend: String,
    /// Tensor-parallel size of the engine that prefilled.
    pub prefill_tp: u32,
    /// Of the engine that decoded.
    pub decode_tp: u32,
    /// The constants.
    pub calibration: Calibration,
    /// Their errors on points that they were not fitted on.
    pub held_out: HeldOut,
    /// Where the measurements came from.
    pub sources: Vec<String>,
}

impl ProfileFile {
    /// The name and version that a new file bears.
    pub fn schema() -> String {
        SCHEMA.into()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Input`] where it is something else or of another version.
    pub fn load(path: &Path) -> Result<ProfileFile> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let name = path.display().to_string();
        ProfileFile::parse(&text).map_err(|problem| {
            InputError::of_file(
                name,
                problem,
                "make it anew: loadline sweep --calibrate-from RUN_DIR --profile-output FILE",
            )
            .into()
        })
    }

    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> std::result::Result<ProfileFile, String> {
        let schema: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
        let schema = schema["schema"].as_str().unwrap_or("none").to_owned();
        if schema != SCHEMA {
            return Err(format!("its schema is `{schema}`, and `{SCHEMA}` is known"));
        }
        let file: ProfileFile = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let c = &file.calibration;
        let finite = [
            c.prefill.map_or(0.0, |p| p.request_ms),
            c.decode.map_or(0.0, |d| d.step_ms),
            c.decode.map_or(0.0, |d| d.sequence_ms),
        ];
        let positive = [c.prefill.map_or(1.0, |p| p.factor), c.deployment.map_or(1.0, |d| d.serial_ms)];
        if finite.iter().any(|v| !v.is_finite()) || positive.iter().any(|v| !(v.is_finite() && *v > 0.0)) {
            return Err("a constant in it is none that time can be made of".into());
        }
        Ok(file)
    }

    /// Its text.
    ///
    /// # Errors
    /// [`Error::Internal`] where a figure is no number.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(|e| Error::Internal(e.to_string()))
    }

    /// Refuses a file of another deployment.
    ///
    /// # Errors
    /// [`Error::Usage`] naming both.
    pub fn must_fit(&self, model: &str, gpu: &str, backend: &str) -> Result<()> {
        let ours = [model, gpu, backend];
        let its = [self.model.as_str(), &self.gpu, &self.backend];
        if ours == its {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "the profile was made of {}, and {} is asked for; use one of the same model, GPU and engine",
            its.join(", "),
            ours.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DecodeCosts, PrefillCosts};
    use super::*;

    fn file() -> ProfileFile {
        ProfileFile {
            schema: ProfileFile::schema(),
            model: "Qwen/Qwen3-32B".into(),
            gpu: "h200_sxm".into(),
            backend: "vllm".into(),
            prefill_tp: 1,
            decode_tp: 1,
            calibration: Calibration {
                prefill: Some(PrefillCosts { request_ms: 26.0, factor: 1.08 }),
                decode: Some(DecodeCosts { step_ms: 3.9, sequence_ms: 0.045 }),
                deployment: None,
            },
            held_out: HeldOut::default(),
            sources: vec!["a".into()],
        }
    }

    #[test]
    fn a_file_comes_back_and_another_deployment_is_refused() {
        let f = file();
        assert_eq!(ProfileFile::parse(&f.to_text().unwrap()).unwrap(), f);
        assert!(f.must_fit("Qwen/Qwen3-32B", "h200_sxm", "vllm").is_ok());
        let text = f.must_fit("Qwen/Qwen3-32B", "h200_sxm", "trtllm").unwrap_err().to_string();
        assert!(text.contains("h200_sxm, vllm, and Qwen/Qwen3-32B, h200_sxm, trtllm"), "{text}");
    }

    #[test]
    fn another_version_and_impossible_constants_are_refused() {
        assert!(ProfileFile::parse("{}").unwrap_err().contains("`none`"));
        let text = file().to_text().unwrap();
        assert!(ProfileFile::parse(&text.replace("profile/1", "profile/2")).unwrap_err().contains("profile/2"));
        assert!(ProfileFile::parse(&text.replace("1.08", "-1.08")).unwrap_err().contains("a constant"));
        assert!(ProfileFile::parse(&text.replace("step_ms", "steps_ms")).unwrap_err().contains("steps_ms"));
    }
}
