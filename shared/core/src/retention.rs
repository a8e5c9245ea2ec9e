//! How long each kind of thing is kept for one installation. The data map's windows are upper bounds; a deployment's
//! preset and its merchant only ever shorten them. Where this is stored, and what deletes, is the store's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data_map::{Kind, PURGE_DEADLINE, Retention};
use crate::guard::GuardSettings;
use crate::time::{DAY, Timestamp};

/// The kinds whose window can be chosen: what the service is made of. The others' windows follow from what they are for
/// (a tombstone lives as long as a backup, a delivery as long as its replays) and are nobody's choice.
pub const CHOSEN: [Kind; 4] = [Kind::Order, Kind::Match, Kind::Case, Kind::Exception];

/// The longest that anything of a kind may live from its beginning: the data map's word. `None` for what has no window
/// of its own.
#[must_use]
pub const fn bound(kind: Kind) -> Option<Duration> {
    match kind.row().retention {
        Retention::Window(window) => Some(window),
        Retention::UntilPurge | Retention::WithRecord | Retention::Permanent => None,
    }
}

/// The same in whole days.
#[must_use]
pub fn bound_days(kind: Kind) -> Option<u32> {
    bound(kind).map(|window| u32::try_from(window.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX))
}

/// What a merchant's plan means for retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// The free plan: what is kept of single events is kept for a week (promise SO20).
    Free,
    /// Any other.
    Paid,
}

impl Plan {
    /// The plan of that name, as Shopify tells it; one that is not known is taken for the strictest.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name {
            Some(name) if !name.trim().eq_ignore_ascii_case("free") => Self::Paid,
            _ => Self::Free,
        }
    }
}

/// The windows that one of the published policies promises, or the shortest of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// For each kind the shortest that any of the three promises.
    #[default]
    Strictest,
    /// The duplicate guard (DG27, DG22): orders 60 days, matching rows 30, cases and exceptions a year.
    DuplicateGuard,
    /// The bot and audit service (SO20, SO21): single events 30 days, 7 on the free plan; what is kept for audit 90 days.
    BotGuard,
    /// The e-mail and returns service (DG27): orders 60 days, matching rows 30, cases and exceptions twelve months.
    MailDesk,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Strictest, Self::DuplicateGuard, Self::BotGuard, Self::MailDesk];

    /// The word for it in a deployment's settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strictest => "strictest",
            Self::DuplicateGuard => "duplicate-guard",
            Self::BotGuard => "bot-guard",
            Self::MailDesk => "mail-desk",
        }
    }

    /// How many days a kind is kept under it; `None` for what has no window of its own.
    #[must_use]
    pub fn days(self, plan: Plan, kind: Kind) -> Option<u32> {
        let longest = bound_days(kind)?;
        let promised = match (self, kind, plan) {
            (Self::Strictest, _, _) => {
                let of = |preset: Self| preset.days(plan, kind).unwrap_or(longest);
                of(Self::DuplicateGuard).min(of(Self::BotGuard)).min(of(Self::MailDesk))
            }
            (Self::BotGuard, Kind::Order | Kind::Match, Plan::Free) => 7,
            (Self::BotGuard, Kind::Order | Kind::Match, Plan::Paid) => 30,
            (Self::BotGuard, Kind::Case | Kind::Exception, _) => 90,
            _ => longest,
        };
        Some(promised.min(longest))
    }
}

/// Why windows cannot be as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetentionError {
    /// There is no such preset.
    UnknownPreset(String),
    /// There is no such kind, or its window is nobody's choice.
    UnknownKind(String),
    /// Not a number of days, at least one.
    NotDays(String),
    /// A kind is named twice.
    Twice(Kind),
    /// Out of bounds.
    OutOfBounds {
        /// Which kind.
        kind: Kind,
        /// How many days were asked for.
        asked: u32,
        /// How many days it may be at most.
        bound: u32,
    },
    /// Duplicates are looked for further back than what is looked in is kept.
    WindowBeyondRetention {
        /// The guard's window in minutes.
        window_minutes: u32,
        /// How many days matching rows are kept.
        days: u32,
    },
}

