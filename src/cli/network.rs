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
    /// Path behind the URL, instead of the one that goes with --endpoint-type.
    #[arg(long, alias = "endpoint", value_name = "PATH", help_heading = ENDPOINT)]
    pub custom_endpoint: Option<String>,

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
    /// The path behind the base URL, where it is not the API's own.
    pub path: Option<String>,
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
        if let Some(path) = &self.custom_endpoint {
            if url.is_none() {
                return refuse("--custom-endpoint needs --url: the simulated deployment has the usual paths");
            }
            if path.contains(['#', ' ']) || path.chars().any(char::is_control) {
                return refuse("--custom-endpoint must be a path, e.g. /v1/custom");
            }
        }
        Ok(NetworkConfig {
            path: self.custom_endpoint.clone(),
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
    /// The path of requests at a base URL that has this one: the user's, or else `usual`. `/v1` is not doubled.
    pub fn path(&self, base_path: &str, usual: String) -> String {
        let Some(path) = &self.path else { return usual };
        let base = base_path.trim_end_matches('/');
        let path = path.trim_start_matches('/');
        let base = if path.starts_with("v1/") { base.strip_suffix("/v1").unwrap_or(base) } else { base };
        format!("{base}/{path}")
    }

    /// As the manifest keeps it.
    pub fn to_json(&self) -> Value {
        json!({
            "path": self.path,
            "connection_reuse": self.reuse,
            "http_version": self.http_version.as_str(),
            "streams_per_connection": self.streams_per_connection,
            "local_addresses": self.local_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tls_ca_file": self.tls_ca_file.as_ref().map(|p| p.display().to_string()),
            "tls_insecure": self.tls_insecure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ones_own_goes_behind_the_base() {
        let of = |path: Option<&str>, base: &str| {
            let config = NetworkConfig {
                path: path.map(String::from),
                reuse: true,
                http_version: HttpVersion::Auto,
                streams_per_connection: 1,
                local_addresses: Vec::new(),
                tls_ca_file: None,
                tls_insecure: false,
            };
            config.path(base, "/usual".into())
        };
        assert_eq!(of(None, "/v1"), "/usual");
        assert_eq!(of(Some("/my/chat"), ""), "/my/chat");
        assert_eq!(of(Some("my/chat?x=1"), "/base/"), "/base/my/chat?x=1");
        assert_eq!(of(Some("/v1/custom"), "/base/v1"), "/base/v1/custom");
    }
}
