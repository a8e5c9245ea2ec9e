//! Everything that reads a stranger's bytes, as one function for each: it must not panic, and what it took must read the
//! same again. The fuzzer in `fuzz/` gives them bytes led by coverage; here they get samples with bytes changed, so that
//! every run of the tests has tried them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use storeward_api::{DecisionRequest, PreviewRequest, SettingsBody};
use storeward_core::google_oauth::{Callback, State};
use storeward_core::guard::GuardSettings;
use storeward_core::intent::{self, Classified, Reading};
use storeward_core::jwt::{IssuerKeys, key_named};
use storeward_core::mail::{self, MAX_TEXT, MessageId, Reply};
use storeward_core::matching::{self, Features, Seen, Side};
use storeward_core::normalize;
use storeward_core::oauth::Query;
use storeward_core::order::Order;
use storeward_core::personal::Personal;
use storeward_core::push::{ExpectedPush, LARGEST, MailboxNotice, PushToken};
use storeward_core::session::SessionToken;
use storeward_core::shop::ShopDomain;
use storeward_core::time::Timestamp;
use storeward_core::webhook::{
    AppScopesUpdate, AppUninstalled, CustomersDataRequest, CustomersRedact, CustomersUpdate, ShopRedact,
    ShopUpdate,
};
use storeward_store::RecordRef;

/// A parser under test.
pub type Parser = fn(&[u8]);

/// All of them, by the name of their fuzz target.
pub const PARSERS: [(&str, Parser); 11] = [
    ("order", order),
    ("webhook_bodies", webhook_bodies),
    ("texts", texts),
    ("classify", classify),
    ("session_token", session_token),
    ("oauth_query", oauth_query),
    ("api_bodies", api_bodies),
    ("matching", matching),
    ("graphql_orders", graphql_orders),
    ("mail", mail),
    ("google", google),
];

/// The app that the tokens are for, and when they are read.
const CLIENT_ID: &str = "test-client-id";
const NOW: Timestamp = Timestamp(1_795_190_400_000);

/// The body of every orders/* topic. What is kept of it must read back the same.
pub fn order(bytes: &[u8]) {
    let Ok(order) = serde_json::from_slice::<Order>(bytes) else { return };
    let _identifiers = normalize::order_identifiers(&order);
    let kept = serde_json::to_vec(&order).expect("an order is written as JSON");
    let again: Order = serde_json::from_slice(&kept).expect("what was kept is an order");
    assert_eq!(serde_json::to_vec(&again).expect("and again"), kept);
}

/// The bodies of the other topics.
pub fn webhook_bodies(bytes: &[u8]) {
    let _read = serde_json::from_slice::<AppUninstalled>(bytes);
    let _read = serde_json::from_slice::<CustomersRedact>(bytes);
    let _read = serde_json::from_slice::<ShopRedact>(bytes);
    let _read = serde_json::from_slice::<CustomersDataRequest>(bytes);
    let _read = serde_json::from_slice::<CustomersUpdate>(bytes);
    let _read = serde_json::from_slice::<AppScopesUpdate>(bytes);
    let _read = serde_json::from_slice::<ShopUpdate>(bytes);
}

fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

/// Whether a signature is that of a message under one of the secrets: `signed` of what is verified here.
fn signed_with(secret: &'static str) -> impl FnOnce(&[u8], &[u8]) -> bool {
    move |message, signature| hmac::verify(&key(secret), message, signature).is_ok()
}

/// Session tokens. Whatever the bytes are: nobody signed them, so they are not one; as claims that are signed they count
/// under that secret alone; and a token changed in any place counts nowhere.
pub fn session_token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(SessionToken::verify(text, CLIENT_ID, NOW, signed_with("test-secret")).is_err());
    }
    // The first bytes say what is changed, the others are the claims.
    let Some((&[at, by, how], claims)) = bytes.split_first_chunk::<3>() else { return };
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&key("test-secret"), message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert!(SessionToken::verify(&token, CLIENT_ID, NOW, signed_with("test-another-secret")).is_err());
    if let Ok(read) = SessionToken::verify(&token, CLIENT_ID, NOW, signed_with("test-secret")) {
        assert!(NOW < read.expires_at + storeward_core::session::LEEWAY);
        assert!(SessionToken::verify(&token, "another-client-id", NOW, signed_with("test-secret")).is_err());
    }
    let place = usize::from(at) * token.len() / 256;
    let mut changed = token.clone().into_bytes();
    match how % 3 {
        0 => changed[place] = by,
        1 => changed.insert(place, by),
        _ => _ = changed.remove(place),
    }
    if changed != token.as_bytes()
        && let Ok(text) = std::str::from_utf8(&changed)
    {
        assert!(SessionToken::verify(text, CLIENT_ID, NOW, signed_with("test-secret")).is_err(), "{how}");
    }
}

