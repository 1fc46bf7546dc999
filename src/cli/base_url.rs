//! The base URL of an endpoint, taken apart.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::error::{Error, Result};

/// How a URL's host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP in the clear.
    Http,
    /// TLS over TCP.
    Https,
    /// The unix socket at this path, in the clear.
    Unix(PathBuf),
}

/// A base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// How the host is reached.
    pub scheme: Scheme,
    /// `host` or `host:port`, as the `Host` header has it.
    pub authority: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path, possibly empty.
    pub path: String,
}

impl BaseUrl {
    /// Takes a URL apart; `http://` may be left out.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no base URL, with a remedy.
    pub fn parse(url: &str) -> Result<BaseUrl> {
        let bad = |why: &str| Error::Usage(format!("--url {url}: {why}"));
        if let Some(path) = url.strip_prefix("unix:") {
            return BaseUrl::of_socket(path).ok_or_else(|| bad("give the path of a socket, e.g. unix:/run/llm.sock"));
        }
        let (scheme, default_port, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, 443, rest),
            Some(("http", rest)) => (Scheme::Http, 80, rest),
            Some((scheme, _)) => {
                return Err(bad(&format!("unknown scheme `{scheme}`, use http://, https:// or unix:PATH")));
            }
            None => (Scheme::Http, 80, url),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(bad("credentials do not belong in a URL, where logs show them; use --api-key or --header"));
        }
        if path.contains(['?', '#']) {
            return Err(bad("a base URL has no query and no fragment"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && (!host.contains(':') || host.ends_with(']')) => {
                (host, port.parse().map_err(|_| bad("the port is not a number from 1 to 65535"))?)
            }
            _ => (authority, default_port),
        };
        if host.is_empty() {
            return Err(bad("no host; give e.g. http://localhost:8000"));
        }
        Ok(BaseUrl {
            scheme,
            authority: authority.into(),
            host: host.trim_matches(['[', ']']).into(),
            port,
            path: path.trim_end_matches('/').into(),
        })
    }

    /// A unix socket's URL is its path alone: there is no base path, and the host is this one.
    fn of_socket(path: &str) -> Option<BaseUrl> {
        let path = path.strip_prefix("//").filter(|p| p.starts_with('/')).unwrap_or(path);
        let here = || String::from("localhost");
        let scheme = Scheme::Unix(path.into());
        (!path.is_empty()).then(|| BaseUrl { scheme, authority: here(), host: here(), port: 0, path: String::new() })
    }

    /// The host's addresses, of which `localhost` has one of each family; none for a unix socket.
    ///
    /// # Errors
    /// [`Error::Endpoint`] where the host cannot be found.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        if let Scheme::Unix(_) = self.scheme {
            return Ok(Vec::new());
        }
        let found = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|e| Error::Endpoint(format!("{}: the host cannot be found: {e}", self.authority)))?;
        Ok(found.collect())
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.scheme {
            Scheme::Http => write!(f, "http://{}{}", self.authority, self.path),
            Scheme::Https => write!(f, "https://{}{}", self.authority, self.path),
            Scheme::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |url| BaseUrl::parse(url).map(|u| (u.host, u.port, u.path)).unwrap();
        assert_eq!(parts("localhost:8000"), ("localhost".into(), 8000, String::new()));
        assert_eq!(parts("http://h/v1/"), ("h".into(), 80, "/v1".into()));
        assert_eq!(parts("https://h/v1/"), ("h".into(), 443, "/v1".into()));
        assert_eq!(parts("http://[::1]:9/x"), ("::1".into(), 9, "/x".into()));
        assert_eq!(parts("https://[::1]"), ("::1".into(), 443, String::new()));
        assert!(BaseUrl::parse("http://h:x").is_err());
        assert!(BaseUrl::parse("http://:80").is_err());
    }

    #[test]
    fn a_unix_socket_is_its_path() {
        for url in ["unix:/run/a.sock", "unix:///run/a.sock"] {
            let parsed = BaseUrl::parse(url).unwrap();
            assert_eq!(
                (parsed.scheme.clone(), parsed.authority.as_str()),
                (Scheme::Unix("/run/a.sock".into()), "localhost")
            );
            assert_eq!((parsed.to_string(), parsed.addresses().unwrap()), ("unix:/run/a.sock".into(), Vec::new()));
        }
        assert!(BaseUrl::parse("unix:").unwrap_err().to_string().contains("path"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_remedy() {
        for (url, why) in [
            ("http://u:p@x", "credentials"),
            ("https://u:p@x", "credentials"),
            ("ftp://x", "scheme"),
            ("http://h/?q", "query"),
        ] {
            let text = BaseUrl::parse(url).unwrap_err().to_string();
            assert!(text.contains(why), "{url}: {text}");
        }
    }
}
