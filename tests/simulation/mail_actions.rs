//! What happens to mail: mailboxes are connected and ended, people and strangers write, members of staff answer. How mails
//! come in and go out is `gmail`'s.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::retention::Choice;
use storeward_host::{RetentionOrder, SyncOrder, SyncWhy};
use storeward_store::{Choosing, RecordRef};

use super::gmail::{self, Letter, Notice};
use super::people::{self, PEOPLE, STRANGERS, Sent};
use super::world::{OWNER, Task, World};
use crate::bench::sample;

/// The mailboxes of a shop.
fn mailboxes(shop: usize) -> [String; 2] {
    [format!("help@shop-{shop}.example.com"), format!("sales@shop-{shop}.example.com")]
}

impl World {
    /// Somebody who may write: now and then a stranger.
    pub(super) fn somebody(&mut self) -> usize {
        if self.dice.chance(25) { PEOPLE + self.dice.index(STRANGERS) } else { self.dice.index(PEOPLE) }
    }

    /// Somebody who asks for something: where it is mail that happens, mostly one of those who are in it.
    pub(super) fn asking(&mut self, shop: usize) -> usize {
        let known: BTreeSet<usize> = if self.of_mail() && self.dice.chance(70) {
            let mailboxes = mailboxes(shop);
            self.gmail.with(|boxes| {
                let of_shop = boxes.letters.iter().filter(|letter| mailboxes.contains(&letter.mailbox));
                of_shop.flat_map(|letter| people::of(&letter.people)).collect()
            })
        } else {
            BTreeSet::new()
        };
        let place = self.dice.index(known.len());
        known.into_iter().nth(place).unwrap_or_else(|| self.somebody())
    }

    /// The merchant lets a rule answer what it has words for.
    pub(super) async fn set_up_desk(&self, shop: usize) {
        let tenant = &self.shops[shop].lives.last().unwrap().tenant;
        let store = self.clean.store().await;
        let installation = store.tenant(tenant).await.unwrap().unwrap();
        let mut desk = store.desk(&installation).await.unwrap();
        desk.settings.send_by_rule = true;
        let macros = json!([{ "id": "sizes", "name": "Sizes", "text": "Hi {{customer_name}},\n\nthe sizes stand below each product.\n\n{{shop_name}}" }]);
        desk.macros = serde_json::from_value(macros).unwrap();
        let sends = json!([{ "do": "auto_send", "after_minutes": 30, "macro": "sizes" }]);
        let rules = json!([{ "id": "sends", "name": "Sends", "enabled": true, "when": {}, "then": sends }]);
        desk.rules = serde_json::from_value(rules).unwrap();
        assert!(store.change_desk(&installation, &desk).await.unwrap());
    }

    /// The merchant connects a mailbox, new or again.
    pub(super) async fn connect_mailbox(&mut self, shop: usize) {
        let address = mailboxes(shop)[usize::from(self.dice.chance(30))].clone();
        let tenant = self.shops[shop].lives.last().unwrap().tenant.clone();
        let store = self.clean.store().await;
        let installation = store.tenant(&tenant).await.unwrap();
        let Some(installation) = installation.filter(storeward_store::Installation::is_installed) else {
            return;
        };
        let mailbox = gmail::connect(store, &installation, &address, self.gmail.history_id()).await;
        let now = self.now();
        self.note(format_args!("shop {shop}: connected {address} as {mailbox}"));
        self.shops[shop].lives.last_mut().unwrap().mail.connected(&address, now);
        let order = SyncOrder { tenant, mailbox, why: SyncWhy::Connected };
        self.send("sync-mailbox", &json!(order)).await;
    }

    /// The merchant ends a mailbox.
    pub(super) async fn end_mailbox(&mut self, shop: usize) {
        let Some((installation, id)) = self.any_item(shop, Kind::Mailbox).await else { return };
        let reference: RecordRef = format!("mailbox/{id}").parse().unwrap();
        let store = self.clean.store().await;
        let mailbox = store.mailbox(&installation, &reference).await.unwrap().unwrap();
        let address = mailbox.address.expose();
        self.shops[shop].lives.last_mut().unwrap().mail.end_tried(address);
        self.call("disconnect", shop, "api/mailboxes", Some(&id), None).await;
    }

