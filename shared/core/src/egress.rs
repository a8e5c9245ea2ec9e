//! Who may get what: every sub-processor declared once, and the rule by which a call to one is permitted or refused.
//! The list that merchants read and the notices of changes are made of the same declaration. Sending is the clients'.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data_map::{Category, Processor};
use crate::personal::Personal;
use crate::time::Timestamp;

/// How long before it takes effect a change is announced to every merchant (promise SO44).
pub const NOTICE: Duration = Duration::from_hours(30 * 24);

/// What a call to a sub-processor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Keeping everything, sealed where it is personal, and running the functions.
    Hosting,
    /// Logs and metrics: how the service does, by blinded names.
    Monitoring,
    /// Being let into a shop: the exchange and renewal of its tokens.
    Access,
    /// Reading a shop's profile and orders.
    Reading,
    /// Showing a case on its orders: tag, risk facts, hold.
    Flagging,
    /// Mails to the merchant about cases.
    CaseMail,
    /// Mails to the merchant about the service itself, such as changes of sub-processors.
    ServiceMail,
    /// The code by which a person who wrote to an operator proves who they are.
    ProofMail,
    /// Orders of a customer who wrote to the shop, for the answer.
    OrderContext,
    /// Being let into a merchant's mailbox, and told of new mail in it.
    MailboxAccess,
    /// Giving the access to a merchant's mailbox back, so that nothing is told or opened by it any more.
    MailboxRelease,
    /// The merchant's mailbox.
    Mailbox,
    /// Drafts of answers, and what a mail is about.
    Drafting,
    /// Translations of the app's own texts.
    Translation,
    /// The merchant's subscription.
    Billing,
}

impl Use {
    /// Every use.
    pub const ALL: [Self; 15] = [
        Self::Hosting,
        Self::Monitoring,
        Self::Access,
        Self::Reading,
        Self::Flagging,
        Self::CaseMail,
        Self::ServiceMail,
        Self::ProofMail,
        Self::OrderContext,
        Self::MailboxAccess,
        Self::MailboxRelease,
        Self::Mailbox,
        Self::Drafting,
        Self::Translation,
        Self::Billing,
    ];

    /// The word for it in the API and in logs. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hosting => "hosting",
            Self::Monitoring => "monitoring",
            Self::Access => "access",
            Self::Reading => "reading",
            Self::Flagging => "flagging",
            Self::CaseMail => "case-mail",
            Self::ServiceMail => "service-mail",
            Self::ProofMail => "proof-mail",
            Self::OrderContext => "order-context",
            Self::MailboxAccess => "mailbox-access",
            Self::MailboxRelease => "mailbox-release",
            Self::Mailbox => "mailbox",
            Self::Drafting => "drafting",
            Self::Translation => "translation",
            Self::Billing => "billing",
        }
    }

    /// What it is, as a merchant reads it.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Hosting => "running the service and keeping its data, sealed where it is personal",
            Self::Monitoring => "logs and metrics of the service, with blinded names only",
            Self::Access => "letting the app into the shop",
            Self::Reading => "reading the shop's profile and orders",
            Self::Flagging => "showing a possible duplicate on its orders: tag, risk facts, hold",
            Self::CaseMail => "e-mail to the merchant about possible duplicates",
            Self::ServiceMail => "e-mail to the merchant about the service",
            Self::ProofMail => "a code by e-mail to a customer who asks for their data, to prove who asks",
            Self::OrderContext => "reading the orders of a customer who wrote to the shop",
            Self::MailboxAccess => "letting the app into the merchant's mailbox, and telling it of new mail",
            Self::MailboxRelease => {
                "giving the access to the merchant's mailbox back, also after an objection"
            }
            Self::Mailbox => "reading and answering the merchant's mailbox",
            Self::Drafting => "drafting answers to mail, and telling what a mail is about",
            Self::Translation => "translating the app's own texts",
            Self::Billing => "the merchant's subscription",
        }
    }

    /// Whether it gives back what a sub-processor was let into. An objection asks for that, and does not stop it.
    #[must_use]
    pub const fn is_release(self) -> bool {
        matches!(self, Self::MailboxRelease)
    }
}

/// A set of categories. Sets are made in constants, so that a declaration is one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Categories(u16);

impl Categories {
    /// Nothing about anybody.
    pub const NONE: Self = Self(0);

    /// The set of these.
    #[must_use]
    pub const fn of(categories: &[Category]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < categories.len() {
            set |= 1 << categories[index] as u16;
            index += 1;
        }
        Self(set)
    }

