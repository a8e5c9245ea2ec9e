//! Every key of every item is built here, and nowhere else. A tenant's records spread over 16 partitions a
//! kind; what a key says about a person or an order is blinded.

use std::fmt;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Purpose, Table};
use storeward_core::exception::{EXCEPTION_VERSION, ExceptionKey};
use storeward_core::matching::{KEY_VERSION, MatchKey};
use storeward_core::normalize::{Identifier, SUBJECT_VERSION};
use storeward_core::shop::{Generation, ShopId, Tenant};
use storeward_core::time::Timestamp;

use crate::crypto::TenantKeys;

/// Buckets of a tenant's records of one kind. DynamoDB takes about 1,000 writes/s for one partition key, so a
/// tenant can reach about 16,000.
pub(crate) const BUCKETS: u8 = 16;

/// Partitions of one hour's due rows, over all tenants.
pub(crate) const DUE_SHARDS: u8 = 32;

/// The name of a record inside its tenant: its kind and its blinded id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordRef {
    kind: Kind,
    id: String,
}

impl RecordRef {
    pub(crate) const fn new(kind: Kind, id: String) -> Self {
        Self { kind, id }
    }

    /// The record's kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The blinded id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn bucket(&self) -> u8 {
        bucket(&self.id)
    }
}

impl fmt::Display for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.id)
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text does not name a record.
#[derive(Debug)]
pub struct NotARecordRef;

impl fmt::Display for NotARecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a record reference: expected kind/32 hexadecimal digits")
    }
}

impl std::str::FromStr for RecordRef {
    type Err = NotARecordRef;
    fn from_str(text: &str) -> Result<Self, NotARecordRef> {
        let (kind, id) = text.split_once('/').ok_or(NotARecordRef)?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).ok_or(NotARecordRef)?;
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotARecordRef);
        }
        Ok(Self { kind, id: id.to_owned() })
    }
}

impl TryFrom<String> for RecordRef {
    type Error = NotARecordRef;
    fn try_from(text: String) -> Result<Self, NotARecordRef> {
        text.parse()
    }
}

impl From<RecordRef> for String {
    fn from(reference: RecordRef) -> Self {
        reference.to_string()
    }
}

/// The full key of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    pub(crate) const fn table(&self) -> Table {
        self.kind.row().table
    }

    /// What a sealed value is bound to.
    pub(crate) fn place(&self) -> String {
        let table = match self.table() {
            Table::Data => "data",
            Table::Keys => "keys",
            Table::Ledger => "ledger",
        };
        format!("{table}|{}|{}|{}", self.pk, self.sk, self.kind.name())
    }
}

fn bucket(blind: &str) -> u8 {
    blind.as_bytes().first().map_or(0, |digit| match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0,
    })
}

/// The partition of one bucket of a tenant's records of `kind`.
pub(crate) fn bucket_partition(tenant: &Tenant, kind: Kind, bucket: u8) -> String {
    format!("{tenant}#{}#{bucket:02}", kind.name())
}

/// Whose partition it is; `None` for what is no installation's own.
pub(crate) fn tenant_of(partition: &str) -> Option<Tenant> {
    let mut parts = partition.split('#');
    let shop = <[u8; 16]>::try_from(hex::decode(parts.next()?).ok()?).ok()?;
    let generation = parts.next().filter(|digits| digits.len() == 15)?.parse().ok()?;
    Some(Tenant { shop: ShopId::from_blind(shop), generation: Generation(generation) })
}

/// Where the items of a kind stand, so that a purge finds every one. A kind that is new does not compile without a
/// place here, and every place is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In 16 partitions for each installation.
    Buckets,
    /// Under keys that the record it belongs to lists: it goes before the record.
    WithItsRecord,
    /// In one partition for each month since the installation.
    Months,
    /// In the hours' partitions, which are no installation's.
    Hours,
    /// Under one key for each installation, or few: it goes last, with the receipt.
    Installation,
    /// In the ledger, which outlives the installation.
    Ledger,
    /// By itself: it is no installation's.
    Deployment,
}

