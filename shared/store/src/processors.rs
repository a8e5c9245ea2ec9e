//! How a merchant stands to the sub-processors: what it was told of changes, and what it objects to. It is kept in the
//! installation's own row, which every call's maker has read anyway. What may be sent is `core::egress`'s.

use std::collections::BTreeSet;

use storeward_core::data_map::Processor;
use storeward_core::egress::Stance;
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::error::{Result, StoreError};
use crate::item::{number, text};
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::notices::Mailing;
use crate::store::{Action, Change, Condition, Store};
use crate::tenants::Installation;

/// What the attributes begin with: told of an announcement, its mail under way, how often that was tried, objections.
const TOLD: &str = "told_";
const MAILING: &str = "telling_";
const TRIES: &str = "telling_tries_";
const OBJECTS: &str = "objects_";
/// How often any of it changed: each change is made to what was read.
const REVISION: &str = "stance_revision";

/// How often a change looks again.
const LOOKS: u32 = 6;

/// A change to how a merchant stands.
struct StanceChange {
    set: Vec<(String, i64)>,
    remove: Vec<String>,
    entry: Entry,
}

/// What says that a mail about an announcement is under way.
fn under_way(announced: Timestamp) -> Vec<String> {
    [MAILING, TRIES].map(|prefix| of_announcement(prefix, announced)).to_vec()
}

/// The attribute of an announcement, which is named by its time.
fn of_announcement(prefix: &str, announced: Timestamp) -> String {
    format!("{prefix}{}", announced.millis())
}

fn of_processor(processor: Processor) -> String {
    format!("{OBJECTS}{}", processor.name().replace('-', "_"))
}

impl Installation {
    /// How the merchant stands to the sub-processors. It is here since the app was installed, however often access was
    /// granted anew since.
    #[must_use]
    pub fn stance(&self) -> Stance {
        let told = self.stored.0.keys().filter_map(|name| {
            let announced = name.strip_prefix(TOLD)?.parse().ok()?;
            Some((Timestamp(announced), Timestamp(self.stored.optional_number(name)?)))
        });
        let objections = Processor::ALL.into_iter().filter_map(|processor| {
            Some((processor, Timestamp(self.stored.optional_number(&of_processor(processor))?)))
        });
        Stance {
            since: Some(self.tenant.generation.since()),
            told: told.collect(),
            objections: objections.collect(),
        }
    }

    /// Whether the merchant objects to a sub-processor.
    #[must_use]
    pub fn objects_to(&self, processor: Processor) -> bool {
        self.stored.optional_number(&of_processor(processor)).is_some()
    }

    /// The mail about an announcement that is under way.
    #[must_use]
    pub fn telling(&self, announced: Timestamp) -> Option<Mailing> {
        let number = |prefix| self.stored.optional_number(&of_announcement(prefix, announced));
        let tries = u64::try_from(number(TRIES)?).ok()?;
        Some(Mailing { opening: 1, since: Timestamp(number(MAILING)?), tries })
    }
}

impl Store {
    /// Which of these announcements an installation was not told of; none for one that is not installed.
    pub async fn untold(
        &self,
        tenant: &Tenant,
        announcements: &BTreeSet<Timestamp>,
    ) -> Result<BTreeSet<Timestamp>> {
        let row = self.get(&keyspace::shop(tenant)).await?;
        let Some(row) = row.filter(|row| row.optional_text("phase") == Some("installed")) else {
            return Ok(BTreeSet::new());
        };
        let told = |announced: &Timestamp| row.0.contains_key(&of_announcement(TOLD, *announced));
        Ok(announcements.iter().filter(|announced| !told(announced)).copied().collect())
    }

    /// Announces the mail about an announcement: for the first time, or once more.
    ///
    /// # Errors
    /// `Contended` when something changed since `installation` was read: to be looked at again.
    pub async fn announce_telling(
        &self,
        installation: &Installation,
        announced: Timestamp,
    ) -> Result<Mailing> {
        let first = Mailing { opening: 1, since: self.now(), tries: 0 };
        let known = installation.telling(announced).unwrap_or(first);
        let next = Mailing { tries: known.tries + 1, ..known };
        let change = StanceChange {
            set: vec![
                (of_announcement(MAILING, announced), next.since.millis()),
                (of_announcement(TRIES, announced), i64::try_from(next.tries).unwrap_or(i64::MAX)),
            ],
            remove: Vec::new(),
            entry: Entry::new(self.now(), &installation.tenant, What::MailAnnounced, "sub-processors"),
        };
        let written = self.try_stance(installation, change).await?;
        if written { Ok(next) } else { Err(StoreError::Contended("a notice of sub-processors")) }
    }

