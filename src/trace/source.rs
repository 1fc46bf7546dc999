//! Turns a file or bytes into a [`Trace`]: unpacks gzip or zstd, finds the format out, and hands over to its reader.
//!
//! In: a path, or any [`BufRead`] and its name. Out: a trace, or one error that names the file. The file is read as a
//! stream; only the trace is held.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::folder::Folder;
use super::lines::without_mark;
use super::{FORMATS, ReadOptions, Trace, TraceFormat};
use crate::error::{Error, InputError, Result};

/// How much is read ahead, and shown to `sniff`.
const BUFFER_BYTES: usize = 64 << 10;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that is unpacked (128 MiB): what `zstd -d` takes without being asked for more.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Reads the trace in a file, plain, gzip or zstd (told by its first bytes, not by its name), or in all the `.json` and
/// `.jsonl` files of a folder, as if they were one.
///
/// # Errors
/// As [`parse`]; and where a file cannot be opened or read, or a folder holds none.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Trace> {
    if path.is_dir() {
        return read_folder(path, options);
    }
    let file = File::open(path).map_err(Error::io(path))?;
    parse(&mut BufReader::with_capacity(BUFFER_BYTES, file), &path.display().to_string(), options)
}

fn read_folder(path: &Path, options: &ReadOptions) -> Result<Trace> {
    let mut folder = Folder::open(path)?;
    let result = parse(&mut folder, &path.display().to_string(), options);
    result.map_err(|e| match e {
        Error::Input(mut e) => {
            if let Some((file, line)) = folder.place(e.line) {
                (e.file, e.line) = (file.display().to_string(), line);
            }
            e.into()
        }
        Error::Io { source, path } => {
            let file = folder.current().map_or(path, Path::to_owned);
            if source.raw_os_error().is_none() {
                let remedy = "fetch or compress it again";
                return fault(&file.display().to_string(), &format!("its packed data are damaged: {source}"), remedy)
                    .into();
            }
            Error::Io { source, path: file }
        }
        other => other,
    })
}

/// Reads a trace from bytes, plain, gzip or zstd. `file` is its name in errors.
///
/// # Errors
/// An unknown format; the first row that cannot be used (unless such rows are skipped); no usable row; a failed read.
pub fn parse(input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
    let (head, mut input) = looked_at(input).map_err(Error::io(file))?;
    let Some(packing) = packing(&head) else {
        return parse_plain(&head, &mut input, file, options);
    };
    let unpacked = unpacked(packing, input).map_err(Error::io(file))?;
    let read = || {
        let mut buffered = BufReader::with_capacity(BUFFER_BYTES, unpacked);
        let (head, mut input) = looked_at(&mut buffered).map_err(Error::io(file))?;
        parse_plain(&head, &mut input, file, options)
    };
    read().map_err(|e| match e {
        // A fault of the disk has the system's number; a fault of the data has none.
        Error::Io { source, .. } if source.raw_os_error().is_none() => damaged(file, packing, &source).into(),
        other => other,
    })
}

/// The content of a file, unpacked where it is packed.
pub(super) fn unpacked_file(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let Some(packing) = packing(file.fill_buf()?) else {
        return Ok(Box::new(file));
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, unpacked(packing, file)?)))
}

/// How a file that begins so is packed.
fn packing(head: &[u8]) -> Option<&'static str> {
    [("gzip", GZIP_MAGIC), ("zstd", ZSTD_MAGIC)].into_iter().find(|(_, m)| head.starts_with(m)).map(|(name, _)| name)
}

fn unpacked<'a>(packing: &str, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    if packing == "gzip" {
        return Ok(Box::new(MultiGzDecoder::new(input)));
    }
    let mut decoder = ZstdDecoder::with_buffer(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(Box::new(decoder))
}

