//! How the simulated Gmail says no, in Google's words.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use storeward_core::time::Timestamp;

use super::{Trouble, json_response};

/// A refusal as Google words it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    domain: &'static str,
    reason: &'static str,
    word: &'static str,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        reason: &'static str,
        word: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, message: message.into(), domain: "global", reason, word, retry_after: None }
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "notFound", "NOT_FOUND", "Requested entity was not found.")
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalidArgument", "INVALID_ARGUMENT", message)
    }

    pub(super) fn credentials() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
                       cookie or other valid authentication credential.";
        Self::new(401, "authError", "UNAUTHENTICATED", message)
    }

    /// What a call meets that meets trouble.
    pub(super) fn trouble(trouble: Trouble, now: Timestamp) -> Self {
        match trouble {
            Trouble::TooManyConcurrent => {
                let message = "Too many concurrent requests for user.";
                Self::new(429, "rateLimitExceeded", "RESOURCE_EXHAUSTED", message)
            }
            Trouble::UserRateLimit(after) => {
                let message = "User Rate Limit Exceeded";
                let refusal = Self::new(403, "userRateLimitExceeded", "PERMISSION_DENIED", message);
                Self { domain: "usageLimits", retry_after: after, ..refusal }
            }
            Trouble::Quota => {
                let message = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' \
                               of service 'gmail.googleapis.com' for consumer 'project_number:1'.";
                let refusal = Self::new(403, "rateLimitExceeded", "PERMISSION_DENIED", message);
                Self { domain: "usageLimits", ..refusal }
            }
            Trouble::LimitUntil(after) => {
                let message = format!("User-rate limit exceeded.  Retry after {}", now + after);
                Self::new(429, "rateLimitExceeded", "RESOURCE_EXHAUSTED", message)
            }
            Trouble::Fails(status) => Self { status, ..Self::backend() },
            Trouble::DoneAndFails => Self::backend(),
            Trouble::TokenEnded => Self::credentials(),
            Trouble::OutOfScope => {
                let message = "Request had insufficient authentication scopes.";
                Self::new(403, "insufficientPermissions", "PERMISSION_DENIED", message)
            }
        }
    }

    fn backend() -> Self {
        Self::new(503, "backendError", "UNAVAILABLE", "The service is currently unavailable.")
    }

    pub(super) fn response(&self) -> Response<Body> {
        let body = json!({ "error": {
            "code": self.status.as_u16(), "message": self.message, "status": self.word,
            "errors": [{ "message": self.message, "domain": self.domain, "reason": self.reason }],
        } });
        let mut response = json_response(self.status, &body);
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        response
    }
}
