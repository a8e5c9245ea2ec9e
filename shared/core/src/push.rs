//! What Pub/Sub pushes when a watched mailbox changes: the envelope, Gmail's notice in it, and the token by which the push
//! is known to be Google's. Google's keys come from the clients; what happens with a notice is the function's.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::gmail::HistoryId;
use crate::jwt::{IssuerKeys, SignatureFault, signed_claims};
use crate::personal::Personal;
use crate::time::{MINUTE, Timestamp};

/// How far Google's clocks and this machine's may differ.
pub const LEEWAY: Duration = MINUTE;

/// The most bytes of a push that are read. Gmail's notices have under a kilobyte.
pub const LARGEST: usize = 64 * 1024;

/// The longest e-mail address (RFC 5321, 4.5.3.1, with the brackets left out).
const LONGEST_ADDRESS: usize = 254;

/// How Google names itself in tokens.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Base64 of the one alphabet, with or without padding. The other is translated to it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// That a mailbox changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxNotice {
    /// Whose mailbox.
    pub address: Personal<String>,
    /// Up to where its history goes now. Notices come late, twice and in any order.
    pub history_id: HistoryId,
    /// Pub/Sub's number of the message, the same each time it is pushed. Empty where it is not told.
    pub message_id: String,
    /// The how-manieth time it is pushed, where the subscription counts that.
    pub attempt: Option<u64>,
}

/// Why a push is no notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFault {
    /// It is larger than any notice.
    TooLarge,
    /// It is not what Pub/Sub pushes.
    Envelope,
    /// What is in it is not base64.
    Encoding,
    /// What is in it is not Gmail's notice.
    Notice,
}

impl fmt::Display for PushFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "it is larger than any notice of Gmail",
            Self::Envelope => "it is not a push of Pub/Sub",
            Self::Encoding => "message.data is not base64",
            Self::Notice => "message.data is not a notice of Gmail",
        })
    }
}

impl std::error::Error for PushFault {}

#[derive(Deserialize)]
struct Envelope {
    message: Message,
    #[serde(default, rename = "deliveryAttempt")]
    delivery_attempt: Option<u64>,
}

/// Pub/Sub writes its own fields in both spellings: each is taken where it stands.
#[derive(Deserialize)]
struct Message {
    data: String,
    #[serde(default, rename = "messageId")]
    camel_id: Option<String>,
    #[serde(default, rename = "message_id")]
    snake_id: Option<String>,
}

#[derive(Deserialize)]
struct Notice {
    #[serde(rename = "emailAddress")]
    address: Personal<String>,
    #[serde(rename = "historyId")]
    history_id: Value,
}

impl MailboxNotice {
    /// Reads the body of a push.
    ///
    /// # Errors
    /// Why it is no notice.
    pub fn read(body: &[u8]) -> Result<Self, PushFault> {
        if body.len() > LARGEST {
            return Err(PushFault::TooLarge);
        }
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| PushFault::Envelope)?;
        let data: String = envelope
            .message
            .data
            .chars()
            .map(|letter| match letter {
                '-' => '+',
                '_' => '/',
                other => other,
            })
            .collect();
        let data = BASE64.decode(data).map_err(|_| PushFault::Encoding)?;
        let notice: Notice = serde_json::from_slice(&data).map_err(|_| PushFault::Notice)?;
        let history_id = match &notice.history_id {
            Value::String(digits) => digits.parse().ok(),
            number => number.as_u64(),
        };
        let is_address = |text: &str| text.len() <= LONGEST_ADDRESS && text.contains('@');
        if !is_address(notice.address.expose()) {
            return Err(PushFault::Notice);
        }
        Ok(Self {
            address: notice.address,
            history_id: HistoryId(history_id.ok_or(PushFault::Notice)?),
            message_id: envelope.message.camel_id.or(envelope.message.snake_id).unwrap_or_default(),
            attempt: envelope.delivery_attempt,
        })
    }
}

/// Whose pushes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedPush<'a> {
    /// The audience that the subscription is configured with.
    pub audience: &'a str,
    /// The service account that the subscription pushes as.
    pub service_account: &'a str,
}

