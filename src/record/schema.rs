//! The rows' fields → the columns of `requests.parquet`, `tokens.parquet` and `server_metrics.parquet`, and how each is stored.
//!
//! In: nothing but the tables below. Out: Parquet schemas, writer properties, and a judgement of a foreign file's.
//! Invariants: a column is a field of [`super::row`], in its order and with its type; unsigned integers and strings
//! say so in their logical type, so that DuckDB, Polars and Spark see what they are; enums are stored as their names.
//! A changed table is a new [`SCHEMA_VERSION`]; new columns stand behind the others, so that older files are still read.
//! Not here: values.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    DeltaBinaryPackedEncoderOptions, EnabledStatistics, WriterProperties, WriterPropertiesPtr,
};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type, TypePtr};

use super::manifest::{SCHEMA_VERSION, is_readable};

/// The key of the schema version in a file's metadata.
pub const VERSION_KEY: &str = "loadline.schema_version";
/// The key of the run's id in a file's metadata.
pub const RUN_ID_KEY: &str = "loadline.run_id";
/// Rows of one data page: small enough that a reader with many row groups open stays small.
const PAGE_ROWS: usize = 16 * 1024;

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    I64,
    U64,
    U32,
    U16,
    F64,
    Text,
}

/// How a column is stored. Chosen by measurement (`benches/record.rs`), on tokens grouped by request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// Differences of neighbours: for what grows or repeats along a request.
    Delta,
    /// A dictionary: for few distinct values.
    Dictionary,
    /// As it is: for text that is different in each row.
    Plain,
}

