//! Exceptions: households and customers that a merchant does not want flagged. One record for each address, e-mail,
//! phone or customer number, under its blind; those of one decision belong together. Every person a household exception
//! was made of leads to it: erasing any of them deletes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::exception::{self, ExceptionKey, Scope};
use storeward_core::order::Order;
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

use crate::cases::{Case, Member};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::orders::{Candidate, OrderRecord, is_limited, lengthen, shorten};
use crate::store::{Action, Condition, Expired, Query, Store, TRANSACTION_ITEMS};
use crate::tenants::Installation;

/// The most addresses or identifiers that one decision excepts.
const KEYS: usize = 8;

/// What one decision excepted.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// Whom it is for.
    pub scope: Scope,
    /// How a merchant recognises them: an address, or e-mails and phones.
    pub labels: Vec<Personal<String>>,
    /// How many more there are that are not shown, because a person restricted or objects to it.
    pub restricted: usize,
    /// When the merchant said so.
    pub since: Timestamp,
}

/// The sealed half of one record.
#[derive(Debug, Serialize, Deserialize)]
struct SealedException {
    label: Personal<String>,
    rows: Vec<(String, String)>,
}

/// One record as it is shown to a person it is about.
pub(crate) struct NamedException {
    pub(crate) reference: RecordRef,
    pub(crate) scope: Scope,
    pub(crate) label: Personal<String>,
    pub(crate) since: Timestamp,
}

/// One record, read.
struct Record {
    key: Key,
    reference: RecordRef,
    scope: Scope,
    limited: bool,
    group: String,
    since: Timestamp,
    sealed: SealedException,
}

impl Record {
    fn read(installation: &Installation, stored: &Stored) -> Result<Self> {
        let scope = match stored.text("scope")? {
            "household" => Scope::Household,
            "customer" => Scope::Customer,
            _ => return Err(StoreError::Corrupt("an exception's scope")),
        };
        Ok(Self {
            key: stored.key(Kind::Exception)?,
            reference: RecordRef::new(Kind::Exception, stored.text("sk")?.to_owned()),
            scope,
            limited: is_limited(stored),
            group: stored.text("belongs_to")?.to_owned(),
            since: stored.time("created_at")?,
            sealed: stored.unseal(Kind::Exception, &installation.keys)?,
        })
    }

    fn rows(&self, installation: &Installation) -> impl Iterator<Item = Key> {
        self.sealed.rows.iter().filter_map(|row| lengthen(&installation.tenant, row))
    }

    /// The record, if it still belongs to the same decision, and its rows.
    fn deletions(&self, installation: &Installation) -> Vec<Action> {
        let unchanged = Condition {
            expression: "belongs_to = :belongs_to",
            values: vec![(":belongs_to", text(&self.group))],
        };
        let record = Action::Delete { key: self.key.clone(), condition: Some(unchanged) };
        self.rows(installation).map(Action::delete).chain([record]).collect()
    }
}

/// The record's rows and the record, for whoever deletes them.
pub(crate) fn keys_of(installation: &Installation, stored: &Stored) -> Result<Vec<Key>> {
    let record = Record::read(installation, stored)?;
    Ok(record.rows(installation).chain([record.key.clone()]).collect())
}

/// What a decision does to exceptions.
pub(crate) enum Change {
    /// These actions, after which these records are the case's.
    Write(Vec<Action>, Vec<RecordRef>),
    /// There is nothing to make an exception of: the orders are not kept any more, or have no address.
    NothingToExcept,
    /// It would be more than one transaction takes.
    TooLarge,
}

