//! The header fields of a mail and of its parts: where they stand, and what they say. The grammar of each field is the
//! parser's; where a field ends and how much of it is read is decided here, so that no header costs more than its length.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use super::{Address, MAX_ADDRESSES, MAX_HEADERS, MAX_REFERENCES, MessageId};
use crate::alert::clean;
use crate::normalize;
use crate::personal::Personal;
use crate::time::Timestamp;

/// How many bytes of one field are read: some hundred addresses or message ids.
const MAX_FIELD: usize = 32 * 1024;
/// How many bytes of a field with a single value are read (a subject, a content type).
const MAX_SHORT_FIELD: usize = 8 * 1024;
/// How many encoded words (RFC 2047) of one field are decoded: for each one that does not end, the parser reads the rest
/// of the field again.
const MAX_ENCODED_WORDS: usize = 256;
/// How many lines that are no header field are passed over between header fields.
const MAX_STRAY_LINES: usize = 8;
/// How many fields of one name are read, where one is allowed and several come.
const MAX_REPEATED: usize = 8;
/// The longest subject and the longest name, in characters.
const MAX_LINE: usize = 500;

/// The fields of one header block, as they stand in the mail.
#[derive(Default)]
pub(super) struct Headers<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Headers<'a> {
    /// The fields that `raw` begins with, and where its body begins. Lines that are no field are passed over; when
    /// there is no field at all, everything is body.
    pub(super) fn split(raw: &'a [u8]) -> (Self, &'a [u8]) {
        let mut fields: Vec<(&[u8], &[u8])> = Vec::new();
        // Where the name and the value of the field that is being read stand.
        let mut open: Option<(&[u8], usize, usize)> = None;
        let mut stray: Option<usize> = None;
        let mut strays = 0;
        let mut any = false;
        let mut at = 0;
        let mut body = raw.len();
        while at < raw.len() {
            let line = line_at(raw, at);
            let next = at + line.len();
            if line.trim_ascii().is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                body = next;
                break;
            }
            if line.first().is_some_and(|first| matches!(first, b' ' | b'\t')) {
                if let Some((_, _, end)) = &mut open {
                    *end = next;
                } else if !any {
                    stray.get_or_insert(at);
                }
            } else {
                keep(&mut fields, raw, open.take());
                if let Some(name) = field_name(line) {
                    any = true;
                    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
                    open = Some((name, at + colon + 1, next));
                } else if any || !line.starts_with(b"From ") && !line.starts_with(b">From ") {
                    stray.get_or_insert(at);
                    strays += 1;
                    if strays > MAX_STRAY_LINES {
                        body = stray.unwrap_or(at);
                        break;
                    }
                }
            }
            at = next;
        }
        keep(&mut fields, raw, open);
        if !any && let Some(stray) = stray {
            body = stray;
        }
        (Self(fields), raw.get(body..).unwrap_or_default())
    }

    /// The value of the first field of that name.
    pub(super) fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of all fields of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
    }

    /// Whether there is a field of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// A field as words of the protocol: trimmed and in lower case.
    pub(super) fn token(&self, name: &str) -> Option<String> {
        let value = self.first(name)?;
        let value = value.get(..value.len().min(1024)).unwrap_or_default();
        Some(String::from_utf8_lossy(value).trim().to_ascii_lowercase())
    }

    /// A field as text in one line.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.first(name).map(text).filter(|text| !text.is_empty())
    }

    /// Every address of every field of that name, as many as are kept.
    pub(super) fn addresses(&self, name: &str) -> Vec<Address> {
        let mut found: Vec<Address> = Vec::new();
        for value in self.all(name).take(MAX_REPEATED) {
            found.extend(addresses(value));
        }
        found.truncate(MAX_ADDRESSES);
        found
    }

    /// The message ids of a field, as they stand; of too many the first and the newest.
    pub(super) fn ids(&self, name: &str) -> Vec<MessageId> {
        self.first(name).map(ids).unwrap_or_default()
    }

    /// The time that a `Date` field names.
    pub(super) fn date(&self) -> Option<Timestamp> {
        let value = readable(self.first("Date")?, MAX_SHORT_FIELD);
        let date = MessageStream::new(&value).parse_date().into_datetime()?;
        date.is_valid().then(|| Timestamp::from_seconds(date.to_timestamp()))
    }

    /// A `Content-Type` or `Content-Disposition`.
    pub(super) fn content_type(&self, name: &str) -> Option<ContentType<'static>> {
        let value = readable(self.first(name)?, MAX_SHORT_FIELD);
        match MessageStream::new(&value).parse_content_type().into_owned() {
            HeaderValue::ContentType(read) => Some(read),
            _ => None,
        }
    }
}

