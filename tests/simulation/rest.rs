//! How a history ends: the faults stop, everything comes to rest, and all that was promised must have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use storeward_core::data_map::{Kind, Retention};
use storeward_core::time::{DAY, HOUR, Timestamp};
use storeward_store::{Arrival, Installation, MailboxState, OrderRecord, RecordRef};

use super::checks;
use super::dice::Dice;
use super::gmail::invoke;
use super::mail_model::{Desk, Standing};
use super::model::Life;
use super::tally::Tally;
use super::world::{TRIES, World};
use crate::bench::sample;
use crate::ledger;
use crate::support::faults::Rates;

impl World {
    /// Lets hours pass without faults until nothing is left to do.
    pub(super) async fn rest(&mut self) {
        self.note("nothing goes wrong any more");
        for webhook in &mut self.waiting {
            webhook.tries = TRIES;
            webhook.next_at = Timestamp::default();
        }
        for notice in &mut self.notices {
            notice.at = Timestamp::default();
        }
        self.rates = Rates::default();
        self.deliver().await;
        self.come_to_rest().await;
        if self.of_mail() {
            // Whatever Gmail still has of what was erased does not come back.
            self.read_all_again().await;
            self.come_to_rest().await;
            self.gmail.with(|boxes| boxes.forgets = false);
        }
        let stuck = self.bench.cloud.sqs().holding().await.unwrap();
        assert!(stuck.is_empty(), "messages that nobody can work on: {stuck:?}");
        assert_eq!(self.open_due_rows(), Vec::<Value>::new(), "due rows of what is done");
        self.check();
        for shop in 0..self.shops.len() {
            for life in &self.shops[shop].lives {
                let exports = self.settled(life).await;
                self.tally.exports += exports;
            }
        }
    }

    /// Hours go by until nothing waits any more.
    async fn come_to_rest(&mut self) {
        for _ in 0..8 {
            let queues = self.bench.cloud.sqs().holding().await.unwrap();
            for dead_letters in queues.iter().filter(|queue| queue.dead_letters_to.is_none()) {
                self.bench.cloud.sqs().replay(&dead_letters.name).await.unwrap();
            }
            self.notify().await;
            self.hour().await;
            let told = self.gmail.with(|boxes| boxes.untold.is_empty());
            if told && self.bench.messages().await == 0 && self.open_due_rows().is_empty() {
                break;
            }
        }
    }

    /// An hour of a deployment in which nothing goes wrong.
    pub(super) async fn hour(&self) {
        self.bench.advance(HOUR).await;
        self.bench.fire_schedules().await;
        if self.sweep_is_due().await {
            self.clean.invoke("schedules/sweep-due", sample("schedules/sweep-due/hourly")).await.unwrap();
        }
        let choices = std::cell::Cell::new(self.tally.requests as u64);
        let invoke = |function: String, event: Value| {
            let choices = choices.replace(choices.get() + 1000);
            async move { invoke(&self.clean, &self.gmail, &function, event, choices).await }
        };
        self.bench.drain_by(invoke).await;
    }

    /// Due rows of work that should be done: not of what comes later anyway, such as a purge or a warning.
    fn open_due_rows(&self) -> Vec<Value> {
        let mut rows = self.bench.items("due");
        rows.retain(|row| {
            row["sk"]["S"] != "cursor"
                && ["resend", "second-pass", "digest", "sync-mailbox", "classify-mail", "draft-reply"]
                    .contains(&row["what"]["S"].as_str().unwrap())
        });
        rows
    }