    /// Remembers that the announced mail was certainly not sent.
    pub async fn telling_not_sent(
        &self,
        installation: &Installation,
        announced: Timestamp,
        sent: &Mailing,
    ) -> Result<()> {
        if sent.tries > 1 {
            return Ok(());
        }
        let take_back = |row: &Installation| {
            row.telling(announced).filter(|known| known == sent).map(|_| StanceChange {
                set: Vec::new(),
                remove: under_way(announced),
                entry: Entry::new(self.now(), &row.tenant, What::MailNotSent, "sub-processors"),
            })
        };
        self.change_stance(installation, take_back).await?;
        Ok(())
    }

    /// Remembers that the merchant was told of an announcement: the notice period begins. Once more changes nothing.
    /// `false` when the app is not installed any more.
    pub async fn told_of_change(
        &self,
        installation: &Installation,
        announced: Timestamp,
        how: &str,
    ) -> Result<bool> {
        let now = self.now();
        let why = format!("announced {announced}, told by {how}");
        self.change_stance(installation, |row| {
            (!row.stance().told.contains_key(&announced)).then(|| StanceChange {
                set: vec![(of_announcement(TOLD, announced), now.millis())],
                remove: under_way(announced),
                entry: Entry::new(now, &row.tenant, What::ProcessorAnnounced, why.clone()),
            })
        })
        .await
    }

    /// Remembers that the merchant objects to a sub-processor, or does not any more. Once more changes nothing. `false`
    /// when the app is not installed any more.
    pub async fn object(
        &self,
        installation: &Installation,
        processor: Processor,
        objects: bool,
    ) -> Result<bool> {
        let (now, attribute) = (self.now(), of_processor(processor));
        self.change_stance(installation, |row| {
            let entry = |what| Entry::new(now, &row.tenant, what, processor.name());
            match (row.stance().objections.contains_key(&processor), objects) {
                (false, true) => Some(StanceChange {
                    set: vec![(attribute.clone(), now.millis())],
                    remove: Vec::new(),
                    entry: entry(What::ProcessorObjected),
                }),
                (true, false) => Some(StanceChange {
                    set: Vec::new(),
                    remove: vec![attribute.clone()],
                    entry: entry(What::ProcessorObjectionWithdrawn),
                }),
                (true, true) | (false, false) => None,
            }
        })
        .await
    }

    /// Makes the change that an installation's row still needs, looking again when it changed meanwhile. `false` when the
    /// app is not installed any more.
    async fn change_stance(
        &self,
        installation: &Installation,
        needed: impl Fn(&Installation) -> Option<StanceChange> + Send + Sync,
    ) -> Result<bool> {
        let mut row = installation.clone();
        for _ in 0..LOOKS {
            let Some(change) = needed(&row) else { return Ok(true) };
            if self.try_stance(&row, change).await? {
                return Ok(true);
            }
            let latest = self.tenant(&installation.tenant).await?;
            let Some(latest) = latest.filter(Installation::is_installed) else { return Ok(false) };
            row = latest;
        }
        Err(StoreError::Contended("how the merchant stands to sub-processors"))
    }

    /// Makes one change, if the row is as it was read.
    async fn try_stance(&self, row: &Installation, change: StanceChange) -> Result<bool> {
        // As many names as there are attributes to set; the announcement sets two.
        const NAMES: [&str; 2] = [":first", ":second"];
        let seen = row.stored.optional_number(REVISION);
        let mut set = vec![format!("{REVISION} = :next")];
        let mut values = vec![(":next", number(seen.unwrap_or_default() + 1))];
        for ((attribute, value), name) in change.set.into_iter().zip(NAMES) {
            set.push(format!("{attribute} = {name}"));
            values.push((name, number(value)));
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !change.remove.is_empty() {
            expression = format!("{expression} REMOVE {}", change.remove.join(", "));
        }
        let mut condition = Condition {
            expression: "phase = :in_phase AND attribute_not_exists(stance_revision)",
            values: vec![(":in_phase", text("installed"))],
        };
        if let Some(seen) = seen {
            condition.expression = "phase = :in_phase AND stance_revision = :seen";
            condition.values.push((":seen", number(seen)));
        }
        let key = keyspace::shop(&row.tenant);
        let update = Change { expression, values };
        let actions = vec![
            Action::Update { key, update, condition: Some(condition) },
            self.ledger_action(&change.entry)?,
        ];
        Ok(self.transact(actions).await?.is_ok())
    }
}