    /// What is in either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of the other is in this.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.without(self).is_empty()
    }

    /// What is in it, as a merchant reads it.
    #[must_use]
    pub fn words(self) -> String {
        if self.is_empty() {
            return "nothing about anybody".to_owned();
        }
        self.iter().map(Category::words).collect::<Vec<_>>().join(", ")
    }

    /// Those in it, in the order of the data map.
    pub fn iter(self) -> impl Iterator<Item = Category> {
        Category::ALL.into_iter().filter(move |category| self.covers(Self::of(&[*category])))
    }
}

impl fmt::Display for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let names: Vec<&str> = self.iter().map(Category::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value on its way out, with what it is about. There is no way to make one of a run-time text without saying what it
/// is about, and a request is made of nothing else: what a call carries is the sum of its parts, not a second statement.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing<T> {
    value: T,
    carries: Categories,
}

impl<T> Outgoing<T> {
    /// A value of the other side's own, handed back to it as it was given, or one that the operator set: nothing about a
    /// merchant or a customer.
    pub const fn own(value: T) -> Self {
        Self { value, carries: Categories::NONE }
    }

    /// A value about somebody.
    pub const fn about(category: Category, value: T) -> Self {
        Self { value, carries: Categories::of(&[category]) }
    }

    /// A value about more than one thing.
    pub const fn carrying(categories: Categories, value: T) -> Self {
        Self { value, carries: categories }
    }

    /// What it carries.
    pub const fn carries(&self) -> Categories {
        self.carries
    }

    /// The value changed; what it is about stays.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outgoing<U> {
        Outgoing { value: change(self.value), carries: self.carries }
    }

    /// Two values made one, which carries what either did.
    pub fn with<U, V>(self, other: Outgoing<U>, join: impl FnOnce(T, U) -> V) -> Outgoing<V> {
        Outgoing { value: join(self.value, other.value), carries: self.carries.and(other.carries) }
    }

    /// A list of values, which carries what any of them did.
    pub fn all(values: impl IntoIterator<Item = Self>) -> Outgoing<Vec<T>> {
        let none = Outgoing { value: Vec::new(), carries: Categories::NONE };
        values.into_iter().fold(none, |list, next| {
            list.with(next, |mut list, next| {
                list.push(next);
                list
            })
        })
    }

    /// The value, for whoever writes the request.
    pub const fn value(&self) -> &T {
        &self.value
    }
}

impl Outgoing<String> {
    /// A text that is in the program.
    #[must_use]
    pub fn text(text: &'static str) -> Self {
        Self::own(text.to_owned())
    }

    /// A personal text, which is about somebody.
    #[must_use]
    pub fn personal(category: Category, text: &Personal<String>) -> Self {
        Self::about(category, text.expose().clone())
    }
}

impl<T> fmt::Debug for Outgoing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(outgoing: {})", self.carries)
    }
}

/// From when a use is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// Since the first merchant.
    FromTheStart,
    /// Not at all: it is declared so that it can be read, before what needs it exists. Nothing may be sent.
    NotYet,
    /// Since a change that merchants were told of before. Made by [`InForce::change`].
    Since(Change),
}

/// A change that is announced, and takes effect [`NOTICE`] later at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    announced: Timestamp,
    effective: Timestamp,
}

impl Change {
    /// When merchants are told.
    #[must_use]
    pub const fn announced(self) -> Timestamp {
        self.announced
    }

    /// When it takes effect for whoever was told in time.
    #[must_use]
    pub const fn effective(self) -> Timestamp {
        self.effective
    }

    /// Whether it concerns a merchant who is here since then: whoever comes when it is in effect finds it on the list.
    #[must_use]
    pub const fn concerns(self, since: Timestamp) -> bool {
        since.0 < self.effective.0
    }
}

impl InForce {
    /// A change. In a constant, as the register is one, too short a notice does not compile.
    ///
    /// # Panics
    /// When it takes effect less than [`NOTICE`] after it is announced.
    #[must_use]
    pub const fn change(announced: Timestamp, effective: Timestamp) -> Self {
        assert!(
            effective.0 - announced.0 >= NOTICE.as_secs().cast_signed() * 1000,
            "a change is announced 30 days before it takes effect (promise SO44)"
        );
        Self::Since(Change { announced, effective })
    }
}

/// One use of a sub-processor: what for, with what, where, since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredUse {
    /// What for.
    pub purpose: Use,
    /// What it may get for that.
    pub categories: Categories,
    /// Where it is processed.
    pub region: &'static str,
    /// Since when.
    pub in_force: InForce,
}

/// A sub-processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubProcessor {
    /// Which.
    pub processor: Processor,
    /// Its name, as merchants know it.
    pub name: &'static str,
    /// Whether the service can be given without it. Whoever objects to one that it cannot be given without, leaves.
    pub essential: bool,
    /// What does not happen for a merchant who objects to it.
    pub without: &'static str,
    /// What it is used for.
    pub uses: &'static [DeclaredUse],
}

