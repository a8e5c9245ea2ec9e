//! What must hold of the raw tables after every single step, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;
use storeward_core::data_map::{Kind, Retention};
use storeward_core::receipt::Erased;
use storeward_core::shop::Tenant;
use storeward_core::time::{DAY, Timestamp};
use storeward_store::{Entry, What};

use super::people;

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap_or_default()
}

fn number(item: &Value, name: &str) -> Option<i64> {
    item[name]["N"].as_str().and_then(|digits| digits.parse().ok())
}

/// The longest an item of `kind` may still live; `None` for what has no end.
fn longest(kind: Kind) -> Option<Duration> {
    match kind.row().retention {
        Retention::Window(window) => Some(window),
        // A subject row lives with its order, or with the case that names the order.
        Retention::WithRecord => longest(Kind::Case),
        Retention::UntilPurge | Retention::Permanent => None,
    }
}

/// Looks at every item of every table.
pub(super) fn tables(dump: &BTreeMap<String, Vec<Value>>, tenants: &[&Tenant], now: Timestamp) {
    let items: Vec<&Value> = dump.values().flatten().collect();
    let keys = Keys::of(&items);
    let going = under_erasure(&items);
    let installations: Vec<String> = tenants.iter().map(ToString::to_string).collect();
    let shops: BTreeSet<&str> = tenants.iter().map(|tenant| tenant.shop.as_str()).collect();
    for item in items.iter().filter(|item| item["kind"]["S"] != "ledger") {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text(item, "kind"));
        let kind = kind.unwrap_or_else(|| panic!("an item of no kind: {item}"));
        ends_in_time(kind, item, now);
        let whole = item.to_string();
        nothing_personal(&whole);
        let named = installations.iter().filter(|name| whole.contains(*name)).count();
        let shops = shops.iter().filter(|shop| whole.contains(**shop)).count();
        assert!(named <= 1 && shops <= 1, "an item of two tenants: {item}");
        leads_somewhere(kind, item, &keys, &going);
        let sealed = item.get("sealed").is_some();
        match (kind, text(item, "phase")) {
            (Kind::Request, "open" | "ready") if text(item, "rights") == "access" => {
                assert!(!sealed, "whom it is about stands in the export: {item}");
            }
            (Kind::Order | Kind::Mailbox | Kind::Thread | Kind::Mail | Kind::Draft, _)
            | (Kind::Request, "open" | "erased")
            | (Kind::Case, "open" | "settled") => {
                assert!(sealed, "nothing sealed: {item}");
            }
            (Kind::Request, "done" | "refused") | (Kind::Case, "anonymised" | "merged") => {
                assert!(!sealed, "still sealed: {item}");
            }
            _ => {}
        }
    }
}

/// What is stored, sent or logged shows nothing of a person, neither before an erasure nor after.
pub(super) fn nothing_personal(text: &str) {
    // In one look: this reads more bytes than everything else in a history.
    static CANARIES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&people::CANARIES.map(regex::escape).join("|")).unwrap());
    if let Some(canary) = CANARIES.find(text) {
        panic!("{} stands in the clear in {text}", canary.as_str());
    }
}

/// The keys of all items, and how often each case and conversation is listed.
struct Keys<'a> {
    all: BTreeSet<(&'a str, &'a str)>,
    /// By partition without what follows the index's name, and by the id that ends the row.
    listed: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Keys<'a> {
    fn of(items: &[&'a Value]) -> Self {
        let all: BTreeSet<_> = items.iter().map(|item| (text(item, "pk"), text(item, "sk"))).collect();
        let mut listed = BTreeMap::new();
        for (partition, row) in &all {
            let index = partition.match_indices('#').nth(2).map(|(end, _)| &partition[..end]);
            if let (Some(index), Some((_, id))) = (index, row.rsplit_once('#')) {
                *listed.entry((index, id)).or_default() += 1;
            }
        }
        Self { all, listed }
    }

    fn times_listed(&self, tenant: &str, index: &str, id: &str) -> usize {
        self.listed.get(&(format!("{tenant}#{index}").as_str(), id)).copied().unwrap_or_default()
    }
}

