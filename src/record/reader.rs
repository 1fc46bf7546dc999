//! Recording files → rows, request by request.

use super::manifest::Manifest;
use super::row::{RequestRow, TokenRow};
use crate::error::Result;

/// Receives one request and all its stream events, in order.
pub type Visit<'a> = dyn FnMut(&RequestRow, &[TokenRow]) + 'a;

/// A source of a run's rows: the files of a run directory, or rows in memory.
///
/// The order of requests is the same at every visit, so that everything computed from it is reproducible byte for
/// byte.
pub trait Rows {
    /// What the run was.
    fn manifest(&self) -> &Manifest;
    /// Visits every request once, in order of `request_id`, with its events (none for a request that has none).
    fn for_each_request(&self, visit: &mut Visit<'_>) -> Result<()>;
}