/// All sub-processors. Tests have registers of their own; [`Register::CURRENT`] is what counts.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Each once.
    pub processors: &'static [SubProcessor],
}

impl Default for Register {
    fn default() -> Self {
        Self::CURRENT
    }
}

const UNITED_STATES: &str = "United States";
const GLOBAL: &str = "worldwide";
const DEPLOYED: &str = "the region of the deployment";

const fn since_the_start(purpose: Use, categories: &[Category], region: &'static str) -> DeclaredUse {
    DeclaredUse { purpose, categories: Categories::of(categories), region, in_force: InForce::FromTheStart }
}

const fn not_yet(purpose: Use, categories: &[Category], region: &'static str) -> DeclaredUse {
    DeclaredUse { purpose, categories: Categories::of(categories), region, in_force: InForce::NotYet }
}

impl Register {
    /// The register (promise DS40).
    pub const CURRENT: Self = Self {
        processors: &[
            SubProcessor {
                processor: Processor::CloudHost,
                name: "Amazon Web Services",
                essential: true,
                without: "nothing can be kept or done",
                uses: &[
                    since_the_start(Use::Hosting, &Category::ALL, DEPLOYED),
                    since_the_start(Use::Monitoring, &[Category::Pseudonym], DEPLOYED),
                ],
            },
            SubProcessor {
                processor: Processor::Shopify,
                name: "Shopify",
                essential: true,
                without: "there is no shop to work for",
                uses: &[
                    since_the_start(Use::Access, &[Category::MerchantAccount], GLOBAL),
                    since_the_start(Use::Reading, &[Category::MerchantAccount], GLOBAL),
                    since_the_start(
                        Use::Flagging,
                        &[Category::MerchantAccount, Category::OrderMetadata, Category::Pseudonym],
                        GLOBAL,
                    ),
                    // Only about whoever wrote to the shop, and only where the merchant has answers drafted.
                    since_the_start(
                        Use::OrderContext,
                        &[Category::MerchantAccount, Category::CustomerContact, Category::OrderMetadata],
                        GLOBAL,
                    ),
                ],
            },
            SubProcessor {
                processor: Processor::Resend,
                name: "Resend",
                essential: false,
                without: "no e-mail is sent: possible duplicates and changes of sub-processors are shown in the app",
                uses: &[
                    since_the_start(
                        Use::CaseMail,
                        &[Category::MerchantAccount, Category::OrderMetadata, Category::Pseudonym],
                        UNITED_STATES,
                    ),
                    since_the_start(
                        Use::ServiceMail,
                        &[Category::MerchantAccount, Category::Pseudonym],
                        UNITED_STATES,
                    ),
                    // The one mail that goes to a customer: to the address they gave, and with nothing else of them.
                    since_the_start(
                        Use::ProofMail,
                        &[Category::CustomerContact, Category::MerchantAccount, Category::Pseudonym],
                        UNITED_STATES,
                    ),
                ],
            },
            SubProcessor {
                processor: Processor::Google,
                name: "Google",
                essential: false,
                without: "no mailbox is connected",
                uses: &[
                    since_the_start(Use::MailboxAccess, &[Category::MerchantAccount], GLOBAL),
                    since_the_start(Use::MailboxRelease, &[Category::MerchantAccount], GLOBAL),
                    since_the_start(
                        Use::Mailbox,
                        &[
                            Category::MerchantAccount,
                            Category::CustomerContact,
                            Category::CustomerAddress,
                            Category::OrderMetadata,
                            Category::Correspondence,
                        ],
                        GLOBAL,
                    ),
                ],
            },
            SubProcessor {
                processor: Processor::Anthropic,
                name: "Anthropic",
                essential: false,
                without: "no answer is drafted, and nothing is translated",
                uses: &[
                    // Never who wrote: names, addresses, numbers are placeholders before anything is sent (`desk::mask`).
                    since_the_start(
                        Use::Drafting,
                        &[Category::MerchantAccount, Category::OrderMetadata, Category::Correspondence],
                        UNITED_STATES,
                    ),
                    not_yet(Use::Translation, &[], UNITED_STATES),
                ],
            },
            SubProcessor {
                processor: Processor::Stripe,
                name: "Stripe",
                essential: false,
                without: "there is no paid plan",
                uses: &[not_yet(Use::Billing, &[Category::MerchantAccount], UNITED_STATES)],
            },
        ],
    };
}

/// What a call is about to do: whom it sends what, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Whom.
    pub processor: Processor,
    /// Why.
    pub purpose: Use,
    /// What: the sum of all parts of the call.
    pub categories: Categories,
}

