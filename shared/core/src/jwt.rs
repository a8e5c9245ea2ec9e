//! Signed tokens of issuers who publish their keys (RFC 7515, 7517, 7519): sets of keys, signatures, and how long keys are
//! used. What the claims of a token must say is whoever's it is for: `operator_token`'s, `push`'s.
//!
//! Own code instead of a JWT library, as for session tokens: the libraries read the machine's clock, and those over `ring`
//! are not kept any more (docs/decisions/0021).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::time::{HOUR, MINUTE, Timestamp};

/// The most characters of a token that are looked at.
const LONGEST: usize = 8192;

/// The most keys of an issuer that are looked at. Issuers have two or three.
const MOST_KEYS: usize = 32;

/// Why nothing of a token is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// It is not a JWT, or lacks what every token has.
    Malformed,
    /// It is signed otherwise than by RS256 or ES256, or by another algorithm than its key is for.
    Algorithm,
    /// The issuer has no such key.
    UnknownKey,
    /// The key did not sign it.
    Signature,
}

impl fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not a token with the claims that are needed",
            Self::Algorithm => "it is not signed by RS256 or ES256 with a key for it",
            Self::UnknownKey => "the issuer has no such key",
            Self::Signature => "it is not signed by the issuer",
        })
    }
}

impl std::error::Error for SignatureFault {}

/// What a key signs with. The key decides it, never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    /// RS256: modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// ES256: an uncompressed point of P-256.
    P256 { point: Vec<u8> },
}

/// The keys an issuer signs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerKeys(Vec<(String, Material)>);

/// One key as the issuer publishes it (RFC 7517).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

impl Jwk {
    fn material(&self) -> Option<Material> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
        let is_for = |alg: &str| self.alg.as_deref().is_none_or(|given| given == alg);
        match self.kty.as_str() {
            "RSA" if is_for("RS256") => Some(Material::Rsa { n: bytes(&self.n)?, e: bytes(&self.e)? }),
            "EC" if is_for("ES256") && self.crv.as_deref() == Some("P-256") => {
                let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Some(Material::P256 { point: [&[4], &x[..], &y[..]].concat() })
            }
            _ => None,
        }
    }
}

impl IssuerKeys {
    /// Reads what an issuer publishes (RFC 7517, 5). Keys for other purposes and of other kinds are left out. `None` when
    /// it is no set of keys.
    #[must_use]
    pub fn read(document: &Value) -> Option<Self> {
        let keys = document["keys"].as_array()?.iter().take(MOST_KEYS);
        let key = |key: &Value| {
            let key = Jwk::deserialize(key).ok()?;
            let material = key.material()?;
            Some((key.kid, material))
        };
        Some(Self(keys.filter_map(key).collect()))
    }

    /// Whether one of the keys is called that.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|(known, _)| known == kid)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515, 4.1.11): there are none that this code does.
    #[serde(default)]
    crit: Option<Value>,
}

/// The parts of a token, taken apart and not believed yet.
struct Parts<'a> {
    header: Header,
    message: &'a str,
    signature: Vec<u8>,
    claims: &'a str,
}

fn parts(token: &str) -> Option<Parts<'_>> {
    if token.len() > LONGEST {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some(Parts { header, message, signature: URL_SAFE_NO_PAD.decode(signature).ok()?, claims })
}

/// The name of the key that a token says it is signed with, for whoever has to fetch it first. Nothing of the token is
/// checked by that.
#[must_use]
pub fn key_named(token: &str) -> Option<String> {
    Some(parts(token)?.header.kid)
}

/// The claims of a token, once one of the issuer's keys is found to have signed it. The key decides the algorithm, never the
/// token. What the claims say is not checked.
///
/// # Errors
/// Why the signature does not count; `Malformed` too for claims that are not a `T`.
pub fn signed_claims<T: DeserializeOwned>(token: &str, keys: &IssuerKeys) -> Result<T, SignatureFault> {
    use SignatureFault::{Algorithm, Malformed, Signature, UnknownKey};
    let Parts { header, message, signature, claims } = parts(token).ok_or(Malformed)?;
    let is_token = header
        .typ
        .as_deref()
        .is_none_or(|kind| kind.eq_ignore_ascii_case("JWT") || kind.eq_ignore_ascii_case("at+jwt"));
    if !["RS256", "ES256"].contains(&header.alg.as_str()) || header.crit.is_some() || !is_token {
        return Err(Algorithm);
    }
    let (_, material) = keys.0.iter().find(|(kid, _)| *kid == header.kid).ok_or(UnknownKey)?;
    let signed = match (header.alg.as_str(), material) {
        ("RS256", Material::Rsa { n, e }) => {
            let key = RsaPublicKeyComponents { n, e };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
        }
        ("ES256", Material::P256 { point }) => {
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(message.as_bytes(), &signature)
        }
        _ => return Err(Algorithm),
    };
    signed.map_err(|_| Signature)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| Malformed)?;
    serde_json::from_slice(&claims).map_err(|_| Malformed)
}

