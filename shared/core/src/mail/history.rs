//! What of a text its writer wrote now: without the mail that is answered or forwarded, and without the signature. A quotation
//! is known by what mail programs write around it ([`super::phrases`]); HTML was given the same marks when it became text.

use super::phrases::{
    ATTRIBUTION_OPENERS, ATTRIBUTION_VERBS, CLOSINGS, DASHED_MARKERS, DATE_LABELS, FORWARDED_LINES,
    FROM_LABELS, SENT_FROM, SUBJECT_LABELS, TO_LABELS,
};

/// How often a text is gone through again while there is still something to take away.
const MAX_ROUNDS: usize = 32;
/// How many lines the line above a quotation can be wrapped into, and how long it can be altogether, in bytes.
const ATTRIBUTION_LINES: usize = 4;
const ATTRIBUTION_LENGTH: usize = 400;
/// How many lines are looked at for the header of an answered mail.
const HEADER_LINES: usize = 10;
/// How many lines that are not empty a signature has at most, below its mark and below closing words.
const SIGNATURE_LINES: usize = 15;
const CLOSING_LINES: usize = 5;

/// A text taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// What is new; the whole text, where otherwise nothing would be left.
    pub(super) new_text: String,
    /// What stood below it.
    pub(super) signature: Option<String>,
    /// Whether there is history in the text.
    pub(super) quoted: bool,
}

/// Takes a text apart. What is new, taken apart again, stays as it is.
pub(super) fn split(text: &str) -> Split {
    let mut new_text = text.trim().to_owned();
    // From the end of the text upwards.
    let mut signatures: Vec<String> = Vec::new();
    let mut quoted = false;
    // What is taken away can bring together what then reads as a mark.
    for _ in 0..MAX_ROUNDS {
        let lines: Vec<&str> = new_text.lines().collect();
        let (mut kept, found) = without_history(&lines);
        quoted |= found;
        if kept.iter().all(|line| is_blank(line)) {
            kept = lines;
        }
        while let Some(signature) = take_signature(&mut kept) {
            signatures.push(signature);
        }
        let rest = kept.join("\n").trim().to_owned();
        let done = rest == new_text;
        new_text = rest;
        if done {
            break;
        }
    }
    signatures.reverse();
    let signature = signatures.join("\n");
    Split { new_text, signature: (!signature.is_empty()).then_some(signature), quoted }
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The lines that are not history, and whether there was any.
fn without_history<'a>(lines: &[&'a str]) -> (Vec<&'a str>, bool) {
    let mut kept = Vec::with_capacity(lines.len());
    let mut quoted = false;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if is_quoted(line) {
            quoted = true;
            at += 1;
            continue;
        }
        if is_marker(lines, at) {
            return (kept, true);
        }
        if let Some(attribution) = Attribution::at(lines, at) {
            let below = lines.get(attribution.end..).unwrap_or_default();
            match below.iter().find(|line| !is_blank(line)) {
                // What is quoted goes; what is written between it stays.
                Some(next) if is_quoted(next) => {
                    quoted = true;
                    at = attribution.end;
                    continue;
                }
                _ if attribution.certain => return (kept, true),
                _ => {}
            }
        }
        // What is taken away leaves one gap, not two.
        if !is_blank(line) || kept.last().is_some_and(|last| !is_blank(last)) {
            kept.push(*line);
        }
        at += 1;
    }
    (kept, quoted)
}

/// Whether history begins at this line, whatever stands below.
fn is_marker(lines: &[&str], at: usize) -> bool {
    let Some(line) = lines.get(at) else { return false };
    let line = line.trim();
    if line.len() <= 120 {
        let lower = line.to_lowercase();
        let inside = lower.trim_matches(|c: char| matches!(c, '-' | '_' | '=' | '*' | ' ' | '—' | '–'));
        let dashed = lower.starts_with("--") || lower.starts_with("__") || lower.starts_with("==");
        if dashed && DASHED_MARKERS.iter().any(|marker| inside.starts_with(marker)) {
            return true;
        }
        if FORWARDED_LINES.contains(&lower.as_str()) {
            return true;
        }
    }
    if line.len() >= 10 && line.chars().all(|c| matches!(c, '_' | '-')) {
        let below = (at + 1..at + 4).find(|below| lines.get(*below).is_some_and(|line| !is_blank(line)));
        return below.is_some_and(|below| is_header_block(lines, below));
    }
    is_header_block(lines, at)
}

/// Whether a header as mail programs show it begins at this line: from whom, and two more of when, to whom, about what.
/// Most begin with from whom, Hotmail's with when.
fn is_header_block(lines: &[&str], at: usize) -> bool {
    if !matches!(lines.get(at).and_then(|line| label(line)), Some(Label::From | Label::Date)) {
        return false;
    }
    let mut labels = Vec::with_capacity(HEADER_LINES);
    let mut blanks = 0;
    for line in lines.iter().skip(at).take(HEADER_LINES) {
        // A line without a label is a long list of addresses, wrapped.
        labels.extend(label(line));
        blanks += usize::from(is_blank(line));
        if blanks > 1 {
            break;
        }
    }
    let named =
        [Label::Date, Label::To, Label::Subject].iter().filter(|label| labels.contains(label)).count();
    labels.contains(&Label::From) && named >= 2
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    From,
    Date,
    To,
    Subject,
}

