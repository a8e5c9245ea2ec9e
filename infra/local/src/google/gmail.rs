//! Gmail v1 as its discovery document has it, for a mailbox: methods, formats, errors. What a mailbox is, is `mailbox`'s.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::any;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use storeward_core::egress::Use;
use storeward_core::google_oauth::SCOPE;
use storeward_core::time::Timestamp;

use super::mail::{self, Heading};
use super::mailbox::{Belongs, Mailbox, Message, WATCH, Watch};
use super::refusal::Refusal;
use super::search::Search;
use super::{Google, Heard, TOPIC, Trouble, json_response};

/// The largest request (the discovery document's bound for mails, in base64, and some).
const LARGEST: usize = 48 * 1024 * 1024;

/// The largest mail that is taken (discovery document, `mediaUpload.maxSize`).
const LARGEST_MAIL: usize = 36_700_160;

/// How many entries a page has that does not say, and at most.
const USUAL_PAGE: usize = 100;
const LONGEST_PAGE: usize = 500;

/// How long an answer takes while calls that overlap are refused.
const TAKES: Duration = Duration::from_millis(20);

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a call wants, taken apart.
struct Asked<'a> {
    query: &'a [(String, String)],
    body: &'a [u8],
    now: Timestamp,
}

impl Asked<'_> {
    fn one(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        let of_it = self.query.iter().filter(|(known, _)| known == name);
        of_it.map(|(_, value)| value.clone()).collect()
    }

    fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(self.body).map_err(|_| {
            Refusal::new(400, "parseError", "INVALID_ARGUMENT", "Invalid JSON payload received.")
        })
    }

    /// A page of a list, and where the next one begins.
    fn page<T>(&self, all: Vec<T>) -> Result<(Vec<T>, Option<String>), Refusal> {
        let size = match self.one("maxResults").map(str::parse) {
            None => USUAL_PAGE,
            Some(Ok(size)) if size > 0 => LONGEST_PAGE.min(size),
            Some(_) => return Err(Refusal::invalid("Invalid value at 'max_results'")),
        };
        let from = match self.one("pageToken") {
            None => 0,
            Some(token) => token
                .strip_prefix("page-")
                .and_then(|place| place.parse().ok())
                .ok_or_else(|| Refusal::invalid("Invalid pageToken"))?,
        };
        let more = all.len() > from + size;
        let page = all.into_iter().skip(from).take(size).collect();
        Ok((page, more.then(|| format!("page-{}", from + size))))
    }
}

