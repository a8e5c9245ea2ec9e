//! Mailboxes from consent to end, as a merchant, a forger and a bad day see them. Google and Resend are the simulated ones, on
//! loopback; what is made of a mail once it is stored stands elsewhere.

mod faults;
mod fronts;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storeward_core::data_map::Processor;
use storeward_core::time::{Clock as _, HOUR, MINUTE};
use storeward_host::{DeskTask, Queue, SyncOrder, SyncWhy};
use storeward_local::commands::client;
use storeward_local::google::{self, Google};
use storeward_local::resend::{self, Resend};
use storeward_store::{Installation, Mailbox, MailboxState, Profile, StoredMail, ThreadFilter};

use crate::bench::{APP_URL, App, Bench, SHOP, batch, sample};

/// The mailbox that most tests connect.
pub(crate) const ADDRESS: &str = "support@example.com";

/// The URL that pushes go to.
const PUSH_URL: &str = "/lambda-url/gmail-push/";

const SYNC: &str = "storeward-development-sync-mailbox";
const NOTIFY: &str = "storeward-development-notify-merchant";
const CLASSIFY: &str = "storeward-development-classify-email";

/// A shop with the app, and everything outside of it. Not on paused time: what goes over a socket would run into time-outs that
/// jump.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) app: App,
    pub(crate) google: Google,
    pub(crate) resend: Resend,
    pub(crate) installation: Installation,
    port: u16,
}

/// A mail of a customer.
pub(crate) fn mail(number: u32, subject: &str) -> String {
    format!(
        "From: A Customer <customer{number}@example.com>\r\nTo: {ADDRESS}\r\nSubject: {subject}\r\n\
         Message-ID: <test-{number}@example.com>\r\nDate: Fri, 20 Nov 2026 15:59:00 +0000\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nWhere is my order? This is mail number {number}.\r\n"
    )
}