/// Query strings of OAuth. What is signed reads as the same again, and counts under its secret alone.
pub fn oauth_query(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(query) = Query::parse(text) else { return };
    assert!(query.verify(NOW, signed_with("test-secret")).is_err(), "nobody signed it");
    let message = query.signed_message();
    // Percent-encoding makes a text up to three times as long: then it can be longer than what is read.
    let Ok(again) = Query::parse(&message) else { return };
    assert_eq!(again.signed_message(), message);
    let signature = hex::encode(hmac::sign(&key("test-secret"), message.as_bytes()));
    let Ok(signed) = Query::parse(&format!("{message}&hmac={signature}")) else { return };
    assert_eq!(signed.signed_message(), message);
    assert!(signed.verify(NOW, signed_with("test-another-secret")).is_err());
    if signed.verify(NOW, signed_with("test-secret")).is_ok() {
        let Ok(more) = Query::parse(&format!("{message}&more=1&hmac={signature}")) else { return };
        assert!(more.verify(NOW, signed_with("test-secret")).is_err(), "a parameter that was not signed");
    }
}

/// What callers of the API send. Settings that were read are written as the same settings.
pub fn api_bodies(bytes: &[u8]) {
    let _read = serde_json::from_slice::<DecisionRequest>(bytes);
    let _read = serde_json::from_slice::<PreviewRequest>(bytes);
    let Ok(settings) = serde_json::from_slice::<SettingsBody>(bytes) else { return };
    let written = serde_json::to_vec(&settings).expect("settings are written as JSON");
    assert_eq!(serde_json::from_slice::<SettingsBody>(&written).ok(), Some(settings.clone()));
    assert_eq!(SettingsBody::from(GuardSettings::from(settings.clone())), settings);
}

/// The comparison of two orders, from a list of two, or of one with itself: the same both ways, also of what was stored.
pub fn matching(bytes: &[u8]) {
    let orders = serde_json::from_slice::<Vec<Order>>(bytes)
        .or_else(|_| serde_json::from_slice::<Order>(bytes).map(|order| vec![order]));
    let Ok(orders) = orders else { return };
    let (Some(a), Some(b)) = (orders.first(), orders.last()) else { return };
    for order in [a, b] {
        let kept = serde_json::to_vec(order).expect("an order is written as JSON");
        let stored: Order = serde_json::from_slice(&kept).expect("what was kept is an order");
        assert!(Features::of(order) == Features::of(&stored), "stored, it is another");
    }
    let side = |order: &Order| {
        let cart = matching::CartSignature::of(&matching::cart_terms(order), |_, term| term.to_owned());
        Side::of(order, cart)
    };
    let (a, b) = (side(a), side(b));
    let settings = GuardSettings::default();
    let (there, back) =
        (matching::judge(&a, &b, &Seen::new(), &settings), matching::judge(&b, &a, &Seen::new(), &settings));
    assert_eq!(there.is_duplicate, back.is_duplicate);
    assert!((there.weight - back.weight).abs() < 1e-9, "{} {}", there.weight, back.weight);
    assert!(there.weight.is_finite());
    assert_eq!(there.explanation.sentence(), back.explanation.sentence());
}

/// Orders as the Admin API tells them. What was read is kept and read as any other.
pub fn graphql_orders(bytes: &[u8]) {
    let Ok(node) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let Some(order) = storeward_clients::order_of(node) else { return };
    let kept = serde_json::to_vec(&order).expect("an order is written as JSON");
    let again: Order = serde_json::from_slice(&kept).expect("what was kept is an order");
    assert_eq!(serde_json::to_vec(&again).expect("and again"), kept);
}

