//! The merchant's own texts for replies, with `{{placeholders}}`. A placeholder is known or the macro is refused when it is
//! saved; a line whose value is missing is left out when it is filled in. Choosing texts for a mail is `template`'s.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::intent::{Intent, Language};
use crate::personal::Personal;

/// The most macros of a shop.
pub const MOST_MACROS: usize = 100;
/// The longest text of a macro, in characters.
pub const LONGEST_TEXT: usize = 5_000;
/// The longest name or subject, in characters.
pub const LONGEST_NAME: usize = 120;
/// The longest id, in bytes.
pub const LONGEST_ID: usize = 40;

/// A text for replies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Macro {
    /// What rules call it by: letters, digits and hyphens.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it answers; anything where it is not said.
    #[serde(default)]
    pub intent: Option<Intent>,
    /// The language it is in; any where it is not said.
    #[serde(default)]
    pub language: Option<Language>,
    /// A subject of its own. A reply in a thread keeps the thread's.
    #[serde(default)]
    pub subject: Option<Personal<String>>,
    /// The text, with placeholders.
    pub text: Personal<String>,
}

/// A line with the customer's name and fewer words is a greeting.
const WORDS_THAT_SAY: usize = 4;

/// What a macro can be filled in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// The name of the customer.
    CustomerName,
    /// The order, `#1001`.
    OrderName,
    /// How far the order is, in the language of the reply.
    OrderStatus,
    /// The number of the latest parcel.
    TrackingNumber,
    /// Where the latest parcel can be followed.
    TrackingUrl,
    /// Who carries it.
    Carrier,
    /// The name of the shop.
    ShopName,
    /// The signature.
    Signature,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CustomerName,
        Self::OrderName,
        Self::OrderStatus,
        Self::TrackingNumber,
        Self::TrackingUrl,
        Self::Carrier,
        Self::ShopName,
        Self::Signature,
    ];

    /// How it is written between the braces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CustomerName => "customer_name",
            Self::OrderName => "order_name",
            Self::OrderStatus => "order_status",
            Self::TrackingNumber => "tracking_number",
            Self::TrackingUrl => "tracking_url",
            Self::Carrier => "carrier",
            Self::ShopName => "shop_name",
            Self::Signature => "signature",
        }
    }

    /// Whether a line says something by having it; a greeting and a signature say nothing of the matter.
    const fn says_something(self) -> bool {
        !matches!(self, Self::CustomerName | Self::Signature | Self::ShopName)
    }
}

/// A macro, or a list of them, that cannot be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacroProblem {
    /// There are too many.
    TooMany,
    /// The id of the one at this place.
    Id(usize),
    /// Its id is taken.
    TakenId(usize),
    /// Its name, or its subject.
    Name(usize),
    /// Its text is empty or too long.
    Text(usize),
    /// It has characters that are not seen.
    Invisible(usize),
    /// It has a placeholder that nothing is known of, or braces that are not closed.
    Placeholder(usize),
}

impl fmt::Display for MacroProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "macros: keep at most {MOST_MACROS}"),
            Self::Id(place) => {
                write!(f, "macros[{place}].id: 1 to {LONGEST_ID} small letters, digits and hyphens")
            }
            Self::TakenId(place) => {
                write!(f, "macros[{place}].id: another macro has it; choose one of its own")
            }
            Self::Name(place) => {
                write!(f, "macros[{place}]: name and subject have 1 to {LONGEST_NAME} characters")
            }
            Self::Text(place) => write!(f, "macros[{place}].text: write 1 to {LONGEST_TEXT} characters"),
            Self::Invisible(place) => write!(f, "macros[{place}]: leave out characters that are not seen"),
            Self::Placeholder(place) => {
                let names: Vec<&str> = Variable::ALL.into_iter().map(Variable::name).collect();
                write!(f, "macros[{place}]: between double braces stands one of {}", names.join(", "))
            }
        }
    }
}

impl std::error::Error for MacroProblem {}

