//! Breaches of personal data: what is known of each, which shops it reached, and when each of them was told. They belong to
//! the deployment and outlive the shops. When to remind and what a notice says is `core::incident`'s; sending it is a job's.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::incident::{self, Extent, Reach, Severity, Words};
use storeward_core::shop::{ShopId, Tenant};
use storeward_core::time::{DAY, Timestamp};

use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, BUCKETS, Key};
use crate::ledger::{Entry, What};
use crate::notices::Mailing;
use crate::reconcile;
use crate::store::{Action, Change, Condition, Query, Range, Store, Unrecorded};
use crate::tenants::Installation;

/// Shops that are looked at side by side.
const AT_ONCE: usize = 4;

/// How many of a shop's orders are opened to learn how many people they are about.
const SAMPLE: usize = 500;

/// How far a breach has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Which shops it reached is being found out.
    Assessing,
    /// Who is affected is known; nobody was told yet.
    Assessed,
    /// The merchants are being told, until each of them was.
    Notifying,
    /// Every merchant was told.
    Notified,
    /// It was looked back on, and is over.
    Closed,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Assessing, Self::Assessed, Self::Notifying, Self::Notified, Self::Closed];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assessing => "assessing",
            Self::Assessed => "assessed",
            Self::Notifying => "notifying",
            Self::Notified => "notified",
            Self::Closed => "closed",
        }
    }

    /// Whether merchants may still have to be told: the clock runs.
    #[must_use]
    pub const fn is_ticking(self) -> bool {
        matches!(self, Self::Assessing | Self::Assessed | Self::Notifying)
    }
}

/// What a breach is opened with.
#[derive(Clone, Debug)]
pub struct NewIncident {
    /// How bad it is.
    pub severity: Severity,
    /// Whether it is a drill: everything is done but the sending.
    pub drill: bool,
    /// Since when it is known: the 72 hours begin here.
    pub aware_at: Timestamp,
    /// What it reached.
    pub reach: Reach,
    /// What is known of it; merchants are told when every element is there.
    pub words: Words,
}

/// A breach.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Its id: 32 hexadecimal digits.
    pub id: String,
    /// How far it has come.
    pub phase: Phase,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it is a drill.
    pub drill: bool,
    /// When it was written down.
    pub opened_at: Timestamp,
    /// Since when it is known.
    pub aware_at: Timestamp,
    /// What it reached.
    pub reach: Reach,
    /// What is said of it.
    pub words: Words,
    /// How many reminders were given.
    pub reminded: usize,
    /// Up to which day the ledger was looked through for purges, while it is assessed.
    pub looked_until: Option<Timestamp>,
    /// When every merchant had been told.
    pub notified_at: Option<Timestamp>,
    /// Counts its changes.
    pub revision: i64,
}

/// How an affected shop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its merchant is to be told.
    Waiting,
    /// Its merchant was told, by mail or in another way.
    Told,
    /// It was a drill: nothing was sent.
    Rehearsed,
    /// No address is known (any more), or the mail was not taken: it is tried again, and somebody has to find another way.
    Unreachable,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Waiting, Self::Told, Self::Rehearsed, Self::Unreachable];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Told => "told",
            Self::Rehearsed => "rehearsed",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether the merchant was told: until then the clock runs.
    #[must_use]
    pub const fn is_told(self) -> bool {
        matches!(self, Self::Told | Self::Rehearsed)
    }
}

/// A shop that a breach reached.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Which installation.
    pub tenant: Tenant,
    /// How it stands.
    pub standing: Standing,
    /// How much of it.
    pub extent: Extent,
    /// When it came to that standing, where it is not waiting.
    pub at: Option<Timestamp>,
    /// Resend's id of the mail.
    pub mail: Option<String>,
    /// Where it is filed that the merchant was told in another way.
    pub reference: Option<String>,
    /// A mail under way.
    pub mailing: Option<Mailing>,
}

