//! Deliveries as Shopify makes them: sample events signed under the local run's secret. Where they are sent
//! and what should come of it is the callers'.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use storeward_core::time::Timestamp;

use super::Trouble;
use super::client::{self, Answer};
use crate::shopify::API_VERSION;

/// The client secret of the local run and of the committed samples: visibly no real one.
pub const SECRET: &str = "test-shopify-secret";

/// A webhook on its way.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The function it is for, such as `orders-create`.
    pub function: String,
    /// `X-Shopify-Topic`.
    pub topic: String,
    /// `X-Shopify-Shop-Domain`.
    pub shop: String,
    /// `X-Shopify-Webhook-Id`: the same for every try of one delivery.
    pub id: String,
    /// `X-Shopify-Triggered-At`.
    pub triggered_at: Timestamp,
    /// The body as it is signed.
    pub body: String,
    /// `X-Shopify-Hmac-Sha256`.
    pub signature: String,
}

impl Webhook {
    /// A new delivery of `body`, signed.
    #[must_use]
    pub fn new(topic: &str, shop: &str, body: String, now: Timestamp) -> Self {
        Self {
            function: topic.replace('/', "-"),
            topic: topic.to_owned(),
            shop: shop.to_owned(),
            id: new_id(),
            triggered_at: now,
            signature: sign(&body),
            body,
        }
    }

    /// A committed event as a function URL gets it, with its own delivery id and its own signature.
    pub fn recorded(event: &str) -> Result<Self, Trouble> {
        let event: Value =
            serde_json::from_str(event).map_err(|error| Trouble::new("the event is not JSON", error))?;
        let header = |name: &str| {
            let value = event["headers"][format!("x-shopify-{name}")].as_str();
            value.ok_or_else(|| Trouble(format!("the event has no header x-shopify-{name}")))
        };
        let mut body = event["body"].as_str().unwrap_or_default().to_owned();
        if event["isBase64Encoded"] == true {
            let bytes = STANDARD.decode(&body).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            body = bytes.ok_or_else(|| Trouble("the event's body is not base64".to_owned()))?;
        }
        let topic = header("topic")?;
        Ok(Self {
            function: topic.replace('/', "-"),
            topic: topic.to_owned(),
            shop: header("shop-domain")?.to_owned(),
            id: header("webhook-id")?.to_owned(),
            triggered_at: Timestamp::parse_rfc3339(header("triggered-at")?).unwrap_or_default(),
            signature: header("hmac-sha256")?.to_owned(),
            body,
        })
    }

    /// The same as if it happened now: an order of it is placed now. Signed anew.
    #[must_use]
    pub fn happening_at(mut self, now: Timestamp) -> Self {
        if let Ok(mut body) = serde_json::from_str::<Value>(&self.body)
            && self.topic.starts_with("orders/")
        {
            for time in ["created_at", "updated_at", "processed_at"] {
                body[time] = json!(now.to_rfc3339());
            }
            self.body = body.to_string();
        }
        self.signature = sign(&self.body);
        self.triggered_at = now;
        self
    }

    /// The same under a new delivery id.
    #[must_use]
    pub fn delivered_anew(mut self) -> Self {
        self.id = new_id();
        self
    }

    /// Sends it to its function's URL.
    pub async fn post(&self, port: u16) -> Result<Answer, Trouble> {
        let triggered_at = self.triggered_at.to_rfc3339();
        let headers = [
            ("content-type", "application/json"),
            ("x-shopify-topic", self.topic.as_str()),
            ("x-shopify-shop-domain", self.shop.as_str()),
            ("x-shopify-api-version", API_VERSION),
            ("x-shopify-webhook-id", self.id.as_str()),
            ("x-shopify-event-id", self.id.as_str()),
            ("x-shopify-triggered-at", triggered_at.as_str()),
            ("x-shopify-hmac-sha256", self.signature.as_str()),
        ];
        client::send(port, "POST", &format!("/lambda-url/{}/", self.function), &headers, &self.body).await
    }
}

/// What Shopify puts into `X-Shopify-Hmac-Sha256`.
#[must_use]
pub fn sign(body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    STANDARD.encode(hmac::sign(&key, body.as_bytes()))
}

/// An id no delivery had before.
fn new_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness a delivery is taken for a repetition, and says so.
    let _all_zero = SystemRandom::new().fill(&mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_the_committed_samples_when_signed_again_then_the_signature_is_theirs() {
        for event in [
            include_str!("../../../../events/webhooks/orders-create/first.json"),
            include_str!("../../../../events/webhooks/orders-create/guest-base64.json"),
            include_str!("../../../../events/webhooks/shop-redact/plain.json"),
        ] {
            let webhook = Webhook::recorded(event).unwrap();
            assert_eq!(webhook.signature, sign(&webhook.body));
        }
    }

    #[test]
    fn given_an_order_when_it_happens_now_then_its_times_are_now_and_it_is_signed() {
        let event = include_str!("../../../../events/webhooks/orders-create/first.json");
        let now = Timestamp::parse_rfc3339("2030-01-02T03:04:05Z").unwrap();
        let webhook = Webhook::recorded(event).unwrap().happening_at(now).delivered_anew();
        let body: Value = serde_json::from_str(&webhook.body).unwrap();
        assert_eq!(body["created_at"], "2030-01-02T03:04:05Z");
        assert_eq!(body["id"], 9_100_000_000_000_000_001_u64);
        assert_eq!(webhook.signature, sign(&webhook.body));
        assert_eq!(webhook.function, "orders-create");
    }
}
