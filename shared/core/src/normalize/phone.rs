//! Phone numbers in E.164. The `phonenumber` crate knows the countries' numbers; here is how people write them,
//! and what the crate reads wrongly.

use phonenumber::country;
use phonenumber::metadata::DATABASE;
use unicode_normalization::UnicodeNormalization as _;

use crate::personal::Personal;

/// Longer than any number with its extension; the parser is not for unbounded input.
const LONGEST: usize = 128;

/// A phone number in E.164, read in the country of the address it came with; `None` when it is not a valid number.
///
/// Widths and separators of any script are read, a `tel:` in front, `00` for `+` in countries that dial otherwise,
/// and `(0)` after a country code. The first reading that makes a valid number counts.
#[must_use]
pub fn phone(text: &str, country: Option<&str>) -> Option<Personal<String>> {
    if text.len() > LONGEST {
        return None;
    }
    let region: Option<country::Id> = country.and_then(|code| code.trim().to_ascii_uppercase().parse().ok());
    let text = plain(text);
    read(region, &text)
        .or_else(|| readings(region, &text).iter().find_map(|reading| read(region, reading)))
        .map(Personal::new)
}

fn read(region: Option<country::Id>, text: &str) -> Option<String> {
    let number = phonenumber::parse(region, text).ok()?;
    phonenumber::is_valid(&number).then(|| number.format().mode(phonenumber::Mode::E164).to_string())
}

/// Compatibility forms folded (full-width digits), every kind of dash one hyphen, every kind of space a space.
fn plain(text: &str) -> String {
    let folded: String = text
        .nfkc()
        .map(|c| match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}' => '-',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}'))
        .collect();
    folded.trim().to_owned()
}

/// Other ways to read what did not make a valid number, the likeliest first.
///
/// The crate strips a country's national prefix wherever the digits begin with it, even twice and after a country
/// code: `+7 800…` loses its 8. Written with the prefix in front once or twice more, such a number reads right.
/// It also strips a country's own code from a national number that begins with the same digits.
fn readings(region: Option<country::Id>, text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_prefix("tel:").unwrap_or(&lower).replace("(0)", " ");
    // What follows is an extension or a parameter, and none of the number.
    let digits: String = bare
        .split([';', 'x', '#', 'e'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == '+')
        .collect();
    let mut readings = Vec::new();
    let international = digits.strip_prefix('+').or_else(|| digits.strip_prefix("00"));
    if let Some(rest) = international {
        readings.push(format!("+{rest}"));
        // Country codes are one to three digits, and none is the beginning of another.
        let split = (1..=3).filter_map(|length| rest.split_at_checked(length));
        for (code, national) in split {
            for meta in code.parse().ok().and_then(|code: u16| DATABASE.by_code(&code)).unwrap_or_default() {
                with_prefix(&mut readings, code, meta.national_prefix(), national);
            }
        }
    } else if let Some(meta) = region.and_then(|region| DATABASE.by_id(region.as_ref())) {
        let code = meta.country_code().to_string();
        readings.push(format!("+{code}{digits}"));
        with_prefix(&mut readings, &code, meta.national_prefix(), &digits);
    }
    readings
}

fn with_prefix(readings: &mut Vec<String>, code: &str, prefix: Option<&str>, national: &str) {
    if let Some(prefix) = prefix {
        for reading in [format!("+{code}{prefix}{national}"), format!("+{code}{prefix}{prefix}{national}")] {
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
}