/// What a line of such a header names: "*Von:* …".
fn label(line: &str) -> Option<Label> {
    let line = line.trim_start_matches(['*', ' ', '\t']);
    let name = line.get(..line.find(':')?)?;
    if name.len() > 32 {
        return None;
    }
    let name = name.trim_end_matches(['*', ' ']).to_lowercase();
    let is = |labels: &[&str]| labels.contains(&name.as_str());
    // "De" and "da" are from whom, "a" and "para" to whom; no word is in two lists.
    if is(FROM_LABELS) {
        Some(Label::From)
    } else if is(DATE_LABELS) {
        Some(Label::Date)
    } else if is(TO_LABELS) {
        Some(Label::To)
    } else if is(SUBJECT_LABELS) {
        Some(Label::Subject)
    } else {
        None
    }
}

/// The line above a quotation that says who wrote it, and when.
struct Attribution {
    /// The line after it.
    end: usize,
    /// Whether it is one even where what follows is not marked as quoted.
    certain: bool,
}

impl Attribution {
    fn at(lines: &[&str], at: usize) -> Option<Self> {
        let mut joined = String::new();
        for (end, line) in lines.iter().enumerate().skip(at).take(ATTRIBUTION_LINES) {
            if is_blank(line) || is_quoted(line) || joined.len() + line.len() > ATTRIBUTION_LENGTH {
                return None;
            }
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(line.trim());
            if joined.ends_with([':', '：'])
                && let Some(certain) = Self::judge(&joined.to_lowercase())
            {
                return Some(Self { end: end + 1, certain });
            }
        }
        None
    }

    /// Whether a line that ends with a colon is one, and whether certainly.
    fn judge(line: &str) -> Option<bool> {
        let digits = line.chars().filter(char::is_ascii_digit).count();
        let address = line.contains('@');
        let opened = ATTRIBUTION_OPENERS.iter().any(|opener| line.starts_with(opener));
        let verb = ATTRIBUTION_VERBS.iter().any(|verb| line.contains(verb));
        if verb && (opened || address) && (digits > 0 || address) {
            return Some(address || digits >= 4);
        }
        // In a language that is not listed: somebody's address, and a date.
        (address && line.contains('<') && line.contains('>') && digits >= 4).then_some(false)
    }
}

/// Takes the lowest signature away from the lines, unless nothing stands above it.
fn take_signature(lines: &mut Vec<&str>) -> Option<String> {
    let end = lines.iter().rposition(|line| !is_blank(line)).map_or(0, |last| last + 1);
    lines.truncate(end);
    let start = signature_start(lines)?;
    if lines.iter().take(start).all(|line| is_blank(line)) {
        return None;
    }
    Some(lines.split_off(start).join("\n").trim().to_owned())
}

/// Where the signature begins. The lines end with one that is not empty.
fn signature_start(lines: &[&str]) -> Option<usize> {
    let mut below = 0;
    for (at, line) in lines.iter().enumerate().rev() {
        if is_blank(line) {
            continue;
        }
        if line.trim_end() == "--" {
            return Some(at);
        }
        below += 1;
        if below > SIGNATURE_LINES {
            break;
        }
    }
    let last = lines.len().checked_sub(1)?;
    if lines.get(last).is_some_and(|line| is_sent_from(line)) {
        return Some(last);
    }
    let mut below = 0;
    for (at, line) in lines.iter().enumerate().rev() {
        if is_blank(line) {
            continue;
        }
        if below > 0 && is_closing(line) {
            return Some(at);
        }
        below += 1;
        if below > CLOSING_LINES || !can_follow_closing(line) {
            return None;
        }
    }
    None
}

fn is_sent_from(line: &str) -> bool {
    let line = line.trim().trim_start_matches(['-', '*', '_', ' ']);
    line.len() <= 120 && {
        let lower = line.to_lowercase();
        SENT_FROM.iter().any(|begins| lower.starts_with(begins)) && !lower.contains('?')
    }
}

fn is_closing(line: &str) -> bool {
    let line = line.trim().trim_end_matches([',', '.', '!', ';', ' ', '-', '–']);
    line.len() <= 60 && CLOSINGS.contains(&line.to_lowercase().as_str())
}

/// A name, a role, a number of a telephone: nothing that asks or tells something.
fn can_follow_closing(line: &str) -> bool {
    let line = line.trim();
    line.chars().count() <= 60
        && line.split_whitespace().count() <= 7
        && !line.contains(['?', '#'])
        && !line.ends_with(['.', '!', ':', ';'])
}

#[cfg(test)]
mod tests;
