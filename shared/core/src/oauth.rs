//! What OAuth with Shopify says: signed queries, states, scopes. Secrets, cookies and calls are others'.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How old a signed query may be, or how far ahead (the official library's tolerance).
pub const QUERY_TOLERANCE: Duration = Duration::from_secs(90);

/// How long a merchant may take between asking for the installation and approving it.
pub const STATE_LIFETIME: Duration = Duration::from_mins(10);

/// The most characters of a query that are read. Shopify's have under 500.
const LONGEST_QUERY: usize = 8 * 1024;

/// A query string, decoded, without any name twice: who reads the first of two and who reads the last must not see
/// different requests.
#[derive(Clone, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values name the shop and hold codes.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a query is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFault {
    /// It is longer than any that Shopify sends.
    TooLong,
    /// A name stands in it twice.
    Repeated,
    /// It is percent-encoded into something that is no text.
    Encoding,
    /// The signature is missing or not the query's.
    Signature,
    /// It was signed too long ago, or in the future.
    Time,
}

impl fmt::Display for QueryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the query is too long",
            Self::Repeated => "a parameter stands in the query twice",
            Self::Encoding => "the query is not UTF-8",
            Self::Signature => "the query is not signed with the app's client secret",
            Self::Time => "the query was not signed within the last 90 seconds",
        })
    }
}

impl std::error::Error for QueryFault {}

impl Query {
    /// Reads a raw query string.
    pub fn parse(raw: &str) -> Result<Self, QueryFault> {
        if raw.len() > LONGEST_QUERY {
            return Err(QueryFault::TooLong);
        }
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            // What is no UTF-8 comes as the replacement character, and would then be another text than was signed.
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                return Err(QueryFault::Encoding);
            }
            if values.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(QueryFault::Repeated);
            }
        }
        Ok(Self(values))
    }

    /// A parameter that is there and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What Shopify signs: every parameter but `hmac`, by name, percent-encoded.
    #[must_use]
    pub fn signed_message(&self) -> String {
        let mut message = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.0.iter().filter(|(name, _)| *name != "hmac") {
            message.append_pair(name, value);
        }
        // A form says + for a space, Shopify %20; a plus of the value is %2B in both.
        message.finish().replace('+', "%20")
    }

    /// Whether Shopify signed the query, and lately. `signed` says whether a signature (32 bytes) is the HMAC-SHA256 of
    /// a message under any of the app's secrets, in constant time.
    pub fn verify(
        &self,
        now: Timestamp,
        signed: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<(), QueryFault> {
        let given =
            self.get("hmac").and_then(|digits| hex::decode(digits).ok()).ok_or(QueryFault::Signature)?;
        if !signed(self.signed_message().as_bytes(), &given) {
            return Err(QueryFault::Signature);
        }
        let seconds =
            self.get("timestamp").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let at: i64 = seconds.and_then(|digits| digits.parse().ok()).ok_or(QueryFault::Time)?;
        // In whole seconds, as Shopify counts.
        let apart = now.seconds().abs_diff(at);
        if apart > QUERY_TOLERANCE.as_secs() { Err(QueryFault::Time) } else { Ok(()) }
    }
}

/// The text by which the callback is known to belong to the browser that asked: when it ends, and 256 random bits. It
/// is not signed: the browser holds the same in a cookie that no other site can set or read.
#[must_use]
pub fn new_state(now: Timestamp, random: &[u8; 32]) -> String {
    format!("{}.{}", (now + STATE_LIFETIME).seconds(), hex::encode(random))
}

/// Whether the callback's state is the cookie's, and still counts.
#[must_use]
pub fn is_state(given: &str, cookie: &str, now: Timestamp) -> bool {
    let Some((ends, random)) = cookie.split_once('.') else { return false };
    let lasts = ends
        .parse::<i64>()
        .is_ok_and(|ends| now.seconds() < ends && ends <= (now + STATE_LIFETIME).seconds() + 1);
    lasts && random.len() == 64 && same(given.as_bytes(), cookie.as_bytes())
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// Access scopes: what a merchant lets the app do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Reads a list separated by commas, as Shopify writes it and the settings do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.split(',').collect()
    }

    /// Whether `scope` is in it. Writing implies reading, and Shopify leaves out what is implied.
    #[must_use]
    pub fn allow(&self, scope: &str) -> bool {
        let wider = scope.strip_prefix("read_").map(|what| format!("write_{what}"));
        self.0.contains(scope) || wider.is_some_and(|wider| self.0.contains(&wider))
    }

    /// Those of `wanted` that are not in it.
    #[must_use]
    pub fn lacking(&self, wanted: &Self) -> Vec<String> {
        wanted.0.iter().filter(|scope| !self.allow(scope)).cloned().collect()
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'a str>>(scopes: I) -> Self {
        let scopes = scopes.into_iter().map(str::trim).filter(|scope| !scope.is_empty());
        Self(scopes.map(str::to_owned).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    }
}

/// A secret that stands for a shop's consent: an access or a refresh token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessToken(String);

impl AccessToken {
    /// Takes the token.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// The token, for the request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken")
    }
}

/// What an expiring access is renewed with. Each renewal replaces both tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// The refresh token.
    pub token: AccessToken,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

/// What a shop lets the app do, and with which tokens: stored and replaced as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What calls to the Admin API are made with.
    pub token: AccessToken,
    /// Until when; `None` for a token of the old kind, which counts until the app is uninstalled.
    pub expires_at: Option<Timestamp>,
    /// How it is renewed; `None` for a token of the old kind.
    pub refresh: Option<Refresh>,
    /// What the merchant granted.
    pub scopes: Scopes,
    /// When Shopify was asked for it or told of it: what is older is no news.
    pub scopes_at: Timestamp,
}