    /// All that is promised about one installation.
    async fn settled(&self, life: &Life) -> usize {
        let dump = self.bench.dump();
        let receipts = checks::receipts(&dump);
        let name = life.tenant.to_string();
        let purged = receipts.purged.contains_key(&name);
        let store = self.clean.store().await;
        let Some(installation) = store.tenant(&life.tenant).await.unwrap() else {
            assert!(purged && life.uninstalled.is_some(), "{name} is gone and nobody knows why");
            assert_eq!(self.bench.left_of(&life.tenant), Vec::<String>::new(), "left after the purge");
            return 0;
        };
        assert!(!purged, "{name} was purged and is there");
        assert_eq!(installation.is_installed(), life.uninstalled.is_none(), "the state of {name}");
        let mut records: Vec<OrderRecord> = Vec::new();
        let (mut requests, mut exports) = (0, 0);
        let items = dump.values().flatten();
        for item in items.filter(|item| item["pk"]["S"].as_str().unwrap().starts_with(&name)) {
            let reference =
                format!("{}/{}", item["kind"]["S"].as_str().unwrap(), item["sk"]["S"].as_str().unwrap());
            match item["kind"]["S"].as_str().unwrap() {
                "order" => {
                    let reference: RecordRef = reference.parse().unwrap();
                    match store.order(&installation, &reference).await.unwrap() {
                        Some(record) => records.push(record),
                        None => assert!(item["use_limited"]["N"].is_string(), "nobody can read it: {item}"),
                    }
                }
                "request" if item["rights"]["S"].as_str().is_some_and(|rights| rights != "erasure") => {
                    assert_ne!(item["phase"]["S"], "open", "a request that nobody works on: {item}");
                }
                "request" => {
                    requests += 1;
                    assert_eq!(item["phase"]["S"], "done", "a request that never ends: {item}");
                    let receipt = receipts.verified.get(&name).is_some_and(|of| of.contains(&reference));
                    assert!(receipt, "a request without a receipt: {item}");
                }
                "rectification" => assert_eq!(item["phase"]["S"], "done", "an account for ever: {item}"),
                "export" if item["phase"]["S"] != "part" => {
                    exports += 1;
                    assert_ne!(item["phase"]["S"], "open", "an export that is never made: {item}");
                    let export = store.export(&installation, &reference.parse().unwrap()).await.unwrap();
                    let export = export.unwrap();
                    let document = export.document().expose().to_string();
                    life.check_export(&document);
                    let number = export.data_request;
                    self.gmail.with(|boxes| life.check_mail_export(boxes, number, &document));
                }
                "delivery" => {
                    let open = item["phase"]["S"] == "open" && life.uninstalled.is_none();
                    assert!(!open, "a delivery that never ends: {item}");
                }
                _ => {}
            }
        }
        let erased = receipts.counts.get(&name).copied().unwrap_or_default();
        let desk = self.desk_of(&installation, &dump, erased).await;
        self.gmail.with(|boxes| life.check_mail(boxes, &desk, self.now()));
        let taken = life.lasting_requests(self.now());
        assert!(taken <= requests && requests <= life.requests.len(), "{requests} of {taken} requests");
        assert!(exports >= life.lasting_exports(self.now()), "an export is lost");
        life.check(&records, &self.clean.cases(&installation).await, self.now());
        exports
    }

    /// Whether the ledger is sealed and audited in this history: the first sealing of a deployment looks for earlier ones for
    /// long, so that few have one.
    const fn is_audited(&self) -> bool {
        self.seed % 16 == 7
    }

    /// Seals the days of the ledger, where the history does at all. A deployment does it every day; a sealed day that is more
    /// than 400 days back is not found.
    pub(super) async fn seal(&self) {
        if self.is_audited() {
            ledger::seal(&self.clean).await;
        }
    }

    /// Holds all that was written in the ledger against its sealed days.
    async fn audit(&mut self) {
        if !self.is_audited() {
            return;
        }
        self.bench.advance(DAY * 2).await;
        self.note("the ledger is sealed");
        self.seal().await;
        let found = ledger::audited(&self.bench);
        assert_eq!((found.findings, found.unsealed), (Vec::new(), 0));
    }

