//! A text as a reader sees it, with the way back to its bytes: entities decoded, compatibility forms folded, what is not seen
//! left out. Patterns are sought in the view, what is found is replaced in the text.

use unicode_normalization::UnicodeNormalization as _;

use crate::normalize;

/// Whether a character is not seen and changes what is read: zero widths, directions, tags, fillers.
pub(in crate::desk) const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Joiners and variants: part of how emoji are written, and nothing that is read.
const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// Whether a text has characters that are not seen. A joiner counts beside a letter or a digit.
#[must_use]
pub fn hides(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    chars.iter().enumerate().any(|(place, c)| {
        let beside = |place: Option<usize>| {
            place.and_then(|place| chars.get(place)).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.')
        };
        is_hidden(*c) || (*c == '\u{200d}' && (beside(place.checked_sub(1)) || beside(Some(place + 1))))
    })
}

/// The view of a text.
pub(in crate::desk) struct View {
    /// What is read.
    pub(in crate::desk) text: String,
    /// For each byte of it, where in the text the character comes from.
    from: Vec<(usize, usize)>,
}

/// One character of a view, folded; what is neither letter nor digit stands for itself.
#[derive(Clone, Copy)]
pub(super) struct Folded {
    pub(super) c: char,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl View {
    pub(in crate::desk) fn of(text: &str) -> Self {
        let mut view = Self { text: String::with_capacity(text.len()), from: Vec::with_capacity(text.len()) };
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let mut length = c.len_utf8();
            match c {
                // The soft line break of quoted-printable text.
                '=' if rest.starts_with("=\n") => length = 2,
                '=' if rest.starts_with("=\r\n") => length = 3,
                '\r' if rest.starts_with("\r\n") => {}
                '\r' => view.push('\n', at, at + 1),
                '%' if rest.starts_with("%40") => {
                    length = 3;
                    view.push('@', at, at + length);
                }
                '&' => {
                    if let Some((decoded, entity)) = entity(rest) {
                        length = entity;
                        if !is_hidden(decoded) {
                            view.push_plain(decoded, at, at + length);
                        }
                    } else {
                        view.push('&', at, at + 1);
                    }
                }
                c if is_hidden(c) || is_joiner(c) => {}
                c => view.push_plain(c, at, at + length),
            }
            at += length;
        }
        view
    }

    fn push_plain(&mut self, c: char, start: usize, end: usize) {
        if c.is_ascii() {
            self.push(c, start, end);
            return;
        }
        for plain in std::iter::once(c).nfkc() {
            let plain = match plain {
                '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
                '。' => '.',
                '’' | '‘' | '´' => '\'',
                // The digits of Arabic, Persian and Hindi stand where ours do.
                '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' | '\u{966}'..='\u{96f}' => digit(plain),
                plain if plain.is_whitespace() && plain != '\n' => ' ',
                plain => plain,
            };
            self.push(plain, start, end);
        }
    }

    fn push(&mut self, c: char, start: usize, end: usize) {
        self.text.push(c);
        self.from.extend(std::iter::repeat_n((start, end), c.len_utf8()));
    }

    /// Where bytes `start..end` of the view are in the text.
    pub(in crate::desk) fn origin(&self, start: usize, end: usize) -> (usize, usize) {
        let first = self.from.get(start).map_or(0, |from| from.0);
        let last = end.checked_sub(1).and_then(|last| self.from.get(last)).map_or(first, |from| from.1);
        (first, last)
    }

    /// The view folded, letter by letter: no case, no marks, no apostrophes.
    pub(super) fn folded(&self) -> Vec<Folded> {
        let mut folded = Vec::with_capacity(self.text.len());
        for (at, c) in self.text.char_indices() {
            let (start, end) = self.from[at];
            if c.is_ascii() {
                if c != '\'' {
                    folded.push(Folded { c: c.to_ascii_lowercase(), start, end });
                }
                continue;
            }
            let mut buffer = [0; 4];
            let plain = normalize::fold(c.encode_utf8(&mut buffer));
            if plain.is_empty() {
                if !unicode_normalization::char::is_combining_mark(c) {
                    folded.push(Folded { c, start, end });
                } else if let Some(letter) =
                    folded.last_mut().filter(|letter: &&mut Folded| letter.end == start)
                {
                    // A mark belongs to the letter before it, so that a value never leaves one behind.
                    letter.end = end;
                }
            }
            folded.extend(plain.chars().map(|c| Folded { c, start, end }));
        }
        folded
    }
}

/// Our digit for one of those.
const fn digit(c: char) -> char {
    let first = match c {
        '\u{660}'..='\u{669}' => 0x660,
        '\u{6f0}'..='\u{6f9}' => 0x6f0,
        _ => 0x966,
    };
    match char::from_digit((c as u32).saturating_sub(first), 10) {
        Some(digit) => digit,
        None => c,
    }
}

/// The character that a reference stands for, and its length.
fn entity(text: &str) -> Option<(char, usize)> {
    let window = text.char_indices().take(12).last().map_or(0, |(at, c)| at + c.len_utf8());
    let end = text[..window].find(';')?;
    let name = &text[1..end];
    let decoded = if let Some(number) = name.strip_prefix('#') {
        let code = number
            .strip_prefix(['x', 'X'])
            .map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())?;
        char::from_u32(code)?
    } else {
        match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
            "commat" => '@',
            "period" => '.',
            "num" => '#',
            "plus" => '+',
            "hyphen" | "dash" | "ndash" | "mdash" => '-',
            "sol" => '/',
            "colon" => ':',
            "shy" | "zwnj" | "zwj" => '\u{200c}',
            "szlig" => 'ß',
            "aelig" => 'æ',
            "AElig" => 'Æ',
            "oelig" => 'œ',
            "eth" => 'ð',
            "thorn" => 'þ',
            _ => {
                // A letter with a mark: the mark does not count when names are compared.
                let letter = name.chars().next().filter(char::is_ascii_alphabetic)?;
                let marks = ["uml", "acute", "grave", "circ", "tilde", "ring", "cedil", "slash", "caron"];
                marks.contains(&&name[1..]).then_some(letter)?
            }
        }
    };
    Some((decoded, end + 1))
}
