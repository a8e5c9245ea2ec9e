//! The clients that are deployed against the simulated Google, over the wire: each says of the other whether it is right.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storeward_clients::ClientError;
use storeward_clients::gmail::{
    Fetched, Gmail, GmailError, History, HistoryPage, MessageHead, Sending, Watched,
};
use storeward_clients::google::{Google as OauthClient, GoogleApp, GrantError};
use storeward_clients::issuer::{KeyCache, KeyDocument};
use storeward_core::data_map::Category;
use storeward_core::egress::{Categories, Outgoing, Register};
use storeward_core::gmail::{HistoryId, MessageId, ThreadId};
use storeward_core::google_oauth::{
    Authorization, Callback, GrantedScopes, MailboxGrant, SCOPE, State, Verifier,
};
use storeward_core::jwt::key_named;
use storeward_core::oauth::Query;
use storeward_core::push::{ExpectedPush, MailboxNotice, PushToken, PushTokenFault};
use storeward_core::time::{DAY, HOUR, ManualClock};
use tokio::net::TcpListener;

use super::*;
use crate::wire;

const SUPPORT: &str = "support@example.com";
const APP: GoogleApp<'static> = GoogleApp { client_id: CLIENT_ID, client_secret: CLIENT_SECRET };
const REDIRECT: &str = "http://127.0.0.1:9/google/callback";
const LARGEST: usize = 100_000;

struct Bench {
    clock: ManualClock,
    google: Google,
    port: u16,
    oauth: OauthClient,
    gmail: Gmail,
}

