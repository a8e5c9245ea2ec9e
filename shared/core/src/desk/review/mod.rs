//! The checks every draft passes before it is stored: what may stand in a reply, and what commits the shop. Whoever wrote
//! the draft is not trusted, be it Claude, that read a stranger's mail, or a macro. What happens then is `rules`'.

mod commitments;
mod links;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use commitments::commitments;

use super::context::OrderContext;
use super::macros::Macro;
use super::mask::{self, Kind, Known, Masker, Span};
use super::settings::DeskSettings;
use crate::intent::Language;
use crate::normalize;
use crate::personal::Personal;

/// The longest reply, in characters.
pub const LONGEST_REPLY: usize = 6_000;

/// The longest number that may be repeated to whoever wrote it, in bytes.
const LONGEST_REPEATED: usize = 12;

/// So many words of our own instructions in a row are no accident.
const ECHO_WORDS: usize = 10;

/// What a reply commits the shop to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Commitment {
    /// Money back.
    Refund,
    /// Goods back.
    Return,
    /// Something else instead.
    Exchange,
    /// Less to pay.
    Discount,
    /// A day, or a time within which something happens.
    Date,
}

impl Commitment {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Refund, Self::Return, Self::Exchange, Self::Discount, Self::Date];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Return => "return",
            Self::Exchange => "exchange",
            Self::Discount => "discount",
            Self::Date => "date",
        }
    }
}

/// Why a person has to look at a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// It says nothing.
    Empty,
    /// It is longer than a reply may be.
    TooLong,
    /// It links to what is neither the shop's nor allowed.
    ForeignLink,
    /// It has an e-mail address that is neither the shop's, allowed, nor the customer's own.
    ForeignAddress,
    /// It has a phone number that is neither the shop's nor the customer's own.
    ForeignPhone,
    /// It has a postal address, a number of a parcel or an account that is neither the shop's, the order's nor the
    /// customer's own, or a number of an order that nobody in the conversation named.
    ForeignValue,
    /// A placeholder was left.
    Placeholder,
    /// It is written in markup: replies are plain text.
    Markup,
    /// It has characters that are not seen.
    Invisible,
    /// It has words of two scripts: letters that are taken for others.
    LookAlike,
    /// It repeats instructions, or speaks of them.
    PromptEcho,
    /// It has what looks like a key or a password.
    Secret,
}

/// Whether a draft is fit to be sent, as far as its text goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "concerns")]
pub enum Verdict {
    /// Nothing speaks against it.
    Fit,
    /// A person has to look at it.
    NeedsHuman(BTreeSet<Concern>),
}

/// What a review found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Whether it is fit.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it commits the shop to: such a draft is never sent by itself.
    pub commits: BTreeSet<Commitment>,
}

impl Review {
    /// The same, with what the writer of the draft says it commits to. It adds, and never takes away.
    #[must_use]
    pub fn and_commits(mut self, said: impl IntoIterator<Item = Commitment>) -> Self {
        self.commits.extend(said);
        self
    }

    /// Whether it may be sent without a person, as far as its text goes.
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        self.verdict == Verdict::Fit && self.commits.is_empty()
    }
}

/// What may stand in a shop's replies to anybody.
#[derive(Clone, Default)]
pub struct Allowed {
    pub(super) domains: BTreeSet<String>,
    /// Beginnings of addresses.
    pub(super) links: BTreeSet<String>,
    /// Links that the merchant wrote, which may stand as they are.
    pub(super) written: BTreeSet<String>,
    values: BTreeSet<(Kind, String)>,
}

impl std::fmt::Debug for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "({} domains, {} links, {} values)",
            self.domains.len(),
            self.links.len(),
            self.values.len()
        )
    }
}

