//! Hardware: one row of datasheet figures per GPU.
//!
//! Source: NVIDIA's datasheets, as `systems/*.yaml` of aiconfigurator-core 0.12.0 (Apache-2.0) states them.
//! A new GPU is one row here; [`Gpu::measured_as`] says whose kernels speak for it where its own were not measured.

use super::aic::KernelTables;
use crate::error::{Error, Result};

/// What one GPU can do at most, by its datasheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// The name on the command line: `h200_sxm`.
    pub name: &'static str,
    /// The GPU whose measured kernels speak for this one, scaled by the datasheets: itself, where its own were measured.
    pub measured_as: &'static str,
    /// Dense BF16 tensor throughput, FLOP/s.
    pub bf16_flops: f64,
    /// Dense FP8 tensor throughput, FLOP/s; 0 where it has none.
    pub fp8_flops: f64,
    /// Dense FP4 tensor throughput, FLOP/s; 0 where it has none.
    pub fp4_flops: f64,
    /// Memory bandwidth, bytes/s.
    pub hbm_bytes_per_s: f64,
    /// Memory, bytes.
    pub hbm_bytes: u64,
    /// NVLink (PCIe where there is none), bytes/s in one direction.
    pub nvlink_bytes_per_s: f64,
    /// Measured kernels that are asked before the constants of this tree.
    pub tables: Option<&'static KernelTables>,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Every GPU with constants in this tree.
#[rustfmt::skip]
pub const GPUS: [Gpu; 8] = [
    Gpu { name: "h200_sxm", measured_as: "h200_sxm", bf16_flops: 989e12, fp8_flops: 1978e12, fp4_flops: 0e12, hbm_bytes_per_s: 4.8e12, hbm_bytes: 141 * GIB, nvlink_bytes_per_s: 450e9, tables: None },
    Gpu { name: "h100_sxm", measured_as: "h100_sxm", bf16_flops: 989e12, fp8_flops: 1978e12, fp4_flops: 0e12, hbm_bytes_per_s: 3.35e12, hbm_bytes: 80 * GIB, nvlink_bytes_per_s: 450e9, tables: None },
    Gpu { name: "a100_sxm", measured_as: "a100_sxm", bf16_flops: 312e12, fp8_flops: 0e12, fp4_flops: 0e12, hbm_bytes_per_s: 2.039e12, hbm_bytes: 80 * GIB, nvlink_bytes_per_s: 300e9, tables: None },
    Gpu { name: "b200_sxm", measured_as: "b200_sxm", bf16_flops: 2250e12, fp8_flops: 4500e12, fp4_flops: 9000e12, hbm_bytes_per_s: 7.7e12, hbm_bytes: 180 * GIB, nvlink_bytes_per_s: 900e9, tables: None },
    Gpu { name: "b300_sxm", measured_as: "b200_sxm", bf16_flops: 2250e12, fp8_flops: 4500e12, fp4_flops: 14000e12, hbm_bytes_per_s: 7.75e12, hbm_bytes: 275_040 * MIB, nvlink_bytes_per_s: 900e9, tables: None },
    Gpu { name: "gb200", measured_as: "b200_sxm", bf16_flops: 2500e12, fp8_flops: 5000e12, fp4_flops: 10000e12, hbm_bytes_per_s: 8e12, hbm_bytes: 189_471 * MIB, nvlink_bytes_per_s: 900e9, tables: None },
    Gpu { name: "gb300", measured_as: "b200_sxm", bf16_flops: 2500e12, fp8_flops: 5000e12, fp4_flops: 15000e12, hbm_bytes_per_s: 8e12, hbm_bytes: 284_208 * MIB, nvlink_bytes_per_s: 900e9, tables: None },
    Gpu { name: "l40s", measured_as: "l40s", bf16_flops: 362.05e12, fp8_flops: 733e12, fp4_flops: 0e12, hbm_bytes_per_s: 0.864e12, hbm_bytes: 46_068 * MIB, nvlink_bytes_per_s: 32e9, tables: None },
];

impl Gpu {
    /// Whether its own kernels were measured.
    pub fn is_measured(&self) -> bool {
        self.measured_as == self.name
    }

    /// The same GPU with tables of its measured kernels. Both live as long as the process, of which each has a few.
    pub fn tabled(&self, tables: KernelTables) -> &'static Gpu {
        Box::leak(Box::new(Gpu { tables: Some(Box::leak(Box::new(tables))), ..*self }))
    }

    /// What to say of its predictions where they are another GPU's, scaled.
    pub fn note(&self) -> Option<String> {
        (!self.is_measured()).then(|| format!("kernels of {} scaled by the datasheets", self.measured_as))
    }
}

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
        assert!(
            lookup("gb200").unwrap().note().unwrap().contains("b200_sxm") && lookup("l40s").unwrap().note().is_none()
        );
        assert!(lookup("h200").unwrap_err().to_string().contains("h200_sxm, h100_sxm"));
    }
}
