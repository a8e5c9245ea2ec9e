//! A request over HTTP as a function URL, or an HTTP API, hands it on (payload format 2.0), for the fronts of webhooks,
//! pushes and browsers. What it must be is theirs; what the APIs' routes read of one is in `asked`.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::asked::Origin;
use crate::function::InvokeError;

/// What is used of the event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UrlEvent {
    #[serde(default)]
    pub(crate) raw_path: String,
    #[serde(default)]
    pub(crate) raw_query_string: String,
    #[serde(default)]
    pub(crate) cookies: Vec<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    request_context: RequestContext,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    #[serde(default)]
    request_id: Option<String>,
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    #[serde(default)]
    source_ip: Option<String>,
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is larger than it may be.
    TooLarge,
    /// The event says that it is base64, and it is not.
    NotBase64,
}

impl UrlEvent {
    /// # Errors
    /// When the event is no request; the function was invoked by something else.
    pub(crate) fn read(event: Value) -> Result<Self, InvokeError> {
        serde_json::from_value(event)
            .map_err(|_| InvokeError::NotMyEvent("a request to a function URL or an HTTP API"))
    }

    pub(crate) fn method(&self) -> &str {
        &self.request_context.http.method
    }

    /// Where the request comes from.
    pub(crate) fn origin(&self) -> Origin {
        let context = &self.request_context;
        Origin { ip: context.http.source_ip.clone(), request: context.request_id.clone() }
    }

    /// A header, however its name is written.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The token of the `Authorization` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        bearer(self.header("authorization")?)
    }

    /// The body's bytes as they were sent, `most` of them at most.
    pub(crate) fn bytes(&self, most: usize) -> Result<Vec<u8>, BodyFault> {
        let text = self.body.as_deref().unwrap_or_default();
        // Base64 is a third longer than what it stands for.
        if text.len() > most / 3 * 4 + 4 {
            return Err(BodyFault::TooLarge);
        }
        let bytes = if self.is_base64_encoded {
            STANDARD.decode(text).map_err(|_| BodyFault::NotBase64)?
        } else {
            text.as_bytes().to_vec()
        };
        if bytes.len() > most { Err(BodyFault::TooLarge) } else { Ok(bytes) }
    }
}

/// What stands after `Bearer` in an `Authorization` header (RFC 6750, 2.1).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
