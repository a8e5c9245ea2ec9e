//! Gmail v1 for one mailbox at a time: what is new, what a message says, and the answer. What a mail means, when to ask and
//! how to wait is the callers'; each call here is one request.

mod answers;
mod refusal;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use reqwest::Method as Verb;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storeward_core::data_map::{Category, Processor};
use storeward_core::egress::{Outgoing, Register, Stance, Use};
use storeward_core::gmail::{HistoryId, MessageId, ThreadId};
use storeward_core::google_oauth::MailboxAccess;
use storeward_core::personal::Personal;
use storeward_core::time::Clock;

pub use self::answers::{
    Fetched, History, HistoryPage, MessageHead, MessageName, MessagesPage, PageToken, Profile, RawMessage,
    Sending, Watched,
};
use self::answers::{HeadAnswer, HistoryAnswer, RawAnswer, ThreadAnswer, WatchAnswer, time};
pub use self::refusal::GmailError;
use self::refusal::{Failure, Refusal, unreadable};
use crate::error::ClientError;
use crate::http::{self, Body, Outside, Request};

/// The largest answer that is read, in bytes, where it holds no message: a page of history has 500 entries at most.
const LARGEST: usize = 2 * 1024 * 1024;

/// How many bytes an answer has beside the message that is in it.
const ROUND_A_MESSAGE: usize = 16 * 1024;

/// The most entries of a page. More costs no more of the quota.
const PAGE: &str = "500";

/// Base64 for addresses, with or without padding: Gmail writes both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A method of Gmail's, as its quota counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `users.getProfile`
    GetProfile,
    /// `users.watch`
    Watch,
    /// `users.stop`
    Stop,
    /// `users.history.list`
    ListHistory,
    /// `users.messages.list`
    ListMessages,
    /// `users.messages.get`
    GetMessage,
    /// `users.messages.send`
    SendMessage,
    /// `users.threads.get`
    GetThread,
}

impl Method {
    /// How many quota units a call costs (Gmail, "Usage limits": the table for projects since May 2026, of which 6,000 units
    /// a minute are allowed for each mailbox). It costs them whether it succeeds or not.
    #[must_use]
    pub const fn units(self) -> u32 {
        match self {
            Self::GetProfile => 1,
            Self::ListHistory => 2,
            Self::ListMessages => 5,
            Self::GetMessage => 20,
            Self::GetThread => 40,
            Self::Stop => 50,
            Self::Watch | Self::SendMessage => 100,
        }
    }
}

/// The client, for one merchant or for nobody in particular.
#[derive(Clone, Debug)]
pub struct Gmail {
    outside: Outside,
    endpoint: String,
}

impl Gmail {
    /// A client for Gmail at `endpoint`, which is `https://gmail.googleapis.com` but in tests. What may be sent is in the
    /// register; the clock says since when.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(endpoint: &str, register: Register, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        Ok(Self { outside: Outside::new(Processor::Google, register, clock)?, endpoint: endpoint.to_owned() })
    }

    /// The same client for a merchant, who was told of changes and may object.
    #[must_use]
    pub fn of(&self, stance: Stance) -> Self {
        Self { outside: self.outside.of(stance), ..self.clone() }
    }

    /// A mailbox, opened by its access token. Gmail refuses calls for a mailbox that overlap ("Too many concurrent requests
    /// for user"): whoever holds its lease makes one call after the other.
    #[must_use]
    pub fn mailbox(&self, access: &MailboxAccess) -> Mailbox {
        let token = access.token.clone();
        Mailbox {
            outside: self.outside.clone(),
            endpoint: self.endpoint.clone(),
            token,
            spent: AtomicU32::new(0),
        }
    }
}

/// A mailbox that calls are made for.
#[derive(Debug)]
pub struct Mailbox {
    outside: Outside,
    endpoint: String,
    token: Personal<String>,
    spent: AtomicU32,
}

/// One call, before it is made.
struct Asked {
    method: Method,
    verb: Verb,
    purpose: Use,
    path: Outgoing<String>,
    query: Vec<(&'static str, Outgoing<String>)>,
    body: Option<Outgoing<Value>>,
    largest: usize,
    timeout: Duration,
}

impl Asked {
    fn get(method: Method, purpose: Use, path: Outgoing<String>) -> Self {
        let (query, body, timeout) = (Vec::new(), None, Duration::from_secs(8));
        Self { method, verb: Verb::GET, purpose, path, query, body, largest: LARGEST, timeout }
    }

    fn post(method: Method, purpose: Use, path: &'static str, body: Option<Outgoing<Value>>) -> Self {
        Self { verb: Verb::POST, body, ..Self::get(method, purpose, Outgoing::text(path)) }
    }