/// How long an issuer's keys are used without asking for them again, where the issuer does not say.
pub const KEYS_FRESH: Duration = HOUR;

/// How long they are used while the issuer does not answer.
pub const KEYS_STALE: Duration = Duration::from_hours(6);

/// The shortest time between two questions for keys: what a stranger's tokens can make us ask.
pub const KEYS_PAUSE: Duration = MINUTE;

/// An issuer's keys as one instance remembers them.
#[derive(Clone, Debug, Default)]
pub struct KnownKeys {
    keys: IssuerKeys,
    fetched_at: Option<Timestamp>,
    fresh_for: Duration,
    asked_at: Option<Timestamp>,
}

impl KnownKeys {
    /// Whether the issuer should be asked now, for a token that is signed with the key `kid`.
    #[must_use]
    pub fn wants(&self, kid: &str, now: Timestamp) -> bool {
        let paused = self.asked_at.is_some_and(|asked| now < asked + KEYS_PAUSE);
        let fresh = self.fetched_at.is_some_and(|fetched| now < fetched + self.fresh_for);
        !(paused || fresh && self.keys.has(kid))
    }

    /// Notes that the issuer is being asked.
    pub const fn asked(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// Takes what the issuer answered, and for how long it said that may be kept: at least [`KEYS_PAUSE`], and at most
    /// [`KEYS_STALE`], after which a key that was withdrawn would still count.
    pub fn take(&mut self, keys: IssuerKeys, now: Timestamp, max_age: Option<Duration>) {
        self.keys = keys;
        self.fresh_for = max_age.unwrap_or(KEYS_FRESH).clamp(KEYS_PAUSE, KEYS_STALE);
        self.fetched_at = Some(now);
    }

    /// The keys, as long as they may be used.
    #[must_use]
    pub fn usable(&self, now: Timestamp) -> Option<&IssuerKeys> {
        self.fetched_at.filter(|fetched| now < *fetched + KEYS_STALE).map(|_| &self.keys)
    }
}

/// Tokens and keys for tests, signed with keys that anyone can read.
#[cfg(test)]
pub(crate) mod testing {
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    };
    use serde_json::json;

    use super::*;

    pub(crate) fn rsa() -> RsaKeyPair {
        RsaKeyPair::from_pkcs8(include_bytes!("../testdata/test-only-rsa.pk8")).unwrap()
    }

