//! Scrapes → `server_metrics_export.parquet`: a row for each value that changed, a histogram's buckets a row each.
//!
//! Columns as aiperf's: endpoint_url, metric_name, metric_type, unit, description, timestamp_ns, one for each label, value,
//! sum, count, bucket_le, bucket_count. Memory is bounded by a row group.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as Parqueted};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::ServerFormat;
use crate::analysis::server::ServerMetrics;
use crate::analysis::server::replay::{Now, Replay, Scrape, Series};
use crate::error::{Error, Result};
use crate::export::aiperf_json::benchmark_id;
use crate::export::aiperf_words::AIPERF_VERSION;
use crate::record::manifest::Manifest;
use crate::record::server::ServerRecording;

/// Rows of one row group.
const GROUP_ROWS: usize = 64 * 1024;
/// Names that a label's column may not have.
const TAKEN: [&str; 11] = [
    "endpoint_url",
    "metric_name",
    "metric_type",
    "unit",
    "description",
    "timestamp_ns",
    "value",
    "sum",
    "count",
    "bucket_le",
    "bucket_count",
];

/// A row. Texts that repeat are shared.
struct Row {
    series: usize,
    t_unix_ns: i64,
    value: Option<f64>,
    sum_count: Option<(f64, f64)>,
    bucket: Option<(Arc<str>, f64)>,
}

/// What the rows of a series have in common, label values in the order of the columns.
struct About {
    texts: [ByteArray; 3],
    unit: Option<ByteArray>,
    help: ByteArray,
    labels: Vec<Option<ByteArray>>,
}

pub(super) fn write(
    manifest: &Manifest,
    recording: &ServerRecording,
    metrics: &ServerMetrics,
    out: &mut dyn Write,
) -> Result<()> {
    let name = ServerFormat::Parquet.file_name();
    let failed = |e: ParquetError| Error::io(name)(std::io::Error::other(e));
    let mut labels: BTreeSet<String> = BTreeSet::new();
    walk(recording, &mut |_, series| {
        for series in series.iter().filter(|s| s.changed) {
            labels.extend(series.labels.iter().map(|(name, _)| name.clone()));
        }
    })?;
    let labels: Vec<String> = labels.into_iter().collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("loadline version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(about_file(manifest)))
        .build();
    let mut bytes = Vec::new();
    let schema = schema(&labels).map_err(failed)?;
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).map_err(failed)?;
    let (mut known, mut rows) = (Vec::<Vec<usize>>::new(), Vec::new());
    let mut abouts: Vec<About> = Vec::new();
    let mut written = Ok(());
    walk(recording, &mut |scrape, series| {
        if known.len() <= scrape.endpoint {
            known.resize(scrape.endpoint + 1, Vec::new());
        }
        let of_endpoint = &mut known[scrape.endpoint];
        for (at, series) in series.iter().enumerate() {
            if at == of_endpoint.len() {
                of_endpoint.push(abouts.len());
                abouts.push(About::of(scrape, series, &labels, metrics));
            }
            if series.changed {
                push(&mut rows, of_endpoint[at], manifest.anchor.to_unix(scrape.times_ns[1]), &series.now);
            }
        }
        if rows.len() >= GROUP_ROWS && written.is_ok() {
            written = group(&mut file, &rows, &abouts, labels.len());
            rows.clear();
        }
    })?;
    written.and_then(|()| group(&mut file, &rows, &abouts, labels.len())).map_err(failed)?;
    file.finish().map_err(failed)?;
    drop(file);
    out.write_all(&bytes).map_err(Error::io(name))
}

fn walk(recording: &ServerRecording, on_scrape: &mut dyn FnMut(&Scrape, &[Series])) -> Result<()> {
    let mut replay = Replay::default();
    recording.for_each(&mut |row| replay.push(row, on_scrape))?;
    replay.finish(on_scrape);
    Ok(())
}

fn about_file(manifest: &Manifest) -> Vec<KeyValue> {
    [
        ("aiperf.schema_version", "1.0"),
        ("aiperf.version", AIPERF_VERSION),
        ("aiperf.benchmark_id", benchmark_id(manifest)),
    ]
    .into_iter()
    .map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned()))
    .collect()
}

