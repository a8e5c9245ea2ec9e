//! Everything of a shop, given back to its merchant page by page (promise SO26): what is known of the shop and its staff, and
//! every record that the data map says is about customers, duplicates or the merchant, opened. Nothing is copied anywhere; who
//! may ask for it is the API's.

use serde::Serialize;
use serde_json::{Map, Value, json};
use storeward_core::data_map::{Category, Kind, Purpose};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

use crate::desk::Desk;
use crate::error::{Result, StoreError};
use crate::exports::{ExportRecord, about, carried};
use crate::item::{EXPIRES_AT, SEALED, Stored};
use crate::keyspace::{self, BUCKETS, Key};
use crate::store::{PageKey, Query, Store};
use crate::tenants::Installation;

/// When a page is full, in bytes as an answer carries them: Lambda takes 6 MB, and the last record is an item of 400 KB.
const FULL: usize = 4_000_000;

/// A page of a shop's records.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The records.
    pub records: Vec<ExportRecord>,
    /// What to ask for the next page with; `None` at the end.
    pub next: Option<String>,
}

/// Where a handover goes, in its order.
#[derive(Clone, Copy)]
enum Place {
    /// A record that an installation has one of.
    Alone(Kind),
    /// One of the partitions of a kind.
    Bucket(Kind, u8),
}

/// The kinds that are given back. Copies that were made for somebody's request are not: what they were made of is.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| {
        let row = kind.row();
        let merchants = row.categories.contains(&Category::MerchantAccount);
        row.bucketed && (row.exported || row.purpose == Purpose::Duplicates || merchants)
    })
}

/// The places that a handover goes through, in their order: what is known of the shop itself comes first.
fn places() -> impl Iterator<Item = Place> {
    let alone = [Kind::Shop, Kind::Member, Kind::Desk].map(Place::Alone);
    let buckets = kinds().flat_map(|kind| (0..BUCKETS).map(move |bucket| Place::Bucket(kind, bucket)));
    alone.into_iter().chain(buckets)
}

/// Where a page ended: in which place, and behind which item.
struct Position {
    place: usize,
    behind: Option<String>,
}

impl Position {
    /// The cursor: it cannot be made up, and fits no other shop.
    fn seal(&self, installation: &Installation) -> String {
        let position =
            format!("{:04x}{}", self.place, hex::encode(self.behind.as_deref().unwrap_or_default()));
        let tag = installation.keys.blind(Purpose::Operation, "handover", &position);
        format!("{tag}{position}")
    }

    fn open(installation: &Installation, cursor: &str) -> Option<Self> {
        let (tag, position) = cursor.split_at_checked(32)?;
        if installation.keys.blind(Purpose::Operation, "handover", position) != tag {
            return None;
        }
        let (place, behind) = position.split_at_checked(4)?;
        let behind = String::from_utf8(hex::decode(behind).ok()?).ok()?;
        let behind = Some(behind).filter(|behind| !behind.is_empty());
        Some(Self { place: usize::from_str_radix(place, 16).ok()?, behind })
    }
}

/// What a record says: its open attributes and what was sealed, under their own names.
fn opened(installation: &Installation, kind: Kind, stored: &Stored) -> Result<ExportRecord> {
    let mut data = Map::new();
    for (name, value) in &stored.0 {
        if ["pk", "sk", "kind", EXPIRES_AT, SEALED].contains(&name.as_str()) {
            continue;
        }
        if let Ok(text) = value.as_s() {
            data.insert(name.clone(), json!(text));
        } else if let Some(number) = value.as_n().ok().and_then(|digits| digits.parse::<i64>().ok()) {
            data.insert(name.clone(), json!(number));
        }
    }
    if stored.has_sealed() {
        let sealed: Personal<Value> = stored.unseal(kind, &installation.keys)?;
        data.insert("record".to_owned(), sealed.into_inner());
    }
    Ok(about(kind, Value::Object(data)))
}

/// A page that is being filled.
#[derive(Default)]
struct Page {
    records: Vec<ExportRecord>,
    carried: usize,
}

