//! What a merchant decides about the mail desk: which activities run, how sure the built-in engine must be, how replies
//! sound and what may stand in them. Rules and macros are apart; where settings are kept is the store's.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::hours::{BusinessHours, HoursProblem};
use crate::intent::{Confidence, Intent, Language};
use crate::normalize;
use crate::personal::Personal;

/// How many days back the first look into a mailbox may go.
pub const FIRST_SYNC_DAYS: RangeInclusive<u8> = 1..=30;

/// How long a reply may wait before a rule sends it, in minutes: there is always time to cancel, and never more than a week.
pub const DELAY_MINUTES: RangeInclusive<u32> = 1..=7 * 24 * 60;

/// The longest signature, in characters.
pub const LONGEST_SIGNATURE: usize = 1_000;

/// The longest text of one policy, in characters: what goes into every request to Claude.
pub const LONGEST_POLICY: usize = 6_000;

/// The most links, and the most addresses, that may be named.
pub const MOST_ALLOWED: usize = 50;

/// The longest link, in characters.
pub const LONGEST_LINK: usize = 500;

/// How replies sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As one writes to somebody one likes.
    #[default]
    Friendly,
    /// Plain and short.
    Neutral,
    /// As a solicitor would.
    Formal,
}

impl Tone {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Friendly, Self::Neutral, Self::Formal];
}

/// The language of replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "policy", content = "language")]
pub enum ReplyLanguage {
    /// That of the mail; English where it is not known.
    #[default]
    Customers,
    /// Always this.
    Fixed(Language),
}

impl ReplyLanguage {
    /// The language to answer a mail in.
    #[must_use]
    pub fn answer(self, mail: Option<Language>) -> Language {
        match self {
            Self::Customers => mail.unwrap_or(Language::English),
            Self::Fixed(language) => language,
        }
    }
}

/// The shop's policies in the merchant's words. They go to Claude as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policies {
    /// Returns and refunds.
    pub returns: Personal<String>,
    /// Shipping: times, costs, countries.
    pub shipping: Personal<String>,
}

/// The settings of the mail desk. A field that is missing has its default, so that what was stored under an older version
/// stays readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "activities that a merchant switches one by one")]
pub struct DeskSettings {
    /// Whether mail is read at all. Off means off: no new mail is stored.
    pub read_mail: bool,
    /// Whether Claude is asked what a mail is about where the built-in engine is not sure.
    pub classify_with_claude: bool,
    /// Whether replies are drafted.
    pub draft_replies: bool,
    /// Whether Claude writes the drafts; otherwise macros and built-in texts.
    pub draft_with_claude: bool,
    /// Whether rules may send. Off turns every automatic reply into a draft.
    pub send_by_rule: bool,
    /// How sure the built-in engine must be to be believed; below it Claude is asked.
    pub threshold: Confidence,
    /// How replies sound.
    pub tone: Tone,
    /// What stands under replies.
    pub signature: Personal<String>,
    /// The language of replies.
    pub reply_language: ReplyLanguage,
    /// The shop's policies.
    pub policies: Policies,
    /// What may be linked to besides the shop: domains (`help.example.com`) or beginnings of addresses
    /// (`https://example.com/help`).
    pub links: Vec<String>,
    /// E-mail addresses that may stand in replies.
    pub addresses: Vec<Personal<String>>,
    /// When somebody is there.
    pub business_hours: BusinessHours,
    /// How many days back the first look into a mailbox goes: 1 to 30.
    pub first_sync_days: u8,
    /// What is never answered without a person.
    pub never_automatic: BTreeSet<Intent>,
    /// The least minutes a reply waits before a rule sends it: 1 to 10,080. A rule that says less waits this long.
    pub least_delay_minutes: u32,
}

impl Default for DeskSettings {
    fn default() -> Self {
        Self {
            read_mail: true,
            classify_with_claude: true,
            draft_replies: true,
            draft_with_claude: true,
            send_by_rule: false,
            threshold: Confidence::of_basis_points(8_000),
            tone: Tone::default(),
            signature: Personal::default(),
            reply_language: ReplyLanguage::default(),
            policies: Policies::default(),
            links: Vec::new(),
            addresses: Vec::new(),
            business_hours: BusinessHours::default(),
            first_sync_days: 7,
            never_automatic: BTreeSet::from([Intent::Refund]),
            least_delay_minutes: 5,
        }
    }
}

