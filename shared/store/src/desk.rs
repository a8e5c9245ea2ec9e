//! How a merchant's mail desk works, and what understanding its mail came to, month by month. What the settings mean is
//! `core`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::Kind;
use storeward_core::desk::macros::Macro;
use storeward_core::desk::rules::Rule;
use storeward_core::desk::settings::DeskSettings;
use storeward_core::instructions::DeskActivity;

use crate::error::{Result, StoreError};
use crate::item::{Stored, number, seal, text};
use crate::keyspace;
use crate::ledger::{Entry, What};
use crate::statistics::{month, months_back};
use crate::store::{Action, Change, Condition, Store, Unrecorded};
use crate::tenants::Installation;
use crate::threads::Engine;

/// A merchant's mail desk.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// What the merchant decided.
    pub settings: DeskSettings,
    /// The merchant's rules, in the order they are asked.
    pub rules: Vec<Rule>,
    /// What the merchant often answers.
    pub macros: Vec<Macro>,
    /// Counts its changes: 0 before the first.
    pub revision: i64,
}

/// What understanding and drafting came to in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskMonth {
    /// Which, `2026-11`, in UTC.
    pub month: String,
    /// Mails that the built-in engine understood alone.
    pub built_in: u64,
    /// Mails that Claude was asked about.
    pub claude: u64,
    /// Tokens that went to Claude and came back.
    pub tokens: u64,
    /// What they cost, in millionths of a US dollar.
    pub micro_dollars: u64,
    /// How much of that went for telling what mails are about; the rest for drafts.
    pub understanding_micro_dollars: u64,
}

/// The sealed half.
#[derive(Default, Serialize, Deserialize)]
struct SealedDesk {
    settings: DeskSettings,
    rules: Vec<Rule>,
    macros: Vec<Macro>,
}

/// How often switching is tried while others change the desk.
const SWITCHING: usize = 6;

/// What is counted for a month, by the attributes it stands under: `built_in_2026_11`.
const COUNTERS: [&str; 5] = ["built_in", "claude", "tokens", "micro_dollars", "understanding_micro_dollars"];

fn counter(name: &str, month: &str) -> String {
    format!("{name}_{}", month.replace('-', "_"))
}

impl Store {
    /// A merchant's mail desk; the defaults before the merchant changed it.
    pub async fn desk(&self, installation: &Installation) -> Result<Desk> {
        let Some(stored) = self.get(&keyspace::desk(&installation.tenant)).await? else {
            return Ok(Desk::default());
        };
        let sealed: SealedDesk = if stored.has_sealed() {
            stored.unseal(Kind::Desk, &installation.keys)?
        } else {
            SealedDesk::default()
        };
        let revision = stored.optional_number("revision").unwrap_or_default();
        Ok(Desk { settings: sealed.settings, rules: sealed.rules, macros: sealed.macros, revision })
    }

    /// Replaces it, if it is still at the revision it was read at. `false` when it is not, or the app is not installed.
    pub async fn change_desk(&self, installation: &Installation, desk: &Desk) -> Result<bool> {
        let (tenant, now) = (&installation.tenant, self.now());
        let before = self.desk(installation).await?;
        if before.revision != desk.revision {
            return Ok(false);
        }
        let key = keyspace::desk(tenant);
        let sealed = SealedDesk {
            settings: desk.settings.clone(),
            rules: desk.rules.clone(),
            macros: desk.macros.clone(),
        };
        // The counters that stand beside it are others' to change.
        let update = Change {
            expression: "SET kind = :kind, sealed = :sealed, revision = :next".to_owned(),
            values: vec![
                (":kind", text(Kind::Desk.name())),
                (":sealed", seal(&key, &installation.keys, &sealed, &*self.entropy)?),
                (":next", number(desk.revision + 1)),
            ],
        };
        let condition = if desk.revision == 0 {
            Condition { expression: "attribute_not_exists(revision)", values: Vec::new() }
        } else {
            Condition { expression: "revision = :seen", values: vec![(":seen", number(desk.revision))] }
        };
        let mut actions = vec![
            Action::Update { key, update, condition: Some(condition) },
            Action::Check { key: keyspace::shop(tenant), condition: Condition::phase("installed") },
            self.ledger_action(&Entry::new(now, tenant, What::DeskChanged, "merchant"))?,
        ];
        for activity in DeskActivity::ALL {
            let on = activity.switch(&desk.settings);
            if on != activity.switch(&before.settings) {
                let why = format!("{} {}", activity.name(), if on { "on" } else { "off" });
                let entry = Entry::new(now, tenant, What::InstructionChanged, why);
                actions.push(self.ledger_action(&entry)?);
            }
        }
        Ok(self.transact(actions).await?.is_ok())
    }

