//! Hardware: one row of datasheet figures per GPU.
//!
//! Source: NVIDIA's datasheets, as `systems/*.yaml` of aiconfigurator-core 0.12.0 (Apache-2.0) states them.
//! A new GPU is one row here and one row per backend in [`super::constants`].

use crate::error::{Error, Result};

/// What one GPU can do at most, by its datasheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The name on the command line: `h200_sxm`.
    pub name: &'static str,
    /// Dense BF16 tensor throughput, FLOP/s.
    pub bf16_flops: f64,
    /// Memory bandwidth, bytes/s.
    pub hbm_bytes_per_s: f64,
    /// Memory, bytes.
    pub hbm_bytes: u64,
    /// NVLink, bytes/s in one direction.
    pub nvlink_bytes_per_s: f64,
}

const GIB: u64 = 1 << 30;

/// Every GPU with constants in this tree.
#[rustfmt::skip]
pub const GPUS: [Gpu; 4] = [
    Gpu { name: "h200_sxm", bf16_flops: 989e12,  hbm_bytes_per_s: 4.8e12,   hbm_bytes: 141 * GIB, nvlink_bytes_per_s: 450e9 },
    Gpu { name: "h100_sxm", bf16_flops: 989e12,  hbm_bytes_per_s: 3.35e12,  hbm_bytes: 80 * GIB,  nvlink_bytes_per_s: 450e9 },
    Gpu { name: "a100_sxm", bf16_flops: 312e12,  hbm_bytes_per_s: 2.039e12, hbm_bytes: 80 * GIB,  nvlink_bytes_per_s: 300e9 },
    Gpu { name: "b200_sxm", bf16_flops: 2250e12, hbm_bytes_per_s: 7.7e12,   hbm_bytes: 180 * GIB, nvlink_bytes_per_s: 900e9 },
];

/// The GPU of that name.
///
/// # Errors
/// [`Error::Usage`] with the known names.
pub fn lookup(name: &str) -> Result<&'static Gpu> {
    GPUS.iter().find(|g| g.name == name).ok_or_else(|| {
        let known = GPUS.map(|g| g.name).join(", ");
        Error::Usage(format!("unknown GPU `{name}`; known are {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_found_by_name_and_an_unknown_one_lists_the_rest() {
        assert_eq!(lookup("h200_sxm").unwrap().hbm_bytes, 151_397_597_184);
        assert!(lookup("h200").unwrap_err().to_string().contains("h200_sxm, h100_sxm"));
    }
}