/// What the open half says.
#[derive(Serialize, Deserialize)]
struct Facts {
    severity: Severity,
    drill: bool,
    opened_at: Timestamp,
    aware_at: Timestamp,
    reach: Reach,
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> Result<T> {
    all.iter().copied().find(|one| name(*one) == word).ok_or(StoreError::Corrupt("a breach's state"))
}

fn json<T: Serialize>(value: &T) -> Result<AttributeValue> {
    serde_json::to_string(value).map(text).map_err(|_| StoreError::Corrupt("a breach"))
}

fn at_revision(revision: i64, phases: &[Phase]) -> Condition {
    // DynamoDB wants every value used; a phase that is listed twice does no harm.
    let phase = |at: usize| text(phases.get(at).or(phases.first()).map_or("", |phase| phase.name()));
    Condition {
        expression: "revision = :seen AND (phase = :a OR phase = :b OR phase = :c)",
        values: vec![(":seen", number(revision)), (":a", phase(0)), (":b", phase(1)), (":c", phase(2))],
    }
}

impl Store {
    fn sealed_words(&self, key: &Key, words: &Words) -> Result<AttributeValue> {
        let plain = serde_json::to_vec(words).map_err(|_| StoreError::Corrupt("a breach to seal"))?;
        let sealed = self.deployment.seal(&key.place(), &zeroize::Zeroizing::new(plain), &*self.entropy)?;
        Ok(AttributeValue::B(Blob::new(sealed)))
    }

    fn incident_entry(&self, id: &str, drill: bool, did: &str) -> Result<Action> {
        let kind = if drill { "drill" } else { "breach" };
        let why = format!("{kind} {id} {did}");
        let entry = Entry::about(self.now(), &ShopId::deployment(), None, What::Incident, why);
        self.ledger_action(&entry)
    }

    /// Writes a breach down: from here on the clock is watched.
    pub async fn open_incident(&self, new: &NewIncident) -> Result<Incident> {
        let id = self.random_id()?;
        let key = keyspace::incident(&id);
        let now = self.now();
        let facts = Facts {
            severity: new.severity,
            drill: new.drill,
            opened_at: now,
            aware_at: new.aware_at,
            reach: new.reach.clone(),
        };
        let item = Item::new(key.clone())
            .set("facts", json(&facts)?)
            .set("phase", text(Phase::Assessing.name()))
            .set("reminded", number(0))
            .set("revision", number(1))
            .set("sealed", self.sealed_words(&key, &new.words)?)
            .expiring(now);
        let opened = self.incident_entry(&id, new.drill, "opened")?;
        let put = Action::Put { item, condition: Some(Condition::ABSENT) };
        if self.transact(vec![put, opened]).await?.is_err() {
            return Err(StoreError::Contended("a breach"));
        }
        self.incident(&id).await?.ok_or(StoreError::Contended("a breach"))
    }

    fn read_incident(&self, stored: &Stored) -> Result<Incident> {
        let facts: Facts =
            serde_json::from_str(stored.text("facts")?).map_err(|_| StoreError::Corrupt("a breach"))?;
        let place = stored.key(Kind::Incident)?.place();
        let words = self.deployment.open(&place, stored.binary("sealed")?)?;
        Ok(Incident {
            id: stored.text("sk")?.to_owned(),
            phase: named(&Phase::ALL, Phase::name, stored.text("phase")?)?,
            severity: facts.severity,
            drill: facts.drill,
            opened_at: facts.opened_at,
            aware_at: facts.aware_at,
            reach: facts.reach,
            words: serde_json::from_slice(&words).map_err(|_| StoreError::Corrupt("a breach"))?,
            reminded: usize::try_from(stored.number("reminded")?).unwrap_or_default(),
            looked_until: stored.optional_number("looked_until").map(Timestamp),
            notified_at: stored.optional_number("notified_at").map(Timestamp),
            revision: stored.number("revision")?,
        })
    }

