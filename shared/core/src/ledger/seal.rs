//! The documents that seal the ledger, one a day: what stood in it, chained to the day before and signed; and what an
//! auditor finds who holds them against the table. Who signs and where they are kept is the host's.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::{Hash, chained, digest_of, root};
use crate::time::{DAY, Timestamp};

/// What comes before the first day.
pub const NOTHING: Hash = [0; 32];

/// How a P-256 key begins in the DER of a `SubjectPublicKeyInfo` (RFC 5480), which is what KMS gives.
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Hashes as 64 hexadecimal digits.
mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::ledger::Hash;

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))
    }
}

/// One entry of a day: its name in the table and its hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leaf {
    /// The sort key: the blinded shop, the time in milliseconds, a random id.
    pub name: String,
    /// The hash of the whole entry, [`super::leaf`].
    #[serde(with = "hexadecimal")]
    pub hash: Hash,
}

/// A day of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Which, as `2026-11-20` in UTC.
    pub day: String,
    /// When it was sealed: some hours after its end.
    pub sealed_at: Timestamp,
    /// [`Day::chained`] of the day before; of the first, [`NOTHING`].
    #[serde(with = "hexadecimal")]
    pub previous: Hash,
    /// The Merkle root over the entries.
    #[serde(with = "hexadecimal")]
    pub root: Hash,
    /// The root, chained to the day before.
    #[serde(with = "hexadecimal")]
    pub chained: Hash,
    /// The entries, in the order they stand in.
    pub entries: Vec<Leaf>,
}

impl Day {
    /// The day with its root and its place in the chain.
    #[must_use]
    pub fn of(day: String, previous: Hash, entries: Vec<Leaf>, sealed_at: Timestamp) -> Self {
        let root = root_of(&entries);
        let chained = chained(&previous, &day, &root);
        Self { day, sealed_at, previous, root, chained, entries }
    }

    fn is_consistent(&self) -> bool {
        let root = root_of(&self.entries);
        root == self.root && chained(&self.previous, &self.day, &root) == self.chained
    }
}

fn root_of(entries: &[Leaf]) -> Hash {
    root(&entries.iter().map(|entry| entry.hash).collect::<Vec<_>>())
}

/// The day after `day`; `None` when it is not one.
#[must_use]
pub fn day_after(day: &str) -> Option<String> {
    Timestamp::parse_rfc3339(&format!("{day}T00:00:00Z")).map(|start| (start + DAY).day())
}

/// A day's document with its signature: what is kept where nothing can be rewritten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedDay {
    /// The [`Day`] as JSON: these very bytes are what is signed for.
    pub document: String,
    /// ECDSA over P-256 and SHA-256 of [`statement`], DER in base64.
    pub signature: String,
    /// Which key signed, as KMS names it.
    pub key: String,
}

/// What is signed for a document: short, so that KMS takes it as it is, and of no other use.
#[must_use]
pub fn statement(document: &str) -> Vec<u8> {
    format!("storeward ledger day 1\n{}\n", hex::encode(digest_of(document.as_bytes()))).into_bytes()
}

/// The key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

/// The text holds no public key of the P-256 curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no P-256 public key: give the output of KMS GetPublicKey, as PEM, base64 or DER")
    }
}

impl std::error::Error for NotAKey {}

impl SigningKey {
    /// Reads a key as KMS gives it (DER), or as it is written down: PEM or base64 of that.
    ///
    /// # Errors
    /// When it is neither, or on another curve.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAKey> {
        let point = |der: &[u8]| match der.strip_prefix(&SPKI_P256) {
            Some(point) if point.len() == 65 && point.first() == Some(&4) => Some(Self(point.to_vec())),
            _ => None,
        };
        if let Some(key) = point(bytes) {
            return Ok(key);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NotAKey)?;
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let text: String = lines.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
        STANDARD.decode(text).ok().and_then(|der| point(&der)).ok_or(NotAKey)
    }

    /// The key of an uncompressed point, as DER.
    #[must_use]
    pub fn der(point: &[u8]) -> Vec<u8> {
        [&SPKI_P256[..], point].concat()
    }

    fn signed(&self, message: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, &signature).is_ok()
    }
}

