//! What people can ask for, as one thing with one life: kinds, states, the answer's deadline and its warnings, and the
//! proof of who asks. Where requests are kept and how they are carried out is the store's and the jobs'.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::Limit;
use crate::normalize::{self, Identifier};
use crate::order::{Address, Order};
use crate::personal::Personal;
use crate::time::{DAY, Timestamp};

/// How long an answer may take, from the day a request came (promises DS21, DG24; GDPR Art. 12(3) says a month).
pub const ANSWER_WITHIN: Duration = Duration::from_hours(30 * 24);

/// How long before the deadline a request that is not finished is warned of, the earliest first.
pub const WARNED_BEFORE: [Duration; 2] = [Duration::from_hours(7 * 24), Duration::from_hours(3 * 24)];

/// How long a person who wrote to an operator has to say the code that was sent (promise DG28).
pub const PROVE_WITHIN: Duration = DAY;

/// How often a code can be tried: one in 200,000 guesses right.
pub const PROOF_TRIES: u64 = 5;

/// How long a link to what was put together works: for a merchant to follow it, and hardly for anyone else.
pub const LINK_LIFETIME: Duration = Duration::from_mins(15);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RightsKind {
    /// To see what is stored (GDPR Art. 15).
    Access,
    /// To have it as a file that other programs read (Art. 20).
    Portability,
    /// To have it put right (Art. 16).
    Rectification,
    /// To have it erased (Art. 17).
    Erasure,
    /// To have it kept and not used (Art. 18).
    Restriction,
    /// To have it used again (Art. 18(3)).
    LiftRestriction,
    /// That nothing new is stored (Art. 21).
    Objection,
    /// To let it be stored again.
    LiftObjection,
}

impl RightsKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Access,
        Self::Portability,
        Self::Rectification,
        Self::Erasure,
        Self::Restriction,
        Self::LiftRestriction,
        Self::Objection,
        Self::LiftObjection,
    ];

    /// The word for it in records and answers. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Portability => "portability",
            Self::Rectification => "rectification",
            Self::Erasure => "erasure",
            Self::Restriction => "restriction",
            Self::LiftRestriction => "lift-restriction",
            Self::Objection => "objection",
            Self::LiftObjection => "lift-objection",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its answer is a document, which somebody has to fetch.
    #[must_use]
    pub const fn has_document(self) -> bool {
        matches!(self, Self::Access | Self::Portability)
    }

    /// The limit on the use of a person's data that it changes, and whether it puts it on or lifts it; `None` of what is
    /// about no limit.
    #[must_use]
    pub const fn limit(self) -> Option<(Limit, bool)> {
        match self {
            Self::Restriction => Some((Limit::Restricted, true)),
            Self::LiftRestriction => Some((Limit::Restricted, false)),
            Self::Objection => Some((Limit::Objected, true)),
            Self::LiftObjection => Some((Limit::Objected, false)),
            Self::Access | Self::Portability | Self::Rectification | Self::Erasure => None,
        }
    }
}

/// Who opened a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// Shopify, for a person who asked the merchant there.
    Webhook,
    /// The merchant, through the API.
    Merchant,
    /// An operator, for a person who wrote directly.
    Operator,
}

impl OpenedBy {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::Merchant, Self::Operator];

    /// The word for it in records and answers. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Merchant => "merchant",
            Self::Operator => "operator",
        }
    }

    /// The way of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Nobody proved in time to be the person.
    NotProven,
    /// The person was erased before the answer was given: there is nothing left to answer with.
    Erased,
    /// The answer was ready and nobody fetched it until it had to be deleted.
    NotFetched,
    /// The shop removed the app, and everything was deleted before there was an answer.
    ShopPurged,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::NotProven, Self::Erased, Self::NotFetched, Self::ShopPurged];

    /// The word for it in records and answers. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotProven => "not-proven",
            Self::Erased => "erased",
            Self::NotFetched => "not-fetched",
            Self::ShopPurged => "shop-purged",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason for a merchant, with what to do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotProven => "nobody proved in time to be the person: it can be asked for again",
            Self::Erased => "the person was erased before the answer was given: nothing is stored any more",
            Self::NotFetched => {
                "the answer was ready and nobody fetched it until it had to be deleted: open another request and fetch it"
            }
            Self::ShopPurged => {
                "the shop removed the app and everything was deleted before there was an answer: nothing is stored any more"
            }
        }
    }
}

