//! The answerer: fills any schema that is taken, from the words of the request. It understands nothing; it finds sections,
//! counts words and quotes what it was given, so that the same request always has the same answer.
//!
//! What it looks for: the mail between tags whose name has `mail` or `message` in it (`<mail>…</mail>`; without any, all
//! that was asked), facts as `name: value` lines or JSON between tags with `order`, `context` or `fact`, and texts of the
//! shop between tags with `polic` or `macro`. Fences are tags, too: `⟦BEGIN MAIL⟧ … ⟦END MAIL⟧`. Properties are filled by
//! type, and by name where theirs is a usual one.

mod words;

use serde_json::{Map, Value};

use super::request::Request;
use super::schema::referred;

use self::words::{Language, score, sentences};

/// How many facts a reply quotes.
const MOST_FACTS: usize = 6;

/// References and choices of a schema are followed so deep: deeper ones are recursive, which is refused before.
const DEEPEST: usize = 32;

/// Names that an enum has for "none of the others".
const NEUTRAL: [&str; 5] = ["question", "other", "none", "unknown", "unclear"];

/// The text of the answer: JSON where a schema asks for it, plain otherwise.
pub(super) fn to(request: &Request) -> String {
    let reading = Reading::of(request);
    match &request.schema {
        Some(schema) => reading.fill(schema, schema, "", DEEPEST).to_string(),
        None => reading.reply,
    }
}

/// What was made of a request.
struct Reading {
    mail: String,
    intent: &'static str,
    clear: bool,
    language: Language,
    sentence: String,
    reply: String,
    /// What was promised in it.
    promised: Vec<&'static str>,
    needs_human: bool,
}

impl Reading {
    fn of(request: &Request) -> Self {
        let said = |role: &str| {
            let texts = request.blocks.iter().filter(|block| block.role == role);
            texts.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
        };
        let (told, asked) = (said("system"), said("user"));
        let sections: Vec<Section> = sections(&told).into_iter().chain(sections(&asked)).collect();
        let named = |words: &[&str]| {
            let wanted = |section: &&Section| {
                let name = section.name.to_ascii_lowercase();
                words.iter().any(|word| name.contains(word))
            };
            sections.iter().filter(wanted).copied().collect::<Vec<Section>>()
        };
        let mail = named(&["mail", "message"]).last().map_or(asked.as_str(), |section| section.text).trim();
        let (intent, hits) = words::intent(mail);
        let language = Language::of(mail);
        let facts = facts(&named(&["order", "context", "fact"]), mail);
        let policy = policy(&named(&["polic", "macro"]), mail);
        let sentence = sentences(mail)
            .find(|sentence| hits > 0 && score(intent, sentence) > 0)
            .or_else(|| sentences(mail).find(|sentence| sentence.ends_with('?')))
            .or_else(|| sentences(mail).next())
            .unwrap_or_default();
        let reply = language.reply(intent, &facts, policy.as_deref());
        Self {
            mail: mail.to_owned(),
            intent,
            clear: hits > 0,
            language,
            sentence: sentence.to_owned(),
            reply,
            promised: if intent == "refund" { vec!["refund"] } else { Vec::new() },
            needs_human: intent == "refund" || (facts.is_empty() && policy.is_none()),
        }
    }

    fn fill(&self, schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
        if depth == 0 {
            return Value::Null;
        }
        let below = |schema: &Value| self.fill(schema, root, name, depth - 1);
        if let Some(found) = schema["$ref"].as_str().and_then(|reference| referred(root, reference)) {
            return below(found);
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(members) = schema["enum"].as_array() {
            return self.choose(members);
        }
        if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["allOf"].as_array()) {
            let first = choices.iter().find(|choice| choice["type"] != "null").or_else(|| choices.first());
            return first.map_or(Value::Null, below);
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
            kind => kind.as_str(),
        };
        match kind {
            Some("object") => self.object(schema, root, depth),
            Some("array") => self.array(schema, root, name, depth),
            Some("string") => Value::String(self.text(name)),
            Some("number") => Value::from(if self.clear { 0.9 } else { 0.55 }),
            Some("integer") => Value::from(0),
            Some("boolean") => Value::Bool(name.contains("human") && self.needs_human),
            _ if schema.get("properties").is_some() => self.object(schema, root, depth),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, root: &Value, depth: usize) -> Value {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let filled = properties.map(|(name, below)| (name.clone(), self.fill(below, root, name, depth - 1)));
        Value::Object(filled.collect::<Map<_, _>>())
    }

    /// Of a list of words those that are promised, otherwise as few as there may be.
    fn array(&self, schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
        let items = &schema["items"];
        let items = items["$ref"].as_str().and_then(|reference| referred(root, reference)).unwrap_or(items);
        let members = items["enum"].as_array().into_iter().flatten();
        let promised =
            |member: &&Value| member.as_str().is_some_and(|member| self.promised.contains(&member));
        let mut list: Vec<Value> = members.filter(promised).cloned().collect();
        if list.is_empty() && schema["minItems"].as_u64().is_some_and(|least| least > 0) {
            list.push(self.fill(items, root, name, depth - 1));
        }
        Value::Array(list)
    }

    /// The member that was meant, or the one whose words are in the mail most often, or one that says neither.
    fn choose(&self, members: &[Value]) -> Value {
        let named = |name: &str| members.iter().find(|member| member.as_str() == Some(name));
        if let Some(found) = named(self.intent).or_else(|| named(self.language.code())) {
            return found.clone();
        }
        let scored = |member: &Value| member.as_str().map_or(0, |member| score(member, &self.mail));
        let mut best = (0, None);
        for member in members {
            let hits = scored(member);
            if hits > best.0 {
                best = (hits, Some(member));
            }
        }
        let neutral = || NEUTRAL.iter().find_map(|name| named(name));
        best.1.or_else(neutral).or(members.first()).cloned().unwrap_or_default()
    }

    fn text(&self, name: &str) -> String {
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["language", "locale"]) {
            self.language.code().to_owned()
        } else if has(&["reply", "draft", "answer", "body"]) {
            self.reply.clone()
        } else if has(&["reason", "why", "explanation"]) {
            let how = if self.clear { "its words" } else { "nothing else" };
            format!("{how} speak for {}", self.intent)
        } else {
            self.sentence.clone()
        }
    }
}