/// What is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// A document cannot be read.
    Unreadable {
        /// The document's name.
        document: String,
    },
    /// A document is not the one that was signed, or another key signed it.
    NotSigned {
        /// The day it claims to be.
        day: String,
    },
    /// A document's entries do not make up its root, or the root its place in the chain.
    Inconsistent {
        /// The day.
        day: String,
    },
    /// A day is not chained to the one before: one of the two was exchanged, or one is missing between them.
    ChainBroken {
        /// The later day.
        day: String,
    },
    /// There is no document of a day between others, or of the newest days.
    DayMissing {
        /// The day.
        day: String,
    },
    /// The earliest document goes on from one that is not there.
    BeginningMissing {
        /// The earliest day there is.
        day: String,
    },
    /// There are two documents of one day.
    DayTwice {
        /// The day.
        day: String,
    },
    /// An entry that was sealed is not in the table.
    Deleted {
        /// The day.
        day: String,
        /// The entry's name: shop, milliseconds, id.
        entry: String,
    },
    /// An entry is not what was sealed.
    Altered {
        /// The day.
        day: String,
        /// The entry's name.
        entry: String,
    },
    /// An entry that was sealed under one name stands under another: it was moved in time or to another shop.
    Moved {
        /// The day.
        day: String,
        /// The name it was sealed under.
        entry: String,
        /// The name it stands under.
        to: String,
    },
    /// An entry was not there when the day was sealed.
    Inserted {
        /// The day.
        day: String,
        /// The entry's name.
        entry: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { document } => write!(f, "{document}: not a sealed day"),
            Self::NotSigned { day } => write!(f, "{day}: the signature does not fit the document"),
            Self::Inconsistent { day } => write!(f, "{day}: the document's entries do not make up its root"),
            Self::ChainBroken { day } => write!(f, "{day}: not chained to the day before"),
            Self::DayMissing { day } => write!(f, "{day}: there is no document of this day"),
            Self::BeginningMissing { day } => write!(f, "{day}: the documents before this day are missing"),
            Self::DayTwice { day } => write!(f, "{day}: there are two documents of this day"),
            Self::Deleted { day, entry } => write!(f, "{day}: deleted entry {}", Named(entry)),
            Self::Altered { day, entry } => write!(f, "{day}: altered entry {}", Named(entry)),
            Self::Moved { day, entry, to } => {
                write!(f, "{day}: moved entry {}, now at {}", Named(entry), Named(to))
            }
            Self::Inserted { day, entry } => write!(f, "{day}: entry added later {}", Named(entry)),
        }
    }
}

/// An entry's name for people: shop, time, id.
struct Named<'a>(&'a str);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.split('#');
        let (shop, at, id) = (parts.next(), parts.next().and_then(|at| at.parse().ok()), parts.next());
        match (shop, at, id) {
            (Some(shop), Some(at), Some(id)) => {
                write!(f, "{id} of shop {shop} at {}", Timestamp(at).to_rfc3339())
            }
            _ => f.write_str(self.0),
        }
    }
}