/// How long before its end an access token is renewed (as the official library does).
pub const REFRESH_BEFORE: Duration = Duration::from_mins(5);

impl Access {
    /// Access by a token that does not expire.
    #[must_use]
    pub fn lasting(token: &str, scopes: Scopes, at: Timestamp) -> Self {
        let token = AccessToken::new(token.to_owned());
        Self { token, expires_at: None, refresh: None, scopes, scopes_at: at }
    }

    /// Whether the token counts at `now`.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether the token ends soon enough to be renewed now.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.is_alive(now + REFRESH_BEFORE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::hmac;

    use super::*;

    /// Shopify's published example, with its secret.
    const PUBLISHED: &str = "code=0907a61c0c8d55e99db179b68161bc00&shop=some-shop.myshopify.com\
        &state=0.6784241404160823&timestamp=1337178173";
    const PUBLISHED_HMAC: &str = "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf";
    const AT: i64 = 1_337_178_173;

    fn check(raw: &str, seconds: i64) -> Result<(), QueryFault> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
        Query::parse(raw)?
            .verify(Timestamp::from_seconds(seconds), |message, tag| hmac::verify(&key, message, tag).is_ok())
    }

    fn signed(message: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
        hex::encode(hmac::sign(&key, message.as_bytes()))
    }

    #[test]
    fn given_shopifys_published_example_then_it_is_accepted_for_90_seconds_either_way() {
        let query = format!("hmac={PUBLISHED_HMAC}&{PUBLISHED}");
        for (seconds, expected) in [
            (0, Ok(())),
            (90, Ok(())),
            (-90, Ok(())),
            (91, Err(QueryFault::Time)),
            (-91, Err(QueryFault::Time)),
        ] {
            assert_eq!(check(&query, AT + seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn given_a_query_with_one_thing_wrong_then_it_is_refused_for_that() {
        let with = |more: &str| check(&format!("hmac={PUBLISHED_HMAC}&{PUBLISHED}{more}"), AT);
        assert_eq!(with("&shop=other.myshopify.com"), Err(QueryFault::Repeated));
        assert_eq!(with("&hmac=00"), Err(QueryFault::Repeated));
        assert_eq!(with("&extra=1"), Err(QueryFault::Signature));
        assert_eq!(with("&x=%ff"), Err(QueryFault::Encoding));
        assert_eq!(with(&"&".repeat(9000)), Err(QueryFault::TooLong));
        assert_eq!(check(PUBLISHED, AT), Err(QueryFault::Signature));
        let shortened = &PUBLISHED_HMAC[..32];
        assert_eq!(check(&format!("hmac={shortened}&{PUBLISHED}"), AT), Err(QueryFault::Signature));
        for timestamp in ["", "timestamp=", "timestamp=-1", "timestamp=1e9", "timestamp=99999999999999999999"]
        {
            let message = Query::parse(timestamp).unwrap().signed_message();
            let query = format!("hmac={}&{timestamp}", signed(&message));
            assert_eq!(check(&query, AT), Err(QueryFault::Time), "{timestamp}");
        }
    }

    #[test]
    fn given_a_state_then_it_counts_for_its_own_cookie_and_ten_minutes() {
        let start = Timestamp::from_seconds(AT);
        let (one, two) = (new_state(start, &[1; 32]), new_state(start, &[2; 32]));
        assert!(is_state(&one, &one, start));
        assert!(is_state(&one, &one, start + Duration::from_secs(599)));
        assert!(!is_state(&one, &one, start + STATE_LIFETIME));
        assert!(!is_state(&one, &two, start));
        assert!(!is_state("", "", start));
        assert!(!is_state(&one[..20], &one, start));
        // One that was made to last longer than any is.
        let endless = format!("{}.{}", AT * 2, "0".repeat(64));
        assert!(!is_state(&endless, &endless, start));
        let empty = format!("{}.", AT + 60);
        assert!(!is_state(&empty, &empty, start));
    }

    #[test]
    fn given_scopes_then_writing_implies_reading_and_not_the_other_way_round() {
        let granted = Scopes::parse("write_orders, read_customers,,");
        assert_eq!(granted.to_string(), "read_customers,write_orders");
        assert!(
            granted.allow("read_orders") && granted.allow("write_orders") && granted.allow("read_customers")
        );
        assert_eq!(
            granted.lacking(&Scopes::parse("read_orders,write_customers,read_returns")),
            ["read_returns", "write_customers"]
        );
    }

    proptest! {
        #[test]
        fn a_signed_query_is_accepted_and_any_other_value_is_not(
            values in prop::collection::btree_map("[a-z_]{1,8}", "\\PC{0,20}", 1..6),
            other in "\\PC{0,20}",
        ) {
            prop_assume!(!values.keys().any(|name| name == "hmac" || name == "timestamp"));
            prop_assume!(!values.values().any(|value| value.contains('\u{fffd}')) && !other.contains('\u{fffd}'));
            let raw = |values: &BTreeMap<String, String>| {
                let mut raw = form_urlencoded::Serializer::new(String::new());
                raw.extend_pairs(values).append_pair("timestamp", &AT.to_string());
                raw.finish()
            };
            let message = Query::parse(&raw(&values)).unwrap().signed_message();
            prop_assert!(!message.contains([' ', '+']));
            let hmac = signed(&message);
            prop_assert_eq!(check(&format!("{}&hmac={hmac}", raw(&values)), AT), Ok(()));
            let mut altered = values.clone();
            let (name, value) = values.iter().next().unwrap();
            prop_assume!(*value != other);
            altered.insert(name.clone(), other);
            prop_assert_eq!(check(&format!("{}&hmac={hmac}", raw(&altered)), AT), Err(QueryFault::Signature));
        }
    }
}
