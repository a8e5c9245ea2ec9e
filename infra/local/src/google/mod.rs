//! A small simulated Google: consent and tokens, Gmail v1 as its discovery document has it, and Pub/Sub's pushes under
//! Google's own kind of token. It remembers every byte that reached it. No mail goes anywhere.

mod gmail;
mod mail;
mod mailbox;
pub mod oauth;
pub mod push;
mod refusal;
mod search;
mod staging;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_core::egress::Use;
use storeward_core::time::{Clock, Timestamp};

use self::mailbox::{Belongs, Mailbox};
use self::oauth::{Answer, Consents};
use self::push::{Push, Signer};
use crate::egress::Reached;

/// Where it is served below the local stack's address. What is below `/google` there are the app's own pages.
pub const PATH: &str = "/_google";

/// The app's client at Google: visibly no real one.
pub const CLIENT_ID: &str = "test-storeward-local.apps.googleusercontent.com";

/// Its secret: visibly no real one.
pub const CLIENT_SECRET: &str = "test-google-client-secret";

/// The topic that Gmail may tell of changes.
pub const TOPIC: &str = "projects/storeward-local/topics/gmail-push";

/// The subscription that pushes what the topic is told.
pub const SUBSCRIPTION: &str = "projects/storeward-local/subscriptions/gmail-push";

/// The audience of its tokens.
pub const PUSH_AUDIENCE: &str = "storeward-local-gmail-push";

/// Whom it pushes as.
pub const PUSH_SERVICE_ACCOUNT: &str = "test-pusher@storeward-local.iam.gserviceaccount.com";

/// The function that it pushes to.
pub const PUSHED_TO: &str = "gmail-push";

/// How many requests and pushes are remembered; the oldest go first.
const REMEMBERED: usize = 10_000;

/// How long Pub/Sub waits before it pushes again: ten seconds at first, ten minutes at most.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_mins(10);

/// What goes wrong with a call to Gmail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// 429: another call for the mailbox is under way.
    TooManyConcurrent,
    /// 403 `userRateLimitExceeded`, with how long to wait where that is told.
    UserRateLimit(Option<Duration>),
    /// 403 `rateLimitExceeded`: the quota of the minute is used up.
    Quota,
    /// 429, until a time that only the message tells.
    LimitUntil(Duration),
    /// It fails with this status, and nothing was done.
    Fails(StatusCode),
    /// It is done, and the answer fails.
    DoneAndFails,
    /// 401, as if the access token had ended.
    TokenEnded,
    /// 403 `insufficientPermissions`.
    OutOfScope,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at: Timestamp,
    /// For which mailbox, where its token opens one.
    pub mailbox: Option<String>,
    /// For what, as the register has it.
    pub purpose: Use,
    /// `GET`, `POST` and the like.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its body.
    pub body: Bytes,
    /// The status of the answer.
    pub status: u16,
}

/// A mail in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: String,
    /// Its thread.
    pub thread: String,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// The mail.
    pub raw: Bytes,
}

#[derive(Default)]
struct World {
    mailboxes: BTreeMap<String, Mailbox>,
    consents: Consents,
    heard: VecDeque<Heard>,
    pushes: VecDeque<Push>,
    published: u64,
    forbids_overlap: bool,
}

impl World {
    fn hear(&mut self, heard: Heard) {
        self.heard.push_back(heard);
        if self.heard.len() > REMEMBERED {
            self.heard.pop_front();
        }
    }

    fn publish(&mut self, address: &str, history_id: u64, now: Timestamp) -> Push {
        self.published += 1;
        Push {
            address: address.to_owned(),
            history_id,
            message_id: (10_000_000_000 + self.published).to_string(),
            published_at: now,
            due_at: now,
            failures: 0,
        }
    }

    /// Publishes what watched mailboxes have to tell.
    fn tell(&mut self, now: Timestamp) {
        let told: Vec<(String, u64)> = self
            .mailboxes
            .values_mut()
            .flat_map(|mailbox| {
                let points = std::mem::take(&mut mailbox.to_tell);
                points.into_iter().map(|point| (mailbox.address.clone(), point)).collect::<Vec<_>>()
            })
            .collect();
        for (address, point) in told {
            let push = self.publish(&address, point, now);
            self.pushes.push_back(push);
        }
        while self.pushes.len() > REMEMBERED {
            self.pushes.pop_front();
        }
    }
}

/// The simulated Google's own key cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the test key of the simulated Google cannot be read")
    }
}

impl std::error::Error for KeyError {}

/// The simulated Google. Clones share it.
#[derive(Clone)]
pub struct Google {
    clock: Arc<dyn Clock>,
    world: Arc<Mutex<World>>,
    signer: Arc<Signer>,
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Google").finish_non_exhaustive()
    }
}