/// Checks the documents among themselves: each by its signature, all by the chain. `until` is the last day that must
/// be there, also where there is no document at all. Gives the days that can be held against the table, in their order.
#[must_use]
pub fn check_documents(
    documents: &[(String, String)],
    key: &SigningKey,
    until: Option<&str>,
) -> (Vec<Day>, Vec<Finding>) {
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    let mut findings = Vec::new();
    for (name, text) in documents {
        let sealed = serde_json::from_str::<SealedDay>(text).ok();
        let day = sealed.as_ref().and_then(|sealed| serde_json::from_str::<Day>(&sealed.document).ok());
        let (Some(sealed), Some(day)) = (sealed, day) else {
            findings.push(Finding::Unreadable { document: name.clone() });
            continue;
        };
        if !key.signed(&statement(&sealed.document), &sealed.signature) {
            findings.push(Finding::NotSigned { day: day.day.clone() });
        }
        if !day.is_consistent() {
            findings.push(Finding::Inconsistent { day: day.day.clone() });
        }
        if let Some(other) = days.insert(day.day.clone(), day)
            && days.get(&other.day) != Some(&other)
        {
            findings.push(Finding::DayTwice { day: other.day });
        }
    }
    let mut before: Option<&Day> = None;
    for day in days.values() {
        match before {
            None if day.previous != NOTHING => {
                findings.push(Finding::BeginningMissing { day: day.day.clone() });
            }
            None => {}
            Some(before) => {
                findings.extend(missing(&before.day, &day.day));
                if day.previous != before.chained {
                    findings.push(Finding::ChainBroken { day: day.day.clone() });
                }
            }
        }
        before = Some(day);
    }
    match (until, before) {
        (Some(until), Some(last)) => {
            findings.extend(day_after(until).into_iter().flat_map(|after| missing(&last.day, &after)));
        }
        (Some(until), None) => findings.push(Finding::DayMissing { day: until.to_owned() }),
        (None, _) => {}
    }
    (days.into_values().collect(), findings)
}

/// The days strictly between two.
fn missing(before: &str, next: &str) -> Vec<Finding> {
    let between = std::iter::successors(day_after(before), |day| day_after(day));
    between.take_while(|day| day.as_str() < next).map(|day| Finding::DayMissing { day }).collect()
}

/// An entry as it stands in the table now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition it stands in.
    pub partition: String,
    /// The sort key: its name.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Standing {
    /// The entry's hash, under its own name or another.
    #[must_use]
    pub fn hash_as(&self, name: &str) -> Hash {
        super::leaf([self.partition.as_str(), name, &self.text].join("\n").as_bytes())
    }

    /// What a day's document says of it.
    #[must_use]
    pub fn leaf(&self) -> Leaf {
        Leaf { name: self.name.clone(), hash: self.hash_as(&self.name) }
    }
}

