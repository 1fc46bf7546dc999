//! A comparison → one row for each load of each method, as CSV and as Parquet. What is not known is empty, or null.

use std::fmt::Write as _;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::{ParquetError, Result as Parqueted};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::comparison::SCHEMA_VERSION;
use crate::comparison::judgement::{Comparison, Judged, P50};
use crate::comparison::method::{Figure, LEVELS, Measured, Quantiles};
use crate::error::{Error, Result};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text.
    Text(Option<String>),
    /// A number.
    Number(Option<f64>),
}

/// A row: names of columns, the same in each, and values.
pub type Row = Vec<(&'static str, Cell)>;

/// The rows: the levels that were measured or predicted, and the run that stands for the deployment.
pub fn rows(c: &Comparison) -> Vec<Row> {
    let of = |m: &Judged| {
        let levels = LEVELS.into_iter().enumerate().map(|(i, name)| row(m, name, Some(i)));
        levels.chain([row(m, "optimization", None)]).collect::<Vec<_>>()
    };
    c.methods.iter().flat_map(of).collect()
}

fn row(judged: &Judged, load: &'static str, level: Option<usize>) -> Row {
    let m = &judged.method;
    let nothing = Measured::default();
    let measured = level.map_or(m.optimization.as_ref(), |i| m.levels[i].measured.as_ref()).unwrap_or(&nothing);
    let predicted = level.map(|i| &m.levels[i]);
    let errors = level.map(|i| &judged.errors[i]);
    let gpus = m.deployment.gpus.map(f64::from);
    let text = |t: Option<&str>| Cell::Text(t.map(str::to_owned));
    let number = Cell::Number;
    let value = |f: &Option<Figure>| number(f.as_ref().map(|f| f.value));
    let source = |f: &Option<Figure>| text(f.as_ref().map(|f| f.source.as_str()));
    let mut row: Row = vec![
        ("method", text(Some(&m.name))),
        ("is_reference", text(Some(if m.is_reference { "true" } else { "false" }))),
        ("load", text(Some(load))),
        ("gpus", number(gpus)),
        ("concurrency", number(measured.concurrency.map(f64::from))),
        ("requests", number((measured.requests > 0).then_some(measured.requests as f64))),
        ("duration_s", number(measured.duration_s)),
        ("predicted_ttft_ms", number(predicted.and_then(|l| l.ttft.as_ref()).map(|p| p.ms))),
        ("predicted_itl_ms", number(predicted.and_then(|l| l.itl.as_ref()).map(|p| p.ms))),
    ];
    let names = [
        ["ttft_mean_ms", "ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms"],
        ["itl_mean_ms", "itl_p50_ms", "itl_p90_ms", "itl_p99_ms"],
    ];
    for (names, q) in names.into_iter().zip([measured.ttft, measured.itl]) {
        let Quantiles { mean, p50, p90, p99 } = q;
        row.extend(names.into_iter().zip([mean, p50, p90, p99].map(number)));
    }
    row.extend([
        ("ttft_error_p50_pct", number(errors.and_then(|e| e.ttft[P50]).map(|e| e.signed_pct()))),
        ("itl_error_p50_pct", number(errors.and_then(|e| e.itl[P50]).map(|e| e.signed_pct()))),
        ("itl_without_second_token_ms", number(measured.itl_without_second_token_ms)),
        ("request_throughput_rps", number(measured.request_rps)),
        ("goodput_rps", number(measured.goodput_rps)),
        ("goodput_rps_per_gpu", number(measured.goodput_rps.zip(gpus).map(|(rps, gpus)| rps / gpus))),
        ("attainment", number(measured.attainment)),
        ("wall_s", value(&m.cost.wall_s)),
        ("wall_s_source", source(&m.cost.wall_s)),
        ("gpu_hours", value(&m.cost.gpu_hours)),
        ("gpu_hours_source", source(&m.cost.gpu_hours)),
        ("deployments", value(&m.cost.deployments)),
        ("deployments_source", source(&m.cost.deployments)),
        ("regret", number(judged.regret.value())),
        ("regret_low", number(judged.regret_interval.map(|i| i.low))),
        ("regret_high", number(judged.regret_interval.map(|i| i.high))),
        ("regret_undefined_because", text(judged.regret.reason())),
        ("regret_retuned", number(judged.regret_retuned.value())),
        ("goodput_search_rps", number(m.search.as_ref().and_then(|s| s.rate_rps))),
        ("source", text(Some(measured.source.as_str()).filter(|s| !s.is_empty()))),
    ]);
    row
}

/// With a head line.
pub fn csv(rows: &[Row]) -> String {
    let mut out = String::new();
    let Some(first) = rows.first() else { return out };
    let line = |out: &mut String, cells: &mut dyn Iterator<Item = String>| {
        let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join(","));
    };
    line(&mut out, &mut first.iter().map(|(name, _)| (*name).to_owned()));
    for row in rows {
        line(
            &mut out,
            &mut row.iter().map(|(_, cell)| match cell {
                Cell::Text(text) => quoted(text.as_deref().unwrap_or_default()),
                Cell::Number(x) => x.map_or_else(String::new, |x| x.to_string()),
            }),
        );
    }
    out
}

