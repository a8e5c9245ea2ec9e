//! The ledger: what was done to data, when and why, without a word about a person. It outlives the shop.
//! Also the access log: who read personal data, for 90 days. What seals a day is `core::ledger`'s, who signs the host's; both
//! are read by time in `ledger_list`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storeward_core::access_review::Access;
use storeward_core::data_map::Table;
use storeward_core::ledger::seal::Standing;
use storeward_core::receipt::Receipt;
use storeward_core::shop::{Generation, ShopId, Tenant};
use storeward_core::time::Timestamp;

use crate::acting::{By, actor};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, text};
use crate::keyspace;
use crate::store::{Action, Query, Range, Store};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The app was installed.
    Installed,
    /// The merchant, or an operator on its written word, asked for the end of the service: written before anything ends.
    EndingAsked,
    /// The app was removed: access ended, the purge was scheduled.
    Uninstalled,
    /// The merchant changed the settings of the duplicate guard.
    SettingsChanged,
    /// How long things are kept changed: by the merchant, by the plan, or by the deployment.
    RetentionChanged,
    /// What was past its window was deleted, after a window became shorter.
    RetentionApplied,
    /// The merchant switched something on or off that is done with its data.
    InstructionChanged,
    /// An operator set a password.
    OperatorPasswordSet,
    /// An operator made one of the reviews that are made again and again.
    Reviewed,
    /// A member of the merchant's staff opened the app for the first time.
    MemberCame,
    /// The merchant gave a member another role, or newcomers.
    RoleChanged,
    /// The merchant took a member off the list.
    MemberRemoved,
    /// The merchant decided on a case.
    CaseDecided,
    /// The merchant deleted a resolved case.
    CaseDeleted,
    /// A person asked for something: the request was opened.
    RequestOpened,
    /// Whoever asked proved to be the person.
    RequestProven,
    /// A request that is not finished was warned of.
    RequestWarned,
    /// A request ended without being carried out; the request says why.
    RequestRefused,
    /// A restriction or an objection was carried out, or lifted.
    RequestDone,
    /// The app was connected again: by another consent, or because it was opened.
    Reconnected,
    /// The shop's tokens were renewed.
    AccessRenewed,
    /// The merchant granted other scopes.
    ScopesChanged,
    /// Shopify renews the shop's tokens no more: they were forgotten.
    Disconnected,
    /// What is known of the shop changed: its domains, address or plan.
    ProfileChanged,
    /// Orders were put into a case.
    CaseFormed,
    /// A mail to the merchant is being sent: written before it goes.
    MailAnnounced,
    /// An announced mail was certainly not sent.
    MailNotSent,
    /// The merchant was told of a case, or is not to be.
    MerchantTold,
    /// Shopify was told which orders are in a case.
    OrdersMarked,
    /// Orders of a case are being held at Shopify: written before they are.
    HoldAnnounced,
    /// What was held for a case was let go.
    HoldReleased,
    /// The merchant ended an exception.
    ExceptionEnded,
    /// A shop's orders were compared with what Shopify has, and what was missing was stored.
    Reconciled,
    /// A person's records were erased; writers that began before may still be running.
    SubjectErased,
    /// The second pass found nothing of the person left. This is the receipt.
    SubjectErasureVerified,
    /// The use of what is about a person was limited: restricted or objected to.
    SubjectLimited,
    /// Such a limit was lifted.
    SubjectLimitLifted,
    /// Something told of a person whose data may not be used, and was dropped.
    RefusedLimited,
    /// A customer's account was rectified in every record that names it.
    SubjectRectified,
    /// A link to what was put together was made, for the merchant to fetch it.
    ExportLinked,
    /// Everything stored about a person was put together, because the person asked.
    SubjectExported,
    /// The merchant was given what was put together.
    ExportDelivered,
    /// Nothing of an installation is left but this entry. This is the receipt.
    ShopPurged,
    /// What was erased since a backup was erased again from the restored backup.
    ErasuresReplayed,
    /// `shop/redact` found the shop purged already.
    ShopRedactConfirmed,
    /// The merchant was told of a change of sub-processors.
    ProcessorAnnounced,
    /// The merchant objects to a sub-processor.
    ProcessorObjected,
    /// The merchant does not object to a sub-processor any more.
    ProcessorObjectionWithdrawn,
    /// A breach of personal data was opened, changed, or closed.
    Incident,
    /// A merchant was told of a breach, or could not be: `verified` is how its notice stands.
    BreachNotified,
    /// A merchant would have been told of a breach: a drill.
    BreachRehearsed,
    /// The merchant connected a mailbox, for the first time or again.
    MailboxConnected,
    /// The merchant, or the end of the installation, ended a mailbox.
    MailboxDisconnected,
    /// Google refuses a mailbox's tokens: they were forgotten.
    MailboxLost,
    /// What came in by a mailbox that ended was deleted, and the mailbox.
    MailboxForgotten,
    /// The merchant changed settings, rules or macros of the mail desk.
    DeskChanged,
    /// A reply was drafted.
    DraftWritten,
    /// A person wrote in a draft.
    DraftEdited,
    /// A person wants a draft sent.
    DraftApproved,
    /// A person does not want a draft sent that was to be.
    DraftCancelled,
    /// A person threw a draft away.
    DraftDiscarded,
    /// A draft's conversation moved on before it was sent.
    DraftWithdrawn,
    /// A reply is being sent: written before it is.
    SendingAnnounced,
    /// A reply was sent.
    ReplySent,
    /// An announced reply was certainly not sent.
    ReplyNotSent,
    /// A person, or a rule of the merchant's, changed how a conversation stands, who has it or what it is called.
    ThreadChanged,
    /// A destructive webhook that did not fit the shop's state was not obeyed.
    Refused,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was written.
    pub at: Timestamp,
    /// Whose data, by blinded name.
    pub shop: ShopId,
    /// Of which installation, where there is one.
    pub generation: Option<Generation>,
    /// What.
    pub what: What,
    /// Why: a topic, a rule, a request.
    pub why: String,
    /// How many items, by kind.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// How it was checked.
    #[serde(default)]
    pub verified: Option<String>,
    /// The receipt, where something was erased to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Who did it; `None` until it is written, and in entries from before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// In which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Entry {
    pub(crate) fn new(at: Timestamp, tenant: &Tenant, what: What, why: impl Into<String>) -> Self {
        Self::about(at, &tenant.shop, Some(tenant.generation), what, why)
    }

    /// An entry that is not, or not surely, about one installation.
    pub(crate) fn about(
        at: Timestamp,
        shop: &ShopId,
        generation: Option<Generation>,
        what: What,
        why: impl Into<String>,
    ) -> Self {
        let (shop, counts) = (shop.clone(), BTreeMap::new());
        Self {
            at,
            shop,
            generation,
            what,
            why: why.into(),
            counts,
            verified: None,
            receipt: None,
            by: None,
            request: None,
        }
    }

    /// Puts a receipt into the entry, which says the same in short.
    pub(crate) fn attest(&mut self, receipt: Receipt) {
        self.counts.clone_from(&receipt.counts);
        self.verified = Some(receipt.sentence());
        self.receipt = Some(receipt);
    }
}