/// Holds what stands in the table for a day against what was sealed. A day has several partitions, in each of which a
/// name can stand: each entry is what one leaf tells of, or nothing that was sealed.
#[must_use]
pub fn compare(day: &Day, standing: &[Standing]) -> Vec<Finding> {
    let mut stored: BTreeMap<&str, Vec<&Standing>> = BTreeMap::new();
    for entry in standing {
        stored.entry(&entry.name).or_default().push(entry);
    }
    let mut lost: Vec<&Leaf> = Vec::new();
    for leaf in &day.entries {
        let named = stored.get_mut(leaf.name.as_str());
        let as_sealed = named.and_then(|named| {
            let at = named.iter().position(|entry| entry.hash_as(&leaf.name) == leaf.hash)?;
            Some(named.swap_remove(at))
        });
        if as_sealed.is_none() {
            lost.push(leaf);
        }
    }
    let mut findings = Vec::new();
    lost.retain(|leaf| {
        let altered = stored.get_mut(leaf.name.as_str()).and_then(Vec::pop).is_some();
        if altered {
            findings.push(Finding::Altered { day: day.day.clone(), entry: leaf.name.clone() });
        }
        !altered
    });
    let mut strangers: Vec<&Standing> = stored.into_values().flatten().collect();
    for leaf in lost {
        let (of, entry) = (day.day.clone(), leaf.name.clone());
        let moved = strangers.iter().position(|stranger| stranger.hash_as(&leaf.name) == leaf.hash);
        findings.push(match moved.map(|at| strangers.swap_remove(at)) {
            Some(to) => Finding::Moved { day: of, entry, to: to.name.clone() },
            None => Finding::Deleted { day: of, entry },
        });
    }
    let inserted = |entry: &Standing| Finding::Inserted { day: day.day.clone(), entry: entry.name.clone() };
    findings.extend(strangers.into_iter().map(inserted));
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use std::slice;

    use proptest::prelude::*;
    use proptest::sample::Index;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    struct Signer(EcdsaKeyPair, SystemRandom);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
            Self(pair, random)
        }

        fn key(&self) -> SigningKey {
            SigningKey::read(&SigningKey::der(self.0.public_key().as_ref())).unwrap()
        }

        fn seal(&self, day: &Day) -> (String, String) {
            let document = serde_json::to_string(day).unwrap();
            let signature = self.0.sign(&self.1, &statement(&document)).unwrap();
            let signature = STANDARD.encode(signature.as_ref());
            let sealed = SealedDay { document, signature, key: "test".to_owned() };
            (format!("{}.json", day.day), serde_json::to_string(&sealed).unwrap())
        }
    }

    type Entries = Vec<Vec<Standing>>;

    fn chain(entries: &Entries) -> Vec<Day> {
        let mut previous = NOTHING;
        let mut day = "2026-12-30".to_owned();
        let mut days = Vec::new();
        for standing in entries {
            let sealed = Day::of(
                day.clone(),
                previous,
                standing.iter().map(Standing::leaf).collect(),
                Timestamp::default(),
            );
            previous = sealed.chained;
            day = day_after(&day).unwrap();
            days.push(sealed);
        }
        days
    }

    fn entry(day: usize, at: usize, text: &str) -> Standing {
        let name = format!("aa#{at:015}#{day}-{at}");
        Standing { partition: format!("ledger#{day}"), name, text: text.to_owned() }
    }

    fn histories() -> impl Strategy<Value = Entries> {
        prop::collection::vec(prop::collection::vec("[a-z]{1,6}", 0..6), 1..6).prop_map(|days| {
            let day = |(day, texts): (usize, Vec<String>)| {
                texts.iter().enumerate().map(|(at, text)| entry(day, at, text)).collect()
            };
            days.into_iter().enumerate().map(day).collect()
        })
    }

    #[test]
    fn a_key_is_read_as_kms_gives_it_and_as_people_keep_it() {
        let signer = Signer::new();
        let der = SigningKey::der(signer.0.public_key().as_ref());
        let base64 = STANDARD.encode(&der);
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n",
            &base64[..64],
            &base64[64..]
        );
        for text in [base64.into_bytes(), pem.into_bytes(), der.clone()] {
            assert_eq!(SigningKey::read(&text), Ok(signer.key()));
        }
        for wrong in [&der[..der.len() - 1], b"", b"key"] {
            assert_eq!(SigningKey::read(wrong), Err(NotAKey));
        }
        // As long as a point and compressed, or a point and too long.
        let point = SPKI_P256.len();
        let compressed = [&der[..point], &[2], &der[point + 1..]].concat();
        let too_long = [&der[..], &[0]].concat();
        assert_eq!(
            [compressed, too_long].map(|wrong| SigningKey::read(&wrong)),
            [Err(NotAKey), Err(NotAKey)]
        );
        assert!(NotAKey.to_string().contains("give the output of KMS GetPublicKey"));
    }

    #[test]
    fn what_is_signed_names_its_use_and_is_the_documents_own() {
        let statement = |document| String::from_utf8(statement(document)).unwrap();
        assert_eq!(
            statement("abc"),
            "storeward ledger day 1\nba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n",
            "the example of FIPS 180-4"
        );
        assert_ne!(statement("abd"), statement("abc"));
    }

    #[test]
    fn findings_are_told_by_day_and_by_shop_time_and_id() {
        let (day, entry) = ("2026-12-30".to_owned(), "aa#000001798588800000#7".to_owned());
        let named = "7 of shop aa at 2026-12-30T00:00:00Z";
        let of = |finding: Finding| finding.to_string();
        for (finding, words) in [
            (Finding::Unreadable { document: "x.json".to_owned() }, "x.json: not a sealed day".to_owned()),
            (Finding::DayTwice { day: day.clone() }, format!("{day}: there are two documents of this day")),
            (
                Finding::Deleted { day: day.clone(), entry: entry.clone() },
                format!("{day}: deleted entry {named}"),
            ),
            (
                Finding::Moved { day: day.clone(), entry, to: "elsewhere#x#7".to_owned() },
                format!("{day}: moved entry {named}, now at elsewhere#x#7"),
            ),
        ] {
            assert_eq!(of(finding), words);
        }
    }

    #[test]
    fn two_documents_of_a_day_and_one_that_is_none_are_found_and_a_copy_is_not() {
        let signer = Signer::new();
        let days = chain(&vec![vec![entry(0, 0, "a")], vec![entry(1, 0, "b")]]);
        let sealed: Vec<_> = days.iter().map(|day| signer.seal(day)).collect();
        let check =
            |documents: &[(String, String)], until| check_documents(documents, &signer.key(), until).1;
        let copied = [sealed.clone(), vec![sealed[0].clone()]].concat();
        assert_eq!(check(&copied, None), []);
        let other = Day::of(days[1].day.clone(), days[1].previous, Vec::new(), Timestamp::default());
        let twice = [sealed.clone(), vec![signer.seal(&other)]].concat();
        assert_eq!(check(&twice, None), [Finding::DayTwice { day: other.day }]);
        let unread = [sealed.clone(), vec![("x.json".to_owned(), "{}".to_owned())]].concat();
        assert_eq!(check(&unread, None), [Finding::Unreadable { document: "x.json".to_owned() }]);
        // Of the newest days none may be missing; nothing is asked of those after.
        let missing = |day: &str| Finding::DayMissing { day: day.to_owned() };
        assert_eq!(check(&sealed, Some("2027-01-02")), [missing("2027-01-01"), missing("2027-01-02")]);
        assert_eq!(check(&sealed, Some("2026-12-30")), []);
        // Nor may all of them.
        assert_eq!(check(&[], Some("2027-01-02")), [missing("2027-01-02")]);
        assert_eq!(check(&[], None), []);
        assert_eq!(day_after("2026-12-32"), None);
    }

    #[test]
    fn an_entry_that_is_added_under_the_name_of_another_in_another_partition_is_found() {
        let genuine = entry(0, 0, "genuine");
        let added = |text: &str| Standing {
            partition: "ledger#0#f".to_owned(),
            text: text.to_owned(),
            ..genuine.clone()
        };
        let days = chain(&vec![vec![genuine.clone()]]);
        let (day, named) = (days[0].day.clone(), genuine.name.clone());
        let (altered, inserted) = (
            Finding::Altered { day: day.clone(), entry: named.clone() },
            Finding::Inserted { day, entry: named },
        );
        for table in [
            [genuine.clone(), added("x")],
            [added("x"), genuine.clone()],
            [added("genuine"), genuine.clone()],
        ] {
            assert_eq!(compare(&days[0], &table), slice::from_ref(&inserted));
        }
        assert_eq!(
            compare(&days[0], &[genuine.clone(), genuine.clone()]),
            slice::from_ref(&inserted),
            "nor twice"
        );
        assert_eq!(compare(&days[0], &[added("x")]), slice::from_ref(&altered));
        assert_eq!(compare(&days[0], &[added("x"), added("y")]), [altered, inserted]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_done_to_the_table_is_found_and_named(
            history in histories(), day in any::<Index>(), at in any::<Index>(), how in 0..4,
        ) {
            let days = chain(&history);
            let day = day.index(days.len());
            for (day, standing) in days.iter().zip(&history) {
                prop_assert_eq!(compare(day, standing), []);
            }
            let mut table = history[day].clone();
            prop_assume!(!table.is_empty() || how == 3);
            let of = days[day].day.clone();
            let expected = match how {
                0 => Finding::Deleted { day: of, entry: table.remove(at.index(table.len())).name },
                1 => {
                    let one = at.index(table.len());
                    table[one].text.push('!');
                    Finding::Altered { day: of, entry: table[one].name.clone() }
                }
                2 => {
                    let one = at.index(table.len());
                    let entry = std::mem::replace(&mut table[one].name, "aa#999#moved".to_owned());
                    Finding::Moved { day: of, entry, to: "aa#999#moved".to_owned() }
                }
                _ => {
                    table.push(entry(day, 99, "new"));
                    Finding::Inserted { day: of, entry: entry(day, 99, "new").name }
                }
            };
            prop_assert_eq!(compare(&days[day], &table), [expected]);
        }

        #[test]
        fn two_entries_that_changed_places_are_both_found(
            history in histories(), day in any::<Index>(), one in any::<Index>(), other in any::<Index>(),
        ) {
            let days = chain(&history);
            let day = day.index(days.len());
            let mut table = history[day].clone();
            prop_assume!(!table.is_empty());
            let (one, other) = (one.index(table.len()), other.index(table.len()));
            prop_assume!(table[one].text != table[other].text);
            let text = std::mem::take(&mut table[one].text);
            table[one].text = std::mem::replace(&mut table[other].text, text);
            let found = compare(&days[day], &table);
            prop_assert_eq!(found.len(), 2);
            let altered = found.iter().all(|finding| matches!(finding, Finding::Altered { .. }));
            prop_assert!(altered);
        }

        #[test]
        fn whatever_is_done_to_the_documents_is_found(
            history in histories(), day in any::<Index>(), byte in any::<Index>(), how in 0..5,
        ) {
            let signer = Signer::new();
            let days = chain(&history);
            let mut documents: Vec<(String, String)> = days.iter().map(|day| signer.seal(day)).collect();
            let last = days.last().unwrap().day.clone();
            let (read, found) = check_documents(&documents, &signer.key(), Some(&last));
            prop_assert_eq!((read, found), (days.clone(), vec![]));
            let at = day.index(days.len());
            match how {
                // A whole day goes.
                0 => { documents.remove(at); }
                // A byte of the document changes, the signature does not.
                1 => {
                    let mut sealed: SealedDay = serde_json::from_str(&documents[at].1).unwrap();
                    let mut bytes = sealed.document.into_bytes();
                    let byte = byte.index(bytes.len());
                    bytes[byte] = if bytes[byte] == b'0' { b'1' } else { b'0' };
                    sealed.document = String::from_utf8(bytes).unwrap();
                    documents[at].1 = serde_json::to_string(&sealed).unwrap();
                }
                // Somebody else signs.
                2 => documents[at] = Signer::new().seal(&days[at]),
                // Even the holder of the key cannot exchange a day without the ones after it.
                3 => {
                    let changed = [entry(99, 0, "made up")];
                    let forged = Day::of(
                        days[at].day.clone(), days[at].previous,
                        changed.iter().map(Standing::leaf).collect(), Timestamp::default(),
                    );
                    prop_assume!(at + 1 < days.len());
                    documents[at] = signer.seal(&forged);
                }
                // A document that does not say what its root says.
                _ => {
                    let mut lying = days[at].clone();
                    lying.root[0] ^= 1;
                    documents[at] = signer.seal(&lying);
                }
            }
            let (_, found) = check_documents(&documents, &signer.key(), Some(&last));
            prop_assert!(!found.is_empty());
            let day = &days[at].day;
            let named = match how {
                0 if at == 0 && days.len() > 1 => matches!(&found[0], Finding::BeginningMissing { .. }),
                0 => found.contains(&Finding::DayMissing { day: day.clone() }),
                1 => true,
                2 => found == [Finding::NotSigned { day: day.clone() }],
                3 => found == [Finding::ChainBroken { day: days[at + 1].day.clone() }],
                _ => found.contains(&Finding::Inconsistent { day: day.clone() }),
            };
            prop_assert!(named, "{found:?}");
        }
    }
}
