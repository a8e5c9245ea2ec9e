//! The monthly review of access: who read personal data more than usual, from more places, or was refused often. It points out
//! what somebody should look at and decides nothing. Where the access log is kept is the store's.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{Report, Section};
use crate::time::{DAY, Timestamp};

/// One line of the access log, without a word about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// When.
    pub at: Timestamp,
    /// Of which shop, by blinded name.
    pub shop: String,
    /// Who, by blinded name, with what one is: `merchant 5f1d…`, `operator 9c0e…`.
    pub who: String,
    /// Whether it was one of the operator's own staff.
    pub operator: bool,
    /// By which route.
    pub route: String,
    /// With which status it was answered.
    pub status: u16,
    /// The hashed address; the salt is another every day.
    pub ip: Option<String>,
}

/// How many times the usual number of reads in a week is unusual.
const TIMES: u64 = 5;

/// Fewer reads in a week than this are never unusual.
const FEW: u64 = 50;

/// From how many different addresses on one day it is unusual.
const ADDRESSES: usize = 4;

/// From how many refusals in a month it is unusual.
const REFUSALS: u64 = 10;

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Of which shop.
    pub shop: String,
    /// Who.
    pub who: String,
    /// What is unusual.
    pub what: String,
}

/// When a month begins, written as `2026-11`; `None` when it is no month.
#[must_use]
pub fn beginning(month: &str) -> Option<Timestamp> {
    Some(month).filter(|month| month.len() == 7)?;
    Timestamp::parse_rfc3339(&format!("{month}-01T00:00:00Z"))
}

fn week(at: Timestamp) -> i64 {
    at.seconds().div_euclid(7 * i64::try_from(DAY.as_secs()).unwrap_or(i64::MAX))
}

fn refused(access: &Access) -> bool {
    matches!(access.status, 401 | 403)
}

/// The middle of some numbers; of an even number of them the lower one. 0 of none.
fn median(numbers: &mut [u64]) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// What is unusual in the accesses of a month, `2026-11`, held against what each did in the weeks before.
#[must_use]
pub fn findings(log: &[Access], month: &str) -> Vec<Finding> {
    let mut of: BTreeMap<(&str, &str), Vec<&Access>> = BTreeMap::new();
    // What came after the month was usual for nobody in it.
    let until = |access: &&Access| access.at.day().get(..month.len()).is_some_and(|of| of <= month);
    for access in log.iter().filter(until) {
        of.entry((&access.shop, &access.who)).or_default().push(access);
    }
    let mut findings = Vec::new();
    for ((shop, who), accesses) in of {
        let mut find =
            |what: String| findings.push(Finding { shop: shop.to_owned(), who: who.to_owned(), what });
        let (now, before): (Vec<&Access>, Vec<&Access>) =
            accesses.into_iter().partition(|access| access.at.day().starts_with(month));
        let weekly = |accesses: &[&Access]| {
            let mut weeks: BTreeMap<i64, u64> = BTreeMap::new();
            for access in accesses.iter().filter(|access| !refused(access)) {
                *weeks.entry(week(access.at)).or_default() += 1;
            }
            weeks.into_values().collect::<Vec<u64>>()
        };
        let usual = median(&mut weekly(&before));
        let most = weekly(&now).into_iter().max().unwrap_or_default();
        if most >= FEW && most > TIMES * usual {
            find(format!("{most} reads in a week, where {usual} were usual"));
        }
        let mut addresses: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for access in &now {
            addresses.entry(access.at.day()).or_default().extend(access.ip.as_deref());
        }
        if let Some((day, addresses)) = addresses.into_iter().max_by_key(|(_, addresses)| addresses.len())
            && addresses.len() >= ADDRESSES
        {
            find(format!("{} addresses on {day}", addresses.len()));
        }
        let refusals = now.iter().filter(|access| refused(access)).count() as u64;
        if refusals >= REFUSALS {
            find(format!("refused {refusals} times"));
        }
        let by_operator = now.iter().filter(|access| access.operator && !refused(access)).count();
        if by_operator > 0 {
            find(format!("{by_operator} reads by an operator: is there a reason on record for each?"));
        }
    }
    findings
}

