//! Answering what a person asked: everything stored about the person, put together into one document and kept, sealed,
//! until the merchant has it. Which kinds are shown stands in the data map.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storeward_core::data_map::{Kind, Purpose, Table};
use storeward_core::order::Order;
use storeward_core::personal::Personal;
use storeward_core::rights::{OpenedBy, RightsKind, RightsState};
use storeward_core::time::{DAY, Timestamp};
use storeward_core::webhook::CustomersDataRequest;
use storeward_core::{exception, normalize};

use crate::accept::{Acceptance, Delivery, Work, completion, completion_due};
use crate::cases::Case;
use crate::crypto::TenantKeys;
use crate::erasure::Wanted;
use crate::error::{Result, StoreError};
use crate::exceptions::NamedException;
use crate::item::{Item, Stored, number, seal, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::limits::StandingLimit;
use crate::orders::{OrderRecord, lengthen, shorten};
use crate::purge;
use crate::rectify::SealedRectification;
use crate::requests::{self, End};
use crate::store::{Action, Change, Condition, Expired, Query, Store, TRANSACTION_ITEMS};
use crate::tenants::Installation;

/// The version of the document's form (docs/data-map.md names what is in it).
const FORM: &str = "storeward-subject-export-1";

/// How much of a document one item holds, in bytes of JSON: DynamoDB takes 400 KB.
const PART: usize = 200_000;

/// How many parts one transaction takes: 4 MB. Sixty days of orders of one person are far from it.
const PARTS: usize = 15;

/// Where an export stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportState {
    /// It was asked for.
    Open,
    /// It can be read.
    Ready,
    /// The merchant was given it.
    Delivered,
}

/// One thing that is stored about the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRecord {
    /// What kind of record: a name of the data map.
    pub kind: String,
    /// What it holds, why, and until when: for a reader who knows nothing of us.
    pub about: Value,
    /// What it says.
    pub data: Personal<Value>,
}

/// Everything stored about a person.
#[derive(Debug)]
pub struct Export {
    /// Where it stands.
    pub state: ExportState,
    /// When it was asked for: it is due 30 days later.
    pub received_at: Timestamp,
    /// Shopify's number of the request, where it came from there.
    pub data_request: Option<u64>,
    /// When it was put together.
    pub made_at: Option<Timestamp>,
    /// What was found. Empty while it is open, and where nothing is stored.
    pub records: Vec<ExportRecord>,
}

impl Export {
    /// The document as it is handed over: JSON, versioned by its `format`.
    #[must_use]
    pub fn document(&self) -> Personal<Value> {
        Personal::new(json!({
            "format": FORM,
            "data_request": self.data_request,
            "received_at": self.received_at.to_rfc3339(),
            "made_at": self.made_at.map(Timestamp::to_rfc3339),
            "records": self.records,
        }))
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SealedExport {
    wanted: Wanted,
    #[serde(default)]
    data_request: Option<u64>,
    rows: Vec<(String, String)>,
    parts: Vec<RecordRef>,
}

impl Store {
    /// Prepares the acceptance of a person's request for access. It is taken from uninstalled shops too, until their
    /// purge begins.
    pub fn accept_data_request(
        &self,
        installation: &Installation,
        delivery: &Delivery,
        request: CustomersDataRequest,
    ) -> Result<Acceptance> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let id = keys.blind(Purpose::Rights, "export", &delivery.webhook_id);
        let record = RecordRef::new(Kind::Export, id);
        let (now, number) = (self.now(), Some(request.data_request.id));
        let wanted = Wanted::new(request.customer, request.orders_requested);
        let (item, mut more) = self.export_item(installation, &record, now, wanted, number)?;
        let (asked, received) = (requests::request_of(&record), RightsState::Received);
        let opened = self.opened(tenant, &asked, RightsKind::Access, OpenedBy::Webhook, received)?;
        more.push(Action::Put { item: opened.item, condition: Some(Condition::ABSENT) });
        more.extend(opened.more);
        let checks = vec![purge::not_begun(tenant)];
        Ok(self.acceptance(installation, delivery, record, item, more, checks))
    }

    /// An export as it is written first, and the rows that lead to it.
    pub(crate) fn export_item(
        &self,
        installation: &Installation,
        record: &RecordRef,
        now: Timestamp,
        wanted: Wanted,
        data_request: Option<u64>,
    ) -> Result<(Item, Vec<Action>)> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let rows = Self::rows_to(installation, record, now, &wanted.identifiers());
        let sealed = SealedExport {
            wanted,
            data_request,
            rows: rows.iter().map(|row| shorten(tenant, &row.key)).collect(),
            parts: Vec::new(),
        };
        let item = Item::new(keyspace::record(tenant, record))
            .set("phase", text("open"))
            .set("received_at", number(now.millis()))
            .expiring(now)
            .sealed(keys, &sealed, &*self.entropy)?;
        Ok((item, rows.into_iter().map(Action::put).collect()))
    }

