//! A development issuer of operators' tokens: whoever asks gets a token of the role they ask for. Visibly no real one: its
//! key is published in this file, and it is only on loopback.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, State};
use axum::response::Json;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use storeward_core::roles::OperatorRole;
use storeward_core::time::{Clock, MINUTE};

/// Where it is served below the local stack's address.
pub const PATH: &str = "/_issuer";

/// Whom its tokens are made for.
pub const AUDIENCE: &str = "test-operators";

/// The claim it puts the role into.
pub const ROLE_CLAIM: &str = "groups";

/// What its one key is called.
const KID: &str = "test-only";

/// The key it signs with (PKCS #8): for tests only, and known to anyone who reads this.
const TEST_ONLY_KEY: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420c04b835a0069e7bc1b1be0fbe41a0a8c6f9f8ba16b1762c2f51c8702381e42c4a14403420004b14a7cf72efb08212985a2961034fc99149a457fb80c1c73fe31e429f98273d034fad4c7e37f094bbf60b71a491e4c38428a2bc1d51a7a7b7485070761220287";

/// How long its tokens count.
const LIFETIME: std::time::Duration = MINUTE.saturating_mul(15);

/// The issuer.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    issuer: String,
    key: EcdsaKeyPair,
    random: SystemRandom,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({})", self.0.issuer)
    }
}

impl Issuer {
    /// An issuer at `port` on loopback; `None` when the test key cannot be read, which a test would tell.
    #[must_use]
    pub fn new(port: u16, clock: Arc<dyn Clock>) -> Option<Self> {
        let random = SystemRandom::new();
        let key = hex::decode(TEST_ONLY_KEY).ok()?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random).ok()?;
        Some(Self(Arc::new(Inner { issuer: name(port), key, random, clock })))
    }

    /// A token of an operator in that role, who signed in with two factors.
    #[must_use]
    pub fn token(&self, role: OperatorRole) -> String {
        self.token_with(&json!({ "sub": format!("test-{}", role.name()), ROLE_CLAIM: [role.name()] }))
    }

    /// A token with other claims in the place of what it would say.
    #[must_use]
    pub fn token_with(&self, others: &Value) -> String {
        let now = self.0.clock.now();
        let mut claims = json!({
            "iss": self.0.issuer, "aud": AUDIENCE, "sub": "test-operator", "iat": now.seconds(),
            "exp": (now + LIFETIME).seconds(), "token_use": "access", "amr": ["pwd", "otp", "mfa"],
        });
        for (name, value) in others.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": KID });
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = self.0.key.sign(&self.0.random, message.as_bytes());
        let signature = signature.map(|signature| URL_SAFE_NO_PAD.encode(signature)).unwrap_or_default();
        format!("{message}.{signature}")
    }

    fn keys(&self) -> Value {
        // 4, then the two coordinates (SEC 1, 2.3.3).
        let point = self.0.key.public_key().as_ref();
        let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID,
            "x": coordinate(1), "y": coordinate(33),
        }] })
    }

    /// Its endpoints: what it is, its keys, and tokens for whoever asks.
    pub fn router(&self) -> Router {
        Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(|State(issuer): State<Self>| async move {
                    let named = &issuer.0.issuer;
                    Json(json!({
                        "issuer": named, "jwks_uri": format!("{named}/keys"),
                        "token_endpoint": format!("{named}/token"),
                        "id_token_signing_alg_values_supported": ["ES256"],
                        "response_types_supported": ["token"], "subject_types_supported": ["public"],
                    }))
                }),
            )
            .route("/keys", get(|State(issuer): State<Self>| async move { Json(issuer.keys()) }))
            .route(
                "/token",
                post(|State(issuer): State<Self>, Form(form): Form<BTreeMap<String, String>>| async move {
                    issuer.give(&form)
                }),
            )
            .with_state(self.clone())
    }

    fn give(&self, form: &BTreeMap<String, String>) -> (StatusCode, Json<Value>) {
        let Some(role) = form.get("role").and_then(|role| role.parse().ok()) else {
            let detail = "role: send one of support, security, admin";
            let answer = json!({ "error": "invalid_request", "error_description": detail });
            return (StatusCode::BAD_REQUEST, Json(answer));
        };
        let answer = json!({
            "access_token": self.token(role), "token_type": "Bearer", "expires_in": LIFETIME.as_secs(),
        });
        (StatusCode::OK, Json(answer))
    }
}

/// How the issuer at `port` names itself.
#[must_use]
pub fn name(port: u16) -> String {
    format!("http://127.0.0.1:{port}{PATH}")
}
