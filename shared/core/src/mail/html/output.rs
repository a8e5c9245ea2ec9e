//! The text of an HTML mail as it grows: lines, spaces, and marks of quotation.

/// How many levels of quotation are told apart.
const MAX_QUOTES: usize = 4;

/// The text as it grows.
pub(super) struct Output {
    pub(super) text: String,
    longest: usize,
    /// In how many quotations what follows stands.
    pub(super) quotes: usize,
    /// Line ends, and a space, that are due before the next letter.
    lines: usize,
    space: bool,
    /// Whether it is full.
    pub(super) cut: bool,
}

impl Output {
    pub(super) const fn new(longest: usize) -> Self {
        Self { text: String::new(), longest, quotes: 0, lines: 0, space: false, cut: false }
    }

    /// At least so many line ends before what follows.
    pub(super) fn break_lines(&mut self, lines: usize) {
        self.lines = self.lines.max(lines);
    }

    /// One more line end.
    pub(super) fn line(&mut self) {
        self.lines = (self.lines + 1).min(3);
    }

    /// A space before what follows, where it stays in the line.
    pub(super) const fn gap(&mut self) {
        self.space = true;
    }

    /// A line that is a mark; not twice in a row.
    pub(super) fn own_line(&mut self, mark: &str) {
        if !self.text.trim_end().ends_with(mark) {
            self.break_lines(1);
            self.text(mark, false);
        }
        self.break_lines(1);
    }

    pub(super) fn text(&mut self, text: &str, preformatted: bool) {
        for c in text.chars() {
            if preformatted && c == '\n' {
                self.line();
            } else if c.is_whitespace() {
                self.space = true;
            } else if crate::mail::is_shown(c) {
                self.letter(c);
            }
            if self.cut {
                return;
            }
        }
    }

    fn letter(&mut self, c: char) {
        let begins = self.text.is_empty();
        if self.lines > 0 || begins {
            let lines = if begins { 0 } else { self.lines };
            for _ in 0..lines {
                self.text.push('\n');
            }
            for _ in 0..self.quotes.min(MAX_QUOTES) {
                self.text.push_str("> ");
            }
        } else if self.space {
            self.text.push(' ');
        }
        self.lines = 0;
        self.space = false;
        self.text.push(c);
        self.cut = self.text.len() > self.longest;
    }
}
