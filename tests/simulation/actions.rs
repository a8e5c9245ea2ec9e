//! What can happen next in a history, and how often. A new kind of thing is one variant, one line of [`ACTIONS`] and one
//! arm of [`World::act`]; what must hold of it is the model's or a check's. How it is delivered and what goes wrong with
//! it is the world's.

use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::time::HOUR;
use storeward_store::RecordRef;

use super::people;
use super::world::{Webhook, World, is_of_limits};
use crate::bench::{sample, sample_body};
use crate::support::faults::Rates;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// Somebody orders.
    Order,
    /// Something becomes of an order.
    News,
    /// Shopify sends something once more.
    Repeat,
    /// Somebody asks to be erased.
    Redact,
    /// Somebody asks what is stored.
    DataRequest,
    /// The merchant was given what somebody asked for.
    Give,
    /// A customer's account changes.
    Account,
    /// The shop changes its plan.
    Plan,
    /// The merchant decides on a case.
    Decide,
    /// The merchant deletes a case.
    DeleteCase,
    /// The merchant ends an exception.
    EndException,
    /// The merchant changes the settings.
    Settings,
    /// The app is removed.
    Uninstall,
    /// Shopify asks that a removed shop be erased.
    ShopRedact,
    /// The app is installed, again or after it was removed.
    Install,
    /// Somebody writes a mail.
    Mail,
    /// A mailbox is connected, or again.
    ConnectMailbox,
    /// The merchant ends a mailbox.
    EndMailbox,
    /// A member of staff does something with a reply.
    Draft,
    /// A member of staff does something with a conversation.
    Thread,
    /// Somebody limits the use of their data, or lifts that.
    Limit,
    /// The merchant chooses how long mail is kept.
    KeepMail,
    /// Minutes go by.
    Wait,
    /// Hours go by, with their sweeps.
    Live,
    /// Everything comes to rest, and days or months go by.
    Leap,
    /// Nothing: the queues are worked on.
    Nothing,
}

/// How often each thing happens, in permille: in a history of orders, and in one of mail. What is left is nothing.
const ACTIONS: [(Action, [u64; 2]); 25] = [
    (Action::Order, [250, 40]),
    (Action::News, [115, 10]),
    (Action::Repeat, [65, 20]),
    (Action::Redact, [90, 100]),
    (Action::DataRequest, [38, 35]),
    (Action::Give, [15, 5]),
    (Action::Account, [30, 5]),
    (Action::Plan, [10, 5]),
    (Action::Decide, [40, 0]),
    (Action::DeleteCase, [15, 0]),
    (Action::EndException, [10, 0]),
    (Action::Settings, [10, 5]),
    (Action::Uninstall, [35, 25]),
    (Action::ShopRedact, [35, 20]),
    (Action::Install, [45, 35]),
    (Action::Mail, [50, 360]),
    (Action::ConnectMailbox, [10, 30]),
    (Action::EndMailbox, [3, 15]),
    (Action::Draft, [5, 70]),
    (Action::Thread, [3, 30]),
    (Action::Limit, [5, 75]),
    (Action::KeepMail, [2, 15]),
    (Action::Wait, [55, 50]),
    (Action::Live, [40, 40]),
    (Action::Leap, [10, 10]),
];

/// How many kinds of things there are.
pub(super) const KINDS: usize = ACTIONS.len() + 1;

impl World {
    /// What happens next.
    pub(super) fn choose(&mut self) -> Action {
        if is_of_limits(self.seed) && self.dice.chance(20) {
            return Action::Limit;
        }
        let mut place = self.dice.below(1000);
        let other = if self.of_mail() { Action::Mail } else { Action::Order };
        for (action, often) in ACTIONS {
            let often = often[usize::from(self.of_mail())];
            if place < often {
                // Half of the merchants never look: what their settings say from the beginning must happen.
                return if self.merchant_acts || !action.is_merchants() { action } else { other };
            }
            place -= often;
        }
        Action::Nothing
    }

    /// Lets it happen in a shop.
    pub(super) async fn act(&mut self, action: Action, shop: usize) {
        match action {
            Action::Order => self.new_order(shop),
            Action::News => self.news(shop),
            Action::Repeat => self.repeat(),
            Action::Redact => self.redaction(shop),
            Action::DataRequest => self.data_request(shop),
            Action::Give => self.give(shop).await,
            Action::Account => self.account(shop),
            Action::Plan => self.plan(shop),
            Action::Decide => self.decide(shop).await,
            Action::DeleteCase => self.delete_case(shop).await,
            Action::EndException => self.end_exception(shop).await,
            Action::Settings => self.settings(shop).await,
            Action::Uninstall => {
                let body = json!({ "id": 1, "domain": null, "myshopify_domain": null });
                self.webhook(shop, "app/uninstalled", body);
            }
            Action::ShopRedact => {
                let body = json!({ "shop_id": 1, "shop_domain": self.shops[shop].domain });
                self.webhook(shop, "shop/redact", body);
            }
            Action::Install => self.install(shop).await,
            Action::Mail => self.mail(shop),
            Action::ConnectMailbox => self.connect_mailbox(shop).await,
            Action::EndMailbox => self.end_mailbox(shop).await,
            Action::Draft => self.draft(shop).await,
            Action::Thread => self.thread(shop).await,
            Action::Limit => self.limit(shop).await,
            Action::KeepMail => self.keep_mail(shop).await,
            Action::Wait => {
                let wait = Duration::from_secs(1 + self.dice.below(1800));
                self.bench.advance(wait).await;
                self.note("some time later");
            }
            Action::Live => self.live().await,
            Action::Leap => self.leap().await,
            Action::Nothing => {}
        }
    }

