//! Errors as strangers see them: RFC 9457 problem bodies that say what to do. One list of kinds feeds the
//! answers and docs/errors.md.

use serde::Serialize;
use serde_json::{Value, json};

use crate::session::SessionTokenError;

/// Every problem that an endpoint answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Not the method that the address is for.
    MethodNotAllowed,
    /// A header that every delivery has is missing or malformed.
    MissingHeader,
    /// The body is larger than a webhook's can be.
    BodyTooLarge,
    /// The signature is not that of the body.
    BadSignature,
    /// The topic is not the one this URL is for.
    WrongTopic,
    /// The body is not what the topic sends.
    MalformedBody,
    /// Header and body name different shops.
    ShopMismatch,
    /// The app is not installed in the shop.
    NotInstalled,
    /// The query lacks something, has it twice or cannot be read.
    InvalidQuery,
    /// The query is not signed by Shopify, or too long ago.
    UnsignedQuery,
    /// The state is not the one that this browser was given.
    StateMismatch,
    /// The session token does not count.
    InvalidSession,
    /// Shopify gives no access for what was brought.
    ConsentRefused,
    /// The merchant granted less than the app needs.
    ScopesLacking,
    /// The role of whoever asks does not allow it.
    Forbidden,
    /// The operator's token does not count.
    InvalidOperatorToken,
    /// Something the request needs is not available.
    Unavailable,
    /// No record of this shop has this name, or the path has none.
    NotFound,
    /// A parameter of the query or a header is not one this route knows, or its value is none.
    InvalidParameter,
    /// The body of a request to the API is not what the route takes.
    InvalidBody,
    /// The body is larger than a request to the API can be.
    RequestTooLarge,
    /// A setting has a value that is not allowed.
    SettingOutOfBounds,
    /// The case is not at the revision that was decided on.
    CaseChanged,
    /// A case that is open cannot be deleted.
    CaseNotResolved,
    /// The people of the case were erased.
    CaseNotDecidable,
    /// The orders of the case are not kept any more.
    NothingToExcept,
    /// More addresses or people are in the case than one exception can be about.
    CaseTooLarge,
    /// The service cannot be given without this sub-processor.
    ProcessorEssential,
    /// The incident is not where this can be done, or changed since it was read.
    IncidentNotThere,
    /// What was given does not prove who asks.
    NotProven,
    /// An installation without an owner could not be looked after.
    LastOwner,
    /// Whoever opens the app next must not be owner or admin.
    RoleTooMighty,
    /// Something is to be kept for longer than it can be, or for no time.
    RetentionOutOfBounds,
    /// Duplicates are to be looked for further back than what they are found by is kept.
    WindowBeyondRetention,
    /// A rights request does not say whom it is about, or what is right, in a way that can be found.
    RequestIncomplete,
    /// There is no document to fetch: not yet, not any more, or not for this kind of request.
    NothingToFetch,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyUsed,
    /// The shop wrote last in this conversation, or there is no mail of a customer in it.
    NothingToAnswer,
    /// The reply is not at the revision that was decided on.
    DraftChanged,
    /// The reply was sent, is being sent, was withdrawn because the conversation moved on, was discarded, or says nothing.
    DraftEnded,
    /// Settings, rules or macros are not at the revision that was read.
    DeskChanged,
    /// A value is out of its bounds, a rule names a macro that there is not, or a macro has a placeholder that is not known.
    DeskRefused,
    /// Google gives no access to the mailbox: its owner said no, or what came back does not count.
    MailboxRefused,
    /// Less was granted for the mailbox than is needed to read and answer it.
    MailboxScopesLacking,
    /// A mailbox cannot be read or connected as it stands.
    MailboxNotConnected,
    /// The token of a push does not count.
    InvalidPushToken,
    /// The token of a push was made for another subscription than ours.
    WrongSubscription,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 47] = [
        Self::MethodNotAllowed,
        Self::MissingHeader,
        Self::BodyTooLarge,
        Self::BadSignature,
        Self::WrongTopic,
        Self::MalformedBody,
        Self::ShopMismatch,
        Self::NotInstalled,
        Self::InvalidQuery,
        Self::UnsignedQuery,
        Self::StateMismatch,
        Self::InvalidSession,
        Self::ConsentRefused,
        Self::ScopesLacking,
        Self::Forbidden,
        Self::InvalidOperatorToken,
        Self::Unavailable,
        Self::NotFound,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::RequestTooLarge,
        Self::SettingOutOfBounds,
        Self::CaseChanged,
        Self::CaseNotResolved,
        Self::CaseNotDecidable,
        Self::NothingToExcept,
        Self::CaseTooLarge,
        Self::ProcessorEssential,
        Self::IncidentNotThere,
        Self::NotProven,
        Self::LastOwner,
        Self::RoleTooMighty,
        Self::RetentionOutOfBounds,
        Self::WindowBeyondRetention,
        Self::RequestIncomplete,
        Self::NothingToFetch,
        Self::IdempotencyKeyUsed,
        Self::NothingToAnswer,
        Self::DraftChanged,
        Self::DraftEnded,
        Self::DeskChanged,
        Self::DeskRefused,
        Self::MailboxRefused,
        Self::MailboxScopesLacking,
        Self::MailboxNotConnected,
        Self::InvalidPushToken,
        Self::WrongSubscription,
    ];

    /// The kind's stable id, the last part of its `type`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method-not-allowed",
            Self::MissingHeader => "missing-header",
            Self::BodyTooLarge => "body-too-large",
            Self::BadSignature => "bad-signature",
            Self::WrongTopic => "wrong-topic",
            Self::MalformedBody => "malformed-body",
            Self::ShopMismatch => "shop-mismatch",
            Self::NotInstalled => "not-installed",
            Self::InvalidQuery => "invalid-query",
            Self::UnsignedQuery => "unsigned-query",
            Self::StateMismatch => "state-mismatch",
            Self::InvalidSession => "invalid-session",
            Self::ConsentRefused => "consent-refused",
            Self::ScopesLacking => "scopes-lacking",
            Self::Forbidden => "forbidden",
            Self::InvalidOperatorToken => "invalid-operator-token",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not-found",
            Self::InvalidParameter => "invalid-parameter",
            Self::InvalidBody => "invalid-body",
            Self::RequestTooLarge => "request-too-large",
            Self::SettingOutOfBounds => "setting-out-of-bounds",
            Self::CaseChanged => "case-changed",
            Self::CaseNotResolved => "case-not-resolved",
            Self::CaseNotDecidable => "case-not-decidable",
            Self::NothingToExcept => "nothing-to-except",
            Self::CaseTooLarge => "case-too-large",
            Self::ProcessorEssential => "processor-essential",
            Self::IncidentNotThere => "incident-not-there",
            Self::NotProven => "not-proven",
            Self::LastOwner => "last-owner",
            Self::RoleTooMighty => "role-too-mighty",
            Self::RetentionOutOfBounds => "retention-out-of-bounds",
            Self::WindowBeyondRetention => "window-beyond-retention",
            Self::RequestIncomplete => "request-incomplete",
            Self::NothingToFetch => "nothing-to-fetch",
            Self::IdempotencyKeyUsed => "idempotency-key-used",
            Self::NothingToAnswer => "nothing-to-answer",
            Self::DraftChanged => "draft-changed",
            Self::DraftEnded => "draft-ended",
            Self::DeskChanged => "desk-changed",
            Self::DeskRefused => "desk-refused",
            Self::MailboxRefused => "mailbox-refused",
            Self::MailboxScopesLacking => "mailbox-scopes-lacking",
            Self::MailboxNotConnected => "mailbox-not-connected",
            Self::InvalidPushToken => "invalid-push-token",
            Self::WrongSubscription => "wrong-subscription",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            Self::MissingHeader
            | Self::WrongTopic
            | Self::MalformedBody
            | Self::ShopMismatch
            | Self::InvalidQuery
            | Self::InvalidParameter
            | Self::InvalidBody => 400,
            Self::BodyTooLarge | Self::RequestTooLarge => 413,
            Self::BadSignature
            | Self::UnsignedQuery
            | Self::InvalidSession
            | Self::InvalidOperatorToken
            | Self::InvalidPushToken => 401,
            Self::StateMismatch
            | Self::ConsentRefused
            | Self::ScopesLacking
            | Self::Forbidden
            | Self::MailboxRefused
            | Self::MailboxScopesLacking
            | Self::WrongSubscription => 403,
            Self::NotInstalled | Self::NotFound => 404,
            Self::CaseNotResolved
            | Self::CaseNotDecidable
            | Self::NothingToExcept
            | Self::CaseTooLarge
            | Self::IncidentNotThere
            | Self::NotProven
            | Self::LastOwner
            | Self::IdempotencyKeyUsed
            | Self::NothingToAnswer
            | Self::DraftEnded
            | Self::NothingToFetch
            | Self::ProcessorEssential
            | Self::MailboxNotConnected => 409,
            Self::CaseChanged | Self::DraftChanged | Self::DeskChanged => 412,
            Self::SettingOutOfBounds
            | Self::DeskRefused
            | Self::RoleTooMighty
            | Self::RequestIncomplete
            | Self::RetentionOutOfBounds
            | Self::WindowBeyondRetention => 422,
            Self::Unavailable => 503,
        }
    }

    const fn takes_bearer(self) -> bool {
        matches!(self, Self::InvalidSession | Self::InvalidOperatorToken | Self::InvalidPushToken)
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "Use another method",
            Self::MissingHeader => "A required header is missing or malformed",
            Self::BodyTooLarge => "The body is too large",
            Self::BadSignature => "The signature does not match the body",
            Self::WrongTopic => "This URL is for another topic",
            Self::MalformedBody => "The body is not what the topic sends",
            Self::ShopMismatch => "Header and body name different shops",
            Self::NotInstalled => "The app is not installed in this shop",
            Self::InvalidQuery => "The query lacks something or has it twice",
            Self::UnsignedQuery => "The query is not signed by Shopify, or too long ago",
            Self::StateMismatch => "This browser did not ask for that",
            Self::InvalidSession => "The session token does not count",
            Self::ConsentRefused => "Shopify gives no access for that",
            Self::ScopesLacking => "The merchant granted less than the app needs",
            Self::Forbidden => "The role does not allow this",
            Self::InvalidOperatorToken => "The operator's token does not count",
            Self::Unavailable => "Not available now, try again",
            Self::NotFound => "There is nothing of this name",
            Self::InvalidParameter => "A parameter is not as documented",
            Self::InvalidBody => "The body is not as documented",
            Self::RequestTooLarge => "The request is too large",
            Self::SettingOutOfBounds => "A setting is out of its bounds",
            Self::CaseChanged => "The case has changed",
            Self::CaseNotResolved => "The case is not resolved",
            Self::CaseNotDecidable => "There is nothing to decide on any more",
            Self::NothingToExcept => "Nobody to make an exception for is known",
            Self::CaseTooLarge => "The case is too large for this",
            Self::ProcessorEssential => "The service cannot be given without this sub-processor",
            Self::IncidentNotThere => "The incident is not where this can be done",
            Self::NotProven => "It is not proven who asks",
            Self::LastOwner => "There must be an owner",
            Self::RoleTooMighty => "Newcomers must not be that mighty",
            Self::RetentionOutOfBounds => "That cannot be kept for so long",
            Self::WindowBeyondRetention => "Duplicates are looked for further back than orders are kept",
            Self::RequestIncomplete => "The request does not say whom or what it is about",
            Self::NothingToFetch => "There is no document to fetch",
            Self::NothingToAnswer => "The conversation waits for the customer",
            Self::DraftChanged => "The reply has changed",
            Self::DraftEnded => "Nothing can be done with this reply any more",
            Self::DeskChanged => "The mail desk's settings have changed",
            Self::DeskRefused => "A setting, rule or macro cannot be as it is",
            Self::IdempotencyKeyUsed => "The Idempotency-Key was used for another request",
            Self::MailboxRefused => "Google gives no access to the mailbox",
            Self::MailboxScopesLacking => "Less was granted for the mailbox than the mail desk needs",
            Self::MailboxNotConnected => "The mailbox is not connected",
            Self::InvalidPushToken => "The push's token does not count",
            Self::WrongSubscription => "The push is not of our subscription",
        }
    }
}

