//! Row groups → a Parquet file that can be read after a kill at any moment.
//!
//! In: whole row groups. Out: the file, and beside it, as long as it has no footer, a sidecar with the footer as of the
//! last flush. A sidecar is the length of the file that it belongs to (8 bytes, little endian), then the bytes that
//! would end that file; so `head -c LENGTH FILE` and `tail -c +9 SIDECAR` together are an ordinary Parquet file.
//! Invariants: the file only grows, so an older sidecar stays true; a sidecar is replaced whole or not at all, after
//! the bytes that it speaks of were handed to the system. Survives the end of the process, not that of the power.
//! Not here: rows ([`super::encode`]), and how it is read again (`source`).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData};
use parquet::file::writer::SerializedFileWriter;

use super::schema::{self, Table};

/// Where a recording's files are kept.
pub trait Storage {
    /// A file that grows.
    type File: Write + Send;

    /// Creates a file, or empties the one that is there.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a small file this content, whole or not at all.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The file as messages name it.
    fn path(&self, name: &str) -> PathBuf;
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory `path`, which exists.
    pub fn new(path: &Path) -> Self {
        Directory(path.to_owned())
    }
}

impl Storage for Directory {
    type File = File;

    fn create(&self, name: &str) -> io::Result<File> {
        File::create(self.0.join(name))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let partial = self.0.join(format!("{name}.partial"));
        std::fs::write(&partial, content)?;
        std::fs::rename(&partial, self.0.join(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A table's file that is being written.
pub struct DurableFile<S: Storage> {
    storage: S,
    table: Table,
    run_id: String,
    file: SerializedFileWriter<S::File>,
}

impl<S: Storage> DurableFile<S> {
    /// Creates the file of `table`, without rows; it is readable from here on.
    pub fn create(storage: S, table: Table, run_id: &str) -> Result<Self> {
        let file = storage.create(table.file_name())?;
        let schema = table.schema().root_schema_ptr();
        let file = SerializedFileWriter::new(file, schema, table.writer_properties(run_id))?;
        let mut durable = DurableFile { storage, table, run_id: run_id.to_owned(), file };
        durable.save_footer()?;
        Ok(durable)
    }

    /// Appends the row group that `write` writes, and makes it readable.
    pub fn append(&mut self, write: impl FnOnce(&mut SerializedFileWriter<S::File>) -> Result<()>) -> Result<()> {
        write(&mut self.file)?;
        self.save_footer()
    }

    /// Writes the footer, which makes the file an ordinary Parquet file. Returns its length in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.file.finish()?;
        // The file stands on its own from here: a sidecar that cannot be removed is not in the way.
        let _ = self.storage.remove(self.table.sidecar_name());
        Ok(self.file.bytes_written() as u64)
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.file.bytes_written() as u64
    }

    fn save_footer(&mut self) -> Result<()> {
        self.file.flush()?;
        let groups = self.file.flushed_row_groups().to_vec();
        let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
        let properties = self.file.properties();
        let about = FileMetaData::new(
            properties.writer_version().as_num(),
            rows,
            Some(properties.created_by().to_owned()),
            Some(schema::metadata(&self.run_id)),
            self.table.schema().clone(),
            None,
        );
        let metadata = ParquetMetaDataBuilder::new(about).set_row_groups(groups).build();
        let mut sidecar = self.bytes().to_le_bytes().to_vec();
        ParquetMetaDataWriter::new(&mut sidecar, &metadata).finish()?;
        self.storage.replace(self.table.sidecar_name(), &sidecar).map_err(ParquetError::from)
    }
}
