//! Which shop: its domain as Shopify writes it, and the installation a record belongs to.
//! The blinded form that goes into keys is made by the store, which holds the key for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A shop's permanent domain, `name.myshopify.com`, checked and in lower case.
///
/// A domain can be a person's name (a sole trader's shop), so it is not put into keys, messages or logs.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShopDomain(String);

/// The text is not a shop's permanent domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAShopDomain;

impl fmt::Display for NotAShopDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a shop domain: expected letters, digits and hyphens before .myshopify.com")
    }
}

impl std::error::Error for NotAShopDomain {}

impl ShopDomain {
    /// The domain as text: for calls to Shopify and for sealing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ShopDomain {
    type Err = NotAShopDomain;

    /// Accepts what Shopify documents: `^[a-zA-Z0-9][a-zA-Z0-9\-]*\.myshopify\.com$`, at most the 253 octets of a
    /// host name.
    fn from_str(text: &str) -> Result<Self, NotAShopDomain> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix(".myshopify.com").ok_or(NotAShopDomain)?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if name.is_empty() || name.starts_with('-') || !plain || lower.len() > 253 {
            return Err(NotAShopDomain);
        }
        Ok(Self(lower))
    }
}

impl TryFrom<String> for ShopDomain {
    type Error = NotAShopDomain;
    fn try_from(text: String) -> Result<Self, NotAShopDomain> {
        text.parse()
    }
}

impl From<ShopDomain> for String {
    fn from(domain: ShopDomain) -> Self {
        domain.0
    }
}

impl fmt::Debug for ShopDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(shop)")
    }
}

/// The blinded name of a shop: 32 hexadecimal digits. Safe in keys, messages and logs: without the deployment
/// key nobody gets from it to the domain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShopId(String);

impl ShopId {
    /// Takes 16 bytes of a keyed hash of the domain.
    #[must_use]
    pub fn from_blind(blind: [u8; 16]) -> Self {
        Self(hex::encode(blind))
    }

    /// Reads 32 hexadecimal digits in lower case; `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(digits)).then(|| Self(text.to_owned()))
    }

    /// What stands in the place of a shop where something is about the whole deployment.
    #[must_use]
    pub fn deployment() -> Self {
        Self::from_blind([0; 16])
    }

    /// The 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One installation of the app in a shop: the time of the install, so that a later one is always larger, also
/// when nothing about the earlier one was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl Generation {
    /// The generation of an install at `time`.
    #[must_use]
    pub const fn installed_at(time: Timestamp) -> Self {
        Self(time.millis())
    }

    /// When this installation began.
    #[must_use]
    pub const fn since(self) -> Timestamp {
        Timestamp(self.0)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Fixed width, so that generations sort as text the way they sort as numbers.
        write!(f, "{:015}", self.0)
    }
}

/// One installation in one shop: the tenant every stored thing belongs to, and the first argument of every
/// access to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Tenant {
    /// Which shop.
    pub shop: ShopId,
    /// Which of its installations.
    pub generation: Generation,
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.shop, self.generation)
    }
}

/// Where an installation stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShopState {
    /// The app is installed and works.
    Installed,
    /// The app was removed; everything waits for its purge and nothing is shown or processed.
    Uninstalled,
}

#[cfg(test)]
mod tests {
    use super::ShopDomain;

    #[test]
    fn a_shop_domain_is_what_shopify_says_it_is() {
        for good in ["a.myshopify.com", "Demo-Shop.myshopify.com", "1a-.myshopify.com"] {
            assert!(good.parse::<ShopDomain>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".myshopify.com",
            "-a.myshopify.com",
            "a.b.myshopify.com",
            "a.myshopify.com.evil.example",
            "a.myshopify.com/",
            "a_b.myshopify.com",
            "a.myshopify.org",
            "ä.myshopify.com",
            "a.myshopify.com\n",
        ] {
            assert!(bad.parse::<ShopDomain>().is_err(), "{bad}");
        }
    }
}
