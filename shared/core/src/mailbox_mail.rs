//! The mail that tells a merchant that a mailbox is not read any more. Which one it is stands in the app: the address of a mailbox
//! is in no mail. Sending it is not done here.

use crate::alert::{Mail, escape_html};
use crate::time::Timestamp;

/// That Google refuses the access that a merchant once gave.
#[must_use]
pub fn lost(lost_at: Timestamp, app: &str) -> Mail {
    let at = lost_at.to_rfc3339();
    let at = at.get(..16).unwrap_or(&at).replace('T', " ");
    let paragraphs = [
        format!(
            "Google does not let us into one of your mailboxes any more, since {at} UTC. Its access was taken back, its \
             password changed, or it was not used for half a year."
        ),
        "Until you connect it again, no mail is read from it and nothing is sent. What came in meanwhile is read then."
            .to_owned(),
        format!("Open the app and connect the mailbox again: {app}"),
    ];
    let text = format!("{}\n", paragraphs.join("\n\n"));
    let html = paragraphs.map(|said| escape_html(&said)).join("</p><p>");
    let html = format!("<!doctype html><html lang=\"en\"><body><p>{html}</p></body></html>");
    Mail { subject: "A mailbox has to be connected again".to_owned(), text, html }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_says_since_when_and_what_to_do_and_stays_text() {
        let at = Timestamp::parse_rfc3339("2026-11-20T16:00:41Z").unwrap();
        let mail = lost(at, "https://app.example.com/?a=<b>");
        assert_eq!(mail.subject, "A mailbox has to be connected again");
        for said in ["since 2026-11-20 16:00 UTC", "connect the mailbox again"] {
            assert!(mail.text.contains(said) && mail.html.contains(said), "{said}: {}", mail.text);
        }
        assert!(mail.text.contains("?a=<b>") && mail.html.contains("?a=&lt;b&gt;"));
        assert_eq!(mail.text.lines().count(), 5);
    }
}
