use std::cell::RefCell;

use proptest::prelude::*;

use super::{base_subject, reply_subject, same_subject, thread_of};
use crate::mail::{MessageId, read};

#[test]
fn prefixes_of_any_program_are_not_part_of_the_subject() {
    for subject in [
        "Order 1001",
        "Re: Order 1001",
        "RE: re: Fwd: Order 1001",
        "AW: WG: Order 1001",
        "SV: VS: Order 1001",
        "RV: R: I: Order 1001",
        "TR: Ré : Order 1001",
        "Re[2]: Order 1001",
        "Re (3): FW:Order 1001",
        "回复：Order 1001",
        "  Antw:   order  1001 ",
    ] {
        assert!(same_subject(subject, "Order 1001"), "{subject}: {}", base_subject(subject));
    }
    for subject in ["Return: Order 1001", "Order 1001: Re", "Order 1002", "Re Order 1001", ""] {
        assert!(!same_subject(subject, "Order 1001"), "{subject}");
    }
}

#[test]
fn an_answer_says_re_once_and_keeps_that_it_was_forwarded() {
    assert_eq!(reply_subject("Order"), "Re: Order");
    assert_eq!(reply_subject("AW: RE: Order"), "Re: Order");
    assert_eq!(reply_subject("Fwd: Order"), "Re: Fwd: Order");
    assert_eq!(reply_subject(""), "Re:");
}

#[test]
fn the_mail_that_is_answered_decides_then_the_newest_known_reference() {
    let mail = read(
        b"In-Reply-To: <unknown@example.com>\nReferences: <first@example.com> <second@example.com> <unknown@example.com>\n\nx",
    )
    .unwrap();
    let asked = RefCell::new(Vec::new());
    let known = |id: &MessageId| {
        asked.borrow_mut().push(id.as_str().to_owned());
        match id.as_str() {
            "first@example.com" => Some("old"),
            "second@example.com" => Some("new"),
            _ => None,
        }
    };
    assert_eq!(thread_of(&mail, known), Some("new"));
    assert_eq!(*asked.borrow(), ["unknown@example.com", "second@example.com"], "each is asked for once");
    assert_eq!(thread_of(&read(b"Subject: x\n\nx").unwrap(), |_| Some(())), None);
}

proptest! {
    #[test]
    fn an_answer_to_an_answer_keeps_its_subject(subject in "(Re: |AW:|Fwd: )?[\\PC]{0,40}") {
        let once = reply_subject(&subject);
        prop_assert_eq!(reply_subject(&once), once.clone());
        prop_assert!(same_subject(&once, &subject));
        prop_assert_eq!(base_subject(base_subject(&subject)), base_subject(&subject));
    }
}