impl Page {
    fn put(&mut self, record: ExportRecord) -> Result<()> {
        let json = serde_json::to_string(&record).map_err(|_| StoreError::Corrupt("a record handed over"))?;
        self.carried += carried(Personal::new(json).expose());
        self.records.push(record);
        Ok(())
    }

    /// How many more records it takes.
    fn room(&self, limit: usize) -> usize {
        if self.carried < FULL { limit.saturating_sub(self.records.len()) } else { 0 }
    }
}

impl Store {
    /// At most `limit` records of a shop, and no more than an answer takes, from where the page before ended. The first begins
    /// with what is known of the shop itself. `None` when the cursor is not one that was given for this shop.
    pub async fn hand_over(
        &self,
        installation: &Installation,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Option<Handover>> {
        let from = match cursor.map(|cursor| Position::open(installation, cursor)) {
            None => Position { place: 0, behind: None },
            Some(Some(position)) => position,
            Some(None) => return Ok(None),
        };
        let (mut page, mut behind) = (Page::default(), from.behind);
        for (number, place) in places().enumerate().skip(from.place) {
            loop {
                let room = page.room(limit);
                if room == 0 {
                    let next = Position { place: number, behind }.seal(installation);
                    return Ok(Some(Handover { records: page.records, next: Some(next) }));
                }
                match place {
                    Place::Alone(kind) => page.put(self.alone(installation, kind).await?)?,
                    Place::Bucket(kind, bucket) => {
                        behind = self.some_of(installation, kind, bucket, behind, limit, &mut page).await?;
                    }
                }
                if behind.is_none() {
                    break;
                }
            }
        }
        Ok(Some(Handover { records: page.records, next: None }))
    }

    /// Puts the records of a partition on a page, as many as one request reads and the page takes. Where to go on in the
    /// partition, if it has more.
    async fn some_of(
        &self,
        installation: &Installation,
        kind: Kind,
        bucket: u8,
        behind: Option<String>,
        limit: usize,
        page: &mut Page,
    ) -> Result<Option<String>> {
        let partition = keyspace::bucket_partition(&installation.tenant, kind, bucket);
        let mut query = Query::of(kind.row().table, &partition);
        query.limit = i32::try_from(page.room(limit)).unwrap_or(i32::MAX);
        query.after = behind.map(|sk| PageKey::after(&Key { kind, pk: partition.clone(), sk }));
        let (items, more) = self.query(query).await?;
        let mut last = None;
        for item in &items {
            if page.room(limit) == 0 {
                return Ok(last);
            }
            page.put(opened(installation, kind, item)?)?;
            last = Some(item.text("sk")?.to_owned());
        }
        more.map(|more| more.sort().ok_or(StoreError::Corrupt("a page"))).transpose()
    }

    /// What an installation has one of.
    async fn alone(&self, installation: &Installation, kind: Kind) -> Result<ExportRecord> {
        let data = match kind {
            Kind::Shop => {
                let stance = installation.stance();
                let told = stance.told.into_iter().map(|(announced, at)| (announced.to_rfc3339(), at));
                let objections =
                    stance.objections.into_iter().map(|(processor, at)| (processor.name().to_owned(), at));
                json!({
                    "installed_at": installation.installed_at.to_rfc3339(),
                    "profile": written(&installation.profile()?)?,
                    "settings": written(&installation.settings()?)?,
                    "retention_days": written(&self.retention_choice(installation).0)?,
                    "told_of_sub_processors": times(told),
                    "objections": times(objections),
                })
            }
            Kind::Member => written(&self.members(installation).await?)?,
            _ => {
                let Desk { settings, rules, macros, .. } = self.desk(installation).await?;
                json!({
                    "settings": written(&settings)?, "rules": written(&rules)?, "macros": written(&macros)?,
                })
            }
        };
        Ok(about(kind, data))
    }
}

fn written<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|_| StoreError::Corrupt("a record handed over"))
}

/// When something was, by its name.
fn times(of: impl Iterator<Item = (String, Timestamp)>) -> Map<String, Value> {
    of.map(|(name, at)| (name, json!(at.to_rfc3339()))).collect()
}
