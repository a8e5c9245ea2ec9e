//! What the simulated Gmail reads in a mail: whom it is from, which thread it belongs to, and the tree of its parts as the
//! API tells it. The rules of a mail desk are not here.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use mail_parser::parsers::MessageStream;
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _, PartType};
use serde_json::{Value, json};

/// How many characters of a mail are shown in lists.
const SNIPPET: usize = 200;

/// What is read of a mail when it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Heading {
    /// Its `Message-ID`, without brackets.
    pub(super) message_id: String,
    /// The mails it names as those before it.
    pub(super) references: Vec<String>,
    /// Its subject.
    pub(super) subject: String,
    /// The same without `Re:` and the like.
    pub(super) topic: String,
    /// The senders' addresses.
    pub(super) from: Vec<String>,
    /// The receivers' addresses, of every kind.
    pub(super) to: Vec<String>,
    /// Its beginning as plain text.
    pub(super) snippet: String,
}

impl Heading {
    pub(super) fn of(raw: &[u8]) -> Self {
        let Some(mail) = MessageParser::default().parse(raw) else { return Self::default() };
        let ids = |value: &mail_parser::HeaderValue<'_>| -> Vec<String> {
            let one = value.as_text().map(str::to_owned);
            let several = value.as_text_list().unwrap_or_default();
            one.into_iter().chain(several.iter().map(|id| id.clone().into_owned())).collect()
        };
        let addresses = |list: Option<&mail_parser::Address<'_>>| -> Vec<String> {
            let all = list.into_iter().flat_map(|list| list.iter());
            all.filter_map(|one| one.address()).map(str::to_lowercase).collect()
        };
        let mut references = ids(mail.references());
        references.extend(ids(mail.in_reply_to()));
        Self {
            message_id: mail.message_id().unwrap_or_default().to_owned(),
            references,
            subject: mail.subject().unwrap_or_default().to_owned(),
            topic: mail.thread_name().unwrap_or_default().trim().to_lowercase(),
            from: addresses(mail.from()),
            to: [mail.to(), mail.cc(), mail.bcc()].into_iter().flat_map(addresses).collect(),
            snippet: mail.body_preview(SNIPPET).unwrap_or_default().into_owned(),
        }
    }
}

/// A mail as Gmail completes it when it is sent: with sender, date and `Message-ID` where those are missing.
pub(super) fn completed(raw: Bytes, sender: &str, date: &str, message_id: &str) -> Bytes {
    let Some(mail) = MessageParser::default().parse(&raw[..]) else { return raw };
    let mut missing = String::new();
    for (name, value) in [("From", sender), ("Date", date), ("Message-ID", message_id)] {
        if mail.header_raw(name).is_none() {
            let _infallible = write!(missing, "{name}: {value}\r\n");
        }
    }
    if missing.is_empty() { raw } else { [missing.as_bytes(), &raw].concat().into() }
}

/// The tree of a mail's parts (`MessagePart`), with their contents or, for a look at the headers, with the first part's
/// headers alone, and of those the ones that were asked for.
pub(super) fn payload(raw: &[u8], headers_only: Option<&[String]>) -> Value {
    let Some(mail) = MessageParser::default().parse(raw) else { return json!({ "mimeType": "text/plain" }) };
    let Some(root) = mail.parts.first() else { return json!({ "mimeType": "text/plain" }) };
    match headers_only {
        None => described(&mail, raw, root, ""),
        Some(wanted) => {
            let mut headers = headers_of(raw, root);
            let is_wanted = |header: &Value| {
                let name = header["name"].as_str().unwrap_or_default();
                wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
            };
            headers.retain(|header| wanted.is_empty() || is_wanted(header));
            json!({ "mimeType": mime_type(root), "headers": headers })
        }
    }
}

/// The content of the part that is the `number`th of a mail.
pub(super) fn attachment(raw: &[u8], number: usize) -> Option<Value> {
    let mail = MessageParser::default().parse(raw)?;
    let content = mail.parts.get(number)?.contents();
    Some(json!({ "size": content.len(), "data": URL_SAFE.encode(content) }))
}

fn described(mail: &Message<'_>, raw: &[u8], part: &MessagePart<'_>, id: &str) -> Value {
    let filename = part.attachment_name().unwrap_or_default();
    let mut out = json!({
        "partId": id, "mimeType": mime_type(part), "filename": filename, "headers": headers_of(raw, part),
    });
    if let PartType::Multipart(children) = &part.body {
        let children = children.iter().enumerate().filter_map(|(place, child)| {
            let id = if id.is_empty() { place.to_string() } else { format!("{id}.{place}") };
            mail.parts.get(usize::try_from(*child).ok()?).map(|child| described(mail, raw, child, &id))
        });
        out["parts"] = children.collect();
        out["body"] = json!({ "size": 0 });
        return out;
    }
    let content = part.contents();
    out["body"] = if filename.is_empty() {
        json!({ "size": content.len(), "data": URL_SAFE.encode(content) })
    } else {
        let number = mail.parts.iter().position(|known| std::ptr::eq(known, part)).unwrap_or_default();
        json!({ "size": content.len(), "attachmentId": format!("part-{number}") })
    };
    out
}

fn mime_type(part: &MessagePart<'_>) -> String {
    let kind = part
        .content_type()
        .map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or("plain")).to_ascii_lowercase());
    kind.unwrap_or_else(|| "text/plain".to_owned())
}

/// The headers of a part in their order, unfolded and decoded.
fn headers_of(raw: &[u8], part: &MessagePart<'_>) -> Vec<Value> {
    let place = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let text = |header: &mail_parser::Header<'_>| {
        let written = raw.get(place(header.offset_start())..place(header.offset_end())).unwrap_or_default();
        MessageStream::new(written).parse_unstructured().into_text().unwrap_or_default().into_owned()
    };
    part.headers.iter().map(|header| json!({ "name": header.name(), "value": text(header) })).collect()
}