/// Whether it can be an id of a macro or a rule.
pub(super) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether these macros can be saved.
pub fn check(macros: &[Macro]) -> Result<(), MacroProblem> {
    if macros.len() > MOST_MACROS {
        return Err(MacroProblem::TooMany);
    }
    let mut ids = BTreeSet::new();
    for (place, one) in macros.iter().enumerate() {
        if !is_id(&one.id) {
            return Err(MacroProblem::Id(place));
        }
        if !ids.insert(&one.id) {
            return Err(MacroProblem::TakenId(place));
        }
        let named =
            |text: &str| (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.contains(['\r', '\n']);
        let subject = one.subject.as_ref().map(Personal::expose);
        if !named(&one.name) || !subject.is_none_or(|subject| named(subject)) {
            return Err(MacroProblem::Name(place));
        }
        let text = one.text.expose();
        if text.trim().is_empty() || text.chars().count() > LONGEST_TEXT {
            return Err(MacroProblem::Text(place));
        }
        if [Some(&one.name), subject, Some(text)].into_iter().flatten().any(|text| super::mask::hides(text)) {
            return Err(MacroProblem::Invisible(place));
        }
        if pieces(text).is_none() || subject.is_some_and(|subject| pieces(subject).is_none()) {
            return Err(MacroProblem::Placeholder(place));
        }
    }
    Ok(())
}

/// The macro for a mail: the one that fits intent and language most closely, the first of those. What fits neither is none.
#[must_use]
pub fn choose(macros: &[Macro], intent: Intent, language: Language) -> Option<&Macro> {
    let fits = |one: &&Macro| {
        one.intent.is_none_or(|own| own == intent) && one.language.is_none_or(|own| own == language)
    };
    // The first of the highest rank.
    macros.iter().filter(fits).rev().max_by_key(|one| (one.intent.is_some(), one.language.is_some()))
}

enum Piece<'a> {
    Text(&'a str),
    Value(Variable),
}

/// A text taken apart; `None` when a placeholder is not known or not closed.
fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, next) = after.split_once("}}")?;
        let variable = Variable::ALL.into_iter().find(|variable| variable.name() == name.trim())?;
        pieces.extend([Piece::Text(before), Piece::Value(variable)]);
        rest = next;
    }
    pieces.push(Piece::Text(rest));
    let closed = |piece: &Piece<'_>| !matches!(piece, Piece::Text(text) if text.contains("}}"));
    pieces.iter().all(closed).then_some(pieces)
}

/// A macro says nothing for this mail: what it needs is not known, or it has a placeholder that is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the macro needs values that this mail has not: a person has to answer")
    }
}

impl std::error::Error for Unfit {}

