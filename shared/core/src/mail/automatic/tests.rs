use super::Automatic;
use crate::mail::read;

fn reason(headers: &str) -> Option<Automatic> {
    let from = if headers.contains("From:") { "" } else { "From: a@example.com\n" };
    read(format!("{from}{headers}\n\ntext").as_bytes()).unwrap().automatic
}

#[test]
fn each_way_of_saying_that_a_program_wrote_is_understood() {
    for (headers, expected) in [
        ("Return-Path: <>", Automatic::Bounce),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=b", Automatic::Bounce),
        ("From: Mail Delivery <MAILER-DAEMON@example.com>", Automatic::Bounce),
        ("From: postmaster@example.com", Automatic::Bounce),
        ("From: bounces+123@example.com", Automatic::Bounce),
        ("X-Failed-Recipients: b@example.com", Automatic::Bounce),
        ("Auto-Submitted: auto-replied", Automatic::AutoSubmitted),
        ("auto-submitted: Auto-Generated (rejected)", Automatic::AutoSubmitted),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", Automatic::AutoReply),
        ("X-Auto-Response-Suppress: All", Automatic::AutoReply),
        ("X-Autoreply: yes", Automatic::AutoReply),
        ("X-Autorespond: x", Automatic::AutoReply),
        ("X-Loop: shop", Automatic::AutoReply),
        ("Precedence: auto_reply", Automatic::AutoReply),
        ("Precedence: Bulk", Automatic::Bulk),
        ("Precedence: junk", Automatic::Bulk),
        ("Precedence: list", Automatic::Bulk),
        ("List-Id: <l.example.com>", Automatic::List),
        ("List-Unsubscribe: <https://example.com>", Automatic::List),
        ("From: no-reply@example.com", Automatic::NoReply),
        ("From: No.Reply-123@example.com", Automatic::NoReply),
        ("From: DONOTREPLY@example.com", Automatic::NoReply),
        ("From: do_not_reply@example.com", Automatic::NoReply),
        ("From: notifications@example.com", Automatic::NoReply),
        ("Subject: Automatic reply: Order", Automatic::Away),
        ("Subject: RE: Abwesenheit bis Montag", Automatic::Away),
        ("Subject: =?utf-8?Q?R=C3=A9ponse_automatique?=", Automatic::Away),
    ] {
        assert_eq!(reason(headers), Some(expected), "{headers}");
    }
}

#[test]
fn what_a_person_writes_can_be_answered() {
    for headers in [
        "X-Priority: 1",
        "Auto-Submitted: no",
        "Auto-Submitted: No (by hand)",
        "Precedence: first-class",
        "X-Auto-Response-Suppress: None",
        "X-Autoreply: no",
        "Return-Path: <a@example.com>",
        "From: noreen@example.com",
        "From: alertsson@example.com",
        "Subject: Automatically charged twice",
        "Subject: I was out of office when it came",
        // Who fills in a form is answered where the form says.
        "From: no-reply@shop.example.com\nReply-To: a@example.com",
    ] {
        assert_eq!(reason(headers), None, "{headers}");
    }
    assert_eq!(reason("Reply-To: noreply@example.com"), Some(Automatic::NoReply));
}

#[test]
fn newsletters_and_bounces_are_no_customers_mail_and_the_others_may_be() {
    let none = [Automatic::OwnMail, Automatic::Bounce, Automatic::Bulk, Automatic::List];
    let some = [Automatic::AutoSubmitted, Automatic::AutoReply, Automatic::NoReply, Automatic::Away];
    assert!(none.iter().all(|reason| reason.is_no_customers_mail() && reason.is_certain()));
    assert!(some.iter().all(|reason| !reason.is_no_customers_mail()));
    assert!(!Automatic::Away.is_certain());
    assert_eq!(serde_json::to_value(Automatic::AutoSubmitted).unwrap(), "auto_submitted");
}
