//! What is understood of mails, file by file: sizes, counts and reasons, and nothing of what stands in them.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use storeward_core::mail::{self, Incoming, MAX_RAW};
use storeward_core::time::{Clock as _, SystemClock};

use crate::commands::Trouble;

/// Reads every file of `paths`, folders with all below them, and writes a JSON line for each.
pub(super) fn mails(
    paths: &[PathBuf],
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<bool, Trouble> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let begun = SystemClock.now();
    let mut unreadable = 0;
    let mut slowest = (0, "");
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    for (file, name) in files.iter().zip(&names) {
        let raw = content(file)?;
        let begun = SystemClock.now();
        let read = mail::read(&raw);
        let took = SystemClock.now().since(begun).as_millis();
        if took > slowest.0 {
            slowest = (took, name);
        }
        unreadable += usize::from(read.is_err());
        let mut line = match &read {
            Ok(read) => told(read),
            Err(error) => json!({ "unreadable": error.to_string() }),
        };
        if let Some(line) = line.as_object_mut() {
            line.insert("file".to_owned(), json!(name));
            line.insert("bytes".to_owned(), json!(raw.len()));
        }
        writeln!(out, "{line}").map_err(cannot_write)?;
    }
    out.flush().map_err(cannot_write)?;
    let took = SystemClock.now().since(begun);
    let (count, (longest, slowest)) = (files.len(), slowest);
    writeln!(
        notes,
        "{count} mails in {took:?}, {unreadable} not readable; the slowest {longest} ms {slowest}"
    )
    .map_err(cannot_write)?;
    Ok(true)
}

fn cannot_write(error: std::io::Error) -> Trouble {
    Trouble::new("what was read cannot be written", error)
}

fn told(read: &Incoming) -> Value {
    json!({
        "parts": read.parts,
        "attachments": read.attachments.len(),
        "text_bytes": read.text.expose().len(),
        "new_text_bytes": read.new_text.expose().len(),
        "signature": read.signature.is_some(),
        "quoted": read.quoted,
        "truncated": read.truncated,
        "sender": read.from.is_some(),
        "dated": read.date.is_some(),
        "references": read.references.len(),
        "automatic": read.automatic,
    })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Trouble> {
    let trouble = |error| Trouble::new(&format!("{} cannot be read", path.display()), error);
    if !std::fs::metadata(path).map_err(trouble)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        // A link could lead round in a circle.
        let kind = entry.file_type().map_err(trouble)?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// A file, and no more of it than is needed to see that it is too long.
fn content(file: &Path) -> Result<Vec<u8>, Trouble> {
    let mut raw = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(MAX_RAW as u64 + 1).read_to_end(&mut raw))
        .map_err(|error| Trouble::new(&format!("{} cannot be read", file.display()), error))?;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mail_of_a_folder_is_counted_and_none_is_repeated() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        std::fs::write(
            folder.path().join("below/a.eml"),
            "From: canary@example.com\nAuto-Submitted: auto-replied\nSubject: CANARY\n\nCANARY\n> CANARY\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("b.eml"), "").unwrap();
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        assert!(mails(&[folder.path().to_owned()], &mut out, &mut notes).unwrap());
        let out = String::from_utf8(out).unwrap();
        assert!(!out.to_lowercase().contains("canary"), "{out}");
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [empty, read] = lines.as_slice() else { panic!("{out}") };
        assert!(empty["unreadable"].as_str().unwrap().contains("no content"));
        assert_eq!(
            (&read["automatic"], &read["quoted"], &read["parts"]),
            (&json!("auto_submitted"), &json!(true), &json!(1))
        );
        assert_eq!((&read["text_bytes"], &read["new_text_bytes"]), (&json!(15), &json!(6)));
        assert!(String::from_utf8(notes).unwrap().starts_with("2 mails in "));
        assert!(mails(&[folder.path().join("missing")], &mut Vec::new(), &mut Vec::new()).is_err());
    }
}