/// Where the items of `kind` stand.
pub(crate) const fn place(kind: Kind) -> Place {
    if kind.row().bucketed {
        return Place::Buckets;
    }
    match kind {
        Kind::Match | Kind::Subject | Kind::MailLink | Kind::MailboxRoute => Place::WithItsRecord,
        Kind::CaseIndex | Kind::RequestIndex | Kind::ThreadIndex => Place::Months,
        Kind::Due => Place::Hours,
        Kind::Shop | Kind::Member | Kind::Directory | Kind::Keys | Kind::Progress | Kind::Desk => {
            Place::Installation
        }
        Kind::Ledger | Kind::Access | Kind::Incident => Place::Ledger,
        Kind::OperatorPassword => Place::Deployment,
        Kind::Delivery
        | Kind::Order
        | Kind::Case
        | Kind::Notice
        | Kind::Digest
        | Kind::Exception
        | Kind::Statistics
        | Kind::Request
        | Kind::Rectification
        | Kind::Export
        | Kind::Limit
        | Kind::Mailbox
        | Kind::Connecting
        | Kind::Thread
        | Kind::Mail
        | Kind::Draft
        | Kind::Tombstone => Place::Buckets,
    }
}

/// The kinds that stand in buckets.
pub(crate) fn bucketed() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| place(*kind) == Place::Buckets)
}

/// A record's key.
pub(crate) fn record(tenant: &Tenant, reference: &RecordRef) -> Key {
    Key {
        kind: reference.kind,
        pk: bucket_partition(tenant, reference.kind, reference.bucket()),
        sk: reference.id.clone(),
    }
}

/// The reference of an order, by Shopify's number.
pub(crate) fn order_ref(keys: &TenantKeys, id: u64) -> RecordRef {
    RecordRef::new(Kind::Order, keys.blind(Kind::Order.row().purpose, "order", &id.to_string()))
}

/// The reference of a delivery marker, by Shopify's webhook id.
pub(crate) fn delivery_ref(keys: &TenantKeys, webhook_id: &str) -> RecordRef {
    RecordRef::new(Kind::Delivery, keys.blind(Kind::Delivery.row().purpose, "webhook", webhook_id))
}

/// The reference of an exception, by what it is about.
pub(crate) fn exception_ref(keys: &TenantKeys, key: &ExceptionKey) -> RecordRef {
    let label = format!("exception-{EXCEPTION_VERSION}-{}", key.scope.name());
    RecordRef::new(Kind::Exception, keys.blind(Kind::Exception.row().purpose, &label, key.value.expose()))
}

/// The partition of the cases that were opened in one month, `2026-11`.
pub(crate) fn case_index_partition(tenant: &Tenant, month: &str) -> String {
    format!("{tenant}#case-index#{month}")
}

/// The row of a case in the list: sorted by the time it is listed under.
pub(crate) fn case_index(tenant: &Tenant, at: Timestamp, case: &RecordRef) -> Key {
    let pk = case_index_partition(tenant, &crate::statistics::month(at));
    Key { kind: Kind::CaseIndex, pk, sk: format!("{}#{}", sortable(at), case.id) }
}

/// The partition of the rights requests that came in one month, `2026-11`.
pub(crate) fn request_index_partition(tenant: &Tenant, month: &str) -> String {
    format!("{tenant}#request-index#{month}")
}

/// The row of a rights request in the list: sorted by the time it came.
pub(crate) fn request_index(tenant: &Tenant, at: Timestamp, request: &RecordRef) -> Key {
    let pk = request_index_partition(tenant, &crate::statistics::month(at));
    Key { kind: Kind::RequestIndex, pk, sk: format!("{}#{}", sortable(at), request.id) }
}

/// One shard of a month's counters.
pub(crate) fn statistics(tenant: &Tenant, month: &str, bucket: u8) -> Key {
    Key {
        kind: Kind::Statistics,
        pk: bucket_partition(tenant, Kind::Statistics, bucket),
        sk: month.to_owned(),
    }
}

/// The partition of everything that agrees on one matching key.
pub(crate) fn match_partition(tenant: &Tenant, keys: &TenantKeys, key: &MatchKey) -> String {
    let blind = keys.blind(Purpose::Duplicates, key.kind.name(), key.value.expose());
    format!("{tenant}#match#{KEY_VERSION}#{}#{blind}", key.kind.name())
}

/// A matching row: sorted by the order's time, so that a window is one range.
pub(crate) fn match_row(partition: String, created_at: Timestamp, record: &RecordRef) -> Key {
    Key { kind: Kind::Match, pk: partition, sk: format!("{}#{}", sortable(created_at), record.id) }
}