impl Google {
    /// A Google without any mailbox.
    ///
    /// # Errors
    /// When its own key cannot be read, which a test would tell.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, KeyError> {
        let signer = Signer::new().ok_or(KeyError)?;
        Ok(Self { clock, world: Arc::default(), signer: Arc::new(signer) })
    }

    /// The app's secrets at this Google, as its setting holds them in the clear.
    #[must_use]
    pub fn secrets() -> Value {
        json!({ "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
    }

    /// The API, the page of consent, the token endpoints, the keys, and what sets the stage.
    pub fn router(&self) -> Router {
        oauth::router().merge(gmail::router()).merge(staging::router()).with_state(self.clone())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a mailbox, and publishes what that gives to tell.
    fn with<T>(&self, address: &str, change: impl FnOnce(&mut Mailbox, Timestamp) -> T) -> Option<T> {
        let now = self.clock.now();
        let mut world = self.world();
        let done = world.mailboxes.get_mut(address).map(|mailbox| change(mailbox, now));
        world.tell(now);
        done
    }

    /// Makes a mailbox, if there is none of that address yet.
    pub fn add_mailbox(&self, address: &str) {
        let mut world = self.world();
        let ordinal = u64::try_from(world.mailboxes.len()).unwrap_or_default();
        world.mailboxes.entry(address.to_owned()).or_insert_with(|| Mailbox::new(address, ordinal));
    }

    /// Says which mailbox a merchant chooses on the page of consent; else it is the first.
    pub fn choose(&self, address: &str) {
        self.world().consents.chosen = Some(address.to_owned());
    }

    /// Says what the next merchant on the page of consent does; else everything is agreed to.
    pub fn answer_next(&self, answer: Answer) {
        self.world().consents.answers.push_back(answer);
    }

    /// Says where a browser may come back to: else anywhere on loopback.
    pub fn set_redirects(&self, redirects: Vec<String>) {
        self.world().consents.redirects = Some(redirects);
    }

    /// Lets the next request for tokens, or to revoke one, fail.
    pub fn fail_tokens_next(&self, status: StatusCode) {
        self.world().consents.failures.push_back(status);
    }

    /// Ends every consent to a mailbox, as its owner can at Google: renewing answers `invalid_grant` from now on.
    pub fn end_consent(&self, address: &str) {
        self.world().consents.end(address);
    }

    /// Ends the access tokens of a mailbox before their time; its consent lasts.
    pub fn end_access(&self, address: &str) {
        self.world().consents.end_access(address);
    }

    /// How many consents to a mailbox last.
    #[must_use]
    pub fn consents(&self, address: &str) -> usize {
        self.world().consents.count(address)
    }

    /// A mail arrives, in the inbox and in the thread that its headers put it into. Answers its id, or nothing where
    /// there is no such mailbox.
    pub fn deliver(&self, address: &str, raw: impl Into<Bytes>) -> Option<String> {
        self.deliver_as(address, raw, &["INBOX", "UNREAD"])
    }

    /// A mail arrives under other labels, such as `SPAM`.
    pub fn deliver_as(&self, address: &str, raw: impl Into<Bytes>, labels: &[&str]) -> Option<String> {
        self.with(address, |mailbox, now| mailbox.add(raw.into(), labels, &Belongs::ByHeaders, now).id)
    }

    /// The merchant writes in Gmail itself, into a thread where one is named. Answers the mail's id; nothing for a mail
    /// without receiver.
    pub fn human_sends(&self, address: &str, raw: impl Into<Bytes>, thread: Option<&str>) -> Option<String> {
        let sent = self.with(address, |mailbox, now| gmail::send_out(mailbox, raw.into(), thread, now));
        sent.flatten().map(|sent| sent.id)
    }

    /// Somebody deletes a message for good. Answers whether it was there.
    #[must_use]
    pub fn delete(&self, address: &str, id: &str) -> bool {
        self.with(address, |mailbox, now| mailbox.delete(id, now)).unwrap_or_default()
    }

    /// Somebody changes a message's labels: reads it, archives it. Answers whether it was there.
    #[must_use]
    pub fn relabel(&self, address: &str, id: &str, add: &[&str], remove: &[&str]) -> bool {
        let owned = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
        let (add, remove) = (owned(add), owned(remove));
        self.with(address, |mailbox, now| mailbox.relabel(id, &add, &remove, now)).unwrap_or_default()
    }

    /// The history so far is forgotten, as Gmail does after a week, or sooner.
    pub fn forget_history(&self, address: &str) {
        self.with(address, |mailbox, _| mailbox.forget_history());
    }

    /// Another client of the same developer is told of the mailbox's changes: watching is refused until it is stopped.
    pub fn watch_elsewhere(&self, address: &str) {
        self.with(address, |mailbox, _| mailbox.told_elsewhere = true);
    }

    /// Lets the next call for a mailbox meet trouble; asked for several times, the next several.
    pub fn trouble_next(&self, address: &str, trouble: Trouble) {
        self.with(address, |mailbox, _| mailbox.troubles.push_back((None, trouble)));
    }

    /// The same for the next call of a method, named as in the discovery document below `gmail.users.`: `messages.send`.
    pub fn trouble_at(&self, address: &str, method: &str, trouble: Trouble) {
        self.with(address, |mailbox, _| mailbox.troubles.push_back((Some(method.to_owned()), trouble)));
    }

    /// Whether calls for one mailbox that overlap are refused, as Gmail does. Each call then takes 20 ms.
    pub fn forbid_overlap(&self, forbids: bool) {
        self.world().forbids_overlap = forbids;
    }

    /// Until when somebody is told of a mailbox's changes.
    #[must_use]
    pub fn watched_until(&self, address: &str) -> Option<Timestamp> {
        self.world().mailboxes.get(address)?.watch.as_ref().map(|watch| watch.expires_at)
    }

    /// How far a mailbox's history goes.
    #[must_use]
    pub fn history_id(&self, address: &str) -> Option<u64> {
        self.world().mailboxes.get(address).map(|mailbox| mailbox.history_id)
    }

    /// Everything in a mailbox, latest first.
    #[must_use]
    pub fn held(&self, address: &str) -> Vec<Held> {
        let world = self.world();
        let messages = world.mailboxes.get(address).into_iter().flat_map(Mailbox::messages);
        let held = messages.map(|message| Held {
            id: message.id.clone(),
            thread: message.thread.clone(),
            labels: message.labels.clone(),
            raw: message.raw.clone(),
        });
        held.collect()
    }

    /// What was sent from a mailbox, oldest first.
    #[must_use]
    pub fn sent(&self, address: &str) -> Vec<Held> {
        let mut held = self.held(address);
        held.retain(|held| held.labels.contains("SENT"));
        held.reverse();
        held
    }

    /// Every request that arrived, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Heard> {
        self.world().heard.iter().cloned().collect()
    }

    /// The same as the egress recorder tells it.
    #[must_use]
    pub fn reached(&self) -> Vec<Reached> {
        let reached = |heard: &Heard| Reached {
            processor: Processor::Google,
            purpose: heard.purpose,
            bytes: [heard.path.as_bytes(), b"\n", &heard.body].concat(),
        };
        self.world().heard.iter().map(reached).collect()
    }

    /// The token of a push that is made now, with other claims in the place of what it would say.
    #[must_use]
    pub fn push_token(&self, others: &Value) -> String {
        self.signer.token(self.clock.now(), others)
    }

    /// A push that tells how far a mailbox's history goes now, signed, to be sent to `uri`; whether or not somebody watches.
    #[must_use]
    pub fn push_event(&self, address: &str, uri: &str) -> Option<Request<Bytes>> {
        let history_id = self.history_id(address)?;
        let push = self.world().publish(address, history_id, self.clock.now());
        self.signed(&push, uri)
    }

    /// The request of a push, signed now.
    #[must_use]
    pub fn signed(&self, push: &Push, uri: &str) -> Option<Request<Bytes>> {
        push.request(uri, &self.push_token(&Value::Null))
    }

    /// Publishes a notice of its own: again, of an earlier point, of a mailbox that nobody watches or knows.
    pub fn tell(&self, address: &str, history_id: u64) {
        let now = self.clock.now();
        let mut world = self.world();
        let push = world.publish(address, history_id, now);
        world.pushes.push_back(push);
    }

    /// Takes the pushes that are due. Who takes one pushes it, and gives it back where it was not acknowledged.
    #[must_use]
    pub fn take_pushes(&self) -> Vec<Push> {
        let now = self.clock.now();
        let mut world = self.world();
        let (due, later) = std::mem::take(&mut world.pushes).into_iter().partition(|push| push.due_at <= now);
        world.pushes = later;
        let due: VecDeque<Push> = due;
        due.into()
    }

    /// When the next push is due.
    #[must_use]
    pub fn next_push(&self) -> Option<Timestamp> {
        self.world().pushes.iter().map(|push| push.due_at).min()
    }

    /// A push was not acknowledged: it is due again, later each time.
    pub fn push_again(&self, mut push: Push) {
        let wait = FIRST_BACK_OFF.saturating_mul(2_u32.saturating_pow(push.failures));
        push.due_at = self.clock.now() + wait.min(LONGEST_BACK_OFF);
        push.failures += 1;
        self.world().pushes.push_back(push);
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
