//! Session tokens: the JWT by which the admin says which shop, and who of its staff, is asking. What is signed and how
//! long it counts is checked here; the secrets that sign are the host's, which gives the check of a signature.
//!
//! Own code instead of a JWT library: there is one algorithm and no choice to get wrong, and the time must be our
//! clock's, which the libraries do not take.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::personal::Personal;
use crate::shop::ShopDomain;
use crate::time::Timestamp;

/// How far the clocks of Shopify and of this machine may differ (the official library's tolerance).
pub const LEEWAY: Duration = Duration::from_secs(10);

/// The most characters of a token that are looked at. Shopify's have under 1,000.
const LONGEST: usize = 4096;

/// A session token that was checked: who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionToken {
    /// The shop whose admin it comes from.
    pub shop: ShopDomain,
    /// Shopify's number of the member of staff, where the token names one.
    pub user: Option<Personal<String>>,
    /// Shopify's id of the session in the admin.
    pub session: Option<Personal<String>>,
    /// Until when it counts, the leeway not included.
    pub expires_at: Timestamp,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTokenFault {
    /// It is not a JWT, or lacks what every session token has.
    Malformed,
    /// It says that it is signed otherwise than by HS256, or asks for something this code does not know.
    Algorithm,
    /// None of the app's secrets signed it.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It was made for another app.
    Audience,
    /// It names no shop, or two.
    Shop,
}

impl fmt::Display for SessionTokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not a session token",
            Self::Algorithm => "it is not signed by HS256",
            Self::Signature => "it is not signed with the app's client secret",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::Audience => "it was made for another app",
            Self::Shop => "its issuer and destination are not one shop",
        })
    }
}

impl std::error::Error for SessionTokenFault {}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11): there are none that this code does.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    dest: String,
    aud: String,
    exp: i64,
    nbf: i64,
    #[serde(default)]
    sub: Option<Personal<String>>,
    #[serde(default)]
    sid: Option<Personal<String>>,
}

impl SessionToken {
    /// Reads a token that the admin made for the app `client_id`. `signed` says whether a signature (32 bytes) is the
    /// HMAC-SHA256 of a message under any of the app's secrets, in constant time; nothing of the claims is looked at
    /// before it agreed.
    pub fn verify(
        token: &str,
        client_id: &str,
        now: Timestamp,
        signed: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<Self, SessionTokenFault> {
        use SessionTokenFault::{Algorithm, Audience, Expired, Malformed, NotYetValid, Shop, Signature};
        if token.len() > LONGEST {
            return Err(Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Malformed)?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed);
        let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| Malformed)?;
        let is_jwt = header.typ.is_none_or(|kind| kind.eq_ignore_ascii_case("JWT"));
        if header.alg != "HS256" || header.crit.is_some() || !is_jwt {
            return Err(Algorithm);
        }
        if !signed(message.as_bytes(), &bytes(signature)?) {
            return Err(Signature);
        }
        let claims: Claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| Malformed)?;
        let expires_at = Timestamp::from_seconds(claims.exp);
        if now >= expires_at + LEEWAY {
            return Err(Expired);
        }
        if now + LEEWAY < Timestamp::from_seconds(claims.nbf) {
            return Err(NotYetValid);
        }
        if claims.aud != client_id {
            return Err(Audience);
        }
        let shop = shop_of(&claims.dest).ok_or(Shop)?;
        if shop_of(&claims.iss).as_ref() != Some(&shop) {
            return Err(Shop);
        }
        Ok(Self { shop, user: claims.sub, session: claims.sid, expires_at })
    }
}