impl Bench {
    async fn new() -> Self {
        let clock = ManualClock::new(Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap());
        let google = Google::new(Arc::new(clock.clone())).unwrap();
        google.add_mailbox(SUPPORT);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().nest(PATH, google.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let endpoint = format!("http://127.0.0.1:{port}{PATH}");
        let oauth = OauthClient::new(&endpoint, Register::CURRENT, Arc::new(clock.clone())).unwrap();
        let gmail = Gmail::new(&endpoint, Register::CURRENT, Arc::new(clock.clone())).unwrap();
        Self { clock, google, port, oauth, gmail }
    }

    /// What a browser comes back with that is sent to the page of consent.
    async fn consents(&self, verifier: &Verifier) -> Callback {
        let state = State::new(&[7; 32]);
        let page = format!("{PATH}/o/oauth2/v2/auth");
        let authorization = Authorization {
            page: &page,
            client_id: CLIENT_ID,
            redirect_uri: REDIRECT,
            state: &state,
            verifier,
        };
        let location = wire::location(self.port, &authorization.url()).await;
        let (place, query) = location.split_once('?').unwrap();
        assert_eq!(place, REDIRECT);
        let callback = Callback::read(&Query::parse(query).unwrap()).unwrap();
        let (Callback::Agreed { state: back, .. } | Callback::Refused { state: back, .. }) = &callback;
        assert_eq!(*back, state);
        callback
    }

    async fn connect(&self) -> MailboxGrant {
        let verifier = Verifier::new(&[8; 32]);
        let Callback::Agreed { code, .. } = self.consents(&verifier).await else { panic!("refused") };
        self.oauth.exchange_code(APP, &code, &verifier, REDIRECT).await.unwrap()
    }

    /// The mailbox of [`SUPPORT`], opened anew.
    async fn mailbox(&self) -> storeward_clients::gmail::Mailbox {
        self.gmail.mailbox(&self.connect().await.access)
    }

    fn deliver(&self, raw: String) -> MessageId {
        MessageId::new(self.google.deliver(SUPPORT, raw).unwrap()).unwrap()
    }
}

/// A mail of a customer, the `number`th; behind another one where that is named.
fn mail(number: u32, before: Option<u32>) -> String {
    let behind = before.map_or_else(String::new, |before| {
        format!("In-Reply-To: <m{before}@example.com>\r\nReferences: <m{before}@example.com>\r\n")
    });
    let re = if before.is_some() { "Re: " } else { "" };
    format!(
        "From: Someone <someone@example.com>\r\nTo: {SUPPORT}\r\nSubject: {re}Where is it?\r\n\
         Message-ID: <m{number}@example.com>\r\n{behind}\r\nWhere is my order?\r\n"
    )
}

/// An answer to the `before`th mail.
fn answer(before: u32) -> Outgoing<Vec<u8>> {
    let raw = format!(
        "From: {SUPPORT}\r\nTo: someone@example.com\r\nSubject: Re: Where is it?\r\n\
         Message-ID: <answer{before}@storeward.example.com>\r\nIn-Reply-To: <m{before}@example.com>\r\n\
         References: <m{before}@example.com>\r\n\r\nOn its way.\r\n"
    );
    let about = Categories::of(&[Category::CustomerContact, Category::Correspondence]);
    Outgoing::carrying(about, raw.into_bytes())
}

fn page(history: History) -> HistoryPage {
    match history {
        History::Page(page) => page,
        History::TooOld => panic!("too old"),
    }
}

fn throttled(seconds: u64) -> GmailError {
    ClientError::Throttled(Duration::from_secs(seconds)).into()
}

#[tokio::test]
async fn given_a_merchant_who_agrees_then_the_code_counts_once_and_for_its_own_verifier_alone() {
    let bench = Bench::new().await;
    let verifier = Verifier::new(&[8; 32]);
    let Callback::Agreed { code, .. } = bench.consents(&verifier).await else { panic!("refused") };
    let grant = bench.oauth.exchange_code(APP, &code, &verifier, REDIRECT).await.unwrap();
    assert_eq!(grant.access.expires_at, bench.clock.now() + Duration::from_secs(3599));
    assert!(grant.scopes.suffice() && grant.refresh_expires_at.is_none());
    let again = bench.oauth.exchange_code(APP, &code, &verifier, REDIRECT).await;
    assert_eq!(again, Err(GrantError::Ended));
    let Callback::Agreed { code, .. } = bench.consents(&verifier).await else { panic!("refused") };
    let stolen = bench.oauth.exchange_code(APP, &code, &Verifier::new(&[9; 32]), REDIRECT).await;
    assert_eq!(stolen, Err(GrantError::Ended));
    let Callback::Agreed { code, .. } = bench.consents(&verifier).await else { panic!("refused") };
    bench.clock.advance(Duration::from_mins(10));
    assert_eq!(bench.oauth.exchange_code(APP, &code, &verifier, REDIRECT).await, Err(GrantError::Ended));
    let stranger = GoogleApp { client_secret: "another", ..APP };
    let unknown = bench.oauth.exchange_code(stranger, &code, &verifier, REDIRECT).await;
    assert_eq!(
        unknown,
        Err(GrantError::Client(ClientError::Unauthorized)),
        "that is not the mailbox's fault"
    );
}

#[tokio::test]
async fn given_a_merchant_who_denies_or_grants_less_then_that_is_seen_before_any_mail_is_read() {
    let bench = Bench::new().await;
    bench.google.answer_next(Answer::Denies);
    let Callback::Refused { why, .. } = bench.consents(&Verifier::new(&[8; 32])).await else {
        panic!("agreed");
    };
    assert_eq!(why, "access_denied");
    bench.google.answer_next(Answer::Grants(BTreeSet::new()));
    let grant = bench.connect().await;
    assert_eq!((grant.scopes.suffice(), grant.scopes.clone()), (false, GrantedScopes::default()));
    let profile = bench.gmail.mailbox(&grant.access).profile().await;
    assert_eq!(profile, Err(GmailError::ScopeLacking));
}

#[tokio::test]
async fn given_a_consent_then_it_is_renewed_until_it_is_revoked_by_either_side() {
    let bench = Bench::new().await;
    let grant = bench.connect().await;
    bench.clock.advance(HOUR);
    let profile = bench.gmail.mailbox(&grant.access).profile().await;
    assert_eq!(profile, Err(GmailError::TokenEnded));
    let renewed = bench.oauth.refresh(APP, &grant).await.unwrap();
    assert_eq!((&renewed.refresh_token, &renewed.scopes), (&grant.refresh_token, &grant.scopes));
    assert_ne!(renewed.access, grant.access);
    let profile = bench.gmail.mailbox(&renewed.access).profile().await.unwrap();
    assert_eq!(profile.address.expose(), SUPPORT);
    // Google does not answer: nothing is known of the consent.
    bench.google.fail_tokens_next(StatusCode::SERVICE_UNAVAILABLE);
    let failed = bench.oauth.refresh(APP, &renewed).await;
    assert_eq!(failed, Err(GrantError::Client(ClientError::Unavailable("status 503".to_owned()))));
    bench.oauth.revoke(&renewed.refresh_token).await.unwrap();
    bench.oauth.revoke(&renewed.refresh_token).await.unwrap();
    assert_eq!(bench.oauth.refresh(APP, &renewed).await, Err(GrantError::Ended));
    assert_eq!(bench.gmail.mailbox(&renewed.access).profile().await, Err(GmailError::TokenEnded));
    let grant = bench.connect().await;
    bench.google.end_consent(SUPPORT);
    assert_eq!(bench.oauth.refresh(APP, &grant).await, Err(GrantError::Ended));
    assert_eq!(bench.google.consents(SUPPORT), 0);
}

#[tokio::test]
async fn given_a_watch_then_every_change_is_pushed_under_googles_token_until_it_lapses() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    bench.google.deliver(SUPPORT, mail(1, None)).unwrap();
    assert!(bench.google.take_pushes().is_empty(), "nobody watches");
    let Watched::Until { expires_at, history_id } = mailbox.watch(TOPIC).await.unwrap() else {
        panic!("watched by another");
    };
    assert_eq!(expires_at, bench.clock.now() + DAY * 7);
    bench.deliver(mail(2, None));
    bench.google.deliver_as(SUPPORT, mail(3, None), &["SPAM"]).unwrap();
    let pushes = bench.google.take_pushes();
    let told: Vec<u64> = pushes.iter().map(|push| push.history_id).collect();
    assert_eq!((told.len(), told[0]), (2, history_id.0), "the first comes at once; spam is not told");
    assert!(told[1] > told[0]);
    // The push is what our own side accepts, with keys from where Google publishes them.
    let keys = KeyDocument::new(&format!("http://127.0.0.1:{}{PATH}/oauth2/v3/certs", bench.port)).unwrap();
    let fetched = keys.keys().await.unwrap();
    assert_eq!(fetched.max_age, Some(Duration::from_secs(22_311)));
    let request = bench.google.signed(&pushes[1], "/").unwrap();
    let token =
        request.headers()["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let expected = ExpectedPush { audience: PUSH_AUDIENCE, service_account: PUSH_SERVICE_ACCOUNT };
    let (cache, now) = (KeyCache::default(), bench.clock.now());
    let keys = cache.keys(&key_named(&token).unwrap(), now, keys.keys()).await.unwrap();
    assert!(PushToken::verify(&token, &expected, &keys, now).is_ok());
    let forged = bench.google.push_token(&json!({ "aud": "another" }));
    assert_eq!(PushToken::verify(&forged, &expected, &keys, now), Err(PushTokenFault::Audience));
    let notice = MailboxNotice::read(request.body()).unwrap();
    assert_eq!((notice.address.expose().as_str(), notice.history_id.0), (SUPPORT, told[1]));
    // One that is not acknowledged comes again, later each time, under the same number.
    bench.google.push_again(pushes[1].clone());
    assert!(bench.google.take_pushes().is_empty());
    bench.clock.set(bench.google.next_push().unwrap());
    let again = bench.google.take_pushes();
    assert_eq!((again[0].message_id.as_str(), again[0].failures), (pushes[1].message_id.as_str(), 1));
    // Then the watch lapses, without any error.
    let mailbox = bench.mailbox().await;
    bench.clock.set(expires_at);
    bench.deliver(mail(4, None));
    assert!(bench.google.take_pushes().is_empty());
    assert_eq!(mailbox.stop().await, Err(GmailError::TokenEnded));
    bench.mailbox().await.stop().await.unwrap();
    assert_eq!(bench.google.watched_until(SUPPORT), None);
}

#[tokio::test]
async fn given_a_mailbox_that_tells_another_client_then_it_is_stopped_and_watched_again() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    bench.google.watch_elsewhere(SUPPORT);
    assert_eq!(mailbox.watch(TOPIC).await, Ok(Watched::OtherClient));
    mailbox.stop().await.unwrap();
    assert!(matches!(mailbox.watch(TOPIC).await, Ok(Watched::Until { .. })));
    let wrong = mailbox.watch("projects/another/topics/x").await.unwrap_err();
    assert_eq!(wrong, GmailError::Client(ClientError::Rejected("invalidArgument".to_owned())));
}

