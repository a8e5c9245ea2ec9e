//! Who orders and writes, and the bodies Shopify sends about it. Three households of two; everyone has an account, an e-mail
//! address and a phone number, written differently each time, and sometimes orders with only some of them.
//! Everyone writes from an address at work, too. Strangers write and never order.

use std::time::Duration;

use serde_json::{Value, json};
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;

use super::dice::Dice;

/// How many people there are.
pub(super) const PEOPLE: usize = 6;

/// How many strangers there are; their numbers follow those of the people.
pub(super) const STRANGERS: usize = 3;

/// The number of a person's account.
fn account(person: usize) -> u64 {
    9_000 + person as u64
}

/// Every address that somebody writes from, the first one most often.
pub(super) fn addresses(person: usize) -> Vec<String> {
    if person < PEOPLE {
        return vec![format!("person.{person}@example.com"), format!("person.{person}@work.example.com")];
    }
    vec![format!("stranger.{person}@example.com")]
}

/// A person's phone number, as it stands in a mail.
pub(super) fn written_phone(person: usize) -> String {
    format!("+1 (202) 555-010{person}")
}

/// Whom a text names, by addresses and by phone numbers.
pub(super) fn named_in(text: &str) -> Vec<Identifier> {
    let text = text.to_lowercase();
    let mut named = Vec::new();
    for person in 0..PEOPLE + STRANGERS {
        let addresses = addresses(person).into_iter().filter(|address| text.contains(address));
        let addresses: Vec<Personal<String>> = addresses.map(Personal::new).collect();
        let phone = Personal::new(written_phone(person));
        let phones = if text.contains(phone.expose()) { vec![(&phone, None)] } else { Vec::new() };
        named.extend(normalize::identifiers(&addresses.iter().collect::<Vec<_>>(), &phones, None));
    }
    named
}

/// Who has some of these addresses.
pub(super) fn of(identifiers: &[Identifier]) -> Vec<usize> {
    let has = |person: &usize| {
        let addresses = addresses(*person);
        identifiers.iter().any(|identifier| addresses.contains(identifier.value.expose()))
    };
    (0..PEOPLE + STRANGERS).filter(has).collect()
}

/// By what somebody is named who limits the use of their data, as the API takes it and as what it says.
pub(super) fn limits_by(person: usize) -> (serde_json::Map<String, Value>, Vec<Identifier>) {
    let (email, phone) = (addresses(person).remove(0), format!("+1202555010{person}"));
    let id = Personal::new(account(person));
    let who = match person {
        // A stranger has nothing but an address.
        PEOPLE.. => json!({ "email": email }),
        _ => match person % 3 {
            0 => json!({ "email": email, "phone": phone, "customer_id": id.expose() }),
            1 => json!({ "email": email }),
            _ => json!({ "phone": phone }),
        },
    };
    let named = |name| who[name].as_str().map(|text| Personal::new(text.to_owned()));
    let (email, phone) = (named("email"), named("phone"));
    let emails: Vec<_> = email.iter().collect();
    let phones: Vec<_> = phone.iter().map(|phone| (phone, None)).collect();
    let by = normalize::identifiers(&emails, &phones, who["customer_id"].as_u64().map(|_| &id));
    (who.as_object().unwrap().clone(), by)
}

/// A mail as it is sent, from somebody to somebody.
pub(super) struct Sent<'a> {
    pub(super) id: &'a str,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) cc: Option<String>,
    /// The `Message-ID` that it answers.
    pub(super) answers: Option<&'a str>,
    /// What stands in it besides what it asks.
    pub(super) more: Vec<String>,
}

impl Sent<'_> {
    /// Its bytes. What it says is about nothing in particular, or about what the desk has words for.
    pub(super) fn raw(&self, dice: &mut Dice) -> String {
        let answers = self.answers.map(|id| format!("In-Reply-To: <{id}>\r\nReferences: <{id}>\r\n"));
        let cc = self.cc.as_ref().map(|cc| format!("Cc: {cc}\r\n"));
        let text = [
            "Where is my order? The tracking has not moved and the parcel has not arrived yet.",
            "I want my money back. Please refund my order.",
            "Is the blue one available in size L? Which size should I take?",
            "About what we talked about the other day: what do you think?",
        ][dice.index(4)];
        let automatic = if dice.chance(5) { "Auto-Submitted: auto-replied\r\n" } else { "" };
        format!(
            "Message-ID: <{id}@mail.example.com>\r\n{}{automatic}From: {}\r\nTo: {}\r\n{}Subject: A question of 1 Example \
             Street\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n{}\r\nMark{id}Mark\r\n",
            answers.unwrap_or_default(),
            self.from,
            self.to,
            cc.unwrap_or_default(),
            self.more.join("\r\n"),
            id = self.id,
        )
    }
}

