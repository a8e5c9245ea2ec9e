//! Mail as it is stored: taken in once and in any order, answered from one conversation at a time, and gone with the people,
//! the mailboxes and the shops that it belongs to. What the functions of the mail desk make of it is other modules'.

mod regressions;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::intent::{Confidence, Intent};
use storeward_core::limits::Limit;
use storeward_core::mail::{self, Address};
use storeward_core::normalize::{Identifier, identifiers};
use storeward_core::personal::Personal;
use storeward_core::retention::Choice;
use storeward_core::time::{Clock as _, DAY, HOUR, MINUTE, Timestamp};
use storeward_core::webhook::{CustomersDataRequest, CustomersRedact};
use storeward_store::{
    Announced, Arrival, ArrivedMail, Author, Connecting, Delivery, DraftState, Drafting, Engine,
    Installation, Lease, MailPhase, MailTokens, Mailbox, MailboxState, NewDraft, Outcome, Progress,
    PurgeReport, PutDraft, RecordRef, Replayed, Replaying, SecondPass, Store, StoredMail, Thread,
    ThreadChange, ThreadFilter, ThreadState, Understanding, What, Work,
};

use crate::bench::{App, Bench, sample, sample_body};
use crate::restoring::{TABLES, restore, snapshot};
use crate::support::connector;
use crate::support::faults::{Fault, FaultPlan};

/// The shop's own address.
const SHOP: &str = "help@shop.example.com";
/// The person whom the samples ask to erase.
const ANA: &str = "sample.customer@example.com";
/// Somebody else.
const BEN: &str = "ben@example.com";

/// A shop with a mailbox.
struct World {
    bench: Bench,
    app: App,
    installation: Installation,
    mailbox: Mailbox,
}

/// A mail of a conversation, an hour after the one before.
#[derive(Clone, Copy)]
struct Sent {
    /// Gmail's id of it, and its name.
    id: &'static str,
    thread: &'static str,
    from: &'static str,
    to: &'static str,
    /// What it answers.
    answers: Option<&'static str>,
    /// Hours before now.
    ago: u32,
    text: &'static str,
}

impl Sent {
    const fn new(id: &'static str, thread: &'static str, from: &'static str, ago: u32) -> Self {
        Self { id, thread, from, to: SHOP, answers: None, ago, text: "Where is my order?" }
    }

    fn arrived(&self, bench: &Bench) -> ArrivedMail {
        self.at(bench.clock.now())
    }

    fn at(&self, now: Timestamp) -> ArrivedMail {
        let answers =
            self.answers.map(|id| format!("In-Reply-To: <{id}@mail.example.com>\r\n")).unwrap_or_default();
        let raw = format!(
            "Message-ID: <{id}@mail.example.com>\r\n{answers}From: {from}\r\nTo: {to}\r\nSubject: About {thread}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n",
            id = self.id,
            from = self.from,
            to = self.to,
            thread = self.thread,
            text = self.text,
        );
        ArrivedMail {
            provider_id: self.id.to_owned(),
            provider_thread: self.thread.to_owned(),
            received_at: now - HOUR * self.ago,
            own: self.from == SHOP,
            mail: mail::read(raw.as_bytes()).unwrap(),
        }
    }
}

fn tokens() -> MailTokens {
    MailTokens {
        access: Personal::new("test-access".to_owned()),
        expires_at: Timestamp(i64::MAX),
        refresh: Personal::new("test-refresh".to_owned()),
        scopes: "test".to_owned(),
    }
}

/// Connects a mailbox, as if its owner had consented.
pub(crate) async fn connect(store: &Store, installation: &Installation, address: &str) -> Mailbox {
    let state = store.begin_connecting(installation, &Personal::new("verifier".to_owned())).await.unwrap();
    let (again, attempt) = store.connecting(&state).await.unwrap().unwrap();
    assert_eq!(again.tenant, installation.tenant);
    assert_eq!(attempt.verifier.expose(), "verifier");
    let address = Personal::new(address.to_owned());
    let connected = store.connect_mailbox(installation, &attempt, &address, &tokens(), 7, 14).await.unwrap();
    let Connecting::Connected { mailbox, .. } = connected else { panic!("{connected:?}") };
    store.mailbox(installation, &mailbox).await.unwrap().unwrap()
}

/// A shop's first mail, in a mailbox that it connects for it, and what it is about.
pub(crate) async fn understood(app: &App, installation: &Installation, now: Timestamp) {
    let store = app.store().await;
    let mailbox = connect(store, installation, SHOP).await;
    let arrived = Sent::new("m1", "t1", ANA, 1).at(now);
    let Arrival::Stored { mail, .. } = store.take_mail(installation, &mailbox, arrived).await.unwrap() else {
        panic!("it is new");
    };
    let mail = store.mail(installation, &mail).await.unwrap().unwrap();
    store.understood(installation, &mail, &understanding(), mail.due_at.unwrap()).await.unwrap();
}

impl World {
    async fn new() -> Self {
        let mut bench = Bench::new().await;
        for queue in ["SYNC_MAILBOX", "CLASSIFY_EMAIL", "DRAFT_REPLY", "SEND_REPLY"] {
            bench.set(&format!("STOREWARD_{queue}_QUEUE_URL"), "http://127.0.0.1:1/none");
        }
        let app = bench.app();
        let installation = app.install().await;
        let mailbox = connect(app.store().await, &installation, SHOP).await;
        Self { bench, app, installation, mailbox }
    }

    async fn store(&self) -> &Store {
        self.app.store().await
    }

    async fn take(&self, sent: &Sent) -> Arrival {
        let arrived = sent.arrived(&self.bench);
        self.store().await.take_mail(&self.installation, &self.mailbox, arrived).await.unwrap()
    }

    async fn stored(&self, sent: &Sent) -> (StoredMail, Thread) {
        let arrival = self.take(sent).await;
        let Arrival::Stored { mail, thread, .. } = arrival else { panic!("{arrival:?}") };
        let store = self.store().await;
        let mail = store.mail(&self.installation, &mail).await.unwrap().unwrap();
        (mail, store.thread(&self.installation, &thread).await.unwrap().unwrap())
    }

