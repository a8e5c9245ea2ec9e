//! What must hold of the matching whatever the orders are.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::guard::{GuardSettings, Sensitivity};
use crate::order::{Address, Customer, LineItem, Order};
use crate::personal::Personal;
use crate::time::{MINUTE, Timestamp};

const SENSITIVITIES: [Sensitivity; 3] = [Sensitivity::Cautious, Sensitivity::Balanced, Sensitivity::Thorough];

#[expect(clippy::unnecessary_wraps, reason = "the shape of the fields it fills")]
fn text(value: &str) -> Option<Personal<String>> {
    Some(Personal::new(value.to_owned()))
}

fn blank(id: u64) -> Order {
    Order {
        id: id.into(),
        name: None,
        created_at: Timestamp(1_790_000_000_000),
        updated_at: None,
        cancelled_at: None,
        fulfilled: false,
        test: false,
        email: None,
        contact_email: None,
        phone: None,
        customer: None,
        billing_address: None,
        shipping_address: None,
        currency: text("EUR").map(Personal::into_inner),
        total_price: None,
        line_items: Vec::new(),
        checkout_token: None,
        source_name: None,
    }
}

fn address(given: &str, family: &str, street: &str, unit: &str) -> Address {
    Address {
        first_name: text(given),
        last_name: text(family),
        address1: text(street),
        address2: text(unit),
        city: text("Washington"),
        province_code: text("DC"),
        zip: text("20001"),
        country_code: text("US"),
        phone: None,
    }
}

fn sample(id: u64) -> Order {
    Order {
        email: text("sample.customer@example.com"),
        phone: text("+12025550143"),
        shipping_address: Some(address("Sample", "Customer", "12 Example Street", "Flat 5")),
        total_price: Some("48.00".to_owned()),
        ..blank(id)
    }
}

fn cart(lines: &[&str]) -> CartSignature {
    CartSignature {
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        checkout: None,
        origin: Some(Origin::Web),
    }
}

fn with(sensitivity: Sensitivity) -> GuardSettings {
    GuardSettings { sensitivity, window_minutes: 30 * 24 * 60, ..GuardSettings::default() }
}

fn later(order: &Order, minutes: u32) -> Order {
    Order { created_at: order.created_at + MINUTE * minutes, ..order.clone() }
}

fn weight(a: &Order, b: &Order) -> f64 {
    same_person(&Features::of(a), &Features::of(b), &Seen::new()).weight
}

fn decide(a: &Order, b: &Order, carts: (&[&str], &[&str]), sensitivity: Sensitivity) -> Verdict {
    judge(&Side::of(a, cart(carts.0)), &Side::of(b, cart(carts.1)), &Seen::new(), &with(sensitivity))
}

#[test]
fn spellings_of_one_address_are_one() {
    for (a, b) in [
        (("12 Example Street", "Flat 5"), ("5/12 Example St.", "")),
        (("12 Example Street", "Flat 5"), ("Apt 5", "12 EXAMPLE STREET")),
        (("12 Example Street #5", ""), ("12 Example str", "unit 5")),
        (("12 North Example Avenue", ""), ("12 N. Example Ave", "")),
        (("Beispielstraße 12", ""), ("Beispielstr. 12", "")),
        (("Beispiel-Straße 12 a", ""), ("Beispielstrasse 12a", "")),
        (("12, rue de l'Exemple", ""), ("12 Rue Exemple", "")),
        (("Calle Ejemplo 12", "piso 3"), ("C/ Ejemplo, 12", "3")),
        (("PO Box 77", ""), ("P.O. Box 77", "")),
        (("Example House", "12 Example Road"), ("12 Example Rd", "Example House")),
    ] {
        let order = |id, lines: (&str, &str)| Order {
            shipping_address: Some(address("Sample", "Customer", lines.0, lines.1)),
            ..blank(id)
        };
        let found = same_person(&Features::of(&order(1, a)), &Features::of(&order(2, b)), &Seen::new());
        let weak: Vec<_> = found
            .evidence
            .iter()
            .filter(|step| step.level.is_some_and(|level| level < Level::Strong))
            .collect();
        assert!(weak.is_empty() && found.is_same(), "{a:?} {b:?}: {weak:?}");
    }
}

