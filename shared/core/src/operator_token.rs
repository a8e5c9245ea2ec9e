//! Operators' tokens: what an OpenID Connect issuer says about who of our own staff is asking. Signature, issuer,
//! audience, time, second factor and role are checked here; where the issuer's keys come from is the host's.
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
use serde_json::Value;

use crate::personal::Personal;
use crate::roles::OperatorRole;
use crate::time::{HOUR, Timestamp};

/// How far the clocks of the issuer and of this machine may differ.
pub const LEEWAY: Duration = Duration::from_secs(10);

/// The longest a token may count: whatever the issuer thinks, whoever loses a role has lost it after this.
pub const LONGEST_LIFE: Duration = HOUR;

/// The most characters of a token that are looked at.
const LONGEST: usize = 8192;

/// The most keys of an issuer that are looked at. Issuers have two or three.
const MOST_KEYS: usize = 32;

/// Whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The issuer, exactly as it names itself.
    pub issuer: &'a str,
    /// Our client or API at the issuer.
    pub audience: &'a str,
    /// The claim that holds the role: a word, or a list of groups.
    pub role_claim: &'a str,
    /// Whether the token itself must say that there was a second factor; else the issuer lets nobody in without one.
    pub mfa_claim: bool,
}

/// An operator's token that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorToken {
    /// Who, as the issuer numbers its accounts.
    pub subject: Personal<String>,
    /// What the operator is.
    pub role: OperatorRole,
    /// Until when it counts, the leeway not included.
    pub expires_at: Timestamp,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorTokenFault {
    /// It is not a JWT, or lacks what every token has.
    Malformed,
    /// It is signed otherwise than by RS256 or ES256, or by another algorithm than its key is for.
    Algorithm,
    /// The issuer has no such key.
    UnknownKey,
    /// The key did not sign it.
    Signature,
    /// Somebody else issued it.
    Issuer,
    /// It was made for somebody else.
    Audience,
    /// It is neither an access token nor an ID token.
    Use,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It counts for longer than any token should.
    TooLong,
    /// It does not say that there was a second factor.
    SecondFactor,
    /// It names no role, or more than one.
    Role,
}

impl fmt::Display for OperatorTokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not a token of an operator",
            Self::Algorithm => "it is not signed by RS256 or ES256 with a key for it",
            Self::UnknownKey => "the issuer has no such key",
            Self::Signature => "it is not signed by the issuer",
            Self::Issuer => "another issuer made it",
            Self::Audience => "it was made for another application",
            Self::Use => "it is neither an access token nor an ID token",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::TooLong => "it counts for more than an hour",
            Self::SecondFactor => "it does not say that there was a second factor",
            Self::Role => "it does not name exactly one of the groups support, security and admin",
        })
    }
}

impl std::error::Error for OperatorTokenFault {}

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

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: Personal<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    aud: Option<Value>,
    /// Where Cognito's access tokens name whom they are for.
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    token_use: Option<String>,
    /// How the operator signed in (RFC 8176).
    #[serde(default)]
    amr: Option<Vec<String>>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl Claims {
    fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            Some(_) => false,
            None => self.client_id.as_deref() == Some(audience),
        }
    }

    fn role(&self, claim: &str) -> Option<OperatorRole> {
        let mut roles: Vec<OperatorRole> = match self.others.get(claim)? {
            Value::String(word) => word.parse().into_iter().collect(),
            Value::Array(groups) => {
                groups.iter().filter_map(Value::as_str).filter_map(|group| group.parse().ok()).collect()
            }
            _ => Vec::new(),
        };
        roles.dedup();
        match roles[..] {
            [role] => Some(role),
            _ => None,
        }
    }
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

impl OperatorToken {
    /// Reads a token. Nothing of its claims is looked at before one of the issuer's keys is found to have signed it.
    pub fn verify(
        token: &str,
        expected: &Expected<'_>,
        keys: &IssuerKeys,
        now: Timestamp,
    ) -> Result<Self, OperatorTokenFault> {
        use OperatorTokenFault::{
            Algorithm, Audience, Expired, Issuer, Malformed, NotYetValid, Role, SecondFactor, Signature,
            TooLong, UnknownKey, Use,
        };
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
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Malformed)?;
        if claims.iss != expected.issuer {
            return Err(Issuer);
        }
        if !claims.is_for(expected.audience) {
            return Err(Audience);
        }
        if claims.token_use.as_deref().is_some_and(|word| word != "access" && word != "id") {
            return Err(Use);
        }
        let (issued, expires_at) = (Timestamp::from_seconds(claims.iat), Timestamp::from_seconds(claims.exp));
        if now >= expires_at + LEEWAY {
            return Err(Expired);
        }
        let begins = claims.nbf.map_or(issued, |nbf| issued.max(Timestamp::from_seconds(nbf)));
        if now + LEEWAY < begins {
            return Err(NotYetValid);
        }
        if expires_at > issued + LONGEST_LIFE {
            return Err(TooLong);
        }
        // An issuer that tells how somebody signed in is believed when it says that there was one factor.
        let second_factor =
            claims.amr.as_ref().map_or(!expected.mfa_claim, |amr| amr.iter().any(|way| way == "mfa"));
        if !second_factor {
            return Err(SecondFactor);
        }
        let role = claims.role(expected.role_claim).ok_or(Role)?;
        if claims.sub.expose().is_empty() {
            return Err(Malformed);
        }
        Ok(Self { subject: claims.sub, role, expires_at })
    }
}

/// How long an issuer's keys are used without asking for them again.
pub const KEYS_FRESH: Duration = HOUR;

/// How long they are used while the issuer does not answer.
pub const KEYS_STALE: Duration = Duration::from_hours(6);

/// The shortest time between two questions for keys: what a stranger's tokens can make us ask.
pub const KEYS_PAUSE: Duration = Duration::from_mins(1);

/// An issuer's keys as one instance remembers them.
#[derive(Clone, Debug, Default)]
pub struct KnownKeys {
    keys: IssuerKeys,
    fetched_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

impl KnownKeys {
    /// Whether the issuer should be asked now, for a token that is signed with the key `kid`.
    #[must_use]
    pub fn wants(&self, kid: &str, now: Timestamp) -> bool {
        let paused = self.asked_at.is_some_and(|asked| now < asked + KEYS_PAUSE);
        let fresh = self.fetched_at.is_some_and(|fetched| now < fetched + KEYS_FRESH);
        !paused && !(fresh && self.keys.has(kid))
    }

    /// Notes that the issuer is being asked.
    pub const fn asked(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// Takes what the issuer answered.
    pub fn take(&mut self, keys: IssuerKeys, now: Timestamp) {
        self.keys = keys;
        self.fetched_at = Some(now);
    }

    /// The keys, as long as they may be used.
    #[must_use]
    pub fn usable(&self, now: Timestamp) -> Option<&IssuerKeys> {
        self.fetched_at.filter(|fetched| now < *fetched + KEYS_STALE).map(|_| &self.keys)
    }
}