    /// Somebody writes to the shop, or the shop to somebody: something new, or to what was written before.
    pub(super) fn mail(&mut self, shop: usize) {
        let known: Vec<&String> = self.shops[shop].lives.last().unwrap().mail.addresses().collect();
        let mailbox = match known.as_slice() {
            [] => mailboxes(shop)[0].clone(),
            known => known[self.dice.index(known.len())].clone(),
        };
        let number = self.id();
        let (id, now) = (format!("g{number}"), self.now());
        let before = self.gmail.with(|boxes| {
            let known = boxes.letters.iter().rev().filter(|letter| letter.mailbox == mailbox);
            known.take(5).cloned().collect::<Vec<Letter>>()
        });
        let answered = (!before.is_empty() && self.dice.chance(60)).then(|| self.dice.index(before.len()));
        let answered = answered.map(|place| &before[place]);
        // Whoever answers is mostly one of those who are in it.
        let inside = answered.map(|letter| people::of(&letter.people));
        let limits = self.who_limits(shop).filter(|_| self.dice.chance(40));
        let writer = match (limits, inside) {
            (Some(limits), _) => limits,
            (None, Some(inside)) if !inside.is_empty() && self.dice.chance(75) => {
                inside[self.dice.index(inside.len())]
            }
            _ => self.somebody(),
        };
        let mut sent = Sent {
            id: &id,
            from: people::correspondent(writer, &mut self.dice),
            to: mailbox.clone(),
            cc: None,
            answers: answered.and_then(|letter| letter.message_ids.first()).map(String::as_str),
            more: Vec::new(),
        };
        if self.dice.chance(20) {
            let other = self.somebody();
            sent.cc = Some(people::correspondent(other, &mut self.dice));
        }
        if self.dice.chance(10) {
            sent.more.push(format!("Write to {}.", people::correspondent(writer, &mut self.dice)));
        }
        if self.dice.chance(8) {
            let other = self.somebody();
            sent.more.push(format!("Ask {}, please.", people::addresses(other)[0]));
        }
        if self.dice.chance(8) {
            sent.more.push(format!("My number is {}", people::written_phone(writer)));
        }
        let theirs = self.shops[shop].orders.iter().rev().find(|(_, person)| *person == writer);
        if let Some((order, _)) = theirs.filter(|_| self.dice.chance(40)) {
            sent.more.push(format!("It is about order #{order}."));
        }
        if self.dice.chance(15) {
            // A member of staff, from the mailbox itself.
            std::mem::swap(&mut sent.from, &mut sent.to);
        }
        let raw = sent.raw(&mut self.dice);
        // Now and then Gmail tears a conversation apart.
        let thread = answered.filter(|_| self.dice.chance(80)).map(|letter| letter.thread.clone());
        let thread = thread.unwrap_or_else(|| format!("t{number}"));
        let letter = Letter::new(id, thread, &mailbox, now, raw);
        self.note(format_args!(
            "shop {shop}: mail {} in {} of {mailbox}, names {:?}, answers {:?}, own {}",
            letter.id,
            letter.thread,
            letter.names.iter().map(|name| name.value.expose()).collect::<Vec<_>>(),
            answered.map(|letter| &letter.id),
            letter.own
        ));
        self.gmail.with(|boxes| boxes.letters.push(letter));
        self.tally.mails += 1;
        for _ in 0..=usize::from(self.dice.chance(10)) {
            let late = if self.dice.chance(25) { self.dice.below(4 * 3600) } else { 0 };
            let at = now + Duration::from_secs(late);
            self.notices.push(Notice { mailbox: mailbox.clone(), at });
        }
    }

    /// Hands on what Gmail tells of new mail.
    pub(super) async fn notify(&mut self) {
        let now = self.now();
        let untold = self.gmail.with(|boxes| std::mem::take(&mut boxes.untold));
        self.notices.extend(untold.into_iter().map(|mailbox| Notice { mailbox, at: now }));
        while let Some(due) = self.notices.iter().position(|notice| notice.at <= now) {
            let notice = self.notices.remove(due);
            let history_id = self.gmail.history_id();
            let routes = self.clean.store().await.mailbox_routes(&notice.mailbox).await.unwrap();
            for route in routes {
                let why = SyncWhy::Pushed { history_id };
                let order = SyncOrder { tenant: route.tenant, mailbox: route.mailbox, why };
                self.send("sync-mailbox", &json!(order)).await;
            }
        }
    }

    /// Lets every mailbox be gone through once more.
    pub(super) async fn read_all_again(&self) {
        self.gmail.with(|boxes| boxes.forgets = true);
        for route in self.clean.store().await.all_mailbox_routes().await.unwrap() {
            let order = SyncOrder { tenant: route.tenant, mailbox: route.mailbox, why: SyncWhy::Silent };
            self.send("sync-mailbox", &json!(order)).await;
        }
    }

