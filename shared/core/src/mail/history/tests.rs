use proptest::prelude::*;

use super::{Split, split};

fn new(text: &str) -> String {
    split(text).new_text
}

#[test]
fn the_answered_mail_goes_in_every_language_that_programs_write() {
    for above in [
        "On Fri, Nov 20, 2026 at 9:00 AM The Shop <shop@example.com> wrote:",
        "On Fri, Nov 20, 2026 at 9:00 AM The Shop\n<shop@example.com> wrote:",
        "Am 20.11.2026 um 09:00 schrieb The Shop <shop@example.com>:",
        "Am Fr., 20. Nov. 2026 um 09:00 Uhr schrieb The Shop <\nshop@example.com>:",
        "Le ven. 20 nov. 2026 à 09:00, The Shop <shop@example.com> a écrit :",
        "El vie, 20 nov 2026 a las 9:00, The Shop (<shop@example.com>) escribió:",
        "Il giorno ven 20 nov 2026 alle ore 09:00 The Shop <shop@example.com> ha scritto:",
        "Op vr 20 nov 2026 om 09:00 schreef The Shop <shop@example.com>:",
        "Em sex., 20 de nov. de 2026 às 09:00, The Shop <shop@example.com> escreveu:",
        "Den fre 20 nov. 2026 kl 09:00 skrev The Shop <shop@example.com>:",
        "pt., 20 lis 2026 o 09:00 The Shop <shop@example.com> napisał(a):",
        "20 Kas 2026 Cum 09:00 tarihinde The Shop <shop@example.com> şunu yazdı:",
        "2026-11-20 9:00 GMT+01:00 The Shop <shop@example.com>:",
    ] {
        let text = format!("My answer.\n\n{above}\n\n> Dear customer,\n> hello\n");
        assert_eq!(
            split(&text),
            Split { new_text: "My answer.".into(), signature: None, quoted: true },
            "{above}"
        );
    }
}

#[test]
fn what_stands_below_a_certain_mark_goes_without_being_quoted() {
    for mark in [
        "-----Original Message-----",
        "-----Ursprüngliche Nachricht-----",
        "-------- Message d'origine --------",
        "-----Mensaje original-----",
        "-----Messaggio originale-----",
        "-----Oorspronkelijk bericht-----",
        "-----Mensagem original-----",
        "---------- Forwarded message ---------",
        "---------- Weitergeleitete Nachricht ---------",
        "Begin forwarded message:",
        "Anfang der weitergeleiteten Nachricht:",
        "On 20 Nov 2026, at 09:00, The Shop <shop@example.com> wrote:",
        "________________________________\nVon: The Shop <shop@example.com>\nGesendet: Freitag, 20. November 2026\nAn: Sample\nBetreff: Order",
        "From: The Shop <shop@example.com>\nSent: Friday, November 20, 2026 9:00 AM\nTo: Sample\nSubject: Order",
        "*From:* The Shop\n*Date:* Friday\n*To:* Sample\n*Subject:* Order",
        "De : The Shop\nEnvoyé : vendredi 20 novembre 2026\nÀ : Sample\nObjet : Order",
        "De: The Shop\nEnviado el: viernes\nPara: Sample\nAsunto: Order",
        "Da: The Shop\nInviato: venerdì\nA: Sample\nOggetto: Order",
        "Van: The Shop\nVerzonden: vrijdag\nAan: Sample\nOnderwerp: Order",
        "Date: Thu, 26 Nov 2026 13:53:45 +0400\nSubject: Order\nFrom: shop@example.com\nTo: sample@example.com",
        "De: The Shop\nEnviada em: sexta-feira\nPara: Sample\nAssunto: Order",
    ] {
        let split = split(&format!("My answer.\n\n{mark}\n\nDear customer,\nwhere are you?"));
        assert_eq!((split.new_text.as_str(), split.quoted), ("My answer.", true), "{mark}");
    }
}

#[test]
fn answers_between_and_below_quoted_lines_stay() {
    let text = "Hello,\n\nOn Fri, Nov 20, 2026 The Shop <shop@example.com> wrote:\n> Which size?\nMedium.\n> Which colour?\n\nBlue.\n";
    let split = split(text);
    assert!(split.quoted);
    assert_eq!(split.new_text, "Hello,\n\nMedium.\n\nBlue.");
    assert_eq!(new("On 1/2/2026 a@example.com wrote:\n> old\n\nnew below"), "new below");
}