/// The token of a push that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushToken {
    /// Until when it counts, the leeway not included.
    pub expires_at: Timestamp,
}

/// Why a push is not believed to be our subscription's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushTokenFault {
    /// It is not signed by Google, or is no such token at all.
    Signature(SignatureFault),
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Somebody else issued it.
    Issuer,
    /// It was made for somebody else.
    Audience,
    /// Another account pushes.
    ServiceAccount,
    /// Google does not vouch for the account's address.
    Unverified,
}

impl PushTokenFault {
    /// Whether the token is genuine and made for another purpose: it is refused for good (403), where others may come again
    /// with a token that counts (401).
    #[must_use]
    pub const fn is_of_another(self) -> bool {
        matches!(self, Self::Issuer | Self::Audience | Self::ServiceAccount | Self::Unverified)
    }
}

impl fmt::Display for PushTokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(fault) => fault.fmt(f),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYetValid => f.write_str("it is not valid yet"),
            Self::Issuer => f.write_str("Google did not issue it"),
            Self::Audience => f.write_str("its audience is not the one that is configured"),
            Self::ServiceAccount => {
                f.write_str("another service account pushes than the one that is configured")
            }
            Self::Unverified => f.write_str("Google does not vouch for the service account's address"),
        }
    }
}

impl std::error::Error for PushTokenFault {}

