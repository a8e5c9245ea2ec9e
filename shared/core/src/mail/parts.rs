//! The parts of a mail: which text is meant to be read, and what is attached. Every byte is looked at once for each level it
//! lies under, levels are few, and what is nested deeper or comes after too many parts is left unread.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mail_parser::ContentType;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::headers::{self, Headers, line_at};
use super::{Attachment, MAX_DEPTH, MAX_PARTS, MAX_TEXT, html, tidy};
use crate::alert::clean;
use crate::personal::Personal;

/// How many bytes of one text are decoded. Of HTML most are styles, so this is much more than what is kept.
const MAX_SOURCE: usize = 2 * 1024 * 1024;
/// How many bytes of all texts of a mail are decoded.
const MAX_SOURCES: usize = 4 * 1024 * 1024;
/// The longest name of an attachment, in characters.
const MAX_NAME: usize = 255;

/// Base64 as it arrives: padded or not, with bits left over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a mail consists of.
#[derive(Default)]
pub(super) struct Parts {
    /// How many parts were read.
    pub(super) count: usize,
    /// What is attached.
    pub(super) attachments: Vec<Attachment>,
    /// Whether parts were left unread.
    pub(super) cut: bool,
    decoded: usize,
}

/// A text that was found.
#[derive(Default)]
pub(super) struct Text {
    pub(super) plain: String,
    pub(super) cut: bool,
    html: bool,
}

impl Text {
    fn is_blank(&self) -> bool {
        self.plain.trim().is_empty()
    }

    fn add(&mut self, more: &Self) {
        self.cut |= more.cut;
        if more.is_blank() {
            return;
        }
        if !self.plain.is_empty() {
            self.plain.push_str("\n\n");
        }
        self.html |= more.html;
        self.plain.push_str(&more.plain);
    }

    /// Of two versions of the same, the plain one, unless it only says that there is another.
    fn or_better(self, other: Self) -> Self {
        let (plain, marked) = match (self.html, other.html) {
            (false, true) => (self, other),
            (true, false) => (other, self),
            _ => return if self.is_blank() { other } else { self },
        };
        let placeholder = plain.is_blank() || marked.plain.len() > plain.plain.len() * 4 + 400;
        if placeholder && !marked.is_blank() { marked } else { plain }
    }
}

/// How a part stands in the one around it.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    in_digest: bool,
}

/// Reads the body under `headers`.
pub(super) fn read(headers: &Headers<'_>, body: &[u8]) -> (Text, Parts) {
    let mut parts = Parts::default();
    let text = parts.entity(headers, body, Place { depth: 0, in_digest: false });
    (text, parts)
}

impl Parts {
    fn entity(&mut self, headers: &Headers<'_>, body: &[u8], place: Place) -> Text {
        self.count += 1;
        let content = headers.content_type("Content-Type");
        let kind = content.as_ref().map(|content| content.c_type.to_ascii_lowercase());
        let subtype = content.as_ref().and_then(|content| content.c_subtype.as_deref());
        let subtype = subtype.map(str::to_ascii_lowercase);
        let (kind, subtype) = match (kind.as_deref(), subtype.as_deref()) {
            (None, _) if place.in_digest => ("message", "rfc822"),
            // What has no type that can be read is text, as the standard says.
            (None, _) | (Some("text"), None) => ("text", "plain"),
            (Some(kind), subtype) => (kind, subtype.unwrap_or("")),
        };
        if kind == "multipart" {
            let boundary = content.as_ref().and_then(|content| content.attribute("boundary"));
            if place.depth >= MAX_DEPTH {
                self.cut = true;
            } else if let Some(children) = boundary.and_then(|boundary| self.children(body, boundary)) {
                return self.multipart(subtype, &children, place.depth + 1);
            } else {
                // It names no boundary that is there: what stands there is read as it is.
                return self.text("plain", headers, content.as_ref(), body);
            }
        }
        let disposition = headers.content_type("Content-Disposition");
        let name = file_name(disposition.as_ref(), content.as_ref());
        let attached = disposition
            .as_ref()
            .is_some_and(|disposition| disposition.c_type.eq_ignore_ascii_case("attachment"));
        let is_text = kind == "text" && matches!(subtype, "plain" | "html" | "enriched");
        if is_text && (place.depth == 0 || !attached && name.is_none()) {
            return self.text(subtype, headers, content.as_ref(), body);
        }
        let media_type = media_type(kind, subtype);
        let size = decoded_size(&encoding(headers), body);
        self.attachments.push(Attachment { name: name.map(Personal::new), media_type, size });
        Text::default()
    }

