//! Everything of a shop, given back to its merchant page by page (promise SO26): every record that the data map says is about
//! customers or duplicates, opened. Nothing is copied anywhere; who may ask for it is the API's.

use serde_json::{Map, Value, json};
use storeward_core::data_map::{Kind, Purpose};
use storeward_core::personal::Personal;

use crate::error::{Result, StoreError};
use crate::exports::{ExportRecord, about};
use crate::item::{EXPIRES_AT, SEALED, Stored};
use crate::keyspace::{self, BUCKETS, Key};
use crate::store::{PageKey, Query, Store};
use crate::tenants::Installation;

/// A page of a shop's records.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The records.
    pub records: Vec<ExportRecord>,
    /// What to ask for the next page with; `None` at the end.
    pub next: Option<String>,
}

/// The kinds that are given back. Copies that were made for somebody's request are not: what they were made of is.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| {
        let row = kind.row();
        row.bucketed && (row.exported || row.purpose == Purpose::Duplicates)
    })
}

/// The partitions that a handover goes through, in their order.
fn places() -> impl Iterator<Item = (Kind, u8)> {
    kinds().flat_map(|kind| (0..BUCKETS).map(move |bucket| (kind, bucket)))
}

/// Where a page ended: in which partition, and behind which item.
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

impl Store {
    /// At most `limit` records of a shop, from where the page before ended. The first page begins with what is known of the
    /// shop itself. `None` when the cursor is not one that was given for this shop.
    pub async fn hand_over(
        &self,
        installation: &Installation,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Option<Handover>> {
        let mut records = Vec::new();
        let from = if let Some(cursor) = cursor {
            let Some(position) = Position::open(installation, cursor) else { return Ok(None) };
            position
        } else {
            records.push(of_shop(installation)?);
            Position { place: 0, behind: None }
        };
        let mut behind = from.behind;
        for (place, (kind, bucket)) in places().enumerate().skip(from.place) {
            let partition = keyspace::bucket_partition(&installation.tenant, kind, bucket);
            loop {
                let room = limit.saturating_sub(records.len());
                if room == 0 {
                    let next = Position { place, behind }.seal(installation);
                    return Ok(Some(Handover { records, next: Some(next) }));
                }
                let mut query = Query::of(kind.row().table, &partition);
                query.limit = i32::try_from(room).unwrap_or(i32::MAX);
                query.after =
                    behind.take().map(|sk| PageKey::after(&Key { kind, pk: partition.clone(), sk }));
                let (items, more) = self.query(query).await?;
                for item in &items {
                    records.push(opened(installation, kind, item)?);
                }
                match more {
                    Some(page) => behind = Some(page.sort().ok_or(StoreError::Corrupt("a page"))?),
                    None => break,
                }
            }
        }
        Ok(Some(Handover { records, next: None }))
    }
}

fn of_shop(installation: &Installation) -> Result<ExportRecord> {
    let profile = serde_json::to_value(installation.profile()?);
    let settings = serde_json::to_value(installation.settings()?);
    let (Ok(profile), Ok(settings)) = (profile, settings) else {
        return Err(StoreError::Corrupt("a shop's record"));
    };
    let data = json!({
        "installed_at": installation.installed_at.to_rfc3339(), "profile": profile, "settings": settings,
    });
    Ok(about(Kind::Shop, data))
}
