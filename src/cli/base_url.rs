//! The base URL of an endpoint, taken apart.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::{Error, Result};

/// A base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
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
    /// Takes a URL apart; the scheme may be left out.
    pub fn parse(url: &str) -> Result<BaseUrl> {
        let bad = |why: &str| Error::Usage(format!("--url {url}: {why}"));
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(bad(
                    "TLS is not spoken yet; put a proxy that ends TLS in between, and give its http:// URL",
                ));
            }
            Some((scheme, _)) => return Err(bad(&format!("unknown scheme `{scheme}`, use http://"))),
            None => url,
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
            _ => (authority, 80),
        };
        if host.is_empty() {
            return Err(bad("no host; give e.g. http://localhost:8000"));
        }
        Ok(BaseUrl {
            authority: authority.into(),
            host: host.trim_matches(['[', ']']).into(),
            port,
            path: path.trim_end_matches('/').into(),
        })
    }

    /// The host's addresses. `localhost` gives both families; the first that answers is used.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let found = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|e| Error::Endpoint(format!("{}: the host cannot be found: {e}", self.authority)))?;
        Ok(found.collect())
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
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
        assert_eq!(parts("http://[::1]:9/x"), ("::1".into(), 9, "/x".into()));
        assert!(BaseUrl::parse("http://h:x").is_err());
        assert!(BaseUrl::parse("http://:80").is_err());
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_remedy() {
        for (url, why) in
            [("https://x", "TLS"), ("http://u:p@x", "credentials"), ("ftp://x", "scheme"), ("http://h/?q", "query")]
        {
            let text = BaseUrl::parse(url).unwrap_err().to_string();
            assert!(text.contains(why), "{url}: {text}");
        }
    }
}
