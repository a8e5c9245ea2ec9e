//! Prints reports that are made from the code: for people, repositories and machines. What they say is `core`'s.

use std::io::Write;

use clap::ValueEnum;
use storeward_core::report::{Format, Report};

use super::Trouble;

/// As what a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum As {
    /// Markdown.
    Markdown,
    /// A page for browsers.
    Html,
    /// JSON.
    Json,
}

impl From<As> for Format {
    fn from(format: As) -> Self {
        match format {
            As::Markdown => Self::Markdown,
            As::Html => Self::Html,
            As::Json => Self::Json,
        }
    }
}

/// Prints a report.
///
/// # Errors
/// When it cannot be written out.
pub fn print(report: &Report, format: As, out: &mut impl Write) -> Result<bool, Trouble> {
    let written = out.write_all(report.write(format.into()).as_bytes()).and_then(|()| out.flush());
    written.map(|()| true).map_err(|error| Trouble::new("the report cannot be printed", error))
}
