//! OAuth with Google: codes and refresh tokens made access tokens, and given back. Where a browser is sent and what it comes
//! back with is `core::google_oauth`'s; reading mail is `gmail`'s.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Outgoing, Register, Stance, Use};
use storeward_core::google_oauth::{GrantedScopes, MailboxAccess, MailboxGrant, Verifier, error_code};
use storeward_core::personal::Personal;
use storeward_core::time::{Clock, Timestamp};

use crate::error::ClientError;
use crate::http::{self, Body, Outside, Request};

/// The largest answer of the token endpoint that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// What the app names itself with when it asks for tokens.
#[derive(Clone, Copy)]
pub struct GoogleApp<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// The client secret.
    pub client_secret: &'a str,
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// The code or the refresh token does not count, and never will again: used up, expired, or revoked by whoever gave it.
    /// A mailbox whose refresh token ends so is disconnected.
    Ended,
    /// Anything else. `Unauthorized` says that Google does not know the app: nothing is wrong with the mailbox.
    Client(ClientError),
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the consent has ended"),
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GrantError {}

impl From<ClientError> for GrantError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: Personal<String>,
    expires_in: u64,
    #[serde(default)]
    refresh_token: Option<Personal<String>>,
    #[serde(default)]
    refresh_token_expires_in: Option<u64>,
    #[serde(default)]
    scope: String,
}

impl Granted {
    fn access(&self, asked_at: Timestamp) -> MailboxAccess {
        let expires_at = asked_at + Duration::from_secs(self.expires_in);
        MailboxAccess { token: self.access_token.clone(), expires_at }
    }

    fn refresh_expires_at(&self, asked_at: Timestamp) -> Option<Timestamp> {
        self.refresh_token_expires_in.map(|seconds| asked_at + Duration::from_secs(seconds))
    }
}

#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
}

/// The client, for one merchant or for nobody in particular.
#[derive(Clone, Debug)]
pub struct Google {
    outside: Outside,
    endpoint: String,
    purpose: Use,
}