impl Store {
    /// The actions that let a case's exceptions be those of `scope`; those of an earlier decision on it end.
    pub(crate) async fn except(
        &self,
        installation: &Installation,
        case: &Case,
        scope: Option<Scope>,
    ) -> Result<Change> {
        let group = case.reference.id();
        let earlier = self.exception_records(installation, &case.exceptions).await?;
        let earlier: Vec<Record> = earlier.into_iter().filter(|record| record.group == group).collect();
        let mut wanted: BTreeMap<RecordRef, ExceptionKey> = BTreeMap::new();
        if let Some(scope) = scope {
            let references: Vec<RecordRef> = case.members.iter().map(|member| member.order.clone()).collect();
            for record in self.orders(installation, &references).await? {
                for key in exception::keys(&record.order).into_iter().filter(|key| key.scope == scope) {
                    wanted.entry(keyspace::exception_ref(&installation.keys, &key)).or_insert(key);
                }
            }
            if wanted.is_empty() {
                return Ok(Change::NothingToExcept);
            }
            if wanted.len() > KEYS {
                return Ok(Change::TooLarge);
            }
        }
        let mut actions: Vec<Action> = earlier
            .iter()
            .filter(|record| !wanted.contains_key(&record.reference))
            .flat_map(|record| record.deletions(installation))
            .collect();
        let references: Vec<RecordRef> = wanted.keys().cloned().collect();
        let mut standing: HashMap<RecordRef, Record> = self
            .exception_records(installation, &references)
            .await?
            .into_iter()
            .map(|record| (record.reference.clone(), record))
            .collect();
        for (reference, key) in wanted {
            actions.extend(self.put_exception(
                installation,
                case,
                &reference,
                key,
                standing.remove(&reference),
            )?);
        }
        // The case, the counters before and after and the ledger have their places too.
        if actions.len() + 4 > TRANSACTION_ITEMS {
            return Ok(Change::TooLarge);
        }
        Ok(Change::Write(actions, references))
    }

    /// One record with its rows. One that stands already is taken over, with the people that lead to it.
    fn put_exception(
        &self,
        installation: &Installation,
        case: &Case,
        reference: &RecordRef,
        key: ExceptionKey,
        standing: Option<Record>,
    ) -> Result<Vec<Action>> {
        let (tenant, now) = (&installation.tenant, self.now());
        let partitions = case.members.iter().flat_map(|member| Member::row_keys(member, installation));
        let mut rows: BTreeSet<Key> =
            partitions.map(|row| keyspace::subject_row(row.pk, reference)).collect();
        let condition = match standing {
            None => Condition::ABSENT,
            Some(record) => {
                rows.extend(record.rows(installation));
                Condition {
                    expression: "belongs_to = :belongs_to AND created_at = :created_at",
                    values: vec![
                        (":belongs_to", text(record.group)),
                        (":created_at", number(record.since.millis())),
                    ],
                }
            }
        };
        let sealed =
            SealedException { label: key.label, rows: rows.iter().map(|row| shorten(tenant, row)).collect() };
        let item = Item::new(keyspace::record(tenant, reference))
            .set("scope", text(key.scope.name()))
            .set("belongs_to", text(case.reference.id()))
            .set("created_at", number(now.millis()))
            .expiring(now)
            .sealed(&installation.keys, &sealed, &*self.entropy)?;
        let rows =
            rows.into_iter().map(|row| Action::put(Item::new(row).expiring_with(Kind::Exception, now)));
        Ok(rows.chain([Action::Put { item, condition: Some(condition) }]).collect())
    }

    /// Those of the exceptions that are still there.
    pub(crate) async fn exceptions_named(
        &self,
        installation: &Installation,
        references: &[RecordRef],
    ) -> Result<Vec<NamedException>> {
        let records = self.exception_records(installation, references).await?;
        let named = records.into_iter().map(|record| NamedException {
            reference: record.reference,
            scope: record.scope,
            label: record.sealed.label,
            since: record.since,
        });
        Ok(named.collect())
    }

    async fn exception_records(
        &self,
        installation: &Installation,
        references: &[RecordRef],
    ) -> Result<Vec<Record>> {
        let keys: Vec<Key> =
            references.iter().map(|reference| keyspace::record(&installation.tenant, reference)).collect();
        let found = self.batch_get(Table::Data, &keys, Expired::Gone).await?;
        found.iter().map(|stored| Record::read(installation, stored)).collect()
    }

