//! The mail desk's own reasoning: a merchant's settings, rules and macros, what of a mail may leave for Claude, what is asked
//! of it, and what of a draft may be stored or sent. Reading mail is `mail`'s, telling what it is about `intent`'s, and
//! nothing here sends or stores.

pub mod context;
pub mod hours;
pub mod macros;
pub mod mask;
pub mod prompt;
pub mod review;
pub mod rules;
pub mod settings;
pub mod template;

#[cfg(test)]
mod tests;
