//! HTML mail as plain text: what a reader would see, with quotations marked by `>` and links with their address. Tags are
//! read by a tokenizer of the HTML standard; no tree is built, because building one can take time that grows with the square
//! of the mail. What is not shown (scripts, styles, hidden elements) is not text.

mod output;
mod style;
mod tags;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use mail_parser::decoders::charsets::map::charset_decoder;
use output::Output;
use style::{Colour, Style};
use tags::{ends_itself, is_block, is_never_shown, is_void, key};

/// How many open elements are remembered. What is nested deeper is read, and its end is not looked for.
const MAX_OPEN: usize = 200;
/// How much of an attribute's value is kept, in bytes.
const MAX_VALUE: usize = 2048;
/// The longest address of a link that is shown.
const MAX_LINK: usize = 500;
/// The line that stands for the place where a mail program put the mail that is answered.
pub(super) const HISTORY_MARKER: &str = "-----Original Message-----";

/// Turns HTML into text of at most `longest` bytes; says whether there was more.
pub(super) fn to_text(html: &str, longest: usize) -> (String, bool) {
    let mut reader = Reader::new(longest);
    let mut emitter =
        CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| reader.event(&event).then_some(()));
    emitter.naively_switch_states(true);
    // A token is only produced when the text is full.
    let full = Tokenizer::new_with_emitter(html, emitter).next();
    let cut = matches!(full, Some(Ok(())));
    (reader.out.text, cut)
}

/// The charset that an HTML text names in its own head, where it is one that is known.
pub(super) fn declared_charset(html: &[u8]) -> Option<String> {
    let head = html.get(..html.len().min(1024)).unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (_, named) = head.split_once("charset=")?;
    let named = named.trim_start_matches(['"', '\'']);
    let end = named.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
    let named = named.get(..end.unwrap_or(named.len()))?;
    charset_decoder(named.as_bytes()).map(|_| named.to_owned())
}

/// Attributes of the tag that is being read, as far as they matter.
#[derive(Default)]
struct Attributes {
    style: String,
    class: String,
    id: String,
    href: String,
    alt: String,
    colour: String,
    background: String,
    hidden: bool,
}

impl Attributes {
    fn slot(&mut self, name: &[u8]) -> Option<&mut String> {
        Some(match name {
            b"style" => &mut self.style,
            b"class" => &mut self.class,
            b"id" => &mut self.id,
            b"href" => &mut self.href,
            b"alt" => &mut self.alt,
            b"color" => &mut self.colour,
            b"bgcolor" => &mut self.background,
            _ => return None,
        })
    }
}

/// An element that is open.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of an element of its own")]
struct Open {
    /// Which element, for finding its end.
    name: u64,
    /// Whether ends of other elements are not looked for beyond it: a cell of a table.
    barrier: bool,
    block: bool,
    hidden: bool,
    preformatted: bool,
    quote: bool,
    colour: Colour,
    background: Colour,
    /// The address, and where its text begins.
    link: Option<(String, usize)>,
}

struct Reader {
    out: Output,
    open: Vec<Open>,
    tag: Vec<u8>,
    attribute: Vec<u8>,
    attributes: Attributes,
    /// The element in which Gmail says who wrote what follows, and whether its text has begun.
    attribution: Option<usize>,
}

impl Reader {
    const fn new(longest: usize) -> Self {
        Self {
            out: Output::new(longest),
            open: Vec::new(),
            tag: Vec::new(),
            attribute: Vec::new(),
            attributes: Attributes {
                style: String::new(),
                class: String::new(),
                id: String::new(),
                href: String::new(),
                alt: String::new(),
                colour: String::new(),
                background: String::new(),
                hidden: false,
            },
            attribution: None,
        }
    }

