//! What mutation testing is run on and what it is known not to find: `.cargo/mutants.toml` and `tests/mutants.txt` name
//! files, modules and functions that are there. The run itself takes too long for each change: see `CONTRIBUTING.md`.

use std::collections::BTreeSet;

use crate::bench::root;

const CONFIG: &str = ".cargo/mutants.toml";
const SURVIVORS: &str = "tests/mutants.txt";

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts of a list in the configuration, one a line.
fn list(config: &str, name: &str) -> Vec<String> {
    let from = config.split_once(&format!("\n{name} = [\n")).unwrap_or_else(|| panic!("{CONFIG}: {name}")).1;
    let lines = from.lines().take_while(|line| *line != "]");
    lines.filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\",")).map(str::to_owned).collect()
}

/// The files that are examined: every one that is named, and every one of a folder that is named as a whole.
fn examined() -> BTreeSet<String> {
    let files =
        list(&read(CONFIG), "examine_globs").into_iter().flat_map(|glob| match glob.strip_suffix("/*.rs") {
            None => vec![glob],
            Some(folder) => {
                let files = std::fs::read_dir(root().join(folder))
                    .unwrap_or_else(|error| panic!("{folder}: {error}"));
                let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
                names.map(|name| format!("{folder}/{name}")).collect()
            }
        });
    files.collect()
}

#[test]
fn every_examined_file_is_there_and_its_own_tests_are_those_that_are_run() {
    let run = list(&read(CONFIG), "additional_cargo_test_args");
    let mut modules = BTreeSet::from(["--".to_owned()]);
    for file in examined() {
        assert!(read(&file).contains("#[cfg(test)]"), "{file} has no tests of its own");
        let module = file.strip_prefix("shared/core/src/").and_then(|path| path.split(['/', '.']).next());
        modules.insert(format!("{}::", module.unwrap_or_else(|| panic!("{file} is not of the core"))));
    }
    assert_eq!(run.into_iter().collect::<BTreeSet<_>>(), modules, "additional_cargo_test_args");
}

/// What is wrong with a line `file: mutant | reason`, if anything.
fn fault(line: &str, examined: &BTreeSet<String>, excluded: &[String]) -> Option<&'static str> {
    let Some((mutant, reason)) = line.split_once(" | ") else { return Some("does not say why") };
    let Some((file, what)) = mutant.split_once(": ") else { return Some("names no file") };
    let Some((_, function)) = what.rsplit_once(" in ") else { return Some("names no function") };
    let name = function.rsplit("::").next().unwrap_or(function);
    if !examined.contains(file) {
        Some("names a file that is not examined")
    } else if !read(file).contains(&format!("fn {name}(")) {
        Some("names a function that is not there")
    } else if reason.split_whitespace().count() < 5 {
        Some("does not say why")
    } else if !excluded.iter().any(|pattern| pattern.replace('\\', "").trim_end_matches('$') == what) {
        Some("has no pattern of the same words in exclude_re")
    } else {
        None
    }
}

#[test]
fn every_mutant_that_may_survive_is_of_a_function_that_is_there_and_says_why() {
    let (examined, excluded) = (examined(), list(&read(CONFIG), "exclude_re"));
    let text = read(SURVIVORS);
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for line in &lines {
        assert_eq!(fault(line, &examined, &excluded), None, "{SURVIVORS}: {line}");
    }
    assert_eq!(
        excluded.len(),
        lines.len(),
        "what is excluded has a line in {SURVIVORS}, and nothing else has"
    );
}

#[test]
fn a_line_that_names_nothing_or_gives_no_reason_is_noticed() {
    let (examined, excluded) = (examined(), [r"replace \+ with \* in due_at$".to_owned()]);
    let fault = |line: &str| fault(line, &examined, &excluded);
    let why = "| it is only an example here";
    let right = "shared/core/src/rights.rs: replace + with * in due_at";
    assert_eq!(fault(&format!("{right} {why}")), None);
    for (line, what) in [
        (right.to_owned(), "does not say why"),
        (format!("{right} | because"), "does not say why"),
        (format!("due_at {why}"), "names no file"),
        (format!("shared/core/src/rights.rs: due_at {why}"), "names no function"),
        (
            format!("shared/core/src/money.rs: replace + with * in due_at {why}"),
            "names a file that is not examined",
        ),
        (format!("{right}_all {why}"), "names a function that is not there"),
        (
            format!("shared/core/src/rights.rs: replace + with - in due_at {why}"),
            "has no pattern of the same words in exclude_re",
        ),
    ] {
        assert_eq!(fault(&line), Some(what), "{line}");
    }
}