/// What stands between two tags.
#[derive(Clone, Copy)]
struct Section<'a> {
    name: &'a str,
    text: &'a str,
}

/// The sections of a text, not those within them: where it has fences, what stands between those.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut found = fenced(text);
    if !found.is_empty() {
        return found;
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        let length =
            after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte)).count();
        let (name, after) = after.split_at(length);
        let Some((_attributes, inside)) = after.split_once('>') else { continue };
        if name.is_empty() {
            continue;
        }
        if let Some((inside, after)) = inside.split_once(&format!("</{name}>")) {
            found.push(Section { name, text: inside });
            rest = after;
        }
    }
    found
}

/// What stands between `⟦BEGIN NAME⟧` and `⟦END NAME⟧`.
fn fenced(text: &str) -> Vec<Section<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("⟦BEGIN ") {
        rest = after;
        let Some((name, inside)) = after.split_once('⟧') else { break };
        if let Some((inside, after)) = inside.split_once(&format!("⟦END {name}⟧")) {
            found.push(Section { name, text: inside });
            rest = after;
        }
    }
    found
}

/// The facts of the part that has most to do with the mail: of several orders, the one that it names.
fn facts(sections: &[Section<'_>], mail: &str) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    for section in sections {
        let within = self::sections(section.text);
        let texts =
            if within.is_empty() { vec![section.text] } else { within.iter().map(|one| one.text).collect() };
        for text in texts {
            match serde_json::from_str::<Value>(text.trim()) {
                Ok(Value::Array(items)) => parts.extend(items.iter().map(leaves)),
                Ok(item @ Value::Object(_)) => parts.push(leaves(&item)),
                _ => parts.push(lines(text)),
            }
        }
    }
    let about = |facts: &Vec<(String, String)>| {
        facts.iter().filter(|(_, value)| value.len() > 2 && mail.contains(value.as_str())).count()
    };
    // The first of those that are named as often.
    let named = parts.into_iter().filter(|facts| !facts.is_empty()).rev().max_by_key(about);
    named.unwrap_or_default().into_iter().take(MOST_FACTS).collect()
}

fn leaves(item: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Some(fields) = item.as_object() {
        for (name, value) in fields {
            match value {
                Value::String(text) if !text.is_empty() => found.push((name.replace('_', " "), text.clone())),
                Value::Number(number) => found.push((name.replace('_', " "), number.to_string())),
                Value::Object(_) => found.extend(leaves(value)),
                Value::Array(items) => found.extend(items.iter().flat_map(leaves)),
                _ => {}
            }
        }
    }
    found
}

fn lines(text: &str) -> Vec<(String, String)> {
    let fact = |line: &str| {
        let (name, value) = line.trim().trim_start_matches(['-', '*', ' ']).split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let usual = !name.is_empty() && name.len() <= 40 && !value.is_empty();
        usual.then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(fact).collect()
}

/// The sentence of the shop's own texts that shares most words with the mail: the first of those that share as many.
fn policy(sections: &[Section<'_>], mail: &str) -> Option<String> {
    let all: Vec<&str> = sections.iter().flat_map(|section| sentences(section.text)).collect();
    let scored = all.into_iter().rev().map(|sentence| (words::shared(sentence, mail), sentence));
    let (hits, best) = scored.max_by_key(|(hits, _)| *hits)?;
    (hits > 0).then(|| best.to_owned())
}
