//! What was asked and what was answered, and what follows from it for an installation: no storage, no queues, just
//! the promises. Where an answer was lost, both outcomes are right.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use storeward_core::data_map::{Kind, Retention};
use storeward_core::guard::GuardSettings;
use storeward_core::matching::{self, CartSignature, Features, KEY_CAP, MatchKey, Rows, Seen, Side};
use storeward_core::normalize::{self, Identifier};
use storeward_core::order::Order;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;
use storeward_core::webhook::{CustomersDataRequest, CustomersRedact};
use storeward_store::{Case, CaseState, OrderRecord, Standing};

use super::mail_model::MailLife;
use super::wishes::Wishes;

/// A request to erase somebody.
pub(super) struct Request {
    pub(super) webhook_id: String,
    /// When it was first tried: what was placed up to here is erased.
    pub(super) first: Timestamp,
    /// When it was answered with 200: what was placed later is not.
    pub(super) answered: Option<Timestamp>,
    pub(super) identifiers: Vec<Identifier>,
    orders: BTreeSet<u64>,
}

impl Request {
    fn new(webhook_id: &str, now: Timestamp, body: &Value) -> Self {
        let body: CustomersRedact = serde_json::from_value(body.clone()).unwrap();
        let emails: Vec<_> = body.customer.email.iter().collect();
        let phones: Vec<_> = body.customer.phone.iter().map(|phone| (phone, None)).collect();
        Self {
            webhook_id: webhook_id.to_owned(),
            first: now,
            answered: None,
            identifiers: normalize::identifiers(&emails, &phones, body.customer.id.as_ref()),
            orders: body.orders_to_redact.iter().map(|id| *id.expose()).collect(),
        }
    }

    fn names(&self, order: &Order) -> bool {
        self.orders.contains(order.id.expose())
    }

    fn is_about(&self, order: &Order) -> bool {
        normalize::order_identifiers(order).iter().any(|identifier| self.identifiers.contains(identifier))
    }

    fn must_erase(&self, order: &Order) -> bool {
        self.answered.is_some()
            && (self.names(order) || (self.is_about(order) && order.created_at <= self.first))
    }

    fn may_erase(&self, order: &Order) -> bool {
        let until = self.answered.unwrap_or(Timestamp(i64::MAX));
        self.names(order) || (self.is_about(order) && order.created_at <= until)
    }
}

/// One installation.
pub(super) struct Life {
    pub(super) tenant: Tenant,
    /// When the app was installed, or installed again over itself.
    pub(super) installed_at: Timestamp,
    /// Orders that were sent while this was the shop's installation: every telling of each, and whether one was certainly
    /// taken.
    orders: BTreeMap<u64, (Vec<Order>, bool)>,
    pub(super) requests: Vec<Request>,
    /// When each request for what is stored was taken.
    exports: BTreeMap<String, Timestamp>,
    /// Orders that the merchant decided about, or deleted the case of: whether they are in one is the merchant's.
    decided: BTreeSet<u64>,
    /// Whether the merchant changed what counts as a duplicate.
    other_rules: bool,
    /// Whether somebody tried to end it, and when that was answered first.
    pub(super) uninstall_tried: bool,
    pub(super) uninstalled: Option<Timestamp>,
    pub(super) mail: MailLife,
    pub(super) wishes: Wishes,
}

impl Life {
    pub(super) fn new(tenant: Tenant, now: Timestamp) -> Self {
        Self {
            tenant,
            installed_at: now,
            orders: BTreeMap::new(),
            requests: Vec::new(),
            exports: BTreeMap::new(),
            decided: BTreeSet::new(),
            other_rules: false,
            uninstall_tried: false,
            uninstalled: None,
            mail: MailLife::default(),
            wishes: Wishes::default(),
        }
    }

    /// An order is about to be delivered.
    pub(super) fn order_tried(&mut self, body: &Value) {
        let order: Order = serde_json::from_value(body.clone()).unwrap();
        self.orders.entry(*order.id.expose()).or_default().0.push(order);
    }

