use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

pub(super) const PLAIN: &str = "Return-Path: <sample.customer@example.com>\r\n\
    Message-ID: <first@mail.example.com>\r\n\
    Date: Fri, 20 Nov 2026 16:30:00 +0100\r\n\
    From: =?UTF-8?Q?Sample_M=C3=BCller?= <Sample.Customer@Example.com>\r\n\
    To: \"Shop, The\" <shop@example.com>\r\n\
    Subject: =?utf-8?B?V28gaXN0IG1laW5lIEJlc3RlbGx1bmc/?=\r\n\
    Content-Type: text/plain; charset=\"iso-8859-1\"\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    \r\n\
    Guten Tag,\r\n\r\nwo ist meine Bestellung? Sie war f=FCr Freitag =\r\nversprochen.\r\n\r\n\
    Mit freundlichen Gr=FC=DFen\r\nSample M=FCller\r\n";

const REPLY: &str = "Message-ID: <third@mail.example.com>\n\
    In-Reply-To: <second@shop.example.com>\n\
    References: <first@mail.example.com>\n <second@shop.example.com>\n\
    From: Sample Customer <sample.customer@example.com>\n\
    Reply-To: other.address@example.com\n\
    Subject: Re: AW: Order\n\
    MIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=\"outer\"\n\n\
    preamble\n--outer\nContent-Type: multipart/alternative; boundary=outer-inner\n\n\
    --outer-inner\nContent-Type: text/plain; charset=utf-8\n\nThe parcel came broken, see the picture.\n\n\
    On Fri, 20 Nov 2026 at 09:00, The Shop <shop@example.com>\nwrote:\n\n> Has it arrived?\n>\n> The Shop\n\n\
    --outer-inner\nContent-Type: text/html; charset=utf-8\n\n<p>The parcel came broken, see the picture.</p>\n\
    --outer-inner--\n\
    --outer\nContent-Type: image/jpeg; name=\"broken.jpg\"\nContent-Disposition: attachment;\n\
    \x20filename*=utf-8''br%C3%B6ken.jpg\nContent-Transfer-Encoding: base64\n\n/9j/4AAQSkZJRgABAQEASABIAAD/\n--outer--\n";

const HTML: &str = "From: sample.customer@example.com\nSubject: Refund\nContent-Type: text/html; charset=utf-8\n\n\
    <html><head><style>p { color: red }</style><title>x</title></head><body><div>Please refund me.<br></div>\
    <div style=\"display:none\">CANARY</div><span class=gmail_signature_prefix>-- </span><br>\
    <div class=gmail_signature>Sample Customer<br>1 Example Street</div><br>\
    <div class=gmail_quote><div class=gmail_attr>Fredag skrev nogen:<br></div>\
    <blockquote class=gmail_quote><div>Dear customer</div></blockquote></div></body></html>";

pub(super) const SAMPLES: [&str; 3] = [PLAIN, REPLY, HTML];

fn mail(headers: &str, text: &str) -> Incoming {
    read(format!("{headers}\n\n{text}").as_bytes()).unwrap()
}

fn address(shown: &Address) -> (Option<&str>, &str) {
    (shown.name.as_ref().map(|name| name.expose().as_str()), shown.address.expose())
}

#[test]
fn a_mail_in_an_old_charset_is_read_with_its_encoded_header() {
    let read = read(PLAIN.as_bytes()).unwrap();
    assert_eq!(read.message_id, MessageId::parse("<first@mail.example.com>"));
    let from = read.from.as_ref().unwrap();
    assert_eq!(address(from), (Some("Sample Müller"), "Sample.Customer@Example.com"));
    assert_eq!(from.normal().unwrap().expose(), "sample.customer@example.com");
    assert_eq!(address(&read.to[0]), (Some("Shop, The"), "shop@example.com"));
    assert_eq!(read.subject.expose(), "Wo ist meine Bestellung?");
    assert_eq!(read.date, Timestamp::parse_rfc3339("2026-11-20T15:30:00Z"));
    assert_eq!(
        read.new_text.expose(),
        "Guten Tag,\n\nwo ist meine Bestellung? Sie war für Freitag versprochen."
    );
    assert_eq!(read.signature.unwrap().expose(), "Mit freundlichen Grüßen\nSample Müller");
    assert_eq!((read.automatic, read.quoted, read.truncated, read.parts), (None, false, false, 1));
    assert_eq!(read.size, PLAIN.len());
}