    async fn send(&self, queue: &str, message: &Value) {
        let queue = format!("storeward-development-{queue}");
        self.bench.cloud.sqs().send(&queue, &message.to_string()).await.unwrap();
    }

    /// A member of staff does something with a reply.
    pub(super) async fn draft(&mut self, shop: usize) {
        let Some((installation, id)) = self.any_item(shop, Kind::Draft).await else { return };
        let reference: RecordRef = format!("draft/{id}").parse().unwrap();
        let draft = self.clean.store().await.draft(&installation, &reference).await.unwrap();
        // Now and then on what somebody else has changed.
        let revision = draft.map_or(1, |draft| draft.revision) - i64::from(self.dice.chance(10));
        let route = ["PUT /v1/drafts/{id}", "POST /v1/drafts/{id}/cancel", "DELETE /v1/drafts/{id}"];
        let route = if self.dice.chance(50) {
            "POST /v1/drafts/{id}/approve"
        } else {
            route[self.dice.index(route.len())]
        };
        let mut event = sample("api/drafts/approve");
        event["headers"]["if-match"] = json!(format!("\"{revision}\""));
        if route.starts_with("PUT") {
            event["body"] = json!(json!({ "text": "It is on its way to 1 Example Street." }).to_string());
        }
        self.call_route(event, route, shop, "api/drafts", &id).await;
    }

    /// A member of staff does something with a conversation.
    pub(super) async fn thread(&mut self, shop: usize) {
        let Some((_, id)) = self.any_item(shop, Kind::Thread).await else { return };
        let mut event = sample("api/threads/show");
        if self.dice.chance(40) {
            let route = "POST /v1/threads/{id}/draft";
            return self.call_route(event, route, shop, "api/threads", &id).await;
        }
        let state = ["open", "closed", "ignored"][self.dice.index(3)];
        event["headers"]["content-type"] = json!("application/json");
        event["body"] = json!(json!({ "state": state, "add_labels": ["seen"] }).to_string());
        self.call_route(event, "PATCH /v1/threads/{id}", shop, "api/threads", &id).await;
    }

    /// A call that no sample makes, of a route of the API.
    async fn call_route(&mut self, mut event: Value, route: &str, shop: usize, function: &str, id: &str) {
        event["routeKey"] = json!(route);
        event["requestContext"]["routeKey"] = json!(route);
        let (method, path) = route.split_once(' ').unwrap();
        event["requestContext"]["http"]["method"] = json!(method);
        event["rawPath"] = json!(path.replace("{id}", id));
        event["pathParameters"] = json!({ "id": id });
        self.call_as_owner(event, shop, function, route).await;
    }

    /// The merchant keeps mail for less time, or for longer again.
    pub(super) async fn keep_mail(&mut self, shop: usize) {
        let (mail, thread) = [(5, 20), (30, 60), (20, 10), (90, 365)][self.dice.index(4)];
        let tenant = self.shops[shop].lives.last().unwrap().tenant.clone();
        let store = self.clean.store().await;
        let Some(installation) = store.tenant(&tenant).await.unwrap() else { return };
        let choice = Choice::of([(Kind::Mail, mail), (Kind::Thread, thread)]).unwrap();
        let chosen = store.choose_retention(&installation, &choice).await.unwrap();
        self.note(format_args!("shop {shop}: keeps mail {mail} and {thread} days: {chosen:?}"));
        if !matches!(chosen, Choosing::Chosen { .. } | Choosing::Unchanged) {
            return;
        }
        self.shops[shop].lives.last_mut().unwrap().mail.chosen(mail.min(thread), thread);
        self.send("apply-retention", &json!(RetentionOrder::at_once(tenant))).await;
    }

    /// A call of the merchants' API, by the shop's owner; what it was answered.
    pub(super) async fn call_as_owner(
        &mut self,
        mut event: Value,
        shop: usize,
        function: &str,
        what: &str,
    ) -> Option<Value> {
        let tenant = self.shops[shop].lives.last().unwrap().tenant.clone();
        let owner = self.clean.store().await.actor(&tenant.shop, OWNER);
        event["requestContext"]["authorizer"]["lambda"] = json!({ "shop": tenant.shop, "actor": owner });
        let (id, body) = (&event["pathParameters"]["id"], &event["body"]);
        self.note(format_args!("shop {shop}: {function} {what} {id} {body}"));
        let mut tasks = vec![Task::Api { function: function.to_owned(), event }];
        if self.dice.chance(50) {
            tasks.extend(self.batch().await);
        }
        self.burst(tasks).await
    }
}