    fn multipart(&mut self, subtype: &str, children: &[&[u8]], depth: usize) -> Text {
        let place = Place { depth, in_digest: subtype == "digest" };
        let mut found = Text::default();
        for child in children {
            if self.count >= MAX_PARTS {
                self.cut = true;
                break;
            }
            let (headers, body) = Headers::split(child);
            let text = self.entity(&headers, body, place);
            if subtype == "alternative" {
                found = found.or_better(text);
            } else {
                found.add(&text);
            }
        }
        if found.plain.len() > MAX_TEXT * 2 {
            found.cut |= cut_at(&mut found.plain, MAX_TEXT * 2);
        }
        found
    }

    /// The parts between the delimiters; `None` when there is no delimiter.
    fn children<'a>(&mut self, body: &'a [u8], boundary: &str) -> Option<Vec<&'a [u8]>> {
        let boundary = boundary.trim_end().as_bytes();
        if boundary.is_empty() {
            return None;
        }
        let mut children = Vec::new();
        let mut start: Option<usize> = None;
        let mut at = 0;
        while at < body.len() {
            let line = line_at(body, at);
            let rest = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
            let last = rest.is_some_and(|rest| rest.starts_with(b"--"));
            if last || rest.is_some_and(|rest| rest.trim_ascii().is_empty()) {
                if let Some(start) = start.take() {
                    children.push(without_end(body.get(start..at).unwrap_or_default()));
                }
                if last {
                    return Some(children);
                }
                if children.len() >= MAX_PARTS {
                    self.cut = true;
                    return Some(children);
                }
                start = Some(at + line.len());
            }
            at += line.len();
        }
        // The end is missing: what was there is the last part.
        children.push(body.get(start?..).unwrap_or_default());
        Some(children)
    }

    fn text(
        &mut self,
        subtype: &str,
        headers: &Headers<'_>,
        content: Option<&ContentType<'_>>,
        body: &[u8],
    ) -> Text {
        let most = MAX_SOURCE.min(MAX_SOURCES.saturating_sub(self.decoded));
        let source = body.get(..body.len().min(most)).unwrap_or_default();
        self.decoded += source.len();
        let mut cut = source.len() < body.len();
        let bytes = decode(&encoding(headers), source);
        let mut charset = content.and_then(|content| content.attribute("charset")).map(str::to_owned);
        let html = subtype == "html";
        if html && charset.is_none() {
            charset = html::declared_charset(&bytes);
        }
        let decoded = decode_charset(&bytes, charset.as_deref());
        let mut text = if html {
            let (text, html_cut) = html::to_text(&decoded, MAX_TEXT);
            cut |= html_cut;
            text
        } else {
            decoded
        };
        // Tidying only makes it shorter: the length that counts is that of what is kept.
        cut |= cut_at(&mut text, MAX_TEXT * 2);
        Text { plain: tidy(&text), cut, html }
    }
}

/// Shortens a text to so many bytes, between characters; says whether it had to.
pub(super) fn cut_at(text: &mut String, longest: usize) -> bool {
    if text.len() <= longest {
        return false;
    }
    text.truncate(text.floor_char_boundary(longest));
    true
}

/// Without the line end that belongs to the delimiter behind it.
fn without_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

