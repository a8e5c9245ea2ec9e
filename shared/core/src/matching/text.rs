//! How like two words are, typing errors allowed for. Every word is bounded, so that no comparison is slow.

use crate::normalize::fold;

/// How much of a text is looked at, in characters: no name or street is longer.
pub(super) const LONGEST_TEXT: usize = 160;

/// How many words of a text are looked at.
pub(super) const MOST_WORDS: usize = 12;

/// How long a word, or several run together, can be.
const LONGEST_WORD: usize = 64;

/// How two texts agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Likeness {
    /// No more than chance.
    Unlike,
    /// Much in common.
    Similar,
    /// One slip of the finger apart.
    Near,
    /// The same.
    Same,
}

/// Folded words of a text, bounded.
pub(super) fn words(text: &str) -> Vec<String> {
    let bounded: String = text.chars().take(LONGEST_TEXT).collect();
    fold(&bounded).split(' ').filter(|word| !word.is_empty()).take(MOST_WORDS).map(cut).collect()
}

/// A word cut to what is compared.
pub(super) fn cut(word: &str) -> String {
    word.chars().take(LONGEST_WORD).collect()
}

/// How like two folded words are. A slip is a letter added, lost, changed, or two exchanged; short words take none,
/// long ones two.
pub(super) fn likeness(a: &str, b: &str) -> Likeness {
    if a == b {
        return Likeness::Same;
    }
    let (longer, shorter) = {
        let (a, b) = (a.chars().count(), b.chars().count());
        (a.max(b), a.min(b))
    };
    // Lengths this far apart cannot be like, whatever the letters.
    if shorter < 2 || longer > 2 * shorter {
        return Likeness::Unlike;
    }
    let slips = strsim::osa_distance(a, b);
    if (slips <= 1 && longer >= 4) || (slips <= 2 && longer >= 9) {
        return Likeness::Near;
    }
    let similar = (slips <= 2 && longer >= 5)
        || (slips <= 1 && longer >= 3)
        || slips * 3 <= longer
        || (longer >= 5 && strsim::jaro_winkler(a, b) >= 0.9);
    if similar { Likeness::Similar } else { Likeness::Unlike }
}

/// The consonants of a word with those that sound alike made one, doubles once, its first letter kept: what is left
/// survives most typing errors in vowels, and many spellings.
pub(super) fn skeleton(word: &str) -> String {
    let mut bones = String::with_capacity(8);
    let mut last = None;
    for (at, letter) in word.chars().enumerate() {
        let bone = match letter {
            'a' | 'e' | 'i' | 'o' | 'u' | 'y' if at == 0 => Some('a'),
            'a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'h' => None,
            'c' | 'k' | 'q' => Some('k'),
            's' | 'z' => Some('s'),
            'v' | 'w' => Some('v'),
            'j' | 'g' => Some('g'),
            'd' | 't' => Some('t'),
            'm' | 'n' => Some('n'),
            'b' | 'p' => Some('p'),
            other => Some(other),
        };
        if bone.is_some() && bone != last {
            bones.extend(bone);
        }
        if bone.is_some() {
            last = bone;
        }
    }
    bones
}