    /// A breach by its id.
    pub async fn incident(&self, id: &str) -> Result<Option<Incident>> {
        let stored = self.get(&keyspace::incident(id)).await?;
        stored.map(|stored| self.read_incident(&stored)).transpose()
    }

    /// All breaches and drills, the latest first.
    pub async fn incidents(&self) -> Result<Vec<Incident>> {
        let items = self.query_all(Query::of(Table::Ledger, keyspace::INCIDENTS)).await?;
        let mut all: Vec<Incident> =
            items.iter().map(|item| self.read_incident(item)).collect::<Result<_>>()?;
        all.sort_by_key(|incident| std::cmp::Reverse(incident.opened_at));
        Ok(all)
    }

    /// Changes a breach that is still as it was read, in one of three phases at most. `false` when it is not.
    async fn change_incident(
        &self,
        incident: &Incident,
        phases: &[Phase],
        set: &str,
        mut values: Vec<(&'static str, AttributeValue)>,
        did: Option<&str>,
    ) -> Result<bool> {
        values.push((":one", number(1)));
        let update = Action::Update {
            key: keyspace::incident(&incident.id),
            update: Change { expression: format!("SET {set}, revision = revision + :one"), values },
            condition: Some(at_revision(incident.revision, phases)),
        };
        let Some(did) = did else {
            return Ok(self.transact_unrecorded(Unrecorded::Bookkeeping, vec![update]).await?.is_ok());
        };
        let entry = self.incident_entry(&incident.id, incident.drill, did)?;
        Ok(self.transact(vec![update, entry]).await?.is_ok())
    }

    /// Replaces what is said of a breach, as long as nobody was told. `false` when it changed since it was read.
    pub async fn describe_incident(&self, incident: &Incident, words: &Words) -> Result<bool> {
        let sealed = self.sealed_words(&keyspace::incident(&incident.id), words)?;
        let phases = [Phase::Assessing, Phase::Assessed];
        self.change_incident(
            incident,
            &phases,
            "sealed = :sealed",
            vec![(":sealed", sealed)],
            Some("described"),
        )
        .await
    }

    /// Moves a breach on, but not to its end: that is [`close_incident`](Self::close_incident)'s. `false` when it is not where it
    /// has to be for that, or changed since it was read.
    pub async fn advance_incident(&self, incident: &Incident, to: Phase) -> Result<bool> {
        let from: &[Phase] = match to {
            Phase::Assessing | Phase::Closed => return Ok(false),
            Phase::Assessed => &[Phase::Assessing],
            Phase::Notifying => &[Phase::Assessed],
            Phase::Notified => &[Phase::Notifying],
        };
        let mut set = "phase = :to".to_owned();
        let mut values = vec![(":to", text(to.name()))];
        if to == Phase::Notified {
            set.push_str(", notified_at = :now");
            values.push((":now", number(self.now().millis())));
        }
        self.change_incident(incident, from, &set, values, Some(to.name())).await
    }

    /// Closes a breach whose merchants were told. Before any is told, it can be closed as well: when it reached nobody, or when it
    /// is filed under a `reference` why nobody has to be told. `false` as for [`advance_incident`](Self::advance_incident).
    pub async fn close_incident(&self, incident: &Incident, reference: Option<&str>) -> Result<bool> {
        let closed = Phase::Closed.name();
        let did =
            reference.map_or_else(|| closed.to_owned(), |filed| format!("{closed}, as filed under {filed}"));
        let nobody_waits =
            incident.drill || reference.is_some() || self.reached(&incident.id).await?.is_empty();
        let from: &[Phase] =
            if nobody_waits { &[Phase::Assessed, Phase::Notified] } else { &[Phase::Notified] };
        self.change_incident(incident, from, "phase = :to", vec![(":to", text(closed))], Some(&did)).await
    }

    /// Remembers that reminders were given, so that each is given once.
    pub async fn incident_reminded(&self, incident: &Incident, reminders: usize) -> Result<bool> {
        let reminders = number(i64::try_from(reminders).unwrap_or(i64::MAX));
        let phases = [Phase::Assessing, Phase::Assessed, Phase::Notifying];
        self.change_incident(
            incident,
            &phases,
            "reminded = :reminders",
            vec![(":reminders", reminders)],
            None,
        )
        .await
    }

    /// Finds the shops a breach reached: every one installed at that time, counted as it is now, and every one purged since, by
    /// its receipt. `time_left` is asked between shops and between days of the ledger; `false` says that it goes on from here.
    pub async fn assess_incident(
        &self,
        incident: &Incident,
        time_left: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let reach = &incident.reach;
        let known: BTreeSet<Tenant> =
            self.reached(&incident.id).await?.into_iter().map(|one| one.tenant).collect();
        let mut waiting = self.installations().await?;
        waiting.retain(|tenant| reach.touches(tenant.generation.since(), None) && !known.contains(tenant));
        let finished = stream::iter(waiting)
            .map(|tenant| async move {
                if !time_left() {
                    return Ok(false);
                }
                // Purged meanwhile: then its receipt is found below.
                let Some(installation) = self.tenant(&tenant).await? else { return Ok(true) };
                let extent = self.extent(&installation, reach).await?;
                self.put_reached(incident, &tenant, &extent).await?;
                Ok(true)
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(true, |all, done| async move { Ok::<_, StoreError>(all && done) })
            .await?;
        if !finished {
            return Ok(false);
        }
        let mut day = incident.looked_until.unwrap_or(reach.from);
        loop {
            if !time_left() {
                return Ok(false);
            }
            for entry in self.purged_on(day).await? {
                let Some(generation) = entry.generation else { continue };
                if reach.touches(generation.since(), Some(entry.at)) {
                    let tenant = Tenant { shop: entry.shop.clone(), generation };
                    self.put_reached(incident, &tenant, &purged_extent(&entry, reach)).await?;
                }
            }
            if day.day() >= self.now().day() {
                return Ok(true);
            }
            day = day + DAY;
            self.looked_until(incident, day).await?;
        }
    }

    /// Remembers that the days before `day` were looked through.
    async fn looked_until(&self, incident: &Incident, day: Timestamp) -> Result<()> {
        let update = Action::Update {
            key: keyspace::incident(&incident.id),
            update: Change {
                expression: "SET looked_until = :day".to_owned(),
                values: vec![(":day", number(day.millis()))],
            },
            condition: Some(Condition {
                expression: "phase = :assessing",
                values: vec![(":assessing", text(Phase::Assessing.name()))],
            }),
        };
        // Another run was faster, and has assessed it: nothing has to be remembered any more.
        let _assessed = self.transact_unrecorded(Unrecorded::Bookkeeping, vec![update]).await?;
        Ok(())
    }

    /// Also where nothing is left to count: what was there at the time of the breach can be gone since (promise SO67).
    async fn put_reached(&self, incident: &Incident, tenant: &Tenant, extent: &Extent) -> Result<()> {
        let item = Item::new(keyspace::reached(&incident.id, tenant))
            .set("standing", text(Standing::Waiting.name()))
            .set("extent", json(extent)?)
            .expiring(incident.opened_at);
        // Another run was here: what it counted stands.
        let put = vec![Action::Put { item, condition: Some(Condition::ABSENT) }];
        let _known = self.transact_unrecorded(Unrecorded::Step, put).await?;
        Ok(())
    }

    /// How many records of a shop, and about how many people, a breach reached.
    async fn extent(&self, installation: &Installation, reach: &Reach) -> Result<Extent> {
        let mut extent = Extent::default();
        for kind in &reach.kinds {
            let partitions =
                (0..BUCKETS).map(|bucket| keyspace::bucket_partition(&installation.tenant, *kind, bucket));
            let counts =
                partitions.map(|partition| async move { self.how_many(kind.row().table, &partition).await });
            let counted: u64 = futures::future::try_join_all(counts).await?.into_iter().sum();
            if counted > 0 {
                extent.records.insert(*kind, counted);
            }
        }
        let orders = extent.of(Kind::Order);
        // Without orders every record is taken to be another person's: too many are better told than too few.
        extent.people = extent.total();
        if orders > 0 {
            let sample = self.sample(installation, Timestamp::default(), SAMPLE, &|| true).await?;
            let (people, among) = (incident::people(&sample.orders), sample.orders.len() as u64);
            // Where none can be opened, every order is taken to be another person's; likewise every conversation.
            let buyers = if among == 0 { orders } else { (people * orders.max(among)).div_ceil(among) };
            let threads = extent.of(Kind::Thread);
            extent.people = buyers + if threads > 0 { threads } else { extent.of(Kind::Mail) };
        }
        Ok(extent)
    }

    /// The receipts of the purges of a day.
    async fn purged_on(&self, day: Timestamp) -> Result<Vec<Entry>> {
        let buckets = (0..BUCKETS).map(|bucket| self.entries_of(day, bucket));
        let mut purged = futures::future::try_join_all(buckets).await?.concat();
        purged.retain(|entry| entry.what == What::ShopPurged);
        Ok(purged)
    }

    /// The shops that a breach reached, as far as they were found.
    pub async fn reached(&self, id: &str) -> Result<Vec<Reached>> {
        let partition = keyspace::reached_partition(id);
        self.query_all(Query::of(Table::Ledger, &partition)).await?.iter().map(read_reached).collect()
    }

    /// What a breach meant for one shop, over all its installations.
    pub async fn reached_in(&self, id: &str, shop: &ShopId) -> Result<Vec<Reached>> {
        let partition = keyspace::reached_partition(id);
        let mut query = Query::of(Table::Ledger, &partition);
        query.range = Range::Prefix(format!("{shop}#"));
        self.query_all(query).await?.iter().map(read_reached).collect()
    }

    /// Announces a notice before it is sent: for the first time, once more, or from the beginning, when an earlier try is so many
    /// hours ago (`forgotten`) that Resend does not know it any more.
    pub async fn announce_breach(&self, id: &str, reached: &Reached, forgotten: Duration) -> Result<Mailing> {
        let now = self.now();
        let known = reached.mailing.as_ref();
        let seen = known.map_or(0, |known| known.tries);
        let current = known.filter(|known| now.since(known.since) < forgotten);
        let (since, tries) = current.map_or((now, 0), |known| (known.since, known.tries));
        let count = |tries: u64| number(i64::try_from(tries).unwrap_or(i64::MAX));
        let update = Action::Update {
            key: keyspace::reached(id, &reached.tenant),
            update: Change {
                expression: "SET mailing_since = :since, tries = :next".to_owned(),
                values: vec![(":since", number(since.millis())), (":next", count(tries + 1))],
            },
            condition: Some(Condition {
                expression: "standing = :standing AND (attribute_not_exists(tries) OR tries = :tries)",
                values: vec![(":standing", text(reached.standing.name())), (":tries", count(seen))],
            }),
        };
        if self.transact_unrecorded(Unrecorded::Bookkeeping, vec![update]).await?.is_err() {
            return Err(StoreError::Contended("a notice of a breach"));
        }
        Ok(Mailing { opening: 1, since, tries: tries + 1 })
    }

    /// Takes an announcement back after a mail that was certainly not sent.
    pub async fn breach_not_announced(&self, id: &str, tenant: &Tenant, mailing: &Mailing) -> Result<()> {
        let update = Action::Update {
            key: keyspace::reached(id, tenant),
            update: Change { expression: "REMOVE mailing_since, tries".to_owned(), values: Vec::new() },
            condition: Some(Condition {
                expression: "tries = :tries AND tries = :one",
                values: vec![
                    (":tries", number(i64::try_from(mailing.tries).unwrap_or(i64::MAX))),
                    (":one", number(1)),
                ],
            }),
        };
        // Announced more than once: an earlier try may have been sent, and its time counts.
        let _more = self.transact_unrecorded(Unrecorded::Bookkeeping, vec![update]).await?;
        Ok(())
    }

    /// Writes down what became of a shop's notice by mail, once, with an entry in the shop's ledger. Nothing is written when it
    /// stands so already: what cannot be reached is tried again every hour.
    pub async fn breach_told(
        &self,
        incident: &Incident,
        reached: &Reached,
        standing: Standing,
        mail: Option<&str>,
    ) -> Result<()> {
        if standing == reached.standing {
            return Ok(());
        }
        let why = format!("breach {}", incident.id);
        self.breach_stands(incident, reached, standing, ("mail", mail.unwrap_or_default()), why).await
    }

    /// Writes down that a shop's merchant was told in another way than by our mail, as it is filed under `reference`, once, with
    /// an entry in the shop's ledger.
    pub async fn breach_told_otherwise(
        &self,
        incident: &Incident,
        reached: &Reached,
        reference: &str,
    ) -> Result<()> {
        let why = format!("breach {}, told in another way, as filed under {reference}", incident.id);
        self.breach_stands(incident, reached, Standing::Told, ("filed_under", reference), why).await
    }

    async fn breach_stands(
        &self,
        incident: &Incident,
        reached: &Reached,
        standing: Standing,
        (proof, of): (&'static str, &str),
        why: String,
    ) -> Result<()> {
        let now = self.now();
        let update = Action::Update {
            key: keyspace::reached(&incident.id, &reached.tenant),
            update: Change {
                expression: format!("SET standing = :standing, told_at = :now, {proof} = :proof"),
                values: vec![
                    (":standing", text(standing.name())),
                    (":now", number(now.millis())),
                    (":proof", text(of)),
                ],
            },
            condition: Some(Condition {
                expression: "standing = :seen",
                values: vec![(":seen", text(reached.standing.name()))],
            }),
        };
        let what = if incident.drill { What::BreachRehearsed } else { What::BreachNotified };
        let mut entry = Entry::new(now, &reached.tenant, what, why);
        entry.counts =
            reached.extent.records.iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect();
        entry.verified = Some(standing.name().to_owned());
        // Somebody else was faster: it stands.
        let _told = self.transact(vec![update, self.ledger_action(&entry)?]).await?;
        Ok(())
    }
}

/// What the receipt of a purge says of a breach's reach.
fn purged_extent(receipt: &Entry, reach: &Reach) -> Extent {
    let counted =
        |kind: &Kind| Some((*kind, *receipt.counts.get(kind.name())?)).filter(|(_, count)| *count > 0);
    let mut extent = Extent { records: reach.kinds.iter().filter_map(counted).collect(), people: 0 };
    // Whose they were is gone with the keys: every order is somebody's, or else every record, so this is the most it can be.
    extent.people = Some(extent.of(Kind::Order)).filter(|orders| *orders > 0).unwrap_or(extent.total());
    extent
}

fn read_reached(stored: &Stored) -> Result<Reached> {
    let since = stored.optional_number("mailing_since").map(Timestamp);
    let tries = stored.optional_number("tries").and_then(|tries| u64::try_from(tries).ok());
    Ok(Reached {
        tenant: reconcile::tenant(stored.text("sk")?)?,
        standing: named(&Standing::ALL, Standing::name, stored.text("standing")?)?,
        extent: serde_json::from_str(stored.text("extent")?)
            .map_err(|_| StoreError::Corrupt("what a breach reached"))?,
        at: stored.optional_number("told_at").map(Timestamp),
        mail: stored.optional_text("mail").filter(|id| !id.is_empty()).map(str::to_owned),
        reference: stored.optional_text("filed_under").map(str::to_owned),
        mailing: since.zip(tries).map(|(since, tries)| Mailing { opening: 1, since, tries }),
    })
}
