//! Google's signing key and what Pub/Sub pushes with it. The key is a test's: it lies in the open, and it is only on loopback.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use storeward_core::time::{HOUR, Timestamp};

use super::{PUSH_AUDIENCE, PUSH_SERVICE_ACCOUNT, SUBSCRIPTION};

/// What the key is called.
const KID: &str = "test-only-google";

/// The key (PKCS #8): for tests only, and known to anyone who reads this repository.
const TEST_ONLY_KEY: &[u8] = include_bytes!("../../../../shared/core/testdata/test-only-rsa.pk8");

/// The key that is signed with.
pub(super) struct Signer {
    key: RsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    /// `None` when the test key cannot be read, which a test would tell.
    pub(super) fn new() -> Option<Self> {
        Some(Self { key: RsaKeyPair::from_pkcs8(TEST_ONLY_KEY).ok()?, random: SystemRandom::new() })
    }

    /// The key as Google publishes its own.
    pub(super) fn published(&self) -> Value {
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(self.key.public());
        json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID,
            "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e),
        }] })
    }

    /// The token of a push that is made now, with other claims in the place of what it would say.
    pub(super) fn token(&self, now: Timestamp, others: &Value) -> String {
        let mut claims = json!({
            "iss": "https://accounts.google.com", "aud": PUSH_AUDIENCE, "azp": "100000000000000000001",
            "sub": "100000000000000000001", "email": PUSH_SERVICE_ACCOUNT, "email_verified": true,
            "iat": now.seconds(), "exp": (now + HOUR).seconds(),
        });
        for (name, value) in others.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "RS256", "kid": KID, "typ": "JWT" });
        let message = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature);
        let signature = signed.map(|()| URL_SAFE_NO_PAD.encode(signature)).unwrap_or_default();
        format!("{message}.{signature}")
    }
}

/// A message of the topic that the subscription pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whose mailbox changed.
    pub address: String,
    /// Up to which point of its history.
    pub history_id: u64,
    /// Pub/Sub's number of the message: the same each time it is pushed.
    pub message_id: String,
    /// When Gmail told of it.
    pub published_at: Timestamp,
    /// When it is pushed (again).
    pub due_at: Timestamp,
    /// How often it was pushed in vain.
    pub failures: u32,
}

impl Push {
    /// The body of the request: Pub/Sub's own fields stand in it in both spellings.
    #[must_use]
    pub fn body(&self) -> Value {
        let data = json!({ "emailAddress": self.address, "historyId": self.history_id });
        let published = self.published_at.to_rfc3339();
        json!({
            "message": {
                "attributes": {}, "data": STANDARD.encode(data.to_string()),
                "messageId": self.message_id, "message_id": self.message_id,
                "publishTime": published, "publish_time": published,
            },
            "subscription": SUBSCRIPTION,
        })
    }

    /// The request, under a token.
    #[must_use]
    pub fn request(&self, uri: &str, token: &str) -> Option<Request<Bytes>> {
        let body = Bytes::from(self.body().to_string());
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        let request = Request::builder()
            .method("POST")
            .uri(uri)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len())
            .header(header::HOST, "127.0.0.1")
            .header(
                header::USER_AGENT,
                "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
            );
        request.body(body).ok()
    }
}
