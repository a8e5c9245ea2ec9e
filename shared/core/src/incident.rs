//! A personal-data breach: how severe it is, the 72-hour clock, what a merchant has to be told, and about how many people
//! and records it is. Who is affected is found by the store; telling them is a job's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Mail, clean, escape_html};
use crate::data_map::{Category, Erasure, Kind};
use crate::normalize;
use crate::order::Order;
use crate::personal::Personal;
use crate::time::{HOUR, Timestamp};

/// Within this time of learning of a breach each affected merchant is told (promise SO67; GDPR Art. 33).
pub const DEADLINE: Duration = Duration::from_hours(72);

/// How long ago a breach can have begun: for as long as breaches are kept (the data map), so that what is looked through has an
/// end. Nothing of a shop that was purged earlier is looked for.
pub const LONGEST_AGO: Duration = Duration::from_hours(3 * 365 * 24);

/// The longest text an operator can give for one element of a notice, in characters.
pub const LONGEST_TEXT: usize = 4000;

/// How bad it is (promise DG64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing personal got out, as far as is known.
    Low,
    /// Pseudonyms or figures got out.
    Medium,
    /// Personal data of a few got out, or was lost.
    High,
    /// Personal data of many got out, or still does.
    Critical,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// When somebody has to be reminded that merchants are not told yet: hours since it was known. The worse it is, the
    /// sooner; the last ones are the same for all, because the deadline is.
    #[must_use]
    pub const fn reminders(self) -> &'static [u32] {
        match self {
            Self::Critical => &[1, 4, 12, 24, 48, 60, 66, 70],
            Self::High => &[4, 24, 48, 60, 66, 70],
            Self::Medium => &[24, 48, 60, 66, 70],
            Self::Low => &[48, 60, 66, 70],
        }
    }
}

/// Where the clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// No reminder is due yet.
    Quiet,
    /// So many reminders are due.
    Reminded(usize),
    /// The 72 hours are over.
    Overdue,
}

/// Where the clock of a breach stands that was known since `aware_at`, as long as not every merchant was told.
#[must_use]
pub fn clock(severity: Severity, aware_at: Timestamp, now: Timestamp) -> Clock {
    if now >= aware_at + DEADLINE {
        return Clock::Overdue;
    }
    match severity.reminders().iter().filter(|hours| now >= aware_at + HOUR * **hours).count() {
        0 => Clock::Quiet,
        due => Clock::Reminded(due),
    }
}

/// What an operator says of a breach: the elements of a notice that nobody can compute. It is sealed, and goes to merchants.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// What happened.
    #[serde(default)]
    pub nature: Personal<String>,
    /// What is likely to come of it.
    #[serde(default)]
    pub consequences: Personal<String>,
    /// What was done and is going to be done.
    #[serde(default)]
    pub measures: Personal<String>,
    /// Whom a merchant can ask.
    #[serde(default)]
    pub contact: Personal<String>,
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Words")
    }
}

/// Why a breach cannot be told of, or not be opened, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An element of the notice is missing.
    Missing(&'static str),
    /// A text is too long.
    TooLong(&'static str),
    /// It ends before it begins, or has not happened yet.
    Times,
    /// It began so long ago that nobody can say any more whom it reached.
    TooLongAgo,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(element) => write!(f, "{element}: say it before merchants are told"),
            Self::TooLong(element) => write!(f, "{element}: at most {LONGEST_TEXT} characters"),
            Self::Times => f.write_str("from, until, aware_at: in this order, and not in the future"),
            Self::TooLongAgo => f.write_str(
                "from: at most three years ago: shops that were purged earlier are not looked for",
            ),
        }
    }
}

impl std::error::Error for Fault {}

impl Words {
    fn elements(&self) -> [(&'static str, &str); 4] {
        [
            ("nature", self.nature.expose()),
            ("consequences", self.consequences.expose()),
            ("measures", self.measures.expose()),
            ("contact", self.contact.expose()),
        ]
    }

    /// Whether the texts are short enough to be kept.
    ///
    /// # Errors
    /// `TooLong` for the first that is not.
    pub fn check(&self) -> Result<(), Fault> {
        let long = self.elements().into_iter().find(|(_, text)| text.chars().count() > LONGEST_TEXT);
        long.map_or(Ok(()), |(element, _)| Err(Fault::TooLong(element)))
    }

    /// Whether every element that was promised is there.
    ///
    /// # Errors
    /// `Missing` for the first that is not.
    pub fn complete(&self) -> Result<(), Fault> {
        let empty = self.elements().into_iter().find(|(_, text)| clean(text, LONGEST_TEXT).is_empty());
        empty.map_or(Ok(()), |(element, _)| Err(Fault::Missing(element)))
    }
}

/// What a breach reached: what was stored between two times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Which kinds of records.
    pub kinds: BTreeSet<Kind>,
}

