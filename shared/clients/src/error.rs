//! How a call to the outside can fail, told so that a caller knows whether to try again. No error carries a body:
//! the other side may quote what it was sent.

use std::fmt;
use std::time::Duration;

use storeward_core::egress::Refusal;

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The token or key is not accepted (any more): trying again will not help.
    Unauthorized,
    /// Too many calls: try again after this long.
    Throttled(Duration),
    /// The other side understood and said no: trying again will not help.
    Rejected(String),
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
            Self::Unavailable(how) => write!(f, "no usable answer: {how}"),
            Self::NotPermitted(refusal) => write!(f, "not sent: {refusal}"),
        }
    }
}

impl std::error::Error for ClientError {}