#[tokio::test]
async fn given_more_mail_than_a_page_then_one_start_leads_through_all_of_it_and_old_starts_are_told() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    let start = mailbox.profile().await.unwrap().history_id;
    let expected: Vec<MessageId> = (1..=501).map(|number| bench.deliver(mail(number, None))).collect();
    assert!(bench.google.relabel(SUPPORT, expected[0].expose(), &[], &["UNREAD"]));
    let first = page(mailbox.history(start, None).await.unwrap());
    assert_eq!(first.added.len(), 500);
    let second = page(mailbox.history(start, first.next.as_ref()).await.unwrap());
    assert_eq!((second.added.len(), &second.next), (1, &None));
    let told: Vec<MessageId> = first.added.into_iter().chain(second.added).map(|name| name.id).collect();
    assert_eq!(told, expected);
    assert_eq!(Some(second.history_id.0), bench.google.history_id(SUPPORT));
    let nothing = page(mailbox.history(second.history_id, None).await.unwrap());
    assert_eq!((nothing.added.len(), nothing.history_id), (0, second.history_id));
    bench.google.forget_history(SUPPORT);
    assert_eq!(mailbox.history(start, None).await, Ok(History::TooOld));
    assert_eq!(mailbox.history(HistoryId(u64::MAX), None).await, Ok(History::TooOld));
}