    pub(crate) fn p256() -> EcdsaKeyPair {
        let der = include_bytes!("../testdata/test-only-p256.pk8");
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new()).unwrap()
    }

    pub(crate) fn modulus() -> Vec<u8> {
        RsaPublicKeyComponents::<Vec<u8>>::from(rsa().public()).n
    }

    pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the issuer publishes: a key of each kind, and some that are nothing to us.
    pub(crate) fn published() -> Value {
        let p256 = p256();
        let (n, e) = (encode(modulus()), encode([1, 0, 1]));
        let point = p256.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
        json!({ "keys": [
            { "kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": n, "e": e },
            { "kty": "EC", "kid": "p", "crv": "P-256", "x": x, "y": y },
            { "kty": "RSA", "kid": "encrypting", "use": "enc", "n": n, "e": e },
            { "kty": "RSA", "kid": "pss", "alg": "PS256", "n": n, "e": e },
            { "kty": "EC", "kid": "es384", "crv": "P-384", "x": x, "y": y },
            { "kty": "EC", "kid": "es384-by-name", "alg": "ES384", "crv": "P-256", "x": x, "y": y },
            { "kty": "EC", "kid": "short-x", "crv": "P-256", "x": encode([1; 31]), "y": y },
            { "kty": "EC", "kid": "short-y", "crv": "P-256", "x": x, "y": encode([1; 31]) },
            { "kty": "oct", "kid": "secret", "k": "AAAA" },
            { "kty": "RSA", "n": n, "e": e },
            "nonsense",
        ] })
    }

    pub(crate) fn keys() -> IssuerKeys {
        IssuerKeys::read(&published()).unwrap()
    }

    pub(crate) fn header(alg: &str, kid: &str) -> Value {
        json!({ "alg": alg, "kid": kid, "typ": "JWT" })
    }

    /// Claims with others in their place; without those that are null.
    pub(crate) fn changed(mut claims: Value, changes: &Value) -> Value {
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    /// A token with one character changed.
    pub(crate) fn altered(token: String) -> impl Strategy<Value = String> {
        let place = (any::<prop::sample::Index>(), "[A-Za-z0-9._-]");
        place.prop_filter_map("the character that was there", move |(at, to)| {
            let at = at.index(token.len());
            let altered = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            (altered != token).then_some(altered)
        })
    }

    pub(crate) fn sign(header: &Value, claims: &str) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims));
        let random = SystemRandom::new();
        let signature = if header["kid"] == "p" {
            p256().sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
        } else {
            let key = rsa();
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
            signature
        };
        format!("{message}.{}", encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::testing::{header, keys, sign};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    #[test]
    fn given_keys_then_they_are_asked_for_again_when_old_or_unknown_and_never_twice_a_minute() {
        let mut known = KnownKeys::default();
        assert!(known.wants("r", NOW) && known.usable(NOW).is_none());
        known.asked(NOW);
        // No answer: asked again after the pause, and not before.
        assert!(!known.wants("r", NOW + KEYS_PAUSE - SECOND));
        assert!(known.wants("r", NOW + KEYS_PAUSE));
        known.take(keys(), NOW, None);
        let usable = |known: &KnownKeys, time| known.usable(time).is_some_and(|keys| keys.has("r"));
        assert!(!known.wants("r", NOW + KEYS_PAUSE) && usable(&known, NOW));
        assert!(known.wants("unknown", NOW + KEYS_PAUSE));
        assert!(!known.wants("r", NOW + KEYS_FRESH - SECOND));
        assert!(known.wants("r", NOW + KEYS_FRESH));
        known.asked(NOW + KEYS_FRESH);
        assert!(!known.wants("r", NOW + KEYS_FRESH) && usable(&known, NOW + KEYS_STALE - SECOND));
        assert!(!usable(&known, NOW + KEYS_STALE));
    }

    #[test]
    fn given_how_long_an_issuer_lets_its_keys_be_kept_then_that_counts_within_our_bounds() {
        let asked_again = |told: Option<Duration>| {
            let mut known = KnownKeys::default();
            known.take(keys(), NOW, told);
            (0..500).map(|minutes| MINUTE * minutes).find(|after| known.wants("r", NOW + *after)).unwrap()
        };
        assert_eq!(asked_again(None), KEYS_FRESH);
        assert_eq!(asked_again(Some(HOUR * 3)), HOUR * 3);
        assert_eq!(asked_again(Some(Duration::ZERO)), KEYS_PAUSE);
        assert_eq!(asked_again(Some(Duration::MAX)), KEYS_STALE);
    }

    #[test]
    fn given_a_genuine_token_when_its_claims_are_not_what_is_read_then_it_is_malformed() {
        #[derive(Debug, Deserialize)]
        struct Wanted {
            number: u64,
        }
        let read = |claims: &str| signed_claims::<Wanted>(&sign(&header("RS256", "r"), claims), &keys());
        assert_eq!(read(&json!({ "number": 7 }).to_string()).map(|wanted| wanted.number), Ok(7));
        for claims in ["{}", "[]", "", r#"{"number":"7"}"#, r#"{"number":7,"number":8}"#] {
            assert_eq!(read(claims).map(|wanted| wanted.number), Err(SignatureFault::Malformed), "{claims}");
        }
        let unknown = signed_claims::<Wanted>(&sign(&header("RS256", "r"), "{}"), &IssuerKeys::default());
        assert_eq!(unknown.unwrap_err(), SignatureFault::UnknownKey);
    }

    #[test]
    fn each_fault_says_something_else() {
        use SignatureFault::{Algorithm, Malformed, Signature, UnknownKey};
        let said = [Malformed, Algorithm, UnknownKey, Signature].map(|fault| fault.to_string());
        assert_eq!(BTreeSet::from(said).len(), 4);
    }
}