/// The shop of `https://{shop}` or `https://{shop}/admin`.
fn shop_of(address: &str) -> Option<ShopDomain> {
    let rest = address.strip_prefix("https://")?;
    rest.split_once('/').map_or(rest, |(host, _)| host).parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::hmac;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_795_348_800;
    const CLIENT: &str = "test-client-id";

    fn sign(header: &Value, claims: &Value, secret: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn header() -> Value {
        json!({ "alg": "HS256", "typ": "JWT" })
    }

    fn claims() -> Value {
        json!({
            "iss": "https://demo.myshopify.com/admin", "dest": "https://demo.myshopify.com", "aud": CLIENT,
            "sub": "42", "exp": NOW + 60, "nbf": NOW, "iat": NOW, "jti": "j", "sid": "s",
        })
    }

    fn with(name: &str, value: &Value) -> Value {
        let mut claims = claims();
        claims[name] = value.clone();
        claims
    }

    fn verify_at(token: &str, millis: i64) -> Result<SessionToken, SessionTokenFault> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"test-secret");
        SessionToken::verify(token, CLIENT, Timestamp(millis), |message, tag| {
            hmac::verify(&key, message, tag).is_ok()
        })
    }

    fn verify(token: &str) -> Result<SessionToken, SessionTokenFault> {
        verify_at(token, NOW * 1000)
    }

    #[test]
    fn given_a_genuine_token_when_verified_then_it_names_shop_and_user() {
        let token = verify(&sign(&header(), &claims(), "test-secret")).unwrap();
        assert_eq!(token.shop.as_str(), "demo.myshopify.com");
        assert_eq!(token.user.map(Personal::into_inner).as_deref(), Some("42"));
        assert_eq!(token.session.map(Personal::into_inner).as_deref(), Some("s"));
    }

    #[test]
    fn given_a_token_at_the_edges_of_its_time_then_ten_seconds_of_difference_are_allowed() {
        let token = sign(&header(), &claims(), "test-secret");
        let at = |seconds: i64, millis: i64| verify_at(&token, (NOW + seconds) * 1000 + millis).err();
        assert_eq!(at(-10, 0), None);
        assert_eq!(at(-10, -1), Some(SessionTokenFault::NotYetValid));
        assert_eq!(at(69, 999), None);
        assert_eq!(at(70, 0), Some(SessionTokenFault::Expired));
    }

    #[test]
    fn given_a_token_with_one_thing_wrong_then_it_is_refused_for_that() {
        use SessionTokenFault::{Algorithm, Audience, Malformed, Shop, Signature};
        let other = |header: Value| verify(&sign(&header, &claims(), "test-secret")).unwrap_err();
        for alg in ["none", "None", "hs256", "HS512", "RS256", ""] {
            assert_eq!(other(json!({ "alg": alg, "typ": "JWT" })), Algorithm, "{alg}");
        }
        assert_eq!(other(json!({ "alg": "HS256", "crit": ["b64"], "b64": false })), Algorithm);
        assert_eq!(other(json!({ "alg": "HS256", "typ": "JOSE" })), Algorithm);
        assert_eq!(other(json!({ "typ": "JWT" })), Malformed);
        assert_eq!(verify(&sign(&header(), &claims(), "test-other")).unwrap_err(), Signature);
        let claim = |name, value: Value| verify(&sign(&header(), &with(name, &value), "test-secret")).err();
        assert_eq!(claim("aud", json!("another-app")), Some(Audience));
        assert_eq!(claim("aud", json!([CLIENT])), Some(Malformed));
        for (name, value) in [
            ("dest", "https://other.myshopify.com"),
            ("iss", "https://other.myshopify.com/admin"),
            ("dest", "http://demo.myshopify.com"),
            ("dest", "https://demo.example.com"),
            ("dest", "https://demo.myshopify.com@example.com"),
            ("dest", "https://demo.myshopify.com.example.com"),
            ("dest", ""),
        ] {
            assert_eq!(claim(name, json!(value)), Some(Shop), "{name} {value}");
        }
        let both = json!({ "iss": "https://example.com/admin", "dest": "https://example.com", "aud": CLIENT, "exp": NOW + 60, "nbf": NOW });
        assert_eq!(verify(&sign(&header(), &both, "test-secret")).unwrap_err(), Shop);
        for name in ["iss", "dest", "aud", "exp", "nbf"] {
            assert_eq!(claim(name, Value::Null), Some(Malformed), "{name}");
        }
        for text in ["", ".", "..", "a.b", "a.b.c.d", &"a".repeat(5000)] {
            assert_eq!(verify(text).unwrap_err(), Malformed, "{text}");
        }
        let unsigned = sign(&json!({ "alg": "none" }), &claims(), "test-secret");
        let unsigned = unsigned.rsplit_once('.').unwrap().0;
        assert_eq!(verify(&format!("{unsigned}.")).unwrap_err(), Algorithm);
    }

    #[test]
    fn given_a_claim_twice_then_the_token_is_refused() {
        let text = claims().to_string().replacen('{', "{\"aud\":\"another-app\",", 1);
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header().to_string()), URL_SAFE_NO_PAD.encode(text));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"test-secret"), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(verify(&token).unwrap_err(), SessionTokenFault::Malformed);
    }

    proptest! {
        #[test]
        fn a_token_with_any_character_changed_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._-]") {
            let token = sign(&header(), &claims(), "test-secret");
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != to);
            let altered = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assert!(verify(&altered).is_err());
        }

        #[test]
        fn no_text_is_more_than_refused(text in ".{0,300}") {
            prop_assert!(verify(&text).is_err());
        }
    }
}
