//! An OpenID Connect issuer: the keys it signs with. What a token must say is `core::operator_token`'s.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use storeward_core::operator_token::IssuerKeys;

use crate::error::ClientError;
use crate::http;

/// The largest document of an issuer that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// What is used of `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, 4.2).
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// The client.
#[derive(Debug)]
pub struct Issuer {
    http: reqwest::Client,
    issuer: String,
}

impl Issuer {
    /// A client for an issuer, named as it names itself: an `https` address, or one on loopback for development.
    ///
    /// # Errors
    /// `Rejected` for any other address.
    pub fn new(issuer: &str) -> Result<Self, ClientError> {
        if !is_safe(issuer) {
            return Err(ClientError::Rejected("the issuer must be an https address".to_owned()));
        }
        Ok(Self { http: http::client()?, issuer: issuer.to_owned() })
    }

    /// Asks for the keys the issuer signs with now.
    ///
    /// # Errors
    /// `Rejected` when what stands at the address is another issuer or no set of keys.
    pub async fn keys(&self) -> Result<IssuerKeys, ClientError> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Configuration = serde_json::from_value(self.document(&at).await?)
            .map_err(|_| ClientError::Rejected("not an issuer's configuration".to_owned()))?;
        if configuration.issuer != self.issuer || !is_safe(&configuration.jwks_uri) {
            return Err(ClientError::Rejected("another issuer's configuration".to_owned()));
        }
        let keys = self.document(&configuration.jwks_uri).await?;
        IssuerKeys::read(&keys).ok_or_else(|| ClientError::Rejected("no set of keys".to_owned()))
    }

    async fn document(&self, address: &str) -> Result<Value, ClientError> {
        let asked = self.http.get(address).timeout(Duration::from_secs(3)).send().await;
        let mut response = asked.map_err(|error| http::transport_error(&error))?;
        if let Some(error) = http::status_error(&response) {
            return Err(error);
        }
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| http::transport_error(&error))? {
            if text.len() + part.len() > LARGEST {
                return Err(ClientError::Rejected("a document too large".to_owned()));
            }
            text.extend_from_slice(&part);
        }
        serde_json::from_slice(&text).map_err(|_| ClientError::Rejected("not JSON".to_owned()))
    }
}

/// Whether nobody on the way can give other keys.
fn is_safe(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !host.contains('@')
        && !host.is_empty()
        && (scheme == "https" || (scheme == "http" && name == "127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_an_address_of_an_issuer_then_only_https_or_loopback_is_called() {
        for good in ["https://issuer.example.com/pool", "https://a.example.com:8443", "http://127.0.0.1:1/x"]
        {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "http://issuer.example.com",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1.example.com",
            "https://",
            "https:///x",
            "ftp://127.0.0.1",
            "issuer.example.com",
            "",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
