//! The driver of a history: chooses what happens next, delivers it as Shopify and SQS do, through instances that fail,
//! and tells the model what was answered.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use storeward_core::time::{Clock, HOUR, MINUTE, Timestamp};

use super::checks;
use super::dice::Dice;
use super::gmail::{Gmail, Notice, invoke};
use super::model::Life;
use super::sabotage::Sabotage;
use super::tally::Tally;
use crate::bench::{App, Bench, SECRETS, batch, sample, signed_delivery};
use crate::support::connector::{Outcome, Transport, transport};
use crate::support::faults::{FaultPlan, Rates};
use crate::support::stale;

/// How many instances run at the same time.
const AT_ONCE: usize = 3;
/// How often Shopify tries; the last time nothing goes wrong, so that every delivery is answered in the end.
pub(super) const TRIES: u32 = 8;

/// A webhook that Shopify has yet to get an answer to.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) topic: &'static str,
    pub(super) id: String,
    pub(super) shop: usize,
    body: Value,
    pub(super) triggered_at: Timestamp,
    pub(super) tries: u32,
    pub(super) next_at: Timestamp,
}

/// What one instance is given.
pub(super) enum Task {
    Webhook(Webhook),
    Api { function: String, event: Value },
    Batch { queue: String, function: String, messages: Vec<Value> },
    Sweep,
}

pub(super) struct Shop {
    pub(super) domain: String,
    pub(super) lives: Vec<Life>,
    /// Every order sent so far.
    pub(super) orders: Vec<(u64, usize)>,
    /// What was told last of each of them.
    pub(super) told: BTreeMap<u64, Value>,
}

/// One history under way.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) dice: Dice,
    pub(super) bench: Bench,
    way: Transport,
    apps: Vec<App>,
    pub(super) clean: App,
    pub(super) rates: Rates,
    /// Whether sweeps run and read hours in which nothing is due, too: most of what a history would ask for.
    sweeps_all: bool,
    /// Whether the merchants use the API.
    pub(super) merchant_acts: bool,
    pub(super) shops: Vec<Shop>,
    pub(super) waiting: Vec<Webhook>,
    pub(super) sent: Vec<Webhook>,
    pub(super) gmail: Gmail,
    pub(super) notices: Vec<Notice>,
    next_id: u64,
    pub(super) tally: Tally,
    /// Whether a failure is told in full.
    pub(super) reports: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && self.reports {
            let mut report = std::io::stderr().lock();
            let _ = writeln!(report, "\nthe history of seed {}:", self.seed);
            for line in &self.tally.trace {
                let _ = writeln!(report, "  {line}");
            }
        }
    }
}

/// Whether it is mail rather than orders that happens in a seed's history.
pub(super) const fn is_of_mail(seed: u64) -> bool {
    seed % 3 == 1
}

/// Whether the use of data is limited again and again in a seed's history, and lifted: among all that happens otherwise,
/// what depends on it would hardly ever meet.
pub(super) const fn is_of_limits(seed: u64) -> bool {
    seed % 5 == 2
}

/// The member of staff who opens the app first in every shop, and asks the API.
pub(super) const OWNER: &str = "42";

