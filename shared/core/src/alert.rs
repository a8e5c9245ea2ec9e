//! The mails that tell a merchant of cases: subject, plain text and HTML, and when a digest is due. Nothing of a
//! customer is in them: orders are told by the merchant's own names and totals. Sending them is not done here.

use std::fmt::Write as _;

use crate::time::{DAY, HOUR, Timestamp};

/// How many orders of a case a mail lists.
const ORDERS: usize = 10;

/// How many cases a digest lists.
const CASES: usize = 40;

/// The longest name of an order that is shown in full.
const LONGEST_NAME: usize = 40;

/// The longest reason that is shown in full.
const LONGEST_REASON: usize = 600;

/// An order of a case, as a merchant knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// The merchant's name for it, `#1001`.
    pub name: Option<String>,
    /// Its total and the currency, as the shop wrote them.
    pub total: Option<(String, String)>,
    /// When it was placed.
    pub placed: Timestamp,
    /// What it agrees on with the others; names no value.
    pub why: String,
}

/// A case that a mail tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCase {
    /// Its orders, in the order they joined.
    pub orders: Vec<ListedOrder>,
    /// How many it has, those that are not listed included.
    pub size: u64,
}

/// A mail without its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The subject, on one line.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML; all that comes from a shop is escaped.
    pub html: String,
}

/// The mail about one case.
#[must_use]
pub fn single(case: &ListedCase, app: &str) -> Mail {
    let subject = format!("Possible duplicate: {}", names(case));
    let intro = "These orders look like one order that was placed more than once.";
    compose(subject, intro, std::slice::from_ref(case), 0, app)
}

/// The mail about all cases since the last one; `cases` must not be empty.
#[must_use]
pub fn digest(cases: &[ListedCase], app: &str) -> Mail {
    let subject = match cases {
        [case] => format!("Possible duplicate: {}", names(case)),
        cases => format!("{} cases of possible duplicates", cases.len()),
    };
    let shown = &cases[..cases.len().min(CASES)];
    let intro =
        "Since the last summary, these orders came to look like orders that were placed more than once.";
    compose(subject, intro, shown, cases.len() - shown.len(), app)
}

/// When the digest is due that a case belongs to which opens now: the next full `hour` of the day, in UTC.
#[must_use]
pub fn next_digest(now: Timestamp, hour: u8) -> Timestamp {
    let midnight = Timestamp::from_seconds(now.hour().div_euclid(24) * 86_400);
    let today = midnight + HOUR * u32::from(hour);
    if today > now { today } else { today + DAY }
}

fn compose(subject: String, intro: &str, cases: &[ListedCase], unlisted: usize, app: &str) -> Mail {
    let mut text = format!("{intro}\n");
    let mut html = format!("<!doctype html><html lang=\"en\"><body><p>{}</p>", escape_html(intro));
    for case in cases {
        text.push('\n');
        html.push_str("<ul>");
        let orders = &case.orders[..case.orders.len().min(ORDERS)];
        for order in orders {
            let (head, why) = (head(order), clean(&order.why, LONGEST_REASON));
            let _infallible = write!(text, "- {head}\n  {why}\n");
            let _infallible =
                write!(html, "<li><strong>{}</strong><br>{}</li>", escape_html(&head), escape_html(&why));
        }
        let more = case.size.saturating_sub(orders.len() as u64);
        if more > 0 {
            let _infallible = writeln!(text, "- and {more} more");
            let _infallible = write!(html, "<li>and {more} more</li>");
        }
        html.push_str("</ul>");
    }
    if unlisted > 0 {
        let _infallible = writeln!(text, "\nAnd {unlisted} more cases.");
        let _infallible = write!(html, "<p>And {unlisted} more cases.</p>");
    }
    let decide = "No order was cancelled or changed: you decide.";
    let change = "You get this because alerts by e-mail are on. In the app, under Settings, you can have one a day or none.";
    let _infallible = write!(text, "\n{decide}\nOpen the app: {app}\n\n{change}\n");
    let link = escape_html(app);
    let _infallible = write!(
        html,
        "<p>{decide}<br><a href=\"{link}\">Open the app</a> ({link})</p><p><small>{change}</small></p></body></html>"
    );
    Mail { subject, text, html }
}

