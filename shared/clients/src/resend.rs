//! Platform mail through Resend: alerts, invites, notices. Never mail to a shop's customers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use storeward_core::personal::Personal;

use crate::error::ClientError;
use crate::http;

/// How long Resend remembers an idempotency key.
pub const KEY_MEMORY: Duration = Duration::from_hours(24);

/// The longest code of an error that is taken over.
const LONGEST_CODE: usize = 64;

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

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Resend took it, now or under the same key before.
    Taken {
        /// Resend's id of it.
        id: String,
    },
    /// Under this key Resend took a mail before that read otherwise: this one was not sent.
    InOtherWords,
}

#[derive(Deserialize)]
struct Taken {
    id: String,
}

#[derive(Deserialize)]
struct Refusal {
    name: String,
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

    /// Sends a mail once: Resend remembers `idempotency_key` (1 to 256 characters) for [`KEY_MEMORY`].
    ///
    /// # Errors
    /// `Throttled` with how long to wait, `Unauthorized` for a key or sender it does not know, `Rejected` with Resend's
    /// code for a mail it does not take, and with the status for another reason: with these three, nothing was sent. `Unavailable` leaves that open.
    pub async fn send(&self, email: &Email, idempotency_key: &str) -> Result<Sent, ClientError> {
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
            .timeout(Duration::from_secs(8))
            .json(email)
            .send()
            .await
            .map_err(|error| http::transport_error(&error))?;
        let Some(error) = http::status_error(&response) else {
            let taken: Taken = response.json().await.map_err(|error| http::transport_error(&error))?;
            return Ok(Sent::Taken { id: taken.id });
        };
        let ClientError::Rejected(status) = error else { return Err(error) };
        let code = response.json().await.ok().and_then(|refusal: Refusal| code(&refusal.name));
        match code.as_deref() {
            Some("invalid_idempotent_request") => Ok(Sent::InOtherWords),
            Some(code @ "concurrent_idempotent_requests") => Err(ClientError::Unavailable(code.to_owned())),
            // 422 is about the mail; another status, 400 for a key that is none among them, about us.
            Some(code) if status == "status 422" => Err(ClientError::Rejected(code.to_owned())),
            _ => Err(ClientError::Rejected(status)),
        }
    }
}

/// A code of Resend's; another text may quote what it was sent.
fn code(name: &str) -> Option<String> {
    let known =
        name.len() <= LONGEST_CODE && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    known.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_over_and_a_text_is_not() {
        assert_eq!(code("validation_error").as_deref(), Some("validation_error"));
        for text in ["The address someone@example.com is wrong", "Canary", &"a".repeat(65)] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