    /// The subject rows that lead to a record of `at`.
    pub(crate) fn rows_to(
        installation: &Installation,
        record: &RecordRef,
        at: Timestamp,
        identifiers: &[normalize::Identifier],
    ) -> Vec<Item> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let rows = identifiers.iter().map(|identifier| {
            let partition = keyspace::subject_partition(tenant, keys, identifier);
            Item::new(keyspace::subject_row(partition, record)).expiring_with(record.kind(), at)
        });
        rows.collect()
    }

    /// An export with what it holds.
    pub async fn export(&self, installation: &Installation, reference: &RecordRef) -> Result<Option<Export>> {
        let Some(stored) = self.get(&keyspace::record(&installation.tenant, reference)).await? else {
            return Ok(None);
        };
        let state = match stored.text("phase")? {
            "open" => ExportState::Open,
            "ready" => ExportState::Ready,
            "delivered" => ExportState::Delivered,
            _ => return Err(StoreError::Corrupt("an export's state")),
        };
        let sealed: SealedExport = stored.unseal(Kind::Export, &installation.keys)?;
        let keys: Vec<Key> =
            sealed.parts.iter().map(|part| keyspace::record(&installation.tenant, part)).collect();
        let mut parts = BTreeMap::new();
        for part in self.batch_get(Table::Data, &keys, Expired::Gone).await? {
            let records: Vec<ExportRecord> = part.unseal(Kind::Export, &installation.keys)?;
            parts.insert(part.number("part")?, records);
        }
        Ok(Some(Export {
            state,
            received_at: stored.time("received_at")?,
            data_request: sealed.data_request,
            made_at: stored.optional_number("made_at").map(Timestamp),
            records: parts.into_values().flatten().collect(),
        }))
    }

    /// Puts an export together and ends its delivery. `false` when there is no such request; doing it again changes
    /// nothing.
    pub async fn make_export(&self, installation: &Installation, work: &Work) -> Result<bool> {
        let tenant = &installation.tenant;
        let key = keyspace::record(tenant, &work.record);
        let Some(stored) = self.get(&key).await? else { return Ok(false) };
        if stored.text("phase")? != "open" {
            self.complete(work).await?;
            return Ok(true);
        }
        let mut sealed: SealedExport = stored.unseal(Kind::Export, &installation.keys)?;
        let received_at = stored.time("received_at")?;
        let (mut records, identifiers) = self.everything_about(installation, &sealed.wanted).await?;
        let now = self.now();
        for record in &mut records {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == record.kind);
            // As long as it is kept here, which can be shorter than anywhere.
            if let Some(days) = kind.and_then(|kind| installation.retention().days(kind)) {
                record.about["retention"] = json!({ "kept_for_days": days });
            }
        }
        let mut entry = Entry::new(now, tenant, What::SubjectExported, work.record.to_string());
        for record in &records {
            *entry.counts.entry(record.kind.clone()).or_default() += 1;
        }
        let ends = stored.end_written();
        let found = i64::try_from(records.len()).unwrap_or(i64::MAX);
        let rows = Self::rows_to(installation, &work.record, received_at, &identifiers);
        sealed.rows = rows.iter().map(|row| shorten(tenant, &row.key)).collect();
        let mut actions: Vec<Action> = Vec::new();
        for (index, part) in split(records)?.into_iter().enumerate() {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            let part_ref = RecordRef::new(Kind::Export, self.random_id()?);
            let item = Item::new(keyspace::record(tenant, &part_ref))
                .set("phase", text("part"))
                .set("part", number(index))
                .set("received_at", number(received_at.millis()))
                .expiring(received_at)
                .not_after(ends)
                .sealed(&installation.keys, &part, &*self.entropy)?;
            actions.push(Action::put(item));
            sealed.parts.push(part_ref);
        }
        let update = Change {
            expression: "SET phase = :ready, made_at = :now, sealed = :sealed".to_owned(),
            values: vec![
                (":ready", text("ready")),
                (":now", number(now.millis())),
                (":sealed", seal(&key, &installation.keys, &sealed, &*self.entropy)?),
            ],
        };
        // An erasure meanwhile has deleted the request: then nothing is kept.
        actions.push(Action::Update { key, update, condition: Some(Condition::phase("open")) });
        actions.push(Action::Update {
            key: keyspace::record(tenant, &requests::request_of(&work.record)),
            update: Change {
                expression: "SET phase = :ready, records = :records".to_owned(),
                values: vec![(":ready", text("ready")), (":records", number(found))],
            },
            condition: Some(Condition::phase("open")),
        });
        actions.push(self.ledger_action(&entry)?);
        let room = TRANSACTION_ITEMS.saturating_sub(actions.len() + 3);
        actions.extend(rows.into_iter().take(room).map(Action::put));
        let checks = vec![purge::not_begun(tenant)];
        self.end(actions, checks, work).await?;
        Ok(true)
    }

    /// Ends a piece of work in one transaction with its delivery, whose marker may have outlived its window.
    pub(crate) async fn end(&self, actions: Vec<Action>, checks: Vec<Action>, work: &Work) -> Result<()> {
        let with = |ending: Vec<Action>| {
            actions.iter().chain(&checks).cloned().chain(ending).collect::<Vec<Action>>()
        };
        let marker = actions.len() + checks.len();
        let Err(canceled) = self.transact(with(completion(work).to_vec())).await? else { return Ok(()) };
        if canceled.any_failed(marker..marker + 1) && !canceled.any_failed(0..marker) {
            self.transact(with(vec![completion_due(work)]))
                .await?
                .map_err(|_| StoreError::Contended("a request"))?;
            return Ok(());
        }
        Err(StoreError::Contended("a request"))
    }

    /// Remembers that the merchant was given an export: its request is done, and nothing warns of it any more.
    pub async fn export_delivered(&self, installation: &Installation, reference: &RecordRef) -> Result<bool> {
        let (tenant, now) = (&installation.tenant, self.now());
        let asked = self.asked(tenant, &requests::request_of(reference)).await?;
        let Some(asked) = asked.filter(|asked| asked.state == RightsState::Ready) else { return Ok(false) };
        let entry = Entry::new(now, tenant, What::ExportDelivered, reference.to_string());
        let update = Change {
            expression: "SET phase = :delivered".to_owned(),
            values: vec![(":delivered", text("delivered"))],
        };
        let key = keyspace::record(tenant, reference);
        let mut actions = asked.ended(tenant, now, End::Done(None));
        actions.push(Action::Update { key, update, condition: Some(Condition::phase("ready")) });
        actions.push(self.ledger_action(&entry)?);
        Ok(self.transact(actions).await?.is_ok())
    }

    /// Whatever is stored about a person, and every identifier that it names the person by.
    async fn everything_about(
        &self,
        installation: &Installation,
        wanted: &Wanted,
    ) -> Result<(Vec<ExportRecord>, Vec<normalize::Identifier>)> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let mut identifiers = wanted.identifiers();
        let partitions: BTreeSet<String> = identifiers
            .iter()
            .map(|identifier| keyspace::subject_partition(tenant, keys, identifier))
            .collect();
        let asked_for: Vec<RecordRef> =
            wanted.orders.iter().map(|id| keyspace::order_ref(keys, *id.expose())).collect();
        let mut named: BTreeSet<RecordRef> = asked_for.iter().cloned().collect();
        let mut case_references = BTreeSet::new();
        let (mut exceptions, mut asked) = (BTreeSet::new(), BTreeSet::new());
        let mut threads = BTreeSet::new();
        for partition in &partitions {
            for row in self.query_all(Query::of(Table::Data, partition)).await? {
                let corrupt = |_| StoreError::Corrupt("a subject row");
                if let Some(case) = row.optional_text("case_id") {
                    case_references.insert(case.parse().map_err(corrupt)?);
                }
                let reference: RecordRef = row.text("sk")?.parse().map_err(corrupt)?;
                match reference.kind() {
                    Kind::Order => _ = named.insert(reference),
                    Kind::Exception => _ = exceptions.insert(reference),
                    Kind::Thread => _ = threads.insert(reference),
                    Kind::Request | Kind::Export | Kind::Rectification => {
                        asked.insert(requests::request_of(&reference));
                    }
                    _ => {}
                }
            }
        }
        let named: Vec<RecordRef> = named.into_iter().collect();
        let orders = self.orders_and(installation, &named, Expired::Gone).await?;
        case_references.extend(orders.iter().filter_map(|order| order.case.clone()));
        for row in self.member_rows(installation, &asked_for, &orders).await? {
            let case = row.optional_text("case_id").map(str::parse).transpose();
            case_references.extend(case.map_err(|_| StoreError::Corrupt("a subject row"))?);
        }
        let mut records = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| kind.row().exported) {
            match kind {
                Kind::Order => {
                    for order in &orders {
                        let more = normalize::order_identifiers(&order.order);
                        identifiers.extend(
                            more.into_iter().filter(|more| !identifiers.contains(more)).collect::<Vec<_>>(),
                        );
                        records.push(of_order(order)?);
                    }
                }
                Kind::Case => {
                    for case in self.resolve_cases(installation, case_references.clone()).await? {
                        records.extend(of_case(&case.whole(), &named));
                    }
                }
                Kind::Exception => {
                    let exceptions: Vec<RecordRef> = exceptions.iter().cloned().collect();
                    let persons: Vec<&Order> = orders.iter().map(|order| &order.order).collect();
                    let known = exceptions_of_person(keys, &persons, &identifiers);
                    for exception in self.exceptions_named(installation, &exceptions).await? {
                        records.push(of_exception(&exception, &known));
                    }
                }
                Kind::Limit => {
                    for limit in self.limits_of(installation, &identifiers).await? {
                        records.push(of_limit(&limit));
                    }
                }
                Kind::Request => {
                    records.extend(self.requests_about(installation, wanted, asked.clone()).await?);
                }
                // Its mails and replies come with it.
                Kind::Thread => {
                    records.extend(self.mail_about(installation, &wanted.identifiers(), &threads).await?);
                }
                Kind::Mail | Kind::Draft => {}
                _ => return Err(StoreError::Corrupt("a kind that is exported and not known here")),
            }
        }
        Ok((records, identifiers))
    }

    /// What the person asked for, by the rows that lead there and, for erasures, by whom their sealed halves name. Those
    /// that are done and have nothing left to show have forgotten whom they were about.
    async fn requests_about(
        &self,
        installation: &Installation,
        wanted: &Wanted,
        led_to: BTreeSet<RecordRef>,
    ) -> Result<Vec<ExportRecord>> {
        let tenant = &installation.tenant;
        let asked = wanted.identifiers();
        let mut found = led_to;
        for bucket in 0..keyspace::BUCKETS {
            let partition = keyspace::bucket_partition(&installation.tenant, Kind::Request, bucket);
            for stored in self.query_all(Query::of(Table::Data, &partition)).await? {
                if !stored.has_sealed() {
                    continue;
                }
                let other: Wanted = stored.unseal(Kind::Request, &installation.keys)?;
                let same = other.identifiers().iter().any(|identifier| asked.contains(identifier))
                    || other.orders.iter().any(|order| wanted.orders.contains(order));
                if same {
                    found.insert(RecordRef::new(Kind::Request, stored.text("sk")?.to_owned()));
                }
            }
        }
        let keys: Vec<Key> = found.iter().map(|request| keyspace::record(tenant, request)).collect();
        let stored = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        let records = stored.iter().map(|stored| {
            let asked = requests::read(stored)?;
            let data = json!({
                "asked_for": asked.kind, "received_at": asked.received_at.to_rfc3339(), "state": asked.state,
            });
            Ok(about(Kind::Request, data))
        });
        records.collect()
    }

    /// The keys of exports and rectifications with everything that belongs to them.
    pub(crate) async fn errand_keys(
        &self,
        installation: &Installation,
        references: &BTreeSet<RecordRef>,
    ) -> Result<Vec<Key>> {
        let keys: Vec<Key> = references
            .iter()
            .filter(|reference| matches!(reference.kind(), Kind::Export | Kind::Rectification))
            .map(|reference| keyspace::record(&installation.tenant, reference))
            .collect();
        let mut all = Vec::new();
        for stored in self.batch_get(Table::Data, &keys, Expired::Too).await? {
            let kind = match stored.text("kind")? {
                "export" => Kind::Export,
                _ => Kind::Rectification,
            };
            all.extend(Self::rows_of_errand(installation, kind, &stored)?);
            all.push(stored.key(kind)?);
        }
        Ok(all)
    }

    /// The rows and parts that an export or a rectification lists.
    pub(crate) fn rows_of_errand(
        installation: &Installation,
        kind: Kind,
        stored: &Stored,
    ) -> Result<Vec<Key>> {
        let tenant = &installation.tenant;
        if stored.optional_text("phase") == Some("part") || !stored.has_sealed() {
            return Ok(Vec::new());
        }
        let (rows, parts) = match kind {
            Kind::Export => {
                let sealed: SealedExport = stored.unseal(kind, &installation.keys)?;
                (sealed.rows, sealed.parts)
            }
            _ => (stored.unseal::<SealedRectification>(kind, &installation.keys)?.rows, Vec::new()),
        };
        let rows = rows.iter().filter_map(|row| lengthen(tenant, row));
        Ok(rows.chain(parts.iter().map(|part| keyspace::record(tenant, part))).collect())
    }
}