impl Google {
    /// A client for the token endpoints below `endpoint`, which is `https://oauth2.googleapis.com` but in tests. What may be
    /// sent is in the register; the clock says since when.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(endpoint: &str, register: Register, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        let outside = Outside::new(Processor::Google, register, clock)?;
        Ok(Self { outside, endpoint: endpoint.to_owned(), purpose: Use::MailboxAccess })
    }

    /// The same client for a merchant, who was told of changes and may object.
    #[must_use]
    pub fn of(&self, stance: Stance) -> Self {
        Self { outside: self.outside.of(stance), ..self.clone() }
    }

    /// The same client for what is done to give a consent back, which an objection does not stop.
    #[must_use]
    pub fn releasing(&self) -> Self {
        Self { purpose: Use::MailboxRelease, ..self.clone() }
    }

    /// Exchanges the code of a callback. A code counts once, for minutes. Whether what was granted is enough is to be asked
    /// of [`GrantedScopes::suffice`].
    ///
    /// # Errors
    /// `Ended` for a code that does not count, or that another attempt's verifier belongs to.
    pub async fn exchange_code(
        &self,
        app: GoogleApp<'_>,
        code: &Personal<String>,
        verifier: &Verifier,
        redirect_uri: &str,
    ) -> Result<MailboxGrant, GrantError> {
        let asked_at = self.outside.now();
        let fields = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", app.client_id.to_owned()),
            ("client_secret", app.client_secret.to_owned()),
            ("code", code.expose().clone()),
            ("code_verifier", verifier.expose().to_owned()),
            ("redirect_uri", redirect_uri.to_owned()),
        ];
        let granted = self.ask_for_tokens(fields).await?;
        let access = granted.access(asked_at);
        let refresh_expires_at = granted.refresh_expires_at(asked_at);
        // Google gives none to who was asked without `access_type=offline` and `prompt=consent`.
        let refresh_token = granted.refresh_token;
        let refresh_token =
            refresh_token.ok_or_else(|| ClientError::Rejected("no refresh token was given".to_owned()))?;
        let scopes = GrantedScopes::parse(&granted.scope);
        Ok(MailboxGrant { access, refresh_token, refresh_expires_at, scopes })
    }

    /// Renews the access of a mailbox. What comes back replaces what was stored.
    ///
    /// # Errors
    /// `Ended` when the consent was revoked or has run out.
    pub async fn refresh(
        &self,
        app: GoogleApp<'_>,
        grant: &MailboxGrant,
    ) -> Result<MailboxGrant, GrantError> {
        let asked_at = self.outside.now();
        let fields = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", app.client_id.to_owned()),
            ("client_secret", app.client_secret.to_owned()),
            ("refresh_token", grant.refresh_token.expose().clone()),
        ];
        let granted = self.ask_for_tokens(fields).await?;
        let scopes = GrantedScopes::parse(&granted.scope);
        Ok(MailboxGrant {
            access: granted.access(asked_at),
            refresh_expires_at: granted.refresh_expires_at(asked_at).or(grant.refresh_expires_at),
            refresh_token: granted.refresh_token.unwrap_or_else(|| grant.refresh_token.clone()),
            scopes: if scopes == GrantedScopes::default() { grant.scopes.clone() } else { scopes },
        })
    }

    /// Gives a consent back: by its refresh token, all of it. One that had ended already is no error.
    ///
    /// # Errors
    /// `Unavailable` and `Throttled` are worth another try.
    pub async fn revoke(&self, token: &Personal<String>) -> Result<(), ClientError> {
        match self.releasing().post("revoke", vec![("token", token.expose().clone())]).await? {
            Ok(_) => Ok(()),
            Err((400, code)) if code.as_deref() == Some("invalid_token") => Ok(()),
            Err((status, code)) => Err(rejected(status, code)),
        }
    }

    async fn ask_for_tokens(&self, fields: Vec<(&'static str, String)>) -> Result<Granted, GrantError> {
        match self.post("token", fields).await? {
            Ok(body) => {
                let granted: Granted = serde_json::from_slice(&body)
                    .map_err(|_| ClientError::Unavailable("an answer without tokens".to_owned()))?;
                if granted.access_token.expose().is_empty() {
                    return Err(ClientError::Rejected("an empty token".to_owned()).into());
                }
                Ok(granted)
            }
            Err((_, Some(code))) if code == "invalid_grant" => Err(GrantError::Ended),
            Err((_, Some(code))) if code == "invalid_client" || code == "unauthorized_client" => {
                Err(ClientError::Unauthorized.into())
            }
            Err((status, code)) => Err(rejected(status, code).into()),
        }
    }

    /// Posts a form. Answers the body of a success, or the status and Google's code of a refusal.
    async fn post(
        &self,
        path: &str,
        fields: Vec<(&'static str, String)>,
    ) -> Result<Result<Vec<u8>, (u16, Option<String>)>, ClientError> {
        let request = Request {
            method: Method::POST,
            purpose: self.purpose,
            url: Outgoing::own(format!("{}/{path}", self.endpoint)),
            query: Vec::new(),
            headers: vec![("accept", Outgoing::text("application/json"))],
            body: Outgoing::about(Category::MerchantAccount, Body::Form(fields)),
            timeout: Some(Duration::from_secs(8)),
        };
        let response = self.outside.send(request).await?;
        let status = response.status().as_u16();
        let failed = http::status_error(&response);
        if let Some(error) = failed.as_ref().filter(|error| error.is_transient()) {
            return Err(error.clone());
        }
        let body = http::bounded(response, LARGEST).await?.unwrap_or_default();
        if failed.is_none() {
            return Ok(Ok(body));
        }
        let refused: Refused = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Err((status, error_code(&refused.error))))
    }
}

fn rejected(status: u16, code: Option<String>) -> ClientError {
    ClientError::Rejected(code.unwrap_or_else(|| format!("status {status}")))
}