impl fmt::Display for RetentionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPreset(name) => {
                let known: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name()).collect();
                write!(f, "there is no retention preset {name:?}: choose one of {}", known.join(", "))
            }
            Self::UnknownKind(name) => {
                let known: Vec<&str> = CHOSEN.iter().map(|kind| kind.name()).collect();
                write!(f, "the retention of {name:?} cannot be chosen: choose that of {}", known.join(", "))
            }
            Self::NotDays(text) => {
                write!(f, "{text:?} is not a retention: write kind=days, as in order=45,case=200")
            }
            Self::Twice(kind) => write!(f, "{}: say its retention once", kind.name()),
            Self::OutOfBounds { kind, asked, bound } => {
                write!(f, "{}: {asked} days are asked for, choose 1 to {bound}", kind.name())
            }
            Self::WindowBeyondRetention { window_minutes, days } => write!(
                f,
                "duplicates are looked for within {window_minutes} minutes, and what they are found by is kept for \
                 {days} days (the shorter of match and order): shorten window_minutes or keep it longer"
            ),
        }
    }
}

impl std::error::Error for RetentionError {}

/// Chosen windows: days by kind, for some of [`CHOSEN`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choice(BTreeMap<Kind, u32>);

impl Choice {
    /// Takes what was chosen. The bounds are checked where the choice is made to count.
    ///
    /// # Errors
    /// A kind whose window is nobody's choice.
    pub fn of(days: impl IntoIterator<Item = (Kind, u32)>) -> Result<Self, RetentionError> {
        let mut chosen = BTreeMap::new();
        for (kind, days) in days {
            if !CHOSEN.contains(&kind) {
                return Err(RetentionError::UnknownKind(kind.name().to_owned()));
            }
            if chosen.insert(kind, days).is_some() {
                return Err(RetentionError::Twice(kind));
            }
        }
        Ok(Self(chosen))
    }

    /// Reads `order=45,case=200`; nothing is chosen by an empty text.
    ///
    /// # Errors
    /// The first part that cannot be read.
    pub fn read(text: &str) -> Result<Self, RetentionError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let chosen = parts.map(|part| {
            let (name, days) =
                part.split_once('=').ok_or_else(|| RetentionError::NotDays(part.to_owned()))?;
            let name = name.trim();
            let kind = CHOSEN.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| RetentionError::UnknownKind(name.to_owned()))?;
            let days = days.trim().parse().map_err(|_| RetentionError::NotDays(part.to_owned()))?;
            Ok((kind, days))
        });
        Self::of(chosen.collect::<Result<Vec<_>, RetentionError>>()?)
    }

    /// What is chosen for a kind.
    #[must_use]
    pub fn days(&self, kind: Kind) -> Option<u32> {
        self.0.get(&kind).copied()
    }

    /// That everything chosen is between one day and `most`.
    fn within(&self, most: impl Fn(Kind) -> Option<u32>) -> Result<(), RetentionError> {
        for (kind, asked) in &self.0 {
            let bound = most(*kind).unwrap_or_default();
            if !(1..=bound).contains(asked) {
                return Err(RetentionError::OutOfBounds { kind: *kind, asked: *asked, bound });
            }
        }
        Ok(())
    }
}

/// What a deployment decided: a preset, and what it keeps for a shorter time than that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    preset: Preset,
    shorter: Choice,
}

impl Deployment {
    /// Reads the two settings: the preset's name, and `kind=days` separated by commas.
    ///
    /// # Errors
    /// What names no preset or no kind, and what is longer than the longest promised.
    pub fn read(preset: &str, shorter: &str) -> Result<Self, RetentionError> {
        let preset = Preset::ALL
            .into_iter()
            .find(|known| known.name() == preset)
            .ok_or_else(|| RetentionError::UnknownPreset(preset.to_owned()))?;
        let shorter = Choice::read(shorter)?;
        // Against what the preset promises on its longest plan, which is never longer than the data map's bound.
        shorter.within(|kind| preset.days(Plan::Paid, kind))?;
        Ok(Self { preset, shorter })
    }

    /// How many days a kind is kept when a merchant chooses nothing: also the most a merchant can choose.
    #[must_use]
    pub fn days(&self, plan: Plan, kind: Kind) -> Option<u32> {
        let promised = self.preset.days(plan, kind)?;
        Some(self.shorter.days(kind).map_or(promised, |shorter| shorter.min(promised)))
    }