#[test]
fn of_a_reply_with_a_picture_the_new_text_is_told_and_the_picture_listed() {
    let read = read(REPLY.as_bytes()).unwrap();
    assert_eq!(read.new_text.expose(), "The parcel came broken, see the picture.");
    assert!(read.quoted && read.text.expose().contains("> Has it arrived?"));
    let [picture] = read.attachments.as_slice() else { panic!("one attachment") };
    assert_eq!(picture.name.as_ref().unwrap().expose(), "bröken.jpg");
    assert_eq!((picture.media_type.as_str(), picture.size), ("image/jpeg", 21));
    assert_eq!(read.in_reply_to, [MessageId::parse("second@shop.example.com").unwrap()]);
    assert_eq!(read.references.len(), 2);
    assert_eq!(address(read.answered().unwrap()).1, "other.address@example.com");
    assert_eq!(read.parts, 5);
}

#[test]
fn html_alone_becomes_text_without_what_is_hidden_and_quoted() {
    let read = read(HTML.as_bytes()).unwrap();
    assert_eq!(read.new_text.expose(), "Please refund me.");
    assert_eq!(read.signature.unwrap().expose(), "--\nSample Customer\n1 Example Street");
    assert!(read.quoted && !read.text.expose().contains("CANARY"));
}

#[test]
fn a_plain_part_that_only_points_to_the_other_is_not_the_text() {
    let long = "Where is the parcel that I was promised for last week? ".repeat(12);
    let read = mail(
        "From: a@example.com\nContent-Type: multipart/alternative; boundary=b",
        &format!(
            "--b\nContent-Type: text/plain\n\nSee the other part.\n--b\nContent-Type: text/html\n\n<p>{long}</p>\n--b--\n"
        ),
    );
    assert_eq!(read.text.expose(), long.trim());
}

#[test]
fn texts_around_an_attachment_are_one_text_and_a_text_file_is_attached() {
    let read = mail(
        "From: a@example.com\nContent-Type: multipart/mixed; boundary=b",
        "--b\n\nabove\n--b\nContent-Type: text/plain; name=notes.txt\n\nnotes\n--b\n\nbelow\n--b\nContent-Type: message/rfc822\n\n\
         Subject: inner\n\ninner text\n--b--\nepilogue",
    );
    assert_eq!(read.text.expose(), "above\n\nbelow");
    let kinds: Vec<&str> = read.attachments.iter().map(|attached| attached.media_type.as_str()).collect();
    assert_eq!(kinds, ["text/plain", "message/rfc822"]);
}

#[test]
fn headers_that_are_not_as_they_should_be_are_read_as_far_as_they_are() {
    let read = mail(
        "From sample Fri Nov 20\nThis line is no field\nFROM : Sample <a@example.com>\nTo: undisclosed-recipients:;\n\
         Cc: Group: One <one@example.com>, two@example.com;, nobody, broken@\nSubject: Stra\u{df}e\n folded\nDate: yesterday\n\
         Message-ID: no-brackets@example.com\nReferences: junk <a@b> <c d> <e@f>",
        "text",
    );
    assert_eq!(address(read.from.as_ref().unwrap()), (Some("Sample"), "a@example.com"));
    assert!(read.to.is_empty());
    let cc: Vec<&str> = read.cc.iter().map(|entry| address(entry).1).collect();
    assert_eq!(cc, ["one@example.com", "two@example.com"]);
    assert_eq!(read.subject.expose(), "Straße folded");
    assert_eq!(read.date, None);
    assert_eq!(read.message_id.unwrap().as_str(), "no-brackets@example.com");
    let references: Vec<&str> = read.references.iter().map(MessageId::as_str).collect();
    assert_eq!(references, ["a@b", "e@f"]);
    assert_eq!(read.text.expose(), "text");
}

