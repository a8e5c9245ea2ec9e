//! How a call to the outside can fail, told so that a caller knows whether to try again. No error carries a body:
//! the other side may quote what it was sent.

use std::fmt;
use std::time::Duration;

use storeward_core::egress::Refusal;

/// The longest code of an error that is taken over.
const LONGEST_CODE: usize = 64;

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The token or key is not accepted (any more): trying again will not help.
    Unauthorized,
    /// Too many calls: try again after this long.
    Throttled(Duration),
    /// The other side understood and said no: trying again will not help.
    Rejected(String),
    /// A shop that lets nobody in, whatever the credentials: it is closed, not paid for, or locked.
    Closed,
    /// No answer, or one that says to come back.
    Unavailable(String),
    /// The gate did not let it out, so nothing was sent: trying again will not help.
    NotPermitted(Refusal),
}

impl ClientError {
    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable(_))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("the credentials are not accepted"),
            Self::Throttled(after) => write!(f, "throttled; try again after {} ms", after.as_millis()),
            Self::Rejected(code) => write!(f, "rejected: {code}"),
            Self::Closed => f.write_str("the shop is closed and lets nobody in"),
            Self::Unavailable(how) => write!(f, "no usable answer: {how}"),
            Self::NotPermitted(refusal) => write!(f, "not sent: {refusal}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// A code of the other side's, such as `validation_error`; another text may quote what it was sent.
pub(crate) fn code(name: &str) -> Option<String> {
    let known = (1..=LONGEST_CODE).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    known.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_over_and_a_text_is_not() {
        assert_eq!(code("validation_error").as_deref(), Some("validation_error"));
        for text in ["", "The address someone@example.com is wrong", "Canary", &"a".repeat(65)] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