#[tokio::test]
async fn given_a_message_then_it_is_read_as_it_came_unless_it_is_gone_or_too_large() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    let id = bench.deliver(mail(1, None));
    let Fetched::Found(found) = mailbox.message(&id, LARGEST).await.unwrap() else { panic!("not found") };
    assert_eq!(found.raw.expose(), mail(1, None).as_bytes());
    assert_eq!((&found.name.id, found.received_at), (&id, bench.clock.now()));
    assert!(found.name.label_ids.contains("INBOX"));
    // To the byte, and without reading far more than was asked for.
    let size = mail(1, None).len();
    assert!(matches!(mailbox.message(&id, size).await, Ok(Fetched::Found(_))));
    assert_eq!(mailbox.message(&id, size - 1).await, Ok(Fetched::TooLarge));
    let large = bench.deliver(format!("{}{}", mail(2, None), "a".repeat(2_000_000)));
    assert_eq!(mailbox.message(&large, LARGEST).await, Ok(Fetched::TooLarge));
    let Fetched::Found(MessageHead { size, headers, .. }) = mailbox.head(&large).await.unwrap() else {
        panic!("not found");
    };
    assert!(size > 2_000_000);
    let subject =
        headers.iter().find(|(name, _)| name == "Subject").map(|(_, value)| value.expose().as_str());
    assert_eq!(subject, Some("Where is it?"));
    assert!(bench.google.delete(SUPPORT, id.expose()));
    assert_eq!(mailbox.message(&id, LARGEST).await, Ok(Fetched::Gone));
    assert_eq!(mailbox.head(&id).await, Ok(Fetched::Gone));
}

#[tokio::test]
async fn given_an_answer_then_it_is_in_the_thread_is_found_by_its_id_and_is_in_the_history() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    bench.deliver(mail(1, None));
    bench.deliver(mail(2, Some(1)));
    let start = mailbox.profile().await.unwrap().history_id;
    let held = bench.google.held(SUPPORT);
    assert_eq!(held[0].thread, held[1].thread, "by its headers");
    let thread = ThreadId::new(held[0].thread.clone()).unwrap();
    let named = Outgoing::about(Category::Correspondence, "answer2@storeward.example.com".to_owned());
    assert_eq!(mailbox.find(&named).await, Ok(None));
    // The answer is lost, the mail is not: looking for it tells.
    bench.google.trouble_at(SUPPORT, "messages.send", Trouble::DoneAndFails);
    let lost = mailbox.send(&answer(2), Some(&thread)).await;
    assert_eq!(lost, Err(ClientError::Unavailable("status 503".to_owned()).into()));
    let found = mailbox.find(&named).await.unwrap().unwrap();
    assert_eq!(found.thread_id, thread);
    assert_eq!(bench.google.sent(SUPPORT).len(), 1);
    let added = page(mailbox.history(start, None).await.unwrap()).added;
    assert_eq!(added.iter().map(|name| &name.id).collect::<Vec<_>>(), [&found.id]);
    assert!(added[0].label_ids.contains("SENT"));
    let messages = mailbox.thread(&thread).await.unwrap().unwrap();
    assert_eq!(messages.len(), 3);
    // In the trash it is still found; without the thread's headers a mail begins one of its own.
    assert!(bench.google.relabel(SUPPORT, found.id.expose(), &["TRASH"], &[]));
    assert!(mailbox.find(&named).await.unwrap().is_some());
    let ghost = b"To: someone@example.com\r\nSubject: Where is it?\r\n\r\nHm.\r\n".to_vec();
    let ghost = Outgoing::about(Category::CustomerContact, ghost);
    let Sending::Sent(ghost) = mailbox.send(&ghost, Some(&thread)).await.unwrap() else { panic!("not sent") };
    assert_ne!(ghost.thread_id, thread);
    let unknown = ThreadId::new("0000000000000001".to_owned()).unwrap();
    assert_eq!(mailbox.send(&answer(2), Some(&unknown)).await, Ok(Sending::ThreadGone));
    assert_eq!(mailbox.thread(&unknown).await, Ok(None));
    let nobody = Outgoing::about(Category::Correspondence, b"Subject: x\r\n\r\nx".to_vec());
    assert_eq!(
        mailbox.send(&nobody, None).await,
        Err(ClientError::Rejected("invalidArgument".to_owned()).into())
    );
}