/// The first kilobytes, and all bytes.
fn looked_at<'a>(input: &'a mut dyn BufRead) -> io::Result<(Vec<u8>, impl BufRead + 'a)> {
    let mut head = Vec::new();
    input.take(BUFFER_BYTES as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

fn parse_plain(head: &[u8], input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
    if head.is_empty() {
        return Err(fault(file, "is empty", "a trace has at least one request").into());
    }
    let format = match &options.format {
        Some(name) => named(name)?,
        None => {
            let head = without_mark(head).trim_ascii_start();
            FORMATS.iter().copied().find(|f| f.sniff(head)).ok_or_else(|| unknown(file, head))?
        }
    };
    format.read(input, file, options)
}

fn named(name: &str) -> Result<&'static dyn TraceFormat> {
    let known = FORMATS.iter().copied().find(|f| f.name() == name || f.aliases().contains(&name));
    known.ok_or_else(|| Error::Usage(format!("no trace format is named {name:?}; use one of {}", names())))
}

fn names() -> String {
    FORMATS.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ")
}

fn unknown(file: &str, head: &[u8]) -> InputError {
    let problem = match head.first() {
        Some(b'[') => "is one JSON array, and no trace format that loadline knows",
        None => "begins with nothing but blanks",
        _ => "is in no trace format that loadline knows",
    };
    let remedy = format!("write one JSON object per line, or name its format; known: {}", names());
    fault(file, problem, &remedy)
}

fn damaged(file: &str, packing: &str, e: &io::Error) -> InputError {
    let remedy = format!("fetch or compress it again; `{packing} -t` checks a file");
    fault(file, &format!("its {packing} data are damaged: {e}"), &remedy)
}

fn fault(file: &str, problem: &str, remedy: &str) -> InputError {
    InputError::of_file(file, problem, remedy)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ROWS: &[u8] = b"{\"timestamp\": 0, \"input_length\": 5}\n{\"timestamp\": 9, \"input_length\": 6}\n";

    fn packed(bytes: &[u8], packing: &str) -> Vec<u8> {
        if packing == "zstd" {
            return zstd::encode_all(bytes, 0).unwrap();
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn parsed(mut bytes: &[u8], format: Option<&str>) -> Result<Trace> {
        parse(&mut bytes, "t", &ReadOptions { format: format.map(str::to_owned), ..Default::default() })
    }

    #[test]
    fn packing_is_told_by_its_bytes_and_may_have_several_parts() {
        assert_eq!(parsed(ROWS, None).unwrap().entries.len(), 2);
        let (a, b) = ROWS.split_at(37);
        for packing in ["gzip", "zstd"] {
            assert_eq!(parsed(&packed(ROWS, packing), None).unwrap().entries.len(), 2, "{packing}");
            let parts = [packed(a, packing), packed(b, packing)].concat();
            assert_eq!(parsed(&parts, None).unwrap().entries.len(), 2, "{packing}");
        }
    }

    #[test]
    fn damaged_packing_is_the_files_fault() {
        for packing in ["gzip", "zstd"] {
            let mut cut = packed(&ROWS.repeat(20_000), packing);
            cut.truncate(cut.len() / 2);
            let message = parsed(&cut, None).unwrap_err().to_string();
            assert!(message.starts_with(&format!("t: its {packing} data are damaged: ")), "{message}");
        }
    }

    #[test]
    fn a_window_beyond_the_bound_is_not_unpacked() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 0).unwrap();
        encoder.window_log(ZSTD_WINDOW_LOG_MAX + 1).unwrap();
        encoder.write_all(ROWS).unwrap();
        let message = parsed(&encoder.finish().unwrap(), None).unwrap_err().to_string();
        assert!(message.contains("requires too much memory"), "{message}");
    }

    #[test]
    fn formats_have_names_and_aliases() {
        for name in ["mooncake_trace", "mooncake"] {
            assert!(parsed(ROWS, Some(name)).is_ok());
        }
        let message = parsed(ROWS, Some("nonsense")).unwrap_err().to_string();
        assert_eq!(message, format!("no trace format is named \"nonsense\"; use one of {}", names()));
        let mut all: Vec<_> = FORMATS.iter().flat_map(|f| f.aliases().iter().copied().chain([f.name()])).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a name stands for one format: {all:?}");
    }

    #[test]
    fn what_is_no_trace_is_told_as_such() {
        let remedy = format!("(write one JSON object per line, or name its format; known: {})", names());
        for (bytes, problem) in [
            (&b"\n \n"[..], "begins with nothing but blanks"),
            (b"[{\"timestamp\":0}]", "is one JSON array, and no trace format that loadline knows"),
            (b"a;b;c\n", "is in no trace format that loadline knows"),
        ] {
            assert_eq!(parsed(bytes, None).unwrap_err().to_string(), format!("t: {problem} {remedy}"));
        }
        let empty = parsed(b"", None).unwrap_err().to_string();
        assert_eq!(empty, "t: is empty (a trace has at least one request)");
    }

    #[test]
    fn a_folder_is_its_files_one_after_the_other() {
        let folder = std::env::temp_dir().join(format!("loadline-folder-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let empty = read(&folder, &ReadOptions::default()).unwrap_err().to_string();
        assert!(empty.ends_with("holds no .json or .jsonl file; name a file, or a folder of traces"), "{empty}");
        std::fs::write(folder.join("b.jsonl"), ROWS.trim_ascii_end()).unwrap();
        std::fs::write(folder.join("c.jsonl.gz"), packed(b"\n{\"timestamp\": 4, \"input_length\": 7}", "gzip"))
            .unwrap();
        std::fs::write(folder.join("a.json"), b"{\"timestamp\": 2, \"input_length\": 8}").unwrap();
        std::fs::write(folder.join("README.md"), b"no trace").unwrap();
        let trace = read(&folder, &ReadOptions::default()).unwrap();
        assert_eq!(trace.entries.iter().map(|e| e.input_tokens).collect::<Vec<_>>(), [5, 8, 7, 6]);
        std::fs::write(folder.join("c.jsonl.gz"), packed(b"\n{\"timestamp\": 4, \"input_length\": -7}", "gzip"))
            .unwrap();
        let wrong = read(&folder, &ReadOptions::default()).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        let place = format!("{}:2: field `input_length`: -7 is negative", folder.join("c.jsonl.gz").display());
        assert!(wrong.starts_with(&place), "{wrong}");
    }

    #[test]
    fn a_missing_file_names_its_path() {
        let e = read(Path::new("/nonexistent/t.jsonl"), &ReadOptions::default()).unwrap_err();
        assert!(e.to_string().starts_with("/nonexistent/t.jsonl: "));
    }
}