#[test]
fn a_text_without_any_header_is_text() {
    let read = read(b"\n\nJust two lines\nof a letter\n\nand more").unwrap();
    assert_eq!(read.text.expose(), "Just two lines\nof a letter\n\nand more");
    assert!(read.from.is_none() && read.message_id.is_none());
}

#[test]
fn charsets_that_are_wrong_missing_or_unknown_do_not_lose_the_text() {
    for (charset, bytes) in [
        ("utf-8", "Größe".as_bytes().to_vec()),
        ("us-ascii", "Größe".as_bytes().to_vec()),
        ("us-ascii", b"Gr\xf6\xdfe".to_vec()),
        ("windows-1252", b"Gr\xf6\xdfe".to_vec()),
        ("no-such-charset", "Größe".as_bytes().to_vec()),
        ("\"\"", "Größe".as_bytes().to_vec()),
        ("utf-7", b"Gr+APYA3w-e".to_vec()),
    ] {
        let mut raw = format!("Content-Type: text/plain; charset={charset}\n\n").into_bytes();
        raw.extend(bytes);
        assert_eq!(read(&raw).unwrap().text.expose(), "Größe", "{charset}");
    }
    let raw = b"Content-Type: text/html\n\n<meta charset=iso-2022-jp><p>\x1b$B$3$s\x1b(B</p>";
    assert_eq!(read(raw).unwrap().text.expose(), "こん");
}

#[test]
fn base64_with_slips_is_decoded_and_a_text_that_is_none_stays_a_text() {
    let encoded = |body: &str| mail("Content-Transfer-Encoding: base64", body).text.into_inner();
    assert_eq!(encoded("SGVs\nbG8="), "Hello");
    assert_eq!(encoded("SGVs\r\nbG8"), "Hello");
    assert_eq!(encoded("SGVsbG8=SGVsbG8="), "HelloHello");
    assert_eq!(encoded("Hello, this is not base64."), "Hello, this is not base64.");
    let slip = mail("Content-Transfer-Encoding: quoted-printable", "Gr=C3=B6=\n=C3=9Fe\n100 =% sure");
    assert_eq!(slip.text.expose(), "Größe\n100 =% sure");
}

#[test]
fn what_is_nested_too_deep_or_too_many_is_left_out_and_said() {
    let mut deep = String::new();
    for level in 0..10_000 {
        writeln!(deep, "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}").unwrap();
    }
    let read_deep = read(deep.as_bytes()).unwrap();
    assert!(read_deep.truncated && read_deep.parts <= MAX_DEPTH + 1);
    let many = mail("Content-Type: multipart/mixed; boundary=b", &"--b\n\nx\n".repeat(10_000));
    assert!(many.truncated && many.parts == MAX_PARTS);
    let nested = read("Content-Type: message/rfc822\n\n".repeat(100_000).as_bytes()).unwrap();
    assert_eq!(nested.attachments.len(), 1);
    let headers =
        read(format!("{}\nSubject: late\n\ntext", "X: y\n".repeat(100_000).trim()).as_bytes()).unwrap();
    assert_eq!((headers.subject.expose().as_str(), headers.text.expose().as_str()), ("", "text"));
}

#[test]
fn a_mail_that_is_too_large_or_empty_is_refused_by_name() {
    assert_eq!(read(&vec![b'a'; MAX_RAW + 1]).unwrap_err(), UnreadableMail::TooLarge(MAX_RAW + 1));
    for nothing in [&b""[..], b"\r\n\r\n"] {
        assert_eq!(read(nothing).unwrap_err(), UnreadableMail::Empty);
    }
    assert!(UnreadableMail::Empty.to_string().contains("fetch it again"));
    assert!(UnreadableMail::TooLarge(7).to_string().contains("a person has to look"));
}