impl World {
    pub(super) async fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Dice::new(seed);
        let bench = Bench::new().await;
        // The calm instance does all that the others do, only without latencies and faults.
        let direct = sabotage.map_or_else(|| bench.transport(), |way| way.in_front_of(bench.transport()));
        let mut way = bench.transport();
        if seed.is_multiple_of(4) {
            way = stale::with_history(bench.cloud.dynamodb().clone(), way);
        }
        if let Some(sabotage) = sabotage {
            way = sabotage.in_front_of(way);
        }
        let way = with_latency(way, dice.number());
        let apps = (0..AT_ONCE).map(|_| bench.app_through(way.clone(), FaultPlan::none())).collect();
        let clean = bench.app_through(direct, FaultPlan::none());
        // A quiet history, a bad day, a very bad day.
        let bad = [0, 1, 3][dice.index(3)];
        let rates = Rates {
            throttle: 20 * bad,
            conflict: 20 * bad,
            unprocessed: 50 * bad,
            timeout: 20 * bad,
            crash: 20 * bad,
            stale: 300,
        };
        let domain = |shop| format!("simulated-{shop}.myshopify.com");
        let shops = (0..2 + dice.index(2))
            .map(|shop| Shop {
                domain: domain(shop),
                lives: Vec::new(),
                orders: Vec::new(),
                told: BTreeMap::new(),
            })
            .collect();
        let mut world = Self {
            seed,
            dice,
            bench,
            way,
            apps,
            clean,
            rates,
            sweeps_all: seed % 32 == 5,
            merchant_acts: seed % 2 == 1,
            reports: true,
            shops,
            waiting: Vec::new(),
            sent: Vec::new(),
            gmail: Gmail::default(),
            notices: Vec::new(),
            next_id: 1,
            tally: Tally::default(),
        };
        world.seal().await;
        for shop in 0..world.shops.len() {
            world.install(shop).await;
            // Where nobody knows of the desk no mail is read.
            if world.of_mail() || world.dice.chance(30) {
                world.set_up_desk(shop).await;
                world.connect_mailbox(shop).await;
            }
        }
        world
    }

    pub(super) const fn of_mail(&self) -> bool {
        is_of_mail(self.seed)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.bench.clock.now()
    }

    pub(super) fn note(&mut self, what: impl fmt::Display) {
        let line = format!("{} {what}", self.now());
        self.tally.trace.push(line);
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// One more thing happens, and what is due by now. Its choices are its own, whatever happened before: a history
    /// with steps left out goes on as before.
    pub(super) async fn step(&mut self, index: u64) {
        self.dice = Dice::of_step(self.seed, index);
        self.tally.steps += 1;
        let seconds = 1 + self.dice.below(40);
        self.bench.advance(Duration::from_secs(seconds)).await;
        // Mostly one shop's, so that what depends on each other meets.
        let first = (self.of_mail() || is_of_limits(self.seed)) && self.dice.chance(60);
        let shop = if first { 0 } else { self.dice.index(self.shops.len()) };
        let action = self.choose();
        self.note(format_args!("step {index}: {action:?}"));
        *self.tally.actions.entry(action).or_default() += 1;
        self.act(action, shop).await;
        self.deliver().await;
        for _ in 0..self.dice.below(3) {
            self.work().await;
        }
        self.check();
    }

    /// Shopify sends a webhook, now and then hours late.
    pub(super) fn webhook(&mut self, shop: usize, topic: &'static str, body: Value) {
        let now = self.now();
        let late = if self.dice.chance(25) { self.dice.below(4 * 3600) } else { 0 };
        let next_at = now + Duration::from_secs(late);
        let id = format!("w{}", self.id());
        *self.tally.webhooks.entry(topic).or_default() += 1;
        self.note(format_args!("shop {shop}: {topic} as {id}, {late} s late: {body}"));
        let webhook = Webhook { topic, id, shop, body, triggered_at: now, tries: 0, next_at };
        self.sent.push(webhook.clone());
        self.waiting.push(webhook);
    }

    pub(super) async fn install(&mut self, shop: usize) {
        let now = self.now();
        let installation = self.clean.install_in(&self.shops[shop].domain).await;
        self.clean.store().await.member_opened(&installation, OWNER).await.unwrap();
        self.note(format_args!("shop {shop}: installed as {}", installation.tenant.generation));
        let lives = &mut self.shops[shop].lives;
        match lives.last_mut() {
            Some(life) if life.tenant == installation.tenant => {
                assert!(life.uninstalled.is_none(), "an installation that ended goes on");
                life.installed_at = now;
                life.uninstall_tried = false;
            }
            _ => {
                if let Some(ended) = lives.last_mut() {
                    // Its uninstall took effect, whether or not anyone was told.
                    assert!(ended.uninstall_tried, "installed twice");
                    ended.uninstalled.get_or_insert(now);
                }
                lives.push(Life::new(installation.tenant, now));
            }
        }
    }

    /// Delivers what is due, a few at the same time and while a queue is worked on.
    pub(super) async fn deliver(&mut self) {
        self.notify().await;
        loop {
            let now = self.now();
            let mut tasks = Vec::new();
            while tasks.len() < AT_ONCE
                && let Some(due) = self.waiting.iter().position(|webhook| webhook.next_at <= now)
            {
                tasks.push(Task::Webhook(self.waiting.remove(due)));
            }
            if tasks.is_empty() {
                return;
            }
            if tasks.len() < AT_ONCE && self.dice.chance(50) {
                tasks.extend(self.batch().await);
            }
            self.burst(tasks).await;
        }
    }

    /// A batch of some queue: in any order, and some of it lost on the way, to come back later.
    pub(super) async fn batch(&mut self) -> Option<Task> {
        let mappings: Vec<(String, String)> = self
            .bench
            .template
            .functions
            .iter()
            .flat_map(|f| f.queues.iter().map(|mapping| (mapping.queue.clone(), f.handler.clone())))
            .collect();
        let (queue, function) = if self.of_mail() || is_of_limits(self.seed) {
            // A mail goes through four queues, and a limit has to be on before it is lifted: of all queues, most would be
            // found empty.
            let queues = self.bench.cloud.sqs().holding().await.unwrap();
            let waits = |name: &String| queues.iter().any(|queue| queue.name == *name && queue.visible > 0);
            let waiting: Vec<_> = mappings.into_iter().filter(|(queue, _)| waits(queue)).collect();
            waiting.get(self.dice.index(waiting.len()))?.clone()
        } else {
            mappings[self.dice.index(mappings.len())].clone()
        };
        let mut messages = self.bench.receive(&queue).await;
        // The queues' emulator gives what comes back in an order of its own: the seed alone is to choose.
        messages.sort_by_cached_key(|message| message["Body"].to_string());
        for message in &messages {
            checks::nothing_personal(&message["Body"].to_string());
        }
        self.dice.shuffle(&mut messages);
        messages.retain(|_| !self.dice.chance(10));
        (!messages.is_empty()).then_some(Task::Batch { queue, function, messages })
    }

    /// Works on the queues, with a sweep in between now and then.
    async fn work(&mut self) {
        let mut tasks = Vec::new();
        for _ in 0..AT_ONCE {
            tasks.extend(self.batch().await);
        }
        self.burst(tasks).await;
    }

    /// Whether the hourly sweep has anything to do, or is run anyway.
    pub(super) async fn sweep_is_due(&self) -> bool {
        self.sweeps_all || self.bench.skip_quiet_hours(&self.clean).await
    }

    /// A few hours go by, with schedules, sweeps and faults.
    pub(super) async fn live(&mut self) {
        let hours = 1 + self.dice.below(5);
        self.note(format_args!("{hours} hours go by"));
        for _ in 0..hours {
            self.bench.advance(HOUR).await;
            self.bench.fire_schedules().await;
            let mut tasks = Vec::new();
            if self.sweep_is_due().await {
                tasks.push(Task::Sweep);
            }
            for _ in tasks.len()..AT_ONCE {
                tasks.extend(self.batch().await);
            }
            self.burst(tasks).await;
        }
    }

    /// Gives each instance one task, lets them run at the same time, and sees what came of it.
    /// Says what the first of them was answered.
    pub(super) async fn burst(&mut self, tasks: Vec<Task>) -> Option<Value> {
        let choices: Vec<u64> = tasks.iter().map(|_| self.dice.number()).collect();
        for (index, task) in tasks.iter().enumerate() {
            let plan = match task {
                Task::Webhook(webhook) if webhook.tries + 1 >= TRIES => FaultPlan::none(),
                _ => FaultPlan::random(self.dice.number(), self.rates),
            };
            self.apps[index].connector.restart(plan);
            if let Task::Webhook(webhook) = task {
                self.tried(webhook);
            }
        }
        let (shops, gmail) = (&self.shops, &self.gmail);
        let runs = tasks.iter().zip(&self.apps).zip(choices).map(|((task, app), choices)| async move {
            let (function, event) = match task {
                Task::Webhook(webhook) => (webhook.function(), webhook.event(&shops[webhook.shop].domain)),
                Task::Api { function, event } => (function.clone(), event.clone()),
                Task::Batch { function, messages, .. } => (function.clone(), batch(messages)),
                Task::Sweep => ("schedules/sweep-due".to_owned(), sample("schedules/sweep-due/hourly")),
            };
            app.connector.run(invoke(app, gmail, &function, event, choices)).await
        });
        let outcomes = join_all(runs).await;
        let mut first = None;
        for (index, (task, outcome)) in tasks.into_iter().zip(outcomes).enumerate() {
            let requests = self.apps[index].connector.requests();
            let faults = requests.iter().filter(|request| request.fault.is_some()).count();
            self.tally.invocations += 1;
            self.tally.requests += requests.len();
            self.tally.faults += faults;
            if outcome == Outcome::Crashed {
                self.tally.crashes += 1;
                self.apps[index] = self.bench.app_through(self.way.clone(), FaultPlan::none());
            }
            let answer = match outcome {
                Outcome::Finished(Ok(answer)) => Some(answer),
                Outcome::Finished(Err(error)) => {
                    assert!(faults > 0, "an invocation failed by itself: {error}");
                    None
                }
                Outcome::Crashed => None,
            };
            if index == 0 {
                first.clone_from(&answer);
            }
            match task {
                Task::Webhook(webhook) => self.answered(webhook, answer.as_ref(), faults),
                Task::Batch { queue, function, messages } => {
                    self.worked(&queue, &function, &messages, answer.as_ref(), faults).await;
                }
                Task::Api { .. } => self.api_answered(answer.as_ref(), faults),
                Task::Sweep => self.note(format_args!("swept, {faults} faults: {answer:?}")),
            }
        }
        first
    }

    fn tried(&mut self, webhook: &Webhook) {
        let now = self.now();
        let life = self.shops[webhook.shop].lives.last_mut().unwrap();
        match webhook.topic {
            topic if topic.starts_with("orders/") => life.order_tried(&webhook.body),
            "customers/redact" => life.request_tried(&webhook.id, now, &webhook.body),
            "customers/data_request" => life.data_request_tried(now, &webhook.body),
            "app/uninstalled" => life.uninstall_tried |= webhook.triggered_at >= life.installed_at,
            _ => {}
        }
    }

    /// A call that nothing disturbed is not answered with a failure of ours. What it did is the model's to say.
    fn api_answered(&mut self, answer: Option<&Value>, faults: usize) {
        let status = answer.and_then(|answer| answer["statusCode"].as_u64()).unwrap_or_default();
        self.note(format_args!("  -> {status}, {faults} faults"));
        assert!(faults > 0 || (200..500).contains(&status), "the API failed by itself: {answer:?}");
        self.tally.calls += usize::from((200..300).contains(&status));
    }

    fn answered(&mut self, mut webhook: Webhook, answer: Option<&Value>, faults: usize) {
        let now = self.now();
        webhook.tries += 1;
        let status = answer.and_then(|answer| answer["statusCode"].as_u64()).unwrap_or_default();
        let body = answer.and_then(|answer| answer["body"].as_str()).unwrap_or("{}");
        let body: Value = serde_json::from_str(body).unwrap();
        self.note(format_args!("  {} {} -> {status} {body}, {faults} faults", webhook.topic, webhook.id));
        let life = self.shops[webhook.shop].lives.last_mut().unwrap();
        if status == 404 {
            assert!(life.uninstall_tried, "an installed shop is not known");
            return;
        }
        if status != 200 {
            assert!(faults > 0, "a webhook failed by itself");
            let pause = MINUTE * 2_u32.pow(webhook.tries.min(7));
            webhook.next_at = now + pause;
            self.waiting.push(webhook);
            return;
        }
        let accepted = matches!(body["outcome"].as_str(), Some("accepted" | "duplicate"));
        match webhook.topic {
            topic if topic.starts_with("orders/") => {
                life.order_answered(&webhook.body, &body, now);
                let outcome = body["because"].as_str().or(body["outcome"].as_str()).unwrap_or_default();
                *self.tally.orders.entry(outcome.to_owned()).or_default() += 1;
            }
            "customers/data_request" if accepted => {
                life.data_requested(&webhook.id, now, &webhook.body);
            }
            "customers/redact" if accepted => life.request_answered(&webhook.id, now),
            "customers/redact" => assert!(life.uninstall_tried, "a request was not taken: {body}"),
            "app/uninstalled" if accepted => {
                assert!(webhook.triggered_at >= life.installed_at, "late news ended an installation");
                life.uninstalled.get_or_insert(now);
            }
            "shop/redact" if accepted => assert!(life.uninstall_tried, "a purge of an installed shop"),
            _ => {}
        }
    }

    async fn worked(
        &mut self,
        queue: &str,
        function: &str,
        messages: &[Value],
        answer: Option<&Value>,
        faults: usize,
    ) {
        let kept: Vec<&Value> = answer
            .and_then(|answer| answer["batchItemFailures"].as_array())
            .map(|failures| failures.iter().map(|failure| &failure["itemIdentifier"]).collect())
            .unwrap_or_default();
        let (all, failed) = (messages.len(), kept.len());
        let ended = if answer.is_some() { "worked on" } else { "died over" };
        self.note(format_args!("  {function} {ended} {all} messages, {failed} kept, {faults} faults"));
        if answer.is_none() {
            return;
        }
        for message in messages.iter().filter(|message| !kept.contains(&&message["MessageId"])) {
            // At least once: now and then one that is done comes again, soon or right away.
            if self.dice.chance(8) {
                continue;
            }
            self.bench.delete(queue, message).await;
            if self.dice.chance(4) {
                self.bench.cloud.sqs().send(queue, message["Body"].as_str().unwrap()).await.unwrap();
            }
        }
    }

    pub(super) fn check(&mut self) {
        let dump = self.bench.dump();
        self.carried_out(&dump.values().flatten().collect::<Vec<_>>());
        let tenants: Vec<_> = self.lives().map(|life| &life.tenant).collect();
        checks::tables(&dump, &tenants, self.now());
        checks::receipts(&dump);
    }

    pub(super) fn lives(&self) -> impl Iterator<Item = &Life> {
        self.shops.iter().flat_map(|shop| &shop.lives)
    }
}

impl Webhook {
    fn function(&self) -> String {
        format!("webhooks/{}", self.topic.replace(['/', '_'], "-"))
    }

    fn event(&self, domain: &str) -> Value {
        let mut event = signed_delivery(self.topic, &self.id, domain, SECRETS[0], &self.body.to_string());
        event["headers"]["x-shopify-triggered-at"] = json!(self.triggered_at.to_rfc3339());
        event
    }
}

/// Lets every request take a while, so that what runs at the same time meets in many ways.
fn with_latency(way: Transport, seed: u64) -> Transport {
    let dice = Arc::new(Mutex::new(Dice::new(seed)));
    transport(move |request| {
        let (way, dice) = (way.clone(), dice.clone());
        async move {
            let millis = dice.lock().unwrap().below(12);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            way(request).await
        }
    })
}
