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
use storeward_core::{exception, export_page, normalize};

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
use crate::store::{Action, Change, Condition, Expired, Query, Store, TRANSACTION_ITEMS, Unrecorded};
use crate::tenants::Installation;

/// The version of the document's form (docs/data-map.md names what is in it).
const FORM: &str = "storeward-subject-export-1";

/// How much of a document one item holds, in bytes of JSON: DynamoDB takes 400 KB.
const PART: usize = 200_000;

/// How many parts one transaction writes: it takes 4 MB, and a single record can be as large as an item.
const PARTS_AT_ONCE: usize = 10;

/// How much of a document one answer carries, in bytes as it carries them: Lambda takes 6 MB, and the last part of a piece
/// is counted before it is taken.
const PIECE: usize = 4_000_000;

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
    /// Which piece of the document this is, from 1 on.
    pub piece: usize,
    /// How many pieces the document has: more than one where it is too large for one answer.
    pub pieces: usize,
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
            "piece": self.piece,
            "pieces": self.pieces,
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
    /// The parts that hold the document; while it is open, those that may have been written.
    parts: Vec<RecordRef>,
    /// How many parts each piece of the document has. Empty while it is open, and where all of it is one piece.
    #[serde(default)]
    pieces: Vec<usize>,
}

impl SealedExport {
    fn pieces(&self) -> usize {
        self.pieces.len().max(1)
    }

    /// The parts of a piece; `None` where there is no such piece.
    fn parts_of(&self, piece: usize) -> Option<&[RecordRef]> {
        if self.pieces.is_empty() {
            return (piece == 1).then_some(&self.parts);
        }
        let before = self.pieces.get(..piece.checked_sub(1)?)?.iter().sum::<usize>();
        self.parts.get(before..before + self.pieces.get(piece - 1)?)
    }
}

/// A part of a document, to be written.
struct Part<'a> {
    number: i64,
    name: &'a RecordRef,
    records: Vec<ExportRecord>,
}

/// An export that is being put together.
struct Making<'a> {
    installation: &'a Installation,
    record: &'a RecordRef,
    /// How often its parts were listed: whoever lists them has it to itself from then on.
    attempt: Option<i64>,
    /// What leads to it: from everything that the person is named by in what was found.
    rows: Vec<Item>,
}

