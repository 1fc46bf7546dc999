//! Turns prompt lengths and their numbers of prefix blocks into the size of a block.
//!
//! In: `(input tokens, blocks)` of every row that has blocks. Out: a [`BlockSize`] and, where it is not plain, a note.
//! Both ways of counting are accepted: with a partial last block (Mooncake) and without it (WEKA).

use super::dialect::Dialect;

/// Sizes that are tried where the format's usual one does not fit, the most common first.
const OTHERS: [u32; 10] = [512, 64, 16, 128, 256, 32, 1024, 2048, 8, 4];
/// The share of rows that another size must explain, and that the usual one must fail to.
const CONVINCING: f64 = 0.95;

/// The block size of a file.
pub(super) struct BlockSize {
    /// Tokens in a full block.
    pub(super) tokens: u32,
    /// What was found out, where it is not the usual.
    pub(super) note: Option<String>,
}

/// Finds the block size of rows in a dialect; `forced` is what the user says.
pub(super) fn find(rows: &[(u32, u32)], dialect: &Dialect, forced: Option<u32>) -> BlockSize {
    if let Some(tokens) = forced {
        return BlockSize { tokens, note: Some(format!("block size {tokens}, as asked")) };
    }
    let &Dialect { input, blocks, block_tokens: usual, .. } = dialect;
    let share = |size: u32| rows.iter().filter(|&&row| explains(size, row)).count() as f64 / rows.len() as f64;
    if rows.is_empty() || share(usual) >= CONVINCING {
        return BlockSize { tokens: usual, note: None };
    }
    match OTHERS.into_iter().find(|&size| share(size) >= CONVINCING) {
        Some(tokens) => {
            let percent = 100.0 * share(tokens);
            let note = format!(
                "block size {tokens}: {input} and the number of {blocks} agree in {percent:.1} % of rows, which {usual} does not reach; --block-size says otherwise"
            );
            BlockSize { tokens, note: Some(note) }
        }
        None => {
            let note = format!(
                "block size {usual} is assumed, but {input} and the number of {blocks} agree in only {:.1} % of rows; --block-size says otherwise",
                100.0 * share(usual)
            );
            BlockSize { tokens: usual, note: Some(note) }
        }
    }
}

fn explains(size: u32, (tokens, blocks): (u32, u32)) -> bool {
    blocks == tokens.div_ceil(size) || blocks == tokens / size
}

#[cfg(test)]
mod tests {
    use super::{BlockSize, Dialect};

    fn find(rows: &[(u32, u32)], forced: Option<u32>) -> BlockSize {
        super::find(rows, &Dialect::plain("timestamp", "input_length"), forced)
    }

    #[test]
    fn the_size_is_what_most_rows_agree_on() {
        let rows = |size: u32, floor: bool| -> Vec<(u32, u32)> {
            (1..200).map(|i| (i * 37, if floor { i * 37 / size } else { (i * 37).div_ceil(size) })).collect()
        };
        for size in [512, 64, 16, 128, 1024] {
            assert_eq!(find(&rows(size, false), None).tokens, size);
        }
        assert_eq!(find(&rows(64, true), None).tokens, 64);
        assert_eq!(find(&rows(64, false), Some(32)).tokens, 32);
        assert!(find(&rows(512, false), None).note.is_none());
        assert!(find(&rows(16, false), None).note.unwrap().contains("block size 16"));
    }

    #[test]
    fn without_agreement_the_usual_size_is_assumed_and_noted() {
        let found = find(&[(1024, 3), (768, 2), (1536, 3), (2048, 4)], None);
        assert_eq!(found.tokens, 512);
        assert!(found.note.unwrap().contains("only 75.0 %"));
        assert_eq!(find(&[], None).tokens, 512);
    }
}
