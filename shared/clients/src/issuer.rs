//! An `OpenID` Connect issuer: the keys it signs with. What a token must say is `core::operator_token`'s.

use serde::Deserialize;
use storeward_core::operator_token::IssuerKeys;

use crate::error::ClientError;
use crate::http::Published;

/// The largest document of an issuer that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// What is used of `/.well-known/openid-configuration` (`OpenID` Connect Discovery 1.0, 4.2).
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// The client.
#[derive(Debug)]
pub struct Issuer {
    published: Published,
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
        Ok(Self { published: Published::new()?, issuer: issuer.to_owned() })
    }

    /// Asks for the keys the issuer signs with now.
    ///
    /// # Errors
    /// `Rejected` when what stands at the address is another issuer or no set of keys.
    pub async fn keys(&self) -> Result<IssuerKeys, ClientError> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Configuration =
            serde_json::from_value(self.published.document(&at, LARGEST).await?)
                .map_err(|_| ClientError::Rejected("not an issuer's configuration".to_owned()))?;
        if configuration.issuer != self.issuer || !is_safe(&configuration.jwks_uri) {
            return Err(ClientError::Rejected("another issuer's configuration".to_owned()));
        }
        let keys = self.published.document(&configuration.jwks_uri, LARGEST).await?;
        IssuerKeys::read(&keys).ok_or_else(|| ClientError::Rejected("no set of keys".to_owned()))
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
