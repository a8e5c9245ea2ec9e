//! The mails about rights requests: that one is due, and the code that proves who asks. Nothing of a person is in the first;
//! the second names the shop and the code. Sending them is not done here.

use crate::alert::{Mail, clean, escape_html};
use crate::rights::{RightsKind, RightsState, Warning};
use crate::time::Timestamp;

/// The longest domain of a shop that is shown in full.
const LONGEST_SHOP: usize = 100;

/// What a merchant calls a kind of request.
const fn what(kind: RightsKind) -> &'static str {
    match kind {
        RightsKind::Access => "to see what is stored about a person",
        RightsKind::Portability => "for a file of what is stored about a person",
        RightsKind::Rectification => "to put right what is stored about a person",
        RightsKind::Erasure => "to erase a person",
        RightsKind::Restriction => "to restrict the use of a person's data",
        RightsKind::LiftRestriction => "to use a person's data again",
        RightsKind::Objection => "to store nothing new about a person",
        RightsKind::LiftObjection => "to store again what is told of a person",
    }
}

/// The warning that a request is due soon, or overdue.
#[must_use]
pub fn warning(warning: Warning, kind: RightsKind, state: RightsState, due: Timestamp, app: &str) -> Mail {
    let due = due.to_rfc3339();
    let due = due.get(..16).unwrap_or(&due).replace('T', " ");
    let subject = format!("A customer's request is {warning}");
    let said = format!("A request {} is {warning}: the law wants an answer by {due} UTC.", what(kind));
    let next = match state {
        RightsState::Ready => {
            "The answer is ready: open the request in the app, fetch it and give it to the person."
        }
        RightsState::Refused => {
            "The answer was ready, nobody fetched it, and it had to be deleted: open another request and fetch it."
        }
        RightsState::Proving | RightsState::Received | RightsState::InWork | RightsState::Done => {
            "It is not carried out yet. We were told too and see to it; in the app you see where it stands."
        }
    };
    compose(subject, &[&said, next, &format!("Open the app: {app}")])
}

/// The code that a person proves with who they are.
#[must_use]
pub fn code(shop: &str, code: &str, until: Timestamp) -> Mail {
    let shop = clean(shop, LONGEST_SHOP);
    let until = until.to_rfc3339();
    let until = until.get(..16).unwrap_or(&until).replace('T', " ");
    let asked = format!("Somebody asked us about the data that the shop {shop} keeps under this address.");
    let tell = format!("If that was you, answer our mail with this code: {code}");
    let ends = format!(
        "It counts until {until} UTC. If it was not you, do nothing: without the code nothing is done."
    );
    compose(format!("Your code: {code}"), &[&asked, &tell, &ends])
}

fn compose(subject: String, paragraphs: &[&str]) -> Mail {
    let text = format!("{}\n", paragraphs.join("\n\n"));
    let html: Vec<String> = paragraphs.iter().map(|said| escape_html(said)).collect();
    let html = html.join("</p><p>");
    let html = format!("<!doctype html><html lang=\"en\"><body><p>{html}</p></body></html>");
    Mail { subject, text, html }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: &str = "2026-12-20T16:00:41Z";

    #[test]
    fn a_warning_says_what_by_when_and_what_to_do() {
        let due = Timestamp::parse_rfc3339(DUE).unwrap();
        let mail = warning(
            Warning::ThreeDays,
            RightsKind::Access,
            RightsState::Ready,
            due,
            "https://app.example.com",
        );
        assert_eq!(mail.subject, "A customer's request is due within three days");
        for said in
            ["to see what is stored", "by 2026-12-20 16:00 UTC", "fetch it", "https://app.example.com"]
        {
            assert!(mail.text.contains(said) && mail.html.contains(said), "{said}: {}", mail.text);
        }
        let mut told = std::collections::BTreeSet::new();
        for kind in RightsKind::ALL {
            for state in [RightsState::Received, RightsState::Ready, RightsState::Refused] {
                told.insert(warning(Warning::Overdue(2), kind, state, due, "x").text);
            }
        }
        assert_eq!(told.len(), RightsKind::ALL.len() * 3, "each says what it is about and what to do");
    }

    #[test]
    fn a_code_is_told_with_the_shop_and_its_end_and_a_shop_stays_text() {
        let until = Timestamp::parse_rfc3339(DUE).unwrap();
        let mail = code("<b>shop.example.com</b>\r\n", "012345", until);
        assert_eq!(mail.subject, "Your code: 012345");
        assert!(
            mail.text.contains("answer our mail with this code: 012345") && mail.text.contains("16:00 UTC")
        );
        assert!(mail.html.contains("&lt;b&gt;shop.example.com") && !mail.html.contains("<b>"));
        assert_eq!(mail.text.lines().count(), 5);
    }
}