/// What a method is called in the discovery document, below `gmail.users.`, and the code of it.
type Handling = fn(&mut Mailbox, &Asked<'_>, &[&str]) -> Result<Option<Value>, Refusal>;

fn method_of<'a>(verb: &str, path: &'a [&'a str]) -> Option<(&'static str, Vec<&'a str>, Handling)> {
    Some(match (verb, path) {
        ("GET", ["profile"]) => ("getProfile", vec![], profile),
        ("POST", ["watch"]) => ("watch", vec![], watch),
        ("POST", ["stop"]) => ("stop", vec![], stop),
        ("GET", ["history"]) => ("history.list", vec![], history),
        ("GET", ["labels"]) => ("labels.list", vec![], labels),
        ("GET", ["messages"]) => ("messages.list", vec![], messages),
        ("POST", ["messages", "send"]) => ("messages.send", vec![], send),
        ("GET", ["messages", id]) => ("messages.get", vec![id], message),
        ("DELETE", ["messages", id]) => ("messages.delete", vec![id], delete_message),
        ("POST", ["messages", id, "modify"]) => ("messages.modify", vec![id], modify),
        ("POST", ["messages", id, "trash"]) => ("messages.trash", vec![id], trash),
        ("GET", ["messages", id, "attachments", part]) => {
            ("messages.attachments.get", vec![id, part], attachment)
        }
        ("GET", ["threads"]) => ("threads.list", vec![], threads),
        ("GET", ["threads", id]) => ("threads.get", vec![id], thread),
        ("GET", ["drafts"]) => ("drafts.list", vec![], drafts),
        ("POST", ["drafts"]) => ("drafts.create", vec![], create_draft),
        ("POST", ["drafts", "send"]) => ("drafts.send", vec![], send_draft),
        ("GET", ["drafts", id]) => ("drafts.get", vec![id], draft),
        ("PUT", ["drafts", id]) => ("drafts.update", vec![id], update_draft),
        ("DELETE", ["drafts", id]) => ("drafts.delete", vec![id], delete_draft),
        _ => return None,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in a table with methods that refuse")]
fn profile(mailbox: &mut Mailbox, _: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let threads: BTreeSet<&str> = mailbox.messages().map(|message| message.thread.as_str()).collect();
    Ok(Some(json!({
        "emailAddress": mailbox.address, "messagesTotal": mailbox.messages().count(),
        "threadsTotal": threads.len(), "historyId": mailbox.history_id.to_string(),
    })))
}

fn watch(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let wish = asked.json()?;
    let topic = wish["topicName"].as_str().unwrap_or_default();
    if !topic.starts_with("projects/") || !topic.contains("/topics/") {
        return Err(Refusal::invalid(format!(
            "Invalid topicName does not match projects/*/topics/*: {topic}"
        )));
    }
    if mailbox.told_elsewhere {
        let message =
            "Only one user push notification client allowed per developer (call /stop then try again)";
        return Err(Refusal::new(400, "failedPrecondition", "FAILED_PRECONDITION", message));
    }
    if topic != TOPIC {
        let message = format!("Error sending test message to Cloud PubSub {topic} : Resource not found.");
        return Err(Refusal::invalid(message));
    }
    let labels = wish["labelIds"].as_array().into_iter().flatten();
    let labels = labels.filter_map(Value::as_str).map(str::to_owned).collect();
    let behaviour = wish["labelFilterBehavior"].as_str().or_else(|| wish["labelFilterAction"].as_str());
    let exclude = match behaviour.map(str::to_ascii_lowercase).as_deref() {
        None | Some("include") => false,
        Some("exclude") => true,
        Some(_) => return Err(Refusal::invalid("Invalid value at 'label_filter_behavior'")),
    };
    let expires_at = asked.now + WATCH;
    mailbox.watch = Some(Watch { expires_at, labels, exclude });
    mailbox.to_tell.push(mailbox.history_id);
    let (history_id, expiration) = (mailbox.history_id.to_string(), expires_at.millis().to_string());
    Ok(Some(json!({ "historyId": history_id, "expiration": expiration })))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in a table with methods that refuse")]
fn stop(mailbox: &mut Mailbox, _: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    mailbox.watch = None;
    mailbox.told_elsewhere = false;
    Ok(None)
}

fn history(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let start = asked.one("startHistoryId").ok_or_else(|| Refusal::invalid("Missing startHistoryId"))?;
    let start = start.parse().map_err(|_| Refusal::invalid("Invalid value at 'start_history_id'"))?;
    let types = asked.all("historyTypes");
    let known = ["messageAdded", "messageDeleted", "labelAdded", "labelRemoved"];
    if types.iter().any(|given| !known.contains(&given.as_str())) {
        return Err(Refusal::invalid("Invalid value at 'history_types'"));
    }
    let records = mailbox.since(start, &types, asked.one("labelId")).ok_or_else(Refusal::not_found)?;
    let (page, next) = asked.page(records)?;
    let mut answer = json!({ "historyId": mailbox.history_id.to_string() });
    if !page.is_empty() {
        answer["history"] = json!(page);
    }
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Some(answer))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in a table with methods that refuse")]
fn labels(_: &mut Mailbox, _: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let system = ["INBOX", "SENT", "DRAFT", "SPAM", "TRASH", "UNREAD", "STARRED", "IMPORTANT"];
    let system = system.map(|name| json!({ "id": name, "name": name, "type": "system" }));
    Ok(Some(json!({ "labels": system })))
}

/// The messages that a list is asked for, latest first.
fn found(mailbox: &Mailbox, asked: &Asked<'_>) -> Vec<Message> {
    let search = Search::read(asked.one("q").unwrap_or_default());
    let labels = asked.all("labelIds");
    let everywhere = asked.one("includeSpamTrash") == Some("true")
        || labels.iter().any(|label| label == "SPAM" || label == "TRASH");
    let wanted = |message: &&Message| {
        labels.iter().all(|label| message.labels.contains(label))
            && search.finds(message, everywhere, asked.now)
    };
    mailbox.messages().filter(wanted).cloned().collect()
}

/// A page of a list under a name.
fn listed(name: &str, asked: &Asked<'_>, all: Vec<Value>) -> Result<Option<Value>, Refusal> {
    let mut answer = json!({ "resultSizeEstimate": all.len() });
    let (page, next) = asked.page(all)?;
    if !page.is_empty() {
        answer[name] = json!(page);
    }
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    Ok(Some(answer))
}

fn messages(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    listed("messages", asked, found(mailbox, asked).iter().map(Message::name).collect())
}

fn threads(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let mut known = BTreeSet::new();
    let mut all = found(mailbox, asked);
    all.retain(|message| known.insert(message.thread.clone()));
    let shown = |message: &Message| {
        json!({
            "id": message.thread, "snippet": message.heading.snippet,
            "historyId": message.history_id.to_string(),
        })
    };
    listed("threads", asked, all.iter().map(shown).collect())
}

/// A message in one of the formats of the API.
fn shown(message: &Message, format: &str, headers: &[String]) -> Result<Value, Refusal> {
    let mut out = message.name();
    out["labelIds"] = json!(message.labels);
    out["snippet"] = json!(message.heading.snippet);
    out["historyId"] = json!(message.history_id.to_string());
    out["internalDate"] = json!(message.received_at.millis().to_string());
    out["sizeEstimate"] = json!(message.raw.len());
    match format {
        "minimal" => {}
        "raw" => out["raw"] = json!(URL_SAFE.encode(&message.raw)),
        "full" => out["payload"] = mail::payload(&message.raw, None),
        "metadata" => out["payload"] = mail::payload(&message.raw, Some(headers)),
        _ => return Err(Refusal::invalid("Invalid value at 'format'")),
    }
    Ok(out)
}

fn message(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    let message = mailbox.message(path[0]).ok_or_else(Refusal::not_found)?;
    let format = asked.one("format").unwrap_or("full");
    shown(message, format, &asked.all("metadataHeaders")).map(Some)
}

fn attachment(mailbox: &mut Mailbox, _: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    let message = mailbox.message(path[0]).ok_or_else(Refusal::not_found)?;
    let number = path[1].strip_prefix("part-").and_then(|number| number.parse().ok());
    let content = number.and_then(|number| mail::attachment(&message.raw, number));
    content.map(Some).ok_or_else(|| Refusal::invalid("Invalid attachment token"))
}

fn delete_message(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    if mailbox.delete(path[0], asked.now) { Ok(None) } else { Err(Refusal::not_found()) }
}

fn relabelled(
    mailbox: &mut Mailbox,
    id: &str,
    add: &[String],
    remove: &[String],
    now: Timestamp,
) -> Result<Option<Value>, Refusal> {
    if !mailbox.relabel(id, add, remove, now) {
        return Err(Refusal::not_found());
    }
    let message = mailbox.message(id).ok_or_else(Refusal::not_found)?;
    let mut out = message.name();
    out["labelIds"] = json!(message.labels);
    Ok(Some(out))
}

fn modify(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    let wish = asked.json()?;
    let list = |name: &str| -> Vec<String> {
        let all = wish[name].as_array().into_iter().flatten();
        all.filter_map(|label| label.as_str().map(str::to_owned)).collect()
    };
    relabelled(mailbox, path[0], &list("addLabelIds"), &list("removeLabelIds"), asked.now)
}

fn trash(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    relabelled(mailbox, path[0], &["TRASH".to_owned()], &["INBOX".to_owned()], asked.now)
}

fn thread(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    let format = asked.one("format").unwrap_or("full");
    if format == "raw" {
        return Err(Refusal::invalid("Invalid value at 'format'"));
    }
    let headers = asked.all("metadataHeaders");
    let shown: Result<Vec<Value>, Refusal> =
        mailbox.thread(path[0]).map(|message| shown(message, format, &headers)).collect();
    let shown = shown?;
    if shown.is_empty() {
        return Err(Refusal::not_found());
    }
    let latest = mailbox.thread(path[0]).map(|message| message.history_id).max().unwrap_or_default();
    Ok(Some(json!({ "id": path[0], "historyId": latest.to_string(), "messages": shown })))
}

/// The mail in a message of a request, and the thread it should go into.
fn written(mailbox: &Mailbox, message: &Value) -> Result<(Bytes, Option<String>), Refusal> {
    let raw = message["raw"].as_str().unwrap_or_default();
    let raw =
        BASE64.decode(raw.as_bytes()).map_err(|_| Refusal::invalid("Invalid value at 'message.raw'"))?;
    if raw.is_empty() {
        let message = "'raw' RFC822 payload message string or uploading message via /upload/* URL required";
        return Err(Refusal::invalid(message));
    }
    if raw.len() > LARGEST_MAIL {
        return Err(Refusal::new(413, "uploadTooLarge", "INVALID_ARGUMENT", "Request entity too large."));
    }
    let thread = message["threadId"].as_str().filter(|thread| !thread.is_empty()).map(str::to_owned);
    if thread.as_ref().is_some_and(|thread| mailbox.thread(thread).next().is_none()) {
        return Err(Refusal::not_found());
    }
    Ok((raw.into(), thread))
}

/// Sends a mail: it lies in the mailbox as what was sent, and goes nowhere.
pub(super) fn send_out(
    mailbox: &mut Mailbox,
    raw: Bytes,
    thread: Option<&str>,
    now: Timestamp,
) -> Option<Message> {
    if Heading::of(&raw).to.is_empty() {
        return None;
    }
    let made = format!("<CA+test-{:x}@mail.gmail.com>", mailbox.history_id);
    let date = rfc2822(now);
    let raw = mail::completed(raw, &mailbox.address, &date, &made);
    let belongs = thread.map_or(Belongs::ByHeaders, Belongs::Thread);
    Some(mailbox.add(raw, &["SENT"], &belongs, now))
}

fn rfc2822(now: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn sent(
    mailbox: &mut Mailbox,
    raw: Bytes,
    thread: Option<&str>,
    now: Timestamp,
) -> Result<Option<Value>, Refusal> {
    let sent = send_out(mailbox, raw, thread, now);
    let sent = sent.ok_or_else(|| Refusal::invalid("Recipient address required"))?;
    let mut out = sent.name();
    out["labelIds"] = json!(sent.labels);
    Ok(Some(out))
}

fn send(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let (raw, thread) = written(mailbox, &asked.json()?)?;
    sent(mailbox, raw, thread.as_deref(), asked.now)
}

fn described_draft(mailbox: &Mailbox, id: &str) -> Option<Value> {
    let message = mailbox.message(mailbox.drafts.get(id)?)?;
    let mut name = message.name();
    name["labelIds"] = json!(message.labels);
    Some(json!({ "id": id, "message": name }))
}

fn drafts(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let all = mailbox
        .drafts
        .iter()
        .filter_map(|(id, message)| Some(json!({ "id": id, "message": mailbox.message(message)?.name() })));
    listed("drafts", asked, all.collect())
}

fn draft(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    let message = mailbox.drafts.get(path[0]).and_then(|message| mailbox.message(message));
    let message = message.ok_or_else(Refusal::not_found)?;
    let shown = shown(message, asked.one("format").unwrap_or("full"), &[])?;
    Ok(Some(json!({ "id": path[0], "message": shown })))
}

fn put_draft(mailbox: &mut Mailbox, asked: &Asked<'_>, id: Option<&str>) -> Result<Option<Value>, Refusal> {
    let (raw, thread) = written(mailbox, &asked.json()?["message"])?;
    let belongs = thread.as_deref().map_or(Belongs::ByHeaders, Belongs::Thread);
    let message = mailbox.add(raw, &["DRAFT"], &belongs, asked.now);
    let id = id.map_or_else(|| format!("r-{}", message.history_id), str::to_owned);
    if let Some(before) = mailbox.drafts.insert(id.clone(), message.id) {
        mailbox.delete(&before, asked.now);
    }
    described_draft(mailbox, &id).map(Some).ok_or_else(Refusal::not_found)
}

fn create_draft(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    put_draft(mailbox, asked, None)
}

fn update_draft(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    if !mailbox.drafts.contains_key(path[0]) {
        return Err(Refusal::not_found());
    }
    put_draft(mailbox, asked, Some(path[0]))
}

fn send_draft(mailbox: &mut Mailbox, asked: &Asked<'_>, _: &[&str]) -> Result<Option<Value>, Refusal> {
    let id = asked.json()?["id"].as_str().unwrap_or_default().to_owned();
    let message = mailbox.drafts.get(&id).and_then(|message| mailbox.message(message));
    let message = message.cloned().ok_or_else(Refusal::not_found)?;
    let answer = sent(mailbox, message.raw.clone(), Some(&message.thread), asked.now)?;
    mailbox.delete(&message.id, asked.now);
    Ok(answer)
}

fn delete_draft(mailbox: &mut Mailbox, asked: &Asked<'_>, path: &[&str]) -> Result<Option<Value>, Refusal> {
    let message = mailbox.drafts.get(path[0]).cloned().ok_or_else(Refusal::not_found)?;
    mailbox.delete(&message, asked.now);
    Ok(None)
}

/// What a method is for, as the register has it.
const fn purpose_of(method: &str) -> Use {
    match method.as_bytes() {
        b"getProfile" | b"watch" | b"history.list" => Use::MailboxAccess,
        b"stop" => Use::MailboxRelease,
        _ => Use::Mailbox,
    }
}

pub(super) fn router() -> Router<Google> {
    Router::new().route("/gmail/v1/users/{user}/{*rest}", any(serve))
}

async fn serve(State(google): State<Google>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        let message = "Request entity too large.";
        return Refusal::new(413, "uploadTooLarge", "INVALID_ARGUMENT", message).response();
    };
    let path = parts.uri.path().split_once("/gmail/v1/users/").map(|(_, rest)| rest).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let call = Call { verb: parts.method.as_str(), path, query, headers: &parts.headers, body: &body };
    let (answer, address) = match google.open(&call) {
        Ok(opened) => (google.answered(&call, &opened).await, Some(opened.address.clone())),
        Err(refusal) => (Err(refusal), None),
    };
    let response = match answer {
        Ok(Some(value)) => json_response(StatusCode::OK, &value),
        Ok(None) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(refusal) => refusal.response(),
    };
    google.heard(&call, address, response.status());
    response
}

/// A call as it arrived.
struct Call<'a> {
    verb: &'a str,
    /// `me/messages/send`
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

/// A mailbox that a call is being answered for, until it is dropped.
struct Opened<'a> {
    google: &'a Google,
    address: String,
    /// Whether another call for it is under way.
    overlaps: bool,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.google.world().mailboxes.get_mut(&self.address) {
            mailbox.busy = mailbox.busy.saturating_sub(1);
        }
    }
}

impl Google {
    async fn answered(&self, call: &Call<'_>, opened: &Opened<'_>) -> Result<Option<Value>, Refusal> {
        let forbids = self.world().forbids_overlap;
        if forbids {
            tokio::time::sleep(TAKES).await;
            if opened.overlaps {
                return Err(Refusal::trouble(Trouble::TooManyConcurrent, self.clock.now()));
            }
        }
        self.answer(call, &opened.address)
    }

    /// The mailbox that a call opens.
    fn open(&self, call: &Call<'_>) -> Result<Opened<'_>, Refusal> {
        let now = self.clock.now();
        let mut world = self.world();
        let given = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|given| given.strip_prefix("Bearer ")).unwrap_or_default();
        let Some((address, scopes)) = world.consents.opened_by(token, now) else {
            return Err(Refusal::credentials());
        };
        if !scopes.contains(SCOPE) && !scopes.contains("https://mail.google.com/") {
            return Err(Refusal::trouble(Trouble::OutOfScope, now));
        }
        let address = address.to_owned();
        let user = call.path.split('/').next().unwrap_or_default().replace("%40", "@");
        if user != "me" && user != address {
            return Err(Refusal::new(
                403,
                "forbidden",
                "PERMISSION_DENIED",
                "Delegation denied for the user.",
            ));
        }
        let mailbox = world.mailboxes.get_mut(&address).ok_or_else(Refusal::not_found)?;
        mailbox.busy += 1;
        let overlaps = mailbox.busy > 1;
        Ok(Opened { google: self, address, overlaps })
    }

    fn answer(&self, call: &Call<'_>, address: &str) -> Result<Option<Value>, Refusal> {
        let now = self.clock.now();
        let mut world = self.world();
        let rest: Vec<&str> = call.path.split('/').skip(1).collect();
        let Some((name, path, handle)) = method_of(call.verb, &rest) else {
            return Err(Refusal::not_found());
        };
        let mailbox = world.mailboxes.get_mut(address).ok_or_else(Refusal::not_found)?;
        let trouble = mailbox.take_trouble(name);
        if let Some(trouble) = trouble.filter(|trouble| *trouble != Trouble::DoneAndFails) {
            return Err(Refusal::trouble(trouble, now));
        }
        let query: Vec<(String, String)> =
            form_urlencoded::parse(call.query.as_bytes()).into_owned().collect();
        let answer = handle(mailbox, &Asked { query: &query, body: call.body, now }, &path);
        world.tell(now);
        match (trouble, answer) {
            (Some(trouble), Ok(_)) => Err(Refusal::trouble(trouble, now)),
            (_, answer) => answer,
        }
    }

    fn heard(&self, call: &Call<'_>, mailbox: Option<String>, status: StatusCode) {
        let rest: Vec<&str> = call.path.split('/').skip(1).collect();
        let name = method_of(call.verb, &rest).map_or("unknown", |(name, ..)| name);
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let heard = Heard {
            at: self.clock.now(),
            mailbox,
            purpose: purpose_of(name),
            method: call.verb.to_owned(),
            path: format!("/gmail/v1/users/{}{query}", call.path),
            body: call.body.clone(),
            status: status.as_u16(),
        };
        self.world().hear(heard);
    }
}
