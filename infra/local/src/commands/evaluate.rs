//! Measures the product's own matching, phone reading and intents on files with known answers. The answers are compared
//! elsewhere; nothing here knows them.

mod mime;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use clap::Subcommand;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use storeward_core::intent::{self, Reading};
use storeward_core::matching::{self, Features};
use storeward_core::normalize;
use storeward_core::order::{Address, Order};
use storeward_core::personal::Personal;
use storeward_core::time::{Clock as _, SystemClock, Timestamp};

use super::Trouble;

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub enum Evaluate {
    /// Which orders of a list are one person's: one order a line in, pairs with their weight as CSV out.
    Matching {
        /// The orders, one JSON object a line.
        file: std::path::PathBuf,
    },
    /// Phone numbers in E.164: a number and its region a line in, JSON lines out, null for what is no number.
    Phone {
        /// The numbers, one JSON object a line.
        file: std::path::PathBuf,
    },
    /// What mails are about, told by the built-in engine: an id and a text a line in, JSON lines out.
    Intents {
        /// The texts, one JSON object a line; a subject may stand beside a text.
        file: std::path::PathBuf,
    },
    /// What is understood of mails: files or folders in, a JSON line with counts and reasons for each mail out.
    Mime {
        /// Mails, as they are sent (RFC 5322), or folders of them.
        #[arg(required = true)]
        paths: Vec<std::path::PathBuf>,
    },
}

/// Runs an evaluation; results go to `out`, and how much was done to `notes`.
///
/// # Errors
/// A file that cannot be read, or a line that is not what it should be: which one, and never what stands there.
pub fn evaluate(what: &Evaluate, out: &mut impl Write, notes: &mut impl Write) -> Result<bool, Trouble> {
    match what {
        Evaluate::Matching { file } => orders(file, out, notes),
        Evaluate::Phone { file } => numbers(file, out),
        Evaluate::Intents { file } => intents(file, out, notes),
        Evaluate::Mime { paths } => mime::mails(paths, out, notes),
    }
}

/// An order of a list: a shop's order without its time, and whatever else stands there unread.
#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    email: Option<Personal<String>>,
    #[serde(default)]
    phone: Option<Personal<String>>,
    #[serde(default)]
    shipping_address: Option<Address>,
    #[serde(default)]
    billing_address: Option<Address>,
}

impl Listed {
    fn features(self) -> (String, Features) {
        let order = Order {
            id: 0.into(),
            name: None,
            created_at: Timestamp(0),
            updated_at: None,
            cancelled_at: None,
            fulfilled: false,
            test: false,
            email: self.email,
            contact_email: None,
            phone: self.phone,
            customer: None,
            billing_address: self.billing_address,
            shipping_address: self.shipping_address,
            currency: None,
            total_price: None,
            line_items: Vec::new(),
            checkout_token: None,
            source_name: None,
        };
        (self.id, Features::of(&order))
    }
}

fn orders(file: &Path, out: &mut impl Write, notes: &mut impl Write) -> Result<bool, Trouble> {
    let mut ids = Vec::new();
    let mut list = Vec::new();
    read(file, |order: Listed| {
        let (id, features) = order.features();
        ids.push(id);
        list.push(features);
        Ok(())
    })?;
    let begun = SystemClock.now();
    let batch = matching::pairs(&list);
    let took = SystemClock.now().since(begun);
    let id = |place: usize| ids.get(place).map_or("", String::as_str);
    let written = (|| {
        writeln!(out, "id_a,id_b,weight")?;
        for pair in &batch.pairs {
            writeln!(out, "{},{},{:.2}", csv(id(pair.a)), csv(id(pair.b)), pair.weight)?;
        }
        out.flush()?;
        let (rows, compared) = (batch.rows, batch.comparisons);
        writeln!(notes, "{} orders, {rows} rows, {compared} comparisons in {took:?}", ids.len())
    })();
    written.map_err(|error| Trouble::new("the pairs cannot be written", error)).map(|()| true)
}