/// RFC 4180. A text that a spreadsheet would take for a formula is kept from being one.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The same rows.
///
/// # Errors
/// [`Error::Internal`] where they cannot be written.
pub fn parquet(rows: &[Row]) -> Result<Vec<u8>> {
    write(rows).map_err(|e: ParquetError| Error::Internal(format!("comparison.parquet: {e}")))
}

fn write(rows: &[Row]) -> Parqueted<Vec<u8>> {
    let columns = rows.first().map_or(&[][..], |row| row);
    let version = KeyValue::new("loadline.comparison_schema_version".into(), SCHEMA_VERSION.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("loadline version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![version]))
        .build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema(columns)?, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (at, (_, first)) in columns.iter().enumerate() {
        let cells = || rows.iter().map(|row| &row[at].1);
        let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
        match first {
            Cell::Text(_) => {
                let texts: Vec<Option<ByteArray>> = cells()
                    .map(|c| match c {
                        Cell::Text(text) => text.as_ref().map(|t| ByteArray::from(t.as_bytes().to_vec())),
                        Cell::Number(_) => None,
                    })
                    .collect();
                let present: Vec<ByteArray> = texts.iter().flatten().cloned().collect();
                column.typed::<ByteArrayType>().write_batch(&present, Some(&levels(&texts)), None)?;
            }
            Cell::Number(_) => {
                let numbers: Vec<Option<f64>> = cells()
                    .map(|c| match c {
                        Cell::Number(x) => *x,
                        Cell::Text(_) => None,
                    })
                    .collect();
                let present: Vec<f64> = numbers.iter().flatten().copied().collect();
                column.typed::<DoubleType>().write_batch(&present, Some(&levels(&numbers)), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    file.finish()?;
    drop(file);
    Ok(bytes)
}

fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|v| i16::from(v.is_some())).collect()
}

fn schema(columns: &[(&'static str, Cell)]) -> Parqueted<TypePtr> {
    let field = |(name, cell): &(&'static str, Cell)| {
        let is_text = matches!(cell, Cell::Text(_));
        let physical = if is_text { Physical::BYTE_ARRAY } else { Physical::DOUBLE };
        let built = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(is_text.then_some(LogicalType::String))
            .with_converted_type(if is_text { ConvertedType::UTF8 } else { ConvertedType::NONE })
            .build();
        built.map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Parqueted<Vec<_>>>()?;
    Type::group_type_builder("comparison").with_fields(fields).build().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_unknowns_are_empty_in_both_files() {
        let rows: Vec<Row> = vec![
            vec![("a", Cell::Text(Some("x,\"y\"".into()))), ("b", Cell::Number(Some(0.0)))],
            vec![("a", Cell::Text(Some("=1+1".into()))), ("b", Cell::Number(None))],
        ];
        assert_eq!(csv(&rows), "a,b\n\"x,\"\"y\"\"\",0\n'=1+1,\n");
        let file = parquet::file::reader::SerializedFileReader::new(bytes::Bytes::from(super::parquet(&rows).unwrap()));
        let file = file.unwrap();
        let read: Vec<String> = parquet::file::reader::FileReader::get_row_iter(&file, None)
            .unwrap()
            .map(|row| row.unwrap().to_string())
            .collect();
        assert!(read.len() == 2 && read[0].contains("b: 0") && read[1] == "{a: \"=1+1\", b: null}", "{read:?}");
    }
}