    async fn thread(&self, thread: &RecordRef) -> Option<Thread> {
        self.store().await.thread(&self.installation, thread).await.unwrap()
    }

    /// Lets a mail be understood and answered by a draft.
    async fn draft(&self, mail: &StoredMail, auto_send_after: Option<u32>) -> PutDraft {
        let store = self.store().await;
        let due =
            store.understood(&self.installation, mail, &understanding(), mail.due_at.unwrap()).await.unwrap();
        let mail = store.mail(&self.installation, &mail.reference).await.unwrap().unwrap();
        assert_eq!((mail.phase, mail.due_at), (MailPhase::Understood, due));
        let new = NewDraft { auto_send_after, ..draft(mail.answered().unwrap()) };
        store.put_draft(&self.installation, &mail, new, due.unwrap()).await.unwrap()
    }

    async fn ledger(&self, what: What) -> Vec<storeward_store::Entry> {
        let mut all = Vec::new();
        for days in 0..3 {
            let day = self.bench.clock.now() - DAY * days;
            all.extend(self.store().await.ledger_of(&self.installation.tenant.shop, day).await.unwrap());
        }
        all.retain(|entry| entry.what == what);
        all
    }

    fn of_mail(&self) -> Vec<Value> {
        MAIL.iter().flat_map(|kind| self.bench.items(kind)).collect()
    }

    fn due(&self, what: &str) -> usize {
        self.bench.items("due").iter().filter(|row| row["what"]["S"] == what).count()
    }
}

/// The kinds that mails are kept in.
const MAIL: [&str; 6] = ["thread", "mail", "draft", "thread-index", "mail-link", "subject"];

/// A mail that asks where something is.
pub(crate) fn understanding() -> Understanding {
    Understanding {
        intent: Intent::Shipping,
        confidence: Confidence::of_basis_points(9000),
        language: None,
        sentence: Personal::new("Where is my order?".to_owned()),
        engine: Engine::BuiltIn,
        orders: vec![Personal::new("#1001".to_owned())],
        labels: BTreeSet::from(["late".to_owned()]),
        assign: None,
        escalate: false,
        ignore: false,
        draft: true,
        auto_send_after: None,
        macro_id: None,
        matched: Vec::new(),
        why: Vec::new(),
    }
}

fn draft(to: &Address) -> NewDraft {
    NewDraft {
        text: Personal::new("It is on its way.".to_owned()),
        to: to.clone(),
        subject: Personal::new("About it".to_owned()),
        needs_human: false,
        auto_send_after: None,
        author: Author::Template,
        macro_id: None,
        language: None,
        orders: Vec::new(),
        why: Vec::new(),
    }
}

/// A shop in which there is one of everything that the mail desk stores, and nothing of it waits.
pub(crate) async fn whole_desk(store: &Store, installation: &Installation, now: Timestamp) {
    whole_desk_of(store, installation, now, BEN).await;
}

/// The same, with whoever wrote.
pub(crate) async fn whole_desk_of(
    store: &Store,
    installation: &Installation,
    now: Timestamp,
    from: &'static str,
) {
    let _open = store.begin_connecting(installation, &Personal::new("verifier".to_owned())).await.unwrap();
    let mailbox = connect(store, installation, SHOP).await;
    let Lease::Taken(mailbox) =
        store.lease_mailbox(installation, &mailbox.reference, now + MINUTE).await.unwrap()
    else {
        panic!("somebody else has it")
    };
    let arrived = Sent::new("whole", "whole", from, 0).at(now);
    let arrival = store.take_mail(installation, &mailbox, arrived).await.unwrap();
    let Arrival::Stored { mail, task_due, .. } = arrival else { panic!("{arrival:?}") };
    assert!(store.mailbox_read(installation, &mailbox, Progress::Cursor(9)).await.unwrap());
    let mail = store.mail(installation, &mail).await.unwrap().unwrap();
    let due = store.understood(installation, &mail, &understanding(), task_due.unwrap()).await.unwrap();
    let new = draft(mail.answered().unwrap());
    store.put_draft(installation, &mail, new, due.unwrap()).await.unwrap();
    let desk = store.desk(installation).await.unwrap();
    assert!(store.change_desk(installation, &desk).await.unwrap());
}

/// What a conversation comes to, without what differs from mailbox to mailbox.
#[derive(Debug, PartialEq)]
struct Essence {
    state: ThreadState,
    subject: String,
    mails: Vec<(Timestamp, bool)>,
    people: BTreeSet<Option<Personal<String>>>,
}