    /// A request is about to be delivered.
    pub(super) fn request_tried(&mut self, webhook_id: &str, now: Timestamp, body: &Value) {
        if self.requests.iter().all(|request| request.webhook_id != webhook_id) {
            self.requests.push(Request::new(webhook_id, now, body));
        }
    }

    /// A request was answered.
    pub(super) fn request_answered(&mut self, webhook_id: &str, now: Timestamp) {
        let request = self.requests.iter_mut().find(|request| request.webhook_id == webhook_id);
        request.expect("what is answered was tried").answered.get_or_insert(now);
    }

    /// A request for what is stored is about to be delivered.
    pub(super) fn data_request_tried(&mut self, now: Timestamp, body: &Value) {
        let body: CustomersDataRequest = serde_json::from_value(body.clone()).unwrap();
        let emails: Vec<_> = body.customer.email.iter().collect();
        let phones: Vec<_> = body.customer.phone.iter().map(|phone| (phone, None)).collect();
        let person = normalize::identifiers(&emails, &phones, body.customer.id.as_ref());
        self.mail.data_request_tried(body.data_request.id, person, now);
    }

    /// A request for what is stored was answered.
    pub(super) fn data_requested(&mut self, webhook_id: &str, now: Timestamp, body: &Value) {
        self.exports.entry(webhook_id.to_owned()).or_insert(now);
        self.mail.data_request_answered(body["data_request"]["id"].as_u64().unwrap(), now);
    }

    /// The merchant decides about orders, or may have; `excepts` when others are judged otherwise after it.
    pub(super) fn decided(&mut self, orders: impl IntoIterator<Item = u64>, excepts: bool) {
        self.decided.extend(orders);
        self.other_rules |= excepts;
    }

    /// How many requests for erasure are surely still there.
    pub(super) fn lasting_requests(&self, now: Timestamp) -> usize {
        let lasts =
            |request: &&Request| request.answered.is_some() && within(Kind::Request, request.first, now);
        self.requests.iter().filter(lasts).count()
    }

    /// How many exports are surely still there: an erasure takes along those of the person.
    pub(super) fn lasting_exports(&self, now: Timestamp) -> usize {
        let asked = self.exports.values().filter(|at| within(Kind::Export, **at, now)).count();
        if self.requests.is_empty() { asked } else { 0 }
    }