    fn new_order(&mut self, shop: usize) {
        let last = self.shops[shop].orders.last().map(|(_, person)| *person);
        let limits = self.who_limits(shop).filter(|person| *person < people::PEOPLE && self.dice.chance(60));
        let person = match (limits, last) {
            (Some(person), _) => person,
            (None, Some(person)) if self.dice.chance(50) => person,
            _ => self.dice.index(people::PEOPLE),
        };
        let id = 1000 + self.id();
        let ago = if self.dice.chance(20) { self.dice.below(30 * 3600) } else { 0 };
        let placed = self.now() - Duration::from_secs(ago);
        let body = people::order(id, person, placed, &mut self.dice);
        self.shops[shop].orders.push((id, person));
        self.shops[shop].told.insert(id, body.clone());
        self.webhook(shop, "orders/create", body);
    }

    /// Something becomes of an order: now and then two things in the same second.
    fn news(&mut self, shop: usize) {
        let Some(last) = self.shops[shop].orders.len().checked_sub(1) else { return };
        let (id, _) = self.shops[shop].orders[last - self.dice.index(last.min(4) + 1)];
        // Of an order from before a leap nothing is told any more.
        let Some(before) = self.shops[shop].told.get(&id).cloned() else { return };
        let (topic, body) = people::news(&before, &mut self.dice);
        self.shops[shop].told.insert(id, body.clone());
        self.webhook(shop, topic, body);
    }

    /// Shopify sends something again: as it was, or an order under another name.
    fn repeat(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let index = self.dice.index(self.sent.len());
        let mut webhook: Webhook = self.sent[index].clone();
        if webhook.topic == "orders/create" && self.dice.chance(40) {
            webhook.id = format!("w{}", self.id());
            webhook.triggered_at = self.now();
        }
        self.note(format_args!("shop {}: {} again as {}", webhook.shop, webhook.topic, webhook.id));
        webhook.next_at = self.now();
        self.waiting.push(webhook);
    }

    /// Some of a person's orders, and now and then one of somebody else: what a request names.
    fn some_orders(&mut self, shop: usize, person: usize) -> Vec<u64> {
        let known = &self.shops[shop].orders;
        let mut orders: Vec<u64> = known.iter().filter(|(_, of)| *of == person).map(|(id, _)| *id).collect();
        orders.truncate(self.dice.index(4));
        if self.dice.chance(10) && !known.is_empty() {
            orders.push(known[self.dice.index(known.len())].0);
        }
        orders
    }

    fn redaction(&mut self, shop: usize) {
        let person = self.asking(shop);
        self.redaction_of(shop, person);
    }

    pub(super) fn redaction_of(&mut self, shop: usize, person: usize) {
        let orders = self.some_orders(shop, person);
        let body = people::request(&self.shops[shop].domain, person, &mut self.dice, !orders.is_empty());
        self.webhook(shop, "customers/redact", with(body, "orders_to_redact", &json!(orders)));
    }

    fn data_request(&mut self, shop: usize) {
        let person = self.asking(shop);
        let orders = self.some_orders(shop, person);
        let body = people::request(&self.shops[shop].domain, person, &mut self.dice, !orders.is_empty());
        let body = with(body, "orders_requested", &json!(orders));
        let number = self.id();
        self.webhook(shop, "customers/data_request", with(body, "data_request", &json!({ "id": number })));
    }

    /// A customer's account as it is now: the same person, written differently.
    fn account(&mut self, shop: usize) {
        let mut body = sample_body("webhooks/customers-update/new-email");
        let person = self.dice.index(people::PEOPLE);
        for (name, value) in people::account_of(person, &mut self.dice) {
            body[name] = value;
        }
        body["updated_at"] = json!(self.now().to_rfc3339());
        self.webhook(shop, "customers/update", body);
    }

    fn plan(&mut self, shop: usize) {
        let plan = ["Basic", "Grow", "Advanced"][self.dice.index(3)];
        let body = json!({
            "id": 1, "name": "Sample", "email": null, "domain": null, "plan_display_name": plan,
            "myshopify_domain": self.shops[shop].domain, "updated_at": self.now().to_rfc3339(),
        });
        self.webhook(shop, "shop/update", body);
    }

