//! The flags that decide how the endpoint is spoken to → what is meant.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::base_url::{BaseUrl, Scheme};
use super::profile::{ENDPOINT, Reuse};
use crate::error::{Error, Result};

/// The arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct NetworkArgs {
    /// Use connections again, or open one for every request.
    #[arg(long, value_enum, default_value_t = Reuse::Pooled, help_heading = ENDPOINT)]
    pub connection_reuse_strategy: Reuse,

    /// HTTP's version. `auto` is 1.1 for http:// and unix: URLs, and for https:// HTTP/2 where the server agrees to it;
    /// `2` without TLS takes for granted that the server speaks it.
    #[arg(long, value_enum, default_value_t = HttpVersion::Auto, help_heading = ENDPOINT)]
    pub http_version: HttpVersion,

    /// Most requests at once on one HTTP/2 connection; the server's own limit counts where it is lower. [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = ENDPOINT)]
    pub streams_per_connection: Option<u32>,

    /// Local addresses to connect from, in turn: each has ports for some 28,000 connections to one server address.
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',', help_heading = ENDPOINT)]
    pub local_address: Vec<IpAddr>,

    /// Certificates to trust beside the web's, as a PEM file.
    #[arg(long, value_name = "FILE", help_heading = ENDPOINT)]
    pub tls_ca_file: Option<PathBuf>,

    /// Trust any certificate. Whoever is in between can then read and change everything, the API key included.
    #[arg(long, help_heading = ENDPOINT)]
    pub tls_insecure: bool,
}

/// Versions of HTTP, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HttpVersion {
    /// The best that the server is known to speak.
    Auto,
    /// HTTP/1.1.
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2.
    #[value(name = "2")]
    Http2,
}

impl HttpVersion {
    /// Its name, as typed and as recorded.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpVersion::Auto => "auto",
            HttpVersion::Http1 => "1.1",
            HttpVersion::Http2 => "2",
        }
    }
}

/// How the endpoint is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Whether connections are used again.
    pub reuse: bool,
    /// HTTP's version.
    pub http_version: HttpVersion,
    /// Most streams on an HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Local addresses; none for the kernel's choice.
    pub local_addresses: Vec<IpAddr>,
    /// Certificates to trust beside the web's.
    pub tls_ca_file: Option<PathBuf>,
    /// Whether any certificate is good.
    pub tls_insecure: bool,
}

impl NetworkArgs {
    /// Checks the flags against each other and the URL, which is `None` for the simulated deployment.
    ///
    /// # Errors
    /// [`Error::Usage`] for a flag that the URL or another flag leaves without a meaning.
    pub fn resolve(&self, url: Option<&BaseUrl>) -> Result<NetworkConfig> {
        let refuse = |text: &str| Err(Error::Usage(text.into()));
        let scheme = url.map(|u| &u.scheme);
        if (self.tls_ca_file.is_some() || self.tls_insecure) && scheme != Some(&Scheme::Https) {
            return refuse("--tls-ca-file and --tls-insecure need an https:// --url");
        }
        if self.tls_ca_file.is_some() && self.tls_insecure {
            return refuse("--tls-insecure trusts any certificate, so --tls-ca-file has no meaning; give one of them");
        }
        if url.is_none() && self.http_version == HttpVersion::Http2 {
            return refuse("--http-version 2 needs --url: the simulated deployment speaks HTTP/1.1");
        }
        let never_2 = match self.http_version {
            HttpVersion::Http1 => true,
            HttpVersion::Auto => scheme != Some(&Scheme::Https),
            HttpVersion::Http2 => false,
        };
        if self.streams_per_connection.is_some() && never_2 {
            return refuse("--streams-per-connection needs HTTP/2: give --http-version 2, or an https:// --url");
        }
        if !self.local_address.is_empty() && matches!(scheme, Some(Scheme::Unix(_))) {
            return refuse("--local-address has no meaning for a unix: URL");
        }
        Ok(NetworkConfig {
            reuse: self.connection_reuse_strategy == Reuse::Pooled,
            http_version: self.http_version,
            streams_per_connection: self.streams_per_connection.unwrap_or(100),
            local_addresses: self.local_address.clone(),
            tls_ca_file: self.tls_ca_file.clone(),
            tls_insecure: self.tls_insecure,
        })
    }
}

impl NetworkConfig {
    /// As the manifest keeps it.
    pub fn to_json(&self) -> Value {
        json!({
            "connection_reuse": self.reuse,
            "http_version": self.http_version.as_str(),
            "streams_per_connection": self.streams_per_connection,
            "local_addresses": self.local_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tls_ca_file": self.tls_ca_file.as_ref().map(|p| p.display().to_string()),
            "tls_insecure": self.tls_insecure,
        })
    }
}