/// `#1001 and #1002`, `#1001, #1002 and 3 more`.
fn names(case: &ListedCase) -> String {
    let shown: Vec<String> = case.orders.iter().take(2).map(name).collect();
    let more = case.size.saturating_sub(shown.len() as u64);
    match more {
        0 => shown.join(" and "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn name(order: &ListedOrder) -> String {
    let name = order.name.as_deref().map(|name| clean(name, LONGEST_NAME)).unwrap_or_default();
    if name.is_empty() { "an order without a name".to_owned() } else { name }
}

fn head(order: &ListedOrder) -> String {
    let placed = order.placed.to_rfc3339();
    let placed = placed.get(..16).unwrap_or(&placed).replace('T', " ");
    let total = order.total.as_ref().map(|(amount, currency)| {
        let (amount, currency) = (clean(amount, LONGEST_NAME), clean(currency, LONGEST_NAME));
        format!(", {amount} {currency}")
    });
    format!("{}{}, placed {placed} UTC", name(order), total.unwrap_or_default())
}

/// What a shop wrote, on one line: without control characters and marks that turn the direction of writing, and not
/// longer than `longest`.
#[must_use]
pub fn clean(text: &str, longest: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let kept: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let kept: String = kept.chars().filter(|c| !c.is_control() && !turns(*c)).collect();
    let kept = kept.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if kept.chars().count() <= longest {
        return kept;
    }
    kept.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// A text as HTML shows it, inside an attribute too: whoever wrote it, it stays a text.
#[must_use]
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::MINUTE;

    const APP: &str = "https://sample.myshopify.com/admin/apps/storeward";

    fn listed(names: &[&str]) -> ListedCase {
        let order = |name: &&str| ListedOrder {
            name: Some((*name).to_owned()),
            total: Some(("55.88".to_owned(), "USD".to_owned())),
            placed: Timestamp::parse_rfc3339("2026-11-20T15:00:41Z").unwrap(),
            why: "the same e-mail address".to_owned(),
        };
        ListedCase { orders: names.iter().map(order).collect(), size: names.len() as u64 }
    }

    #[test]
    fn a_mail_tells_which_orders_why_and_what_to_do() {
        let mail = single(&listed(&["#1001", "#1002"]), APP);
        assert_eq!(mail.subject, "Possible duplicate: #1001 and #1002");
        assert!(
            mail.text
                .contains("- #1001, 55.88 USD, placed 2026-11-20 15:00 UTC\n  the same e-mail address\n")
        );
        assert!(mail.text.contains(&format!("Open the app: {APP}\n")) && mail.text.contains("Settings"));
        assert!(mail.html.contains("<strong>#1002, 55.88 USD, placed 2026-11-20 15:00 UTC</strong>"));
        assert!(mail.html.contains(&format!("href=\"{APP}\"")));
    }

    #[test]
    fn a_large_case_and_many_cases_are_counted_beyond_what_is_listed() {
        let mut case = listed(&["#1", "#2", "#3"]);
        case.size = 70;
        let mail = single(&case, APP);
        assert_eq!(mail.subject, "Possible duplicate: #1, #2 and 68 more");
        assert!(mail.text.contains("- and 67 more\n"));
        let mail = digest(&vec![case; 43], APP);
        assert_eq!(mail.subject, "43 cases of possible duplicates");
        assert!(mail.text.contains("And 3 more cases.") && mail.html.contains("And 3 more cases."));
    }

    #[test]
    fn the_next_digest_is_within_a_day_and_never_now() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        assert_eq!(next_digest(at("2026-11-20T06:59:59Z"), 7), at("2026-11-20T07:00:00Z"));
        assert_eq!(next_digest(at("2026-11-20T07:00:00Z"), 7), at("2026-11-21T07:00:00Z"));
        assert_eq!(next_digest(at("2026-11-20T23:30:00Z"), 0), at("2026-11-21T00:00:00Z"));
    }

    proptest! {
        #[test]
        fn a_digest_comes_at_its_hour(minutes in 0u32..4_000_000, hour in 0u8..24) {
            let now = Timestamp::parse_rfc3339("2026-11-20T00:00:00Z").unwrap() + MINUTE * minutes;
            let at = next_digest(now, hour);
            prop_assert!(at > now && at.since(now) <= DAY);
            prop_assert_eq!(at.hour().rem_euclid(24), i64::from(hour));
            prop_assert_eq!(at.millis() % 3_600_000, 0);
        }

        #[test]
        fn whatever_a_shop_calls_its_orders_it_stays_text_on_one_line(name in "\\PC*|[<>&\"'\r\n\u{202e}a]*", why in ".*") {
            let mut case = listed(&[name.as_str(), "#2"]);
            case.orders[0].why = why;
            case.orders[0].total = Some((name.clone(), name));
            let plain = single(&listed(&["#1", "#2"]), APP);
            let mail = single(&case, APP);
            prop_assert!(!mail.subject.chars().any(char::is_control));
            let tags = |html: &str| html.matches('<').count();
            prop_assert_eq!(tags(&mail.html), tags(&plain.html), "the only markup is ours");
            prop_assert_eq!(mail.text.lines().count(), plain.text.lines().count());
            let turned = mail.text.contains(char::from_u32(0x202e).unwrap());
            prop_assert!(!turned && mail.subject.chars().count() < 200);
        }
    }
}