fn essence(thread: &Thread) -> Essence {
    Essence {
        state: thread.state,
        subject: thread.subject.expose().clone(),
        mails: thread.mails.iter().map(|mail| (mail.received_at, mail.own)).collect(),
        people: thread.people.iter().map(Address::normal).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_to_connect_is_used_once_and_within_an_hour_and_the_mailbox_is_found_by_its_address() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    let verifier = Personal::new("verifier".to_owned());
    let address = Personal::new("Two@Shop.example.com".to_owned());
    let state = store.begin_connecting(installation, &verifier).await.unwrap();
    let (_, attempt) = store.connecting(&state).await.unwrap().unwrap();
    let connected = store.connect_mailbox(installation, &attempt, &address, &tokens(), 7, 14).await.unwrap();
    assert!(matches!(connected, Connecting::Connected { again: false, .. }));
    assert!(store.connecting(&state).await.unwrap().is_none(), "used");
    let twice = store.connect_mailbox(installation, &attempt, &address, &tokens(), 7, 14).await.unwrap();
    assert_eq!(twice, Connecting::Expired);
    let late = store.begin_connecting(installation, &verifier).await.unwrap();
    world.bench.advance(HOUR).await;
    assert!(store.connecting(&late).await.unwrap().is_none(), "late");
    assert!(store.connecting(&format!("{}0", &late[..late.len() - 1])).await.unwrap().is_none());
    let routes = store.mailbox_routes("two@shop.example.com").await.unwrap();
    assert_eq!(routes.iter().map(|route| &route.tenant).collect::<Vec<_>>(), [&installation.tenant]);
    assert_eq!(store.all_mailbox_routes().await.unwrap().len(), 2);
    assert!(store.mailbox_routes("three@shop.example.com").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_in_one_hand_at_a_time_and_is_read_forward_alone() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    let until = world.bench.clock.now() + MINUTE;
    let Lease::Taken(mine) =
        store.lease_mailbox(installation, &world.mailbox.reference, until).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(mine.full_sync.as_ref().map(|full| full.cursor), Some(7));
    let busy = store.lease_mailbox(installation, &world.mailbox.reference, until).await.unwrap();
    assert!(matches!(busy, Lease::Busy(at) if at == until));
    assert!(
        !store.mailbox_read(installation, &world.mailbox, Progress::Cursor(9)).await.unwrap(),
        "no lease"
    );
    for (told, stands) in [(9, 9), (12, 12), (10, 12)] {
        assert!(store.mailbox_read(installation, &mine, Progress::Cursor(told)).await.unwrap());
        let now = store.mailbox(installation, &mine.reference).await.unwrap().unwrap();
        assert_eq!((now.cursor, now.full_sync, now.due_at), (Some(stands), None, None));
    }
    assert_eq!(world.due("sync-mailbox"), 0);
    assert!(store.mailbox_watched(installation, &mine, until).await.unwrap());
    assert_eq!(store.all_mailbox_routes().await.unwrap()[0].watched_until, Some(until));
    store.leave_mailbox_alone(installation, &mine, until).await.unwrap();
    let now = store.mailbox(installation, &mine.reference).await.unwrap().unwrap();
    assert_eq!((now.failures, now.quiet_until), (1, Some(until)));
    // Whoever comes after takes it from whoever let the lease end.
    world.bench.advance(MINUTE).await;
    let Lease::Taken(theirs) =
        store.lease_mailbox(installation, &mine.reference, until + MINUTE).await.unwrap()
    else {
        panic!()
    };
    assert!(!store.keep_mail_tokens(installation, &mine, &tokens()).await.unwrap());
    assert!(store.mailbox_lost(installation, &theirs).await.unwrap());
    let lost = store.mailbox(installation, &mine.reference).await.unwrap().unwrap();
    assert_eq!((lost.state, lost.tokens), (MailboxState::Disconnected, None));
    assert_eq!(connect(store, installation, SHOP).await.cursor, Some(12), "it goes on where it was");
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_stored_once_and_whatever_the_order_the_conversation_is_the_same() {
    let world = World::new().await;
    let mails = [
        Sent::new("m1", "t1", ANA, 4),
        Sent { from: SHOP, to: ANA, answers: Some("m1"), ..Sent::new("m2", "t1", SHOP, 3) },
        Sent { answers: Some("m2"), ..Sent::new("m3", "t1", ANA, 2) },
        // Gmail tore it off: another subject.
        Sent { answers: Some("m3"), ..Sent::new("m4", "t2", ANA, 1) },
    ];
    let mut seen = Vec::new();
    // What Gmail tore off comes after what it answers: nothing tells before where it belongs.
    for order in [[0, 1, 2, 3], [2, 1, 0, 3], [1, 0, 2, 3], [2, 3, 1, 0], [0, 2, 1, 3], [1, 2, 3, 0]] {
        let store = world.store().await;
        let address = format!("help{}@shop.example.com", seen.len());
        let mailbox = connect(store, &world.installation, &address).await;
        let mut threads = BTreeSet::new();
        for mail in order.map(|place| mails[place]) {
            let take = || store.take_mail(&world.installation, &mailbox, mail.arrived(&world.bench));
            let arrival = take().await.unwrap();
            let Arrival::Stored { thread, task_due, .. } = arrival else { panic!("{arrival:?}") };
            assert_eq!(task_due.is_some(), mail.from != SHOP);
            threads.insert(thread);
            let before = world.of_mail();
            assert_eq!(take().await.unwrap(), Arrival::Known);
            assert_eq!(world.of_mail(), before);
        }
        let ids = ["m1", "m2", "m3", "m4", "m5"].map(str::to_owned);
        let known = store.known_mails(&world.installation, &mailbox, &ids).await.unwrap();
        assert_eq!(known, ids[..4].iter().cloned().collect());
        let thread = threads.pop_last().unwrap();
        assert!(threads.is_empty(), "{order:?}: one conversation");
        let thread = world.thread(&thread).await.unwrap();
        let mails = store.mails_of(&world.installation, &thread).await.unwrap();
        assert_eq!(mails.len(), 4);
        assert!(mails.iter().all(|mail| mail.thread == thread.reference));
        let mut essence = essence(&thread);
        essence.people.retain(|person| person.as_ref().is_some_and(|person| person.expose() != SHOP));
        seen.push(essence);
    }
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:#?}");
    assert_eq!(seen[0].state, ThreadState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_names_a_mail_of_others_does_not_come_into_their_conversation() {
    let world = World::new().await;
    let (_, theirs) = world.stored(&Sent::new("m1", "t1", ANA, 2)).await;
    let (_, forged) = world.stored(&Sent { answers: Some("m1"), ..Sent::new("m2", "t2", BEN, 1) }).await;
    assert_ne!(theirs.reference, forged.reference);
    assert_eq!(forged.people.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn conversations_are_listed_once_each_by_their_latest_mail() {
    let world = World::new().await;
    let threads: [&'static str; 7] = ["t1", "t2", "t3", "t4", "t5", "t6", "t7"];
    let mails: [&'static str; 7] = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"];
    for (place, (thread, mail)) in threads.into_iter().zip(mails).enumerate() {
        world.stored(&Sent::new(mail, thread, BEN, 300 - 40 * u32::try_from(place).unwrap())).await;
    }
    // The first conversation comes up again.
    world.stored(&Sent::new("again", "t1", BEN, 1)).await;
    let (store, filter) = (world.store().await, ThreadFilter::default());
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.threads(&world.installation, &filter, cursor.as_deref(), 2).await.unwrap().unwrap();
        seen.extend(page.threads.into_iter().map(|thread| thread.subject.into_inner()));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["About t1", "About t7", "About t6", "About t5", "About t4", "About t3", "About t2"]);
    assert_eq!(world.bench.items("thread-index").len(), 7);
    let other = ThreadFilter { state: Some(ThreadState::Closed), ..ThreadFilter::default() };
    assert!(store.threads(&world.installation, &other, cursor.as_deref(), 2).await.unwrap().is_none());
    assert!(store.threads(&world.installation, &other, None, 2).await.unwrap().unwrap().threads.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_conversation_keeps_within_its_bounds_and_forgets_its_earliest_mails() {
    let world = World::new().await;
    let store = world.store().await;
    let mut last = None;
    for number in 0..60u32 {
        let mut arrived = Sent::new("m", "t1", BEN, 100 - number).arrived(&world.bench);
        arrived.provider_id = format!("m{number}");
        arrived.mail.from =
            Some(Address { name: None, address: Personal::new(format!("p{number}@example.com")) });
        let arrival = store.take_mail(&world.installation, &world.mailbox, arrived).await.unwrap();
        let Arrival::Stored { thread, .. } = arrival else { panic!("{arrival:?}") };
        last = Some(thread);
    }
    let thread = world.thread(&last.unwrap()).await.unwrap();
    assert!((20..=30).contains(&thread.people.len()), "{}", thread.people.len());
    assert_eq!(thread.people.len(), thread.mails.len());
    assert_eq!(world.bench.items("mail").len(), thread.mails.len());
    assert_eq!(world.bench.items("subject").len(), thread.people.len());
    // Of a full one the earliest does not come back.
    let mut early = Sent::new("m", "t1", BEN, 200).arrived(&world.bench);
    let others: Vec<String> = (0..10).map(|n| format!("x{n}@example.com")).collect();
    early.mail.text = Personal::new(others.join(" "));
    assert_eq!(store.take_mail(&world.installation, &world.mailbox, early).await.unwrap(), Arrival::TooOld);
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_sent_once_after_it_was_announced_and_known_again_when_it_comes_back() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    let (mail, _) = world.stored(&Sent::new("m1", "t1", ANA, 1)).await;
    assert_eq!(world.due("classify-mail"), 1);
    let put = world.draft(&mail, Some(600)).await;
    let PutDraft::Stored { draft, send_due: Some(send_due) } = put.clone() else { panic!("{put:?}") };
    assert_eq!((world.due("classify-mail"), world.due("draft-reply"), world.due("send-reply")), (0, 0, 1));
    let again =
        store.put_draft(installation, &mail, self::draft(mail.answered().unwrap()), send_due).await.unwrap();
    assert_eq!(again, put, "a job that is done twice");
    let early = store.announce_sending(installation, &draft).await.unwrap();
    assert!(matches!(early, Announced::TooEarly(at) if at == send_due));
    world.bench.advance(MINUTE * 10).await;
    let Announced::First(first) = store.announce_sending(installation, &draft).await.unwrap() else {
        panic!()
    };
    assert!(first.automatic && first.message_id.as_str().ends_with("@shop.example.com"));
    let Announced::Again(second) = store.announce_sending(installation, &draft).await.unwrap() else {
        panic!()
    };
    assert_eq!((second.tries, &second.message_id), (2, &first.message_id));
    // It comes back by the mailbox before whoever sent it says so.
    let mut back =
        Sent { to: ANA, answers: Some("m1"), ..Sent::new("m2", "t1", SHOP, 0) }.arrived(&world.bench);
    back.mail.message_id = Some(first.message_id.clone());
    let arrival = store.take_mail(installation, &world.mailbox, back).await.unwrap();
    assert!(matches!(arrival, Arrival::Stored { task_due: None, .. }));
    let sent = store.draft(installation, &draft).await.unwrap().unwrap();
    assert_eq!((sent.state, sent.provider_id.as_deref()), (DraftState::Sent, Some("m2")));
    store.draft_sent(installation, &second, "m2").await.unwrap();
    assert!(matches!(store.announce_sending(installation, &draft).await.unwrap(), Announced::NotToSend));
    assert_eq!(world.ledger(What::ReplySent).await.len(), 1);
    assert_eq!(world.due("send-reply"), 0);
    let thread = world.thread(&mail.thread).await.unwrap();
    assert_eq!(
        (thread.state, thread.intent, thread.orders.len()),
        (ThreadState::Answered, Some(Intent::Shipping), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn when_somebody_writes_an_untouched_draft_is_withdrawn_and_an_edited_one_waits_for_its_person() {
    for own in [false, true] {
        for edited in [false, true] {
            let world = World::new().await;
            let (store, installation) = (world.store().await, &world.installation);
            let (mail, _) = world.stored(&Sent::new("m2", "t1", ANA, 2)).await;
            let put = world.draft(&mail, Some(600)).await;
            let PutDraft::Stored { draft, .. } = put else { panic!("{put:?}") };
            let revision = store.draft(installation, &draft).await.unwrap().unwrap().revision;
            if edited {
                let text = Personal::new("My words.".to_owned());
                let changed = store.edit_draft(installation, &draft, &text, revision).await.unwrap();
                let Drafting::Changed(changed) = changed else { panic!("{changed:?}") };
                let stale = store.approve_draft(installation, &draft, revision).await.unwrap();
                assert!(matches!(stale, Drafting::Overtaken(_)), "{stale:?}");
                let approved = store.approve_draft(installation, &draft, changed.revision).await.unwrap();
                assert!(matches!(approved, Drafting::Changed(_)), "{approved:?}");
            }
            // An older mail, as a first reading brings them, changes nothing.
            world.stored(&Sent::new("m1", "t1", ANA, 3)).await;
            assert!(store.draft(installation, &draft).await.unwrap().unwrap().state.is_open());
            let (from, to) = if own { (SHOP, ANA) } else { (ANA, SHOP) };
            let (later, _) = world.stored(&Sent { to, ..Sent::new("m3", "t1", from, 1) }).await;
            let now = store.draft(installation, &draft).await.unwrap().unwrap();
            let state = if edited { DraftState::NeedsHuman } else { DraftState::Withdrawn };
            assert_eq!((now.state, world.due("send-reply")), (state, 0));
            assert!(matches!(
                store.announce_sending(installation, &draft).await.unwrap(),
                Announced::MovedOn
            ));
            if !own {
                let put = world.draft(&later, None).await;
                assert_eq!(put == PutDraft::KeptOther, edited, "{put:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_staff_decide_about_a_conversation_holds_until_somebody_writes() {
    let world = World::new().await;
    let (_, thread) = world.stored(&Sent::new("m1", "t1", ANA, 1)).await;
    let change = ThreadChange {
        state: Some(ThreadState::Closed),
        assignee: Some(Some(Personal::new("staff".to_owned()))),
        add_labels: BTreeSet::from(["vip".to_owned()]),
        ..ThreadChange::default()
    };
    let store = world.store().await;
    let changed =
        store.change_thread(&world.installation, &thread.reference, &change).await.unwrap().unwrap();
    assert_eq!((changed.state, changed.labels.len()), (ThreadState::Closed, 1));
    assert_eq!(world.ledger(What::ThreadChanged).await.len(), 1);
    world.bench.advance(HOUR).await;
    let (_, thread) = world.stored(&Sent::new("m2", "t1", ANA, 0)).await;
    assert_eq!((thread.state, thread.assignee.is_some()), (ThreadState::Open, true));
}

/// Three conversations: one of Ana's with a draft, one that she and Ben share, one of Ben's in which she is not named.
async fn people(world: &World) {
    let (mail, _) = world.stored(&Sent::new("a1", "ana", ANA, 30)).await;
    world.draft(&mail, Some(60_000)).await;
    world.stored(&Sent { to: ANA, answers: Some("a1"), ..Sent::new("a2", "ana", SHOP, 28) }).await;
    world.stored(&Sent { to: BEN, ..Sent::new("s1", "shared", ANA, 26) }).await;
    world.stored(&Sent { answers: Some("s1"), ..Sent::new("s2", "shared", BEN, 24) }).await;
    world.stored(&Sent::new("b1", "ben", BEN, 22)).await;
}

/// Accepts the request for Ana's erasure.
async fn ask(world: &World) -> Work {
    let store = world.store().await;
    let delivery = Delivery { webhook_id: "redact".to_owned(), topic: "customers/redact".to_owned() };
    let request: CustomersRedact =
        serde_json::from_value(sample_body("webhooks/customers-redact/by-id")).unwrap();
    let acceptance = store.accept_redaction(&world.installation, &delivery, request).unwrap();
    let work = acceptance.work().clone();
    assert_eq!(store.commit(acceptance).await.unwrap(), Outcome::Accepted);
    work
}

/// Both passes of an erasure, with time enough.
async fn erase(world: &World, store: &Store, work: &Work) {
    let pass = store.erase_subject(&world.installation, work, &|| true).await.unwrap();
    match pass {
        Some(SecondPass::After(wait, next)) => {
            world.bench.advance(wait).await;
            let done = store.erase_subject(&world.installation, &next, &|| true).await.unwrap();
            assert_eq!(done, Some(SecondPass::Done));
        }
        done => assert_eq!(done, Some(SecondPass::Done)),
    }
}

/// What must hold when Ana is erased from the three conversations.
async fn assert_erased(world: &World, when: &str) {
    let left = MAIL.map(|kind| world.bench.items(kind).len());
    assert_eq!(left, [1, 1, 0, 1, 1, 1], "{when}: Ben's own conversation is left");
    assert_eq!(world.bench.items("progress").len(), 0, "{when}");
    let receipts = world.ledger(What::SubjectErasureVerified).await;
    let counts: Vec<_> =
        receipts.iter().map(|entry| ["thread", "mail", "draft"].map(|kind| entry.counts[kind])).collect();
    assert_eq!(counts, [[2, 4, 1]], "{when}");
    receipts[0].receipt.as_ref().unwrap().verify().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_erasure_that_ends_anywhere_goes_on_and_counts_conversations_exactly() {
    // Given the three conversations, and a copy of the whole to begin from each time.
    let world = World::new().await;
    people(&world).await;
    let work = ask(&world).await;
    let before = snapshot(&world.bench);
    let calm = world.store().await;
    let mut at = 0;
    loop {
        // When the erasure ends at one of its requests.
        restore(&world.bench, &before, &TABLES);
        let app =
            world.bench.app_through(world.bench.transport(), FaultPlan::none().at(at, Fault::CrashAfter));
        let erasing = async { erase(&world, app.store().await, &work).await };
        let ended = Box::pin(app.connector.run(erasing)).await;
        let crashed = ended == connector::Outcome::Crashed;
        if crashed {
            // Then the next one comes to the end.
            erase(&world, calm, &work).await;
        }
        assert_erased(&world, &format!("crash at {at}")).await;
        if !crashed {
            assert!(at > 30, "{at} requests");
            break;
        }
        at += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_erased_does_not_come_back_and_who_writes_again_is_served() {
    let world = World::new().await;
    people(&world).await;
    let work = ask(&world).await;
    let asked_at = world.bench.clock.now();
    world.bench.advance(HOUR).await;
    // Ana writes again in the shared conversation, before anything is erased.
    let (_, kept) = world.stored(&Sent { answers: Some("s2"), ..Sent::new("s3", "shared", ANA, 0) }).await;
    erase(&world, world.store().await, &work).await;
    // Then her later mail stays, in a conversation that knows nothing of the earlier ones.
    let kept = world.thread(&kept.reference).await.unwrap();
    assert_eq!((kept.mails.len(), kept.people.len()), (1, 1));
    assert_eq!(MAIL.map(|kind| world.bench.items(kind).len())[..3], [2, 2, 0]);
    let receipts = world.ledger(What::SubjectErasureVerified).await;
    assert_eq!(["thread", "mail", "draft"].map(|kind| receipts[0].counts[kind]), [1, 4, 1]);
    // A full reading brings nothing of before back: also not what others wrote in her conversations.
    let ago = |at: u32| at + u32::try_from(world.bench.clock.now().since(asked_at).as_secs() / 3600).unwrap();
    let before = world.of_mail();
    for mail in [
        Sent::new("a1", "ana", ANA, ago(30)),
        Sent { to: ANA, ..Sent::new("a2", "ana", SHOP, ago(28)) },
        Sent::new("s2", "shared", BEN, ago(24)),
        Sent { text: "Ask sample.customer@example.com.", ..Sent::new("b0", "ben", BEN, ago(23)) },
    ] {
        assert_eq!(world.take(&mail).await, Arrival::RefusedErased, "{}", mail.id);
    }
    assert_eq!(world.of_mail(), before);
    let (_, again) = world.stored(&Sent::new("a9", "ana", ANA, 0)).await;
    assert_eq!(again.mails.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_is_erased_from_again() {
    let world = World::new().await;
    people(&world).await;
    let (backup, at) = (snapshot(&world.bench), world.bench.clock.now());
    let work = ask(&world).await;
    erase(&world, world.store().await, &work).await;
    restore(&world.bench, &backup, &TABLES[..1]);
    let replaying = Replaying { restored_to: at, after: None, scanned: false };
    let store = world.store().await;
    assert_eq!(store.replay(replaying, &|| true).await.unwrap(), Replayed::Done);
    assert_eq!(MAIL.map(|kind| world.bench.items(kind).len()), [1, 1, 0, 1, 1, 1]);
    let replayed = world.ledger(What::ErasuresReplayed).await;
    assert_eq!(["thread", "mail", "draft"].map(|kind| replayed[0].counts[kind]), [2, 4, 1]);
}

fn person(email: &str) -> Vec<Identifier> {
    identifiers(&[&Personal::new(email.to_owned())], &[], None)
}

#[tokio::test(start_paused = true)]
async fn what_is_limited_is_kept_out_of_sight_and_goes_on_when_the_limit_is_lifted() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    let (mail, thread) = world.stored(&Sent::new("a1", "ana", ANA, 3)).await;
    let PutDraft::Stored { draft, .. } = world.draft(&mail, Some(60)).await else { panic!() };
    let (waits, _) = world.stored(&Sent::new("a2", "other", ANA, 2)).await;
    let request: RecordRef = format!("request/{}", "0".repeat(32)).parse().unwrap();
    let limited_at = world.bench.clock.now();
    let limiting =
        store.limit_subject(installation, &person(ANA), Limit::Restricted, &request).await.unwrap().unwrap();
    assert_eq!(limiting.threads, 2);
    // Nobody who would use it sees it, and nothing that waits is done.
    assert!(store.mail(installation, &mail.reference).await.unwrap().is_none());
    assert!(world.thread(&thread.reference).await.is_none());
    assert!(store.draft(installation, &draft).await.unwrap().is_none());
    let page = store.threads(installation, &ThreadFilter::default(), None, 10).await.unwrap().unwrap();
    assert!(page.threads.is_empty());
    world.bench.advance(HOUR * 2).await;
    assert!(matches!(store.announce_sending(installation, &draft).await.unwrap(), Announced::NotToSend));
    for row in store.due().await.unwrap().iter().filter(|row| {
        row.work.as_ref().is_some_and(|work| [Kind::Mail, Kind::Draft].contains(&work.record.kind()))
    }) {
        assert!(!store.still_due(row).await.unwrap());
        store.due_done(row).await.unwrap();
    }
    assert_eq!(world.take(&Sent::new("a3", "ana", ANA, 0)).await, Arrival::RefusedLimited);
    assert_eq!(world.take(&Sent::new("a3", "ana", ANA, 0)).await, Arrival::RefusedLimited);
    assert_eq!(world.ledger(What::RefusedLimited).await.len(), 1);
    // Somebody else's mail in the same conversation is not lost, and waits with it.
    assert!(matches!(world.take(&Sent::new("a4", "ana", BEN, 0)).await, Arrival::Stored { .. }));
    assert!(world.thread(&thread.reference).await.is_none());
    // The mailbox was read to the end since: lifting lets it be read again from when the limit began.
    let until = world.bench.clock.now() + MINUTE;
    let Lease::Taken(read) =
        store.lease_mailbox(installation, &world.mailbox.reference, until).await.unwrap()
    else {
        panic!()
    };
    assert!(store.mailbox_read(installation, &read, Progress::Cursor(9)).await.unwrap());
    store.lift_limit(installation, &person(ANA), Limit::Restricted, &request).await.unwrap_err();
    store.release_mailbox(installation, &read).await.unwrap();
    store.lift_limit(installation, &person(ANA), Limit::Restricted, &request).await.unwrap();
    let again = store.mailbox(installation, &read.reference).await.unwrap().unwrap();
    assert_eq!(again.full_sync.map(|full| (full.cursor, full.since)), Some((9, limited_at)));
    assert_eq!(world.thread(&thread.reference).await.unwrap().mails.len(), 2);
    assert!(store.mail(installation, &waits.reference).await.unwrap().is_some());
    let waiting: Vec<_> = store.due().await.unwrap();
    let mut records = Vec::new();
    for row in &waiting {
        if store.still_due(row).await.unwrap() {
            records.extend(row.work.as_ref().map(|work| work.record.clone()));
        }
    }
    assert!(records.contains(&waits.reference), "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn a_person_is_shown_what_they_wrote_and_what_they_were_answered_and_nothing_of_others() {
    let world = World::new().await;
    let (mail, _) = world.stored(&Sent { text: "My question", ..Sent::new("a1", "ana", ANA, 9) }).await;
    world.draft(&mail, None).await;
    world.stored(&Sent { to: ANA, text: "Your answer", ..Sent::new("a2", "other", SHOP, 8) }).await;
    world.stored(&Sent { to: BEN, text: "Mine too", ..Sent::new("s1", "shared", ANA, 7) }).await;
    world.stored(&Sent { text: "Ben's secret", ..Sent::new("s2", "shared", BEN, 6) }).await;
    world
        .stored(&Sent { text: "I know sample.customer@example.com", ..Sent::new("b1", "bens", BEN, 5) })
        .await;
    let store = world.store().await;
    let delivery = Delivery { webhook_id: "export".to_owned(), topic: "customers/data_request".to_owned() };
    let request: CustomersDataRequest =
        serde_json::from_value(sample_body("webhooks/customers-data-request/by-id")).unwrap();
    let acceptance = store.accept_data_request(&world.installation, &delivery, request).unwrap();
    let work = acceptance.work().clone();
    store.commit(acceptance).await.unwrap();
    assert!(store.make_export(&world.installation, &work).await.unwrap());
    let export = store.export(&world.installation, &work.record).await.unwrap().unwrap();
    let kinds: Vec<&str> = export.records.iter().map(|record| record.kind.as_str()).collect();
    let count = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((count("thread"), count("mail"), count("draft")), (4, 3, 1), "{kinds:?}");
    let text = export.document().expose().to_string();
    for theirs in ["My question", "Your answer", "Mine too", "It is on its way.", "Where is my order?"] {
        assert!(text.contains(theirs), "{theirs}");
    }
    for others in [BEN, "Ben's secret", "I know", "About bens"] {
        assert!(!text.contains(others), "{others}");
    }
    let page = store.hand_over(&world.installation, None, 1000).await.unwrap().unwrap();
    let handed: Vec<&str> = page.records.iter().map(|record| record.kind.as_str()).collect();
    assert!(["thread", "mail", "draft"].iter().all(|kind| handed.contains(kind)), "{handed:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_mailbox_that_was_ended_nor_of_what_came_in_by_it() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    people(&world).await;
    let other = connect(store, installation, "other@shop.example.com").await;
    let theirs =
        Sent { to: "other@shop.example.com", ..Sent::new("o1", "theirs", BEN, 1) }.arrived(&world.bench);
    store.take_mail(installation, &other, theirs).await.unwrap();
    assert!(store.end_mailbox(installation, &world.mailbox.reference).await.unwrap());
    assert!(store.end_mailbox(installation, &world.mailbox.reference).await.unwrap());
    assert_eq!(world.ledger(What::MailboxDisconnected).await.len(), 1);
    // A reading that was under way does not write behind its back.
    let late = Sent::new("late", "late", BEN, 0).arrived(&world.bench);
    store.take_mail(installation, &world.mailbox, late).await.unwrap_err();
    let ending = store.mailbox(installation, &world.mailbox.reference).await.unwrap().unwrap();
    assert!(!store.forget_mailbox(installation, &ending, &|| false).await.unwrap());
    // Stopped after a conversation, it counts on from there.
    let asked = AtomicUsize::new(0);
    let for_one = || asked.fetch_add(1, Ordering::SeqCst) == 0;
    assert!(!store.forget_mailbox(installation, &ending, &for_one).await.unwrap());
    assert!(world.ledger(What::MailboxForgotten).await.is_empty());
    assert!(store.forget_mailbox(installation, &ending, &|| true).await.unwrap());
    let [forgotten] = world.ledger(What::MailboxForgotten).await.try_into().unwrap();
    assert_eq!(["thread", "mail", "draft"].map(|kind| forgotten.counts[kind]), [3, 5, 1]);
    assert!(store.forget_mailbox(installation, &ending, &|| true).await.unwrap(), "again");
    assert!(store.mailbox(installation, &ending.reference).await.unwrap().is_none());
    assert_eq!(MAIL.map(|kind| world.bench.items(kind).len()), [1, 1, 0, 1, 1, 1]);
    assert_eq!(store.all_mailbox_routes().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_uninstalled_shops_mailboxes_end_and_a_purge_leaves_nothing_of_its_mail() {
    let world = World::new().await;
    let store = world.store().await;
    people(&world).await;
    let mut settings = store.desk(&world.installation).await.unwrap();
    assert!(store.change_desk(&world.installation, &settings).await.unwrap());
    assert!(!store.change_desk(&world.installation, &settings).await.unwrap(), "read anew first");
    settings = store.desk(&world.installation).await.unwrap();
    assert_eq!(settings.revision, 1);
    store.count_understood(&world.installation, Some(Engine::BuiltIn), 0, 0).await.unwrap();
    store.count_understood(&world.installation, Some(Engine::Claude), 120, 50).await.unwrap();
    let counts = store.desk_counts(&world.installation, 2).await.unwrap();
    assert_eq!((counts[0].built_in, counts[0].claude, counts[0].tokens, counts[1].claude), (1, 1, 120, 0));
    assert_eq!(store.desk(&world.installation).await.unwrap().revision, 1);
    let ended = store.uninstall(&world.installation, "test").await.unwrap();
    assert_eq!(ended, std::slice::from_ref(&world.mailbox.reference));
    let gone = store.tenant(&world.installation.tenant).await.unwrap().unwrap();
    let ending = store.mailboxes(&gone).await.unwrap().pop().unwrap();
    assert_eq!((ending.state, ending.tokens.is_some()), (MailboxState::Ending, true), "to be revoked");
    world.bench.advance(HOUR * 2).await;
    let due = store.due().await.unwrap();
    let row =
        due.iter().find(|row| row.work.as_ref().is_some_and(|work| work.record == ending.reference)).unwrap();
    assert!(store.still_due(row).await.unwrap());
    // Until the usual time for it, a purge leaves the mailbox its tokens.
    let early = store.purge(&world.installation.tenant, "test", &|| true).await.unwrap();
    assert_eq!(early, PurgeReport::TooEarly(MINUTE * 15));
    world.bench.advance(HOUR * 34).await;
    let receipt = store.purge(&world.installation.tenant, "test", &|| true).await.unwrap();
    assert_eq!(receipt, PurgeReport::NothingLeft);
    assert_eq!(world.bench.left_of(&world.installation.tenant), Vec::<String>::new());
    let receipts = world.ledger(What::ShopPurged).await;
    assert_eq!(["thread", "mail", "draft", "mailbox"].map(|kind| receipts[0].counts[kind]), [3, 5, 1, 1]);
    assert!(store.all_mailbox_routes().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn mails_and_conversations_are_kept_as_long_as_was_chosen_and_what_is_older_is_not_taken() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    people(&world).await;
    let thread = world.stored(&Sent::new("m1", "t1", BEN, 24)).await.1.reference;
    let choice = Choice::of([(Kind::Mail, 3), (Kind::Thread, 20)]).unwrap();
    store.choose_retention(installation, &choice).await.unwrap();
    assert_eq!(world.take(&Sent::new("old", "t1", BEN, 24 * 4)).await, Arrival::TooOld);
    world.bench.advance(DAY * 3).await;
    let left = world.thread(&thread).await.unwrap();
    assert_eq!(left.mails.len(), 1, "what is known of it");
    assert!(store.mails_of(installation, &left).await.unwrap().is_empty());
    store.apply_retention(&installation.tenant, 0, &|| true).await.unwrap();
    assert_eq!(MAIL.map(|kind| world.bench.items(kind).len())[..3], [4, 0, 0]);
    // A later mail keeps the conversation anew, with everything that leads to it.
    world.bench.advance(DAY * 10).await;
    world.stored(&Sent::new("m2", "t1", BEN, 0)).await;
    world.bench.advance(DAY * 10).await;
    // What is known of its first mail ends all the same: for readers at once.
    assert_eq!(world.thread(&thread).await.unwrap().mails.len(), 1);
    assert_eq!(world.bench.items("thread")[0]["mails"]["N"], "2");
    store.apply_retention(&installation.tenant, 0, &|| true).await.unwrap();
    assert_eq!(world.thread(&thread).await.unwrap().mails.len(), 1);
    assert_eq!(world.bench.items("thread")[0]["mails"]["N"], "1");
    let [threads, mails, _, indexes, _, subjects] = MAIL.map(|kind| world.bench.items(kind).len());
    assert_eq!((threads, mails, indexes, subjects), (1, 0, 1, 1));
    world.bench.advance(DAY * 11).await;
    assert!(world.thread(&thread).await.is_none());
    store.apply_retention(&installation.tenant, 0, &|| true).await.unwrap();
    assert_eq!(world.of_mail(), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_mail_ends_in_its_time_though_later_mails_keep_the_conversation() {
    let world = World::new().await;
    let (store, installation) = (world.store().await, &world.installation);
    let choice = Choice::of([(Kind::Mail, 3), (Kind::Thread, 20)]).unwrap();
    store.choose_retention(installation, &choice).await.unwrap();
    let thread = world.stored(&Sent::new("m1", "t1", ANA, 0)).await.1.reference;
    world.bench.advance(DAY * 10).await;
    world.stored(&Sent::new("m2", "t1", BEN, 0)).await;
    let people = |thread: &Thread| -> Vec<String> {
        thread.people.iter().map(|person| person.address.expose().clone()).collect()
    };
    assert_eq!(people(&world.thread(&thread).await.unwrap()), [ANA, BEN]);
    // When the first mail's time is over, then readers see it nowhere, nor whoever is named in it alone.
    world.bench.advance(DAY * 10).await;
    let left = world.thread(&thread).await.unwrap();
    assert_eq!((left.mails.len(), people(&left)), (1, vec![BEN.to_owned()]));
    assert_eq!(left.first_at, left.latest_at);
    let all = ThreadFilter::default();
    let listed = store.threads(installation, &all, None, 10).await.unwrap().unwrap().threads;
    assert_eq!(listed.iter().map(|thread| thread.mails.len()).collect::<Vec<_>>(), [1]);
    // And the next mail takes it out of what is stored, with what led from it.
    let after = world.stored(&Sent::new("m3", "t1", BEN, 0)).await.1;
    assert_eq!((after.mails.len(), people(&after)), (2, vec![BEN.to_owned()]));
    assert_eq!(after.subject.expose(), "About t1");
    assert_eq!(world.bench.items("thread")[0]["mails"]["N"], "2");
    let [_, _, _, indexes, links, subjects] = MAIL.map(|kind| world.bench.items(kind).len());
    assert_eq!((indexes, links, subjects), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_merchants_rules_make_of_a_conversation_is_in_the_ledger_once() {
    let world = World::new().await;
    let store = world.store().await;
    let made = Understanding { matched: vec!["late".to_owned()], draft: false, ..understanding() };
    for (id, changed) in [("m1", 1), ("m2", 1)] {
        let mail = world.stored(&Sent::new(id, "t1", BEN, 0)).await.0;
        for _ in 0..2 {
            store.understood(&world.installation, &mail, &made, mail.due_at.unwrap()).await.unwrap();
        }
        // The second mail's rule calls it as it is called.
        let told = world.ledger(What::ThreadChanged).await;
        assert_eq!((told.len(), told[0].why.as_str()), (changed, "rule"));
    }
    // One that changes nothing has nothing to tell.
    let mail = world.stored(&Sent::new("other", "t2", BEN, 0)).await.0;
    let nothing = Understanding { labels: BTreeSet::new(), matched: Vec::new(), ..made };
    store.understood(&world.installation, &mail, &nothing, mail.due_at.unwrap()).await.unwrap();
    assert_eq!(world.ledger(What::ThreadChanged).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_webhook_of_an_uninstall_asks_for_the_end_of_the_mailboxes() {
    let world = World::new().await;
    let posted = world.app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    assert_eq!(posted.0, 200, "{posted:?}");
    let queue = "storeward-development-sync-mailbox";
    let messages = world.bench.receive(queue).await;
    let body: Value = serde_json::from_str(messages[0]["Body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&body["mailbox"], &body["why"]),
        (&json!(world.mailbox.reference.to_string()), &json!("ended"))
    );
}