impl Making<'_> {
    fn key(&self) -> Key {
        keyspace::record(&self.installation.tenant, self.record)
    }

    /// That it is open, and that nobody else began to put it together since.
    fn mine(&self) -> Condition {
        let mut condition = Condition::phase("open");
        match self.attempt {
            Some(attempt) => {
                condition.expression = "phase = :in_phase AND attempt = :attempt";
                condition.values.push((":attempt", number(attempt)));
            }
            None => condition.expression = "phase = :in_phase AND attribute_not_exists(attempt)",
        }
        condition
    }

    /// That nothing goes through the installation, or the person's records, to delete what is found: an erasure ends the
    /// request before it looks what the export lists.
    fn checks(&self) -> [Action; 2] {
        let tenant = &self.installation.tenant;
        let key = keyspace::record(tenant, &requests::request_of(self.record));
        [Action::Check { key, condition: Condition::phase("open") }, purge::not_begun(tenant)]
    }
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
            pieces: Vec::new(),
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

    /// An export with all that it holds.
    pub async fn export(&self, installation: &Installation, reference: &RecordRef) -> Result<Option<Export>> {
        self.export_piece(installation, reference, None).await
    }

    /// An export with what one piece of its document holds, or all of them. `None` where there is no such piece, either.
    pub(crate) async fn export_piece(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        piece: Option<usize>,
    ) -> Result<Option<Export>> {
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
        let listed = match piece {
            // What is being written is nobody's to see.
            _ if state == ExportState::Open => &[],
            None => &sealed.parts[..],
            Some(piece) => match sealed.parts_of(piece) {
                Some(parts) => parts,
                None => return Ok(None),
            },
        };
        let keys: Vec<Key> = listed.iter().map(|part| keyspace::record(&installation.tenant, part)).collect();
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
            piece: piece.unwrap_or(1),
            pieces: piece.map_or(1, |_| sealed.pieces()),
            records: parts.into_values().flatten().collect(),
        }))
    }

    /// In how many pieces an export's document is given; `None` where there is no such export (any more).
    pub(crate) async fn pieces_of(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<usize>> {
        let stored = self.get(&keyspace::record(&installation.tenant, reference)).await?;
        let pieces = |stored: Stored| {
            let sealed: SealedExport = stored.unseal(Kind::Export, &installation.keys)?;
            Ok(sealed.pieces())
        };
        stored.map(pieces).transpose()
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
        let found = i64::try_from(records.len()).unwrap_or(i64::MAX);
        let rows = Self::rows_to(installation, &work.record, received_at, &identifiers);
        sealed.rows = rows.iter().map(|row| shorten(tenant, &row.key)).collect();
        let attempt = stored.optional_number("attempt");
        let mut making = Making { installation, record: &work.record, attempt, rows };
        let (parts, pieces) = cut(records)?;
        let mut actions = self.write_parts(&mut making, &stored, &mut sealed, parts).await?;
        sealed.pieces = pieces;
        let update = Change {
            expression: "SET phase = :ready, made_at = :now, sealed = :sealed REMOVE attempt".to_owned(),
            values: vec![
                (":ready", text("ready")),
                (":now", number(now.millis())),
                (":sealed", seal(&key, &installation.keys, &sealed, &*self.entropy)?),
            ],
        };
        // An erasure meanwhile has deleted the request: then nothing is kept.
        actions.push(Action::Update { key, update, condition: Some(making.mine()) });
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
        actions.extend(making.rows.into_iter().take(room).map(Action::put));
        let checks = vec![purge::not_begun(tenant)];
        self.end(actions, checks, work).await?;
        Ok(true)
    }

    /// Writes the parts of a document but for the last of them, for which these are the actions: they go with what makes the
    /// export ready. A document of few parts is written in that transaction alone.
    async fn write_parts(
        &self,
        making: &mut Making<'_>,
        export: &Stored,
        sealed: &mut SealedExport,
        parts: Vec<Vec<ExportRecord>>,
    ) -> Result<Vec<Action>> {
        let (installation, tenant) = (making.installation, &making.installation.tenant);
        if !sealed.parts.is_empty() {
            // Of a run that was stopped, or that is still at it: from here on it writes no more.
            self.list_parts(making, sealed).await?;
            let left = sealed.parts.iter().map(|part| Action::delete(keyspace::record(tenant, part)));
            let left: Vec<Action> = left.collect();
            for some in left.chunks(TRANSACTION_ITEMS) {
                self.write(Unrecorded::Step, some.to_vec()).await?;
            }
        }
        let names = parts.iter().map(|_| Ok(RecordRef::new(Kind::Export, self.random_id()?)));
        sealed.parts = names.collect::<Result<_>>()?;
        let numbered = (0..).zip(&sealed.parts).zip(parts);
        let mut before: Vec<Part<'_>> =
            numbered.map(|((number, name), records)| Part { number, name, records }).collect();
        let last = before.split_off(before.len().saturating_sub(1) / PARTS_AT_ONCE * PARTS_AT_ONCE);
        if !before.is_empty() {
            self.list_parts(making, sealed).await?;
        }
        for some in before.chunks(PARTS_AT_ONCE) {
            let mut actions = vec![Action::Check { key: making.key(), condition: making.mine() }];
            actions.extend(making.checks());
            for part in some {
                actions.push(self.part(installation, export, part)?);
            }
            self.transact_unrecorded(Unrecorded::Step, actions)
                .await?
                .map_err(|_| StoreError::Contended("an export"))?;
        }
        last.iter().map(|part| self.part(installation, export, part)).collect()
    }

    /// Writes which parts an export may have, and what leads to it, before they are written: whatever deletes the export
    /// deletes them. Whoever did so before does not go on.
    async fn list_parts(&self, making: &mut Making<'_>, sealed: &SealedExport) -> Result<()> {
        let (key, next) = (making.key(), making.attempt.unwrap_or_default() + 1);
        let update = Change {
            expression: "SET attempt = :next, sealed = :sealed".to_owned(),
            values: vec![
                (":next", number(next)),
                (":sealed", seal(&key, &making.installation.keys, sealed, &*self.entropy)?),
            ],
        };
        let mut actions = vec![Action::Update { key, update, condition: Some(making.mine()) }];
        actions.extend(making.checks());
        let room = TRANSACTION_ITEMS - actions.len();
        actions.extend(making.rows.iter().take(room).cloned().map(Action::put));
        self.transact_unrecorded(Unrecorded::Step, actions)
            .await?
            .map_err(|_| StoreError::Contended("an export"))?;
        making.attempt = Some(next);
        Ok(())
    }

    /// The action that writes a part of the export that is stored so. It ends with it.
    fn part(&self, installation: &Installation, export: &Stored, part: &Part<'_>) -> Result<Action> {
        let received_at = export.time("received_at")?;
        let item = Item::new(keyspace::record(&installation.tenant, part.name))
            .set("phase", text("part"))
            .set("part", number(part.number))
            .set("received_at", number(received_at.millis()))
            .expiring(received_at)
            .not_after(export.end_written())
            .sealed(&installation.keys, &part.records, &*self.entropy)?;
        Ok(Action::put(item))
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

/// A document as parts that each fit into an item, and how many of them each of its pieces has.
fn cut(records: Vec<ExportRecord>) -> Result<(Vec<Vec<ExportRecord>>, Vec<usize>)> {
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
    let mut pieces: Vec<usize> = Vec::new();
    let mut size = PIECE;
    for part in &parts {
        let carried = carried_as_either(part)?;
        if size + carried > PIECE {
            pieces.push(0);
            size = 0;
        }
        size += carried;
        if let Some(piece) = pieces.last_mut() {
            *piece += 1;
        }
    }
    Ok((parts, pieces))
}

/// How much of an answer a part takes in the form that takes more.
fn carried_as_either(part: &[ExportRecord]) -> Result<usize> {
    let document = Personal::new(json!({ "records": part }));
    let json = serde_json::to_string_pretty(document.expose());
    let json = Personal::new(json.map_err(|_| StoreError::Corrupt("an export"))?);
    let page = export_page::page(&document);
    Ok(carried(json.expose()).max(carried(page.expose())))
}

/// How many bytes a text takes in an answer of a function, which carries it as a string of JSON; at the most.
pub(crate) fn carried(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(text: &str) -> ExportRecord {
        about(Kind::Mail, json!({ "text": text }))
    }

    #[test]
    fn every_record_is_in_one_part_and_every_part_in_one_piece_that_an_answer_takes() {
        // What takes the most: text that a page has to escape, as large as a mail can be.
        for (text, records) in [("'".repeat(128_000), 40), ("plain ".repeat(400), 10_000), (String::new(), 3)]
        {
            let written: Vec<ExportRecord> = (0..records).map(|n| record(&format!("{n} {text}"))).collect();
            let (parts, pieces) = cut(written.clone()).unwrap();
            assert_eq!(parts.concat(), written, "in their order");
            assert_eq!(pieces.iter().sum::<usize>(), parts.len());
            assert!(pieces.iter().all(|parts| *parts > 0), "{pieces:?}");
            let mut parts = parts.into_iter();
            for piece in pieces {
                let piece: Vec<ExportRecord> = parts.by_ref().take(piece).flatten().collect();
                assert!(carried_as_either(&piece).unwrap() < 5_000_000);
            }
        }
        assert_eq!(cut(Vec::new()).unwrap(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_piece_has_its_own_parts_and_no_others() {
        let part = |n: usize| RecordRef::new(Kind::Export, format!("{n:032x}"));
        let parts: Vec<RecordRef> = (0..5).map(part).collect();
        let sealed = |pieces: &[usize]| {
            let (wanted, rows) = (Wanted::of(None, None, None), Vec::new());
            SealedExport { wanted, data_request: None, rows, parts: parts.clone(), pieces: pieces.to_vec() }
        };
        let three = sealed(&[2, 1, 2]);
        let of = |piece: usize| three.parts_of(piece).map(<[RecordRef]>::to_vec);
        assert_eq!(of(1), Some(parts[..2].to_vec()));
        assert_eq!(of(2), Some(parts[2..3].to_vec()));
        assert_eq!(of(3), Some(parts[3..].to_vec()));
        assert_eq!((of(0), of(4), three.pieces()), (None, None, 3));
        let whole = sealed(&[]);
        assert_eq!((whole.parts_of(1), whole.parts_of(2), whole.pieces()), (Some(&parts[..]), None, 1));
    }

    proptest! {
        #[test]
        fn an_answer_carries_a_text_in_no_more_bytes_than_were_counted(text in "\\PC{0,40}|[\"\\\\\n\t\u{1}a]{0,40}") {
            let string = serde_json::to_string(&text).unwrap();
            prop_assert!(string.len() <= carried(&text) + 2, "{}", string);
        }
    }
}