fn keep<'a>(fields: &mut Vec<(&'a [u8], &'a [u8])>, raw: &'a [u8], open: Option<(&'a [u8], usize, usize)>) {
    if let Some((name, start, end)) = open
        && fields.len() < MAX_HEADERS
    {
        fields.push((name, raw.get(start..end).unwrap_or_default()));
    }
}

/// The line that begins at `at`, with its end.
pub(super) fn line_at(raw: &[u8], at: usize) -> &[u8] {
    let rest = raw.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
    rest.get(..length).unwrap_or_default()
}

fn field_name(line: &[u8]) -> Option<&[u8]> {
    let looked = line.get(..line.len().min(128)).unwrap_or_default();
    let colon = looked.iter().position(|byte| *byte == b':')?;
    let name = looked.get(..colon)?.trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

/// What the parser is given of a field: so much of it, with an end, as UTF-8.
fn readable(value: &[u8], longest: usize) -> Vec<u8> {
    let mut cut = value.get(..value.len().min(longest)).unwrap_or_default();
    let mut words = cut.windows(2).enumerate().filter(|(_, pair)| pair == b"=?");
    if let Some((end, _)) = words.nth(MAX_ENCODED_WORDS) {
        cut = cut.get(..end).unwrap_or_default();
    }
    let mut read = match std::str::from_utf8(cut) {
        Ok(text) => text.as_bytes().to_vec(),
        // Cut inside a letter.
        Err(error) if error.error_len().is_none() => {
            cut.get(..error.valid_up_to()).unwrap_or_default().to_vec()
        }
        // Not as headers should be, but as old programs write them.
        Err(_) => charset_decoder(b"windows-1252").map_or_else(Vec::new, |decode| decode(cut).into_bytes()),
    };
    while read.last().is_some_and(u8::is_ascii_whitespace) {
        read.pop();
    }
    read.extend_from_slice(b"\r\n");
    read
}

/// A value that is a text, its encoded words decoded, in one line.
pub(super) fn text(value: &[u8]) -> String {
    let value = readable(value, MAX_SHORT_FIELD);
    match MessageStream::new(&value).parse_unstructured() {
        HeaderValue::Text(text) => clean(&text, MAX_LINE),
        _ => String::new(),
    }
}

fn addresses(value: &[u8]) -> Vec<Address> {
    let value = readable(value, MAX_FIELD);
    let HeaderValue::Address(parsed) = MessageStream::new(&value).parse_address() else { return Vec::new() };
    let list = parsed.iter().take(MAX_ADDRESSES);
    list.filter_map(|entry| address(entry.name.as_deref(), entry.address.as_deref()?)).collect()
}

/// An address that a mail could be sent to, with its name; `None` for what is none.
fn address(name: Option<&str>, address: &str) -> Option<Address> {
    let address = address.trim();
    normalize::email(address)?;
    let name = name.map(|name| clean(name, MAX_LINE)).filter(|name| !name.is_empty());
    Some(Address { name: name.map(Personal::new), address: Personal::new(address.to_owned()) })
}

fn ids(value: &[u8]) -> Vec<MessageId> {
    let value = value.get(..value.len().min(MAX_FIELD)).unwrap_or_default();
    let text: Cow<'_, str> = String::from_utf8_lossy(value);
    let mut found: Vec<MessageId> =
        text.split('<').skip(1).filter_map(|rest| MessageId::parse(rest.split('>').next()?)).collect();
    if found.is_empty() {
        // Without the brackets that it should have.
        let bare = text.split_whitespace().filter(|word| word.contains('@'));
        found = bare.filter_map(MessageId::parse).collect();
    }
    bounded(found)
}

/// As many message ids as are kept of a list: the one that began the conversation, and the newest.
pub(super) fn bounded(mut ids: Vec<MessageId>) -> Vec<MessageId> {
    if let Some(over @ 1..) = ids.len().checked_sub(MAX_REFERENCES) {
        ids.drain(1..=over);
    }
    ids
}