impl Reach {
    /// Every kind that holds something about customers in records of its own.
    #[must_use]
    pub fn everything() -> BTreeSet<Kind> {
        Kind::ALL.into_iter().filter(|kind| countable(*kind)).collect()
    }

    /// Whether the times are in their order, and within what is looked through.
    ///
    /// # Errors
    /// `Times` when they are not in order, `TooLongAgo` before [`LONGEST_AGO`].
    pub fn check(&self, aware_at: Timestamp, now: Timestamp) -> Result<(), Fault> {
        let ordered =
            self.from <= self.until && self.from <= aware_at && aware_at <= now && self.until <= now;
        if !ordered {
            return Err(Fault::Times);
        }
        if now.since(self.from) > LONGEST_AGO { Err(Fault::TooLongAgo) } else { Ok(()) }
    }

    /// Whether an installation had anything stored at that time.
    #[must_use]
    pub fn touches(&self, installed_at: Timestamp, gone_at: Option<Timestamp>) -> bool {
        installed_at <= self.until && gone_at.is_none_or(|gone| self.from < gone)
    }

    /// The categories of data in these kinds.
    #[must_use]
    pub fn categories(&self) -> Vec<Category> {
        categories(self.kinds.iter())
    }

    /// The categories of data that were found in a shop.
    #[must_use]
    pub fn found(&self, extent: &Extent) -> Vec<Category> {
        categories(self.kinds.iter().filter(|kind| extent.of(**kind) > 0))
    }

    /// The categories that may have been in a shop besides: those of kinds of which nothing is left. What was there at the time of
    /// the breach can have expired or been erased since.
    #[must_use]
    pub fn possible(&self, extent: &Extent) -> Vec<Category> {
        let found = self.found(extent);
        self.categories().into_iter().filter(|category| !found.contains(category)).collect()
    }
}

/// The categories of data in some kinds, each once.
fn categories<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Vec<Category> {
    let mut categories = Vec::new();
    for category in kinds.flat_map(|kind| kind.row().categories) {
        if !categories.contains(category) {
            categories.push(*category);
        }
    }
    categories
}

/// Whether records of a kind are about customers, and can be counted shop by shop.
#[must_use]
pub fn countable(kind: Kind) -> bool {
    let row = kind.row();
    row.bucketed && row.erasure != Erasure::Keep && !row.categories.is_empty()
}

/// How much of one shop a breach reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Records, by kind.
    pub records: BTreeMap<Kind, u64>,
    /// About how many people they are about.
    pub people: u64,
}

impl Extent {
    /// Records of a kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.records.get(&kind).copied().unwrap_or_default()
    }

    /// All records.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.records.values().sum()
    }

    /// Whether nothing was left to count: then nobody knows the numbers any more.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.total() == 0
    }
}

/// Whose the order at `at` is: the place of one order of the same person, with shorter ways to it left behind.
fn find(person: &mut [usize], mut at: usize) -> usize {
    while person[at] != at {
        person[at] = person[person[at]];
        at = person[at];
    }
    at
}

/// How many people there are among orders: those that share an e-mail, a phone or a customer number are one.
#[must_use]
pub fn people(orders: &[Order]) -> u64 {
    let mut person: Vec<usize> = (0..orders.len()).collect();
    let mut first: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
    for (index, order) in orders.iter().enumerate() {
        for identifier in normalize::order_identifiers(order) {
            let key = (identifier.kind.name(), identifier.value.expose().clone());
            let other = *first.entry(key).or_insert(index);
            let (a, b) = (find(&mut person, index), find(&mut person, other));
            person[a] = b;
        }
    }
    (0..orders.len()).filter(|index| person[*index] == *index).count() as u64
}

/// A number as an approximation: its first two digits.
#[must_use]
pub fn about(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number / unit * unit + if number % unit * 2 >= unit { unit } else { 0 }
}