/// Where a request stands, as a merchant follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RightsState {
    /// Whoever asked is to prove to be the person.
    Proving,
    /// It was taken in.
    Received,
    /// It is being carried out.
    InWork,
    /// The answer is there and was not fetched.
    Ready,
    /// It was carried out, and the answer given.
    Done,
    /// It was not carried out, and the reason is recorded.
    Refused,
}

impl RightsState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Proving, Self::Received, Self::InWork, Self::Ready, Self::Done, Self::Refused];

    /// The word for it in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proving => "proving",
            Self::Received => "received",
            Self::InWork => "in-work",
            Self::Ready => "ready",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// Whether nothing is owed any more.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Refused)
    }

    /// Why a request that stands here ends when everything of its shop is deleted.
    #[must_use]
    pub const fn lost_with_shop(self) -> Refusal {
        match self {
            Self::Proving => Refusal::NotProven,
            Self::Ready => Refusal::NotFetched,
            Self::Received | Self::InWork | Self::Done | Self::Refused => Refusal::ShopPurged,
        }
    }

    /// Whether a request of `kind` can go from here to `next` in one step. What is finished stays; what was begun is not
    /// unproven; only a document can be ready, and one that is asked for is not done before.
    #[must_use]
    pub const fn can_become(self, next: Self, kind: RightsKind) -> bool {
        match (self, next) {
            (Self::Proving, Self::Received)
            | (Self::Proving | Self::Received | Self::InWork | Self::Ready, Self::Refused) => true,
            (Self::Received, Self::InWork) | (Self::Received | Self::InWork, Self::Done) => {
                !kind.has_document()
            }
            (Self::Received, Self::Ready) | (Self::Ready, Self::Done) => kind.has_document(),
            _ => false,
        }
    }
}

/// A warning that a request is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// There is a week or less.
    SevenDays,
    /// There are three days or less.
    ThreeDays,
    /// The deadline is over, by so many whole days.
    Overdue(u32),
}

impl Warning {
    /// A number that grows with each warning of one request, for whoever remembers which was given: 1, 2, and 3 and more
    /// for each day after the deadline.
    #[must_use]
    pub const fn stage(self) -> u32 {
        match self {
            Self::SevenDays => 1,
            Self::ThreeDays => 2,
            Self::Overdue(days) => days.saturating_add(3),
        }
    }

    /// Which warning has this number.
    #[must_use]
    pub const fn of_stage(stage: u32) -> Option<Self> {
        match stage {
            0 => None,
            1 => Some(Self::SevenDays),
            2 => Some(Self::ThreeDays),
            more => Some(Self::Overdue(more - 3)),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SevenDays => f.write_str("due within seven days"),
            Self::ThreeDays => f.write_str("due within three days"),
            Self::Overdue(0) => f.write_str("overdue"),
            Self::Overdue(days) => write!(f, "overdue by {days} days"),
        }
    }
}

/// What a look at a request at some time comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What is to be warned of.
    pub warning: Option<Warning>,
    /// Whether it ends now, and why.
    pub ends: Option<Refusal>,
    /// When to look again. `None` only for what is finished or ends now: nothing else is ever lost sight of.
    pub again: Option<Timestamp>,
}

/// By when a request that came at `received` is to be answered.
#[must_use]
pub fn due_at(received: Timestamp) -> Timestamp {
    received + ANSWER_WITHIN
}

/// When to look at a request for the first time after it came.
#[must_use]
pub fn first_look(received: Timestamp, state: RightsState) -> Timestamp {
    if state == RightsState::Proving { received + PROVE_WITHIN } else { due_at(received) - WARNED_BEFORE[0] }
}

