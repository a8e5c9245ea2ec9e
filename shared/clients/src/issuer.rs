//! The keys that issuers of tokens sign with: an `OpenID` Connect issuer's, or those at an address that is known. They are
//! remembered, and asked for again when they are old or a token names one that is unknown; at most once a minute. What a
//! token must say is `core::operator_token`'s and `core::push`'s.

use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use storeward_core::jwt::{IssuerKeys, KnownKeys};
use storeward_core::time::Timestamp;
use tokio::sync::Mutex;

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

    /// Asks for the keys the issuer signs with now. How long it says that they may be kept is not heeded: operators' tokens
    /// are few, and a key that is withdrawn should soon count no more.
    ///
    /// # Errors
    /// `Rejected` when what stands at the address is another issuer or no set of keys.
    pub async fn keys(&self) -> Result<FetchedKeys, ClientError> {
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Configuration =
            serde_json::from_value(self.published.document(&at, LARGEST).await?.0)
                .map_err(|_| ClientError::Rejected("not an issuer's configuration".to_owned()))?;
        if configuration.issuer != self.issuer || !is_safe(&configuration.jwks_uri) {
            return Err(ClientError::Rejected("another issuer's configuration".to_owned()));
        }
        let fetched = keys_at(&self.published, &configuration.jwks_uri).await?;
        Ok(FetchedKeys { max_age: None, ..fetched })
    }
}

/// A set of keys that is published at a known address, such as Google's.
#[derive(Debug)]
pub struct KeyDocument {
    published: Published,
    address: String,
}

impl KeyDocument {
    /// A client for the keys at an `https` address, or one on loopback for development.
    ///
    /// # Errors
    /// `Rejected` for any other address.
    pub fn new(address: &str) -> Result<Self, ClientError> {
        if !is_safe(address) {
            return Err(ClientError::Rejected("keys must be at an https address".to_owned()));
        }
        Ok(Self { published: Published::new()?, address: address.to_owned() })
    }

    /// Asks for the keys, which may be kept for as long as the answer says.
    ///
    /// # Errors
    /// `Rejected` when what stands at the address is no set of keys.
    pub async fn keys(&self) -> Result<FetchedKeys, ClientError> {
        keys_at(&self.published, &self.address).await
    }
}

async fn keys_at(published: &Published, address: &str) -> Result<FetchedKeys, ClientError> {
    let (document, max_age) = published.document(address, LARGEST).await?;
    let keys = IssuerKeys::read(&document);
    let keys = keys.ok_or_else(|| ClientError::Rejected("no set of keys".to_owned()))?;
    Ok(FetchedKeys { keys, max_age })
}

/// Keys as an issuer gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedKeys {
    /// The keys.
    pub keys: IssuerKeys,
    /// How long they may be kept, where that is known.
    pub max_age: Option<Duration>,
}

/// An issuer's keys as all invocations of an instance share them.
#[derive(Debug, Default)]
pub struct KeyCache(Mutex<KnownKeys>);

impl KeyCache {
    /// The keys for a token that names the key `kid`. `asking` asks the issuer for them; it is only run when those that are
    /// known will not do.
    ///
    /// # Errors
    /// Why there are none: the issuer gives none, or did not a moment ago.
    pub async fn keys(
        &self,
        kid: &str,
        now: Timestamp,
        asking: impl Future<Output = Result<FetchedKeys, ClientError>> + Send,
    ) -> Result<IssuerKeys, ClientError> {
        // Held while asking: those who come meanwhile wait for the answer instead of asking too.
        let mut known = self.0.lock().await;
        if known.wants(kid, now) {
            known.asked(now);
            match asking.await {
                Ok(FetchedKeys { keys, max_age }) => known.take(keys, now, max_age),
                Err(error) => {
                    tracing::warn!(%error, "an issuer of tokens gives no keys");
                    if known.usable(now).is_none() {
                        return Err(error);
                    }
                }
            }
        }
        let keys = known.usable(now).cloned();
        keys.ok_or_else(|| ClientError::Unavailable("asked for keys a moment ago".to_owned()))
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
    use storeward_core::time::{HOUR, MINUTE};

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

    #[tokio::test]
    async fn given_an_issuer_that_fails_then_it_is_asked_once_a_minute_and_known_keys_go_on_counting() {
        let (cache, start) = (KeyCache::default(), Timestamp(0));
        let failure = ClientError::Unavailable("down".to_owned());
        let key = r#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}"#;
        let keys = IssuerKeys::read(&serde_json::from_str(key).unwrap()).unwrap();
        let fetched = FetchedKeys { keys: keys.clone(), max_age: Some(MINUTE * 10) };
        let fails = async || Err(failure.clone());
        let unasked = async || panic!("nobody is asked");
        assert_eq!(cache.keys("a", start, fails()).await, Err(failure.clone()));
        let soon = cache.keys("a", start + Duration::from_secs(1), unasked()).await;
        assert_eq!(soon, Err(ClientError::Unavailable("asked for keys a moment ago".to_owned())));
        let later = start + MINUTE;
        assert_eq!(cache.keys("a", later, async { Ok(fetched) }).await.as_ref(), Ok(&keys));
        assert_eq!(cache.keys("a", later + MINUTE * 9, unasked()).await.as_ref(), Ok(&keys));
        // Old, or unknown: asked again, and what is known counts while there is no answer.
        assert_eq!(cache.keys("a", later + MINUTE * 10, fails()).await.as_ref(), Ok(&keys));
        assert_eq!(cache.keys("b", later + MINUTE * 10, unasked()).await.as_ref(), Ok(&keys));
        assert_eq!(cache.keys("b", later + MINUTE * 11, fails()).await.as_ref(), Ok(&keys));
        assert_eq!(cache.keys("a", later + HOUR * 6, fails()).await, Err(failure));
    }
}
