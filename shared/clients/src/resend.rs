//! Platform mail through Resend: alerts, invites, notices. Never mail to a shop's customers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storeward_core::personal::Personal;

use crate::error::ClientError;
use crate::http;

/// A mail.
#[derive(Clone, Debug, Serialize)]
pub struct Email {
    /// The sender, of a domain that is verified with Resend.
    pub from: String,
    /// The merchant's address.
    pub to: Vec<Personal<String>>,
    /// The subject; no personal data of customers.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

#[derive(Deserialize)]
struct Sent {
    id: String,
}

/// The client.
#[derive(Debug)]
pub struct Resend {
    http: reqwest::Client,
    endpoint: String,
    key: Personal<String>,
}

impl Resend {
    /// A client with an API key; the endpoint is `https://api.resend.com` but in tests.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(endpoint: &str, key: String) -> Result<Self, ClientError> {
        Ok(Self { http: http::client()?, endpoint: endpoint.to_owned(), key: Personal::new(key) })
    }

    /// Sends a mail once: Resend remembers `idempotency_key` (1 to 256 characters) for 24 hours and answers a
    /// repetition with the same id.
    ///
    /// # Errors
    /// `Throttled` with how long to wait, `Rejected` for what it does not take, else as it answers.
    pub async fn send(&self, email: &Email, idempotency_key: &str) -> Result<String, ClientError> {
        if idempotency_key.is_empty() || idempotency_key.len() > 256 {
            return Err(ClientError::Rejected(
                "the idempotency key must have 1 to 256 characters".to_owned(),
            ));
        }
        let response = self
            .http
            .post(format!("{}/emails", self.endpoint))
            .bearer_auth(self.key.expose())
            .header("Idempotency-Key", idempotency_key)
            .timeout(Duration::from_secs(5))
            .json(email)
            .send()
            .await
            .map_err(|error| http::transport_error(&error))?;
        if let Some(error) = http::status_error(&response) {
            return Err(error);
        }
        let sent: Sent = response.json().await.map_err(|error| http::transport_error(&error))?;
        Ok(sent.id)
    }
}