/// Somebody as a mail names them: an address with a name, or without.
pub(super) fn correspondent(person: usize, dice: &mut Dice) -> String {
    let addresses = addresses(person);
    let address = &addresses[if dice.chance(80) { 0 } else { dice.index(addresses.len()) }];
    let address = if dice.chance(20) { address.to_uppercase() } else { address.clone() };
    if dice.chance(60) { format!("Given{person} Family{} <{address}>", person / 2) } else { address }
}

/// A person's e-mail address, as typed this time.
fn email(person: usize, dice: &mut Dice) -> String {
    let plain = addresses(person).remove(0);
    match dice.below(4) {
        0 => plain.to_uppercase(),
        1 => format!("  {plain} "),
        2 => plain.replacen("person", "Person", 1).replacen("example", "Example", 1),
        _ => plain,
    }
}

/// A person's phone number, as typed this time; it comes with an American address.
fn phone(person: usize, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => format!("+1202555010{person}"),
        1 => format!("(202) 555-010{person}"),
        _ => format!("202.555.010{person}"),
    }
}

/// An order of a person. Now and then one with the e-mail address of somebody else: what joins two clusters.
pub(super) fn order(id: u64, person: usize, placed: Timestamp, dice: &mut Dice) -> Value {
    let household = person / 2;
    let mut body = json!({
        "id": id, "name": format!("#{id}"), "created_at": placed.to_rfc3339(),
        "currency": "EUR", "total_price": format!("{}.50", if dice.chance(80) { 10 + person as u64 } else { id }),
        "shipping_address": {
            "first_name": format!("Given{person}"), "last_name": format!("Family{household}"),
            "address1": format!("{} Example Street", household + 1), "zip": "20001", "country_code": "US",
        },
    });
    if dice.chance(75) {
        body["email"] = json!(email(person, dice));
    }
    if dice.chance(40) {
        body["phone"] = json!(phone(person, dice));
    }
    if dice.chance(60) {
        body["customer"] = json!({ "id": account(person), "email": email(person, dice) });
    }
    if dice.chance(8) {
        body["contact_email"] = json!(email(dice.index(PEOPLE), dice));
    }
    if dice.chance(30) {
        body["shipping_address"] = json!(null);
    }
    body
}

/// What becomes of an order next: it goes to another address, costs something else, is sent or cancelled. Whose it is
/// does not change.
pub(super) fn news(before: &Value, dice: &mut Dice) -> (&'static str, Value) {
    let mut body = before.clone();
    let told = before["updated_at"].as_str().or(before["created_at"].as_str()).unwrap();
    let step = Duration::from_secs(u64::from(!dice.chance(15)));
    let at = (Timestamp::parse_rfc3339(told).unwrap() + step).to_rfc3339();
    body["updated_at"] = json!(at);
    let topic = match dice.below(10) {
        0..4 => {
            if body["shipping_address"].is_object() {
                body["shipping_address"]["address1"] = json!(format!("{} Example Street", 1 + dice.below(4)));
            }
            "orders/updated"
        }
        4 | 5 => {
            body["total_price"] = json!(format!("{}.00", 10 + dice.below(5)));
            "orders/updated"
        }
        6 | 7 => {
            body["fulfillment_status"] = json!("fulfilled");
            "orders/fulfilled"
        }
        _ => {
            if body["cancelled_at"].is_null() {
                body["cancelled_at"] = json!(at);
            }
            "orders/cancelled"
        }
    };
    (topic, body)
}

/// A person's account, as Shopify tells of it when it changes. Whose orders are whose does not change with it.
pub(super) fn account_of(person: usize, dice: &mut Dice) -> [(&'static str, Value); 5] {
    let id = account(person);
    [
        ("id", json!(id)),
        ("admin_graphql_api_id", json!(format!("gid://shopify/Customer/{id}"))),
        ("email", json!(email(person, dice))),
        ("phone", json!(null)),
        ("default_address", json!(null)),
    ]
}

/// What a person's request says about the person: all of it, the account alone, the e-mail address alone, or nothing
/// but the orders, where it names any.
pub(super) fn request(shop: &str, person: usize, dice: &mut Dice, names_orders: bool) -> Value {
    let customer = match dice.below(8) {
        // A stranger has no account, and writes an address alone.
        _ if person >= PEOPLE => json!({ "email": email(person, dice) }),
        0 if dice.chance(50) => json!({ "email": addresses(person)[1] }),
        0 | 1 => json!({ "email": email(person, dice) }),
        2 => json!({ "id": account(person) }),
        3 if names_orders => json!({}),
        _ => json!({
            "id": account(person), "email": email(person, dice), "phone": format!("+1202555010{person}"),
        }),
    };
    json!({ "shop_id": 1, "shop_domain": shop, "customer": customer })
}

/// What must not stand in the clear anywhere, neither before nor after: parts of names, addresses and numbers.
pub(super) const CANARIES: [&str; 9] = [
    "person.",
    "Person.",
    "PERSON.",
    "stranger.",
    "STRANGER.",
    "Family",
    "Example Street",
    "555-010",
    "202555010",
];
