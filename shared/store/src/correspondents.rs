//! Whom a mail names: who takes part, and whose addresses and numbers stand in its text. Each is a person who is found by it
//! and whose wishes count, so there are bounds on how many are kept, and what is beyond them is not stored.

use storeward_core::mail::{Address, Incoming};
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;

/// How many of those who take part are kept of a mail.
const PEOPLE: usize = 14;

/// How many addresses and numbers are taken from a mail's text.
const IN_TEXT: usize = 10;

/// The most characters of a name that are kept.
const NAME: usize = 200;

/// The digits of the shortest and the longest number that is looked at (ITU-T E.164: at most 15).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Whom a mail names.
pub(crate) struct Named {
    /// Who takes part, but the mailbox itself.
    pub(crate) people: Vec<Address>,
    /// What they, and those in the text, are found by.
    pub(crate) identifiers: Vec<Identifier>,
    /// Whether there were more than are kept.
    pub(crate) cut: bool,
    own: Option<Personal<String>>,
}

impl Named {
    /// Whom `mail` names in the mailbox with the address `own`. Whoever wrote it comes first.
    pub(crate) fn of(mail: &Incoming, own: &Personal<String>) -> Self {
        let own = normalize::email(own.expose());
        let mut named = Self { people: Vec::new(), identifiers: Vec::new(), cut: false, own };
        let all = mail.from.iter().chain(&mail.reply_to).chain(&mail.to).chain(&mail.cc);
        for address in all {
            let Some(normal) = address.normal().filter(|normal| Some(normal) != named.own.as_ref()) else {
                continue;
            };
            if named.takes_part(&normal) {
                continue;
            }
            if named.people.len() == PEOPLE {
                named.cut = true;
                continue;
            }
            named.people.push(short(address));
            named.add(normalize::identifiers(&[&normal], &[], None));
        }
        let mut found = Vec::new();
        for text in [mail.subject.expose(), mail.text.expose()] {
            in_text(text, &mut found);
        }
        let mut left = IN_TEXT;
        for identifier in found {
            if named.own.as_ref() == Some(&identifier.value) || named.identifiers.contains(&identifier) {
                continue;
            }
            if left == 0 {
                // The text stays as it is: it is found by whoever takes part.
                named.cut = true;
                break;
            }
            left -= 1;
            named.add(vec![identifier]);
        }
        named
    }

    fn add(&mut self, identifiers: Vec<Identifier>) {
        for identifier in identifiers {
            if !self.identifiers.contains(&identifier) {
                self.identifiers.push(identifier);
            }
        }
    }

    fn takes_part(&self, normal: &Personal<String>) -> bool {
        self.people.iter().any(|known| known.normal().as_ref() == Some(normal))
    }

    /// Of some addresses of the mail those that are kept.
    pub(crate) fn kept(&self, addresses: &[Address]) -> Vec<Address> {
        let kept = |address: &&Address| {
            address
                .normal()
                .is_some_and(|normal| self.own.as_ref() == Some(&normal) || self.takes_part(&normal))
        };
        // Own ones can be repeated without end.
        addresses.iter().filter(kept).take(PEOPLE + 1).map(short).collect()
    }
}

fn short(address: &Address) -> Address {
    let name = address.name.as_ref().map(|name| Personal::new(name.expose().chars().take(NAME).collect()));
    Address { name, address: address.address.clone() }
}

/// The e-mail addresses and international phone numbers in a text, in the order they stand there.
fn in_text(text: &str, found: &mut Vec<Identifier>) {
    let apart = |c: char| {
        c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | '"' | ',' | ';' | ':' | '|')
    };
    for word in text.split(apart) {
        let word = word.trim_matches(|c: char| matches!(c, '.' | '!' | '?' | '\'' | '*' | '_' | '-'));
        let has_domain = word.rsplit_once('@').is_some_and(|(_, domain)| domain.contains('.'));
        if has_domain && word.len() <= 320 {
            found.extend(normalize::identifiers(&[&Personal::new(word.to_owned())], &[], None));
        }
    }
    for (start, _) in text.match_indices('+') {
        let rest = text.get(start + 1..).unwrap_or_default();
        let mut digits = String::from("+");
        for c in rest.chars() {
            match c {
                '0'..='9' if digits.len() <= *DIGITS.end() => digits.push(c),
                ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/' => {}
                _ => break,
            }
        }
        if DIGITS.contains(&(digits.len() - 1)) {
            found.extend(normalize::identifiers(&[], &[(&Personal::new(digits), None)], None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        in_text(text, &mut found);
        found.into_iter().map(|identifier| identifier.value.into_inner()).collect()
    }

    #[test]
    fn addresses_and_international_numbers_are_found_wherever_they_stand() {
        let text = "write to <Maria@example.com>, or mailto:Ana@example.com. Call +1 (202) 555-0123!";
        assert_eq!(values(text), ["maria@example.com", "ana@example.com", "+12025550123"]);
    }

    #[test]
    fn what_is_neither_is_not_taken_for_one() {
        for text in ["me@home", "a + b", "+1", "order +49", "@shop", "10 + 20 items"] {
            assert_eq!(values(text), Vec::<String>::new(), "{text}");
        }
    }
}
