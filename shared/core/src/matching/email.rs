//! E-mail addresses as they are compared: the exact form of [`normalize`], and a form by the provider's rules. The
//! second is only evidence; no person is found by it (it is no subject form).

use super::text::Likeness;
use crate::normalize;

/// Providers that ignore dots in the local part.
const DOTLESS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// An e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Email {
    exact: String,
    local: String,
    domain: String,
}

impl Email {
    pub(super) fn of(text: &str) -> Option<Self> {
        let exact = normalize::email(text)?.into_inner();
        let (local, domain) = exact.rsplit_once('@')?;
        let domain = if DOTLESS.contains(&domain) { "gmail.com" } else { domain };
        // What follows the plus is a label of the same mailbox, at nearly every provider.
        let base =
            local.split_once('+').map_or(local, |(base, _)| if base.is_empty() { local } else { base });
        let local = if DOTLESS.contains(&domain) { base.replace('.', "") } else { base.to_owned() };
        let (local, domain) = (if local.is_empty() { base.to_owned() } else { local }, domain.to_owned());
        Some(Self { exact, local, domain })
    }

    /// The mailbox: what the key is made of.
    pub(super) fn mailbox(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    pub(super) fn local(&self) -> &str {
        &self.local
    }

    /// Same: the same mailbox. Near: one or two slips apart. Similar: more slips, or the same name elsewhere.
    pub(super) fn likeness(&self, other: &Self) -> Likeness {
        if self.exact == other.exact || (self.local == other.local && self.domain == other.domain) {
            return Likeness::Same;
        }
        // Names at large providers differ by a number or a letter from one person to the next: digits have no slips.
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let long = self.local.len().min(other.local.len()) >= 5;
        if !long || digits(&self.local) != digits(&other.local) {
            return Likeness::Unlike;
        }
        let local = strsim::normalized_damerau_levenshtein(&cut(&self.local), &cut(&other.local));
        let domain = strsim::normalized_damerau_levenshtein(&cut(&self.domain), &cut(&other.domain));
        if local >= 0.75 && domain >= 0.75 {
            Likeness::Near
        } else if local >= 1.0 || (local >= 0.75 && domain >= 0.5) {
            Likeness::Similar
        } else {
            Likeness::Unlike
        }
    }
}

fn cut(text: &str) -> String {
    super::text::cut(text)
}