    /// Which decisions except each of the orders, by place.
    async fn groups(
        &self,
        installation: &Installation,
        orders: &[&Order],
    ) -> Result<Vec<BTreeSet<(Scope, String)>>> {
        let keys: Vec<Vec<RecordRef>> = orders
            .iter()
            .map(|order| {
                let keys = exception::keys(order);
                keys.iter().map(|key| keyspace::exception_ref(&installation.keys, key)).collect()
            })
            .collect();
        let distinct: BTreeSet<&RecordRef> = keys.iter().flatten().collect();
        let distinct: Vec<RecordRef> = distinct.into_iter().cloned().collect();
        let found = self.exception_records(installation, &distinct).await?;
        let of = |reference: &RecordRef| {
            let record = found.iter().find(|record| record.reference == *reference)?;
            Some((record.scope, record.group.clone()))
        };
        Ok(keys.iter().map(|keys| keys.iter().filter_map(of).collect()).collect())
    }

    /// The candidates that the merchant did not except together with `record`. One request where nothing is excepted.
    pub async fn not_excepted(
        &self,
        installation: &Installation,
        record: &OrderRecord,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>> {
        let own = self.groups(installation, &[&record.order]).await?.pop().unwrap_or_default();
        if own.is_empty() {
            return Ok(candidates);
        }
        let orders: Vec<&Order> = candidates.iter().map(|candidate| &candidate.record.order).collect();
        let groups = self.groups(installation, &orders).await?;
        let kept = candidates.into_iter().zip(groups).filter(|(_, groups)| groups.is_disjoint(&own));
        Ok(kept.map(|(candidate, _)| candidate).collect())
    }

    /// For a list of orders: whether the merchant excepted two of them, named by their places, together.
    pub async fn excepted_among(
        &self,
        installation: &Installation,
        orders: &[&Order],
    ) -> Result<impl Fn(usize, usize) -> bool + use<>> {
        let groups = self.groups(installation, orders).await?;
        Ok(move |a: usize, b: usize| match (groups.get(a), groups.get(b)) {
            (Some(a), Some(b)) => !a.is_disjoint(b),
            _ => false,
        })
    }

    async fn all_exceptions(&self, installation: &Installation) -> Result<Vec<Record>> {
        let partitions = (0..keyspace::BUCKETS).map(|bucket| async move {
            let partition = keyspace::bucket_partition(&installation.tenant, Kind::Exception, bucket);
            let items = self.query_all(Query::of(Table::Data, &partition)).await?;
            items.iter().map(|item| Record::read(installation, item)).collect::<Result<Vec<_>>>()
        });
        Ok(try_join_all(partitions).await?.into_iter().flatten().collect())
    }

    /// Every exception of a shop, the latest first. Each was made by hand: there are few.
    pub async fn exceptions(&self, installation: &Installation) -> Result<Vec<Exception>> {
        let mut all: BTreeMap<String, Exception> = BTreeMap::new();
        let mut records = self.all_exceptions(installation).await?;
        records.sort_by(|a, b| a.reference.cmp(&b.reference));
        for record in records {
            let exception = all.entry(record.group.clone()).or_insert_with(|| Exception {
                id: record.group,
                scope: record.scope,
                labels: Vec::new(),
                restricted: 0,
                since: record.since,
            });
            if record.limited {
                exception.restricted += 1;
            } else {
                exception.labels.push(record.sealed.label);
            }
            exception.since = exception.since.max(record.since);
        }
        let mut all: Vec<Exception> = all.into_values().collect();
        all.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.id.cmp(&b.id)));
        Ok(all)
    }

    /// Ends an exception. `false` when there is none of that name. The case it was said on stays as it was decided.
    pub async fn end_exception(&self, installation: &Installation, id: &str) -> Result<bool> {
        let records = self.all_exceptions(installation).await?;
        let mut actions: Vec<Action> = records
            .iter()
            .filter(|record| record.group == id)
            .flat_map(|record| record.deletions(installation))
            .collect();
        if actions.is_empty() {
            return Ok(false);
        }
        let entry = Entry::new(self.now(), &installation.tenant, What::ExceptionEnded, "exception ended");
        actions.push(self.ledger_action(&entry)?);
        match self.transact(actions).await? {
            Ok(()) => Ok(true),
            Err(_) => Err(StoreError::Contended("an exception")),
        }
    }
}