/// A request as a function URL hands it over.
pub(crate) fn url_event(request: &http::Request<Bytes>) -> Value {
    let headers: serde_json::Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), json!(value.to_str().unwrap())))
        .collect();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "", "headers": headers,
        "requestContext": { "requestId": "test-request", "http": { "method": request.method().as_str(), "path": "/" } },
        "body": std::str::from_utf8(request.body()).unwrap(), "isBase64Encoded": false,
    })
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Bench::new().await).await
    }

    pub(crate) async fn of(mut bench: Bench) -> Self {
        let clock = Arc::new(bench.clock.clone());
        let (google, resend) = (Google::new(clock.clone()).unwrap(), Resend::new(clock));
        google.add_mailbox(ADDRESS);
        google.set_redirects(vec![format!("{APP_URL}/google/callback")]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router =
            axum::Router::new().nest(google::PATH, google.router()).nest(resend::PATH, resend.router());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let at = format!("http://127.0.0.1:{port}{}", google::PATH);
        bench.set("STOREWARD_GOOGLE_AUTH_URL", &format!("{at}/o/oauth2/v2/auth"));
        bench.set("STOREWARD_GOOGLE_TOKEN_URL", &at);
        bench.set("STOREWARD_GMAIL_ENDPOINT", &at);
        bench.set("STOREWARD_GOOGLE_KEYS_URL", &format!("{at}/oauth2/v3/certs"));
        bench.set("STOREWARD_RESEND_ENDPOINT", &format!("http://127.0.0.1:{port}{}", resend::PATH));
        let app = bench.app();
        let installation = Self::install(&app, SHOP).await;
        // A deployment that sweeps already: the first sweep of a new one reads two days, some 1,500 partitions.
        app.store().await.due_swept(bench.clock.now()).await.unwrap();
        Self { bench, app, google, resend, installation, port }
    }

    pub(crate) async fn install(app: &App, domain: &str) -> Installation {
        let profile = Profile {
            domain: domain.parse().unwrap(),
            email: Some("merchant@example.com".to_owned().into()),
            plan: None,
            shopify_id: None,
            public_domain: None,
        };
        let store = app.store().await;
        let installation = store.install(&profile).await.unwrap();
        store.member_opened(&installation, "42").await.unwrap();
        installation
    }

    /// A shop with a connected mailbox that was read to its end.
    pub(crate) async fn connected() -> Self {
        let world = Self::new().await;
        let answer = world.connect(&world.installation, ADDRESS).await;
        assert_eq!(answer["statusCode"], 302, "{answer}");
        world.settle().await;
        world
    }

    /// Asks an API function as API Gateway does.
    pub(crate) async fn ask(&self, installation: &Installation, key: &str, id: &str) -> (u64, Value) {
        let store = self.app.store().await;
        let actor = store.actor(&installation.tenant.shop, "42");
        let event = json!({
            "routeKey": key, "headers": {}, "pathParameters": {"id": id},
            "requestContext": {"authorizer": {"lambda": {"shop": installation.tenant.shop, "actor": actor}}},
        });
        let answer = self.app.invoke("api/mailboxes", event).await.unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// The owner objects to Google: the status of the answer.
    async fn object(&self) -> u64 {
        let mut event = sample("api/processors/object");
        let shop = &self.installation.tenant.shop;
        let actor = self.app.store().await.actor(shop, "42");
        event["requestContext"]["authorizer"]["lambda"] = json!({ "shop": shop, "actor": actor });
        event["pathParameters"]["name"] = json!("google");
        self.app.invoke("api/processors", event).await.unwrap()["statusCode"].as_u64().unwrap()
    }

    /// What a browser does from the app to Google's page: the query it comes back with, and the cookie it holds then.
    pub(crate) async fn consent(&self, installation: &Installation, address: &str) -> (String, String) {
        self.google.choose(address);
        let query = self.begin(installation).await;
        let answer = self.browse(&self.app, "/google/start", &query, None).await;
        self.agree(&answer).await
    }

    /// Asks to connect a mailbox: the query of our own page that a browser is sent to.
    pub(crate) async fn begin(&self, installation: &Installation) -> String {
        let (status, body) = self.ask(installation, "POST /v1/mailboxes", "").await;
        assert_eq!(status, 200, "{body}");
        let url = body["url"].as_str().unwrap();
        url.strip_prefix(&format!("{APP_URL}/google/start?")).unwrap().to_owned()
    }

    /// Follows that page's answer to Google's.
    pub(crate) async fn agree(&self, answer: &Value) -> (String, String) {
        assert_eq!(answer["statusCode"], 302, "{answer}");
        let to = answer["headers"]["location"].as_str().unwrap();
        let path = to.strip_prefix(&format!("http://127.0.0.1:{}", self.port)).unwrap();
        let page = client::send(self.port, "GET", path, &[], "").await.unwrap();
        assert_eq!(page.status, 302, "{}", page.body);
        let back = page.header("location").unwrap();
        let query = back.strip_prefix(&format!("{APP_URL}/google/callback?")).unwrap();
        let cookie = answer["cookies"][0].as_str().unwrap().split(';').next().unwrap();
        (query.to_owned(), cookie.to_owned())
    }

    pub(crate) async fn browse(&self, app: &App, path: &str, query: &str, cookie: Option<&str>) -> Value {
        let mut event = sample("api/google-oauth/start");
        event["rawPath"] = json!(path);
        event["rawQueryString"] = json!(query);
        event["cookies"] = json!(cookie.into_iter().collect::<Vec<_>>());
        app.invoke("api/google-oauth", event).await.unwrap()
    }

    pub(crate) async fn connect(&self, installation: &Installation, address: &str) -> Value {
        let (query, cookie) = self.consent(installation, address).await;
        self.browse(&self.app, "/google/callback", &query, Some(&cookie)).await
    }

    /// Delivers what Gmail tells, and answers the statuses.
    pub(crate) async fn push(&self) -> Vec<u64> {
        let mut statuses = Vec::new();
        for push in self.google.take_pushes() {
            let request = self.google.signed(&push, PUSH_URL).unwrap();
            statuses.push(self.pushed(&request).await);
        }
        statuses
    }

    pub(crate) async fn pushed(&self, request: &http::Request<Bytes>) -> u64 {
        let answer = self.app.invoke("pushes/gmail-push", url_event(request)).await.unwrap();
        answer["statusCode"].as_u64().unwrap()
    }

    /// Works on what waits in the queues of these tests.
    pub(crate) async fn work(&self, app: &App) -> usize {
        let mut handled = 0;
        loop {
            let before = handled;
            for (queue, function) in [(SYNC, "jobs/sync-mailbox"), (NOTIFY, "jobs/notify-merchant")] {
                for message in self.bench.receive(queue).await {
                    handled += 1;
                    let answer = app.invoke(function, batch(std::slice::from_ref(&message))).await.unwrap();
                    if answer["batchItemFailures"] == json!([]) {
                        self.bench.delete(queue, &message).await;
                    }
                }
            }
            if handled == before {
                return handled;
            }
        }
    }

    /// Pushes and works until nothing is left that can be done now.
    pub(crate) async fn settle(&self) {
        loop {
            let pushed = self.push().await;
            assert!(pushed.iter().all(|status| *status == 204), "{pushed:?}");
            if self.work(&self.app).await + pushed.len() == 0 {
                return;
            }
        }
    }

    /// Moves all clocks. The queues' is tokio's, which is stopped for as long as nothing is on a socket.
    pub(crate) async fn advance(&self, by: Duration) {
        tokio::time::pause();
        self.bench.advance(by).await;
        tokio::time::resume();
    }

    /// Lets what waits or failed come again, until it did or gave up.
    pub(crate) async fn later(&self) {
        for _ in 0..7 {
            self.advance(MINUTE * 13).await;
            self.settle().await;
        }
    }

    /// What an hour brings: the schedules' turn.
    pub(crate) async fn hour(&self) {
        self.advance(HOUR).await;
        for function in ["schedules/renew-watches", "schedules/sweep-due"] {
            self.app.invoke(function, sample(&format!("{function}/hourly"))).await.unwrap();
        }
        self.settle().await;
    }

    pub(crate) async fn order(&self, why: SyncWhy) {
        let mailbox = self.mailbox().await.reference;
        let order = SyncOrder { tenant: self.installation.tenant.clone(), mailbox, why };
        let context = self.app.context("schedules/renew-watches");
        context.send(Queue::SyncMailbox, &order, Duration::ZERO).await.unwrap();
    }

    pub(crate) async fn mailbox(&self) -> Mailbox {
        self.app.store().await.mailboxes(&self.installation).await.unwrap().remove(0)
    }

    /// Every mail that is stored, by subject.
    pub(crate) async fn mails(&self) -> Vec<StoredMail> {
        let store = self.app.store().await;
        let page = store.threads(&self.installation, &ThreadFilter::default(), None, 100).await.unwrap();
        let mut mails = Vec::new();
        for thread in page.unwrap().threads {
            mails.extend(store.mails_of(&self.installation, &thread).await.unwrap());
        }
        mails.sort_by(|a, b| a.subject.cmp(&b.subject));
        mails
    }

    pub(crate) async fn subjects(&self) -> Vec<String> {
        self.mails().await.iter().map(|mail| mail.subject.expose().clone()).collect()
    }

    /// The mails that `classify-email` was given, by name.
    pub(crate) async fn handed_on(&self) -> Vec<String> {
        let messages = self.bench.cloud.sqs().peek(CLASSIFY).await.unwrap();
        let task = |body: &str| serde_json::from_str::<DeskTask>(body).unwrap().record.to_string();
        let mut tasks: Vec<String> = messages.iter().map(|message| task(&message.body)).collect();
        tasks.sort();
        tasks
    }

    /// How often Gmail was asked for a method, by the end of its path.
    pub(crate) fn asked(&self, part: &str) -> usize {
        self.google.requests().iter().filter(|heard| heard.path.contains(part)).count()
    }

    pub(crate) async fn nothing_waits(&self) {
        for queue in [SYNC, NOTIFY] {
            let states = self.bench.cloud.sqs().queues().await.unwrap();
            for state in states.iter().filter(|state| state.name.starts_with(queue)) {
                assert_eq!(state.total(), 0, "{}", state.name);
            }
        }
    }
}

#[tokio::test]
async fn a_mailbox_is_connected_watched_and_read_and_a_mail_is_there_with_its_notice() {
    // Given a mailbox with a mail of yesterday and one of last month.
    let world = World::new().await;
    world.google.deliver(ADDRESS, mail(1, "Last month"));
    world.advance(HOUR * 24 * 30).await;
    world.google.deliver(ADDRESS, mail(2, "Yesterday"));
    world.advance(HOUR * 24).await;
    // When the merchant connects it.
    let answer = world.connect(&world.installation, ADDRESS).await;
    assert_eq!(answer["headers"]["location"], format!("https://{SHOP}/admin/apps/storeward"), "{answer}");
    world.settle().await;
    // Then it is watched, and what came in the last days was read and handed on.
    let mailbox = world.mailbox().await;
    assert_eq!(mailbox.state, MailboxState::Connected);
    assert_eq!(mailbox.watched_until, world.google.watched_until(ADDRESS));
    assert!(mailbox.watched_until.is_some() && mailbox.full_sync.is_none() && mailbox.read_at.is_some());
    assert_eq!(world.subjects().await, ["Yesterday"]);
    // When one comes in, then its notice brings it, with one query and one message.
    world.google.deliver(ADDRESS, mail(3, "Today"));
    let before = world.app.connector.requests().len();
    assert_eq!(world.push().await, [204]);
    let asked: Vec<String> = world.app.connector.requests()[before..]
        .iter()
        .map(|recorded| recorded.footprint.operation.clone())
        .collect();
    assert_eq!(asked, ["Query", "SendMessage"]);
    world.settle().await;
    assert_eq!(world.subjects().await, ["Today", "Yesterday"]);
    assert_eq!(world.handed_on().await.len(), 2);
    assert_eq!(world.mailbox().await.cursor, world.google.history_id(ADDRESS));
    world.nothing_waits().await;
    // And the list says so.
    let (status, body) = world.ask(&world.installation, "GET /v1/mailboxes", "").await;
    let listed = &body["mailboxes"][0];
    assert_eq!((status, &listed["address"], &listed["state"]), (200, &json!(ADDRESS), &json!("connected")));
    assert!(listed["watched_until"].is_string() && listed["catching_up"] == false, "{body}");
}

#[tokio::test]
async fn notices_that_come_twice_late_or_out_of_order_change_nothing() {
    let world = World::connected().await;
    let mut notices = Vec::new();
    for number in 1..=3 {
        world.google.deliver(ADDRESS, mail(number, &format!("Mail {number}")));
        notices.extend(world.google.take_pushes());
    }
    // The last of them comes first, and all of them twice.
    notices.extend(notices.clone());
    notices.reverse();
    for notice in &notices {
        assert_eq!(world.pushed(&world.google.signed(notice, PUSH_URL).unwrap()).await, 204);
        world.settle().await;
        assert_eq!(world.mailbox().await.cursor, world.google.history_id(ADDRESS), "never back");
    }
    assert_eq!(world.subjects().await, ["Mail 1", "Mail 2", "Mail 3"]);
    assert_eq!(world.handed_on().await.len(), 3);
    // The first read everything; the others asked Gmail nothing.
    assert_eq!(world.asked("/history"), 2, "one after the first reading, one now");
    world.nothing_waits().await;
}

#[tokio::test]
async fn what_gmail_has_forgotten_is_found_by_going_through_the_mailbox() {
    let world = World::connected().await;
    world.google.deliver(ADDRESS, mail(1, "Before the gap"));
    world.settle().await;
    for number in 2..=4 {
        world.google.deliver(ADDRESS, mail(number, &format!("In the gap {number}")));
    }
    let _lost = world.google.take_pushes();
    world.google.forget_history(ADDRESS);
    world.google.deliver(ADDRESS, mail(5, "After the gap"));
    world.settle().await;
    let expected = ["After the gap", "Before the gap", "In the gap 2", "In the gap 3", "In the gap 4"];
    assert_eq!(world.subjects().await, expected);
    assert_eq!(world.handed_on().await.len(), 5);
    let mailbox = world.mailbox().await;
    assert_eq!((mailbox.cursor, mailbox.full_sync), (world.google.history_id(ADDRESS), None));
    world.nothing_waits().await;
}

#[tokio::test]
async fn only_mail_that_came_in_or_was_sent_is_read_and_what_was_deleted_is_passed_over() {
    let world = World::connected().await;
    for (number, subject, label) in
        [(1, "Spam", "SPAM"), (2, "Draft", "DRAFT"), (3, "Trash", "TRASH"), (4, "Chat", "CHAT")]
    {
        world.google.deliver_as(ADDRESS, mail(number, subject), &[label]);
    }
    let gone = world.google.deliver(ADDRESS, mail(5, "Deleted")).unwrap();
    world.google.deliver(ADDRESS, mail(6, "Kept"));
    assert!(world.google.delete(ADDRESS, &gone));
    let answer = format!(
        "To: customer6@example.com\r\nFrom: {ADDRESS}\r\nSubject: Re: Kept\r\nReferences: <test-6@example.com>\r\n\r\nOn its way."
    );
    world.google.human_sends(ADDRESS, answer, None).unwrap();
    world.settle().await;
    let mails = world.mails().await;
    let told: Vec<(&str, bool)> =
        mails.iter().map(|mail| (mail.subject.expose().as_str(), mail.own)).collect();
    assert_eq!(told, [("Kept", false), ("Re: Kept", true)]);
    assert_eq!(mails[0].thread, mails[1].thread);
    // What the shop wrote is not handed on.
    assert_eq!(world.handed_on().await, [mails[0].reference.to_string()]);
    world.nothing_waits().await;
}

#[tokio::test]
async fn a_mail_that_cannot_be_read_is_stored_without_its_content_and_stops_nothing() {
    let world = World::connected().await;
    // Given a mail of 40 MB, one that is larger than any, broken ones, and one that Gmail does not give.
    let large = format!("{}{}", mail(1, "Large"), "0123456789abcdef\r\n".repeat(40 * 1024 * 1024 / 18));
    world.google.deliver(ADDRESS, large);
    let larger = format!("{}{}", mail(2, "Larger"), "0123456789abcdef\r\n".repeat(51 * 1024 * 1024 / 18));
    world.google.deliver(ADDRESS, larger);
    world.google.deliver(
        ADDRESS,
        &b"Subject: Broken\r\nContent-Type: multipart/mixed; boundary=\r\n\r\n--\xff\xfe\0"[..],
    );
    world.google.deliver(ADDRESS, &b"\r\n\r\n"[..]);
    world.google.deliver(ADDRESS, mail(5, "After them"));
    world.settle().await;
    world.later().await;
    // Then each is stored once and handed on, and the larger one has a sender and no content.
    let mails = world.mails().await;
    let told: Vec<&str> = mails.iter().map(|mail| mail.subject.expose().as_str()).collect();
    assert_eq!(told, ["", "After them", "Broken", "Large", "Larger"]);
    assert!(mails[3].text.expose().contains("mail number 1") && mails[3].truncated);
    let larger = &mails[4];
    assert!(larger.truncated && larger.text.expose().is_empty());
    assert_eq!(larger.from.as_ref().unwrap().address.expose(), "customer2@example.com");
    assert_eq!(world.handed_on().await.len(), 5);
    world.nothing_waits().await;
}

#[tokio::test]
async fn two_runs_at_once_do_not_overlap_and_lose_nothing() {
    let world = World::connected().await;
    world.google.forbid_overlap(true);
    for number in 1..=3 {
        world.google.deliver(ADDRESS, mail(number, &format!("Mail {number}")));
    }
    world.push().await;
    let messages = world.bench.receive(SYNC).await;
    assert_eq!(messages.len(), 3);
    let runs = messages
        .iter()
        .map(|message| world.app.invoke("jobs/sync-mailbox", batch(std::slice::from_ref(message))));
    for (answer, message) in futures::future::join_all(runs).await.into_iter().zip(&messages) {
        assert_eq!(answer.unwrap()["batchItemFailures"], json!([]));
        world.bench.delete(SYNC, message).await;
    }
    // One more comes in while they were at it.
    world.google.deliver(ADDRESS, mail(4, "Mail 4"));
    world.settle().await;
    world.later().await;
    assert_eq!(world.subjects().await, ["Mail 1", "Mail 2", "Mail 3", "Mail 4"]);
    assert_eq!(world.handed_on().await.len(), 4);
    assert!(world.google.requests().iter().all(|heard| heard.status != 429), "no call overlapped another");
    world.nothing_waits().await;
}

#[tokio::test]
async fn a_mailbox_that_merchants_do_not_have_read_stays_watched_and_unread() {
    let world = World::connected().await;
    let store = world.app.store().await;
    let mut desk = store.desk(&world.installation).await.unwrap();
    desk.settings.read_mail = false;
    assert!(store.change_desk(&world.installation, &desk).await.unwrap());
    world.google.deliver(ADDRESS, mail(1, "While it is off"));
    world.settle().await;
    for _ in 0..30 {
        world.hour().await;
    }
    assert!(world.mails().await.is_empty());
    assert_eq!(world.mailbox().await.watched_until, world.google.watched_until(ADDRESS));
    // On again, what came meanwhile is not made up for.
    let mut desk = store.desk(&world.installation).await.unwrap();
    desk.settings.read_mail = true;
    assert!(store.change_desk(&world.installation, &desk).await.unwrap());
    world.google.deliver(ADDRESS, mail(2, "On again"));
    world.settle().await;
    assert_eq!(world.subjects().await, ["On again"]);
}

#[tokio::test]
async fn watches_are_renewed_every_day_and_silent_mailboxes_are_read() {
    let world = World::connected().await;
    // A watch of another developer's client is stopped for ours.
    world.google.watch_elsewhere(ADDRESS);
    for day in 0..10 {
        for _ in 0..24 {
            world.hour().await;
        }
        let left = world.mailbox().await.watched_until.unwrap().since(world.bench.clock.now());
        assert!(left > HOUR * 24 * 5, "day {day}");
    }
    let renewed = world.asked("/watch");
    assert!((10..=14).contains(&renewed), "{renewed}");
    // Notices are lost: the mail is there within the hour.
    world.google.deliver(ADDRESS, mail(1, "Untold"));
    let _lost = world.google.take_pushes();
    world.hour().await;
    world.hour().await;
    assert_eq!(world.subjects().await, ["Untold"]);
    world.nothing_waits().await;
}

#[tokio::test]
async fn a_mailbox_that_is_disconnected_leaves_nothing_and_its_consent_is_given_back() {
    let world = World::connected().await;
    world.google.deliver(ADDRESS, mail(1, "Kept for now"));
    world.settle().await;
    let id = world.mailbox().await.reference.id().to_owned();
    let (status, body) = world.ask(&world.installation, "DELETE /v1/mailboxes/{id}", &id).await;
    assert_eq!((status, &body["state"]), (202, &json!("ending")), "{body}");
    world.google.deliver(ADDRESS, mail(2, "Too late"));
    world.settle().await;
    for kind in
        ["mailbox", "mailbox-route", "connecting", "thread", "mail", "draft", "thread-index", "mail-link"]
    {
        assert!(world.bench.items(kind).is_empty(), "{kind}");
    }
    assert_eq!((world.google.consents(ADDRESS), world.google.watched_until(ADDRESS)), (0, None));
    let (status, _) = world.ask(&world.installation, "DELETE /v1/mailboxes/{id}", &id).await;
    assert_eq!(status, 404);
    world.hour().await;
    world.nothing_waits().await;
    // And it can be connected again.
    assert_eq!(world.connect(&world.installation, ADDRESS).await["statusCode"], 302);
    world.settle().await;
    assert_eq!(world.subjects().await, ["Kept for now", "Too late"]);
}

#[tokio::test]
async fn objecting_to_google_ends_every_mailbox_and_gives_the_consent_back() {
    // Given a mailbox whose token still counts, or has to be renewed to give it back, or an objection that ended half-way.
    for case in ["fresh", "old", "half-way"] {
        let world = World::connected().await;
        world.google.deliver(ADDRESS, mail(1, "Kept for now"));
        world.settle().await;
        if case == "old" {
            world.advance(HOUR * 2).await;
        }
        let store = world.app.store().await;
        if case == "half-way" {
            assert!(store.object(&world.installation, Processor::Google, true).await.unwrap());
            assert_eq!(world.mailbox().await.state, MailboxState::Connected);
            world.hour().await;
        } else {
            // When the merchant objects, once or twice.
            for _ in 0..2 {
                assert_eq!(world.object().await, 200);
                assert_eq!(world.mailbox().await.state, MailboxState::Ending, "{case}");
            }
            world.settle().await;
        }
        // Then nothing is left of it, here or at Google.
        for kind in ["mailbox", "mailbox-route", "thread", "mail", "mail-link"] {
            assert!(world.bench.items(kind).is_empty(), "{case}: {kind}");
        }
        assert_eq!(
            (world.google.consents(ADDRESS), world.google.watched_until(ADDRESS)),
            (0, None),
            "{case}"
        );
        // And nothing more is asked of Google, nor is one connected.
        let asked = world.google.requests().len();
        world.hour().await;
        assert_eq!(world.google.requests().len(), asked, "{case}");
        let (query, cookie) = world.consent(&world.installation, ADDRESS).await;
        let before = world.google.requests().len();
        let answer = world.browse(&world.app, "/google/callback", &query, Some(&cookie)).await;
        assert_ne!(answer["statusCode"], 302, "{answer}");
        assert_eq!(world.google.requests().len(), before, "{case}");
        assert!(world.bench.items("mailbox").is_empty(), "{case}");
    }
}

#[tokio::test]
async fn a_mailbox_of_two_shops_is_read_for_both_and_stays_open_for_the_one_that_is_left() {
    let world = World::connected().await;
    let other = World::install(&world.app, "storeward-two.myshopify.com").await;
    assert_eq!(world.connect(&other, ADDRESS).await["statusCode"], 302);
    world.settle().await;
    world.google.deliver(ADDRESS, mail(1, "For both"));
    world.settle().await;
    assert_eq!(world.bench.items("mail").len(), 2);
    let id = world.mailbox().await.reference.id().to_owned();
    world.ask(&world.installation, "DELETE /v1/mailboxes/{id}", &id).await;
    world.settle().await;
    assert_eq!(world.bench.items("mail").len(), 1);
    assert!(world.google.watched_until(ADDRESS).is_some() && world.google.consents(ADDRESS) > 0);
    world.google.deliver(ADDRESS, mail(2, "For one"));
    world.settle().await;
    assert_eq!(world.bench.items("mail").len(), 2);
}
