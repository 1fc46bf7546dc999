//! What every verb's `--plots` has to leave.

use std::path::{Path, PathBuf};

use resvg::usvg::roxmltree::Document;

/// Every plot of `page` is in `dir` as SVG and as PNG; each SVG is well-formed, and its caption holds n and ends with the line `loadline COMMAND`.
/// Returns the captions.
pub(crate) fn assert_plots(dir: &Path, page: &str, command: &str) -> Vec<String> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let drawn = page.matches("<svg class=\"chart\"").count();
    assert!(drawn > 0 && files.len() == 2 * drawn, "{drawn} plots on the page, {files:?}");
    let mut captions = Vec::new();
    for pair in files.chunks(2) {
        let [png, svg] = pair else { panic!("{pair:?}") };
        assert_eq!(png.with_extension("svg"), *svg);
        assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        let text = std::fs::read_to_string(svg).unwrap();
        let document = Document::parse(&text).unwrap();
        let is_caption = |node: &resvg::usvg::roxmltree::Node<'_, '_>| node.attribute("class") == Some("caption");
        let lines: Vec<&str> = document.descendants().filter(is_caption).filter_map(|node| node.text()).collect();
        let caption = lines.join(" ");
        assert!(caption.contains("n = "), "{}: {caption}", svg.display());
        assert!(caption.ends_with(command), "{}: {caption}", svg.display());
        let places: Vec<&str> = document.descendants().filter_map(|node| node.attribute("class")).collect();
        assert!(places.contains(&"title") && places.contains(&"label"), "{}", svg.display());
        captions.push(caption);
    }
    captions
}
