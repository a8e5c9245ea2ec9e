//! Who is asking from the admin: session tokens under the app's secrets and client id. What a token must say is
//! `core::session`'s.

use std::fmt;

use storeward_core::session::{SessionToken, SessionTokenFault};

use crate::context::{Context, HostError};
use crate::settings::Setting;

/// Why a session token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionTokenError {
    /// It does not count. Answer 401 with [`SessionTokenError::RETRY_HEADER`]: the admin then fetches a new one.
    Invalid(SessionTokenFault),
    /// It could not be checked.
    Host(HostError),
}

impl SessionTokenError {
    /// The header, and its value, by which App Bridge knows that it should try again with a new token.
    pub const RETRY_HEADER: (&str, &str) = ("x-shopify-retry-invalid-session-request", "1");
}

impl fmt::Display for SessionTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(fault) => fault.fmt(f),
            Self::Host(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionTokenError {}

impl<E: Into<HostError>> From<E> for SessionTokenError {
    fn from(error: E) -> Self {
        Self::Host(error.into())
    }
}

impl Context {
    /// Checks a session token: the text after `Bearer ` of the `Authorization` header. Needs the settings
    /// [`Setting::ShopifySecrets`] and [`Setting::ShopifyClientId`], and calls nobody on a warm instance.
    pub async fn verify_session_token(&self, token: &str) -> Result<SessionToken, SessionTokenError> {
        let client_id = self.settings.get(Setting::ShopifyClientId)?;
        let secrets = self.shopify_secrets().await?;
        SessionToken::verify(token, client_id, self.now(), |message, tag| secrets.signed(message, tag))
            .map_err(SessionTokenError::Invalid)
    }
}