fn schema(labels: &[String]) -> Parqueted<TypePtr> {
    let column = |name: &str, physical: Physical, repetition: Repetition| {
        let text = physical == Physical::BYTE_ARRAY;
        let built = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(text.then_some(LogicalType::String))
            .with_converted_type(if text { ConvertedType::UTF8 } else { ConvertedType::NONE })
            .build();
        built.map(Arc::new)
    };
    let (text, double) = (Physical::BYTE_ARRAY, Physical::DOUBLE);
    let (required, optional) = (Repetition::REQUIRED, Repetition::OPTIONAL);
    let mut fields = Vec::new();
    for name in &TAKEN[..3] {
        fields.push(column(name, text, required)?);
    }
    fields.push(column("unit", text, optional)?);
    fields.push(column("description", text, required)?);
    fields.push(column("timestamp_ns", Physical::INT64, required)?);
    for label in labels {
        let name = if TAKEN.contains(&label.as_str()) { format!("label_{label}") } else { label.clone() };
        fields.push(column(&name, text, optional)?);
    }
    for name in ["value", "sum", "count"] {
        fields.push(column(name, double, optional)?);
    }
    fields.push(column("bucket_le", text, optional)?);
    fields.push(column("bucket_count", double, optional)?);
    Type::group_type_builder("server_metrics").with_fields(fields).build().map(Arc::new)
}

impl About {
    fn of(scrape: &Scrape, series: &Series, labels: &[String], metrics: &ServerMetrics) -> About {
        let text = |s: &str| ByteArray::from(s.as_bytes().to_vec());
        let unit = metrics.series.iter().find(|s| s.metric == series.metric).and_then(|s| s.unit);
        let value = |name: &String| series.labels.iter().find(|(n, _)| n == name).map(|(_, v)| text(v));
        About {
            texts: [text(&scrape.url), text(&series.metric), text(series.kind.as_str())],
            unit: unit.map(text),
            help: text(&series.help),
            labels: labels.iter().map(value).collect(),
        }
    }
}

fn push(rows: &mut Vec<Row>, series: usize, t_unix_ns: i64, now: &Now) {
    let row = |value, sum_count, bucket| Row { series, t_unix_ns, value, sum_count, bucket };
    match now {
        Now::Scalar(value) => rows.push(row(*value, None, None)),
        Now::Histogram(histogram) => {
            rows.extend(histogram.upto.iter().map(|(le, _, upto)| {
                row(None, Some((histogram.sum, histogram.count)), Some((le.as_str().into(), *upto)))
            }));
        }
    }
}

fn group<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    rows: &[Row],
    abouts: &[About],
    labels: usize,
) -> Parqueted<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut group = file.next_row_group()?;
    let about = |row: &Row| &abouts[row.series];
    for at in 0..3 {
        required::<ByteArrayType, _>(&mut group, rows.iter().map(|r| about(r).texts[at].clone()))?;
    }
    optional::<ByteArrayType, _>(&mut group, rows.iter().map(|r| about(r).unit.clone()))?;
    required::<ByteArrayType, _>(&mut group, rows.iter().map(|r| about(r).help.clone()))?;
    required::<Int64Type, _>(&mut group, rows.iter().map(|r| r.t_unix_ns))?;
    for at in 0..labels {
        optional::<ByteArrayType, _>(&mut group, rows.iter().map(|r| about(r).labels[at].clone()))?;
    }
    optional::<DoubleType, _>(&mut group, rows.iter().map(|r| r.value))?;
    optional::<DoubleType, _>(&mut group, rows.iter().map(|r| r.sum_count.map(|(sum, _)| sum)))?;
    optional::<DoubleType, _>(&mut group, rows.iter().map(|r| r.sum_count.map(|(_, count)| count)))?;
    let le = |r: &Row| r.bucket.as_ref().map(|(le, _)| ByteArray::from(le.as_bytes().to_vec()));
    optional::<ByteArrayType, _>(&mut group, rows.iter().map(le))?;
    optional::<DoubleType, _>(&mut group, rows.iter().map(|r| r.bucket.as_ref().map(|(_, upto)| *upto)))?;
    group.close().map(|_| ())
}

fn required<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = T::T>,
) -> Parqueted<()> {
    column::<T, W>(group, &values.collect::<Vec<_>>(), None)
}

fn optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Parqueted<()> {
    let (mut present, mut levels) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    column::<T, W>(group, &present, Some(&levels))
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Parqueted<()> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("more columns than the schema has".into()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}