fn ends_in_time(kind: Kind, item: &Value, now: Timestamp) {
    let expires_at = number(item, "expires_at");
    // Of a limit that was lifted it is kept when, for as long as a request from before can be there.
    let limits = ["restricted_at", "objected_at"].iter().any(|name| number(item, name).is_some());
    let kind = if kind == Kind::Limit && !limits { Kind::Request } else { kind };
    match (longest(kind), expires_at) {
        // The sweep's own place is no tenant's and is written again every hour.
        (Some(_), None) => assert_eq!(text(item, "sk"), "cursor", "an item without an end: {item}"),
        (Some(longest), Some(end)) => {
            assert!(end > now.seconds() - 1, "an item outlived its end: {item}");
            // A case that is anonymised ends with the day, and due rows stand in the future: the deadline's farthest.
            let from = number(item, "at").map_or(now, Timestamp).max(now);
            assert!(from <= now + storeward_core::rights::ANSWER_WITHIN, "due too late: {item}");
            let latest = (from + longest + DAY * 2).seconds();
            assert!(end <= latest, "an item that lives too long: {item}");
        }
        (None, end) => assert_eq!(end, None, "an item that should not end: {item}"),
    }
}

fn tenant_of(partition: &str) -> String {
    partition.split('#').take(2).collect::<Vec<_>>().join("#")
}

/// What an erasure which is not done yet comes by again: partitions, whose rows are the last to go, records that those lead
/// to, and orders it names. It takes all orders of a person out of a case before it comes to each of them.
fn under_erasure<'a>(items: &[&'a Value]) -> BTreeSet<&'a str> {
    let open = |item: &&&Value| {
        let erasure = text(item, "kind") == "request" && text(item, "rights") == "erasure";
        erasure && ["open", "erased"].contains(&text(item, "phase"))
    };
    let tenants: BTreeSet<String> =
        items.iter().filter(open).map(|item| tenant_of(text(item, "pk"))).collect();
    let tombstones = items.iter().filter(|item| text(item, "kind") == "tombstone");
    let of_open = tombstones.filter(|item| tenants.contains(&tenant_of(text(item, "pk"))));
    let mut going: BTreeSet<&str> = of_open.map(|item| text(item, "leads_to")).collect();
    let rows =
        items.iter().filter(|item| text(item, "kind") == "subject" && going.contains(text(item, "pk")));
    let led: Vec<&str> = rows.map(|item| text(item, "sk")).collect();
    going.extend(led);
    going
}

