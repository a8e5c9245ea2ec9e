//! What can go wrong with the store, told so that a handler knows whether to try again. No message carries a
//! stored value: DynamoDB's own texts can quote items, so only its error codes are kept.

use std::fmt;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// The store's result.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// DynamoDB did not answer, or said no for now: try again.
    Unavailable {
        /// Which operation.
        operation: &'static str,
        /// DynamoDB's error code, or how the call failed.
        code: String,
    },
    /// Others kept changing the same items: try again.
    Contended(&'static str),
    /// Something stored cannot be read: trying again will not help.
    Corrupt(&'static str),
    /// The shop is stored as it was before something of it was erased: a backup was restored, and the erasures since are
    /// not repeated yet. Nothing of it is given out until they are.
    Restored,
    /// Something would change and nobody is said to do it: wrap the call in `acting`.
    NobodyActs,
    /// A change came without its entry of the ledger: add one, or say why it needs none.
    Unrecorded,
}

impl StoreError {
    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        !matches!(self, Self::Corrupt(_) | Self::NobodyActs | Self::Unrecorded)
    }

    pub(crate) fn from_sdk<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata,
    {
        let code = match error {
            SdkError::ServiceError(service) => service.err().code().unwrap_or("unknown error").to_owned(),
            SdkError::TimeoutError(_) => "time-out".to_owned(),
            SdkError::DispatchFailure(_) => "connection failed".to_owned(),
            SdkError::ResponseError(_) => "unreadable answer".to_owned(),
            _ => "request could not be built".to_owned(),
        };
        Self::Unavailable { operation, code }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { operation, code } => {
                write!(f, "DynamoDB {operation} failed: {code}; try again")
            }
            Self::Contended(what) => write!(f, "{what} changed at every attempt; try again"),
            Self::Restored => f.write_str(
                "the shop was restored from a backup and the erasures since are not repeated yet; run \
                 jobs/replay-erasures, then try again",
            ),
            Self::Corrupt(what) => write!(f, "{what} is stored in a form that cannot be read"),
            Self::NobodyActs => f.write_str("nobody is said to make this change: wrap the call in acting()"),
            Self::Unrecorded => {
                f.write_str("a change without an entry of the ledger: add one in its transaction")
            }
        }
    }
}

impl std::error::Error for StoreError {}