/// Mails. What is kept has its bounds, what is new in them stays new, and an answer to one is read as such.
pub fn mail(bytes: &[u8]) {
    let Ok(read) = mail::read(bytes) else { return };
    assert!(read.text.expose().len() <= MAX_TEXT && read.new_text.expose().len() <= read.text.expose().len());
    assert_eq!(read.text.expose().is_empty(), read.new_text.expose().is_empty());
    let (Some(from), Some(to), Some(answered)) = (&read.from, read.answered(), &read.message_id) else {
        return;
    };
    let reply = Reply {
        message_id: MessageId::new("test", "shop.example.com").expect("plain words"),
        from: from.clone(),
        to: to.clone(),
        subject: read.subject.clone(),
        in_reply_to: Some(answered.clone()),
        references: read.references.clone(),
        text: Personal::new("Thank you.".to_owned()),
        date: NOW,
        auto_submitted: true,
    };
    let Ok(composed) = mail::compose(&reply) else { return };
    let again = mail::read(&composed).expect("what was composed is a mail");
    assert_eq!(again.message_id, Some(reply.message_id));
    assert_eq!(again.in_reply_to.first(), Some(answered));
    assert_eq!(again.references.last(), Some(answered));
    assert_eq!(again.text.expose(), "Thank you.");
    assert!(again.automatic.is_some() && again.to.len() == 1 && again.attachments.is_empty());
}

/// What comes from Google, or from whoever says so: pushes, their tokens, and what a browser comes back with. A token that
/// nobody signed counts nowhere; a notice that was read is the same when it is pushed again.
pub fn google(bytes: &[u8]) {
    if let Ok(notice) = MailboxNotice::read(bytes) {
        assert!(bytes.len() <= LARGEST);
        let data = serde_json::json!({
            "emailAddress": notice.address.expose(), "historyId": notice.history_id.to_string(),
        });
        let again = serde_json::json!({
            "message": { "data": URL_SAFE_NO_PAD.encode(data.to_string()), "message_id": notice.message_id },
            "deliveryAttempt": notice.attempt,
        });
        assert_eq!(MailboxNotice::read(again.to_string().as_bytes()), Ok(notice));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _kid = key_named(text);
    let key = serde_json::json!({ "keys": [{ "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB" }] });
    let keys = IssuerKeys::read(&key).expect("a set of keys");
    let expected = ExpectedPush { audience: "test-audience", service_account: "pusher@example.com" };
    assert!(PushToken::verify(text, &expected, &keys, NOW).is_err());
    let _keys = serde_json::from_slice(bytes).ok().and_then(|document| IssuerKeys::read(&document));
    let Ok(query) = Query::parse(text) else { return };
    if let Some(Callback::Agreed { state, .. } | Callback::Refused { state, .. }) = Callback::read(&query) {
        assert_eq!(State::read(state.as_str()), Some(state));
    }
}

/// Single texts: what stands in headers, fields and links. A normal form is its own normal form.
pub fn texts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(email) = normalize::email(text) {
        assert_eq!(normalize::email(email.expose()), Some(email.clone()));
    }
    if let Some(phone) = normalize::phone(text, Some("US")) {
        assert_eq!(normalize::phone(phone.expose(), None), Some(phone.clone()));
    }
    assert_eq!(normalize::fold(&normalize::fold(text)), normalize::fold(text));
    if let Ok(domain) = text.parse::<ShopDomain>() {
        assert_eq!(domain.as_str().parse().as_ref(), Ok(&domain));
    }
    if let Ok(reference) = text.parse::<RecordRef>() {
        assert_eq!(reference.to_string().parse::<RecordRef>().ok(), Some(reference));
    }
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        assert_eq!(
            Timestamp::parse_rfc3339(&time.to_rfc3339()).map(Timestamp::seconds),
            Some(time.seconds())
        );
    }
}