#[test]
fn where_nothing_would_be_left_the_text_stays() {
    let forwarded =
        "---------- Forwarded message ---------\nFrom: a@example.com\nDate: Fri\nSubject: x\n\nYour parcel";
    let split_forwarded = split(forwarded);
    assert_eq!(split_forwarded.new_text, forwarded);
    assert!(split_forwarded.quoted);
    for text in ["> all\n> quoted", "--\nSample Customer", "Sent from my iPhone"] {
        assert_eq!(new(text), text);
    }
    assert_eq!(split(""), Split::default());
}

#[test]
fn a_signature_is_told_apart() {
    for (text, said, signature) in [
        (
            "Where is it?\n\n-- \nSample Customer\n202-555-0123",
            "Where is it?",
            "--\nSample Customer\n202-555-0123",
        ),
        ("Where is it?\nSent from my iPhone", "Where is it?", "Sent from my iPhone"),
        ("Wo ist es?\n\nVon meinem iPhone gesendet", "Wo ist es?", "Von meinem iPhone gesendet"),
        ("Où ?\n\nEnvoyé de mon iPhone", "Où ?", "Envoyé de mon iPhone"),
        ("¿Dónde?\n\nEnviado desde mi iPhone", "¿Dónde?", "Enviado desde mi iPhone"),
        ("Dove?\n\nInviato da iPhone", "Dove?", "Inviato da iPhone"),
        ("Waar?\n\nVerstuurd vanaf mijn iPhone", "Waar?", "Verstuurd vanaf mijn iPhone"),
        ("Onde?\n\nEnviado do meu iPhone", "Onde?", "Enviado do meu iPhone"),
        ("Where?\n\nKind regards,\nSample", "Where?", "Kind regards,\nSample"),
        (
            "Où ?\n\nCordialement\n\nSample Customer\nExample Street",
            "Où ?",
            "Cordialement\n\nSample Customer\nExample Street",
        ),
        ("Where?\n\nThanks!\nSample\n\nSent from my iPad", "Where?", "Thanks!\nSample\nSent from my iPad"),
    ] {
        let split = split(text);
        assert_eq!(split.new_text, said, "{text}");
        assert_eq!(
            split.signature.as_deref().map(|text| text.replace("-- \n", "--\n")).as_deref(),
            Some(signature),
            "{text}"
        );
    }
}

#[test]
fn what_is_said_is_not_taken_for_a_signature_or_a_mark() {
    for text in [
        "Thanks\nWhere is order #1001?",
        "Thanks,\nbut the parcel never came.",
        "Please send it to me.\nThanks",
        "From: Berlin\nTo: Paris\nI need it there.",
        "I want these:\nred\nblue",
        "On Monday you wrote: it comes on Friday. It did not.",
        "Sent from my old address, can you change it?\nThe new one is 2 Example Street.",
        "a - b\n---\nc",
    ] {
        assert_eq!(split(text), Split { new_text: text.into(), signature: None, quoted: false }, "{text}");
    }
}

#[test]
fn a_text_of_many_signatures_is_taken_apart_at_once() {
    assert_eq!(new(&format!("Where is it?\n{}", "--\n".repeat(1000))), "Where is it?");
}

/// Lines of which mails are made, marks of every kind among them.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z ,.?:>*-]{0,30}",
        1 => Just(String::new()),
        1 => "> [a-z ]{0,20}",
        2 => prop::sample::select(vec![
            "On Fri, Nov 20, 2026 The Shop <shop@example.com> wrote:",
            "On Fri, Nov 20, 2026 The Shop",
            "<shop@example.com> wrote:",
            "2026-11-20 9:00 The Shop <shop@example.com>:",
            "-----Original Message-----",
            "__________________",
            "From: The Shop",
            "Date: Friday",
            "To: Sample",
            "Subject: Order",
            "-- ",
            "Thanks,",
            "Kind regards",
            "Sample",
            "Sent from my iPhone",
        ]).prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn what_is_new_stays_when_it_is_taken_apart_again(lines in prop::collection::vec(line(), 0..14)) {
        let text = lines.join("\n");
        let once = split(&text);
        prop_assert_eq!(split(&once.new_text).new_text, once.new_text.clone());
        prop_assert_eq!(once.new_text.is_empty(), text.trim().is_empty());
    }

    #[test]
    fn no_line_is_invented(lines in prop::collection::vec(line(), 0..14)) {
        let text = lines.join("\n");
        let said = split(&text).new_text;
        let mut from = text.lines().map(str::trim);
        for line in said.lines() {
            prop_assert!(from.any(|original| original == line.trim()), "{:?} in {:?}", line, text);
        }
    }
}