pub(crate) fn about(kind: Kind, data: Value) -> ExportRecord {
    let row = kind.row();
    let until = match row.retention {
        storeward_core::data_map::Retention::Window(window) => {
            json!({ "kept_for_days": window.as_secs() / DAY.as_secs() })
        }
        _ => Value::Null,
    };
    ExportRecord {
        kind: kind.name().to_owned(),
        about: json!({ "holds": row.holds, "purpose": row.purpose.label(), "retention": until }),
        data: Personal::new(data),
    }
}

fn of_order(record: &OrderRecord) -> Result<ExportRecord> {
    let mut data = serde_json::to_value(&record.order).map_err(|_| StoreError::Corrupt("an order"))?;
    data["standing"] = json!(record.standing);
    Ok(about(Kind::Order, data))
}

/// What exceptions would be called that are about the person: an address or a contact that the person's orders and
/// request name.
fn exceptions_of_person(
    keys: &TenantKeys,
    orders: &[&Order],
    identifiers: &[normalize::Identifier],
) -> BTreeSet<RecordRef> {
    let of_orders = orders.iter().flat_map(|order| exception::keys(order));
    let of_identifiers = identifiers.iter().cloned().map(exception::customer_key);
    of_orders.chain(of_identifiers).map(|key| keyspace::exception_ref(keys, &key)).collect()
}

