use proptest::prelude::*;

use super::*;
use crate::mail::{Automatic, MAX_REFERENCES, base_subject, read};

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn address(name: Option<&str>, address: &str) -> Address {
    Address {
        name: name.map(|name| Personal::new(name.to_owned())),
        address: Personal::new(address.to_owned()),
    }
}

fn reply() -> Reply {
    Reply {
        message_id: MessageId::new("0123abcd", "shop.example.com").unwrap(),
        from: address(Some("Der Shop, GmbH"), "shop@example.com"),
        to: address(Some("Sample Müller"), "sample.customer@example.com"),
        subject: Personal::new("AW: Größe".to_owned()),
        in_reply_to: Some(id("second@example.com")),
        references: vec![id("first@example.com")],
        text: Personal::new("Guten Tag,\n\nIhr Paket kommt am Freitag.\n".to_owned()),
        date: Timestamp::parse_rfc3339("2026-11-20T15:00:00Z").unwrap(),
        auto_submitted: false,
    }
}

#[test]
fn an_answer_is_read_as_it_was_meant() {
    let reply = reply();
    let bytes = compose(&reply).unwrap();
    assert_eq!(compose(&reply).unwrap(), bytes, "a retry writes the same mail");
    let read = read(&bytes).unwrap();
    assert_eq!(read.message_id.as_ref(), Some(&reply.message_id));
    assert_eq!(read.in_reply_to, [id("second@example.com")]);
    assert_eq!(read.references, [id("first@example.com"), id("second@example.com")]);
    assert_eq!((read.from.as_ref(), read.to.first()), (Some(&reply.from), Some(&reply.to)));
    assert_eq!(read.subject.expose(), "Re: Größe");
    assert_eq!(read.date, Some(reply.date));
    assert_eq!(read.text.expose(), "Guten Tag,\n\nIhr Paket kommt am Freitag.");
    assert_eq!(read.automatic, None);
}

#[test]
fn what_a_rule_sends_says_so() {
    let bytes = compose(&Reply { auto_submitted: true, ..reply() }).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("\r\nAuto-Submitted: auto-replied\r\n"));
    assert_eq!(read(&bytes).unwrap().automatic, Some(Automatic::AutoSubmitted));
}

#[test]
fn long_conversations_keep_their_beginning_and_their_end() {
    let references: Vec<MessageId> = (0..500).map(|at| id(&format!("{at}@example.com"))).collect();
    let bytes = compose(&Reply { references, ..reply() }).unwrap();
    let read = read(&bytes).unwrap();
    assert_eq!(read.references.len(), MAX_REFERENCES);
    assert_eq!(read.references.first().unwrap().as_str(), "0@example.com");
    assert_eq!(read.references.last().unwrap().as_str(), "second@example.com");
    assert_eq!(read.references[MAX_REFERENCES - 2].as_str(), "499@example.com");
}

#[test]
fn no_field_brings_another_with_it() {
    let evil = "x\r\nBcc: evil@example.com\r\n\r\nbody\n.\n";
    let bytes = compose(&Reply {
        subject: Personal::new(evil.to_owned()),
        from: address(Some(evil), "shop@example.com"),
        to: address(Some(evil), "sample.customer@example.com"),
        ..reply()
    })
    .unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.lines().any(|line| line.starts_with("Bcc") || line.starts_with("body")), "{text}");
    for address_with_more in
        [evil, "a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com", "a@b>,<c@d", "a", ""]
    {
        let to = address(None, address_with_more);
        assert_eq!(
            compose(&Reply { to: to.clone(), ..reply() }),
            Err(Uncomposable::To),
            "{address_with_more}"
        );
        assert_eq!(compose(&Reply { from: to, ..reply() }), Err(Uncomposable::From));
    }
    assert_eq!(
        compose(&Reply { text: Personal::new(" \n".to_owned()), ..reply() }),
        Err(Uncomposable::Empty)
    );
    for error in [Uncomposable::From, Uncomposable::To, Uncomposable::Empty] {
        assert!(error.to_string().contains(':'), "it says what to do");
    }
}

proptest! {
    #[test]
    fn what_is_composed_is_read_back(
        text in "[\\PC\n]{0,300}",
        subject in "\\PC{0,80}",
        name in "\\PC{0,40}",
        auto_submitted in any::<bool>(),
        references in prop::collection::vec("[a-z0-9.]{1,40}@[a-z]{1,20}\\.example", 0..30),
    ) {
        let references: Vec<MessageId> = references.iter().map(|text| id(text)).collect();
        let reply = Reply {
            text: Personal::new(text),
            subject: Personal::new(subject),
            to: address(Some(&name), "sample.customer@example.com"),
            references,
            auto_submitted,
            ..reply()
        };
        let Ok(bytes) = compose(&reply) else { return Ok(()) };
        let longest = bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
        prop_assert!(longest < Some(1000), "lines as long as SMTP takes");
        let read = read(&bytes).unwrap();
        let expected = tidy(reply.text.expose());
        prop_assert_eq!(read.text.expose(), &expected);
        let subject = clean(reply.subject.expose(), MAX_LINE);
        prop_assert_eq!(base_subject(read.subject.expose()), base_subject(&subject));
        prop_assert_eq!(read.to[0].address.expose(), reply.to.address.expose());
        prop_assert_eq!(read.message_id.as_ref(), Some(&reply.message_id));
        prop_assert_eq!(read.in_reply_to.as_slice(), reply.in_reply_to.as_slice());
        prop_assert_eq!(read.references.last(), reply.in_reply_to.as_ref());
        prop_assert_eq!(read.automatic.is_some(), auto_submitted);
        prop_assert_eq!((read.parts, read.attachments.len()), (1, 0));
    }
}
