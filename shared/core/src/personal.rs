//! Personal values that cannot slip into a log line, an error or a panic message.
//! Sealing (encryption) is the store's; this only keeps the value out of every text it could leak into.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value about a person. It has no `Display`, and its `Debug` never shows it; who needs the value says so
/// with [`Personal::expose`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Marks `value` as personal.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for sealing, matching, and answers to who may see it.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value away.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(personal)")
    }
}

#[cfg(test)]
mod tests {
    use super::Personal;

    #[test]
    fn debug_never_shows_the_value() {
        let shown = format!("{:?}", Personal::new("canary@example.com"));
        assert_eq!(shown, "(personal)");
    }
}