impl From<SignatureFault> for PushTokenFault {
    fn from(fault: SignatureFault) -> Self {
        Self::Signature(fault)
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
    iat: i64,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
}

impl PushToken {
    /// Reads the token of a push. Nothing of its claims is looked at before one of Google's keys is found to have signed it.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn verify(
        token: &str,
        expected: &ExpectedPush<'_>,
        keys: &IssuerKeys,
        now: Timestamp,
    ) -> Result<Self, PushTokenFault> {
        use PushTokenFault::{Audience, Expired, Issuer, NotYetValid, ServiceAccount, Unverified};
        let claims: Claims = signed_claims(token, keys)?;
        if !ISSUERS.contains(&claims.iss.as_str()) {
            return Err(Issuer);
        }
        if claims.aud != expected.audience {
            return Err(Audience);
        }
        if claims.email != expected.service_account {
            return Err(ServiceAccount);
        }
        if !claims.email_verified {
            return Err(Unverified);
        }
        let expires_at = Timestamp::from_seconds(claims.exp);
        if now >= expires_at + LEEWAY {
            return Err(Expired);
        }
        if now + LEEWAY < Timestamp::from_seconds(claims.iat) {
            return Err(NotYetValid);
        }
        Ok(Self { expires_at })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use ring::hmac;
    use serde_json::json;

    use super::*;
    use crate::jwt::testing::{altered, changed, encode, header, keys, modulus, sign};

    const NOW: Timestamp = Timestamp(1_795_348_800_000);
    const AUDIENCE: &str = "https://gmail-push.example.com/";
    const ACCOUNT: &str = "pusher@test-project.iam.gserviceaccount.com";
    const EXPECTED: ExpectedPush<'_> = ExpectedPush { audience: AUDIENCE, service_account: ACCOUNT };

    fn claims() -> Value {
        let now = NOW.seconds();
        json!({
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "azp": "1", "sub": "1", "email": ACCOUNT,
            "email_verified": true, "iat": now, "exp": now + 3600,
        })
    }

    fn with(changes: &Value) -> String {
        sign(&header("RS256", "r"), &changed(claims(), changes).to_string())
    }

    fn verify(token: &str) -> Result<PushToken, PushTokenFault> {
        PushToken::verify(token, &EXPECTED, &keys(), NOW)
    }

    fn fault(changes: &Value) -> Option<PushTokenFault> {
        verify(&with(changes)).err()
    }

    fn push(data: &str) -> Value {
        json!({
            "message": {
                "data": data, "messageId": "7", "message_id": "7", "attributes": {},
                "publishTime": "2026-11-22T12:00:00Z", "publish_time": "2026-11-22T12:00:00Z",
            },
            "subscription": "projects/test-project/subscriptions/mail",
        })
    }

    fn read(push: &Value) -> Result<MailboxNotice, PushFault> {
        MailboxNotice::read(push.to_string().as_bytes())
    }

    #[test]
    fn given_a_genuine_token_then_it_counts_under_either_name_of_google() {
        let expires_at = Timestamp::from_seconds(NOW.seconds() + 3600);
        assert_eq!(verify(&with(&json!({}))), Ok(PushToken { expires_at }));
        assert_eq!(fault(&json!({ "iss": "accounts.google.com" })), None);
    }

    #[test]
    fn given_a_claim_that_is_wrong_then_the_push_is_refused_for_that() {
        use PushTokenFault::{Audience, Issuer, ServiceAccount, Signature, Unverified};
        for issuer in ["https://accounts.google.com/", "accounts.google.com.example.com", ""] {
            assert_eq!(fault(&json!({ "iss": issuer })), Some(Issuer), "{issuer}");
        }
        for audience in ["https://gmail-push.example.com", "https://GMAIL-PUSH.example.com/", "", "*"] {
            assert_eq!(fault(&json!({ "aud": audience })), Some(Audience), "{audience}");
        }
        for account in [json!("other@test-project.iam.gserviceaccount.com"), json!(""), json!(null)] {
            assert_eq!(fault(&json!({ "email": account })), Some(ServiceAccount), "{account}");
        }
        for verified in [json!(false), json!(null)] {
            assert_eq!(fault(&json!({ "email_verified": verified })), Some(Unverified), "{verified}");
        }
        let malformed = Some(Signature(SignatureFault::Malformed));
        for odd in
            [json!({ "email_verified": "true" }), json!({ "aud": [AUDIENCE] }), json!({ "exp": "later" })]
        {
            assert_eq!(fault(&odd), malformed, "{odd}");
        }
        for name in ["iss", "aud", "exp", "iat"] {
            assert_eq!(fault(&json!({ name: null })), malformed, "{name}");
        }
    }

    #[test]
    fn given_a_token_at_the_edges_of_its_time_then_a_minute_is_allowed() {
        let keys = keys();
        let at = |time: Timestamp| PushToken::verify(&with(&json!({})), &EXPECTED, &keys, time).err();
        let ends = Timestamp::from_seconds(NOW.seconds() + 3600) + LEEWAY;
        assert_eq!(at(Timestamp(ends.0 - 1)), None);
        assert_eq!(at(ends), Some(PushTokenFault::Expired));
        assert_eq!(at(NOW - LEEWAY), None);
        assert_eq!(at(Timestamp((NOW - LEEWAY).0 - 1)), Some(PushTokenFault::NotYetValid));
    }

    #[test]
    fn given_a_forged_signature_then_the_push_is_refused_whatever_its_header_says() {
        use SignatureFault::{Algorithm, Malformed, Signature, UnknownKey};
        let signed = |alg, kid| verify(&sign(&header(alg, kid), &claims().to_string()));
        for alg in ["none", "HS256", "RS512", "PS256"] {
            assert_eq!(signed(alg, "r"), Err(Algorithm.into()), "{alg}");
        }
        assert_eq!(signed("RS256", "unknown"), Err(UnknownKey.into()));
        // The public key as a secret that everybody knows.
        let message =
            format!("{}.{}", encode(header("HS256", "r").to_string()), encode(claims().to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &modulus()), message.as_bytes());
        assert_eq!(verify(&format!("{message}.{}", encode(tag))), Err(Algorithm.into()));
        // Claims of one token under the signature of another, and no signature at all.
        let (foreign, own) = (with(&json!({ "sub": "2" })), with(&json!({})));
        let (message, _) = own.rsplit_once('.').unwrap();
        let (_, signature) = foreign.rsplit_once('.').unwrap();
        assert_eq!(verify(&format!("{message}.{signature}")), Err(Signature.into()));
        assert_eq!(verify(&format!("{message}.")), Err(Signature.into()));
        assert_eq!(verify(""), Err(Malformed.into()));
    }

    #[test]
    fn each_fault_says_something_else_and_only_a_genuine_token_of_another_is_refused_for_good() {
        use PushFault::{Encoding, Envelope, Notice, TooLarge};
        use PushTokenFault::{Audience, Expired, Issuer, NotYetValid, ServiceAccount, Signature, Unverified};
        let all = [
            Signature(SignatureFault::Signature),
            Expired,
            NotYetValid,
            Issuer,
            Audience,
            ServiceAccount,
            Unverified,
        ];
        assert_eq!(all.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.map(PushTokenFault::is_of_another), [false, false, false, true, true, true, true]);
        let said = [TooLarge, Envelope, Encoding, Notice].map(|fault| fault.to_string());
        assert_eq!(BTreeSet::from(said).len(), 4);
    }

    #[test]
    fn given_a_notice_in_any_base64_and_spelling_then_it_reads_the_same() {
        // With bytes that the two alphabets write differently.
        let data = r#"{"emailAddress":"support+~~??>@example.com","historyId":"90071992547409931"}"#;
        let expected = MailboxNotice {
            address: "support+~~??>@example.com".to_owned().into(),
            history_id: HistoryId(90_071_992_547_409_931),
            message_id: "7".to_owned(),
            attempt: None,
        };
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            assert_eq!(read(&push(&engine.encode(data))).as_ref(), Ok(&expected));
        }
        let mut one_spelling = push(&STANDARD.encode(data));
        one_spelling["message"].as_object_mut().unwrap().remove("messageId");
        assert_eq!(read(&one_spelling).as_ref(), Ok(&expected));
        one_spelling["message"].as_object_mut().unwrap().remove("message_id");
        one_spelling["deliveryAttempt"] = json!(5);
        let counted = MailboxNotice { message_id: String::new(), attempt: Some(5), ..expected };
        assert_eq!(read(&one_spelling), Ok(counted));
        let number = STANDARD.encode(r#"{"emailAddress":"support@example.com","historyId":12}"#);
        assert_eq!(read(&push(&number)).unwrap().history_id, HistoryId(12));
    }

    #[test]
    fn given_what_is_no_notice_then_it_says_what_is_wrong_with_it() {
        let with = |data: &str| read(&push(&STANDARD.encode(data)));
        for odd in [
            "",
            "[]",
            r#"{"emailAddress":"support@example.com"}"#,
            r#"{"historyId":"1"}"#,
            r#"{"emailAddress":"support","historyId":"1"}"#,
            r#"{"emailAddress":"support@example.com","historyId":"-1"}"#,
            r#"{"emailAddress":"support@example.com","historyId":-1}"#,
            r#"{"emailAddress":"support@example.com","historyId":1.5}"#,
            r#"{"emailAddress":"support@example.com","historyId":"18446744073709551616"}"#,
            r#"{"emailAddress":"support@example.com","historyId":null}"#,
            &format!(r#"{{"emailAddress":"{}@example.com","historyId":"1"}}"#, "a".repeat(250)),
        ] {
            assert_eq!(with(odd), Err(PushFault::Notice), "{odd}");
        }
        assert_eq!(read(&push("%%")), Err(PushFault::Encoding));
        for odd in [json!({}), json!([]), json!({ "message": {} }), json!({ "message": { "data": 7 } })] {
            assert_eq!(read(&odd), Err(PushFault::Envelope), "{odd}");
        }
        assert_eq!(MailboxNotice::read(&vec![b' '; LARGEST + 1]), Err(PushFault::TooLarge));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_token_with_any_character_changed_is_refused(altered in altered(with(&json!({})))) {
            prop_assert!(verify(&altered).is_err());
        }

        #[test]
        fn a_notice_reads_as_it_was_written(history in any::<u64>(), local in "[a-z0-9._+-]{1,40}") {
            let address = format!("{local}@example.com");
            let data = json!({ "emailAddress": address, "historyId": history.to_string() }).to_string();
            let notice = read(&push(&URL_SAFE_NO_PAD.encode(data))).unwrap();
            prop_assert_eq!((notice.address.expose(), notice.history_id.0), (&address, history));
        }

        #[test]
        fn no_body_is_more_than_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,100}") {
            prop_assert!(MailboxNotice::read(&bytes).is_err());
            prop_assert!(read(&push(&text)).is_err());
            prop_assert!(verify(&text).is_err());
        }
    }
}