#[test]
fn forms_of_one_name_are_one() {
    let whole = weight(&sample(1), &sample(2));
    for (a, b) in [
        (("Elizabeth", "Sample"), ("Liz", "Sample")),
        (("Elizabeth", "Sample"), ("Sample", "Elizabeth")),
        (("Zoë", "O'Sample"), ("Zoe", "OSAMPLE")),
        (("Ana", "Ejemplo Muestra"), ("Ana", "Ejemplo")),
        (("E.", "Sample"), ("Elizabeth", "Sample")),
        (("Jörg", "Müstermann"), ("Jorg", "Mustermann")),
        (("Elizabeth", "Sample"), ("Elizabteh", "Smaple")),
    ] {
        let order = |id, name: (&str, &str)| Order {
            shipping_address: Some(address(name.0, name.1, "12 Example Street", "")),
            ..blank(id)
        };
        let found = weight(&order(1, a), &order(2, b));
        assert!(found >= PERSON_THRESHOLD && found < whole, "{a:?} {b:?}: {found}");
    }
}

#[test]
fn an_order_has_at_most_eight_keys_when_it_has_one_of_each_contact() {
    let kinds: Vec<KeyKind> = Features::of(&sample(1)).keys().iter().map(|key| key.kind).collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), KeyKind::ALL.len(), "{kinds:?}");
}

#[test]
fn what_was_bought_minutes_apart_decides_and_hours_apart_another_cart_is_no_duplicate() {
    let a = sample(1);
    for sensitivity in SENSITIVITIES {
        let again = decide(&a, &later(&sample(2), 3), (&["x", "y"], &["x", "y"]), sensitivity);
        assert!(again.is_duplicate, "{sensitivity:?} {}", again.weight);
        let blind = decide(&a, &later(&sample(2), 3), (&[], &[]), sensitivity);
        assert!(blind.is_duplicate, "{sensitivity:?}: person, total and time decide, {}", blind.weight);
    }
    let mut other = later(&sample(2), 180);
    other.total_price = Some("20.00".to_owned());
    let other = decide(&a, &other, (&["x", "y"], &["z"]), Sensitivity::Balanced);
    assert!(!other.is_duplicate, "{}", other.weight);
}

#[test]
fn the_same_new_thing_in_the_same_minute_is_no_duplicate_between_strangers() {
    let stranger = Order {
        email: text("other.person@example.org"),
        phone: text("+12025550188"),
        shipping_address: Some(Address {
            zip: text("90001"),
            ..address("Other", "Person", "7 Elsewhere Road", "")
        }),
        ..sample(2)
    };
    for sensitivity in SENSITIVITIES {
        assert!(!decide(&sample(1), &stranger, (&["x"], &["x"]), sensitivity).is_duplicate);
    }
}

#[test]
fn a_household_is_several_people() {
    let partner = Order {
        email: text("other.person@example.com"),
        phone: text("+12025550188"),
        shipping_address: Some(address("Other", "Customer", "12 Example Street", "Flat 5")),
        ..sample(2)
    };
    let found = decide(&sample(1), &partner, (&["x"], &["x"]), Sensitivity::Balanced);
    assert!(!found.is_duplicate, "{}", found.weight);
    assert!(
        found.explanation.sentence().contains("two people of one household"),
        "{}",
        found.explanation.sentence()
    );
}

#[test]
fn what_many_orders_share_says_little_and_says_so() {
    let (a, mut b) = (sample(1), sample(2));
    b.email = None;
    b.phone = None;
    b.shipping_address = Some(address("Sample", "Custer", "12 Example Street", "Flat 9"));
    let (of_a, of_b) = (Features::of(&a), Features::of(&b));
    let alone = same_person(&of_a, &of_b, &Seen::new());
    let mut seen = Seen::new();
    for key in of_a.keys() {
        seen.add(key.clone(), Rows { count: KEY_CAP + 2, more: true });
    }
    let crowded = same_person(&of_a, &of_b, &seen);
    assert!(crowded.weight < alone.weight - 10.0, "{} {}", crowded.weight, alone.weight);
    assert!(crowded.evidence.iter().any(|step| step.field == Field::SharedAddress && step.saturated));
}

