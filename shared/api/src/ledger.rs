//! The bodies of the two logs: what was done to a shop's data, and who read it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use storeward_core::receipt::{Check, Erased, How, Receipt};
use storeward_core::shop::Generation;
use storeward_core::time::Timestamp;
use storeward_store::{AccessEntry, By, Entry, Page, What};

/// A page of the ledger.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Ledger")]
pub struct LedgerBody {
    /// The entries, the latest first. A page can be short, or empty, and still have a next one.
    pub entries: Vec<LedgerEntryBody>,
    /// What to send as `cursor`, with the same `since` and `until`, for the next page; null at the end.
    pub next: Option<String>,
}

/// Something that was done: an entry of the ledger. It names nobody whose data it was.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LedgerEntry")]
pub struct LedgerEntryBody {
    /// When (RFC 3339).
    pub at: String,
    /// What.
    #[schemars(with = "String")]
    pub what: What,
    /// Why: a topic of Shopify's, a rule, a request.
    pub why: String,
    /// Who did it; null where it was not recorded.
    pub by: Option<ActorBody>,
    /// In which installation of the app: when it began, in milliseconds since 1970. Null where it is about none in particular.
    #[schemars(with = "Option<i64>")]
    pub generation: Option<Generation>,
    /// How many items, by kind: names of docs/data-map.md.
    pub counts: BTreeMap<String, u64>,
    /// How it was checked, in a sentence.
    pub verified: Option<String>,
    /// The receipt, where something was erased to the end.
    pub receipt: Option<ReceiptBody>,
    /// The id of the request, the message or the run in which it was done.
    pub request: Option<String>,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Actor")]
pub struct ActorBody {
    /// What they are.
    pub kind: ActorKind,
    /// Of a member of the shop's staff the `id` of `GET /v1/members`; of an operator of this service a name that stands for that
    /// person in these logs alone; of the service itself the function; of a link the request, and the ledger says who made it. Null
    /// where the call does not tell.
    pub id: Option<String>,
}

/// What somebody is who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A member of the shop's staff.
    Merchant,
    /// Somebody who operates this service.
    Operator,
    /// Shopify, by a webhook.
    Shopify,
    /// A rule of this service.
    System,
    /// Whoever has the link to what was put together for a rights request.
    Link,
}

/// That something was erased to the end. Its digest is the SHA-256 of a zero byte and of the receipt as JSON: without spaces, its
/// members in the order given here, those of `counts` in the order of their names, `digest` an empty text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Receipt")]
pub struct ReceiptBody {
    /// What was erased: `person` or `installation`.
    #[schemars(with = "String")]
    pub erased: Erased,
    /// Who asked: a request, or the topic or rule that began it.
    pub asked_by: String,
    /// When that was asked for, in milliseconds since 1970, as far as it is known.
    pub asked_at: Option<i64>,
    /// When it was done, in milliseconds since 1970.
    pub done_at: i64,
    /// How many records were deleted or anonymised, by kind.
    pub counts: BTreeMap<String, u64>,
    /// How it was checked, kind by kind.
    pub checks: Vec<CheckBody>,
    /// The digest of all that, in hexadecimal digits.
    pub digest: String,
}

/// The check of one kind.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptCheck")]
pub struct CheckBody {
    /// The kind: a name of docs/data-map.md.
    pub kind: String,
    /// `read-again`: the partitions that can hold it were read again. `nothing-leads-to-it`: each was deleted before what leads to
    /// it, of which nothing is left. `with-this-receipt`: it went in the transaction that wrote this. `stays`: it is not about who
    /// was erased.
    #[schemars(with = "String")]
    pub how: How,
    /// How many partitions were read for it.
    pub partitions: u64,
    /// How many items were found in them.
    pub found: u64,
}

/// A page of the access log.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "AccessLog")]
pub struct AccessLogBody {
    /// The accesses, the latest first. A page can be short, or empty, and still have a next one.
    pub entries: Vec<AccessBody>,
    /// What to send as `cursor`, with the same `since` and `until`, for the next page; null at the end.
    pub next: Option<String>,
}

/// That somebody read personal data through the API, or was refused.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Access")]
pub struct AccessBody {
    /// When (RFC 3339).
    pub at: String,
    /// Who.
    pub by: ActorBody,
    /// Which role they had then; null of somebody who had none, and where it was not recorded.
    pub role: Option<String>,
    /// By which route.
    pub route: String,
    /// With which status it was answered: of 401 and 403 nothing was read.
    pub status: u16,
    /// From which address, hashed with a salt of the day: the same address is the same on one day, and another on the next.
    pub ip: Option<String>,
    /// The request's id.
    pub request: Option<String>,
}

impl From<&By> for ActorBody {
    fn from(by: &By) -> Self {
        let (kind, id) = match by {
            By::Merchant(id) => (ActorKind::Merchant, id.as_str()),
            By::Operator(id) => (ActorKind::Operator, id.as_str()),
            By::Shopify => (ActorKind::Shopify, ""),
            By::System(name) => (ActorKind::System, &**name),
            By::Link(request) => (ActorKind::Link, request.as_str()),
        };
        Self { kind, id: Some(id.to_owned()).filter(|id| !id.is_empty()) }
    }
}

impl From<Receipt> for ReceiptBody {
    fn from(receipt: Receipt) -> Self {
        let check = |check: Check| {
            let Check { kind, how, partitions, found } = check;
            CheckBody { kind, how, partitions, found }
        };
        Self {
            erased: receipt.erased,
            asked_by: receipt.asked_by,
            asked_at: receipt.asked_at.map(Timestamp::millis),
            done_at: receipt.done_at.millis(),
            counts: receipt.counts,
            checks: receipt.checks.into_iter().map(check).collect(),
            digest: receipt.digest,
        }
    }
}

impl From<Entry> for LedgerEntryBody {
    fn from(entry: Entry) -> Self {
        Self {
            at: entry.at.to_rfc3339(),
            what: entry.what,
            why: entry.why,
            by: entry.by.as_ref().map(ActorBody::from),
            generation: entry.generation,
            counts: entry.counts,
            verified: entry.verified,
            receipt: entry.receipt.map(ReceiptBody::from),
            request: entry.request,
        }
    }
}

impl From<Page<Entry>> for LedgerBody {
    fn from(page: Page<Entry>) -> Self {
        Self { entries: page.entries.into_iter().map(LedgerEntryBody::from).collect(), next: page.next }
    }
}

impl From<AccessEntry> for AccessBody {
    fn from(entry: AccessEntry) -> Self {
        Self {
            at: entry.at.to_rfc3339(),
            by: ActorBody::from(&entry.by),
            role: entry.role,
            route: entry.route,
            status: entry.status,
            ip: entry.ip,
            request: entry.request,
        }
    }
}

impl From<Page<AccessEntry>> for AccessLogBody {
    fn from(page: Page<AccessEntry>) -> Self {
        Self { entries: page.entries.into_iter().map(AccessBody::from).collect(), next: page.next }
    }
}