/// A setting is out of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeskSettingProblem {
    /// The signature is too long.
    Signature,
    /// A policy is too long.
    Policy,
    /// A text holds characters that are not seen.
    Invisible,
    /// There are too many links.
    Links,
    /// What is at this place is no link.
    Link(usize),
    /// There are too many addresses.
    Addresses,
    /// What is at this place is no e-mail address.
    Address(usize),
    /// Business hours that cannot be.
    Hours(HoursProblem),
    /// The days of the first look.
    FirstSyncDays,
    /// The least delay.
    LeastDelay,
}

impl fmt::Display for DeskSettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => write!(f, "signature: write at most {LONGEST_SIGNATURE} characters"),
            Self::Policy => write!(f, "policies: write at most {LONGEST_POLICY} characters in each"),
            Self::Invisible => f.write_str("signature, policies: leave out characters that are not seen"),
            Self::Links => write!(f, "links: name at most {MOST_ALLOWED}"),
            Self::Link(place) => write!(
                f,
                "links[{place}]: give a domain such as help.example.com, or an address that begins with https://"
            ),
            Self::Addresses => write!(f, "addresses: name at most {MOST_ALLOWED}"),
            Self::Address(place) => write!(f, "addresses[{place}]: give an e-mail address"),
            Self::Hours(problem) => write!(f, "business_hours.{problem}"),
            Self::FirstSyncDays => f.write_str("first_sync_days: choose 1 to 30"),
            Self::LeastDelay => f.write_str("least_delay_minutes: choose 1 to 10080 (7 days)"),
        }
    }
}

impl std::error::Error for DeskSettingProblem {}

impl DeskSettings {
    /// Whether everything is inside its bounds.
    pub fn check(&self) -> Result<(), DeskSettingProblem> {
        let longer = |text: &Personal<String>, most: usize| text.expose().chars().count() > most;
        if longer(&self.signature, LONGEST_SIGNATURE) {
            return Err(DeskSettingProblem::Signature);
        }
        let policies = [&self.policies.returns, &self.policies.shipping];
        if policies.iter().any(|text| longer(text, LONGEST_POLICY)) {
            return Err(DeskSettingProblem::Policy);
        }
        if policies.iter().chain([&&self.signature]).any(|text| super::mask::hides(text.expose())) {
            return Err(DeskSettingProblem::Invisible);
        }
        if self.links.len() > MOST_ALLOWED {
            return Err(DeskSettingProblem::Links);
        }
        if let Some(place) = self.links.iter().position(|link| !is_link(link)) {
            return Err(DeskSettingProblem::Link(place));
        }
        if self.addresses.len() > MOST_ALLOWED {
            return Err(DeskSettingProblem::Addresses);
        }
        if let Some(place) =
            self.addresses.iter().position(|address| normalize::email(address.expose()).is_none())
        {
            return Err(DeskSettingProblem::Address(place));
        }
        self.business_hours.check().map_err(DeskSettingProblem::Hours)?;
        if !FIRST_SYNC_DAYS.contains(&self.first_sync_days) {
            return Err(DeskSettingProblem::FirstSyncDays);
        }
        if !DELAY_MINUTES.contains(&self.least_delay_minutes) {
            return Err(DeskSettingProblem::LeastDelay);
        }
        Ok(())
    }
}