/// A text filled in. A line with a value that is missing is left out; when no line is left that says something of the
/// matter, the macro does not fit. A value is never read for placeholders, and never makes a second line.
pub fn fill(
    text: &str,
    value: impl Fn(Variable) -> Option<Personal<String>>,
) -> Result<Personal<String>, Unfit> {
    let mut lines: Vec<String> = Vec::new();
    let mut says_something = false;
    let mut left_out = false;
    for line in text.lines() {
        let pieces = pieces(line).ok_or(Unfit)?;
        let mut filled = String::new();
        let mut missing = false;
        let (mut courtesy, mut matter, mut words) = (false, false, 0);
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    words += text
                        .split_whitespace()
                        .filter(|word| word.chars().any(char::is_alphanumeric))
                        .count();
                    filled.push_str(text);
                }
                Piece::Value(variable) => {
                    courtesy |= !variable.says_something();
                    matter |= variable.says_something();
                    match value(variable).filter(|value| !value.expose().trim().is_empty()) {
                        Some(value) if variable == Variable::Signature => filled.push_str(value.expose()),
                        Some(value) => {
                            filled.extend(
                                value.expose().trim().chars().map(|c| if c.is_control() { ' ' } else { c }),
                            );
                        }
                        None => missing = true,
                    }
                }
            }
        }
        if missing {
            left_out = true;
            continue;
        }
        // Where a line was left out, its blank line goes with it.
        let blank = filled.trim().is_empty();
        if blank && left_out && lines.last().is_none_or(|last| last.trim().is_empty()) {
            continue;
        }
        says_something |= !blank && (matter || !courtesy || words >= WORDS_THAT_SAY);
        left_out &= blank;
        lines.push(filled.trim_end().to_owned());
    }
    let text = lines.join("\n").trim().to_owned();
    if says_something && !text.is_empty() { Ok(Personal::new(text)) } else { Err(Unfit) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(id: &str, text: &str) -> Macro {
        Macro {
            id: id.to_owned(),
            name: "A macro".to_owned(),
            intent: None,
            language: None,
            subject: None,
            text: Personal::new(text.to_owned()),
        }
    }

    fn known(variable: Variable) -> Option<Personal<String>> {
        let value = match variable {
            Variable::CustomerName => "Anna",
            Variable::OrderName => "#1001",
            Variable::ShopName => "Example Shop",
            Variable::Signature => "Example Shop\nExample Street 1",
            _ => return None,
        };
        Some(Personal::new(value.to_owned()))
    }

    fn filled(text: &str) -> Result<String, Unfit> {
        fill(text, known).map(Personal::into_inner)
    }

    #[test]
    fn a_macro_is_filled_in_and_a_line_that_misses_a_value_is_left_out() {
        let text = "Hi {{customer_name}},\n\nyour order {{ order_name }} is on its way.\nFollow it: {{tracking_url}}\n\n{{signature}}";
        assert_eq!(
            filled(text).unwrap(),
            "Hi Anna,\n\nyour order #1001 is on its way.\n\nExample Shop\nExample Street 1"
        );
        assert_eq!(filled("One.\n\n{{carrier}}\n\nTwo.").unwrap(), "One.\n\nTwo.", "no gap is left");
    }

    #[test]
    fn a_macro_of_which_only_courtesy_is_left_does_not_fit() {
        assert_eq!(filled("Hi {{customer_name}},\n{{tracking_url}}\n\n{{signature}}"), Err(Unfit));
        assert_eq!(filled("Hi {{customer_name}}, it is on its way.").unwrap(), "Hi Anna, it is on its way.");
        assert_eq!(filled("{{order_name}}, {{customer_name}}").unwrap(), "#1001, Anna");
        assert_eq!(filled("{{tracking_number}}"), Err(Unfit));
        assert_eq!(
            filled("Stored by {{newer}}"),
            Err(Unfit),
            "an unknown placeholder never reaches a customer"
        );
    }

    #[test]
    fn a_value_is_no_template_and_no_second_line() {
        let sly = |_| Some(Personal::new("{{signature}}\nBcc: x".to_owned()));
        assert_eq!(
            fill("Order {{order_name}} here", sly).unwrap().into_inner(),
            "Order {{signature}} Bcc: x here"
        );
    }

    #[test]
    fn what_cannot_be_saved_is_refused_by_its_place() {
        let long = "x".repeat(LONGEST_TEXT + 1);
        for (second, expected) in [
            (text("b", "fine {{order_name}}"), Ok(())),
            (text("a", "fine"), Err(MacroProblem::TakenId(1))),
            (text("B", "fine"), Err(MacroProblem::Id(1))),
            (text("", "fine"), Err(MacroProblem::Id(1))),
            (text("b", " \n"), Err(MacroProblem::Text(1))),
            (text("b", &long), Err(MacroProblem::Text(1))),
            (text("b", "{{order}}"), Err(MacroProblem::Placeholder(1))),
            (text("b", "{{order_name"), Err(MacroProblem::Placeholder(1))),
            (text("b", "order_name}}"), Err(MacroProblem::Placeholder(1))),
            (text("b", "a\u{200b}b"), Err(MacroProblem::Invisible(1))),
            (Macro { name: String::new(), ..text("b", "x") }, Err(MacroProblem::Name(1))),
            (
                Macro { subject: Some(Personal::new("a\nb".to_owned())), ..text("b", "x") },
                Err(MacroProblem::Name(1)),
            ),
        ] {
            assert_eq!(check(&[text("a", "x"), second]), expected);
        }
        let many: Vec<Macro> = (0..=MOST_MACROS).map(|number| text(&number.to_string(), "x")).collect();
        assert_eq!(check(&many), Err(MacroProblem::TooMany));
        assert!(MacroProblem::Placeholder(0).to_string().contains("customer_name"));
    }

    #[test]
    fn the_macro_that_fits_most_closely_is_chosen() {
        let one = |id, intent, language| Macro { intent, language, ..text(id, "x") };
        let macros = [
            one("any", None, None),
            one("german", None, Some(Language::German)),
            one("refund", Some(Intent::Refund), None),
            one("german-refund", Some(Intent::Refund), Some(Language::German)),
            one("german-refund-2", Some(Intent::Refund), Some(Language::German)),
        ];
        let chosen = |intent, language| choose(&macros, intent, language).map(|one| one.id.as_str());
        assert_eq!(chosen(Intent::Refund, Language::German), Some("german-refund"));
        assert_eq!(chosen(Intent::Refund, Language::French), Some("refund"));
        assert_eq!(chosen(Intent::Shipping, Language::German), Some("german"));
        assert_eq!(chosen(Intent::Shipping, Language::French), Some("any"));
        assert_eq!(choose(&macros[2..], Intent::Shipping, Language::French), None);
    }

    proptest! {
        #[test]
        fn what_passes_the_check_never_shows_braces_to_a_customer(body in "([a-z \n]|\\{\\{|\\}\\}|order_name|carrier){0,12}") {
            let one = text("a", &body);
            if check(&[one]).is_ok() && let Ok(filled) = filled(&body) {
                prop_assert!(!filled.contains("{{") && !filled.contains("}}"), "{}", filled);
            }
        }
    }
}