/// The partition of every record about one identifier of a person.
pub(crate) fn subject_partition(tenant: &Tenant, keys: &TenantKeys, identifier: &Identifier) -> String {
    let blind = keys.blind(Purpose::Rights, identifier.kind.name(), identifier.value.expose());
    format!("{tenant}#subject#{SUBJECT_VERSION}#{}#{blind}", identifier.kind.name())
}

/// A subject row.
pub(crate) fn subject_row(partition: String, record: &RecordRef) -> Key {
    Key { kind: Kind::Subject, pk: partition, sk: record.to_string() }
}

/// The row by which a case is found that lists an order, when the order has come to its own end before the case. Its
/// partition is named as the order is, by a keyed hash of the number.
pub(crate) fn member_row(tenant: &Tenant, order: &RecordRef) -> Key {
    subject_row(format!("{tenant}#subject#{SUBJECT_VERSION}#order#{}", order.id), order)
}

/// The tombstone of an identifier.
pub(crate) fn subject_tombstone(tenant: &Tenant, keys: &TenantKeys, identifier: &Identifier) -> Key {
    tombstone(tenant, keys, identifier.kind.name(), identifier.value.expose())
}

/// The tombstone of an order that was to be erased by its number.
pub(crate) fn order_tombstone(tenant: &Tenant, keys: &TenantKeys, order: u64) -> Key {
    tombstone(tenant, keys, "order", &order.to_string())
}

fn tombstone(tenant: &Tenant, keys: &TenantKeys, label: &str, value: &str) -> Key {
    let blind = keys.blind(Purpose::Rights, label, value);
    Key {
        kind: Kind::Tombstone,
        pk: bucket_partition(tenant, Kind::Tombstone, bucket(&blind)),
        sk: format!("{label}#{blind}"),
    }
}

/// The limit on an identifier's use.
pub(crate) fn limit(tenant: &Tenant, keys: &TenantKeys, identifier: &Identifier) -> Key {
    let label = identifier.kind.name();
    limit_of(tenant, label, &keys.blind(Purpose::Rights, label, identifier.value.expose()))
}

/// The limit on the use of the identifier that a subject row is written for: the row's partition ends with the same
/// blind.
pub(crate) fn limit_of_row(tenant: &Tenant, row: &Key) -> Option<Key> {
    let (rest, blind) = row.pk.rsplit_once('#')?;
    Some(limit_of(tenant, rest.rsplit_once('#')?.1, blind))
}

/// The partition of the subject rows of the identifier that a limit stands under, by the limit's sort key.
pub(crate) fn subject_partition_of_limit(tenant: &Tenant, sort: &str) -> String {
    format!("{tenant}#subject#{SUBJECT_VERSION}#{sort}")
}

fn limit_of(tenant: &Tenant, label: &str, blind: &str) -> Key {
    Key {
        kind: Kind::Limit,
        pk: bucket_partition(tenant, Kind::Limit, bucket(blind)),
        sk: format!("{label}#{blind}"),
    }
}

/// The partition of a shop's installations.
pub(crate) fn shop_partition(shop: &ShopId) -> String {
    format!("shop#{shop}")
}

/// An installation.
pub(crate) fn shop(tenant: &Tenant) -> Key {
    Key { kind: Kind::Shop, pk: shop_partition(&tenant.shop), sk: tenant.generation.to_string() }
}

/// The partition of the lists of members of a shop's installations: found without knowing which is the latest.
pub(crate) fn members_partition(shop: &ShopId) -> String {
    format!("members#{shop}")
}

/// The members of an installation.
pub(crate) fn members(tenant: &Tenant) -> Key {
    Key { kind: Kind::Member, pk: members_partition(&tenant.shop), sk: tenant.generation.to_string() }
}

/// That an operator's password was set, by the operator's blinded name.
pub(crate) fn operator_password(operator: &str) -> Key {
    Key { kind: Kind::OperatorPassword, pk: format!("operator-password#{operator}"), sk: "set".to_owned() }
}

/// An installation's wrapped keys.
pub(crate) fn keys(tenant: &Tenant) -> Key {
    Key { kind: Kind::Keys, pk: shop_partition(&tenant.shop), sk: tenant.generation.to_string() }
}

/// The partition of one shard of the list of all installations.
pub(crate) fn directory_partition(shard: u8) -> String {
    format!("shops#{shard:02}")
}

/// An installation's entry in the list of all.
pub(crate) fn directory(tenant: &Tenant) -> Key {
    Key {
        kind: Kind::Directory,
        pk: directory_partition(bucket(tenant.shop.as_str())),
        sk: tenant.to_string(),
    }
}