    /// Switches activities on or off, whatever else of the desk is changed at the same time. `None` when the app is not
    /// installed.
    pub async fn change_desk_instructions(
        &self,
        installation: &Installation,
        switches: &BTreeMap<DeskActivity, bool>,
    ) -> Result<Option<DeskSettings>> {
        for _ in 0..SWITCHING {
            let mut desk = self.desk(installation).await?;
            let before = desk.settings.clone();
            for (activity, on) in switches {
                activity.set(&mut desk.settings, *on);
            }
            if desk.settings == before || self.change_desk(installation, &desk).await? {
                return Ok(Some(desk.settings));
            }
            if !self.tenant(&installation.tenant).await?.is_some_and(|latest| latest.is_installed()) {
                return Ok(None);
            }
        }
        Err(StoreError::Contended("the settings of the mail desk"))
    }

    /// Counts a mail that was understood, or a call for a draft where `engine` is none.
    pub async fn count_understood(
        &self,
        installation: &Installation,
        engine: Option<Engine>,
        tokens: u64,
        micro_dollars: u64,
    ) -> Result<()> {
        let tenant = &installation.tenant;
        let counted = [
            u64::from(engine == Some(Engine::BuiltIn)),
            u64::from(engine == Some(Engine::Claude)),
            tokens,
            micro_dollars,
            if engine.is_some() { micro_dollars } else { 0 },
        ];
        let month = month(self.now());
        let placeholders = [":a", ":b", ":c", ":d", ":e"];
        let adds: Vec<String> = COUNTERS
            .iter()
            .zip(placeholders)
            .map(|(name, placeholder)| format!("{} {placeholder}", counter(name, &month)))
            .collect();
        let count = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
        let mut values: Vec<_> = placeholders.into_iter().zip(counted.map(count)).collect();
        values.push((":kind", text(Kind::Desk.name())));
        let update = Change { expression: format!("SET kind = :kind ADD {}", adds.join(", ")), values };
        let actions = vec![
            Action::Update { key: keyspace::desk(tenant), update, condition: None },
            Action::Check { key: keyspace::shop(tenant), condition: Condition::phase("installed") },
        ];
        // Of a shop that ended nothing is counted.
        let _ended = self.transact_unrecorded(Unrecorded::Step, actions).await?;
        Ok(())
    }

    /// What the last `months` months came to, the latest first; a month without mails has zeros.
    pub async fn desk_counts(&self, installation: &Installation, months: usize) -> Result<Vec<DeskMonth>> {
        let stored = self.get(&keyspace::desk(&installation.tenant)).await?;
        let of = |month: String| {
            let count = |name: &str| {
                let counted = |stored: &Stored| stored.optional_number(&counter(name, &month));
                stored
                    .as_ref()
                    .and_then(counted)
                    .and_then(|count| u64::try_from(count).ok())
                    .unwrap_or_default()
            };
            let [built_in, claude, tokens, micro_dollars, understanding_micro_dollars] = COUNTERS.map(count);
            DeskMonth { month, built_in, claude, tokens, micro_dollars, understanding_micro_dollars }
        };
        Ok(months_back(self.now()).take(months).map(of).collect())
    }
}
