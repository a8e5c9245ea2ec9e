//! Drafts without Claude: the merchant's macro for the mail, or else a text that is built in, filled in with what is known of
//! the order. Built-in texts promise nothing, in any language.

mod texts;

use super::context::OrderContext;
use super::macros::{self, Macro, Variable};
use super::settings::{DeskSettings, Tone};
use crate::intent::{Intent, Language};
use crate::personal::Personal;
use texts::Texts;

/// The longest name a reply greets with, in characters.
const LONGEST_NAME: usize = 40;

/// What a draft is made of.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// What the mail is about.
    pub intent: Intent,
    /// The language of the mail.
    pub language: Option<Language>,
    /// The macro that a rule names; the best one for intent and language otherwise.
    pub macro_id: Option<&'a str>,
    /// The order, where one is known.
    pub order: Option<&'a OrderContext>,
    /// The name of whoever wrote. The name in the order comes first: the other is whatever they call themselves.
    pub sender_name: Option<&'a Personal<String>>,
    /// The name of the shop.
    pub shop_name: &'a str,
}

/// A draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateDraft {
    /// Its text.
    pub text: Personal<String>,
    /// Its language.
    pub language: Language,
    /// The macro it is made of; none where the text is built in.
    pub macro_id: Option<String>,
}

/// A draft for an occasion; `None` for spam without a macro that a rule names: nothing is built in to answer it.
#[must_use]
pub fn draft(occasion: &Occasion<'_>, settings: &DeskSettings, macros: &[Macro]) -> Option<TemplateDraft> {
    let wanted = settings.reply_language.answer(occasion.language);
    let named = occasion.macro_id.and_then(|id| macros.iter().find(|one| one.id == id));
    let chosen =
        || macros::choose(macros, occasion.intent, wanted).filter(|_| occasion.intent != Intent::Spam);
    if let Some(one) = named.or_else(chosen) {
        let language = one.language.unwrap_or(wanted);
        let filled =
            macros::fill(one.text.expose(), |variable| value(variable, occasion, settings, language));
        if let Ok(text) = filled {
            return Some(TemplateDraft { text, language, macro_id: Some(one.id.clone()) });
        }
    }
    built_in(occasion, settings, wanted)
}

/// The built-in draft in the language where there is one, in English otherwise.
fn built_in(occasion: &Occasion<'_>, settings: &DeskSettings, wanted: Language) -> Option<TemplateDraft> {
    let language = if Texts::of(wanted).is_some() { wanted } else { Language::English };
    let texts = Texts::of(language)?;
    let has_tracking = occasion.order.is_some_and(|order| {
        order.tracking.iter().any(|parcel| parcel.number.is_some() || parcel.url.is_some())
    });
    let body = match occasion.intent {
        Intent::Spam => return None,
        Intent::Question => texts.question,
        Intent::Refund => texts.refund,
        Intent::Shipping if occasion.order.is_none() => texts.shipping_unknown,
        Intent::Shipping if has_tracking => texts.shipping_tracked,
        Intent::Shipping => texts.shipping_untracked,
    };
    let named = greeting_name(occasion).is_some();
    let greeting = match (settings.tone, named) {
        (Tone::Friendly, true) => texts.friendly_named,
        (Tone::Friendly, false) => texts.friendly,
        (Tone::Neutral | Tone::Formal, true) => texts.formal_named,
        (Tone::Neutral | Tone::Formal, false) => texts.formal,
    };
    let closing = match settings.tone {
        Tone::Friendly => texts.friendly_closing,
        Tone::Neutral | Tone::Formal => texts.formal_closing,
    };
    let signature =
        if settings.signature.expose().trim().is_empty() { "{{shop_name}}" } else { "{{signature}}" };
    let whole = format!("{greeting}\n\n{body}\n\n{closing}\n{signature}");
    let text = macros::fill(&whole, |variable| value(variable, occasion, settings, language)).ok()?;
    Some(TemplateDraft { text, language, macro_id: None })
}

/// What stands for a variable; `None` where nothing is known.
fn value(
    variable: Variable,
    occasion: &Occasion<'_>,
    settings: &DeskSettings,
    language: Language,
) -> Option<Personal<String>> {
    let order = occasion.order;
    // What is known of the latest parcel that has it.
    let parcels = || order.into_iter().flat_map(|order| &order.tracking);
    match variable {
        Variable::CustomerName => greeting_name(occasion),
        Variable::OrderName => order.map(|order| order.name.clone()),
        Variable::OrderStatus => {
            let texts = Texts::of(language).or_else(|| Texts::of(Language::English))?;
            order.and_then(|order| texts.status(order.state)).map(|word| Personal::new(word.to_owned()))
        }
        Variable::TrackingNumber => parcels().find_map(|parcel| parcel.number.clone()),
        Variable::TrackingUrl => parcels().find_map(|parcel| parcel.url.clone()),
        Variable::Carrier => parcels().find_map(|parcel| parcel.carrier.clone()).map(Personal::new),
        Variable::ShopName => Some(Personal::new(occasion.shop_name.to_owned())),
        Variable::Signature => Some(settings.signature.clone()),
    }
}

/// The name to greet with. What is no plain name is none: anybody can call themselves an address or an offer.
fn greeting_name(occasion: &Occasion<'_>) -> Option<Personal<String>> {
    let of_order = occasion.order.and_then(|order| order.customer_name.as_ref());
    of_order.into_iter().chain(occasion.sender_name).find(|name| is_plain_name(name.expose())).cloned()
}

fn is_plain_name(name: &str) -> bool {
    let name = name.trim();
    let plain = |c: char| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’') || is_mark(c);
    !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && name.split_whitespace().count() <= 4
        && name.chars().all(plain)
        && name.chars().any(char::is_alphabetic)
        && !super::review::mixes_scripts(name)
}

fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

#[cfg(test)]
mod tests;