/// The partition of one shard of one hour's due rows.
pub(crate) fn due_partition(hour: i64, shard: u8) -> String {
    format!("due#{hour:010}#{shard:02}")
}

/// A due row.
pub(crate) fn due(at: Timestamp, tenant: &Tenant, action: &str, reference: &str) -> Key {
    let id = format!("{tenant}#{action}#{reference}");
    // Any spread will do, as long as the same row always falls on the same shard.
    let shard = id.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)) % DUE_SHARDS;
    Key { kind: Kind::Due, pk: due_partition(at.hour(), shard), sk: id }
}

/// Where the sweep remembers how far it has come.
pub(crate) fn sweep_cursor() -> Key {
    Key { kind: Kind::Due, pk: "due".to_owned(), sk: "cursor".to_owned() }
}

/// The reference of a mailbox, by its address in its normal form.
pub(crate) fn mailbox_ref(keys: &TenantKeys, address: &str) -> RecordRef {
    RecordRef::new(Kind::Mailbox, keys.blind(Kind::Mailbox.row().purpose, "mailbox", address))
}

/// The partition of one shard of the list of all mailboxes.
pub(crate) fn mailbox_routes_partition(shard: u8) -> String {
    format!("mailboxes#{shard:02}")
}

/// The partition that the rows of a mailbox's address stand in, by the blinded address.
pub(crate) fn mailbox_route_partition(address: &str) -> String {
    mailbox_routes_partition(bucket(address))
}

/// The row by which a mailbox is found by its blinded address, and in the list of all.
pub(crate) fn mailbox_route(address: &str, tenant: &Tenant, mailbox: &RecordRef) -> Key {
    Key {
        kind: Kind::MailboxRoute,
        pk: mailbox_route_partition(address),
        sk: format!("{address}#{tenant}#{}", mailbox.id),
    }
}

/// The reference of an attempt to connect a mailbox, by its secret.
pub(crate) fn connecting_ref(keys: &TenantKeys, secret: &str) -> RecordRef {
    RecordRef::new(Kind::Connecting, keys.blind(Kind::Connecting.row().purpose, "state", secret))
}

/// The reference of the conversation that the provider calls so.
pub(crate) fn thread_ref(keys: &TenantKeys, mailbox: &RecordRef, provider_thread: &str) -> RecordRef {
    let value = format!("{}|{provider_thread}", mailbox.id);
    RecordRef::new(Kind::Thread, keys.blind(Kind::Thread.row().purpose, "thread", &value))
}

/// The reference of a mail that the provider calls so.
pub(crate) fn mail_ref(keys: &TenantKeys, mailbox: &RecordRef, provider_id: &str) -> RecordRef {
    let value = format!("{}|{provider_id}", mailbox.id);
    RecordRef::new(Kind::Mail, keys.blind(Kind::Mail.row().purpose, "mail", &value))
}

/// The partition of the conversations that one `Message-ID` belongs to.
pub(crate) fn message_partition(tenant: &Tenant, keys: &TenantKeys, mailbox: &RecordRef, id: &str) -> String {
    let blind = keys.blind(Kind::MailLink.row().purpose, "message", &format!("{}|{id}", mailbox.id));
    format!("{tenant}#mail-link#{blind}")
}

/// The partition of the conversation that one of the provider's was joined to.
pub(crate) fn alias_partition(tenant: &Tenant, keys: &TenantKeys, thread: &RecordRef) -> String {
    let blind = keys.blind(Kind::MailLink.row().purpose, "joined", &thread.id);
    format!("{tenant}#mail-link#{blind}")
}

/// The row that leads from a name of a mail, or of a conversation of the provider's, to the conversation.
pub(crate) fn mail_link(partition: String, thread: &RecordRef) -> Key {
    Key { kind: Kind::MailLink, pk: partition, sk: thread.to_string() }
}

/// The partition of the conversations whose latest mail came in one month, `2026-11`.
pub(crate) fn thread_index_partition(tenant: &Tenant, month: &str) -> String {
    format!("{tenant}#thread-index#{month}")
}

/// The row of a conversation in the list: sorted by the time of its latest mail.
pub(crate) fn thread_index(tenant: &Tenant, at: Timestamp, thread: &RecordRef) -> Key {
    let pk = thread_index_partition(tenant, &crate::statistics::month(at));
    Key { kind: Kind::ThreadIndex, pk, sk: format!("{}#{}", sortable(at), thread.id) }
}