fn encoding(headers: &Headers<'_>) -> String {
    let token = headers.token("Content-Transfer-Encoding").unwrap_or_default();
    let end = token.find([' ', ';', '(', '\t', '\r']).unwrap_or(token.len());
    token.get(..end).unwrap_or_default().to_owned()
}

fn media_type(kind: &str, subtype: &str) -> String {
    let known = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
        !word.is_empty() && word.len() <= 100 && word.chars().all(plain)
    };
    if known(kind) && known(subtype) {
        format!("{kind}/{subtype}")
    } else {
        "application/octet-stream".to_owned()
    }
}

fn file_name(disposition: Option<&ContentType<'_>>, content: Option<&ContentType<'_>>) -> Option<String> {
    let named = disposition.and_then(|disposition| disposition.attribute("filename"));
    let name = named.or_else(|| content.and_then(|content| content.attribute("name")))?;
    // Encoded words are not allowed here, and frequent.
    let name = if name.contains("=?") { headers::text(name.as_bytes()) } else { name.to_owned() };
    Some(clean(&name, MAX_NAME)).filter(|name| !name.is_empty())
}

/// How many bytes an attachment has, without decoding it.
fn decoded_size(encoding: &str, body: &[u8]) -> u64 {
    let count = |counts: fn(u8) -> bool| body.iter().filter(|byte| counts(**byte)).count() as u64;
    match encoding {
        "base64" => count(in_alphabet) * 3 / 4,
        "quoted-printable" => (body.len() as u64).saturating_sub(count(|byte| byte == b'=') * 2),
        _ => body.len() as u64,
    }
}

const fn in_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn decode(encoding: &str, source: &[u8]) -> Vec<u8> {
    match encoding {
        "base64" => decode_base64(source),
        "quoted-printable" => quoted_printable_decode(source).unwrap_or_else(|| {
            // One slip makes the parser refuse the whole: only the line with the slip stays as it is.
            let lines = source.split_inclusive(|byte| *byte == b'\n');
            lines.flat_map(|line| quoted_printable_decode(line).unwrap_or_else(|| line.to_vec())).collect()
        }),
        _ => source.to_vec(),
    }
}

fn decode_base64(source: &[u8]) -> Vec<u8> {
    let foreign = |byte: &&u8| !(in_alphabet(**byte) || matches!(**byte, b'=' | b'\r' | b'\n' | b'\t'));
    if source.iter().filter(foreign).count() * 16 > source.len() {
        // It says base64 and is a text.
        return source.to_vec();
    }
    let mut decoded = Vec::with_capacity(source.len() / 4 * 3);
    // Each piece that ends with padding is a base64 text of its own.
    for piece in source.split(|byte| *byte == b'=') {
        let mut piece: Vec<u8> = piece.iter().copied().filter(|byte| in_alphabet(*byte)).collect();
        if piece.len() % 4 == 1 {
            piece.pop();
        }
        if let Ok(bytes) = LENIENT.decode(piece) {
            decoded.extend(bytes);
        }
    }
    decoded
}

/// The text that the bytes are. What is declared counts, unless it is not so; without a declaration it is UTF-8 or, where
/// it cannot be, the most common other one.
fn decode_charset(bytes: &[u8], charset: Option<&str>) -> String {
    let charset = charset.map(|name| name.trim().trim_matches(['"', '\'']).to_ascii_lowercase());
    let declared = charset.as_deref().filter(|name| !name.is_empty());
    match declared {
        Some("utf-8" | "utf8") => String::from_utf8_lossy(bytes).into_owned(),
        Some(name) if !matches!(name, "us-ascii" | "ascii" | "unknown-8bit" | "default") => {
            charset_decoder(name.as_bytes()).map_or_else(|| undeclared(bytes), |decode| decode(bytes))
        }
        _ => undeclared(bytes),
    }
}

fn undeclared(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(bytes).into_owned(),
        Err(_) => charset_decoder(b"windows-1252")
            .map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |decode| decode(bytes)),
    }
}