    fn with(mut self, name: &'static str, value: Outgoing<String>) -> Self {
        self.query.push((name, value));
        self
    }
}

/// Something of Gmail's own, which stands for what somebody wrote and tells nothing of it.
fn own(text: &str) -> Outgoing<String> {
    Outgoing::own(text.to_owned())
}

impl Mailbox {
    /// How many quota units the calls so far cost (see [`Method::units`]).
    #[must_use]
    pub fn units(&self) -> u32 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whose mailbox it is.
    pub async fn profile(&self) -> Result<Profile, GmailError> {
        let asked = Asked::get(Method::GetProfile, Use::MailboxAccess, Outgoing::text("profile"));
        self.read(asked).await.map_err(|failure| self.failed(failure))
    }

    /// Asks to be told, through a topic, of what comes into the inbox and what is sent. Watching again renews. The first
    /// notice comes at once.
    pub async fn watch(&self, topic: &str) -> Result<Watched, GmailError> {
        let body = json!({
            "topicName": topic, "labelIds": ["INBOX", "SENT"], "labelFilterBehavior": "include",
        });
        let asked = Asked::post(Method::Watch, Use::MailboxAccess, "watch", Some(Outgoing::own(body)));
        match self.read(asked).await {
            Ok(WatchAnswer { history_id, expiration }) => {
                Ok(Watched::Until { expires_at: time(expiration), history_id })
            }
            // Gmail has no reason of its own for it.
            Err(Failure::Refused { status: 400, body, .. })
                if body.message.starts_with("Only one user push notification client") =>
            {
                Ok(Watched::OtherClient)
            }
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Asks to be told nothing any more. A mailbox that tells nothing already is no error.
    pub async fn stop(&self) -> Result<(), GmailError> {
        let asked = Asked::post(Method::Stop, Use::MailboxRelease, "stop", None);
        self.ask(asked).await.map(drop).map_err(|failure| self.failed(failure))
    }

    /// The messages that came since a point of the history, a page at a time. All pages are asked for from the same start.
    /// What was sent from the mailbox, and drafts in it, are among them.
    pub async fn history(&self, start: HistoryId, page: Option<&PageToken>) -> Result<History, GmailError> {
        let asked = Asked::get(Method::ListHistory, Use::MailboxAccess, Outgoing::text("history"))
            .with("startHistoryId", own(&start.to_string()))
            .with("historyTypes", own("messageAdded"))
            .with("maxResults", own(PAGE));
        match self.read::<HistoryAnswer>(at_page(asked, page)).await {
            Ok(answer) => {
                let mut known = BTreeSet::new();
                let messages = answer.history.into_iter().flat_map(|record| record.messages_added);
                let added = messages.map(|added| added.message);
                let added = added.filter(|message| known.insert(message.id.clone())).collect();
                let (next, history_id) = (answer.next_page_token, answer.history_id);
                Ok(History::Page(HistoryPage { added, next, history_id }))
            }
            Err(failure) if failure.is_gone() => Ok(History::TooOld),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// The messages that a search finds, latest first, a page at a time: `query` as in Gmail's search box, such as
    /// `newer_than:7d in:inbox`. What is in spam and trash is only found where the query names it.
    pub async fn search(
        &self,
        query: &Outgoing<String>,
        page: Option<&PageToken>,
    ) -> Result<MessagesPage, GmailError> {
        let asked = Asked::get(Method::ListMessages, Use::Mailbox, Outgoing::text("messages"))
            .with("q", query.clone())
            .with("maxResults", own(PAGE));
        self.read(at_page(asked, page)).await.map_err(|failure| self.failed(failure))
    }

    /// The message with a `Message-ID`, which is given without its brackets, wherever it lies by now. Whoever is not sure
    /// that a mail was sent asks this before sending it again.
    pub async fn find(&self, message_id: &Outgoing<String>) -> Result<Option<MessageName>, GmailError> {
        let query = message_id.clone().map(|id| format!("rfc822msgid:{id}"));
        let asked = Asked::get(Method::ListMessages, Use::Mailbox, Outgoing::text("messages"))
            .with("q", query)
            .with("includeSpamTrash", own("true"))
            .with("maxResults", own("1"));
        let found: MessagesPage = self.read(asked).await.map_err(|failure| self.failed(failure))?;
        Ok(found.messages.into_iter().next())
    }

    /// A message as it was received, of at most `largest` bytes: of a larger one no more than that is read.
    pub async fn message(&self, id: &MessageId, largest: usize) -> Result<Fetched<RawMessage>, GmailError> {
        let in_base64 = largest.div_ceil(3).saturating_mul(4).saturating_add(ROUND_A_MESSAGE);
        let asked = Asked {
            largest: in_base64,
            timeout: Duration::from_secs(30),
            ..message_path(id).with("format", own("raw"))
        };
        let body = match self.ask(asked).await {
            Ok(body) => body,
            Err(Failure::TooLarge) => return Ok(Fetched::TooLarge),
            Err(failure) if failure.is_gone() => return Ok(Fetched::Gone),
            Err(failure) => return Err(self.failed(failure)),
        };
        let answer: RawAnswer<'_> = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let raw = BASE64.decode(answer.raw.as_bytes()).map_err(|_| unreadable())?;
        if raw.len() > largest {
            return Ok(Fetched::TooLarge);
        }
        let received_at = time(answer.internal_date);
        Ok(Fetched::Found(RawMessage { name: answer.name, received_at, raw: raw.into() }))
    }

    /// The headers of a message: of one that is too large, what is known of it.
    pub async fn head(&self, id: &MessageId) -> Result<Fetched<MessageHead>, GmailError> {
        match self.read::<HeadAnswer>(message_path(id).with("format", own("metadata"))).await {
            Ok(answer) => {
                let headers = answer.payload.headers.into_iter().map(|header| (header.name, header.value));
                let (received_at, size) = (time(answer.internal_date), answer.size_estimate);
                let headers = headers.collect();
                Ok(Fetched::Found(MessageHead { name: answer.name, received_at, size, headers }))
            }
            Err(Failure::TooLarge) => Ok(Fetched::TooLarge),
            Err(failure) if failure.is_gone() => Ok(Fetched::Gone),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// The messages of a thread, oldest first; `None` for one that is deleted.
    pub async fn thread(&self, id: &ThreadId) -> Result<Option<Vec<MessageName>>, GmailError> {
        let path = Outgoing::own(format!("threads/{}", id.expose()));
        let asked = Asked::get(Method::GetThread, Use::Mailbox, path).with("format", own("minimal"));
        match self.read::<ThreadAnswer>(asked).await {
            Ok(answer) => Ok(Some(answer.messages)),
            Err(failure) if failure.is_gone() => Ok(None),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Sends a mail (RFC 5322), into a thread where one is named: its `References`, `In-Reply-To` and subject must be the
    /// thread's too. Gmail has no key against sending twice.
    ///
    /// # Errors
    /// `Unavailable` leaves open whether it was sent: [`Mailbox::find`] tells.
    pub async fn send(
        &self,
        raw: &Outgoing<Vec<u8>>,
        thread: Option<&ThreadId>,
    ) -> Result<Sending, GmailError> {
        let thread = thread.map(ThreadId::expose).map(str::to_owned);
        let body = raw.clone().map(|raw| {
            let mut body = json!({ "raw": URL_SAFE_NO_PAD.encode(raw) });
            if let Some(thread) = thread {
                body["threadId"] = Value::String(thread);
            }
            body
        });
        let asked = Asked {
            timeout: Duration::from_secs(30),
            ..Asked::post(Method::SendMessage, Use::Mailbox, "messages/send", Some(body))
        };
        match self.read(asked).await {
            Ok(name) => Ok(Sending::Sent(name)),
            Err(failure) if failure.is_gone() => Ok(Sending::ThreadGone),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn failed(&self, failure: Failure) -> GmailError {
        failure.error(self.outside.now())
    }

    async fn read<T: DeserializeOwned>(&self, asked: Asked) -> Result<T, Failure> {
        let body = self.ask(asked).await?;
        serde_json::from_slice(&body).map_err(|_| unreadable().into())
    }

    async fn ask(&self, asked: Asked) -> Result<Vec<u8>, Failure> {
        self.spent.fetch_add(asked.method.units(), Ordering::Relaxed);
        let token = Outgoing::about(Category::MerchantAccount, format!("Bearer {}", self.token.expose()));
        let nothing = Outgoing::own(Body::Nothing);
        let request = Request {
            method: asked.verb,
            purpose: asked.purpose,
            url: asked.path.map(|path| format!("{}/gmail/v1/users/me/{path}", self.endpoint)),
            query: asked.query,
            headers: vec![("authorization", token), ("accept", Outgoing::text("application/json"))],
            body: asked.body.map_or(nothing, |body| body.map(Body::Json)),
            timeout: Some(asked.timeout),
        };
        let response = self.outside.send(request).await?;
        if response.status().is_success() {
            return http::bounded(response, asked.largest).await?.ok_or(Failure::TooLarge);
        }
        let (status, after) = (response.status().as_u16(), http::retry_after(&response));
        // A refusal counts whether its words can be read or not.
        let body = http::bounded(response, LARGEST).await.ok().flatten().unwrap_or_default();
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        Err(Failure::Refused { status, after, body: refusal.error })
    }
}

fn message_path(id: &MessageId) -> Asked {
    Asked::get(Method::GetMessage, Use::Mailbox, Outgoing::own(format!("messages/{}", id.expose())))
}

fn at_page(asked: Asked, page: Option<&PageToken>) -> Asked {
    match page {
        Some(PageToken(token)) => asked.with("pageToken", own(token)),
        None => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_of_a_minute_is_enough_for_twenty_new_mails_that_are_read_and_answered() {
        let first_look = Method::GetProfile.units() + Method::Watch.units() + Method::ListMessages.units();
        let mail = Method::ListHistory.units()
            + Method::GetMessage.units()
            + Method::ListMessages.units()
            + Method::GetThread.units()
            + Method::SendMessage.units();
        assert!(first_look + Method::Stop.units() + 20 * mail <= 6_000);
    }
}