/// An exception that the person is among. What another of the household is known by is not the person's to see.
fn of_exception(named: &NamedException, known: &BTreeSet<RecordRef>) -> ExportRecord {
    let mut data = json!({ "scope": named.scope.name(), "since": named.since.to_rfc3339() });
    if known.contains(&named.reference) {
        data["label"] = json!(named.label);
    }
    about(Kind::Exception, data)
}

/// What limits the use of the person's data. Whom else the same request named is not the person's to see.
fn of_limit(limit: &StandingLimit) -> ExportRecord {
    let data = json!({ "limit": limit.limit.name(), "since": limit.since.to_rfc3339(), "of": limit.identifier.kind.name() });
    about(Kind::Limit, data)
}

/// The person's part of a case: the others of a household are not the person's to see.
fn of_case(case: &Case, named: &[RecordRef]) -> Option<ExportRecord> {
    let members: Vec<Value> = case
        .members
        .iter()
        .filter(|member| named.contains(&member.order))
        .map(|member| {
            json!({
                "id": member.id, "name": member.name, "created_at": member.created_at.to_rfc3339(),
                "total": member.total, "currency": member.currency, "agreed_on": member.reasons,
                "standing": member.standing,
            })
        })
        .collect();
    (!members.is_empty()).then(|| {
        let data = json!({ "opened": case.opened, "state": case.state.name(), "orders": members });
        about(Kind::Case, data)
    })
}

/// Parts that each fit into an item.
fn split(records: Vec<ExportRecord>) -> Result<Vec<Vec<ExportRecord>>> {
    let mut parts: Vec<Vec<ExportRecord>> = Vec::new();
    let mut size = PART;
    for record in records {
        let json = serde_json::to_vec(&record).map_err(|_| StoreError::Corrupt("an export"))?;
        if size + json.len() > PART {
            parts.push(Vec::new());
            size = 0;
        }
        size += json.len();
        if let Some(part) = parts.last_mut() {
            part.push(record);
        }
    }
    if parts.len() > PARTS {
        return Err(StoreError::Corrupt("an export beyond 3 MB"));
    }
    Ok(parts)
}