impl Store {
    /// The action that writes `entry`, for the transaction that does what it tells: with who acts, and the time.
    ///
    /// # Errors
    /// [`StoreError::NobodyActs`]: then the change is not made.
    pub(crate) fn ledger_action(&self, entry: &Entry) -> Result<Action> {
        let who = actor(self.standing.as_ref())?;
        let entry = Entry { at: self.now(), by: Some(who.by), request: who.request, ..entry.clone() };
        let key = keyspace::ledger(entry.at, &entry.shop, &self.random_id()?);
        let json = serde_json::to_string(&entry).map_err(|_| StoreError::Corrupt("a ledger entry"))?;
        Ok(Action::put(Item::new(key).set("entry", text(json))))
    }

    /// Writes an entry that goes with no other change: a refusal, a confirmation.
    pub async fn note(
        &self,
        shop: &ShopId,
        generation: Option<Generation>,
        what: What,
        why: &str,
    ) -> Result<()> {
        let entry = Entry::about(self.now(), shop, generation, what, why);
        let action = self.ledger_action(&entry)?;
        match self.transact(vec![action]).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(StoreError::Contended("the ledger")),
        }
    }

    /// A shop's entries of one day, the earliest first.
    pub async fn ledger_of(&self, shop: &ShopId, day: Timestamp) -> Result<Vec<Entry>> {
        let partition = keyspace::ledger_partition(&day.day(), shop);
        let mut query = Query::of(Table::Ledger, &partition);
        query.range = Range::Prefix(format!("{shop}#"));
        let entry = |item: &Stored| {
            serde_json::from_str(item.text("entry")?).map_err(|_| StoreError::Corrupt("a ledger entry"))
        };
        self.query_all(query).await?.iter().map(entry).collect()
    }

    /// The entries of one day in one of its partitions, of all shops.
    pub(crate) async fn entries_of(&self, day: Timestamp, bucket: u8) -> Result<Vec<Entry>> {
        let partition = keyspace::ledger_day_partition(&day.day(), bucket);
        let entry = |item: &Stored| {
            serde_json::from_str(item.text("entry")?).map_err(|_| StoreError::Corrupt("a ledger entry"))
        };
        self.query_all(Query::of(Table::Ledger, &partition)).await?.iter().map(entry).collect()
    }

    /// All shops' entries of a day as they stand, in the order of their keys: what a day's seal is made of and held against.
    pub async fn ledger_standing(&self, day: &str) -> Result<Vec<Standing>> {
        let mut standing = Vec::new();
        for bucket in 0..keyspace::BUCKETS {
            let partition = keyspace::ledger_day_partition(day, bucket);
            for item in self.query_all(Query::of(Table::Ledger, &partition)).await? {
                standing.push(Standing {
                    partition: item.text("pk")?.to_owned(),
                    name: item.text("sk")?.to_owned(),
                    text: item.text("entry")?.to_owned(),
                });
            }
        }
        Ok(standing)
    }

    /// An IP address as it may be kept today (promise SO41); nothing of what is none.
    #[must_use]
    pub fn hashed_address(&self, ip: &str) -> Option<String> {
        Some(self.deployment.hashed_ip(&self.now().day(), ip.parse().ok()?))
    }

    /// Writes an entry of the access log. Whoever reads personal data is answered after that, or not at all.
    pub async fn log_access(&self, shop: &ShopId, access: &AccessNote<'_>) -> Result<()> {
        let at = self.now();
        let entry = AccessEntry {
            at,
            by: access.by.clone(),
            role: access.role.map(str::to_owned),
            route: access.route.to_owned(),
            status: access.status,
            ip: access.ip.and_then(|ip| self.hashed_address(ip)),
            request: access.request.map(str::to_owned),
        };
        let json = serde_json::to_string(&entry).map_err(|_| StoreError::Corrupt("an access"))?;
        let item =
            Item::new(keyspace::access(at, shop, &self.random_id()?)).set("entry", text(json)).expiring(at);
        self.put_alone(item).await
    }
}