/// Whether it is a domain, or an address of one over HTTPS, without a user, a port or anything that is not seen.
fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").unwrap_or(text);
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let ends_in_a_name = host.rsplit('.').next().is_some_and(|last| last.chars().any(char::is_alphabetic));
    let whole = rest.len() < text.len() || path.is_empty();
    let plain =
        text.len() <= LONGEST_LINK && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\');
    host.contains('.')
        && host.split('.').all(label)
        && ends_in_a_name
        && whole
        && plain
        && !super::mask::hides(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(change: impl FnOnce(&mut DeskSettings)) -> Result<(), DeskSettingProblem> {
        let mut settings = DeskSettings::default();
        change(&mut settings);
        settings.check()
    }

    #[test]
    fn the_defaults_are_inside_the_bounds_and_send_nothing_by_themselves() {
        let settings = DeskSettings::default();
        assert_eq!(settings.check(), Ok(()));
        assert!(!settings.send_by_rule);
        assert_eq!(settings.never_automatic, BTreeSet::from([Intent::Refund]));
        assert_eq!((settings.first_sync_days, settings.threshold), (7, Confidence::of_basis_points(8_000)));
    }

    #[test]
    fn what_an_older_version_stored_is_read_with_defaults_and_reads_back() {
        let read: DeskSettings = serde_json::from_str(r#"{"send_by_rule":true}"#).unwrap();
        assert_eq!(read, DeskSettings { send_by_rule: true, ..DeskSettings::default() });
        let mut full = DeskSettings { reply_language: ReplyLanguage::Fixed(Language::German), ..read };
        full.addresses.push(Personal::new("help@example.com".to_owned()));
        full.links.push("https://example.com/help".to_owned());
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(serde_json::from_str::<DeskSettings>(&text).unwrap(), full);
        assert!(!format!("{full:?}").contains("help@example.com"), "addresses stay out of every log");
    }

    #[test]
    fn each_bound_is_refused_by_its_name() {
        use DeskSettingProblem as Problem;
        let long = |count| Personal::new("ü".repeat(count));
        assert_eq!(with(|s| s.signature = long(LONGEST_SIGNATURE)), Ok(()));
        assert_eq!(with(|s| s.signature = long(LONGEST_SIGNATURE + 1)), Err(Problem::Signature));
        assert_eq!(with(|s| s.policies.returns = long(LONGEST_POLICY)), Ok(()));
        assert_eq!(with(|s| s.policies.shipping = long(LONGEST_POLICY + 1)), Err(Problem::Policy));
        let hidden = Personal::new("pay\u{200b}pal".to_owned());
        assert_eq!(with(|s| s.policies.shipping = hidden), Err(Problem::Invisible));
        assert_eq!(with(|s| s.links = vec!["example.com".to_owned(); 51]), Err(Problem::Links));
        let address = Personal::new("help@example.com".to_owned());
        assert_eq!(with(|s| s.addresses = vec![address.clone(); 51]), Err(Problem::Addresses));
        assert_eq!(with(|s| s.addresses = vec![address, Personal::default()]), Err(Problem::Address(1)));
        for (days, expected) in [(0, false), (1, true), (30, true), (31, false)] {
            assert_eq!(with(|s| s.first_sync_days = days).is_ok(), expected, "{days}");
        }
        for (minutes, expected) in [(0, false), (1, true), (10_080, true), (10_081, false)] {
            assert_eq!(with(|s| s.least_delay_minutes = minutes).is_ok(), expected, "{minutes}");
        }
        let nowhere = |s: &mut DeskSettings| s.business_hours.time_zone = "Nowhere".to_owned();
        assert_eq!(with(nowhere), Err(Problem::Hours(HoursProblem::TimeZone)));
    }

    #[test]
    fn a_link_is_a_domain_or_a_secure_address() {
        for link in ["example.com", "help.example.com", "https://example.com", "https://example.com/a?b=c#d"]
        {
            assert!(is_link(link), "{link}");
        }
        for link in [
            "",
            "example",
            "http://example.com",
            "example.com/help",
            "https://user@example.com/",
            "https://example.com:8080/",
            "https://192.0.2.1/",
            "https://example.com\\@evil.example",
            "https://example.com/ x",
            "javascript://example.com",
            "exam\u{200b}ple.com",
            "*.example.com",
        ] {
            assert!(!is_link(link), "{link}");
        }
    }

    #[test]
    fn a_reply_is_in_the_customers_language_or_the_shops() {
        assert_eq!(ReplyLanguage::Customers.answer(Some(Language::French)), Language::French);
        assert_eq!(ReplyLanguage::Customers.answer(None), Language::English);
        assert_eq!(ReplyLanguage::Fixed(Language::Dutch).answer(Some(Language::French)), Language::Dutch);
    }

    proptest! {
        #[test]
        fn no_link_that_passes_leads_elsewhere_than_to_its_host(text in "https://[a-z.@:/\\\\?#]{1,30}") {
            if is_link(&text) {
                let host = text["https://".len()..].split('/').next().unwrap();
                prop_assert!(host.chars().all(|c| c.is_ascii_lowercase() || c == '.'), "{}", text);
            }
        }
    }
}