#[test]
fn own_mail_and_what_would_come_back_is_not_answered() {
    let own = [Personal::new("shop@example.com".to_owned())];
    let from_us = mail("From: Shop@Example.com", "x");
    assert!(from_us.is_own(&own));
    assert_eq!(from_us.unanswerable(&own), Some(Automatic::OwnMail));
    let back = mail("From: a@example.com\nReply-To: shop@example.com", "x");
    assert!(!back.is_own(&own));
    assert_eq!(back.unanswerable(&own), Some(Automatic::OwnMail));
    assert_eq!(mail("From: a@example.com", "x").unanswerable(&own), None);
}

#[test]
fn nothing_personal_is_in_the_debug_form() {
    let shown = format!("{:?}", [read(PLAIN.as_bytes()), read(REPLY.as_bytes())]);
    for personal in ["ample", "example.com", "Bestellung", "parcel", "jpg"] {
        assert!(!shown.contains(personal), "{personal}: {shown}");
    }
}

#[test]
fn message_ids_are_made_of_plain_words_and_read_with_or_without_brackets() {
    assert_eq!(MessageId::new("0f3a", "shop.example.com").unwrap().as_str(), "0f3a@shop.example.com");
    for (random, domain) in
        [("", "example.com"), ("a", ""), ("a\r\nBcc: x", "example.com"), ("a", "b>c"), ("a@b", "c")]
    {
        assert_eq!(MessageId::new(random, domain), None);
    }
    assert_eq!(MessageId::parse("<a@b>"), MessageId::parse("a@b"));
    for bad in ["", "<>", "a b", "a\nb", "a>b<c", &"x".repeat(1000)] {
        assert_eq!(MessageId::parse(bad), None);
        assert!(serde_json::from_value::<MessageId>(serde_json::json!(bad)).is_err());
    }
}

/// What holds of every mail that was read.
fn check(raw: &[u8]) {
    let Ok(read) = read(raw) else { return };
    let text = read.text.expose();
    assert!(text.len() <= MAX_TEXT && read.new_text.expose().len() <= text.len());
    assert!(text.is_empty() == read.new_text.expose().is_empty(), "{text:?}");
    assert!(read.parts <= MAX_PARTS && read.attachments.len() <= MAX_PARTS);
    assert!(read.references.len() <= MAX_REFERENCES && read.to.len() <= MAX_ADDRESSES);
    assert_eq!(&tidy(text), text);
    assert!(!read.subject.expose().contains(['\r', '\n']));
    assert_eq!(read.size, raw.len());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_the_bounds_hold(raw in prop::collection::vec(any::<u8>(), 0..2000)) {
        check(&raw);
    }

    #[test]
    fn no_text_panics_and_the_bounds_hold(text in "[\\PC\r\n\t]{0,600}", html in any::<bool>()) {
        check(text.as_bytes());
        let kind = if html { "html" } else { "plain" };
        check(format!("Content-Type: text/{kind}\n\n{text}").as_bytes());
    }

    #[test]
    fn a_genuine_mail_with_bytes_changed_is_read_within_the_bounds(
        sample in prop::sample::select(SAMPLES.to_vec()),
        other in prop::sample::select(SAMPLES.to_vec()),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..4u8), 0..12),
    ) {
        let mut raw = sample.as_bytes().to_vec();
        for (at, byte, how) in changes {
            let at = at.index(raw.len().max(1)).min(raw.len());
            match how {
                0 if at < raw.len() => raw[at] = byte,
                1 if at < raw.len() => { raw.remove(at); }
                2 => { raw.splice(at..at, other.bytes().take(usize::from(byte) * 4)); }
                _ => raw.insert(at, byte),
            }
        }
        check(&raw);
    }

    #[test]
    fn a_tidy_text_stays_as_it_is(text in "[\\PC\r\n\t\u{a0}]{0,200}") {
        let once = tidy(&text);
        prop_assert_eq!(tidy(&once), once);
    }
}
