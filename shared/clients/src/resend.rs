//! Platform mail through Resend: alerts, invites, notices. Never mail to a shop's customers.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_core::egress::{Outgoing, Register, Stance, Use};
use storeward_core::personal::Personal;
use storeward_core::time::Clock;

use crate::error::{ClientError, code};
use crate::http::{self, Call, Outside, object};

/// How long Resend remembers an idempotency key.
pub const KEY_MEMORY: Duration = Duration::from_hours(24);

/// A mail.
#[derive(Clone, Debug)]
pub struct Email {
    /// What it is for.
    pub purpose: Use,
    /// The sender, of a domain that is verified with Resend.
    pub from: String,
    /// The merchant's address.
    pub to: Vec<Outgoing<String>>,
    /// The subject; no personal data of customers.
    pub subject: Outgoing<String>,
    /// The body as plain text.
    pub text: Outgoing<String>,
    /// The body as HTML, if there is one.
    pub html: Option<Outgoing<String>>,
}

impl Email {
    fn body(&self) -> Outgoing<Value> {
        let text = |text: &Outgoing<String>| text.clone().map(Value::String);
        let mut fields = vec![
            ("from", Outgoing::own(json!(self.from))),
            ("to", Outgoing::all(self.to.iter().map(text)).map(Value::Array)),
            ("subject", text(&self.subject)),
            ("text", text(&self.text)),
        ];
        fields.extend(self.html.as_ref().map(|html| ("html", text(html))));
        object(fields)
    }
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

/// The client, for one merchant or for nobody in particular.
#[derive(Clone, Debug)]
pub struct Resend {
    outside: Outside,
    endpoint: String,
    key: Personal<String>,
}

impl Resend {
    /// A client with an API key; the endpoint is `https://api.resend.com` but in tests. What may be sent is in the
    /// register; the clock says since when.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        endpoint: &str,
        key: String,
        register: Register,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let outside = Outside::new(Processor::Resend, register, clock)?;
        Ok(Self { outside, endpoint: endpoint.to_owned(), key: Personal::new(key) })
    }

    /// The same client for a merchant, who was told of changes and may object.
    #[must_use]
    pub fn of(&self, stance: Stance) -> Self {
        Self { outside: self.outside.of(stance), ..self.clone() }
    }

    /// Sends a mail once: Resend remembers `idempotency_key` (1 to 256 characters) for [`KEY_MEMORY`].
    ///
    /// # Errors
    /// `NotPermitted` by the gate. `Throttled` with how long to wait, `Unauthorized` for a key or sender it does not know,
    /// `Rejected` with Resend's code for a mail it does not take, and with the status for another reason: with these,
    /// nothing was sent. `Unavailable` leaves that open.
    pub async fn send(&self, email: &Email, idempotency_key: &Outgoing<String>) -> Result<Sent, ClientError> {
        if idempotency_key.value().is_empty() || idempotency_key.value().len() > 256 {
            return Err(ClientError::Rejected(
                "the idempotency key must have 1 to 256 characters".to_owned(),
            ));
        }
        let call = Call {
            purpose: email.purpose,
            url: Outgoing::own(format!("{}/emails", self.endpoint)),
            headers: vec![
                ("authorization", Outgoing::own(format!("Bearer {}", self.key.expose()))),
                ("idempotency-key", idempotency_key.clone()),
            ],
            body: email.body(),
            timeout: Some(Duration::from_secs(8)),
        };
        let response = self.outside.post(call).await?;
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
