//! How the story is told: to people, a step at a time; to nobody. What is told comes from elsewhere.

use std::fmt::Write as _;
use std::io::Write;

use super::script::{SCRIPT, Step};
use super::{Claim, Played, Story};
use crate::commands::Trouble;

/// Columns of a line.
const WIDTH: usize = 88;

/// Who is told.
pub(crate) trait Teller {
    /// A step begins.
    fn begins(&mut self, place: usize, step: &Step) -> Result<(), Trouble>;
    /// It ended.
    fn ended(&mut self, played: &Played) -> Result<(), Trouble>;
    /// The story is over.
    fn over(&mut self, story: &Story) -> Result<(), Trouble>;
}

/// Nobody is told.
pub(super) struct Nobody;

impl Teller for Nobody {
    fn begins(&mut self, _place: usize, _step: &Step) -> Result<(), Trouble> {
        Ok(())
    }

    fn ended(&mut self, _played: &Played) -> Result<(), Trouble> {
        Ok(())
    }

    fn over(&mut self, _story: &Story) -> Result<(), Trouble> {
        Ok(())
    }
}

/// People at a terminal, or who read it later.
pub(super) struct People<'a, W> {
    out: &'a mut W,
    colour: bool,
}

impl<'a, W: Write> People<'a, W> {
    pub(super) fn new(out: &'a mut W, colour: bool) -> Self {
        Self { out, colour }
    }

    fn say(&mut self, text: &str) -> Result<(), Trouble> {
        let said = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        said.map_err(|error| Trouble::new("standard output", error))
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn claim(&self, claim: &Claim) -> String {
        let mark = if claim.ok { self.painted("32", "ok") } else { self.painted("1;31", "FAILED") };
        let mut out = String::new();
        if claim.ok {
            let text = wrap(&format!("{}: {}", claim.claim, claim.observed), 6);
            let _infallible = writeln!(out, "  {mark}  {text}");
        } else {
            let _infallible = writeln!(
                out,
                "  {mark}  {}\n          expected  {}\n          observed  {}",
                wrap(&claim.claim, 10),
                wrap(&claim.expected, 20),
                wrap(&claim.observed, 20)
            );
        }
        out
    }
}

impl<W: Write> Teller for People<'_, W> {
    fn begins(&mut self, place: usize, step: &Step) -> Result<(), Trouble> {
        let title = format!("{:>2}/{} {}", place + 1, SCRIPT.len(), step.title);
        let title = self.painted("1", &title);
        self.say(&format!("\n{title}\n      {}\n", wrap(step.text, 6)))
    }

    fn ended(&mut self, played: &Played) -> Result<(), Trouble> {
        let mut text: String = played.claims.iter().map(|claim| self.claim(claim)).collect();
        let time = played.virtual_time.get(..19).unwrap_or_default().replace('T', " ");
        let by_function: Vec<String> = played
            .requests
            .iter()
            .map(|(function, requests)| format!("{function} {}", requests.values().sum::<u64>()))
            .collect();
        let requests = if by_function.is_empty() { "none".to_owned() } else { by_function.join(", ") };
        let foot = wrap(&format!("{time} UTC · requests to AWS: {requests}"), 6);
        let _infallible = writeln!(text, "      {}", self.painted("2", &foot));
        self.say(&text)
    }

    fn over(&mut self, story: &Story) -> Result<(), Trouble> {
        let claims = || story.steps.iter().flat_map(|step| &step.claims);
        let (all, failed) = (claims().count(), claims().filter(|claim| !claim.ok).count());
        let verdict = if failed == 0 {
            self.painted("1;32", &format!("All {all} claims were seen to hold."))
        } else {
            self.painted("1;31", &format!("{failed} of {all} claims were not seen to hold."))
        };
        self.say(&format!("\n{verdict}\n"))
    }
}

/// Breaks text into lines; those after the first are indented.
fn wrap(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_long_text_when_wrapped_then_no_line_is_longer_than_a_terminal() {
        let text = wrap(&"word ".repeat(100), 6);
        assert!(text.lines().count() > 4);
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("      word")));
    }

    #[test]
    fn given_a_claim_that_fails_when_told_then_both_values_are_shown_without_colour() {
        let mut out = Vec::new();
        let claim = Claim { claim: "one".into(), expected: "1".into(), observed: "2".into(), ok: false };
        let text = People::new(&mut out, false).claim(&claim);
        assert!(text.contains("FAILED  one") && text.contains("expected  1") && text.contains("observed  2"));
        assert!(!text.contains('\u{1b}'));
    }
}
