//! A certificate and its key, as PEM files → what shakes hands with clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};

/// ALPN's name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// Where a server's certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate, and behind it those that vouch for it.
    pub cert: PathBuf,
    /// PEM: the private key of the first of them.
    pub key: PathBuf,
}

/// A server with this certificate, which offers HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// [`Error::Usage`] for a file that cannot be read or holds no certificate or key, and for a key of another certificate.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let bad = |flag: &str, file: &Path, why: String| Error::Usage(format!("{flag} {}: {why}", file.display()));
    let bad_cert = |why: String| bad("--tls-cert", &files.cert, why);
    let chain = CertificateDer::pem_file_iter(&files.cert).map_err(|e| bad_cert(e.to_string()))?;
    let chain: Vec<_> = chain.collect::<std::result::Result<_, _>>().map_err(|e| bad_cert(e.to_string()))?;
    if chain.is_empty() {
        return Err(bad_cert("holds no certificate; give a PEM file with a CERTIFICATE section".into()));
    }
    let bad_key = |why: String| bad("--tls-key", &files.key, why);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| bad_key(e.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Internal(format!("TLS: {e}")))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| bad_key(format!("does not go with --tls-cert {}: {e}", files.cert.display())))?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
