//! What it means when Gmail says no: to wait, to renew, to ask the merchant, or that something is gone.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use storeward_core::time::Timestamp;

use crate::error::ClientError;

/// How long a mailbox is left alone when Gmail says "too much" and not until when: its limits count by the minute.
const USUAL_PAUSE: Duration = Duration::from_mins(1);

/// The longest pause that Gmail's words are believed for. Its sending limits end within a day.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// Why a call to Gmail did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GmailError {
    /// The access token does not count (any more): renew it. A consent that has ended is told then.
    TokenEnded,
    /// The token is good and does not open this: the merchant has to consent again, to all of it.
    ScopeLacking,
    /// Anything else.
    Client(ClientError),
}

impl GmailError {
    /// Whether the same call can succeed later with the same token.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_transient())
    }
}

impl fmt::Display for GmailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenEnded => f.write_str("the mailbox's access token does not count any more"),
            Self::ScopeLacking => f.write_str("what was granted does not open the mailbox"),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GmailError {}

impl From<ClientError> for GmailError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// A refusal as Gmail words it. Nothing of its message is taken over: it may quote what was sent.
#[derive(Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) error: RefusalBody,
}

#[derive(Default, Deserialize)]
pub(super) struct RefusalBody {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) errors: Vec<Reason>,
}

#[derive(Deserialize)]
pub(super) struct Reason {
    #[serde(default)]
    pub(super) reason: String,
}

/// How a call ended that did not succeed, before what it was for gives that a meaning.
pub(super) enum Failure {
    Refused { status: u16, after: Option<Duration>, body: RefusalBody },
    TooLarge,
    Client(ClientError),
}

impl Failure {
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 410, .. })
    }

    pub(super) fn error(self, now: Timestamp) -> GmailError {
        let (status, after, body) = match self {
            Self::Client(error) => return error.into(),
            Self::TooLarge => return unreadable().into(),
            Self::Refused { status, after, body } => (status, after, body),
        };
        let has = |wanted: &[&str]| body.errors.iter().any(|error| wanted.contains(&error.reason.as_str()));
        let limited = ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"];
        let code = body.errors.first().map(|error| error.reason.as_str()).filter(|reason| is_code(reason));
        match status {
            401 => GmailError::TokenEnded,
            429 => ClientError::Throttled(pause(after, &body.message, now)).into(),
            403 if has(&limited) => ClientError::Throttled(pause(after, &body.message, now)).into(),
            403 if has(&["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"]) => {
                GmailError::ScopeLacking
            }
            408 | 500..=599 => ClientError::Unavailable(format!("status {status}")).into(),
            _ => ClientError::Rejected(code.map_or_else(|| format!("status {status}"), str::to_owned)).into(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

pub(super) fn unreadable() -> ClientError {
    ClientError::Unavailable("an answer that cannot be read".to_owned())
}

/// A reason of Gmail's, such as `failedPrecondition`.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// How long to wait: as the header says, or as the words do where it is a limit of the mailbox itself ("Retry after" and a
/// time), or as usual.
pub(super) fn pause(after: Option<Duration>, message: &str, now: Timestamp) -> Duration {
    let told = || {
        let (_, rest) = message.split_once("Retry after ")?;
        Timestamp::parse_rfc3339(rest.split_whitespace().next()?).map(|until| until.since(now))
    };
    let wait = after.or_else(told).unwrap_or(USUAL_PAUSE);
    wait.clamp(Duration::from_secs(1), LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_348_800_000);

    fn refused(status: u16, message: &str, reason: &str) -> GmailError {
        let body = json!({ "error": {
            "code": status, "message": message, "errors": [{ "message": message, "domain": "global", "reason": reason }],
        } });
        let refusal: Refusal = serde_json::from_value(body).unwrap();
        Failure::Refused { status, after: None, body: refusal.error }.error(NOW)
    }

    fn throttled(seconds: u64) -> GmailError {
        ClientError::Throttled(Duration::from_secs(seconds)).into()
    }

    fn rejected(code: &str) -> GmailError {
        ClientError::Rejected(code.to_owned()).into()
    }

    #[test]
    fn given_a_refusal_then_it_is_known_whether_to_wait_to_renew_or_to_ask_the_merchant() {
        assert_eq!(refused(401, "Invalid Credentials", "authError"), GmailError::TokenEnded);
        for reason in ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"] {
            assert_eq!(refused(403, "Too much", reason), throttled(60), "{reason}");
        }
        assert_eq!(refused(429, "Too many concurrent requests for user", ""), throttled(60));
        let insufficient = refused(403, "Insufficient Permission", "insufficientPermissions");
        assert_eq!(insufficient, GmailError::ScopeLacking);
        assert_eq!(refused(403, "No", "domainPolicy"), rejected("domainPolicy"));
        assert_eq!(refused(400, "No", "failedPrecondition"), rejected("failedPrecondition"));
        let unavailable = GmailError::Client(ClientError::Unavailable("status 503".to_owned()));
        assert_eq!(refused(503, "", "backendError"), unavailable);
        assert!(unavailable.is_transient() && throttled(1).is_transient());
        assert!(!insufficient.is_transient() && !GmailError::TokenEnded.is_transient());
    }

    #[test]
    fn given_words_that_say_until_when_then_they_are_believed_for_a_day_at_most() {
        let until = |time: &str| {
            refused(
                403,
                &format!("User-rate limit exceeded.  Retry after {time} (Mail sending)"),
                "rateLimitExceeded",
            )
        };
        assert_eq!(until(&(NOW + Duration::from_secs(90)).to_rfc3339()), throttled(90));
        assert_eq!(until(&(NOW + LONGEST_PAUSE * 3).to_rfc3339()), throttled(86_400));
        assert_eq!(until(&(NOW - LONGEST_PAUSE).to_rfc3339()), throttled(1));
        assert_eq!(until("soon"), throttled(60));
        assert_eq!(pause(Some(Duration::from_secs(7)), "Retry after 2030-01-01T00:00:00Z", NOW).as_secs(), 7);
    }

    #[test]
    fn no_error_says_what_the_other_side_wrote() {
        for reason in ["someone@example.com", "the subject was: refund", ""] {
            let shown = refused(400, "someone@example.com", reason);
            assert_eq!(shown, rejected("status 400"), "{reason}");
        }
    }
}
