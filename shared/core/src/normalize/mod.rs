//! One spelling for what can be spelled in many ways: e-mail, phone, address, name.
//! Exact forms only; what survives typing errors is the matching's to add. The forms that become subject rows
//! are frozen ([`SUBJECT_VERSION`]): a person erased next year must be found under the spelling of today.

mod phone;

pub use phone::phone;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::order::{Address, Order};
use crate::personal::Personal;

/// The version of the forms under which data subjects are found. It does not change without a migration of
/// every subject row.
pub const SUBJECT_VERSION: &str = "1";

/// An e-mail address in its exact form: trimmed, NFKC, lower case. No provider rules: dots and tags can be
/// different people. `None` when it has no local part, no domain, or white space inside.
#[must_use]
pub fn email(text: &str) -> Option<Personal<String>> {
    let folded: String = text.trim().nfkc().collect::<String>().to_lowercase();
    let (local, domain) = folded.rsplit_once('@')?;
    let plain = !folded.chars().any(|c| c.is_whitespace() || c.is_control());
    (!local.is_empty() && !domain.is_empty() && plain && folded.len() <= 320).then(|| Personal::new(folded))
}

/// Letters and digits alone, without marks and in lower case, words parted by one space.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        if let Some(plain) = plain_letters(c) {
            if gap && !folded.is_empty() {
                folded.push(' ');
            }
            gap = false;
            folded.push_str(plain);
        } else if c.is_alphanumeric() {
            if gap && !folded.is_empty() {
                folded.push(' ');
            }
            gap = false;
            folded.push(c);
        } else if c != '\'' && c != '’' {
            gap = true;
        }
    }
    folded
}

/// Letters that Unicode does not take apart, as people write them where their keyboard lacks them.
const fn plain_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        'ħ' => "h",
        _ => return None,
    })
}

/// What a person can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// The number of a customer account.
    Customer,
}

impl IdentifierKind {
    /// The word for it in keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Customer => "customer",
        }
    }
}

/// One thing a person is found by, in its exact form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// Which kind.
    pub kind: IdentifierKind,
    /// The exact form.
    pub value: Personal<String>,
}

/// Every identifier of a person, from whatever of the three is known; phone numbers are read in any of
/// `countries`, the first that makes one valid.
#[must_use]
pub fn identifiers(
    emails: &[&Personal<String>],
    phones: &[(&Personal<String>, Option<&str>)],
    customer: Option<&Personal<u64>>,
) -> Vec<Identifier> {
    let mut found: Vec<Identifier> = Vec::new();
    let mut add = |kind, value: Option<Personal<String>>| {
        if let Some(value) = value {
            let identifier = Identifier { kind, value };
            if !found.contains(&identifier) {
                found.push(identifier);
            }
        }
    };
    for text in emails {
        add(IdentifierKind::Email, email(text.expose()));
    }
    for (text, country) in phones {
        add(IdentifierKind::Phone, phone(text.expose(), *country));
    }
    add(IdentifierKind::Customer, customer.map(|id| Personal::new(id.expose().to_string())));
    found
}

/// The identifiers of everyone an order names: what its subject rows are written for.
#[must_use]
pub fn order_identifiers(order: &Order) -> Vec<Identifier> {
    let customer = order.customer.as_ref();
    let emails: Vec<&Personal<String>> = [
        order.email.as_ref(),
        order.contact_email.as_ref(),
        customer.and_then(|customer| customer.email.as_ref()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let country = order.addresses().find_map(country);
    let mut phones: Vec<(&Personal<String>, Option<&str>)> =
        [order.phone.as_ref(), customer.and_then(|customer| customer.phone.as_ref())]
            .into_iter()
            .flatten()
            .map(|phone| (phone, country))
            .collect();
    for address in order.addresses() {
        if let Some(phone) = &address.phone {
            phones.push((phone, self::country(address).or(country)));
        }
    }
    identifiers(&emails, &phones, customer.and_then(|customer| customer.id.as_ref()))
}

fn country(address: &Address) -> Option<&str> {
    address.country_code.as_ref().map(|code| code.expose().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exposed(value: Option<Personal<String>>) -> Option<String> {
        value.map(Personal::into_inner)
    }

    #[test]
    fn the_same_number_has_one_form() {
        for (text, country) in
            [("(202) 555-0123", Some("US")), ("+1 202 555 0123", None), ("202.555.0123", Some("us"))]
        {
            assert_eq!(exposed(phone(text, country)).as_deref(), Some("+12025550123"), "{text}");
        }
        assert_eq!(phone("12", Some("US")), None);
        assert_eq!(phone("202 555 0123", None), None, "no country, no number");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing_and_never_panics(text in "\\PC{0,80}", country in "[A-Z]{2}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
            if let Some(once) = email(&text) {
                prop_assert_eq!(email(once.expose()), Some(once.clone()));
            }
            if let Some(once) = phone(&text, Some(&country)) {
                prop_assert_eq!(phone(once.expose(), None), Some(once.clone()));
            }
        }

        #[test]
        fn an_email_keeps_its_form_whatever_its_case(local in "[a-z0-9._+-]{1,20}", domain in "[a-z0-9-]{1,20}\\.[a-z]{2,5}") {
            let text = format!("{local}@{domain}");
            prop_assert_eq!(email(&format!(" {} ", text.to_uppercase())), email(&text));
        }
    }
}
