//! The argument of every verb that has a page: where the page's plots go as pictures.

use std::path::PathBuf;

/// Pictures of a page's plots.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PlotsArgs {
    /// Also write each plot of the page into this directory, as SVG and as PNG, with units, n and the command below it.
    #[arg(id = "plots", long = "plots", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
