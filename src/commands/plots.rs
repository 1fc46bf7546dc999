//! The plots of a page → files. Every verb that has a page ends here where pictures were asked for.

use std::path::Path;

use crate::error::{Error, Result};
use crate::report::html::Page;
use crate::report::out;

/// Writes each plot of `page` into `dir`, which is made if it is not there, as SVG and as PNG, and tells how many. `command` stands below them.
///
/// # Errors
/// [`Error::Io`] for what cannot be written.
pub(super) fn write(page: &Page, command: &[String], dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let pictures = page.pictures(command);
    for picture in &pictures {
        for (extension, bytes) in [("svg", picture.svg.as_bytes()), ("png", &picture.png()?)] {
            let path = dir.join(format!("{}.{extension}", picture.name));
            std::fs::write(&path, bytes).map_err(Error::io(&path))?;
        }
    }
    out::stderr(&format!("Plots written to {}: {}, each as SVG and PNG\n", dir.display(), pictures.len()))
}