impl Allowed {
    /// What is a shop's own, by its domains, and what its merchant allows or wrote: settings, policies, macros.
    #[must_use]
    pub fn of(shop_domains: &[&str], settings: &DeskSettings, macros: &[Macro]) -> Self {
        let mut allowed = Self::default();
        for domain in shop_domains {
            allowed.domains.insert(links::host(domain));
        }
        for link in &settings.links {
            if link.starts_with("https://") {
                allowed.links.insert(link.clone());
            } else {
                allowed.domains.insert(links::host(link));
            }
        }
        for address in &settings.addresses {
            allowed.values.insert((Kind::Email, mask::key(Kind::Email, address.expose())));
        }
        let written = [&settings.signature, &settings.policies.returns, &settings.policies.shipping];
        for text in written.into_iter().chain(macros.iter().map(|one| &one.text)) {
            for found in mask::values(text.expose()) {
                let value = &text.expose()[found.start..found.end];
                allowed.values.insert((found.kind, mask::key(found.kind, value)));
            }
            allowed.written.extend(links::links(text.expose()));
        }
        allowed
    }

    fn has(&self, kind: Kind, value: &str) -> bool {
        let own_address = || {
            let domain = value.rsplit_once('@').map(|(_, domain)| links::host(domain));
            kind == Kind::Email && domain.is_some_and(|domain| self.domains.contains(&domain))
        };
        self.values.contains(&(kind, mask::key(kind, value))) || own_address()
    }
}

/// What a draft is held against.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// What is the shop's.
    pub allowed: &'a Allowed,
    /// What is known of the customer from the shop and from the address the mail came from. Not what the mail says.
    pub customer: &'a Known,
    /// What was masked in the mails of the thread; none for a draft that Claude did not write.
    pub masker: Option<&'a Masker<'a>>,
    /// The order.
    pub order: Option<&'a OrderContext>,
    /// The instructions that must not come back.
    pub instructions: &'a str,
    /// The language of the draft. In one whose commitments nobody can tell, it may commit the shop to anything.
    pub language: Option<Language>,
}

impl Conversation<'_> {
    /// Whether a value is the shop's, the customer's own or the order's.
    fn allows(&self, kind: Kind, value: &str) -> bool {
        // Of a phone number the last digits count, which an account could share.
        let account = |other: Kind| kind == Kind::Account && other == Kind::Phone;
        let same =
            |other: &Kind| *other == kind || (other.is_number() && kind.is_number() && !account(*other));
        Kind::ALL
            .into_iter()
            .filter(same)
            .any(|kind| self.customer.has(kind, value) || self.allowed.has(kind, value))
            || is_of_order(kind, value, self.order)
    }

    /// Whether it is a short number that stood in a mail of the thread.
    fn may_repeat(&self, kind: Kind, value: &str) -> bool {
        let digits = value.chars().filter(char::is_ascii_digit).count();
        value.len() <= LONGEST_REPEATED
            && digits < mask::SHORTEST_PHONE
            && self.masker.is_some_and(|masker| masker.stood_in_a_text(kind, value))
    }
}

/// Reviews a draft.
#[must_use]
pub fn review(draft: &Personal<String>, conversation: &Conversation<'_>) -> Review {
    let text = draft.expose();
    let mut concerns = BTreeSet::new();
    let mut concern = |holds: bool, which| {
        if holds {
            concerns.insert(which);
        }
    };
    concern(text.trim().is_empty(), Concern::Empty);
    concern(text.chars().count() > LONGEST_REPLY, Concern::TooLong);
    concern(mask::hides(text), Concern::Invisible);
    concern(mixes_scripts(text), Concern::LookAlike);
    // What is not seen does not part what is read.
    let view = mask::View::of(text).text;
    concern(has_placeholder(&view), Concern::Placeholder);
    concern(links::has_markup(text) || links::has_markup(&view), Concern::Markup);
    concern(echoes(&view, conversation.instructions), Concern::PromptEcho);
    concern(has_secret(&view), Concern::Secret);
    let foreign_link = |text: &str| {
        links::links(text)
            .iter()
            .any(|link| !links::is_allowed(link, conversation.allowed, conversation.order))
    };
    concern(foreign_link(text) || foreign_link(&view), Concern::ForeignLink);
    let values = mask::values(&view);
    let fine = |found: &Span| conversation.allows(found.kind, &view[found.start..found.end]);
    let allowed: Vec<&Span> = values.iter().filter(|found| fine(found)).collect();
    // What is part of a value that may stand, may stand.
    let part =
        |found: &Span| allowed.iter().any(|whole| whole.start <= found.start && found.end <= whole.end);
    for found in values.iter().filter(|found| !part(found)) {
        let value = &view[found.start..found.end];
        let foreign = match found.kind {
            // A stranger may have written it into the mail, so that goods or money go there: said is not enough.
            Kind::Email => Some(Concern::ForeignAddress),
            Kind::Phone => Some(Concern::ForeignPhone),
            // The number of an order may be repeated to whoever names it: it is too short to call or to pay to.
            Kind::Order | Kind::Number if conversation.may_repeat(found.kind, value) => None,
            Kind::Account | Kind::Tracking | Kind::Address | Kind::Order | Kind::Number => {
                Some(Concern::ForeignValue)
            }
            // Links have their own check; a name cannot be told from other words.
            Kind::Link | Kind::Name | Kind::Text => None,
        };
        if let Some(foreign) = foreign {
            concern(found.kind == Kind::Email || !is_in_a_link(&view, value), foreign);
        }
    }
    let verdict = if concerns.is_empty() { Verdict::Fit } else { Verdict::NeedsHuman(concerns) };
    let can_be_told = conversation.language.is_some_and(commitments::can_be_told_in);
    let commits = if can_be_told { commitments(&view) } else { Commitment::ALL.into_iter().collect() };
    Review { verdict, commits }
}