#[tokio::test]
async fn given_a_search_then_it_finds_what_gmail_would_latest_first() {
    let bench = Bench::new().await;
    let old = bench.deliver(mail(1, None));
    bench.clock.advance(DAY * 8);
    let mailbox = bench.mailbox().await;
    let new = bench.deliver(mail(2, None));
    bench.google.deliver_as(SUPPORT, mail(3, None), &["SPAM"]).unwrap();
    bench.google.human_sends(SUPPORT, answer(2).value().clone(), None).unwrap();
    let search = async |query: &str| {
        let query = Outgoing::own(query.to_owned());
        let found = mailbox.search(&query, None).await.unwrap();
        assert!(found.next.is_none());
        found.messages.into_iter().map(|name| name.id).collect::<Vec<_>>()
    };
    assert_eq!(search("newer_than:7d in:inbox").await, std::slice::from_ref(&new));
    assert_eq!(search("in:inbox").await, [new.clone(), old.clone()]);
    assert_eq!(search("older_than:7d").await, std::slice::from_ref(&old));
    assert_eq!(search("rfc822msgid:m1@example.com").await, std::slice::from_ref(&old));
    assert_eq!(search("after:2026/11/23 -in:sent").await, std::slice::from_ref(&new));
    assert_eq!(search("before:2026/11/23").await, [old]);
    assert_eq!(search("in:spam").await.len(), 1);
    assert_eq!(search("in:sent from:support@").await.len(), 1);
    assert_eq!(search("subject:\"where is\" is:unread newer_than:7d").await, [new]);
    assert_eq!(search("nothing-of-the-kind").await, []);
}

#[tokio::test]
async fn given_trouble_then_each_kind_says_what_to_do_and_the_units_are_counted() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    for (trouble, expected) in [
        (Trouble::TooManyConcurrent, throttled(60)),
        (Trouble::UserRateLimit(Some(Duration::from_secs(7))), throttled(7)),
        (Trouble::UserRateLimit(None), throttled(60)),
        (Trouble::Quota, throttled(60)),
        (Trouble::LimitUntil(Duration::from_mins(15)), throttled(900)),
        (Trouble::Fails(StatusCode::BAD_GATEWAY), ClientError::Unavailable("status 502".to_owned()).into()),
        (Trouble::TokenEnded, GmailError::TokenEnded),
        (Trouble::OutOfScope, GmailError::ScopeLacking),
    ] {
        bench.google.trouble_next(SUPPORT, trouble);
        assert_eq!(mailbox.profile().await, Err(expected), "{trouble:?}");
    }
    mailbox.profile().await.unwrap();
    assert_eq!(mailbox.units(), 9, "a call costs whether it succeeds or not");
    mailbox.watch(TOPIC).await.unwrap();
    assert_eq!(mailbox.units(), 109);
    bench.google.forbid_overlap(true);
    let (one, other) = tokio::join!(mailbox.profile(), mailbox.profile());
    assert_eq!([&one, &other].iter().filter(|done| done.is_ok()).count(), 1);
    assert!(one.err().or(other.err()).unwrap().is_transient());
    assert!(mailbox.profile().await.is_ok(), "one after the other");
}

