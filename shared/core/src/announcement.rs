//! The mail that tells a merchant of a change of sub-processors, 30 days before it takes effect: who, what for, with what,
//! where, from when, and how to object. Sending it is not done here.

use std::fmt::Write as _;

use crate::alert::{Mail, escape_html};
use crate::egress::{Change, DeclaredUse, NOTICE, SubProcessor};
use crate::time::Timestamp;

/// The mail about the changes of one announcement, for a merchant who is told at `told`; `changes` must not be empty. It
/// reads the same for the whole of a day, so that sending it again is a repetition.
#[must_use]
pub fn compose(changes: &[(&SubProcessor, &DeclaredUse, Change)], told: Timestamp, app: &str) -> Mail {
    let mut names: Vec<&str> = changes.iter().map(|(of, ..)| of.name).collect();
    names.dedup();
    let subject = format!("Change of sub-processors: {}", names.join(", "));
    let intro = "Storeward is about to change who processes data for your shop. You hear of it 30 days before at the least.";
    let mut text = format!("{intro}\n");
    let mut html = format!("<!doctype html><html lang=\"en\"><body><p>{}</p><ul>", escape_html(intro));
    for (of, used, change) in changes {
        let day = change.effective().max(told + NOTICE).day();
        let facts = format!(
            "from {day} on, for {}. It gets: {}. Where: {}.",
            used.purpose.about(),
            used.categories.words(),
            used.region
        );
        let without = if of.essential {
            "The service cannot be given without it: if you object, uninstall the app, and everything is deleted."
                .to_owned()
        } else {
            format!("If you object, {}.", of.without)
        };
        let _infallible = write!(text, "\n- {}: {facts}\n  {without}\n", of.name);
        let _infallible = write!(
            html,
            "<li><strong>{}</strong>: {}<br>{}</li>",
            escape_html(of.name),
            escape_html(&facts),
            escape_html(&without)
        );
    }
    let object = "Before that day nothing changes. You can object in the app, under Settings, Sub-processors, now or later.";
    let _infallible = write!(text, "\n{object}\nOpen the app: {app}\n");
    let link = escape_html(app);
    let _infallible =
        write!(html, "</ul><p>{object}<br><a href=\"{link}\">Open the app</a> ({link})</p></body></html>");
    Mail { subject, text, html }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_map::{Category, Processor};
    use crate::egress::{Categories, InForce, Use};
    use crate::time::DAY;

    const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn changed(essential: bool, told: Timestamp) -> Mail {
        let used = DeclaredUse {
            purpose: Use::Billing,
            categories: Categories::of(&[Category::MerchantAccount]),
            region: "Elsewhere",
            in_force: InForce::change(T0, T0 + NOTICE),
        };
        let InForce::Since(change) = used.in_force else { panic!("a change") };
        let of = SubProcessor {
            processor: Processor::Stripe,
            name: "A & B",
            essential,
            without: "there is no plan",
            uses: &[],
        };
        compose(&[(&of, &used, change), (&of, &used, change)], told, "https://example.com/?a&b")
    }

    #[test]
    fn it_says_who_what_where_from_when_and_how_to_object() {
        let mail = changed(false, T0);
        assert_eq!(mail.subject, "Change of sub-processors: A & B");
        let said = "- A & B: from 2027-02-14 on, for the merchant's subscription. It gets: merchant account. Where: Elsewhere.\n  \
                    If you object, there is no plan.\n";
        assert!(mail.text.contains(said), "{}", mail.text);
        assert!(
            mail.text.contains("You can object in the app")
                && mail.text.ends_with("https://example.com/?a&b\n")
        );
        assert!(mail.html.contains("<strong>A &amp; B</strong>: from 2027-02-14 on"));
        assert!(mail.html.contains("href=\"https://example.com/?a&amp;b\""));
    }

    #[test]
    fn who_is_told_late_has_thirty_days_from_then_and_who_cannot_object_is_told_so() {
        let mail = changed(true, T0 + DAY * 10);
        assert!(mail.text.contains("from 2027-02-24 on") && mail.text.contains("uninstall the app"));
        assert!(!mail.text.contains("there is no plan"));
    }
}