/// The categories of a notice: what was found in the shop, and what may have been there.
fn categories_in(reach: &Reach, extent: &Extent) -> String {
    let listed = |categories: Vec<Category>| {
        categories.into_iter().map(Category::words).collect::<Vec<_>>().join(", ")
    };
    let (found, possible) = (listed(reach.found(extent)), listed(reach.possible(extent)));
    match (found.is_empty(), possible.is_empty()) {
        (_, true) => found,
        (true, false) => format!("{possible}, as far as it was there: it has been deleted since"),
        (false, false) => {
            format!("{found}; perhaps also {possible}, which has been deleted since if it was there")
        }
    }
}

/// A number of a notice.
fn number_in(extent: &Extent, number: u64) -> String {
    if extent.is_nothing() {
        return "not known any more: what was there has been deleted since".to_owned();
    }
    format!("about {}, without what was deleted before it was counted", about(number))
}

/// The notice to one merchant: every element that is promised (SO67).
#[must_use]
pub fn notice(words: &Words, reach: &Reach, extent: &Extent, aware_at: Timestamp) -> Mail {
    let plain = |text: &Personal<String>| clean(text.expose(), LONGEST_TEXT);
    let day = |time: Timestamp| time.to_rfc3339().get(..16).unwrap_or_default().replace('T', " ");
    let elements = [
        ("What happened", plain(&words.nature)),
        (
            "When",
            format!(
                "{} to {} UTC; we learned of it {} UTC",
                day(reach.from),
                day(reach.until),
                day(aware_at)
            ),
        ),
        ("Categories of data", categories_in(reach, extent)),
        ("People concerned", number_in(extent, extent.people)),
        ("Records concerned", number_in(extent, extent.total())),
        ("Likely consequences", plain(&words.consequences)),
        ("What we did and will do", plain(&words.measures)),
        ("Whom to ask", plain(&words.contact)),
    ];
    let intro = "Personal data of your shop's customers was affected by a breach of security. You are their controller, and \
                 may have to tell your supervisory authority within 72 hours of this notice.";
    let mut text = format!("{intro}\n");
    let mut html = format!("<!doctype html><html lang=\"en\"><body><p>{}</p><dl>", escape_html(intro));
    for (name, value) in elements {
        _ = write!(text, "\n{name}:\n{value}\n");
        _ = write!(html, "<dt><strong>{name}</strong></dt><dd>{}</dd>", escape_html(&value));
    }
    html.push_str("</dl></body></html>");
    Mail { subject: "Breach of personal data in your shop: please read".to_owned(), text, html }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::MINUTE;

    fn words() -> Words {
        let text = |text: &str| Personal::new(text.to_owned());
        Words {
            nature: text("A key was <lost>."),
            consequences: text("Letters that look like ours."),
            measures: text("The key was changed."),
            contact: text("privacy@example.com"),
        }
    }

    fn reach() -> Reach {
        Reach {
            from: Timestamp::from_seconds(0) + HOUR,
            until: Timestamp::from_seconds(0) + HOUR * 5,
            kinds: Reach::everything(),
        }
    }

    #[test]
    fn a_reminder_is_due_at_its_hour_and_the_last_before_the_deadline() {
        let aware = Timestamp::from_seconds(1_000_000);
        for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
            let hours = severity.reminders();
            for (index, hours) in hours.iter().enumerate() {
                let due = aware + HOUR * *hours;
                let before = if index == 0 { Clock::Quiet } else { Clock::Reminded(index) };
                assert_eq!(clock(severity, aware, due - MINUTE), before);
                assert_eq!(clock(severity, aware, due), Clock::Reminded(index + 1));
            }
            assert_eq!(clock(severity, aware, aware + HOUR * 72 - MINUTE), Clock::Reminded(hours.len()));
            assert_eq!(clock(severity, aware, aware + HOUR * 72), Clock::Overdue);
        }
        assert!(Severity::Critical.reminders()[0] < Severity::High.reminders()[0]);
    }

    #[test]
    fn nothing_is_told_without_every_element() {
        type Element = fn(&mut Words) -> &mut Personal<String>;
        assert_eq!(words().complete(), Ok(()));
        let cases: [(&str, Element); 4] = [
            ("nature", |words| &mut words.nature),
            ("consequences", |words| &mut words.consequences),
            ("measures", |words| &mut words.measures),
            ("contact", |words| &mut words.contact),
        ];
        for (name, element) in cases {
            let mut lacking = words();
            *element(&mut lacking) = Personal::new(" \u{200b}\n".to_owned());
            assert_eq!(lacking.complete(), Err(Fault::Missing(name)));
            let mut long = words();
            *element(&mut long) = Personal::new("é".repeat(LONGEST_TEXT));
            assert_eq!(long.check(), Ok(()));
            *element(&mut long) = Personal::new("é".repeat(LONGEST_TEXT + 1));
            assert_eq!(long.check(), Err(Fault::TooLong(name)));
        }
    }

    #[test]
    fn the_notice_has_every_element_and_quotes_nothing_as_markup() {
        let extent = Extent { records: BTreeMap::from([(Kind::Order, 1240), (Kind::Case, 10)]), people: 994 };
        let mail = notice(&words(), &reach(), &extent, Timestamp::from_seconds(0) + HOUR * 6);
        for text in [
            "A key was <lost>.",
            "1970-01-01 01:00 to 1970-01-01 05:00 UTC; we learned of it 1970-01-01 06:00 UTC",
            "customer contact",
            "customer address",
            "about 990",
            "about 1300",
            "Letters that look like ours.",
            "The key was changed.",
            "privacy@example.com",
        ] {
            assert!(mail.text.contains(text), "{text}: {}", mail.text);
            assert!(mail.html.contains(&escape_html(text)), "{text}");
        }
        assert!(!mail.html.contains("<lost>"));
    }

    #[test]
    fn a_notice_says_what_was_found_what_may_have_been_there_and_what_nobody_knows_any_more() {
        let reach = Reach { kinds: BTreeSet::from([Kind::Order, Kind::Case, Kind::Thread]), ..reach() };
        let told = |records: BTreeMap<Kind, u64>, people| {
            notice(&words(), &reach, &Extent { records, people }, Timestamp::from_seconds(0) + HOUR * 6).text
        };
        let (metadata, contact) = (Category::OrderMetadata, Category::CustomerContact);
        let (address, letters) = (Category::CustomerAddress, Category::Correspondence);
        // A case alone is left: the orders and letters of then may have been more.
        let case = Extent { records: BTreeMap::from([(Kind::Case, 2), (Kind::Order, 0)]), people: 2 };
        assert_eq!(reach.found(&case), [metadata]);
        assert_eq!(reach.possible(&case), [contact, address, letters]);
        let text = told(case.records, 2);
        assert!(
            text.contains(
                "\norder metadata; perhaps also customer contact, customer address, correspondence, which has been"
            ),
            "{text}"
        );
        assert!(text.contains("about 2, without what was deleted before it was counted"), "{text}");
        // Everything is left.
        let all = BTreeMap::from([(Kind::Order, 4), (Kind::Case, 1), (Kind::Thread, 1)]);
        let text = told(all, 5);
        assert!(
            text.contains("\ncustomer contact, customer address, order metadata, correspondence\n"),
            "{text}"
        );
        // Nothing is left.
        let nothing = Extent::default();
        assert_eq!((reach.found(&nothing), reach.possible(&nothing)), (vec![], reach.categories()));
        let text = told(BTreeMap::new(), 0);
        assert!(text.contains("correspondence, as far as it was there"), "{text}");
        assert_eq!(text.matches("not known any more").count(), 2, "{text}");
        assert!(!text.contains("about 0"), "{text}");
    }

    #[test]
    fn a_breach_that_began_before_what_is_kept_of_breaches_is_refused() {
        let crate::data_map::Retention::Window(kept) = Kind::Incident.row().retention else {
            panic!("breaches have a window")
        };
        assert_eq!(LONGEST_AGO, kept);
        let now = Timestamp::from_seconds(2_000_000_000);
        let since = |from: Timestamp| Reach { from, ..Reach { until: now, ..reach() } }.check(now, now);
        assert_eq!(since(now - LONGEST_AGO), Ok(()));
        assert_eq!(since(now - LONGEST_AGO - MINUTE), Err(Fault::TooLongAgo));
    }

    #[test]
    fn the_times_are_in_their_order() {
        let (reach, at) = (reach(), |hours: u32| Timestamp::from_seconds(0) + HOUR * hours);
        assert_eq!(reach.check(at(1), at(5)), Ok(()));
        assert_eq!(reach.check(at(0), at(5)), Err(Fault::Times), "known before it began");
        assert_eq!(reach.check(at(6), at(5)), Err(Fault::Times), "known in the future");
        assert_eq!(reach.check(at(2), at(4)), Err(Fault::Times), "ends in the future");
        let backwards = Reach { until: at(0), ..reach.clone() };
        assert_eq!(backwards.check(at(2), at(5)), Err(Fault::Times));
        let empty = Reach { until: reach.from, ..reach };
        assert_eq!(empty.check(at(1), at(1)), Ok(()));
    }

    #[test]
    fn a_shop_is_touched_while_it_had_something_stored() {
        let (reach, at) = (reach(), |hours: u32| Timestamp::from_seconds(0) + HOUR * hours);
        assert!(reach.touches(at(0), None) && reach.touches(at(5), None));
        assert!(!reach.touches(at(6), None), "installed after it");
        assert!(!reach.touches(at(0), Some(at(1))), "gone before it");
        assert!(reach.touches(at(0), Some(at(2))));
    }

    #[test]
    fn what_is_about_customers_is_counted_and_nothing_else() {
        let counted = Reach::everything();
        for kind in [Kind::Order, Kind::Case, Kind::Exception, Kind::Request] {
            assert!(counted.contains(&kind), "{kind:?}");
        }
        for kind in [Kind::Shop, Kind::Delivery, Kind::Match, Kind::Subject, Kind::Ledger, Kind::Statistics] {
            assert!(!counted.contains(&kind), "{kind:?}");
        }
        let only = Reach { kinds: BTreeSet::from([Kind::Case]), ..reach() };
        assert_eq!(only.categories(), [Category::OrderMetadata]);
    }

    #[test]
    fn numbers_are_told_by_their_first_two_digits() {
        for (number, told) in [
            (0, 0),
            (9, 9),
            (10, 10),
            (99, 99),
            (100, 100),
            (994, 990),
            (995, 1000),
            (105, 110),
            (1004, 1000),
            (1005, 1000),
            (1250, 1300),
            (1249, 1200),
        ] {
            assert_eq!(about(number), told, "{number}");
        }
    }

    #[test]
    fn people_who_share_anything_are_one() {
        let order = |id: u64, email: Option<&str>, phone: Option<&str>| -> Order {
            serde_json::from_value(serde_json::json!({
                "id": id, "created_at": "2026-11-01T09:30:00Z", "email": email, "phone": phone,
                "total_price": "55.88", "currency": "USD", "test": false, "name": "#1",
            }))
            .unwrap()
        };
        let (a, b) = (Some("a@example.com"), Some("b@example.com"));
        let phone = Some("+12025550143");
        assert_eq!(people(&[]), 0);
        assert_eq!(people(&[order(1, a, None), order(2, b, None), order(3, a, None)]), 2);
        assert_eq!(people(&[order(1, a, None), order(2, b, phone), order(3, a, phone)]), 1);
        assert_eq!(
            people(&[order(1, None, None), order(2, None, None)]),
            2,
            "who is nobody known is someone"
        );
    }

    #[test]
    fn a_breach_of_which_nothing_was_found_reached_nothing() {
        let records = |count| BTreeMap::from([(Kind::Order, count), (Kind::Case, 0)]);
        assert!(Extent::default().is_nothing());
        assert!(Extent { records: records(0), people: 0 }.is_nothing());
        assert!(!Extent { records: records(1), people: 0 }.is_nothing());
    }

    #[test]
    fn severities_are_called_what_is_stored_of_them_and_faults_say_what_to_do() {
        for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
        }
        assert_eq!(
            [Fault::Missing("nature"), Fault::TooLong("contact"), Fault::Times, Fault::TooLongAgo]
                .map(|fault| fault.to_string()),
            [
                "nature: say it before merchants are told",
                "contact: at most 4000 characters",
                "from, until, aware_at: in this order, and not in the future",
                "from: at most three years ago: shops that were purged earlier are not looked for",
            ]
        );
        assert_eq!(format!("{:?}", words()), "Words", "what an operator says is not shown");
    }

    proptest! {
        #[test]
        fn an_approximation_is_within_five_percent(number in 10u64..10_000_000_000) {
            let off = about(number).abs_diff(number);
            prop_assert!(off * 20 <= number, "{number} as {}", about(number));
        }
    }
}