/// A problem to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which kind.
    pub kind: ProblemKind,
    /// What to do about this occurrence. Never repeats what was sent.
    pub detail: String,
}

impl Problem {
    /// A problem of `kind`; `detail` says what to do.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// Nothing of this shop has the name that was asked for: the same answer for what is another shop's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ProblemKind::NotFound, "look it up in the list again")
    }

    /// The answer of a function URL or an API.
    #[must_use]
    pub fn answer(&self) -> Value {
        let body = json!({
            "type": format!("urn:storeward:problem:{}", self.kind.id()),
            "title": self.kind.title(),
            "status": self.kind.status(),
            "detail": self.detail,
        });
        let mut answered = answer(self.kind.status(), "application/problem+json", &body);
        if self.kind == ProblemKind::InvalidSession {
            let (name, value) = SessionTokenError::RETRY_HEADER;
            answered["headers"][name] = json!(value);
        }
        if self.kind.takes_bearer() {
            answered["headers"]["www-authenticate"] = json!("Bearer");
        }
        answered
    }
}

/// A function URL's answer, with the headers that every answer has.
pub(crate) fn answer<T: Serialize>(status: u16, content_type: &str, body: &T) -> Value {
    json!({
        "statusCode": status,
        "headers": {
            "content-type": content_type,
            "cache-control": "no-store",
            "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
            "strict-transport-security": "max-age=63072000; includeSubDomains",
            "x-content-type-options": "nosniff",
        },
        "body": serde_json::to_string(body).unwrap_or_default(),
        "isBase64Encoded": false,
    })
}