    /// Takes an event of the tokenizer; says whether the text is full.
    fn event(&mut self, event: &CallbackEvent<'_>) -> bool {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = lower(name);
                self.attributes = Attributes::default();
            }
            CallbackEvent::AttributeName { name } => {
                self.attribute = lower(name);
                self.attributes.hidden |= self.attribute == b"hidden";
            }
            CallbackEvent::AttributeValue { value } => {
                if let Some(slot) = self.attributes.slot(&self.attribute)
                    && slot.is_empty()
                {
                    let value = value.get(..value.len().min(MAX_VALUE)).unwrap_or_default();
                    *slot = String::from_utf8_lossy(value).into_owned();
                }
            }
            CallbackEvent::CloseStartTag { .. } => self.start(),
            CallbackEvent::EndTag { name } => self.end(&lower(name)),
            CallbackEvent::String { value } => self.text(&String::from_utf8_lossy(value)),
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
        }
        self.out.cut
    }

    fn hidden(&self) -> bool {
        self.open.last().is_some_and(|open| open.hidden)
    }

    fn text(&mut self, text: &str) {
        let Some(open) = self.open.last() else { return self.out.text(text, false) };
        if open.hidden || open.colour.cannot_be_told_from(open.background) {
            return;
        }
        let preformatted = open.preformatted;
        if let Some(at) = self.attribution
            && !text.trim().is_empty()
        {
            self.attribution = None;
            // A forwarded mail begins with dashes; what is forwarded is not quoted.
            if !text.trim_start().starts_with("--")
                && let Some(open) = self.open.get_mut(at)
            {
                open.quote = true;
                self.out.quotes += 1;
            }
        }
        self.out.text(text, preformatted);
    }

    fn start(&mut self) {
        let name = std::mem::take(&mut self.tag);
        let attributes = std::mem::take(&mut self.attributes);
        match name.as_slice() {
            b"br" if !self.hidden() => return self.out.line(),
            b"hr" if !self.hidden() => return self.out.break_lines(1),
            b"img" => return self.picture(&attributes.alt),
            _ if is_void(&name) => return,
            _ => {}
        }
        let block = is_block(&name);
        let key = key(&name);
        if ends_itself(&name) && self.open.last().is_some_and(|open| open.name == key) {
            self.close_last();
        }
        let marks = Marks::of(&attributes);
        if !self.hidden() {
            if block {
                self.out.break_lines(if name == b"p" { 2 } else { 1 });
            }
            if name == b"td" || name == b"th" {
                self.out.gap();
            }
            if name == b"li" {
                self.out.text("- ", false);
            }
            if marks.history {
                self.out.own_line(HISTORY_MARKER);
            }
            if marks.signature {
                self.out.own_line("--");
            }
        }
        if self.open.len() >= MAX_OPEN {
            return;
        }
        let element = self.element(&name, key, block, &attributes, &marks);
        if marks.attribution && !element.hidden {
            self.attribution = Some(self.open.len());
        }
        if element.quote {
            self.out.break_lines(1);
            self.out.quotes += 1;
        }
        self.open.push(element);
    }

    fn element(&self, name: &[u8], key: u64, block: bool, attributes: &Attributes, marks: &Marks) -> Open {
        let style = Style::of(&attributes.style);
        let parent = self.open.last();
        let (colour, background) =
            parent.map_or((Colour::BLACK, Colour::WHITE), |open| (open.colour, open.background));
        // A style sheet that is not read can give any colour to what has a class.
        let sheet = !attributes.class.is_empty() || !attributes.id.is_empty();
        let inherited = |colour| if sheet { Colour::UNKNOWN } else { colour };
        Open {
            name: key,
            barrier: matches!(name, b"td" | b"th" | b"table" | b"caption"),
            block,
            hidden: self.hidden() || attributes.hidden || style.hidden || is_never_shown(name),
            preformatted: name == b"pre" || parent.is_some_and(|open| open.preformatted),
            quote: name == b"blockquote" || marks.quote,
            colour: style
                .colour
                .or_else(|| Colour::read(&attributes.colour))
                .unwrap_or_else(|| inherited(colour)),
            background: style
                .background
                .or_else(|| Colour::read(&attributes.background))
                .unwrap_or_else(|| inherited(background)),
            link: (name == b"a").then(|| (attributes.href.clone(), self.out.text.len())),
        }
    }

    fn end(&mut self, name: &[u8]) {
        if name == b"p" || name == b"br" {
            self.out.break_lines(if name == b"p" { 2 } else { 1 });
        }
        let key = key(name);
        let table = matches!(name, b"td" | b"th" | b"tr" | b"tbody" | b"thead" | b"tfoot" | b"table");
        let mut beyond = self.open.len();
        for (at, open) in self.open.iter().enumerate().rev() {
            if open.name == key {
                beyond = at;
                break;
            }
            if open.barrier && !table {
                return;
            }
        }
        while self.open.len() > beyond {
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if self.attribution.is_some_and(|at| at >= self.open.len()) {
            self.attribution = None;
        }
        if let Some((address, from)) = open.link
            && !open.hidden
        {
            self.link(&address, from);
        }
        if open.quote {
            self.out.break_lines(1);
            self.out.quotes = self.out.quotes.saturating_sub(1);
        }
        if open.block && !open.hidden {
            self.out.break_lines(1);
        }
    }

    /// Adds the address of a link to its text, unless it says the same.
    fn link(&mut self, address: &str, from: usize) {
        let address = address.trim();
        let (scheme, rest) = address.split_once(':').unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        let shown = matches!(scheme.as_str(), "http" | "https" | "mailto" | "tel");
        let text = self.out.text.get(from..).unwrap_or_default().trim();
        let plain = |text: &str| -> String {
            let text = text.trim_end_matches('/').trim_start_matches("//").trim_start_matches("www.");
            text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
        };
        let says = |text: &str| plain(text.split_once("://").map_or(text, |(_, rest)| rest)) == plain(rest);
        let fits = address.len() <= MAX_LINK && !address.contains(['<', '>', ' ', '\n', '\r', '\t']);
        if shown && fits && !text.is_empty() && text.len() <= MAX_VALUE && !says(text) {
            let address = format!(" <{address}>");
            self.out.text(&address, false);
        }
    }

    /// A picture is shown by its text only when that stands for letters, as for emoji.
    fn picture(&mut self, alt: &str) {
        if !self.hidden() && !alt.is_empty() && !alt.is_ascii() && alt.chars().count() <= 8 {
            self.out.text(alt, false);
        }
    }
}