#[test]
fn what_does_not_count_is_never_a_duplicate_and_the_reason_is_told() {
    let a = sample(1);
    let excluded = |b: &Order, settings: &GuardSettings, cart: CartSignature| {
        let found = judge(&Side::of(&a, cart.clone()), &Side::of(b, cart), &Seen::new(), settings);
        assert!(!found.is_duplicate);
        found.explanation.excluded
    };
    let settings = GuardSettings::default();
    let test = Order { test: true, ..sample(2) };
    let cancelled = Order { cancelled_at: Some(a.created_at), ..sample(2) };
    assert_eq!(excluded(&test, &settings, cart(&["x"])), Some(Excluded::DoesNotCount));
    assert_eq!(excluded(&cancelled, &settings, cart(&["x"])), Some(Excluded::DoesNotCount));
    assert_eq!(excluded(&sample(1), &settings, cart(&["x"])), Some(Excluded::SameOrder));
    assert_eq!(
        excluded(&later(&sample(2), 24 * 60 + 1), &settings, cart(&["x"])),
        Some(Excluded::OutsideTheWindow)
    );
    for (origin, why) in [(Origin::Subscription, Excluded::Subscription), (Origin::Draft, Excluded::Draft)] {
        let cart = CartSignature { origin: Some(origin), ..cart(&["x"]) };
        assert_eq!(excluded(&sample(2), &settings, cart), Some(why));
    }
}

#[test]
fn an_explanation_adds_up_and_holds_nothing_of_the_person() {
    let found = decide(&sample(1), &later(&sample(2), 3), (&["x"], &["x"]), Sensitivity::Balanced);
    let sum: f64 = found.explanation.steps.iter().map(|step| step.bits).sum();
    assert!((sum - found.weight).abs() < 1e-9);
    let sentence = found.explanation.sentence();
    assert!(sentence.starts_with("The same e-mail address, the same phone number"), "{sentence}");
    assert!(sentence.ends_with("the same cart and the same total, 3 minutes apart."), "{sentence}");
    let kept = serde_json::to_string(&found.explanation).unwrap();
    for value in ["sample", "Customer", "example.com", "2025550143", "20001", "48"] {
        assert!(!kept.contains(value), "{value} in {kept}");
    }
    assert_eq!(serde_json::from_str::<Explanation>(&kept).unwrap().reasons(), found.explanation.reasons());
}

#[test]
fn carts_longer_than_a_signature_are_compared_by_the_same_lines() {
    let order = |id: u64, from: u64| Order {
        line_items: (from..from + 40)
            .map(|item| LineItem { item: Personal::new(format!("variant:{item}")), quantity: 1 })
            .collect(),
        ..blank(id)
    };
    let sign = |order: &Order| {
        CartSignature::of(&cart_terms(order), |label, term| {
            hex::encode(ring::digest::digest(&ring::digest::SHA256, format!("{label}{term}").as_bytes()))
        })
    };
    let (one, same, half, none) =
        (sign(&order(1, 0)), sign(&order(2, 0)), sign(&order(3, 20)), sign(&order(4, 100)));
    assert_eq!(one.lines.len(), CART_LINES);
    assert_eq!(one.overlap(&same), Some(1.0));
    assert_eq!(one.overlap(&none), Some(0.0));
    let part = one.overlap(&half).unwrap();
    assert!(part > 0.0 && part < 1.0 && (part - half.overlap(&one).unwrap()).abs() < 1e-9, "{part}");
}

fn given() -> impl Strategy<Value = &'static str> {
    select(&["Sample", "Smaple", "Elizabeth", "Liz", "E", "James", "Ana Maria", ""][..])
}

fn family() -> impl Strategy<Value = &'static str> {
    select(&["Customer", "Custmer", "Smith", "Smyth", "Person", "Sample", ""][..])
}

fn streets() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "12 Example Street",
            "Example St 12",
            "14 Example Street",
            "5/12 Exmaple St",
            "7 Elsewhere Road",
            "",
        ][..],
    )
}

fn any_order(id: u64) -> impl Strategy<Value = Order> {
    (
        prop::option::of(select(
            &["sample.customer@example.com", "sample.custmer@example.com", "other.person@example.org"][..],
        )),
        prop::option::of(select(&["+12025550143", "+12025550134", "+12025550188"][..])),
        (given(), family(), streets(), select(&["", "Flat 5", "Flat 6", "Example House"][..])),
        (
            select(&["20001", "20010", "90001", ""][..]),
            select(&["Washington", "Wshington", "Elsewhere", ""][..]),
        ),
        prop::option::of(7u64..9),
        select(&["48.00", "48", "12.5"][..]),
        0u32..60_000,
    )
        .prop_map(
            move |(email, phone, (given, family, street, unit), (zip, city), account, total, minutes)| {
                let address =
                    Address { zip: text(zip), city: text(city), ..address(given, family, street, unit) };
                let order = Order {
                    email: email.and_then(text),
                    phone: phone.and_then(text),
                    customer: account.map(|id| Customer { id: Some(id.into()), ..Customer::default() }),
                    shipping_address: Some(address),
                    total_price: Some(total.to_owned()),
                    ..blank(id)
                };
                later(&order, minutes)
            },
        )
}