/// A read of personal data, or a try.
#[derive(Clone, Copy, Debug)]
pub struct AccessNote<'a> {
    /// Who.
    pub by: &'a By,
    /// What they were then, by the word of `core::roles`; `None` of somebody who is nobody.
    pub role: Option<&'a str>,
    /// By which route.
    pub route: &'a str,
    /// With which status it is answered.
    pub status: u16,
    /// From which address; it is hashed before it is kept.
    pub ip: Option<&'a str>,
    /// In which request.
    pub request: Option<&'a str>,
}

/// An entry of the access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: By,
    /// What they were then, by the word of `core::roles`; `None` of somebody who was nobody, and in entries from before this was
    /// recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// By which route.
    pub route: String,
    /// With which status it was answered.
    pub status: u16,
    /// The hashed address, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// In which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl AccessEntry {
    /// The same as the monthly review takes it, from the log of this shop.
    #[must_use]
    pub fn for_review(self, shop: &str) -> Access {
        let (who, operator) = match &self.by {
            By::Operator(who) => (format!("operator {who}"), true),
            By::Merchant(who) => (format!("merchant {who}"), false),
            By::System(name) => (format!("system {name}"), false),
            By::Shopify => ("shopify".to_owned(), false),
            By::Link(request) => (format!("link of request {request}"), false),
        };
        let Self { at, route, status, ip, .. } = self;
        Access { at, shop: shop.to_owned(), who, operator, route, status, ip }
    }
}
