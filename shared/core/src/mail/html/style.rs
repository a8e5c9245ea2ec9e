//! What an inline style says about being seen. Style sheets are not read.

/// A colour, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(Option<[u8; 3]>);

impl Colour {
    pub(super) const BLACK: Self = Self(Some([0, 0, 0]));
    pub(super) const WHITE: Self = Self(Some([255, 255, 255]));
    pub(super) const UNKNOWN: Self = Self(None);

    /// Reads a colour; `None` when nothing is said, unknown when it is said in a way that is not read.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() || text == "inherit" {
            return None;
        }
        let known = match text.as_str() {
            "white" => Some([255; 3]),
            "black" | "windowtext" => Some([0; 3]),
            _ => text.strip_prefix('#').map_or_else(|| components(&text), hexadecimal),
        };
        Some(Self(known))
    }

    /// Whether text of this colour on that ground cannot be read.
    pub(super) fn cannot_be_told_from(self, ground: Self) -> bool {
        let (Some(text), Some(ground)) = (self.0, ground.0) else { return false };
        text.iter().zip(ground).map(|(one, other)| u16::from(one.abs_diff(other))).sum::<u16>() <= 16
    }
}

fn hexadecimal(digits: &str) -> Option<[u8; 3]> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = digits.chars().map(digit).collect::<Option<_>>()?;
    match digits.as_slice() {
        [r, g, b] => Some([r * 17, g * 17, b * 17]),
        [r1, r2, g1, g2, b1, b2] => Some([r1 * 16 + r2, g1 * 16 + g2, b1 * 16 + b2]),
        _ => None,
    }
}

/// `rgb(255, 255, 255)`.
fn components(text: &str) -> Option<[u8; 3]> {
    let inside = text.strip_prefix("rgb(")?.strip_suffix(')')?;
    let mut parts = inside.split([',', ' ']).filter(|part| !part.is_empty()).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// What an inline style says.
pub(super) struct Style {
    pub(super) hidden: bool,
    pub(super) colour: Option<Colour>,
    pub(super) background: Option<Colour>,
}

impl Style {
    pub(super) fn of(text: &str) -> Self {
        let mut style = Self { hidden: false, colour: None, background: None };
        let (mut no_size, mut clipped) = (false, false);
        for declaration in text.split(';') {
            let Some((name, value)) = declaration.split_once(':') else { continue };
            let name = name.trim().to_ascii_lowercase();
            let value = value.trim().to_ascii_lowercase();
            let value = value.strip_suffix("!important").unwrap_or(&value).trim_end();
            let size = leading_number(value);
            match name.as_str() {
                "display" => style.hidden |= value == "none",
                "visibility" => style.hidden |= matches!(value, "hidden" | "collapse"),
                "mso-hide" => style.hidden |= value == "all",
                "opacity" => style.hidden |= size.is_some_and(|size| size < 0.05),
                "font-size" => {
                    let absolute = value.ends_with("px") || value.ends_with("pt");
                    style.hidden |= size.is_some_and(|size| size <= 0.0 || absolute && size <= 1.0);
                }
                "height" | "max-height" | "width" | "max-width" => {
                    no_size |= size.is_some_and(|size| size <= 0.0);
                }
                "overflow" | "overflow-x" | "overflow-y" => clipped |= value == "hidden",
                "text-indent" | "left" | "top" | "margin-left" | "margin-top" => {
                    style.hidden |= size.is_some_and(|size| size <= -999.0);
                }
                "color" => style.colour = Colour::read(value),
                "background-color" | "background" => style.background = Colour::read(value),
                _ => {}
            }
        }
        style.hidden |= no_size && clipped;
        style
    }
}

fn leading_number(value: &str) -> Option<f64> {
    let end = value.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-'))).unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}
