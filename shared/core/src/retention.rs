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
pub const CHOSEN: [Kind; 6] =
    [Kind::Order, Kind::Match, Kind::Case, Kind::Exception, Kind::Thread, Kind::Mail];

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
    /// For each kind the shortest that any service promises which stores it.
    #[default]
    Strictest,
    /// The duplicate guard (DG27, DG22): orders 60 days, matching rows 30, cases and exceptions a year;
    /// mail as the mail desk promises.
    DuplicateGuard,
    /// The bot and audit service (SO20, SO21), for a deployment that wants its windows for everything: single events 30 days,
    /// 7 on the free plan; what is kept for audit 90 days.
    BotGuard,
    /// The e-mail and returns service (DG27): orders 60 days, matching rows 30, cases and exceptions twelve
    /// months; what mails say 90 days, what is known of them twelve months.
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
                // The bot service stores none of these kinds, so it promises nothing about them.
                of(Self::DuplicateGuard).min(of(Self::MailDesk))
            }
            (Self::BotGuard, Kind::Order | Kind::Match | Kind::Mail, Plan::Free) => 7,
            (Self::BotGuard, Kind::Order | Kind::Match | Kind::Mail, Plan::Paid) => 30,
            (Self::BotGuard, Kind::Case | Kind::Exception | Kind::Thread, _) => 90,
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
    /// order is not kept longer than the order, and what a mail says not longer than its conversation.
    fn effective(&self, deployment: &Deployment) -> Choice {
        let own = |kind| {
            let most = deployment.days(self.plan, kind).unwrap_or_default();
            self.chosen.days(kind).map_or(most, |chosen| chosen.min(most))
        };
        let days = |kind| match kind {
            Kind::Match => own(Kind::Match).min(own(Kind::Order)),
            Kind::Mail => own(Kind::Mail).min(own(Kind::Thread)),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: Timestamp = Timestamp(1_795_190_400_500);

    fn choice(days: &[(Kind, u32)]) -> Choice {
        Choice::of(days.iter().copied()).unwrap()
    }

    fn deployment(preset: Preset, shorter: &str) -> Deployment {
        Deployment::read(preset.name(), shorter).unwrap()
    }

    fn guard(window_minutes: u32) -> GuardSettings {
        GuardSettings { window_minutes, ..GuardSettings::default() }
    }

    const fn day(days: i64) -> i64 {
        days * 86_400
    }

    #[test]
    fn the_presets_are_what_the_policies_promise() {
        let of = |preset: Preset, plan| CHOSEN.map(|kind| preset.days(plan, kind).unwrap());
        assert_eq!(of(Preset::DuplicateGuard, Plan::Paid), [60, 30, 365, 365, 365, 90]);
        assert_eq!(of(Preset::DuplicateGuard, Plan::Free), [60, 30, 365, 365, 365, 90]);
        assert_eq!(of(Preset::BotGuard, Plan::Paid), [30, 30, 90, 90, 90, 30]);
        assert_eq!(of(Preset::BotGuard, Plan::Free), [7, 7, 90, 90, 90, 7]);
        assert_eq!(of(Preset::MailDesk, Plan::Paid), [60, 30, 365, 365, 365, 90]);
        assert_eq!(of(Preset::MailDesk, Plan::Free), [60, 30, 365, 365, 365, 90]);
        for plan in [Plan::Free, Plan::Paid] {
            for kind in Kind::ALL {
                let promised =
                    [Preset::DuplicateGuard, Preset::MailDesk].map(|preset| preset.days(plan, kind));
                let shortest = promised.into_iter().min().unwrap();
                assert_eq!(Preset::Strictest.days(plan, kind), shortest, "{kind:?}");
            }
        }
        assert_eq!(Preset::default(), Preset::Strictest);
        assert_eq!(Preset::BotGuard.days(Plan::Free, Kind::Tombstone), Some(90), "nobody's choice");
        assert_eq!(Preset::BotGuard.days(Plan::Free, Kind::Shop), None);
    }

    #[test]
    fn bounds_are_the_data_maps() {
        let known = [Kind::Order, Kind::Match, Kind::Case, Kind::Delivery, Kind::Subject, Kind::Ledger];
        let days = known.map(bound_days);
        assert_eq!(days, [Some(60), Some(30), Some(365), Some(7), None, None]);
        assert_eq!(bound(Kind::Order), Some(DAY * 60));
        assert_eq!(bound(Kind::Statistics), None);
    }

    #[test]
    fn a_plan_that_is_not_known_is_the_strictest() {
        for free in [None, Some("free"), Some(" Free "), Some("FREE")] {
            assert_eq!(Plan::named(free), Plan::Free, "{free:?}");
        }
        for paid in ["Basic", "Grow", "", "freemium"] {
            assert_eq!(Plan::named(Some(paid)), Plan::Paid, "{paid}");
        }
    }

    #[test]
    fn choices_are_read_and_what_is_none_is_said() {
        assert_eq!(Choice::read(""), Ok(Choice::default()));
        assert_eq!(
            Choice::read(" order = 45 ,case=200,"),
            Ok(choice(&[(Kind::Order, 45), (Kind::Case, 200)]))
        );
        let refused = |text: &str| Choice::read(text).unwrap_err().to_string();
        assert!(refused("order").contains("\"order\" is not a retention: write kind=days"));
        assert!(refused("order=soon").contains("\"order=soon\" is not a retention"));
        assert!(refused("order=-1").contains("\"order=-1\" is not a retention"));
        assert!(refused("orders=3").contains(
            "\"orders\" cannot be chosen: choose that of order, match, case, exception, thread, mail"
        ));
        assert!(refused("delivery=3").contains("\"delivery\" cannot be chosen"));
        assert_eq!(refused("order=3,order=4"), "order: say its retention once");
        assert_eq!(
            Choice::of([(Kind::Tombstone, 1)]),
            Err(RetentionError::UnknownKind("tombstone".to_owned())),
            "backups can be as old"
        );
    }

    #[test]
    fn a_deployment_is_never_longer_than_promised_and_can_be_shorter() {
        assert_eq!(Deployment::read("strictest", ""), Ok(Deployment::default()));
        for (preset, longest) in [("duplicate-guard", 60), ("bot-guard", 30), ("strictest", 60)] {
            let with = |days: u32| Deployment::read(preset, &format!("order={days}"));
            let error = |asked| RetentionError::OutOfBounds { kind: Kind::Order, asked, bound: longest };
            assert!(with(longest).is_ok() && with(1).is_ok());
            assert_eq!(with(longest + 1), Err(error(longest + 1)));
            assert_eq!(with(0), Err(error(0)));
        }
        let error = Deployment::read("duplicate-guard", "case=366").unwrap_err();
        assert_eq!(error.to_string(), "case: 366 days are asked for, choose 1 to 365");
        assert_eq!(
            Deployment::read("guard", "").unwrap_err().to_string(),
            "there is no retention preset \"guard\": choose one of strictest, duplicate-guard, bot-guard, mail-desk"
        );
        let shorter = deployment(Preset::BotGuard, "order=20,case=40");
        assert_eq!(shorter.days(Plan::Paid, Kind::Order), Some(20));
        assert_eq!(shorter.days(Plan::Free, Kind::Order), Some(7), "the plan is shorter still");
        assert_eq!(shorter.days(Plan::Paid, Kind::Exception), Some(90));
        assert_eq!(shorter.days(Plan::Paid, Kind::Subject), None);
        assert_eq!(shorter.fingerprint(), "bot-guard,order=20,case=40");
        assert_eq!(Deployment::default().fingerprint(), "strictest");
    }

    #[test]
    fn a_merchant_shortens_within_the_deployment_and_never_below_the_guards_window() {
        let deployment = deployment(Preset::DuplicateGuard, "case=100");
        let terms = Terms::begin(&deployment, Plan::Paid);
        assert_eq!((terms.plan(), terms.chosen()), (Plan::Paid, &Choice::default()));
        let choose =
            |days: &[(Kind, u32)], minutes| terms.choose(&deployment, choice(days), &guard(minutes), T);
        let error = choose(&[(Kind::Case, 101)], 60).unwrap_err();
        assert_eq!(error, RetentionError::OutOfBounds { kind: Kind::Case, asked: 101, bound: 100 });
        assert_eq!(
            choose(&[(Kind::Case, 0)], 60).unwrap_err(),
            RetentionError::OutOfBounds { kind: Kind::Case, asked: 0, bound: 100 }
        );
        let same = choose(&[(Kind::Case, 100)], 60).unwrap();
        assert!(!same.shortened, "as long as before");
        let less = choose(&[(Kind::Case, 99)], 60).unwrap();
        assert!(less.shortened);
        assert_eq!(less.terms.chosen().days(Kind::Case), Some(99));
        // Exactly as long as the guard looks is long enough; what leads to orders ends with them.
        assert!(choose(&[(Kind::Match, 2)], 2 * 1440).is_ok());
        assert!(choose(&[(Kind::Order, 2)], 2 * 1440).is_ok());
        let error = choose(&[(Kind::Order, 2)], 2 * 1440 + 1).unwrap_err();
        assert_eq!(error, RetentionError::WindowBeyondRetention { window_minutes: 2881, days: 2 });
        assert!(error.to_string().contains("within 2881 minutes") && error.to_string().contains("2 days"));
    }

    #[test]
    fn matching_rows_are_not_kept_longer_than_orders() {
        let deployment = deployment(Preset::DuplicateGuard, "");
        let terms = Terms::begin(&deployment, Plan::Paid);
        let days = |chosen: &[(Kind, u32)]| {
            let changed = terms.choose(&deployment, choice(chosen), &guard(60), T).unwrap();
            let policy = changed.terms.policy(&deployment, None);
            [policy.days(Kind::Order).unwrap(), policy.days(Kind::Match).unwrap()]
        };
        assert_eq!(days(&[]), [60, 30]);
        assert_eq!(days(&[(Kind::Order, 20)]), [20, 20]);
        assert_eq!(days(&[(Kind::Order, 20), (Kind::Match, 10)]), [20, 10]);
        assert_eq!(days(&[(Kind::Match, 10)]), [60, 10]);
    }

    #[test]
    fn ends_are_exact_and_only_what_can_be_chosen_ends_with_an_uninstalled_shop() {
        let deployment = deployment(Preset::DuplicateGuard, "");
        let terms = Terms::begin(&deployment, Plan::Paid);
        let policy = terms.policy(&deployment, None);
        assert_eq!(policy.window(Kind::Order), Some(DAY * 60));
        assert_eq!(policy.window(Kind::Delivery), Some(DAY * 7));
        assert_eq!((policy.window(Kind::Shop), policy.days(Kind::Shop)), (None, None));
        assert_eq!(policy.days(Kind::Delivery), Some(7));
        assert_eq!(policy.end(Kind::Order, 1000), Some(1000 + day(60)));
        assert_eq!(policy.end(Kind::Tombstone, 1000), Some(1000 + day(90)));
        assert_eq!(policy.end(Kind::Ledger, 1000), None);
        assert_eq!(policy.end(Kind::Order, i64::MAX), Some(i64::MAX));
        let over = terms.policy(&deployment, Some(T));
        let deadline = T.seconds() + 48 * 3600;
        assert_eq!(over.end(Kind::Order, T.seconds()), Some(deadline));
        assert_eq!(over.end(Kind::Order, T.seconds() - day(59)), Some(T.seconds() + day(1)));
        assert_eq!(over.end(Kind::Request, T.seconds()), Some(T.seconds() + day(90)), "until the purge");
    }

    #[test]
    fn a_window_that_becomes_longer_again_brings_nothing_back() {
        let deployment = deployment(Preset::DuplicateGuard, "");
        let long = Terms::begin(&deployment, Plan::Paid);
        let short = long.choose(&deployment, choice(&[(Kind::Order, 10)]), &guard(60), T).unwrap();
        assert!(short.shortened);
        let later = T + DAY * 3;
        let again = short.terms.choose(&deployment, Choice::default(), &guard(60), later).unwrap();
        assert!(!again.shortened);
        let policy = again.terms.policy(&deployment, None);
        let at = later.seconds();
        // What had just expired when it became longer stays gone; what had a second left lives on.
        assert_eq!(policy.end(Kind::Order, at - day(10)), Some(0));
        assert_eq!(policy.end(Kind::Order, at - day(10) + 1), Some(at - day(10) + 1 + day(60)));
        assert_eq!(policy.end(Kind::Case, at - day(300)), Some(at + day(65)), "cases were never shortened");
        // A second time the later floor counts, whichever is written first.
        let short = again.terms.choose(&deployment, choice(&[(Kind::Order, 40)]), &guard(60), later).unwrap();
        let again = short.terms.choose(&deployment, Choice::default(), &guard(60), later + DAY).unwrap();
        let policy = again.terms.policy(&deployment, None);
        assert_eq!(policy.end(Kind::Order, at - day(10)), Some(0), "the earlier change's");
        assert_eq!(policy.end(Kind::Order, at - day(10) + 1), Some(at + 1 + day(50)));
    }

    #[test]
    fn terms_follow_plan_and_deployment_and_keep_the_merchants_choice() {
        let bots = deployment(Preset::BotGuard, "");
        let terms = Terms::begin(&bots, Plan::Paid);
        let terms = terms.choose(&bots, choice(&[(Kind::Order, 20)]), &guard(60), T).unwrap().terms;
        let free = terms.moved(&bots, Plan::Free, T);
        assert!(free.shortened);
        assert_eq!(free.terms.plan(), Plan::Free);
        assert_eq!(free.terms.policy(&bots, None).days(Kind::Order), Some(7));
        let paid = free.terms.moved(&bots, Plan::Paid, T);
        assert!(!paid.shortened);
        assert_eq!(paid.terms.policy(&bots, None).days(Kind::Order), Some(20));
        assert_eq!(terms.moved(&bots, Plan::Paid, T).terms, terms, "nothing changed");
        // Another deployment counts at once, and is noted when the terms are renewed.
        let shorter = deployment(Preset::BotGuard, "case=30");
        assert_eq!(terms.policy(&shorter, None).days(Kind::Case), Some(30));
        let renewed = terms.renewed(&shorter, T);
        assert!(renewed.shortened && renewed.terms != terms);
        assert!(!renewed.terms.renewed(&shorter, T).shortened);
        let strictest = RetentionPolicy::strictest(&bots);
        assert_eq!(CHOSEN.map(|kind| strictest.days(kind).unwrap()), [7, 7, 90, 90, 90, 7]);
    }

    #[test]
    fn terms_are_read_back_as_they_were_written() {
        let deployment = deployment(Preset::DuplicateGuard, "");
        let terms = Terms::begin(&deployment, Plan::Paid);
        let terms = terms.choose(&deployment, choice(&[(Kind::Order, 10)]), &guard(60), T).unwrap().terms;
        let terms = terms.choose(&deployment, Choice::default(), &guard(60), T).unwrap().terms;
        let json = serde_json::to_string(&terms).unwrap();
        assert!(json.contains("\"floors\":{\"order\":"), "{json}");
        assert_eq!(serde_json::from_str::<Terms>(&json).unwrap(), terms);
    }

    #[test]
    fn lives_are_read_back_and_the_longest_keeps_an_item() {
        let deployment = deployment(Preset::DuplicateGuard, "");
        let policy = Terms::begin(&deployment, Plan::Paid).policy(&deployment, None);
        let order = Lives::of(Kind::Order, Timestamp(5_999));
        assert_eq!(order.to_string(), "order@5");
        assert_eq!(order.began(), Some(5));
        assert_eq!(order.end(&policy), Some(5 + day(60)));
        let both = order.clone().and(Kind::Case, Timestamp(1000));
        assert_eq!(both.to_string(), "order@5 case@1");
        assert_eq!(Lives::read("order@5 case@1"), both);
        assert_eq!(both.end(&policy), Some(1 + day(365)));
        assert_eq!(both.latest(), Some(1 + day(365)));
        assert_eq!(Lives::read("order@x nothing@1 order"), Lives::default());
        assert_eq!((Lives::default().end(&policy), Lives::default().latest()), (None, None));
        assert_eq!(Lives::default().began(), None);
        assert_eq!(Lives::of(Kind::Shop, T).latest(), None);
        // Never later than what was written, and by what was written where nothing else is known.
        assert_eq!(order.end_stored(Some(7), &policy), Some(7));
        assert_eq!(order.end_stored(Some(i64::MAX), &policy), Some(5 + day(60)));
        assert_eq!(order.end_stored(None, &policy), Some(5 + day(60)));
        assert_eq!(Lives::default().end_stored(Some(7), &policy), Some(7));
        assert_eq!(Lives::default().end_stored(None, &policy), None);
    }

    fn presets() -> impl Strategy<Value = Preset> {
        prop::sample::select(Preset::ALL.to_vec())
    }

    fn plans() -> impl Strategy<Value = Plan> {
        prop::sample::select(vec![Plan::Free, Plan::Paid])
    }

    /// A merchant's choice within what any deployment allows.
    fn choices() -> impl Strategy<Value = Choice> {
        [1..=7u32, 1..=7, 1..=90, 1..=90, 1..=90, 1..=7].prop_flat_map(|days| {
            prop::collection::vec(any::<bool>(), CHOSEN.len()).prop_map(move |wanted| {
                let named = CHOSEN.into_iter().zip(days).zip(wanted);
                Choice::of(named.filter(|(_, wanted)| *wanted).map(|(day, _)| day)).unwrap()
            })
        })
    }

    proptest! {
        #[test]
        fn nothing_is_ever_kept_longer_than_the_data_map_says(
            preset in presets(), plan in plans(), chosen in choices(), began in 0i64..4_000_000_000,
            uninstalled in proptest::option::of(0i64..4_000_000_000),
        ) {
            let deployment = deployment(preset, "order=7,case=90");
            let terms = Terms::begin(&deployment, plan);
            let terms = terms.choose(&deployment, chosen, &guard(5), T).unwrap().terms;
            let policy = terms.policy(&deployment, uninstalled.map(Timestamp::from_seconds));
            for kind in Kind::ALL {
                match (policy.end(kind, began), bound(kind)) {
                    (Some(end), Some(bound)) => prop_assert!(end <= began + seconds(bound), "{:?}", kind),
                    (end, bound) => prop_assert!(end.is_none() && bound.is_none(), "{:?}", kind),
                }
            }
            // What leads to an order never outlives it.
            prop_assert!(policy.end(Kind::Match, began) <= policy.end(Kind::Order, began));
            prop_assert!(policy.end(Kind::Mail, began) <= policy.end(Kind::Thread, began));
        }

        #[test]
        fn whatever_becomes_of_terms_nothing_that_was_gone_comes_back(
            preset in presets(),
            steps in prop::collection::vec((plans(), choices(), 0u32..40), 1..8),
            age in 0i64..80,
        ) {
            let deployment = deployment(preset, "");
            let mut terms = Terms::begin(&deployment, Plan::Paid);
            let mut now = T;
            let began = T.seconds() - day(age);
            let mut gone = [false; CHOSEN.len()];
            for (plan, chosen, days) in steps {
                now = now + DAY * days;
                let mut look = |terms: &Terms, now: Timestamp| {
                    let policy = terms.policy(&deployment, None);
                    for (kind, gone) in CHOSEN.into_iter().zip(&mut gone) {
                        let is_gone = policy.end(kind, began).is_some_and(|end| end <= now.seconds());
                        assert!(is_gone || !*gone, "{kind:?} came back");
                        *gone = is_gone;
                    }
                    // A matching row that can be read leads to an order that can.
                    assert!(gone[1] || !gone[0], "a matching row outlives its order");
                };
                look(&terms, now);
                terms = terms.moved(&deployment, plan, now).terms;
                look(&terms, now);
                terms = terms.choose(&deployment, chosen, &guard(5), now).unwrap().terms;
                look(&terms, now);
            }
        }

        #[test]
        fn shorter_is_never_longer(chosen in choices(), kind in prop::sample::select(CHOSEN.to_vec()),
            less in 1u32..90, began in 0i64..4_000_000_000) {
            let deployment = deployment(Preset::DuplicateGuard, "");
            let terms = Terms::begin(&deployment, Plan::Paid);
            let before = terms.choose(&deployment, chosen.clone(), &guard(5), T).unwrap().terms;
            let most = chosen.days(kind).or(bound_days(kind)).unwrap();
            let mut shorter = chosen.0.clone();
            shorter.insert(kind, less.min(most));
            let after = before.choose(&deployment, Choice(shorter), &guard(5), T).unwrap().terms;
            for kind in CHOSEN {
                let of = |terms: &Terms| terms.policy(&deployment, None).end(kind, began);
                prop_assert!(of(&after) <= of(&before), "{:?}", kind);
            }
        }

        #[test]
        fn an_items_end_is_the_earlier_of_what_was_written_and_what_counts(
            stored in proptest::option::of(0i64..4_000_000_000), began in 0i64..4_000_000_000, preset in presets(), plan in plans(),
        ) {
            let deployment = deployment(preset, "");
            let policy = Terms::begin(&deployment, plan).policy(&deployment, None);
            for kind in Kind::ALL {
                let lives = Lives::of(kind, Timestamp::from_seconds(began));
                prop_assert_eq!(Lives::read(&lives.to_string()), lives.clone());
                let end = lives.end_stored(stored, &policy);
                let ends = [stored, policy.end(kind, began)];
                prop_assert_eq!(end, ends.into_iter().flatten().min());
            }
        }
    }
}