    /// An export tells of this installation's orders alone.
    pub(super) fn check_export(&self, document: &str) {
        for part in document.split('#').skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(id) = digits.parse::<u64>() {
                assert!(self.orders.contains_key(&id), "order {id} of another in an export: {document}");
            }
        }
    }

    /// What was answered to news of an order.
    pub(super) fn order_answered(&mut self, body: &Value, answer: &Value, now: Timestamp) {
        let told: Order = serde_json::from_value(body.clone()).unwrap();
        let id = *told.id.expose();
        let tellings = &self.orders[&id].0;
        let names = normalize::order_identifiers(&told);
        match (answer["outcome"].as_str(), answer["because"].as_str()) {
            (Some(outcome @ ("accepted" | "duplicate")), _) => {
                let under_a_limit = outcome == "accepted" && self.wishes.limited(&names, now);
                assert!(!under_a_limit, "order {id} was taken under a limit");
                self.orders.get_mut(&id).unwrap().1 = true;
            }
            (Some("refused"), Some("limited")) => {
                assert!(
                    self.wishes.ever_limited(&names),
                    "order {id} was refused, and nobody limits anything"
                );
            }
            (Some("refused"), Some("stale")) => {
                assert!(latest(tellings).version() > told.version(), "order {id}: nothing later was told");
            }
            (Some("refused"), Some("erased")) => {
                let may_be_erased = self.requests.iter().any(|request| request.may_erase(&told));
                assert!(may_be_erased, "order {id} was refused as erased, and nobody asked for that");
            }
            (Some("refused"), Some("uninstalled")) => {
                assert!(self.uninstall_tried, "order {id} was refused, but the app was never removed");
            }
            _ => panic!("order {id} was answered with {answer}"),
        }
    }

    /// Orders that somebody's answered request covers.
    pub(super) fn erased(&self) -> BTreeSet<u64> {
        let covered = |order: &Order| self.requests.iter().any(|request| request.must_erase(order));
        // Whose an order is does not change with its tellings.
        self.orders.iter().filter(|(_, (told, _))| covered(&told[0])).map(|(id, _)| *id).collect()
    }

    /// When everything has come to rest: what is stored is what was taken and not erased, and whoever looks like one
    /// order is one case.
    pub(super) fn check(&self, records: &[OrderRecord], cases: &[Case], now: Timestamp) {
        let stored: BTreeMap<u64, &OrderRecord> =
            records.iter().map(|record| (*record.order.id.expose(), record)).collect();
        assert_eq!(stored.len(), records.len(), "an order is stored twice");
        let erased = self.erased();
        // Whose an order is does not change with its tellings.
        let names: BTreeMap<u64, Vec<Identifier>> =
            self.orders.iter().map(|(id, (told, _))| (*id, normalize::order_identifiers(&told[0]))).collect();
        let withheld: BTreeSet<u64> =
            names.iter().filter(|(_, names)| self.wishes.may_limit(names)).map(|(id, _)| *id).collect();
        for id in stored.keys() {
            assert!(!erased.contains(id), "order {id} of an erased person is stored");
            assert!(self.orders.contains_key(id), "order {id} was never sent here");
            assert!(!self.wishes.limited(&names[id], now), "order {id} is shown under a limit");
        }
        if self.uninstalled.is_none() {
            for (id, (told, taken)) in &self.orders {
                let may_be_gone = !within(Kind::Order, told[0].created_at, now)
                    || self.requests.iter().any(|request| request.may_erase(&told[0]));
                let may_be_hidden = may_be_gone || withheld.contains(id);
                assert!(!taken || may_be_hidden || stored.contains_key(id), "order {id} is lost");
                // News that came under a limit was not taken.
                let misses_news = self.wishes.ever_limited(&names[id]) || self.uninstall_tried;
                if let Some(record) = stored.get(id).filter(|_| !may_be_gone && !misses_news) {
                    is_as_told_last(record, told);
                }
            }
        }
        let lasts = |case: &&Case| !matches!(case.state, CaseState::Merged | CaseState::Anonymised);
        let listed: Vec<&Case> = cases.iter().filter(lasts).collect();
        let mut case_of = BTreeMap::new();
        let groups = self.groups();
        let withheld_groups: BTreeSet<u64> = withheld.iter().map(|id| groups[id]).collect();
        for case in &listed {
            let ids: Vec<u64> = case.members.iter().map(|member| *member.id.expose()).collect();
            // It may have more orders than those that can be seen: of the same group, unless none is seen or the
            // merchant says what belongs together.
            let shows_all = match ids.first() {
                Some(id) if !self.other_rules => !withheld_groups.contains(&groups[id]),
                _ => withheld.is_empty(),
            };
            assert!(case.size == ids.len() as u64 || !shows_all, "the size of the case of {ids:?}");
            if case.decided.is_none() && shows_all {
                assert!(ids.len() >= 2, "a case of {ids:?}");
                let stand =
                    case.members.iter().filter(|member| member.standing != Standing::Cancelled).count();
                assert_eq!(case.state == CaseState::Open, stand >= 2, "{stand} of {ids:?} stand");
            }
            for member in &case.members {
                let id = member.id.expose();
                let twice = case_of.insert(*id, &case.reference).is_some();
                assert!(!twice, "order {id} is in two cases, or twice in one");
                let linked = self.other_rules || groups.get(id) == groups.get(&ids[0]);
                assert!(linked, "nothing links all of {ids:?}");
                assert!(!erased.contains(id), "order {id} of an erased person is in a case");
                assert!(!self.wishes.limited(&names[id], now), "order {id} is in a case under a limit");
                let Some(order) = stored.get(id) else {
                    // Its own window is shorter than the case's.
                    let over = self
                        .orders
                        .get(id)
                        .is_some_and(|(told, _)| !within(Kind::Order, told[0].created_at, now));
                    assert!(over, "order {id} is in a case of {ids:?} and is not stored");
                    continue;
                };
                assert_eq!(member.standing, order.standing, "order {id} and its case");
                assert_eq!(member.total, order.order.total_price, "order {id} and its case");
            }
        }
        for (id, record) in &stored {
            assert_eq!(record.case.is_some(), case_of.contains_key(id), "order {id} and its case disagree");
        }
        if self.uninstalled.is_some() || self.uninstall_tried || self.other_rules {
            return;
        }
        let decided: BTreeSet<u64> = self.decided.iter().filter_map(|id| groups.get(id)).copied().collect();
        let all: Vec<&OrderRecord> = stored.values().copied().collect();
        let most = self.most_seen();
        for (index, a) in all.iter().enumerate() {
            for b in &all[index + 1..] {
                let (a_id, b_id) = (a.order.id.expose(), b.order.id.expose());
                let theirs = groups.get(a_id).is_some_and(|group| decided.contains(group));
                let withheld = withheld.contains(a_id) || withheld.contains(b_id);
                if !theirs && !withheld && is_duplicate(&a.order, &b.order, &most) {
                    let (a_case, b_case) = (case_of.get(a_id), case_of.get(b_id));
                    assert!(a_case.is_some() && a_case == b_case, "orders {a_id} and {b_id} are in no case");
                }
            }
        }
    }

    /// The most that any check can have seen under the keys: every order ever sent. Two orders that are one even so
    /// must be in a case; two that are one when nothing else was seen may be.
    fn most_seen(&self) -> Seen {
        let mut counts: BTreeMap<MatchKey, usize> = BTreeMap::new();
        for order in self.orders.values().flat_map(|(told, _)| told) {
            for key in Features::of(order).keys() {
                *counts.entry(key.clone()).or_default() += 1;
            }
        }
        let mut seen = Seen::new();
        for (key, count) in counts {
            seen.add(key, Rows { count, more: count > KEY_CAP + 1 });
        }
        seen
    }

    /// For every order ever sent, the smallest number of those it is linked with, directly or through others.
    fn groups(&self) -> BTreeMap<u64, u64> {
        let mut group: BTreeMap<u64, u64> = self.orders.keys().map(|id| (*id, *id)).collect();
        let orders: Vec<&Order> = self.orders.values().flat_map(|(told, _)| told).collect();
        for (index, a) in orders.iter().enumerate() {
            for b in &orders[index + 1..] {
                if a.id != b.id && is_duplicate(a, b, &Seen::new()) {
                    let (of_a, of_b) = (group[a.id.expose()], group[b.id.expose()]);
                    for joined in group.values_mut().filter(|joined| **joined == of_a.max(of_b)) {
                        *joined = of_a.min(of_b);
                    }
                }
            }
        }
        group
    }
}

