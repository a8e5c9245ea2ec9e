//! Operators' tokens: what an OpenID Connect issuer says about who of our own staff is asking. Issuer, audience, time,
//! second factor and role are checked here; keys and signatures are `jwt`'s.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::jwt::{IssuerKeys, SignatureFault, signed_claims};
use crate::personal::Personal;
use crate::roles::OperatorRole;
use crate::time::{HOUR, Timestamp};

/// How far the clocks of the issuer and of this machine may differ.
pub const LEEWAY: Duration = Duration::from_secs(10);

/// The longest a token may count: whatever the issuer thinks, whoever loses a role has lost it after this.
pub const LONGEST_LIFE: Duration = HOUR;

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

impl From<SignatureFault> for OperatorTokenFault {
    fn from(fault: SignatureFault) -> Self {
        match fault {
            SignatureFault::Malformed => Self::Malformed,
            SignatureFault::Algorithm => Self::Algorithm,
            SignatureFault::UnknownKey => Self::UnknownKey,
            SignatureFault::Signature => Self::Signature,
        }
    }
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

impl OperatorToken {
    /// Reads a token. Nothing of its claims is looked at before one of the issuer's keys is found to have signed it.
    pub fn verify(
        token: &str,
        expected: &Expected<'_>,
        keys: &IssuerKeys,
        now: Timestamp,
    ) -> Result<Self, OperatorTokenFault> {
        use OperatorTokenFault::{
            Audience, Expired, Issuer, Malformed, NotYetValid, Role, SecondFactor, TooLong, Use,
        };
        let claims: Claims = signed_claims(token, keys)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::hmac;
    use serde_json::json;

    use super::*;
    use crate::jwt::key_named;
    use crate::jwt::testing::{altered, changed, encode, header, keys, modulus, published, sign};
    use crate::time::MINUTE;

    const SECOND: Duration = Duration::from_secs(1);

    const NOW: Timestamp = Timestamp(1_795_348_800_000);
    const ISSUER: &str = "https://issuer.example.com/pool";
    const AUDIENCE: &str = "test-client";
    const EXPECTED: Expected<'_> =
        Expected { issuer: ISSUER, audience: AUDIENCE, role_claim: "cognito:groups", mfa_claim: false };

    fn claims() -> Value {
        let now = NOW.seconds();
        json!({
            "iss": ISSUER, "sub": "test-subject", "token_use": "access", "client_id": AUDIENCE, "iat": now,
            "exp": now + 900, "cognito:groups": ["support"], "username": "test-subject",
        })
    }

    fn with(changes: &Value) -> String {
        sign(&header("ES256", "p"), &changed(claims(), changes).to_string())
    }

    fn verify(token: &str) -> Result<OperatorToken, OperatorTokenFault> {
        OperatorToken::verify(token, &EXPECTED, &keys(), NOW)
    }

    fn fault(changes: &Value) -> Option<OperatorTokenFault> {
        verify(&with(changes)).err()
    }

    #[test]
    fn given_a_genuine_token_of_either_algorithm_when_verified_then_it_names_subject_and_role() {
        for (alg, kid) in [("RS256", "r"), ("ES256", "p")] {
            let token = sign(&header(alg, kid), &claims().to_string());
            assert_eq!(key_named(&token).as_deref(), Some(kid));
            let verified = verify(&token).unwrap();
            assert_eq!(verified.subject.expose(), "test-subject");
            assert_eq!((verified.role, verified.expires_at), (OperatorRole::Support, NOW + MINUTE * 15));
        }
    }

    #[test]
    fn given_another_header_then_the_key_decides_what_counts() {
        use OperatorTokenFault::{Algorithm, Malformed, Signature, UnknownKey};
        let verify_header = |header: &Value| verify(&sign(header, &claims().to_string())).unwrap_err();
        for alg in ["none", "None", "HS256", "rs256", "RS512", "PS256", "ES384", "EdDSA", ""] {
            assert_eq!(verify_header(&header(alg, "r")), Algorithm, "{alg}");
        }
        // A key of the other kind does not sign with this one's algorithm.
        assert_eq!(verify_header(&header("ES256", "r")), Algorithm);
        assert_eq!(verify_header(&header("RS256", "p")), Algorithm);
        for kid in ["", "R", "encrypting", "pss", "es384", "es384-by-name", "short-x", "short-y", "secret"] {
            assert_eq!(verify_header(&header("RS256", kid)), UnknownKey, "{kid}");
            assert!(!keys().has(kid), "{kid}");
        }
        assert!(keys().has("r") && keys().has("p"));
        let mut odd = header("RS256", "r");
        odd["crit"] = json!(["b64"]);
        assert_eq!(verify_header(&odd), Algorithm);
        odd = header("RS256", "r");
        odd["typ"] = json!("JOSE");
        assert_eq!(verify_header(&odd), Algorithm);
        assert_eq!(verify_header(&json!({ "alg": "RS256" })), Malformed);
        odd["typ"] = json!("at+JWT");
        assert!(verify(&sign(&odd, &claims().to_string())).is_ok());
        odd.as_object_mut().unwrap().remove("typ");
        assert!(verify(&sign(&odd, &claims().to_string())).is_ok());
        // Signed with what anyone can read: the public key as a secret.
        let message =
            format!("{}.{}", encode(header("HS256", "r").to_string()), encode(claims().to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &modulus()), message.as_bytes());
        assert_eq!(verify(&format!("{message}.{}", encode(tag))), Err(Algorithm));
        // Signed by the other key, and not signed at all.
        let foreign = sign(&header("ES256", "p"), &claims().to_string());
        let (message, signature) = foreign.rsplit_once('.').unwrap();
        let claimed =
            format!("{}.{}", encode(header("RS256", "r").to_string()), encode(claims().to_string()));
        assert_eq!(verify(&format!("{claimed}.{signature}")), Err(Signature));
        assert_eq!(verify(&format!("{message}.")), Err(Signature));
    }

    #[test]
    fn given_a_claim_that_is_wrong_then_the_token_is_refused_for_that() {
        use OperatorTokenFault::{Audience, Issuer, Malformed, Role, Use};
        for issuer in ["https://issuer.example.com/pool/", "https://issuer.example.com", "", "x"] {
            assert_eq!(fault(&json!({ "iss": issuer })), Some(Issuer), "{issuer}");
        }
        for audience in [
            json!({ "client_id": "another" }),
            json!({ "client_id": null }),
            json!({ "aud": "another" }),
            json!({ "aud": ["another"] }),
            json!({ "aud": [] }),
            json!({ "aud": 7 }),
        ] {
            assert_eq!(fault(&audience), Some(Audience), "{audience}");
        }
        assert_eq!(fault(&json!({ "aud": AUDIENCE, "client_id": null, "token_use": "id" })), None);
        assert_eq!(fault(&json!({ "aud": ["another", AUDIENCE], "token_use": null })), None);
        for word in ["refresh", "", "Access"] {
            assert_eq!(fault(&json!({ "token_use": word })), Some(Use), "{word}");
        }
        for groups in [
            json!(null),
            json!([]),
            json!(["others"]),
            json!(["Admin"]),
            json!(["support", "admin"]),
            json!("owner"),
            json!({ "admin": true }),
            json!(7),
        ] {
            assert_eq!(fault(&json!({ "cognito:groups": groups })), Some(Role), "{groups}");
        }
        for (groups, role) in [
            (json!("security"), OperatorRole::Security),
            (json!(["others", "admin", "admin"]), OperatorRole::Admin),
        ] {
            assert_eq!(verify(&with(&json!({ "cognito:groups": groups }))).unwrap().role, role);
        }
        for name in ["iss", "sub", "exp", "iat"] {
            assert_eq!(fault(&json!({ name: null })), Some(Malformed), "{name}");
        }
        assert_eq!(fault(&json!({ "sub": "" })), Some(Malformed));
        let twice = claims().to_string().replacen('{', "{\"iss\":\"https://example.com\",", 1);
        assert_eq!(verify(&sign(&header("ES256", "p"), &twice)), Err(Malformed));
        for text in ["", ".", "..", "a.b", "a.b.c", &"a".repeat(9000)] {
            assert_eq!(verify(text), Err(Malformed), "{text}");
            assert_eq!(key_named(text), None);
        }
        let long = with(&json!({ "note": "a".repeat(9000) }));
        assert_eq!((verify(&long), key_named(&long)), (Err(Malformed), None));
    }

    #[test]
    fn given_a_token_at_the_edges_of_its_time_then_ten_seconds_are_allowed_and_an_hour_is_the_most() {
        use OperatorTokenFault::{Expired, NotYetValid, TooLong};
        let (now, keys) = (NOW.seconds(), keys());
        let at = |token: &str, time: Timestamp| OperatorToken::verify(token, &EXPECTED, &keys, time).err();
        let token = with(&json!({}));
        let ends = NOW + MINUTE * 15 + LEEWAY;
        assert_eq!(at(&token, ends - Duration::from_millis(1)), None);
        assert_eq!(at(&token, ends), Some(Expired));
        assert_eq!(at(&token, NOW - LEEWAY), None);
        assert_eq!(at(&token, NOW - LEEWAY - Duration::from_millis(1)), Some(NotYetValid));
        let later = with(&json!({ "nbf": now + 60 }));
        assert_eq!(at(&later, NOW + SECOND * 49), Some(NotYetValid));
        assert_eq!(at(&later, NOW + SECOND * 50), None);
        assert_eq!(at(&with(&json!({ "nbf": now - 600 })), NOW - SECOND * 11), Some(NotYetValid));
        assert_eq!(at(&with(&json!({ "exp": now + 3600 })), NOW), None);
        assert_eq!(at(&with(&json!({ "exp": now + 3601 })), NOW), Some(TooLong));
    }

    #[test]
    fn given_who_makes_sure_of_the_second_factor_then_a_token_without_it_is_refused() {
        let by_claim = Expected { mfa_claim: true, ..EXPECTED };
        let without = OperatorTokenFault::SecondFactor;
        for (amr, by_issuer_fault, by_claim_fault) in [
            (json!(null), None, Some(without)),
            (json!(["pwd"]), Some(without), Some(without)),
            (json!([]), Some(without), Some(without)),
            (json!(["pwd", "mfa"]), None, None),
        ] {
            let token = with(&json!({ "amr": amr }));
            assert_eq!(verify(&token).err(), by_issuer_fault, "{amr}");
            assert_eq!(OperatorToken::verify(&token, &by_claim, &keys(), NOW).err(), by_claim_fault, "{amr}");
        }
    }

    #[test]
    fn what_is_no_set_of_keys_is_none_and_each_fault_says_something_else() {
        use OperatorTokenFault::{
            Algorithm, Audience, Expired, Issuer, Malformed, NotYetValid, Role, SecondFactor, Signature,
            TooLong, UnknownKey, Use,
        };

        for odd in [json!({}), json!([]), json!({ "keys": {} }), json!("x")] {
            assert_eq!(IssuerKeys::read(&odd), None, "{odd}");
        }
        let one = published()["keys"][0].clone();
        let many: Vec<Value> = (0..40)
            .map(|number| {
                let mut key = one.clone();
                key["kid"] = json!(format!("{number}"));
                key
            })
            .collect();
        let many = IssuerKeys::read(&json!({ "keys": many })).unwrap();
        assert!(many.has("31") && !many.has("32"));
        let all = [
            Malformed,
            Algorithm,
            UnknownKey,
            Signature,
            Issuer,
            Audience,
            Use,
            Expired,
            NotYetValid,
            TooLong,
            SecondFactor,
            Role,
        ];
        let said: std::collections::BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), all.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_token_with_any_character_changed_is_refused(altered in altered(with(&json!({})))) {
            prop_assert!(verify(&altered).is_err());
        }

        #[test]
        fn no_text_is_more_than_refused(text in ".{0,300}", claims in ".{0,100}") {
            prop_assert!(verify(&text).is_err());
            prop_assert!(verify(&sign(&header("ES256", "p"), &claims)).is_err());
        }
    }
}
