//! Whoever has the tables and all keys: opens every sealed value there is. Written from what is documented of the format and
//! not with the store's code, so that it also opens what the store has forgotten about.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use serde_json::Value;
use storeward_core::data_map::{Kind, Table};

/// A sealed value, opened.
pub struct Opened {
    /// Of which kind.
    pub kind: Kind,
    /// In which attribute.
    pub attribute: String,
    /// What it says.
    pub text: String,
}

/// All keys.
pub struct Thief {
    wrapping: LessSafeKey,
    deployment: LessSafeKey,
    /// Every installation's data key that ever was there: what was left behind opens after the keys are destroyed, too.
    installations: BTreeMap<String, LessSafeKey>,
}

fn of_kind(item: &Value) -> Kind {
    let kind = item["kind"]["S"].as_str().unwrap_or_default();
    Kind::ALL.into_iter().find(|known| known.name() == kind).unwrap_or_else(|| panic!("{item} has no kind"))
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name]["S"].as_str().unwrap()
}

/// What a sealed attribute is bound to.
fn place(item: &Value, kind: Kind, attribute: &str) -> String {
    let table = match kind.row().table {
        Table::Data => "data",
        Table::Keys => "keys",
        Table::Ledger => "ledger",
    };
    let part = if attribute == "sealed" { String::new() } else { format!("|{attribute}") };
    format!("{table}|{}|{}|{}{part}", text(item, "pk"), text(item, "sk"), kind.name())
}

fn open(key: &LessSafeKey, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (&1, rest) = sealed.split_first()? else { return None };
    let (nonce, cipher) = rest.split_at_checked(NONCE_LEN)?;
    let mut buffer = cipher.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    Some(key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut buffer).ok()?.to_vec())
}

impl Thief {
    /// With the deployment key.
    pub fn new(deployment: &[u8]) -> Self {
        let derived = |label: &[u8]| {
            let info = [label];
            let root = Salt::new(HKDF_SHA256, b"storeward").extract(deployment);
            let key = root.expand(&info, &AES_256_GCM).map(UnboundKey::from).unwrap();
            LessSafeKey::new(key)
        };
        let (wrapping, deployment) = (derived(b"wrapping"), derived(b"records"));
        Self { wrapping, deployment, installations: BTreeMap::new() }
    }

    /// Opens everything in the tables.
    ///
    /// # Panics
    /// When something binary opens with none of the keys: then nobody knows what it says.
    pub fn open_all<'a>(&mut self, items: impl Iterator<Item = &'a Value> + Clone) -> Vec<Opened> {
        for item in items.clone().filter(|item| of_kind(item) == Kind::Keys) {
            let shop = text(item, "pk").strip_prefix("shop#").unwrap();
            let installation = format!("{shop}#{}", text(item, "sk"));
            let wrapped = STANDARD.decode(item["wrapped"]["B"].as_str().unwrap()).unwrap();
            let plain = open(&self.wrapping, &format!("keys|{installation}"), &wrapped).unwrap();
            let data = UnboundKey::new(&AES_256_GCM, &plain[..32]).unwrap();
            self.installations.insert(installation, LessSafeKey::new(data));
        }
        let mut opened = Vec::new();
        for item in items {
            let kind = of_kind(item);
            let binary = item.as_object().unwrap().iter().filter_map(|(name, value)| {
                value["B"].as_str().map(|bytes| (name, STANDARD.decode(bytes).unwrap()))
            });
            for (attribute, sealed) in binary.filter(|(name, _)| *name != "wrapped") {
                let place = place(item, kind, attribute);
                let mut keys = self.installations.values().chain([&self.deployment]);
                let plain = keys.find_map(|key| open(key, &place, &sealed));
                let plain = plain.unwrap_or_else(|| panic!("{attribute} of {place} opens with no key"));
                let text = String::from_utf8(plain).expect("what is sealed is JSON");
                opened.push(Opened { kind, attribute: attribute.clone(), text });
            }
        }
        opened
    }
}