/// A field of a CSV line, quoted where it has to be.
fn csv(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[derive(Deserialize)]
struct Number {
    id: Value,
    input: String,
    #[serde(default)]
    region: Option<String>,
}

fn numbers(file: &Path, out: &mut impl Write) -> Result<bool, Trouble> {
    read(file, |number: Number| {
        let e164 = normalize::phone(&number.input, number.region.as_deref());
        let line = serde_json::json!({ "id": number.id, "e164": e164.map(Personal::into_inner) });
        writeln!(out, "{line}").map_err(|error| Trouble::new("the numbers cannot be written", error))
    })?;
    Ok(true)
}

#[derive(Deserialize)]
struct Mail {
    id: Value,
    #[serde(default)]
    subject: Option<Personal<String>>,
    text: Personal<String>,
}

fn intents(file: &Path, out: &mut impl Write, notes: &mut impl Write) -> Result<bool, Trouble> {
    let unwritten = |error| Trouble::new("the intents cannot be written", error);
    let begun = SystemClock.now();
    let mut mails = 0_usize;
    read(file, |mail: Mail| {
        let subject = mail.subject.as_ref().map(|subject| subject.expose().as_str());
        let told = intent::classify(&Reading { subject, text: mail.text.expose() });
        mails += 1;
        let (label, confidence) = (told.intent.name(), told.confidence.ratio());
        let line = serde_json::json!({ "id": mail.id, "label": label, "confidence": confidence });
        writeln!(out, "{line}").map_err(unwritten)
    })?;
    let took = SystemClock.now().since(begun);
    out.flush().and_then(|()| writeln!(notes, "{mails} mails in {took:?}")).map_err(unwritten)?;
    Ok(true)
}

/// Reads JSON lines one by one; blank ones are passed over.
fn read<T: DeserializeOwned>(
    file: &Path,
    mut each: impl FnMut(T) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let opened = File::open(file).map_err(|error| Trouble::new("the file cannot be opened", error))?;
    for (index, line) in BufReader::new(opened).split(b'\n').enumerate() {
        let number = index + 1;
        let line = line.map_err(|error| Trouble::new(&format!("line {number} cannot be read"), error))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        // What stands in the line can be about a person: the message only says where it goes wrong.
        let value = serde_json::from_slice(&line).map_err(|error| {
            let what = if error.is_data() { "not the object that is expected" } else { "not JSON" };
            Trouble(format!("line {number} is {what} (column {})", error.column()))
        })?;
        each(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn run(what: impl Fn(std::path::PathBuf) -> Evaluate, text: &[u8]) -> Result<String, Trouble> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let mut out = Vec::new();
        evaluate(&what(file.path().to_owned()), &mut out, &mut Vec::new())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn one_person_in_a_list_is_found_and_another_is_not() {
        let list = br#"{"id":"o_1","email":"sample.customer@example.com","phone":null,"extra":{"dob":"x"},"shipping_address":{"first_name":"Sample","last_name":"Customer","address1":"1 Example Street","zip":"20001","country_code":"US"}}

{"id":"o,2","email":"sample.custmer@example.com","shipping_address":{"first_name":"Smaple","last_name":"Customer","address1":"1 Example St","zip":"20001","country_code":"US"}}
{"id":"o_3","email":"other.person@example.com","shipping_address":{"first_name":"Other","last_name":"Person","address1":"1 Example Street","zip":"20001","country_code":"US"}}
"#;
        let pairs = run(|file| Evaluate::Matching { file }, list).unwrap();
        let lines: Vec<&str> = pairs.lines().collect();
        assert_eq!(lines.len(), 2, "{pairs}");
        assert_eq!(lines[0], "id_a,id_b,weight");
        assert!(lines[1].starts_with("o_1,\"o,2\","), "{pairs}");
    }

    #[test]
    fn a_number_is_told_in_its_region_and_none_as_null() {
        let list = br#"{"id":1,"input":"(202) 555-0123","region":"US"}
{"id":"b","input":"12","region":null}"#;
        let told = run(|file| Evaluate::Phone { file }, list).unwrap();
        let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            told,
            [
                serde_json::json!({"id": 1, "e164": "+12025550123"}),
                serde_json::json!({"id": "b", "e164": null})
            ]
        );
    }

    #[test]
    fn the_intent_of_each_mail_is_told_with_its_confidence() {
        let list = br#"{"id":"m_1","text":"I want my money back."}
{"id":2,"subject":"My parcel","text":"Where is it? It has not arrived."}
{"id":3,"text":""}"#;
        let told = run(|file| Evaluate::Intents { file }, list).unwrap();
        let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let labels: Vec<(&Value, &Value)> = told.iter().map(|line| (&line["id"], &line["label"])).collect();
        let expected = [("m_1".into(), "refund"), (2.into(), "shipping"), (3.into(), "question")];
        let expected: Vec<(Value, Value)> = expected.map(|(id, label)| (id, label.into())).into();
        assert_eq!(labels, expected.iter().map(|(id, label)| (id, label)).collect::<Vec<_>>());
        assert_eq!(told[2]["confidence"], 0.0);
        assert!(told[0]["confidence"].as_f64().unwrap() > 0.8);
    }

    #[test]
    fn a_bad_line_is_named_and_not_repeated() {
        for (bad, what) in [
            (&b"{\"id\":\"o_1\"}\n{\"id\":\"CANARY\",\"email\":7}"[..], "not the object that is expected"),
            (b"{\"id\":\"o_1\"}\nCANARY", "not JSON"),
            (b"\n{\"id\":\"\xff\"}", "not JSON"),
            (b"{\"id\":\"o_1\"}\n{\"id\":\"CANARY", "not JSON"),
        ] {
            let trouble = run(|file| Evaluate::Matching { file }, bad).unwrap_err().to_string();
            assert!(trouble.starts_with("line 2 ") && trouble.contains(what), "{trouble}");
            assert!(!trouble.contains("CANARY"), "{trouble}");
        }
        let bad = b"{\"id\":1,\"text\":\"a\"}\n{\"id\":2,\"text\":[\"CANARY\"]}";
        let trouble = run(|file| Evaluate::Intents { file }, bad).unwrap_err().to_string();
        assert!(trouble.starts_with("line 2 is not the object that is expected"), "{trouble}");
        assert!(!trouble.contains("CANARY"), "{trouble}");
    }
}