/// Looks at a request that came at `received` and stands in `state`.
#[must_use]
pub fn look(received: Timestamp, state: RightsState, now: Timestamp) -> Look {
    let due = due_at(received);
    let nothing = Look { warning: None, ends: None, again: None };
    if state.is_finished() {
        return nothing;
    }
    let first = first_look(received, state);
    if now < first {
        return Look { again: Some(first), ..nothing };
    }
    if state == RightsState::Proving {
        return Look { ends: Some(Refusal::NotProven), ..nothing };
    }
    let (warning, again) = if now < due - WARNED_BEFORE[1] {
        (Warning::SevenDays, due - WARNED_BEFORE[1])
    } else if now < due {
        (Warning::ThreeDays, due)
    } else {
        // What stands ready is kept as long as an answer may take, and then there is nothing to fetch any more.
        let ends = (state == RightsState::Ready).then_some(Refusal::NotFetched);
        let days = u32::try_from(now.since(due).as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
        let again = ends.is_none().then(|| due + DAY * days.saturating_add(1));
        return Look { warning: Some(Warning::Overdue(days)), ends, again };
    };
    Look { warning: Some(warning), ends: None, again: Some(again) }
}

/// Whom a request is about: any of the three can be missing, not all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Shopify's number of the customer account.
    pub customer: Option<Personal<u64>>,
    /// E-mail address.
    pub email: Option<Personal<String>>,
    /// Phone number, with the country: `+12025550143`.
    pub phone: Option<Personal<String>>,
}

impl Person {
    /// What the person is found by. What is no e-mail address and no phone number finds nobody.
    #[must_use]
    pub fn identifiers(&self) -> Vec<Identifier> {
        let emails: Vec<&Personal<String>> = self.email.iter().collect();
        let phones: Vec<_> = self.phone.iter().map(|phone| (phone, None)).collect();
        normalize::identifiers(&emails, &phones, self.customer.as_ref())
    }

    /// Whether everything that is given finds somebody: a slip must not narrow a request to what is left.
    #[must_use]
    pub fn is_findable(&self) -> bool {
        let given = usize::from(self.customer.is_some())
            + usize::from(self.email.is_some())
            + usize::from(self.phone.is_some());
        given > 0 && self.identifiers().len() == given
    }
}

/// What is right in place of what is stored of a person. Names and addresses are put right in the shop, which tells of
/// it by the order's update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrections {
    /// The right e-mail address.
    pub email: Option<Personal<String>>,
    /// The right phone number.
    pub phone: Option<Personal<String>>,
}

impl Corrections {
    /// Whether there is something to put right, and all of it can be found again.
    #[must_use]
    pub fn are_usable(&self) -> bool {
        Person { customer: None, email: self.email.clone(), phone: self.phone.clone() }.is_findable()
    }

    /// An order of `person` as it should be; `None` when it is so already. Where the person was named by an e-mail address,
    /// that one is replaced and no other; else each that the order has. It is the same for phone numbers.
    #[must_use]
    pub fn apply(&self, person: &Person, order: &Order) -> Option<Order> {
        let mut right = order.clone();
        if let Some(email) = &self.email {
            let wrong = person.email.as_ref().and_then(|wrong| normalize::email(wrong.expose()));
            let account = right.customer.as_mut().map(|customer| &mut customer.email);
            for field in [&mut right.email, &mut right.contact_email].into_iter().chain(account) {
                let found = field.as_ref().and_then(|found| normalize::email(found.expose()));
                if found.is_some() && (wrong.is_none() || found == wrong) {
                    *field = Some(email.clone());
                }
            }
        }
        if let Some(phone) = &self.phone {
            let wrong = person.phone.as_ref().and_then(|wrong| normalize::phone(wrong.expose(), None));
            // Read in the countries that the person was made findable with.
            let code = |address: &Address| address.country_code.as_ref().map(|code| code.expose().clone());
            let country = order.addresses().find_map(code);
            let account = right.customer.as_mut().map(|customer| (&mut customer.phone, None));
            let addresses = [&mut right.billing_address, &mut right.shipping_address];
            let addresses = addresses.into_iter().flatten().map(|address| {
                let own = code(address);
                (&mut address.phone, own)
            });
            for (field, own) in std::iter::once((&mut right.phone, None)).chain(account).chain(addresses) {
                let country = own.as_ref().or(country.as_ref()).map(String::as_str);
                let found = field.as_ref().and_then(|found| normalize::phone(found.expose(), country));
                if found.is_some() && (wrong.is_none() || found == wrong) {
                    *field = Some(phone.clone());
                }
            }
        }
        (right != *order).then_some(right)
    }
}

/// The code that proves who asks: six digits of a random number.
#[must_use]
pub fn proof_code(random: u64) -> String {
    // 2^64 is not a multiple of a million: the bias is under 1 in 10^13.
    format!("{:06}", random % 1_000_000)
}