/// Whether a word has letters of Latin and letters of a script that looks like it.
pub(super) fn mixes_scripts(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic() || matches!(c, 'À'..='ɏ' | 'Ḁ'..='ỿ'));
        let other = word.chars().any(|c| matches!(c, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}'));
        latin && other
    })
}

/// A number of the order under any of the names a pattern may give it.
fn is_of_order(kind: Kind, value: &str, order: Option<&OrderContext>) -> bool {
    let Some(order) = order else { return false };
    let wanted = mask::key(Kind::Number, value);
    let numbers = order.tracking.iter().filter_map(|parcel| parcel.number.as_ref());
    !matches!(kind, Kind::Email | Kind::Link)
        && std::iter::once(&order.name)
            .chain(numbers)
            .any(|number| mask::key(Kind::Number, number.expose()) == wanted)
}

/// A number inside a link is the link's: whether that may stand is asked there.
fn is_in_a_link(text: &str, value: &str) -> bool {
    let in_links: usize = links::links(text).iter().map(|link| link.matches(value).count()).sum();
    in_links > 0 && in_links >= text.matches(value).count()
}

fn has_placeholder(text: &str) -> bool {
    let named = Kind::ALL.into_iter().any(|kind| {
        text.match_indices(kind.word()).any(|(at, word)| {
            let rest = text[at + word.len()..].strip_prefix('_');
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    });
    named || text.contains([mask::OPEN, mask::CLOSE]) || text.contains("{{") || text.contains("}}")
}

/// Phrases of whoever speaks of instructions, folded.
const ECHOES: [&str; 16] = [
    "system prompt",
    "systemprompt",
    "my instructions",
    "your instructions",
    "previous instructions",
    "prior instructions",
    "these instructions",
    "as an ai",
    "language model",
    "untrusted",
    "json schema",
    "needs human",
    "developer mode",
    "meine anweisungen",
    "mes instructions",
    "mis instrucciones",
];

fn echoes(text: &str, instructions: &str) -> bool {
    let folded = format!(" {} ", normalize::fold(text));
    let instructions = normalize::fold(instructions);
    let words: Vec<&str> = instructions.split(' ').collect();
    let repeats = words.windows(ECHO_WORDS).any(|window| folded.contains(&format!(" {} ", window.join(" "))));
    repeats || ECHOES.iter().any(|echo| folded.contains(&format!(" {echo} ")))
}

/// How keys and passwords of services begin or are named.
const SECRETS: [&str; 14] = [
    "sk-ant-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "whsec_",
    "shpat_",
    "shpss_",
    "shpca_",
    "akia",
    "ghp_",
    "xoxb-",
    "-----begin",
    "eyjhbgci",
    "ya29.",
];

fn has_secret(text: &str) -> bool {
    let lower = text.to_lowercase();
    SECRETS.iter().any(|secret| lower.contains(secret))
}

#[cfg(test)]
mod tests;