/// What mail programs write into the tags around what is not the writer's own text.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "a tag can bear several marks at once")]
struct Marks {
    quote: bool,
    history: bool,
    signature: bool,
    attribution: bool,
}

impl Marks {
    fn of(attributes: &Attributes) -> Self {
        // Outlook on the web writes "x_" before what it quotes.
        let id = attributes.id.trim_start_matches("x_");
        let mut marks = Self {
            history: matches!(id, "divRplyFwdMsg" | "appendonsend" | "OLK_SRC_BODY_SECTION" | "replySplit"),
            signature: matches!(id, "Signature" | "ms-outlook-mobile-signature"),
            ..Self::default()
        };
        for class in attributes.class.split_whitespace().map(|class| class.trim_start_matches("x_")) {
            match class {
                "gmail_attr" | "moz-cite-prefix" => marks.attribution = true,
                "gmail_signature" | "moz-signature" | "protonmail_signature_block" => marks.signature = true,
                "OutlookMessageHeader" => marks.history = true,
                "zmail_extra" => marks.quote = true,
                _ if class.ends_with("yahoo_quoted") => marks.quote = true,
                _ => {}
            }
        }
        // Outlook for the desktop has no mark but the line that it draws above the header of the answered mail.
        if attributes.style.contains("border-top:solid #E1E1E1 1.0pt")
            || attributes.style.contains("border-top:solid #B5C4DF 1.0pt")
        {
            marks.history = true;
        }
        marks
    }
}

fn lower(name: &[u8]) -> Vec<u8> {
    name.get(..name.len().min(64)).unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