#[tokio::test]
async fn given_what_arrives_then_the_recorder_has_every_byte_with_what_it_was_for() {
    let bench = Bench::new().await;
    let mailbox = bench.mailbox().await;
    mailbox.profile().await.unwrap();
    let Sending::Sent(_) = mailbox.send(&answer(1), None).await.unwrap() else { panic!("not sent") };
    let reached = bench.google.reached();
    let purposes: Vec<Use> = reached.iter().map(|reached| reached.purpose).collect();
    assert_eq!(purposes, [Use::MailboxAccess, Use::MailboxAccess, Use::Mailbox]);
    let sent: Value = serde_json::from_slice(&bench.google.requests()[2].body).unwrap();
    assert!(sent["raw"].is_string() && sent.get("threadId").is_none());
    // What the register has no word for does not even leave.
    let too_much = Outgoing::about(Category::Pseudonym, b"To: a@example.com\r\n\r\nx".to_vec());
    assert!(matches!(
        mailbox.send(&too_much, None).await,
        Err(GmailError::Client(ClientError::NotPermitted(_)))
    ));
    assert_eq!(bench.google.reached().len(), 3);
}

#[tokio::test]
async fn given_a_token_then_it_opens_its_own_mailbox_alone() {
    let bench = Bench::new().await;
    bench.google.add_mailbox("other@example.com");
    bench.google.choose(SUPPORT);
    let grant = bench.connect().await;
    let token = format!("Bearer {}", grant.access.token.expose());
    let ask = async |path: &str, token: &str| {
        let path = format!("{PATH}/gmail/v1/users/{path}");
        wire::send(bench.port, "GET", &path, &[("authorization", token)], "").await
    };
    let (status, profile) = ask("support%40example.com/profile", &token).await;
    assert_eq!((status, profile.contains("support@example.com")), (200, true));
    assert_eq!(ask("other@example.com/profile", &token).await.0, 403);
    for bad in ["", "Bearer ", "Bearer ya29.test-access-99999999", "Basic x"] {
        assert_eq!(ask("me/profile", bad).await.0, 401, "{bad}");
    }
    assert_eq!(ask("me/nothing", &token).await.0, 404);
    let (_, drafts) = ask("me/drafts?maxResults=0", &token).await;
    assert!(drafts.contains("INVALID_ARGUMENT"));
    assert_eq!(grant.scopes.to_string(), SCOPE);
}

#[test]
fn given_a_mail_with_parts_then_they_are_told_as_a_tree_with_their_contents_decoded() {
    let raw = "From: =?utf-8?q?J=C3=B6rg?= <someone@example.com>\r\nTo: support@example.com\r\n\
               Subject: =?utf-8?b?RsO8cg==?=\r\n folded\r\nMIME-Version: 1.0\r\n\
               Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
               Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n--b\r\n\
               Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n\
               Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
    let shown = mail::payload(raw.as_bytes(), None);
    assert_eq!(shown["mimeType"], "multipart/mixed");
    let header = |name: &str| {
        let mut headers = shown["headers"].as_array().unwrap().iter();
        headers
            .find(|header| header["name"] == name)
            .map(|header| header["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(header("From").as_deref(), Some("Jörg <someone@example.com>"));
    assert_eq!(header("Subject").as_deref(), Some("Für folded"));
    let parts = shown["parts"].as_array().unwrap();
    assert_eq!((&parts[0]["partId"], &parts[0]["mimeType"]), (&json!("0"), &json!("text/plain")));
    assert_eq!(parts[0]["body"]["data"], "w7w=");
    assert_eq!((&parts[1]["filename"], &parts[1]["body"]["size"]), (&json!("a.pdf"), &json!(3)));
    let number = parts[1]["body"]["attachmentId"].as_str().unwrap().strip_prefix("part-").unwrap();
    let content = mail::attachment(raw.as_bytes(), number.parse().unwrap()).unwrap();
    assert_eq!(content, json!({ "size": 3, "data": "AAEC" }));
    let head = mail::payload(raw.as_bytes(), Some(&["subject".to_owned()]));
    assert_eq!(head["headers"].as_array().unwrap().len(), 1);
}