/// One column.
#[derive(Clone, Copy, Debug)]
struct Column(&'static str, Kind, Repetition, Stored);

use Kind::{F64, I64, Text, U16, U32, U64};
use Stored::{Delta, Dictionary, Plain};
const REQUIRED: Repetition = Repetition::REQUIRED;
const OPTIONAL: Repetition = Repetition::OPTIONAL;

const REQUEST_COLUMNS: [Column; 34] = [
    Column("request_id", U64, REQUIRED, Delta),
    Column("x_request_id", Text, REQUIRED, Plain),
    Column("session_id", Text, OPTIONAL, Dictionary),
    Column("turn", U32, REQUIRED, Delta),
    Column("phase", Text, REQUIRED, Dictionary),
    Column("shard", U32, REQUIRED, Delta),
    Column("worker", U32, REQUIRED, Delta),
    Column("scheduled_ns", I64, REQUIRED, Delta),
    Column("released_ns", I64, OPTIONAL, Delta),
    Column("sent_ns", I64, OPTIONAL, Delta),
    Column("written_ns", I64, OPTIONAL, Delta),
    Column("connected_ns", I64, OPTIONAL, Delta),
    Column("head_ns", I64, OPTIONAL, Delta),
    Column("first_token_ns", I64, OPTIONAL, Delta),
    Column("first_output_ns", I64, OPTIONAL, Delta),
    Column("last_token_ns", I64, OPTIONAL, Delta),
    Column("end_ns", I64, OPTIONAL, Delta),
    Column("outcome", Text, REQUIRED, Dictionary),
    Column("http_status", U16, OPTIONAL, Delta),
    Column("error", Text, OPTIONAL, Dictionary),
    Column("finish_reason", Text, OPTIONAL, Dictionary),
    Column("input_tokens", U32, REQUIRED, Delta),
    Column("prompt_tokens", U32, OPTIONAL, Delta),
    Column("cached_tokens", U32, OPTIONAL, Delta),
    Column("max_tokens", U32, OPTIONAL, Delta),
    Column("output_tokens", U32, OPTIONAL, Delta),
    Column("output_tokens_source", Text, REQUIRED, Dictionary),
    Column("reasoning_tokens", U32, OPTIONAL, Delta),
    Column("events", U32, REQUIRED, Delta),
    Column("bytes_received", U64, REQUIRED, Delta),
    Column("dialed_ns", I64, OPTIONAL, Delta),
    Column("bytes_sent", U64, REQUIRED, Delta),
    Column("writes", U32, REQUIRED, Delta),
    Column("reads", U32, REQUIRED, Delta),
];
/// Columns of the requests in version 1.
const REQUEST_COLUMNS_V1: usize = 30;

const TOKEN_COLUMNS: [Column; 8] = [
    Column("request_id", U64, REQUIRED, Delta),
    Column("seq", U32, REQUIRED, Delta),
    Column("t_ns", I64, REQUIRED, Delta),
    Column("kernel_ns", I64, OPTIONAL, Delta),
    Column("read", U32, REQUIRED, Delta),
    Column("kind", Text, REQUIRED, Dictionary),
    Column("bytes", U32, REQUIRED, Delta),
    Column("tokens", U16, OPTIONAL, Dictionary),
];

/// The place of `kind` among the columns of tokens.
pub(super) const KIND_COLUMN: usize = 5;

const SERVER_COLUMNS: [Column; 12] = [
    Column("scrape", U32, REQUIRED, Delta),
    Column("endpoint", Text, REQUIRED, Dictionary),
    Column("sent_ns", I64, REQUIRED, Delta),
    Column("first_byte_ns", I64, REQUIRED, Delta),
    Column("end_ns", I64, REQUIRED, Delta),
    Column("error", Text, OPTIONAL, Dictionary),
    Column("metric", Text, OPTIONAL, Dictionary),
    Column("metric_type", Text, OPTIONAL, Dictionary),
    Column("help", Text, OPTIONAL, Dictionary),
    Column("sample", Text, OPTIONAL, Dictionary),
    Column("labels", Text, OPTIONAL, Dictionary),
    Column("value", F64, OPTIONAL, Plain),
];

/// One of the tables of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// One row per scheduled request.
    Requests,
    /// One row per stream event.
    Tokens,
    /// One row per sample of the server's metrics that changed, where those are scraped.
    ServerMetrics,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 3] = [Table::Requests, Table::Tokens, Table::ServerMetrics];

    /// The table's file in a run directory.
    pub fn file_name(self) -> &'static str {
        match self {
            Table::Requests => "requests.parquet",
            Table::Tokens => "tokens.parquet",
            Table::ServerMetrics => "server_metrics.parquet",
        }
    }

    /// The file beside it that holds its footer as of the last flush, as long as the run lasts.
    pub fn sidecar_name(self) -> &'static str {
        match self {
            Table::Requests => "requests.parquet.footer",
            Table::Tokens => "tokens.parquet.footer",
            Table::ServerMetrics => "server_metrics.parquet.footer",
        }
    }

    fn columns(self) -> &'static [Column] {
        match self {
            Table::Requests => &REQUEST_COLUMNS,
            Table::Tokens => &TOKEN_COLUMNS,
            Table::ServerMetrics => &SERVER_COLUMNS,
        }
    }

    /// The table's Parquet schema.
    pub fn schema(self) -> &'static Arc<SchemaDescriptor> {
        static SCHEMAS: LazyLock<[Arc<SchemaDescriptor>; 3]> =
            LazyLock::new(|| Table::ALL.map(|t| Arc::new(SchemaDescriptor::new(message(t)))));
        &SCHEMAS[self as usize]
    }

    /// How the table is written: encodings and compression of each column, and the run's metadata.
    pub fn writer_properties(self, run_id: &str) -> WriterPropertiesPtr {
        // A request's first event lies far from the last one's of the request before, which widens every difference of
        // its block. The smallest block there is keeps that to a few neighbours; the crate's default is twice as large.
        let block = DeltaBinaryPackedEncoderOptions::try_new(128, 4).expect("128 is a multiple of 4 times 32");
        let mut p = WriterProperties::builder()
            .set_delta_binary_packed_encoder_options(block)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_created_by(concat!("loadline version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(metadata(run_id)));
        for Column(name, _, _, stored) in self.columns() {
            let path = ColumnPath::from(*name);
            p = p.set_column_dictionary_enabled(path.clone(), *stored == Dictionary);
            if *stored == Delta {
                p = p.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        Arc::new(p.build())
    }
}

/// What a file says about itself: its schema version and the run it belongs to.
pub fn metadata(run_id: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new(VERSION_KEY.to_owned(), SCHEMA_VERSION.to_string()),
        KeyValue::new(RUN_ID_KEY.to_owned(), run_id.to_owned()),
    ]
}

/// Whether a file can be read as `table`, and how many of its columns, from the first on, the file has; the text says why not.
pub fn check(table: Table, schema: &SchemaDescriptor, metadata: &[KeyValue]) -> Result<usize, String> {
    let value = |key: &str| metadata.iter().find(|kv| kv.key == key).and_then(|kv| kv.value.as_deref());
    let version = value(VERSION_KEY).ok_or_else(|| format!("has no {VERSION_KEY} in its metadata"))?;
    if !version.parse().is_ok_and(is_readable) {
        let version: String = version.chars().take(16).collect();
        return Err(format!("has schema version {version:?}, this program reads 1 to {SCHEMA_VERSION}"));
    }
    let ours = table.schema();
    let columns = match (table, version) {
        (Table::Requests, "1") => REQUEST_COLUMNS_V1,
        _ => ours.num_columns(),
    };
    if schema.num_columns() != columns {
        return Err(format!("has {} columns instead of {columns}", schema.num_columns()));
    }
    for (theirs, ours) in schema.columns().iter().zip(ours.columns()) {
        if theirs.path() != ours.path() || theirs.self_type() != ours.self_type() {
            return Err(format!("has another column where `{}` belongs", ours.name()));
        }
    }
    Ok(columns)
}

fn message(table: Table) -> TypePtr {
    let fields = table.columns().iter().map(|c| Arc::new(field(c))).collect();
    let name = table.file_name().trim_end_matches(".parquet");
    Arc::new(Type::group_type_builder(name).with_fields(fields).build().expect("the table above is a valid schema"))
}

fn field(Column(name, kind, repetition, _): &Column) -> Type {
    let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
    let (physical, logical, converted) = match kind {
        I64 => (Physical::INT64, None, ConvertedType::NONE),
        U64 => (Physical::INT64, unsigned(64), ConvertedType::UINT_64),
        U32 => (Physical::INT32, unsigned(32), ConvertedType::UINT_32),
        U16 => (Physical::INT32, unsigned(16), ConvertedType::UINT_16),
        F64 => (Physical::DOUBLE, None, ConvertedType::NONE),
        Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), ConvertedType::UTF8),
    };
    Type::primitive_type_builder(name, physical)
        .with_repetition(*repetition)
        .with_logical_type(logical)
        .with_converted_type(converted)
        .build()
        .expect("the table above is a valid schema")
}