fn any_cart() -> impl Strategy<Value = CartSignature> {
    (
        prop::collection::btree_set("[a-d]", 0..4),
        prop::option::of("[xy]"),
        prop::option::of(select(&Origin::ALL[..])),
    )
        .prop_map(|(lines, checkout, origin)| CartSignature { lines, checkout, origin })
}

fn any_sensitivity() -> impl Strategy<Value = Sensitivity> {
    select(&SENSITIVITIES[..])
}

fn any_seen() -> impl Strategy<Value = Option<usize>> {
    prop::option::of(2usize..KEY_CAP + 3)
}

/// Every key of both stands for so many orders.
fn seen_with(a: &Order, b: &Order, count: Option<usize>) -> Seen {
    let mut seen = Seen::new();
    if let Some(count) = count {
        for order in [a, b] {
            for key in Features::of(order).keys() {
                seen.add(key.clone(), Rows { count, more: count > KEY_CAP + 1 });
            }
        }
    }
    seen
}

/// Rounding must not count.
const HAIR: f64 = 1e-9;

proptest! {
    #[test]
    fn comparing_is_symmetric(
        a in any_order(1), b in any_order(2), carts in (any_cart(), any_cart()), sensitivity in any_sensitivity(),
        count in any_seen(),
    ) {
        let seen = seen_with(&a, &b, count);
        let (of_a, of_b) = (Side::of(&a, carts.0), Side::of(&b, carts.1));
        let person = same_person(&of_a.features, &of_b.features, &seen).weight;
        prop_assert!((person - same_person(&of_b.features, &of_a.features, &seen).weight).abs() < HAIR);
        let settings = with(sensitivity);
        let (there, back) = (judge(&of_a, &of_b, &seen, &settings), judge(&of_b, &of_a, &seen, &settings));
        prop_assert!((there.weight - back.weight).abs() < HAIR);
        prop_assert_eq!(there.is_duplicate, back.is_duplicate);
        prop_assert_eq!(there.explanation.sentence(), back.explanation.sentence());
    }

    #[test]
    fn more_agreement_never_weighs_less(a in any_order(1), b in any_order(2), field in 0usize..7) {
        let mut nearer = b.clone();
        let (of_a, of_b) = (a.shipping_address.clone().unwrap(), nearer.shipping_address.as_mut().unwrap());
        // What is missing in one order does not become an agreement by being missing in both.
        match field {
            0 if a.email.is_some() => nearer.email.clone_from(&a.email),
            1 if a.phone.is_some() => nearer.phone.clone_from(&a.phone),
            2 if a.customer.is_some() => nearer.customer.clone_from(&a.customer),
            3 => (of_b.first_name, of_b.last_name) = (of_a.first_name, of_a.last_name),
            4 => (of_b.address1, of_b.address2) = (of_a.address1, of_a.address2),
            5 => of_b.zip = of_a.zip,
            6 => of_b.city = of_a.city,
            _ => return Ok(()),
        }
        let complete = |order: &Order| {
            let address = order.shipping_address.as_ref().unwrap();
            [&address.first_name, &address.last_name, &address.address1, &address.zip, &address.city]
                .into_iter()
                .all(|part| part.as_ref().is_some_and(|part| !part.expose().is_empty()))
        };
        prop_assume!(complete(&a) && complete(&b));
        prop_assert!(weight(&a, &nearer) >= weight(&a, &b) - HAIR, "{} {}", weight(&a, &nearer), weight(&a, &b));
    }

    #[test]
    fn the_more_share_a_value_the_less_it_weighs(
        a in any_order(1), b in any_order(2), few in 2usize..KEY_CAP + 3, more in 0usize..KEY_CAP,
    ) {
        let (of_a, of_b) = (Features::of(&a), Features::of(&b));
        let with = |count| same_person(&of_a, &of_b, &seen_with(&a, &b, Some(count))).weight;
        prop_assert!(with(few + more) <= with(few) + HAIR);
    }

    #[test]
    fn liker_orders_never_weigh_less(
        a in any_order(1), b in any_order(2), carts in (any_cart(), any_cart()), closer in 0u32..100,
    ) {
        let settings = with(Sensitivity::Balanced);
        let side = |order: &Order, cart: &CartSignature| Side::of(order, cart.clone());
        let before = judge(&side(&a, &carts.0), &side(&b, &carts.1), &Seen::new(), &settings);
        prop_assume!(before.explanation.excluded.is_none());
        let mut same_cart = carts.1.clone();
        if !carts.0.lines.is_empty() {
            same_cart.lines.clone_from(&carts.0.lines);
        }
        let after = judge(&side(&a, &carts.0), &side(&b, &same_cart), &Seen::new(), &settings);
        prop_assert!(after.weight >= before.weight - HAIR);
        let apart = a.created_at.since(b.created_at).max(b.created_at.since(a.created_at));
        let mut nearer = b.clone();
        nearer.created_at = a.created_at + apart * closer / 100;
        let after = judge(&side(&a, &carts.0), &side(&nearer, &carts.1), &Seen::new(), &settings);
        prop_assert!(after.weight >= before.weight - HAIR);
    }

    #[test]
    fn an_address_alone_is_never_enough(
        street in "\\PC{1,30}", unit in "\\PC{0,10}", zip in "[0-9]{5}", minutes in 0u32..1000,
        named in any::<bool>(), lines in prop::collection::btree_set("[a-d]", 0..4), sensitivity in any_sensitivity(),
        count in any_seen(),
    ) {
        let order = |id, given: &str, family: &str| {
            let (given, family) = if named { (given, family) } else { ("", "") };
            let address = Address { zip: text(&zip), ..address(given, family, &street, &unit) };
            Order { shipping_address: Some(address), total_price: Some("48.00".to_owned()), ..blank(id) }
        };
        let (a, b) = (order(1, "Sample", "Customer"), later(&order(2, "Other", "Person"), minutes));
        let cart = CartSignature { lines, checkout: Some("x".to_owned()), origin: Some(Origin::Web) };
        let seen = seen_with(&a, &b, count);
        let found = judge(&Side::of(&a, cart.clone()), &Side::of(&b, cart), &seen, &with(sensitivity));
        prop_assert!(!found.is_duplicate, "{:?}", found.explanation);
    }

    #[test]
    fn what_is_left_out_is_never_a_duplicate(a in any_order(1), b in any_order(2), sensitivity in any_sensitivity()) {
        let settings = GuardSettings { window_minutes: 60, ..with(sensitivity) };
        let apart = a.created_at.since(b.created_at).max(b.created_at.since(a.created_at));
        let side = |order: &Order| Side::of(order, cart(&["x"]));
        let found = judge(&side(&a), &side(&b), &Seen::new(), &settings);
        prop_assert!(!(found.is_duplicate && apart > Duration::from_hours(1)));
        let test = Order { test: true, ..a.clone() };
        let cancelled = Order { cancelled_at: Some(a.created_at), ..a };
        prop_assert!(!judge(&side(&test), &side(&b), &Seen::new(), &settings).is_duplicate);
        prop_assert!(!judge(&side(&cancelled), &side(&b), &Seen::new(), &settings).is_duplicate);
    }

    #[test]
    fn whatever_stands_in_the_fields_it_is_compared(
        texts in prop::collection::vec("\\PC{0,60}|(?s).{0,20}", 16), repeat in 1usize..400,
    ) {
        let order = |id: u64, texts: &[String]| {
            let at = |index: usize| Some(Personal::new(texts[index].repeat(if index == 3 { repeat } else { 1 })));
            Order {
                email: at(0), phone: at(1),
                shipping_address: Some(Address {
                    first_name: at(2), last_name: at(3), address1: at(4), address2: at(5), city: at(6), zip: at(7),
                    ..Address::default()
                }),
                ..blank(id)
            }
        };
        let (a, b) = (order(1, &texts[..8]), order(2, &texts[8..]));
        prop_assert!(weight(&a, &b).is_finite());
        prop_assert!((weight(&a, &b) - weight(&b, &a)).abs() < HAIR);
        for key in Features::of(&a).keys() {
            prop_assert!(key.value.expose().len() <= 1024);
        }
        let whole = judge(&Side::of(&a, cart(&["x"])), &Side::of(&b, cart(&["y"])), &Seen::new(), &with(Sensitivity::Thorough));
        prop_assert!(!whole.explanation.sentence().is_empty());
    }
}