    /// The decision in one line: what tells whether it changed.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let shorter = self.shorter.0.iter().map(|(kind, days)| format!(",{}={days}", kind.name()));
        format!("{}{}", self.preset.name(), shorter.collect::<String>())
    }
}

/// What is known of an installation's retention: all that its row keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    plan: Plan,
    /// What the merchant chose. It stays when a plan shortens it further, for the day the plan does not.
    chosen: Choice,
    /// The days that counted when the terms were last looked at: what a change is a change from.
    in_force: Choice,
    /// What began by then, in seconds, had expired before a window became longer: it does not come back.
    floors: BTreeMap<Kind, i64>,
}

/// What a change of terms comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The terms from now on.
    pub terms: Terms,
    /// Whether a kind is kept for a shorter time than before: what is stored already is to be gone through.
    pub shortened: bool,
}

impl Terms {
    /// The terms of an installation that begins.
    #[must_use]
    pub fn begin(deployment: &Deployment, plan: Plan) -> Self {
        let none =
            Self { plan, chosen: Choice::default(), in_force: Choice::default(), floors: BTreeMap::new() };
        Self { in_force: none.effective(deployment), ..none }
    }

    /// Which plan they are for.
    #[must_use]
    pub const fn plan(&self) -> Plan {
        self.plan
    }

    /// What the merchant chose.
    #[must_use]
    pub const fn chosen(&self) -> &Choice {
        &self.chosen
    }

    /// The days of every kind that can be chosen: the shorter of the deployment's and the merchant's. What leads to an
    /// order is not kept longer than the order.
    fn effective(&self, deployment: &Deployment) -> Choice {
        let own = |kind| {
            let most = deployment.days(self.plan, kind).unwrap_or_default();
            self.chosen.days(kind).map_or(most, |chosen| chosen.min(most))
        };
        let days = |kind| match kind {
            Kind::Match => own(Kind::Match).min(own(Kind::Order)),
            kind => own(kind),
        };
        Choice(CHOSEN.into_iter().map(|kind| (kind, days(kind))).collect())
    }

    /// The merchant's choice replaced.
    ///
    /// # Errors
    /// What is longer than the deployment keeps it on this plan, and matching rows that would end before `guard` looks
    /// for them.
    pub fn choose(
        &self,
        deployment: &Deployment,
        chosen: Choice,
        guard: &GuardSettings,
        now: Timestamp,
    ) -> Result<Changed, RetentionError> {
        chosen.within(|kind| deployment.days(self.plan, kind))?;
        let changed = Self { chosen, ..self.clone() }.renewed(deployment, now);
        changed.terms.policy(deployment, None).reaches(guard)?;
        Ok(changed)
    }

    /// The same under another plan.
    #[must_use]
    pub fn moved(&self, deployment: &Deployment, plan: Plan, now: Timestamp) -> Changed {
        Self { plan, ..self.clone() }.renewed(deployment, now)
    }

    /// The same under a deployment that may have decided otherwise since.
    #[must_use]
    pub fn renewed(&self, deployment: &Deployment, now: Timestamp) -> Changed {
        let next = self.effective(deployment);
        let mut terms = self.clone();
        let mut shortened = false;
        for kind in CHOSEN {
            let (Some(before), Some(after)) = (self.in_force.days(kind), next.days(kind)) else { continue };
            shortened |= after < before;
            if after > before {
                let gone = now.seconds() - seconds(days(before));
                let floor = terms.floors.entry(kind).or_insert(gone);
                *floor = gone.max(*floor);
            }
        }
        terms.in_force = next;
        Changed { terms, shortened }
    }

    /// What counts under them. An uninstalled shop's orders and cases end with the promise of the purge, should the
    /// purge itself be late.
    #[must_use]
    pub fn policy(&self, deployment: &Deployment, uninstalled_at: Option<Timestamp>) -> RetentionPolicy {
        RetentionPolicy {
            days: self.effective(deployment),
            floors: self.floors.clone(),
            over_at: uninstalled_at.map(|at| (at + PURGE_DEADLINE).seconds()),
        }
    }
}

/// How long things of one installation live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    days: Choice,
    floors: BTreeMap<Kind, i64>,
    /// When everything that can be chosen is over, whatever its window, in seconds.
    over_at: Option<i64>,
}