    /// What stands of an installation's mail.
    async fn desk_of(
        &self,
        installation: &Installation,
        dump: &BTreeMap<String, Vec<Value>>,
        erased: u64,
    ) -> Desk {
        let store = self.clean.store().await;
        let prefix = format!("{}#", installation.tenant);
        let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        let of_kind = |kind: &'static str| {
            let items = dump.values().flatten().filter(move |item| item["kind"]["S"] == kind);
            items.filter(|item| text(item, "pk").starts_with(&prefix)).collect::<Vec<&Value>>()
        };
        let mut desk = Desk { erased, mails: of_kind("mail").len(), ..Desk::default() };
        for item in of_kind("mailbox") {
            let reference: RecordRef = format!("mailbox/{}", text(item, "sk")).parse().unwrap();
            let mailbox = store.mailbox(installation, &reference).await.unwrap().unwrap();
            assert_ne!(mailbox.state, MailboxState::Ending, "a mailbox that never ends: {item}");
            if mailbox.state == MailboxState::Disconnected {
                desk.lost.insert(mailbox.address.expose().clone());
            }
            let sent: BTreeMap<String, usize> = self.gmail.with(|boxes| {
                let letters = boxes.letters.iter().enumerate();
                let in_it = letters.filter(|(_, letter)| letter.mailbox == *mailbox.address.expose());
                in_it.map(|(place, letter)| (letter.id.clone(), place)).collect()
            });
            let ids: Vec<String> = sent.keys().cloned().collect();
            let known = store.known_mails(installation, &mailbox, &ids).await.unwrap();
            desk.stored.extend(known.iter().map(|id| sent[id]));
        }
        let rows = of_kind("subject");
        for item in of_kind("thread") {
            let reference: RecordRef = format!("thread/{}", text(item, "sk")).parse().unwrap();
            let Some(thread) = store.thread(installation, &reference).await.unwrap() else {
                assert!(item["use_limited"]["N"].is_string(), "a conversation that nobody can read: {item}");
                continue;
            };
            let mails = store.mails_of(installation, &thread).await.unwrap();
            let drafts = store.drafts_of(installation, &thread).await.unwrap();
            let rows = rows.iter().filter(|row| text(row, "sk") == reference.to_string()).count();
            desk.threads.push(Standing { thread, mails, drafts, rows });
        }
        desk
    }

    /// Lives on until every purge that waits must be over: a schedule that limps must do too.
    pub(super) async fn outlive_purges(&mut self) {
        let waits = self.bench.items("shop").iter().any(|item| item["phase"]["S"] == "uninstalled");
        let strides = [1, 2, 9][self.dice.index(3)];
        for _ in 0..if waits { strides } else { 0 } {
            self.bench.advance(HOUR * (36 / strides)).await;
            self.hour().await;
        }
        if waits {
            self.hour().await;
        }
    }

    /// Comes to rest, lives on until every purge must be over, and then until everything has outlived its window.
    pub(super) async fn end(mut self) -> Tally {
        self.dice = Dice::of_step(self.seed, u64::MAX - 1);
        self.rest().await;
        self.outlive_purges().await;
        let dump = self.bench.dump();
        let receipts = checks::receipts(&dump);
        for life in self.lives() {
            let name = life.tenant.to_string();
            let purged = receipts.purged.get(&name).copied().unwrap_or_default();
            assert_eq!(purged, usize::from(life.uninstalled.is_some()), "receipts for {name}");
            if life.uninstalled.is_some() {
                assert_eq!(self.bench.left_of(&life.tenant), Vec::<String>::new(), "left of {name}");
            }
        }
        for life in self.shops.iter().flat_map(|shop| &shop.lives) {
            let [limits, lifted] = life.wishes.done();
            self.tally.wishes[0] += limits;
            self.tally.wishes[1] += lifted;
        }
        self.tally.purges = receipts.purged.len();
        self.tally.receipts =
            self.tally.purges + receipts.verified.values().map(BTreeSet::len).sum::<usize>();
        self.gmail.with(|boxes| {
            self.tally.replies = boxes.replies;
            for said in &boxes.said {
                let name = match said.arrival {
                    Arrival::Stored { .. } => "stored",
                    Arrival::Known => "known",
                    Arrival::TooOld => "too old",
                    Arrival::RefusedErased => "erased",
                    Arrival::RefusedLimited => "limited",
                };
                *self.tally.arrivals.entry(name).or_default() += 1;
            }
        });
        self.audit().await;
        self.tally.all_requests = self.bench.cloud.counts().values().sum();
        for days in [8, 24, 31, 31, 300] {
            self.bench.advance(Duration::from_hours(24 * days)).await;
            self.note(format_args!("{days} days go by"));
            self.check();
        }
        // What has no window by the data map; of the due rows the sweep's cursor.
        let lasting = |kind: &Kind| {
            *kind == Kind::Due || matches!(kind.row().retention, Retention::UntilPurge | Retention::Permanent)
        };
        let lasting: Vec<&str> =
            Kind::ALL.iter().filter(|kind| lasting(kind)).map(|kind| kind.name()).collect();
        for item in self.bench.dump().into_values().flatten() {
            assert!(lasting.contains(&item["kind"]["S"].as_str().unwrap()), "it outlives its window: {item}");
        }
        std::mem::take(&mut self.tally)
    }
}