/// How a merchant stands to the sub-processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stance {
    /// Since when the app is installed; `None` before a shop is known. Without it only what was there from the start
    /// counts.
    pub since: Option<Timestamp>,
    /// When it was told of what was announced: by the time of the announcement.
    pub told: BTreeMap<Timestamp, Timestamp>,
    /// What it objects to, and since when.
    pub objections: BTreeMap<Processor, Timestamp>,
}

/// Why a call is not permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The register knows no such use: a mistake in the program.
    NotDeclared,
    /// The use is declared without these categories: a mistake in the program.
    Undeclared(Categories),
    /// The use is not in force for anybody.
    NotYet,
    /// The change that brings the use is not in force for this merchant: from then on, or nobody told it yet.
    NotInForce(Option<Timestamp>),
    /// The merchant objects, and the call gives nothing back.
    Objected,
}

impl Refusal {
    /// Whether the program tried what it never may. Somebody has to look; the others are how it should be.
    #[must_use]
    pub const fn is_a_fault(self) -> bool {
        matches!(self, Self::NotDeclared | Self::Undeclared(_) | Self::NotYet)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDeclared => f.write_str("no such use is declared"),
            Self::Undeclared(categories) => write!(f, "declared without: {categories}"),
            Self::NotYet => f.write_str("declared and not in use yet"),
            Self::NotInForce(Some(from)) => write!(f, "in force for this merchant from {from}"),
            Self::NotInForce(None) => f.write_str("the merchant was not told yet"),
            Self::Objected => f.write_str("the merchant objects"),
        }
    }
}

impl DeclaredUse {
    /// From when it is in force for a merchant: `Err` when nobody can say, because it is not in use or the merchant was
    /// not told. A merchant who was told late has all of [`NOTICE`] from then.
    fn begins(&self, stance: &Stance) -> Result<Option<Timestamp>, Refusal> {
        match self.in_force {
            InForce::FromTheStart => Ok(None),
            InForce::NotYet => Err(Refusal::NotYet),
            InForce::Since(change) => match (stance.since, stance.told.get(&change.announced)) {
                (Some(since), _) if !change.concerns(since) => Ok(Some(change.effective)),
                (_, Some(told)) => Ok(Some(change.effective.max(*told + NOTICE))),
                (_, None) => Err(Refusal::NotInForce(None)),
            },
        }
    }

    /// Whether it is in force for a merchant.
    ///
    /// # Errors
    /// `NotYet` for what is not in use, `NotInForce` with from when, where that is known.
    pub fn in_force(&self, stance: &Stance, now: Timestamp) -> Result<(), Refusal> {
        match self.begins(stance)? {
            Some(from) if now < from => Err(Refusal::NotInForce(Some(from))),
            Some(_) | None => Ok(()),
        }
    }
}