    /// The merchant says of an export that it was given.
    async fn give(&mut self, shop: usize) {
        let Some((installation, id)) = self.any_item(shop, Kind::Export).await else { return };
        let reference: RecordRef = format!("export/{id}").parse().unwrap();
        let given = self.clean.store().await.export_delivered(&installation, &reference).await.unwrap();
        self.note(format_args!("shop {shop}: given {reference}: {given}"));
    }

    /// The merchant decides on some case, in whatever state it is.
    async fn decide(&mut self, shop: usize) {
        let decision = ["confirm", "dismiss", "never_this_household", "never_this_customer"];
        let decision = decision[self.dice.index(4)];
        let Some((installation, id)) = self.any_item(shop, Kind::Case).await else { return };
        let reference: RecordRef = format!("case/{id}").parse().unwrap();
        let case = self.clean.store().await.case(&installation, &reference).await.unwrap();
        let excepts = decision.starts_with("never");
        let life = self.shops[shop].lives.last_mut().unwrap();
        life.decided(case.iter().flat_map(|case| &case.members).map(|member| *member.id.expose()), excepts);
        let body = json!({ "decision": decision });
        self.call("decide", shop, "api/cases", Some(&id), Some(&body)).await;
    }

    async fn delete_case(&mut self, shop: usize) {
        let Some((installation, id)) = self.any_item(shop, Kind::Case).await else { return };
        let reference: RecordRef = format!("case/{id}").parse().unwrap();
        let case = self.clean.store().await.case(&installation, &reference).await.unwrap();
        let life = self.shops[shop].lives.last_mut().unwrap();
        life.decided(case.iter().flat_map(|case| &case.members).map(|member| *member.id.expose()), false);
        self.call("delete", shop, "api/cases", Some(&id), None).await;
    }

    async fn end_exception(&mut self, shop: usize) {
        let Some((_, id)) = self.any_item(shop, Kind::Exception).await else { return };
        self.call("end", shop, "api/exceptions", Some(&id), None).await;
    }

    /// The settings change: what is flagged from here on is not what the model says.
    async fn settings(&mut self, shop: usize) {
        let sensitivity = ["cautious", "balanced"][self.dice.index(2)];
        let body = json!({ "window_minutes": 60 + self.dice.below(600), "sensitivity": sensitivity });
        self.shops[shop].lives.last_mut().unwrap().decided([], true);
        self.call("replace", shop, "api/settings", None, Some(&body)).await;
    }

    /// A call of the merchants' API, as a sample makes it, of a caller that the authorizer found to be the shop's.
    pub(super) async fn call(
        &mut self,
        sampled: &str,
        shop: usize,
        function: &str,
        id: Option<&str>,
        body: Option<&Value>,
    ) {
        let mut event = sample(&format!("{function}/{sampled}"));
        if let Some(id) = id {
            event["pathParameters"]["id"] = json!(id);
        }
        if let Some(body) = body {
            event["body"] = json!(body.to_string());
        }
        self.call_as_owner(event, shop, function, sampled).await;
    }

    /// Any item of a kind that the shop's present installation has: its name.
    pub(super) async fn any_item(
        &mut self,
        shop: usize,
        kind: Kind,
    ) -> Option<(storeward_store::Installation, String)> {
        let tenant = self.shops[shop].lives.last().unwrap().tenant.clone();
        let prefix = format!("{tenant}#{}#", kind.name());
        let items = self.bench.items(kind.name());
        let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap().to_owned();
        let ids: Vec<String> = items
            .iter()
            .filter(|item| text(item, "pk").starts_with(&prefix) && item["phase"]["S"] != "part")
            .map(|item| text(item, "sk"))
            .collect();
        let id = ids.get(self.dice.index(ids.len()))?.clone();
        let installation = self.clean.store().await.tenant(&tenant).await.unwrap()?;
        Some((installation, id))
    }

    /// Everything comes to rest, and so much time goes by that windows end. Nothing from before is sent again.
    async fn leap(&mut self) {
        let rates: Rates = self.rates;
        self.rest().await;
        self.rates = rates;
        self.outlive_purges().await;
        let days = [8, 31, 61, 95, 370][self.dice.index(5)];
        self.bench.advance(HOUR * 24 * days).await;
        self.note(format_args!("{days} days go by"));
        self.hour().await;
        self.seal().await;
        self.sent.clear();
        for shop in &mut self.shops {
            shop.told.clear();
        }
    }
}

impl Action {
    const fn is_merchants(self) -> bool {
        matches!(
            self,
            Self::Decide
                | Self::DeleteCase
                | Self::EndException
                | Self::Settings
                | Self::EndMailbox
                | Self::Draft
                | Self::Thread
                | Self::KeepMail
        )
    }
}

fn with(mut body: Value, name: &str, value: &Value) -> Value {
    body[name] = value.clone();
    body
}