impl RetentionPolicy {
    /// What counts where nothing is known of an installation: the deployment's windows on the strictest plan.
    #[must_use]
    pub fn strictest(deployment: &Deployment) -> Self {
        Terms::begin(deployment, Plan::Free).policy(deployment, None)
    }

    /// How many days a kind is kept; `None` for what has no window of its own.
    #[must_use]
    pub fn days(&self, kind: Kind) -> Option<u32> {
        self.days.days(kind).or_else(|| bound_days(kind))
    }

    /// The same as a duration.
    #[must_use]
    pub fn window(&self, kind: Kind) -> Option<Duration> {
        self.days.days(kind).map(days).or_else(|| bound(kind))
    }

    /// When something of `kind` ends that began at `began`, both in seconds since the epoch; `None` for what has no
    /// window of its own. What had expired before its window became longer ended long ago.
    #[must_use]
    pub fn end(&self, kind: Kind, began: i64) -> Option<i64> {
        let end = began.saturating_add(seconds(self.window(kind)?));
        if self.floors.get(&kind).is_some_and(|floor| began <= *floor) {
            return Some(0);
        }
        Some(match self.over_at {
            Some(over_at) if CHOSEN.contains(&kind) => end.min(over_at),
            _ => end,
        })
    }

    /// That what duplicates are found by is kept for as long as they are looked for.
    ///
    /// # Errors
    /// When the guard's window is longer.
    pub fn reaches(&self, guard: &GuardSettings) -> Result<(), RetentionError> {
        let days = self.days(Kind::Match).unwrap_or_default();
        if guard.window() > self::days(days) {
            return Err(RetentionError::WindowBeyondRetention { window_minutes: guard.window_minutes, days });
        }
        Ok(())
    }
}

/// What keeps an item: a record of a kind with its beginning in seconds. A person's index row can be kept by two, by an
/// order and by the case that the order is in, and lives as long as the longer of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lives(Vec<(Kind, i64)>);

impl Lives {
    /// Kept by one.
    #[must_use]
    pub fn of(kind: Kind, began: Timestamp) -> Self {
        Self(vec![(kind, began.seconds())])
    }

    /// Kept by one more.
    #[must_use]
    pub fn and(mut self, kind: Kind, began: Timestamp) -> Self {
        self.0.push((kind, began.seconds()));
        self
    }

    /// The beginning of what keeps it first, in seconds.
    #[must_use]
    pub fn began(&self) -> Option<i64> {
        self.0.first().map(|(_, began)| *began)
    }

    /// When it ends under a policy, in seconds; `None` when nothing ends it.
    #[must_use]
    pub fn end(&self, policy: &RetentionPolicy) -> Option<i64> {
        self.0.iter().filter_map(|(kind, began)| policy.end(*kind, *began)).max()
    }

    /// When it ends at the latest under any policy: by the data map's bounds.
    #[must_use]
    pub fn latest(&self) -> Option<i64> {
        let ends =
            self.0.iter().filter_map(|(kind, began)| Some(began.saturating_add(seconds(bound(*kind)?))));
        ends.max()
    }

    /// When an item ends whose stored end is `stored`: never later than that, whatever became of the policy.
    #[must_use]
    pub fn end_stored(&self, stored: Option<i64>, policy: &RetentionPolicy) -> Option<i64> {
        match (stored, self.end(policy)) {
            (Some(stored), Some(end)) => Some(stored.min(end)),
            (stored, end) => stored.or(end),
        }
    }

    /// Reads what [`fmt::Display`] wrote; what cannot be read keeps nothing.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let one = |life: &str| {
            let (name, began) = life.split_once('@')?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
            Some((kind, began.parse().ok()?))
        };
        Self(text.split_whitespace().filter_map(one).collect())
    }
}

impl fmt::Display for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (kind, began)) in self.0.iter().enumerate() {
            let between = if place == 0 { "" } else { " " };
            write!(f, "{between}{}@{began}", kind.name())?;
        }
        Ok(())
    }
}

fn days(days: u32) -> Duration {
    DAY * days
}

fn seconds(window: Duration) -> i64 {
    i64::try_from(window.as_secs()).unwrap_or(i64::MAX)
}