/// Index rows have a record, and the case of an order is there that is not `going`.
fn leads_somewhere(kind: Kind, item: &Value, keys: &Keys<'_>, going: &BTreeSet<&str>) {
    let (partition, sort) = (text(item, "pk"), text(item, "sk"));
    let tenant = tenant_of(partition);
    let there = |kind: &str, id: &str| {
        let bucket = u8::from_str_radix(&id[..1], 16).unwrap();
        keys.all.contains(&(format!("{tenant}#{kind}#{bucket:02}").as_str(), id))
    };
    let case = text(item, "case_id").strip_prefix("case/");
    let has_case = case.is_some_and(|id| there("case", id));
    match kind {
        Kind::Match => {
            let id = sort.rsplit_once('#').unwrap().1;
            assert!(there("order", id), "a matching row without an order: {item}");
        }
        Kind::Subject => {
            let id = sort.rsplit_once('/').unwrap().1;
            let there = ["order", "exception", "export", "rectification", "request", "thread"]
                .into_iter()
                .any(|kind| there(kind, id));
            let goes = going.contains(partition);
            assert!(has_case || there || goes, "a subject row that leads nowhere: {item}");
        }
        Kind::RequestIndex => {
            let id = sort.rsplit_once('#').unwrap().1;
            assert!(there("request", id), "a listed request that is not there: {item}");
        }
        Kind::CaseIndex => {
            let id = sort.rsplit_once('#').unwrap().1;
            assert!(there("case", id), "a listed case that is not there: {item}");
        }
        Kind::Case if text(item, "phase") != "merged" => {
            let listed = keys.times_listed(&tenant, "case-index", sort);
            assert_eq!(listed, 1, "a case that is not listed once: {item}");
        }
        Kind::ThreadIndex => {
            let id = sort.rsplit_once('#').unwrap().1;
            assert!(there("thread", id), "a listed conversation that is not there: {item}");
        }
        Kind::MailLink => {
            let id = sort.rsplit_once('/').unwrap().1;
            assert!(there("thread", id), "a link to a conversation that is not there: {item}");
        }
        Kind::Thread => {
            assert!(there("mailbox", text(item, "mailbox")), "a conversation of no mailbox: {item}");
            let listed = keys.times_listed(&tenant, "thread-index", sort);
            assert_eq!(listed, 1, "a conversation that is not listed once: {item}");
        }
        Kind::Mail | Kind::Draft => {
            assert!(there("thread", text(item, "thread")), "a mail or reply of no conversation: {item}");
        }
        Kind::MailboxRoute => {
            let mut parts = sort.split('#').skip(1);
            let (shop, generation) = (parts.next().unwrap(), parts.next().unwrap());
            let id = parts.next().unwrap();
            let bucket = u8::from_str_radix(&id[..1], 16).unwrap();
            let mailbox = format!("{shop}#{generation}#mailbox#{bucket:02}");
            assert!(keys.all.contains(&(mailbox.as_str(), id)), "a route to no mailbox: {item}");
        }
        Kind::Order => {
            let goes = || going.contains(format!("order/{sort}").as_str());
            assert!(case.is_none() || has_case || goes(), "an order in a case that is not there: {item}");
        }
        _ => {}
    }
}

/// What the ledger says: how often each installation was purged, and which requests are done.
pub(super) struct Receipts {
    pub(super) purged: BTreeMap<String, usize>,
    pub(super) verified: BTreeMap<String, BTreeSet<String>>,
    /// How many mails the receipts of erasures count, by installation.
    pub(super) counts: BTreeMap<String, u64>,
}

/// Reads the ledger; each erasure has one receipt, which verifies.
pub(super) fn receipts(dump: &BTreeMap<String, Vec<Value>>) -> Receipts {
    let mut receipts =
        Receipts { purged: BTreeMap::new(), verified: BTreeMap::new(), counts: BTreeMap::new() };
    for item in dump.values().flatten().filter(|item| item["kind"]["S"] == "ledger") {
        let entry: Entry = serde_json::from_str(text(item, "entry")).unwrap();
        let erased = match entry.what {
            What::ShopPurged => Erased::Installation,
            What::SubjectErasureVerified => Erased::Person,
            _ => continue,
        };
        let receipt = entry.receipt.as_ref().expect("an erasure that ended has a receipt");
        assert_eq!((receipt.erased, receipt.verify()), (erased, Ok(())), "{entry:?}");
        let tenant = Tenant { shop: entry.shop.clone(), generation: entry.generation.unwrap() }.to_string();
        if erased == Erased::Installation {
            let count = receipts.purged.entry(tenant).or_default();
            *count += 1;
            assert_eq!(*count, 1, "two receipts for one purge: {entry:?}");
        } else {
            let mails = receipt.counts.get(Kind::Mail.name()).copied().unwrap_or_default();
            *receipts.counts.entry(tenant.clone()).or_default() += mails;
            let new = receipts.verified.entry(tenant).or_default().insert(entry.why.clone());
            assert!(new, "two receipts for one erasure: {entry:?}");
        }
    }
    receipts
}