/// Whether something of a kind that began at `from` is surely still there.
fn within(kind: Kind, from: Timestamp, now: Timestamp) -> bool {
    match kind.row().retention {
        Retention::Window(window) => from + window > now,
        _ => true,
    }
}

/// What the check decides of two orders whose carts are not known.
fn is_duplicate(a: &Order, b: &Order, seen: &Seen) -> bool {
    let side = |order| Side::of(order, CartSignature::default());
    matching::judge(&side(a), &side(b), seen, &GuardSettings::default()).is_duplicate
}

/// The telling that counts.
fn latest(told: &[Order]) -> &Order {
    told.iter().max_by_key(|order| order.version()).expect("what is known was told")
}

/// Whatever came first, last or twice: the order is stored as it was told last.
fn is_as_told_last(record: &OrderRecord, told: &[Order]) {
    let (id, version) = (record.order.id.expose(), latest(told).version());
    assert_eq!(record.updated_at, version, "order {id} is not what was told last");
    let same: Vec<&Order> = told.iter().filter(|order| order.version() == version).collect();
    let over = same.iter().any(|order| order.cancelled_at.is_some());
    assert_eq!(record.standing == Standing::Cancelled, over, "order {id} was cancelled or not");
    if record.standing != Standing::Cancelled {
        let told_so = same.iter().any(|order| order.total_price == record.order.total_price);
        assert!(told_so, "order {id} costs what nobody told");
    }
}