/// The report of a month.
#[must_use]
pub fn review(log: &[Access], month: &str) -> Report {
    let found = findings(log, month);
    let mut routes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for access in log.iter().filter(|access| access.at.day().starts_with(month)) {
        let counts = routes.entry(&access.route).or_default();
        counts.0 += 1;
        counts.1 += u64::from(refused(access));
    }
    let row = |finding: Finding| vec![finding.shop, finding.who, finding.what];
    Report {
        title: format!("Review of access to personal data, {month}"),
        about: "Made from the access log, which names shops and people by keyed hashes and keeps 90 days. Each finding is a question, \
                not an answer: write down who looked into it, and what it was."
            .to_owned(),
        sections: vec![
            Section {
                name: "findings",
                title: "What is unusual".to_owned(),
                about: format!(
                    "More than {TIMES} times the reads of a usual week (from {FEW} on), {ADDRESSES} addresses or more on a day, \
                     {REFUSALS} refusals or more, and every read by an operator."
                ),
                head: &["shop", "who", "what"],
                rows: found.into_iter().map(row).collect(),
            },
            Section {
                name: "routes",
                title: "What was read".to_owned(),
                about: "All accesses of the month.".to_owned(),
                head: &["route", "accesses", "of these refused"],
                rows: routes
                    .into_iter()
                    .map(|(route, (all, refused))| vec![route.to_owned(), all.to_string(), refused.to_string()])
                    .collect(),
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::HOUR;

    fn access(at: &str, who: &str) -> Access {
        Access {
            at: Timestamp::parse_rfc3339(at).unwrap(),
            shop: "shop".to_owned(),
            who: who.to_owned(),
            operator: who.starts_with("operator"),
            route: "GET /v1/cases".to_owned(),
            status: 200,
            ip: None,
        }
    }

    fn times(n: u32, first: &Access) -> Vec<Access> {
        (0..n)
            .map(|i| Access { at: first.at + std::time::Duration::from_secs(u64::from(i)), ..first.clone() })
            .collect()
    }

    fn said(log: &[Access]) -> Vec<String> {
        findings(log, "2026-11").into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_month_begins_on_its_first_day_and_what_is_no_month_does_not() {
        assert_eq!(beginning("2026-11"), Timestamp::parse_rfc3339("2026-11-01T00:00:00Z"));
        for odd in ["", "2026", "2026-13", "2026-1", "2026-11-01", "11-2026", "2026/11"] {
            assert_eq!(beginning(odd), None, "{odd}");
        }
    }

    #[test]
    fn five_times_the_usual_week_is_unusual_from_fifty_reads_on() {
        let usual = |n: u32| -> Vec<Access> {
            ["2026-10-05", "2026-10-12", "2026-10-19"]
                .iter()
                .flat_map(|day| times(n, &access(&format!("{day}T10:00:00Z"), "merchant a")))
                .collect()
        };
        let with = |before: u32, now: u32| {
            let mut log = usual(before);
            log.extend(times(now, &access("2026-11-10T10:00:00Z", "merchant a")));
            said(&log)
        };
        assert_eq!(with(0, 49), Vec::<String>::new());
        assert_eq!(with(0, 50), ["50 reads in a week, where 0 were usual"]);
        assert_eq!(with(20, 100), Vec::<String>::new());
        assert_eq!(with(20, 101), ["101 reads in a week, where 20 were usual"]);
        // Two weeks of the month are two weeks.
        let mut spread = times(30, &access("2026-11-03T10:00:00Z", "merchant a"));
        spread.extend(times(30, &access("2026-11-17T10:00:00Z", "merchant a")));
        assert_eq!(said(&spread), Vec::<String>::new());
    }

    #[test]
    fn what_came_after_the_month_is_not_what_was_usual_before_it() {
        let mut log = times(100, &access("2026-11-10T10:00:00Z", "merchant a"));
        log.extend(times(100, &access("2026-12-01T10:00:00Z", "merchant a")));
        assert_eq!(said(&log), ["100 reads in a week, where 0 were usual"]);
    }

    proptest! {
        #[test]
        fn given_fifty_reads_on_whatever_days_of_a_week_then_they_are_the_reads_of_one_week(
            // A week begins on a Thursday, as 1970 did.
            days in prop::collection::vec(0..7_u32, 50),
        ) {
            let thursday = access("2026-11-12T00:00:00Z", "merchant a");
            let log: Vec<Access> =
                days.iter().map(|day| Access { at: thursday.at + DAY * *day, ..thursday.clone() }).collect();
            prop_assert_eq!(said(&log), ["50 reads in a week, where 0 were usual"]);
            // One of them a week later is of another week.
            let mut later = log;
            later[0].at = later[0].at + DAY * 7;
            prop_assert_eq!(said(&later), Vec::<String>::new());
        }
    }

    #[test]
    fn many_addresses_on_one_day_are_unusual_and_over_many_days_are_not() {
        let from = |ip: usize, day: u32| Access {
            ip: Some(format!("hash-{ip}")),
            at: access("2026-11-01T10:00:00Z", "").at + DAY * day,
            ..access("2026-11-01T10:00:00Z", "merchant a")
        };
        let one_day = |n: usize| (0..n).map(|ip| from(ip, 2)).collect::<Vec<_>>();
        assert_eq!(said(&one_day(3)), Vec::<String>::new());
        assert_eq!(said(&one_day(4)), ["4 addresses on 2026-11-03"]);
        let many_days: Vec<Access> = (0..20).map(|day| from(usize::try_from(day).unwrap(), day)).collect();
        assert_eq!(said(&many_days), Vec::<String>::new(), "the salt is another every day");
    }

    #[test]
    fn refusals_are_counted_and_are_no_reads() {
        let refusal = |status| Access { status, ..access("2026-11-10T10:00:00Z", "merchant a") };
        assert_eq!(said(&times(9, &refusal(403))), Vec::<String>::new());
        assert_eq!(said(&times(10, &refusal(403))), ["refused 10 times"]);
        assert_eq!(said(&times(60, &refusal(401))), ["refused 60 times"]);
        assert_eq!(said(&times(10, &refusal(404))), Vec::<String>::new());
    }

    #[test]
    fn every_read_by_an_operator_is_asked_about_and_only_of_the_month() {
        let read = access("2026-11-10T10:00:00Z", "operator b");
        let before = access("2026-10-31T23:59:59Z", "operator b");
        let after = Access { at: read.at + HOUR * 24 * 30, ..read.clone() };
        let refusal = Access { status: 403, ..read.clone() };
        let asked = ["1 reads by an operator: is there a reason on record for each?"];
        assert_eq!(said(&[read, before.clone(), after, refusal.clone()]), asked);
        assert_eq!(said(&[before, refusal]), Vec::<String>::new());
    }

    #[test]
    fn the_usual_is_the_middle_week() {
        assert_eq!(median(&mut []), 0);
        assert_eq!(median(&mut [7]), 7);
        assert_eq!(median(&mut [9, 1]), 1);
        assert_eq!(median(&mut [100, 1, 3]), 3);
    }

    #[test]
    fn the_report_counts_every_access_of_the_month_by_its_route() {
        let mut log = times(3, &access("2026-11-10T10:00:00Z", "merchant a"));
        log.push(Access { status: 403, ..log[0].clone() });
        log.push(access("2026-10-10T10:00:00Z", "merchant a"));
        let report = review(&log, "2026-11");
        assert_eq!(report.sections[1].rows, [["GET /v1/cases", "4", "1"]]);
        assert!(report.sections[0].rows.is_empty());
    }
}