/// The tombstone of a conversation of the provider's.
pub(crate) fn thread_tombstone(tenant: &Tenant, keys: &TenantKeys, thread: &RecordRef) -> Key {
    tombstone(tenant, keys, "thread", &thread.id)
}

/// How an installation's mail desk works.
pub(crate) fn desk(tenant: &Tenant) -> Key {
    Key { kind: Kind::Desk, pk: format!("{tenant}#desk"), sk: "desk".to_owned() }
}

/// The partition of an installation's progress rows.
pub(crate) fn progress_partition(tenant: &Tenant) -> String {
    format!("{tenant}#progress")
}

/// How far a purge or an erasure, by its name, has come in one bucket.
pub(crate) fn progress(tenant: &Tenant, of: &str, bucket: u8) -> Key {
    Key { kind: Kind::Progress, pk: progress_partition(tenant), sk: format!("{of}#{bucket:02}") }
}

/// One of the 16 partitions of a day's ledger entries.
pub(crate) fn ledger_day_partition(day: &str, bucket: u8) -> String {
    format!("ledger#{day}#{bucket:02}")
}

/// The partition of one shop's ledger entries of one day.
pub(crate) fn ledger_partition(day: &str, shop: &ShopId) -> String {
    ledger_day_partition(day, bucket(shop.as_str()))
}

/// The partition of one shop's access log of one day.
pub(crate) fn access_partition(day: &str, shop: &ShopId) -> String {
    format!("access#{day}#{shop}")
}

/// An entry of the access log.
pub(crate) fn access(at: Timestamp, shop: &ShopId, id: &str) -> Key {
    Key {
        kind: Kind::Access,
        pk: access_partition(&at.day(), shop),
        sk: format!("{shop}#{}#{id}", sortable(at)),
    }
}

/// A ledger entry.
pub(crate) fn ledger(at: Timestamp, shop: &ShopId, id: &str) -> Key {
    Key {
        kind: Kind::Ledger,
        pk: ledger_partition(&at.day(), shop),
        sk: format!("{shop}#{}#{id}", sortable(at)),
    }
}

/// The partition of all breaches.
pub(crate) const INCIDENTS: &str = "incidents";

/// A breach.
pub(crate) fn incident(id: &str) -> Key {
    Key { kind: Kind::Incident, pk: INCIDENTS.to_owned(), sk: id.to_owned() }
}

/// The partition of the shops that a breach reached.
pub(crate) fn reached_partition(incident: &str) -> String {
    format!("incident#{incident}")
}

/// A shop that a breach reached.
pub(crate) fn reached(incident: &str, tenant: &Tenant) -> Key {
    Key { kind: Kind::Incident, pk: reached_partition(incident), sk: tenant.to_string() }
}

/// A time whose text sorts like its number, for the next 31,000 years.
pub(crate) fn sortable(time: Timestamp) -> String {
    format!("{:015}", time.millis().max(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_reference_reads_back(id in "[0-9a-f]{32}") {
            let reference = RecordRef::new(Kind::Order, id);
            prop_assert_eq!(&reference.to_string().parse::<RecordRef>().unwrap(), &reference);
            prop_assert!(reference.bucket() < BUCKETS);
        }

        #[test]
        fn times_sort_as_text_as_they_do_as_numbers(a in 0i64..4_000_000_000_000, b in 0i64..4_000_000_000_000) {
            prop_assert_eq!(sortable(Timestamp(a)).cmp(&sortable(Timestamp(b))), a.cmp(&b));
        }
    }

    #[test]
    fn a_partition_tells_whose_it_is() {
        let shop = ShopId::from_blind([0xab; 16]);
        let tenant = Tenant { shop: shop.clone(), generation: Generation(1_763_654_400_000) };
        assert_eq!(tenant_of(&bucket_partition(&tenant, Kind::Order, 3)), Some(tenant.clone()));
        assert_eq!(tenant_of(&case_index_partition(&tenant, "2026-11")), Some(tenant.clone()));
        for nobodys in [shop_partition(&shop), directory_partition(1), due_partition(1, 2), shop.to_string()]
        {
            assert_eq!(tenant_of(&nobodys), None, "{nobodys}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in ["", "order", "order/", "order/xyz", "nothing/00000000000000000000000000000000"] {
            assert!(text.parse::<RecordRef>().is_err(), "{text}");
        }
    }
}