/// Whether a text can be a code: six digits.
#[must_use]
pub fn is_proof_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{HOUR, MINUTE};

    const RECEIVED: Timestamp = Timestamp(1_700_000_000_000);
    const TICK: Duration = Duration::from_millis(1);

    fn owed() -> impl Iterator<Item = RightsState> {
        RightsState::ALL.into_iter().filter(|state| !state.is_finished() && *state != RightsState::Proving)
    }

    #[test]
    fn the_figures_are_those_that_were_promised() {
        assert_eq!(ANSWER_WITHIN, DAY * 30);
        assert_eq!(WARNED_BEFORE, [DAY * 7, DAY * 3]);
        assert_eq!((PROVE_WITHIN, PROOF_TRIES, LINK_LIFETIME), (HOUR * 24, 5, MINUTE * 15));
        assert_eq!(due_at(RECEIVED), RECEIVED + DAY * 30);
    }

    #[test]
    fn what_a_purge_takes_ends_for_what_it_was_waiting_for() {
        let because = RightsState::ALL
            .into_iter()
            .filter(|state| !state.is_finished())
            .map(|state| (state.name(), state.lost_with_shop().name()));
        let expected = [
            ("proving", "not-proven"),
            ("received", "shop-purged"),
            ("in-work", "shop-purged"),
            ("ready", "not-fetched"),
        ];
        assert!(because.eq(expected));
    }

    #[test]
    fn words_are_distinct_and_lead_back() {
        for kind in RightsKind::ALL {
            assert_eq!(RightsKind::by_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(kind.has_document(), ["access", "portability"].contains(&kind.name()));
            let limits = match kind.name() {
                "restriction" => Some((Limit::Restricted, true)),
                "lift-restriction" => Some((Limit::Restricted, false)),
                "objection" => Some((Limit::Objected, true)),
                "lift-objection" => Some((Limit::Objected, false)),
                _ => None,
            };
            assert_eq!(kind.limit(), limits);
        }
        for way in OpenedBy::ALL {
            assert_eq!(OpenedBy::by_name(way.name()), Some(way));
            assert_eq!(serde_json::to_value(way).unwrap(), way.name());
        }
        for reason in Refusal::ALL {
            assert_eq!(Refusal::by_name(reason.name()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
            assert!(reason.sentence().contains(':'), "what happened, and what that means");
        }
        for state in RightsState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(state.is_finished(), ["done", "refused"].contains(&state.name()));
        }
        assert_eq!(
            (RightsKind::by_name(""), OpenedBy::by_name("x"), Refusal::by_name("")),
            (None, None, None)
        );
        let sentences: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::sentence).into();
        assert_eq!(sentences.len(), Refusal::ALL.len());
    }

    #[test]
    fn warnings_come_a_week_before_three_days_before_and_then_every_day() {
        let due = due_at(RECEIVED);
        for state in owed().filter(|state| *state != RightsState::Ready) {
            for (now, warning, again) in [
                (RECEIVED, None, due - DAY * 7),
                (due - DAY * 7 - TICK, None, due - DAY * 7),
                (due - DAY * 7, Some(Warning::SevenDays), due - DAY * 3),
                (due - DAY * 3 - TICK, Some(Warning::SevenDays), due - DAY * 3),
                (due - DAY * 3, Some(Warning::ThreeDays), due),
                (due - TICK, Some(Warning::ThreeDays), due),
                (due, Some(Warning::Overdue(0)), due + DAY),
                (due + DAY - TICK, Some(Warning::Overdue(0)), due + DAY),
                (due + DAY, Some(Warning::Overdue(1)), due + DAY * 2),
                (due + DAY * 40, Some(Warning::Overdue(40)), due + DAY * 41),
            ] {
                let expected = Look { warning, ends: None, again: Some(again) };
                assert_eq!(look(RECEIVED, state, now), expected, "{state:?} {now:?}");
            }
            assert_eq!(first_look(RECEIVED, state), due - DAY * 7);
        }
    }

    #[test]
    fn an_answer_that_nobody_fetches_is_warned_of_and_ends_with_its_window() {
        let due = due_at(RECEIVED);
        let at = |now| look(RECEIVED, RightsState::Ready, now);
        assert_eq!(at(due - DAY * 7).warning, Some(Warning::SevenDays));
        assert_eq!(at(due - TICK), Look { warning: Some(Warning::ThreeDays), ends: None, again: Some(due) });
        let over = |days| Look {
            warning: Some(Warning::Overdue(days)),
            ends: Some(Refusal::NotFetched),
            again: None,
        };
        assert_eq!((at(due), at(due + DAY * 2)), (over(0), over(2)));
    }

    #[test]
    fn whoever_does_not_prove_it_within_a_day_is_refused() {
        let at = |now| look(RECEIVED, RightsState::Proving, now);
        assert_eq!(first_look(RECEIVED, RightsState::Proving), RECEIVED + DAY);
        assert_eq!(
            at(RECEIVED + DAY - TICK),
            Look { warning: None, ends: None, again: Some(RECEIVED + DAY) }
        );
        assert_eq!(at(RECEIVED + DAY), Look { warning: None, ends: Some(Refusal::NotProven), again: None });
    }

    #[test]
    fn a_warnings_number_leads_back_and_its_words_tell() {
        let all = [Warning::SevenDays, Warning::ThreeDays, Warning::Overdue(0), Warning::Overdue(9)];
        assert_eq!(all.map(Warning::stage), [1, 2, 3, 12]);
        assert_eq!(all.map(|warning| Warning::of_stage(warning.stage())), all.map(Some));
        assert_eq!(Warning::of_stage(0), None);
        let words = ["due within seven days", "due within three days", "overdue", "overdue by 9 days"];
        assert_eq!(all.map(|warning| warning.to_string()), words);
    }

    #[test]
    fn a_code_is_six_digits_of_the_number() {
        assert_eq!(proof_code(0), "000000");
        assert_eq!(proof_code(7_000_042), "000042");
        assert_eq!(proof_code(u64::MAX), "551615");
        assert!(is_proof_code("012345"));
        for text in ["", "12345", "1234567", "12345a", "１２３４５６", " 12345"] {
            assert!(!is_proof_code(text), "{text}");
        }
    }

    fn person(customer: Option<u64>, email: Option<&str>, phone: Option<&str>) -> Person {
        let text = |text: &str| Personal::new(text.to_owned());
        Person { customer: customer.map(Personal::new), email: email.map(text), phone: phone.map(text) }
    }

    #[test]
    fn a_person_is_findable_by_what_can_be_read() {
        assert!(person(Some(1), None, None).is_findable());
        assert!(person(None, Some("sample.customer@example.com"), Some("+12025550143")).is_findable());
        for nobody in [
            person(None, None, None),
            person(None, Some("no address"), None),
            person(None, None, Some("12")),
            person(Some(1), Some("no address"), None),
        ] {
            assert!(!nobody.is_findable(), "a slip must not narrow it");
        }
        let right = |email, phone| {
            let Person { email, phone, .. } = person(None, email, phone);
            Corrections { email, phone }
        };
        assert!(
            right(Some("a@example.com"), None).are_usable() && right(None, Some("+12025550143")).are_usable()
        );
        assert!(
            !right(None, None).are_usable() && !right(Some("nothing"), Some("+12025550143")).are_usable()
        );
    }

    #[test]
    fn what_was_wrong_is_put_right_and_nothing_else() {
        let order: Order = serde_json::from_value(serde_json::json!({
            "id": 1, "created_at": "2026-11-01T09:30:00Z", "total_price": null,
            "email": "Wrong@example.com", "contact_email": "other@example.com", "phone": "202-555-0143",
            "customer": {"id": 7, "email": "wrong@example.com", "phone": "+12025550143"},
            "shipping_address": {"country_code": "US", "phone": "(202) 555-0143"},
            "billing_address": {"country_code": "US", "phone": "(202) 555-0199"},
        }))
        .unwrap();
        let text = |text: &str| Some(Personal::new(text.to_owned()));
        let right = Corrections { email: text("right@example.com"), phone: text("+12025550111") };
        let emails = |order: &Order| {
            let account = order.customer.as_ref().unwrap().email.clone();
            [order.email.clone(), order.contact_email.clone(), account]
                .map(|email| email.unwrap().into_inner())
        };
        let phones = |order: &Order| {
            let of = |address: &Option<Address>| address.as_ref().unwrap().phone.clone();
            let account = order.customer.as_ref().unwrap().phone.clone();
            [order.phone.clone(), account, of(&order.shipping_address), of(&order.billing_address)]
                .map(|phone| phone.unwrap().into_inner())
        };
        let (new, old) = ("right@example.com", "+12025550111");
        // Named by the wrong values: those are replaced, however they were written.
        let by_value =
            right.apply(&person(None, Some("wrong@example.com"), Some("+12025550143")), &order).unwrap();
        assert_eq!(emails(&by_value), [new, "other@example.com", new]);
        assert_eq!(phones(&by_value), [old, old, old, "(202) 555-0199"]);
        // Named by the account: each is replaced.
        let by_account = right.apply(&person(Some(7), None, None), &order).unwrap();
        assert_eq!(
            (emails(&by_account), phones(&by_account)),
            ([new; 3].map(str::to_owned), [old; 4].map(str::to_owned))
        );
        // One alone leaves the other, what is empty stays empty, and what is right is not changed again.
        let email_alone = Corrections { phone: None, ..right.clone() };
        let once = email_alone.apply(&person(Some(7), None, None), &order).unwrap();
        assert_eq!((emails(&once), phones(&once)), ([new; 3].map(str::to_owned), phones(&order)));
        assert_eq!(right.apply(&person(Some(7), None, None), &by_account), None);
        assert_eq!(right.apply(&person(Some(7), None, None), &order.stripped()), None);
    }

    #[test]
    fn every_step_is_one_that_is_allowed() {
        use RightsState::{Done, InWork, Proving, Ready, Received, Refused};
        for kind in RightsKind::ALL {
            let mut steps = Vec::new();
            for from in RightsState::ALL {
                steps.extend(
                    RightsState::ALL.into_iter().filter(|to| from.can_become(*to, kind)).map(|to| (from, to)),
                );
            }
            let middle = if kind.has_document() {
                vec![
                    (Received, Ready),
                    (Received, Refused),
                    (InWork, Refused),
                    (Ready, Done),
                    (Ready, Refused),
                ]
            } else {
                vec![
                    (Received, InWork),
                    (Received, Done),
                    (Received, Refused),
                    (InWork, Done),
                    (InWork, Refused),
                    (Ready, Refused),
                ]
            };
            let expected = [vec![(Proving, Received), (Proving, Refused)], middle].concat();
            assert_eq!(steps, expected, "{kind:?}");
        }
    }

    /// What happens to a request: a step to another state, or a look of the sweep, after some hours.
    #[derive(Clone, Debug)]
    enum Event {
        Step(RightsState),
        Sweep,
    }

    fn event() -> impl Strategy<Value = (u32, Event)> {
        let state = prop::sample::select(RightsState::ALL.to_vec());
        (0u32..200, prop_oneof![1 => state.prop_map(Event::Step), 3 => Just(Event::Sweep)])
    }

    proptest! {
        /// However states and times follow each other, whatever is not finished is looked at again, no later than a week
        /// before it is due and then within a week, and each warning that its time asks for is given.
        #[test]
        fn nothing_lapses_silently(
            kind in prop::sample::select(RightsKind::ALL.to_vec()),
            proving in any::<bool>(),
            events in prop::collection::vec(event(), 0..60),
        ) {
            let due = due_at(RECEIVED);
            let mut state = if proving { RightsState::Proving } else { RightsState::Received };
            let (mut now, mut next) = (RECEIVED, Some(first_look(RECEIVED, state)));
            let mut warned = 0;
            for (hours, event) in events {
                now = now + HOUR * hours;
                match event {
                    Event::Step(to) if state.can_become(to, kind) => {
                        // Whoever proves it begins the watch over the answer.
                        if state == RightsState::Proving && to == RightsState::Received {
                            next = Some(first_look(RECEIVED, to));
                        }
                        state = to;
                    }
                    Event::Step(_) => {}
                    Event::Sweep => if next.is_some_and(|next| next <= now) {
                        let look = look(RECEIVED, state, now);
                        if let Some(warning) = look.warning {
                            prop_assert!(warning.stage() > warned, "{warning} came twice");
                            warned = warning.stage();
                        }
                        prop_assert_eq!(look.again.is_none(), state.is_finished() || look.ends.is_some());
                        prop_assert!(look.again.is_none_or(|again| again > now && again.since(now) <= DAY * 7));
                        prop_assert!(look.ends.is_none() || state.can_become(RightsState::Refused, kind));
                        if look.ends.is_some() {
                            state = RightsState::Refused;
                        } else if !state.is_finished() && now >= due {
                            prop_assert!(warned >= 3, "the deadline passed without a word");
                        }
                        next = look.again;
                    },
                }
                prop_assert!(state.is_finished() || next.is_some(), "nobody looks any more");
            }
        }
    }
}