/// What a customer wrote; the first line is the subject. The same mail is told the same, what decided is a part of it, and
/// what is kept of the answer reads back.
pub fn classify(bytes: &[u8]) {
    let Ok(mail) = std::str::from_utf8(bytes) else { return };
    let (subject, text) = mail.split_once('\n').map_or((None, mail), |(subject, text)| (Some(subject), text));
    let told = intent::classify(&Reading { subject, text });
    assert_eq!(intent::classify(&Reading { subject, text }), told);
    assert!(mail.contains(told.sentence.expose().as_str()));
    let kept = serde_json::to_vec(&told).expect("an answer is written as JSON");
    let again: Classified = serde_json::from_slice(&kept).expect("what was kept is an answer");
    assert_eq!(
        (again.intent, again.confidence, again.sentence),
        (told.intent, told.confidence, told.sentence)
    );
    assert_eq!(again.evidence.len(), told.evidence.len());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PARSERS;
    use crate::bench::{root, sample_body};

    /// Genuine bodies and texts to start from.
    fn seeds() -> Vec<Vec<u8>> {
        let bodies = [
            "webhooks/orders-create/first",
            "webhooks/customers-redact/by-id",
            "webhooks/app-uninstalled/plain",
            "webhooks/customers-data-request/by-id",
            "webhooks/customers-update/new-email",
            "webhooks/app-scopes-update/fewer",
            "webhooks/shop-update/plain",
        ];
        let claims = r#"000{"iss":"https://storeward-demo.myshopify.com/admin","dest":"https://storeward-demo.myshopify.com",
            "aud":"test-client-id","sub":"1","exp":1795190460,"nbf":1795190390}"#;
        let node = r##"{"legacyResourceId":"9007199254740993","name":"#1","createdAt":"2026-11-20T15:00:00Z",
            "updatedAt":"2026-11-20T15:00:00Z","cancelledAt":null,"test":false,"email":"a@example.com","phone":null,
            "displayFulfillmentStatus":"FULFILLED","sourceName":"web",
            "totalPriceSet":{"shopMoney":{"amount":"12.5","currencyCode":"USD"}},
            "customer":{"legacyResourceId":"2","defaultEmailAddress":{"emailAddress":"a@example.com"},
            "defaultPhoneNumber":null},"billingAddress":null,
            "shippingAddress":{"address1":"1 Example Street","zip":"20001","countryCodeV2":"US"}}"##;
        let mail = "From: Sample <sample.customer@example.com>\r\nReply-To: =?utf-8?q?S=C3=A4mple?= <a@example.com>\r\n\
            Message-ID: <1@example.com>\r\nReferences: <0@example.com>\r\nSubject: Re: Order\r\n\
            Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nWhere is it=3F\r\n\r\nOn 20 Nov 2026 shop@example.com wrote:\r\n\
            > Hello\r\n--b\r\nContent-Type: text/html\r\n\r\n<p style='color:#000'>Where <b>is</b> it?</p>\r\n--b--\r\n";
        // {"emailAddress":"support@example.com","historyId":"1024"}
        let push = r#"{"message":{"data":"eyJlbWFpbEFkZHJlc3MiOiJzdXBwb3J0QGV4YW1wbGUuY29tIiwiaGlzdG9yeUlkIjoiMTAyNCJ9",
            "messageId":"1","message_id":"1"},"subscription":"projects/p/subscriptions/s","deliveryAttempt":1}"#;
        let texts = [
            "+1 (202) 555-0123 ext. 4",
            "Sample.Customer+tag@Example.com",
            "2026-11-01T09:30:00+01:00",
            "storeward-demo.myshopify.com",
            "order/00112233445566778899aabbccddeeff",
            "Große Straße 5½, Flat 7/B",
            "code=1&shop=storeward-demo.myshopify.com&state=a%2Bb&timestamp=1795190400",
            r#"{"window_minutes":60,"alert":"digest","digest_hour":7,"sensitivity":"thorough"}"#,
            r#"{"decision":"never_this_household"}"#,
            "Re: Order #1043\nHi, my parcel hasn't arrived (https://example.com/track). No refund needed, I just want it by Friday!",
            claims,
            node,
            mail,
            push,
            "code=4%2F0a&state=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE&scope=a%20b&authuser=0",
            r#"{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB","alg":"RS256","use":"sig"}]}"#,
        ];
        let pair = serde_json::json!([
            sample_body("webhooks/orders-create/first"),
            sample_body("webhooks/orders-create/second-same-person"),
        ]);
        bodies
            .iter()
            .map(|name| sample_body(name).to_string().into_bytes())
            .chain(texts.iter().map(|text| text.as_bytes().to_vec()))
            .chain([pair.to_string().into_bytes()])
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_a_parser_panic(
            seed in prop::sample::select(seeds()),
            cut in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..8),
            truncate in prop::bool::weighted(0.1),
        ) {
            let mut bytes = seed;
            for (at, byte, how) in changes {
                let at = at.index(bytes.len().max(1));
                match how {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 if at < bytes.len() => { bytes.remove(at); }
                    _ => bytes.insert(at.min(bytes.len()), byte),
                }
            }
            if truncate {
                bytes.truncate(cut.index(bytes.len().max(1)));
            }
            for (_, parser) in PARSERS {
                parser(&bytes);
            }
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,200}") {
            for (_, parser) in PARSERS {
                parser(text.as_bytes());
            }
        }
    }

    #[test]
    fn every_parser_has_a_fuzz_target_and_every_target_a_parser() {
        let files = std::fs::read_dir(root().join("tests/fuzz/fuzz_targets")).unwrap();
        let mut targets: Vec<String> = files
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        targets.sort();
        let mut parsers: Vec<String> = PARSERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        parsers.sort();
        assert_eq!(targets, parsers);
    }
}