impl Register {
    /// The declaration of a sub-processor.
    #[must_use]
    pub fn of(&self, processor: Processor) -> Option<&'static SubProcessor> {
        self.processors.iter().find(|declared| declared.processor == processor)
    }

    /// Whether a call may be made for a merchant now. Where a use is declared twice, as it was and as it will be, either
    /// counts while it is in force.
    ///
    /// # Errors
    /// Why it may not: of several reasons the one that is nearest to being permitted.
    pub fn permits(&self, call: Declaration, stance: &Stance, now: Timestamp) -> Result<(), Refusal> {
        let declared = self.of(call.processor).ok_or(Refusal::NotDeclared)?;
        let mut refusal = Refusal::NotDeclared;
        let mut permitted = false;
        for candidate in declared.uses.iter().filter(|declared| declared.purpose == call.purpose) {
            let lacking = call.categories.without(candidate.categories);
            if !lacking.is_empty() {
                if refusal == Refusal::NotDeclared {
                    refusal = Refusal::Undeclared(lacking);
                }
                continue;
            }
            match candidate.in_force(stance, now) {
                Ok(()) => permitted = true,
                Err(why) => refusal = why,
            }
        }
        let objected = stance.objections.contains_key(&call.processor) && !call.purpose.is_release();
        match (permitted, objected) {
            (true, false) => Ok(()),
            (true, true) => Err(Refusal::Objected),
            (false, _) => Err(refusal),
        }
    }

    /// Every announcement that was made by now, by its time: all changes of one time are told in one mail.
    #[must_use]
    pub fn announcements(&self, now: Timestamp) -> BTreeSet<Timestamp> {
        self.changes().map(|(_, _, change)| change.announced).filter(|announced| *announced <= now).collect()
    }

    /// The changes of one announcement that concern a merchant who is here since then.
    #[must_use]
    pub fn announced(
        &self,
        announced: Timestamp,
        since: Timestamp,
    ) -> Vec<(&'static SubProcessor, &'static DeclaredUse, Change)> {
        self.changes()
            .filter(|(_, _, change)| change.announced == announced && change.concerns(since))
            .collect()
    }

    fn changes(&self) -> impl Iterator<Item = (&'static SubProcessor, &'static DeclaredUse, Change)> {
        self.processors.iter().flat_map(|declared| {
            declared.uses.iter().filter_map(move |used| match used.in_force {
                InForce::Since(change) => Some((declared, used, change)),
                InForce::FromTheStart | InForce::NotYet => None,
            })
        })
    }

    /// What a processor may get for anything that is or will be in force.
    #[must_use]
    pub fn may_get(&self, processor: Processor) -> Categories {
        let declared = self.of(processor).map_or(&[][..], |declared| declared.uses);
        let used = declared.iter().filter(|one| one.in_force != InForce::NotYet);
        used.fold(Categories::NONE, |all, one| all.and(one.categories))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::DAY;

    const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const LATER: Timestamp = Timestamp::from_seconds(1_800_000_000 + 40 * 86_400);

    /// A register in which Resend is to get addresses as well, and Stripe is new; both were announced at the same time.
    const CHANGING: Register = Register {
        processors: &[
            SubProcessor {
                processor: Processor::Resend,
                name: "Resend",
                essential: false,
                without: "no mail",
                uses: &[
                    since_the_start(Use::CaseMail, &[Category::OrderMetadata], UNITED_STATES),
                    DeclaredUse {
                        purpose: Use::CaseMail,
                        categories: Categories::of(&[Category::OrderMetadata, Category::CustomerAddress]),
                        region: UNITED_STATES,
                        in_force: InForce::change(T0, LATER),
                    },
                ],
            },
            SubProcessor {
                processor: Processor::Stripe,
                name: "Stripe",
                essential: false,
                without: "no plan",
                uses: &[
                    not_yet(Use::Translation, &[Category::MerchantAccount], GLOBAL),
                    DeclaredUse {
                        purpose: Use::Billing,
                        categories: Categories::of(&[Category::MerchantAccount]),
                        region: GLOBAL,
                        in_force: InForce::change(T0, LATER),
                    },
                ],
            },
        ],
    };

    fn call(processor: Processor, purpose: Use, categories: &[Category]) -> Declaration {
        Declaration { processor, purpose, categories: Categories::of(categories) }
    }

    fn told(at: Timestamp) -> Stance {
        Stance { since: Some(T0 - DAY), told: BTreeMap::from([(T0, at)]), objections: BTreeMap::new() }
    }

    #[test]
    fn sets_of_categories_are_sets() {
        use Category::{CustomerAddress, CustomerContact, MerchantAccount, OrderMetadata};
        let (one, two) =
            (Categories::of(&[OrderMetadata, MerchantAccount]), Categories::of(&[CustomerContact]));
        assert!(one.and(two).covers(one) && one.and(two).covers(two) && !one.covers(two));
        assert!(one.covers(Categories::NONE) && !Categories::NONE.covers(one));
        assert!(Categories::NONE.is_empty() && !one.is_empty());
        assert_eq!(one.and(one), one);
        assert_eq!(Categories::of(&[CustomerContact, CustomerContact]), two, "named twice is in it once");
        assert_eq!(one.and(two).without(one), two);
        assert_eq!(one.without(two), one);
        assert_eq!(one.iter().collect::<Vec<_>>(), [MerchantAccount, OrderMetadata]);
        assert_eq!(one.to_string(), "merchant-account, order-metadata");
        assert_eq!(format!("{:?}", Categories::NONE), "nothing");
        assert_eq!(one.words(), "merchant account, order metadata");
        assert_eq!(Categories::NONE.words(), "nothing about anybody");
        assert!(!one.and(two).covers(Categories::of(&[CustomerAddress])));
        for category in Category::ALL {
            assert_eq!(Categories::of(&[category]).iter().collect::<Vec<_>>(), [category]);
        }
    }

    #[test]
    fn what_goes_out_carries_what_its_parts_are_about_and_never_shows_itself() {
        let name = Outgoing::personal(Category::OrderMetadata, &Personal::new("canary".to_owned()));
        let address = Outgoing::about(Category::MerchantAccount, "someone@example.com".to_owned());
        let both = name.clone().with(address.clone(), |name, address| format!("{name} {address}"));
        assert_eq!(both.value(), "canary someone@example.com");
        assert_eq!(both.carries(), Categories::of(&[Category::OrderMetadata, Category::MerchantAccount]));
        assert_eq!(format!("{both:?}"), "(outgoing: merchant-account, order-metadata)");
        assert_eq!(name.clone().map(|name| name.len()).carries(), name.carries());
        let list = Outgoing::all([name, Outgoing::text("x"), address]);
        assert_eq!((list.value().len(), list.carries()), (3, both.carries()));
        assert_eq!(Outgoing::text("x").carries(), Categories::NONE);
        assert_eq!(Outgoing::own(5).carries(), Categories::NONE);
        assert_eq!(Outgoing::carrying(both.carries(), ()).carries(), both.carries());
    }

    #[test]
    fn each_sub_processor_and_each_use_has_one_name_and_is_declared_once() {
        for (index, declared) in Register::CURRENT.processors.iter().enumerate() {
            let first =
                Register::CURRENT.processors.iter().position(|other| other.processor == declared.processor);
            assert_eq!(first, Some(index), "{}", declared.name);
            assert!(!declared.without.is_empty() && !declared.uses.is_empty());
        }
        assert_eq!(Register::CURRENT.processors.len(), Processor::ALL.len());
        let names: BTreeSet<&str> = Use::ALL.into_iter().map(Use::name).collect();
        let texts: BTreeSet<&str> = Use::ALL.into_iter().map(Use::about).collect();
        assert_eq!((names.len(), texts.len()), (Use::ALL.len(), Use::ALL.len()));
        for used in Use::ALL {
            assert_eq!(serde_json::to_value(used).unwrap(), used.name());
            let declared = Register::CURRENT.processors.iter().flat_map(|declared| declared.uses);
            assert_eq!(declared.filter(|declared| declared.purpose == used).count(), 1, "{}", used.name());
        }
    }

    #[test]
    fn nothing_is_sent_for_advertising_profiling_sale_or_training() {
        // A use that is new does not compile before somebody has said here which it is (promise DS41).
        let forbidden = |used: Use| match used {
            Use::Hosting
            | Use::Monitoring
            | Use::Access
            | Use::Reading
            | Use::Flagging
            | Use::CaseMail
            | Use::ServiceMail
            | Use::ProofMail
            | Use::OrderContext
            | Use::MailboxAccess
            | Use::MailboxRelease
            | Use::Mailbox
            | Use::Drafting
            | Use::Translation
            | Use::Billing => false,
        };
        assert!(!Use::ALL.into_iter().any(forbidden));
        let declared = Register::CURRENT.processors.iter().map(|processor| {
            (
                processor.name,
                processor.uses.iter().map(|declared| declared.purpose.name()).collect::<Vec<_>>(),
            )
        });
        let known = [
            ("Amazon Web Services", vec!["hosting", "monitoring"]),
            ("Shopify", vec!["access", "reading", "flagging", "order-context"]),
            ("Resend", vec!["case-mail", "service-mail", "proof-mail"]),
            ("Google", vec!["mailbox-access", "mailbox-release", "mailbox"]),
            ("Anthropic", vec!["drafting", "translation"]),
            ("Stripe", vec!["billing"]),
        ];
        assert_eq!(declared.collect::<Vec<_>>(), known);
    }

    #[test]
    fn monitoring_gets_nothing_personal_and_a_mail_nothing_of_a_customer() {
        use Category::{Correspondence, CustomerAddress, CustomerContact, OrderMetadata};
        let of_customers = Categories::of(&[CustomerContact, CustomerAddress, Correspondence]);
        // What goes to whom of customers, and for what: their mail to the mailbox it came from, what they wrote to who drafts,
        // but not who they are, and whose orders are asked for to the shop they ordered from.
        let told = [
            (Processor::Shopify, Use::OrderContext, &[CustomerContact][..]),
            (Processor::Google, Use::Mailbox, &[CustomerContact, CustomerAddress, Correspondence]),
            (Processor::Anthropic, Use::Drafting, &[Correspondence]),
        ];
        for processor in [Processor::Shopify, Processor::Stripe, Processor::Google, Processor::Anthropic] {
            for used in Register::CURRENT.of(processor).unwrap().uses {
                let of_them = used.categories.without(used.categories.without(of_customers));
                let allowed =
                    told.iter().find(|(to, purpose, _)| *to == processor && *purpose == used.purpose);
                let allowed = allowed.map_or(Categories::NONE, |(_, _, allowed)| Categories::of(allowed));
                assert_eq!(of_them, allowed, "{processor:?} {:?}", used.purpose);
            }
        }
        // But for the address to which a code goes, at the wish of whoever gave it.
        for used in Register::CURRENT.of(Processor::Resend).unwrap().uses {
            let allowed = if used.purpose == Use::ProofMail { &[CustomerContact][..] } else { &[] };
            let of_them = used.categories.without(used.categories.without(of_customers));
            assert_eq!(of_them, Categories::of(allowed), "{:?}", used.purpose);
        }
        assert_eq!(Register::CURRENT.may_get(Processor::Stripe), Categories::NONE, "not in use");
        let monitoring = |category| call(Processor::CloudHost, Use::Monitoring, &[category]);
        for category in Category::ALL.into_iter().filter(|category| *category != Category::Pseudonym) {
            let refused = Register::CURRENT.permits(monitoring(category), &Stance::default(), T0);
            assert_eq!(refused, Err(Refusal::Undeclared(Categories::of(&[category]))), "{category:?}");
        }
        let pseudonym = monitoring(Category::Pseudonym);
        assert_eq!(Register::CURRENT.permits(pseudonym, &Stance::default(), T0), Ok(()));
        let mail = Register::CURRENT.may_get(Processor::Resend);
        assert!(mail.covers(Categories::of(&[OrderMetadata])));
    }

    #[test]
    fn what_is_not_declared_is_refused_whoever_asks() {
        let register = Register::default();
        let nobody = Stance::default();
        let ask = |call| register.permits(call, &nobody, T0);
        let order = [Category::OrderMetadata];
        assert_eq!(ask(call(Processor::Resend, Use::CaseMail, &order)), Ok(()));
        assert_eq!(ask(call(Processor::Resend, Use::CaseMail, &[])), Ok(()));
        assert_eq!(ask(call(Processor::Resend, Use::Flagging, &order)), Err(Refusal::NotDeclared));
        assert_eq!(ask(call(Processor::Anthropic, Use::Drafting, &order)), Ok(()));
        assert_eq!(ask(call(Processor::Anthropic, Use::Translation, &[])), Err(Refusal::NotYet));
        let too_much =
            call(Processor::Resend, Use::CaseMail, &[Category::OrderMetadata, Category::CustomerContact]);
        let contact = Categories::of(&[Category::CustomerContact]);
        assert_eq!(ask(too_much), Err(Refusal::Undeclared(contact)));
        let unknown = call(Processor::Shopify, Use::Access, &[]);
        assert_eq!(CHANGING.permits(unknown, &nobody, T0), Err(Refusal::NotDeclared));
    }

    #[test]
    fn a_change_is_in_force_thirty_days_after_a_merchant_was_told_and_never_before_its_day() {
        let billing = call(Processor::Stripe, Use::Billing, &[Category::MerchantAccount]);
        let at = |stance: &Stance, now| CHANGING.permits(billing, stance, now);
        let milli = Duration::from_millis(1);
        // Told in time: on the day.
        let in_time = told(T0 + DAY);
        assert_eq!(at(&in_time, LATER - milli), Err(Refusal::NotInForce(Some(LATER))));
        assert_eq!(at(&in_time, LATER), Ok(()));
        // Told late: thirty days from then.
        let late = told(LATER - DAY);
        let from = LATER - DAY + NOTICE;
        assert_eq!(at(&late, from - milli), Err(Refusal::NotInForce(Some(from))));
        assert_eq!(at(&late, from), Ok(()));
        // Never told, or told of something else.
        let mut untold = told(T0);
        untold.told = BTreeMap::from([(T0 + milli, T0)]);
        assert_eq!(at(&untold, LATER + NOTICE), Err(Refusal::NotInForce(None)));
        assert_eq!(at(&Stance::default(), LATER + NOTICE), Err(Refusal::NotInForce(None)));
        // Who comes when it is in effect finds it on the list; who came a moment before is told.
        let newcomer = |since| Stance { since: Some(since), ..Stance::default() };
        assert_eq!(at(&newcomer(LATER), LATER), Ok(()));
        assert_eq!(at(&newcomer(LATER - milli), LATER), Err(Refusal::NotInForce(None)));
    }

    #[test]
    fn what_was_in_force_before_a_change_goes_on_and_only_the_new_waits() {
        use Category::{CustomerAddress, OrderMetadata};
        let nobody = Stance::default();
        let before = call(Processor::Resend, Use::CaseMail, &[OrderMetadata]);
        let after = call(Processor::Resend, Use::CaseMail, &[OrderMetadata, CustomerAddress]);
        assert_eq!(CHANGING.permits(before, &nobody, T0), Ok(()));
        assert_eq!(CHANGING.permits(after, &nobody, T0), Err(Refusal::NotInForce(None)));
        assert_eq!(CHANGING.permits(after, &told(T0), LATER), Ok(()));
        let more = call(Processor::Resend, Use::CaseMail, &[CustomerAddress, Category::CustomerContact]);
        assert_eq!(
            CHANGING.permits(more, &told(T0), LATER),
            Err(Refusal::Undeclared(Categories::of(&[CustomerAddress, Category::CustomerContact])))
        );
    }

    #[test]
    fn nothing_goes_to_whom_the_merchant_objects_and_everything_else_does() {
        let mut stance = told(T0);
        stance.objections.insert(Processor::Resend, T0);
        let mail = call(Processor::Resend, Use::CaseMail, &[Category::OrderMetadata]);
        let billing = call(Processor::Stripe, Use::Billing, &[Category::MerchantAccount]);
        assert_eq!(CHANGING.permits(mail, &stance, LATER), Err(Refusal::Objected));
        assert_eq!(CHANGING.permits(billing, &stance, LATER), Ok(()));
        // What was let in by then is given back, and nothing more.
        stance.objections.insert(Processor::Google, T0);
        for declared in Register::CURRENT.of(Processor::Google).unwrap().uses {
            let declaration = Declaration {
                processor: Processor::Google,
                purpose: declared.purpose,
                categories: declared.categories,
            };
            let gives_back = declared.purpose == Use::MailboxRelease;
            let expected = if gives_back { Ok(()) } else { Err(Refusal::Objected) };
            assert_eq!(Register::CURRENT.permits(declaration, &stance, LATER), expected, "{declared:?}");
        }
        let account = Categories::of(&[Category::MerchantAccount]);
        assert_eq!(Use::ALL.into_iter().filter(|used| used.is_release()).count(), 1);
        let release = Register::CURRENT.of(Processor::Google).unwrap().uses;
        assert!(release.iter().any(|used| used.purpose.is_release() && used.categories == account));
        // A mistake stays one.
        let wrong = call(Processor::Resend, Use::Flagging, &[]);
        assert_eq!(CHANGING.permits(wrong, &stance, LATER), Err(Refusal::NotDeclared));
    }

    #[test]
    fn an_announcement_has_all_changes_of_its_time_for_those_it_concerns() {
        let milli = Duration::from_millis(1);
        assert_eq!(CHANGING.announcements(T0 - milli), BTreeSet::new());
        assert_eq!(CHANGING.announcements(T0), BTreeSet::from([T0]));
        let names = |announced, since| {
            let changes = CHANGING.announced(announced, since).into_iter();
            changes
                .map(|(of, used, change)| {
                    assert_eq!((change.announced(), change.effective()), (T0, LATER));
                    (of.name, used.purpose)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(names(T0, T0), [("Resend", Use::CaseMail), ("Stripe", Use::Billing)]);
        assert_eq!(names(T0, LATER), []);
        assert_eq!(names(LATER, T0), []);
        let stripe = Categories::of(&[Category::MerchantAccount]);
        assert_eq!(CHANGING.may_get(Processor::Stripe), stripe);
        assert_eq!(CHANGING.may_get(Processor::Google), Categories::NONE);
        assert_eq!(Register::CURRENT.announcements(LATER), BTreeSet::new(), "no change is pending");
    }

    #[test]
    fn a_refusal_says_why_and_only_a_mistake_of_the_program_is_a_fault() {
        let contact = Categories::of(&[Category::CustomerContact]);
        for (refusal, fault, text) in [
            (Refusal::NotDeclared, true, "no such use is declared"),
            (Refusal::Undeclared(contact), true, "declared without: customer-contact"),
            (Refusal::NotYet, true, "declared and not in use yet"),
            (Refusal::NotInForce(Some(T0)), false, "in force for this merchant from 2027-01-15T08:00:00Z"),
            (Refusal::NotInForce(None), false, "the merchant was not told yet"),
            (Refusal::Objected, false, "the merchant objects"),
        ] {
            assert_eq!((refusal.is_a_fault(), refusal.to_string().as_str()), (fault, text));
        }
    }

    #[test]
    #[should_panic(expected = "30 days")]
    fn a_change_that_is_announced_too_late_is_none() {
        let _too_soon = InForce::change(T0, T0 + NOTICE - Duration::from_millis(1));
    }

    #[test]
    fn thirty_days_are_enough() {
        let InForce::Since(change) = InForce::change(T0, T0 + NOTICE) else { panic!("a change") };
        assert_eq!((change.announced(), change.effective()), (T0, T0 + DAY * 30));
    }

    proptest! {
        #[test]
        fn a_change_never_counts_earlier_than_thirty_days_after_it_was_told(
            since in 0u32..100, told_after in 0u32..100, now in 0u32..200,
        ) {
            let day = |days: u32| T0 - DAY * 20 + DAY * days;
            let stance = Stance { since: Some(day(since)), ..told(day(told_after)) };
            let billing = call(Processor::Stripe, Use::Billing, &[Category::MerchantAccount]);
            let permitted = CHANGING.permits(billing, &stance, day(now)).is_ok();
            let accepted = day(since) >= LATER;
            let had_notice = day(now).since(day(told_after)) >= NOTICE;
            prop_assert_eq!(permitted, day(now) >= LATER && (accepted || had_notice));
        }
    }
}
