//! TLS options → a rustls client that trusts the web's roots and the user's own, or, if asked to, everyone.
//!
//! Not here: sockets, the handshake (the transports), telling the user that nothing is verified (`commands`).

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Result};

/// What the user may choose of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of certificates to trust beside the web's.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate is good.
    pub insecure: bool,
    /// Protocols to offer by ALPN, the preferred first.
    pub alpn: Vec<Vec<u8>>,
}

/// A TLS client and the name of its server.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Shared by all workers and connections; with it, its cache of sessions.
    pub client: Arc<ClientConfig>,
    /// The name that the certificate must bear.
    pub server: ServerName<'static>,
}

impl Tls {
    /// A client for the host of a URL: a name or an address.
    ///
    /// # Errors
    /// [`Error::Usage`] where the CA file cannot be read or holds no certificate, or the host is no name.
    pub fn new(options: &TlsOptions, host: &str) -> Result<Tls> {
        let server = ServerName::try_from(host.to_string())
            .map_err(|_| Error::Usage(format!("--url: `{host}` is no name that a certificate can bear")))?;
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Internal(format!("TLS: {e}")))?;
        let verified = if options.insecure {
            versions.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone { provider }))
        } else {
            versions.with_root_certificates(roots(options)?)
        };
        let mut client = verified.with_no_client_auth();
        client.alpn_protocols.clone_from(&options.alpn);
        Ok(Tls { client: Arc::new(client), server })
    }

    /// The same with other protocols to offer by ALPN.
    pub fn offering(&self, alpn: Vec<Vec<u8>>) -> Tls {
        let mut client = ClientConfig::clone(&self.client);
        client.alpn_protocols = alpn;
        Tls { client: Arc::new(client), server: self.server.clone() }
    }
}

fn roots(options: &TlsOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let Some(path) = &options.ca_file else { return Ok(roots) };
    let bad = |why: String| Error::Usage(format!("--tls-ca-file {}: {why}", path.display()));
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))? {
        roots.add(certificate.map_err(|e| bad(e.to_string()))?).map_err(|e| bad(e.to_string()))?;
    }
    if roots.len() == before {
        return Err(bad("holds no certificate; give a PEM file with a CERTIFICATE section".into()));
    }
    Ok(roots)
}

/// Takes every certificate. Signatures are still checked: whoever answers holds the key of what it shows.
#[derive(Debug)]
struct TrustAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, text: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("loadline-tls-{}-{name}.pem", std::process::id()));
            std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// A server for `localhost` that speaks h2, and its certificate.
    fn server() -> (Arc<ServerConfig>, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        (Arc::new(config), made.cert.pem())
    }

    /// Shakes hands in memory; gives what ALPN chose.
    fn shake(tls: &Tls, server: &Arc<ServerConfig>) -> std::result::Result<Option<Vec<u8>>, rustls::Error> {
        let mut client = rustls::ClientConnection::new(tls.client.clone(), tls.server.clone()).unwrap();
        let mut server = ServerConnection::new(server.clone()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(client.alpn_protocol().map(<[u8]>::to_vec))
    }

    #[test]
    fn a_certificate_is_trusted_by_the_ca_file_alone_or_by_insecure() {
        let (server, pem) = server();
        let ca = Scratch::new("trusted", &pem);
        let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let own = TlsOptions { ca_file: Some(ca.0.clone()), insecure: false, alpn };
        let trusting = Tls::new(&own, "localhost").unwrap();
        assert_eq!(shake(&trusting, &server).unwrap(), Some(b"h2".to_vec()));
        assert!(matches!(
            shake(&Tls::new(&own, "elsewhere").unwrap(), &server),
            Err(rustls::Error::InvalidCertificate(_))
        ));
        let webs = TlsOptions::default();
        assert!(matches!(
            shake(&Tls::new(&webs, "localhost").unwrap(), &server),
            Err(rustls::Error::InvalidCertificate(_))
        ));
        let insecure = TlsOptions { insecure: true, ..TlsOptions::default() };
        assert_eq!(shake(&Tls::new(&insecure, "elsewhere").unwrap(), &server).unwrap(), None);
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused_by_name() {
        let empty = Scratch::new("empty", "nothing\n");
        for path in [empty.0.clone(), PathBuf::from("/no/such/file.pem")] {
            let options = TlsOptions { ca_file: Some(path.clone()), ..TlsOptions::default() };
            let text = Tls::new(&options, "localhost").unwrap_err().to_string();
            assert!(text.contains("--tls-ca-file") && text.contains(path.to_str().unwrap()), "{text}");
        }
        assert!(Tls::new(&TlsOptions::default(), "a b").is_err());
    }
}
