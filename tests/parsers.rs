//! Everything that reads a stranger's bytes, as one function for each: it must not panic, and what it took must read the
//! same again. The fuzzer in `fuzz/` gives them bytes led by coverage; here they get samples with bytes changed, so that
//! every run of the tests has tried them.

use storeward_core::normalize;
use storeward_core::order::Order;
use storeward_core::shop::ShopDomain;
use storeward_core::time::Timestamp;
use storeward_core::webhook::{AppUninstalled, CustomersRedact, ShopRedact};
use storeward_store::RecordRef;

/// A parser under test.
pub type Parser = fn(&[u8]);

/// All of them, by the name of their fuzz target.
pub const PARSERS: [(&str, Parser); 3] =
    [("order", order), ("webhook_bodies", webhook_bodies), ("texts", texts)];

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
        ];
        let texts = [
            "+1 (202) 555-0123 ext. 4",
            "Sample.Customer+tag@Example.com",
            "2026-11-01T09:30:00+01:00",
            "storeward-demo.myshopify.com",
            "order/00112233445566778899aabbccddeeff",
            "Große Straße 5½, Flat 7/B",
        ];
        bodies
            .iter()
            .map(|name| sample_body(name).to_string().into_bytes())
            .chain(texts.iter().map(|text| text.as_bytes().to_vec()))
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
