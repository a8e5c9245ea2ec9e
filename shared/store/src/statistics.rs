//! What a month's cases came to: counters without a word about anyone, which outlive the cases they count. Changed in
//! the transactions that open, merge and decide; sharded as the cases are, so that no item is everybody's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Table};
use storeward_core::money;
use storeward_core::shop::Tenant;
use storeward_core::time::{DAY, Timestamp};

use crate::cases::{Case, Standing};
use crate::error::Result;
use crate::item::{number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::store::{Action, Change, Expired, Store};
use crate::tenants::Installation;

/// What sums saved are kept under, by currency: `saved_eur`.
const SAVED: &str = "saved_";

/// The placeholders of one item's counters: the three counts and the currencies of a case before and after.
const NAMES: [&str; 19] = [
    ":a", ":b", ":c", ":d", ":e", ":f", ":g", ":h", ":i", ":j", ":k", ":l", ":m", ":n", ":o", ":p", ":q",
    ":r", ":s",
];

/// The most currencies of one case that are summed. Its orders are one customer's, minutes apart.
const CURRENCIES: usize = 8;

/// One month of a shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonthlyStatistics {
    /// Which, `2026-11`, in UTC.
    pub month: String,
    /// Cases opened in it; those that turned out to be one count once.
    pub opened: i64,
    /// Cases that were confirmed in it and still are.
    pub confirmed: i64,
    /// Cases that were dismissed in it and still are.
    pub dismissed: i64,
    /// The sums that confirmed duplicates would have cost, in minor units, by ISO 4217 currency.
    pub saved: BTreeMap<String, i64>,
}

/// What a case's decision was counted as, to be taken back when another takes its place. Sealed with the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    month: String,
    confirmed: bool,
    saved: BTreeMap<String, i64>,
}

impl Counted {
    /// What a decision of `now` on the case counts as.
    pub(crate) fn of(case: &Case, confirmed: bool, now: Timestamp) -> Self {
        let saved = if confirmed { savings(case) } else { BTreeMap::new() };
        Self { month: month(now), confirmed, saved }
    }
}

/// The total of a case's orders but one: the first that was not cancelled is the one the customer wanted. What was sent
/// already is not saved.
fn savings(case: &Case) -> BTreeMap<String, i64> {
    let mut orders: Vec<_> = case.members.iter().collect();
    orders.sort_by_key(|member| (member.created_at, &member.order));
    let wanted = orders.iter().position(|member| member.standing != Standing::Cancelled).unwrap_or(0);
    let mut saved: BTreeMap<String, i64> = BTreeMap::new();
    for (place, member) in orders.into_iter().enumerate() {
        let (Some(total), Some(currency)) = (&member.total, &member.currency) else { continue };
        if place == wanted || member.standing == Standing::Fulfilled {
            continue;
        }
        if let Some(units) = money::minor_units(total, currency)
            && (saved.len() < CURRENCIES || saved.contains_key(currency))
        {
            let sum = saved.entry(currency.clone()).or_default();
            *sum = sum.saturating_add(units);
        }
    }
    saved
}

/// Changes to counters, each item once, however many reasons there are to change it.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<(String, u8), BTreeMap<String, i64>>);

impl Tally {
    fn add(&mut self, month: &str, case: &RecordRef, counter: String, by: i64) {
        let item = self.0.entry((month.to_owned(), case.bucket())).or_default();
        *item.entry(counter).or_default() += by;
    }

    /// A case was opened.
    pub(crate) fn opened(&mut self, case: &Case) {
        if !case.uncounted {
            self.add(&month(case.opened_at), &case.reference, "opened_cases".to_owned(), 1);
        }
    }

    /// A case turned out to be part of another.
    pub(crate) fn merged(&mut self, case: &Case) {
        if !case.uncounted {
            self.add(&month(case.opened_at), &case.reference, "opened_cases".to_owned(), -1);
        }
        self.taken_back(case);
    }

    /// Whatever a case was decided before does not count any more.
    pub(crate) fn taken_back(&mut self, case: &Case) {
        if let Some(counted) = &case.counted {
            self.count(&case.reference, counted, -1);
        }
    }

    /// A case was decided.
    pub(crate) fn decided(&mut self, case: &RecordRef, counted: &Counted) {
        self.count(case, counted, 1);
    }

    fn count(&mut self, case: &RecordRef, counted: &Counted, sign: i64) {
        let name = if counted.confirmed { "confirmed_cases" } else { "dismissed_cases" };
        self.add(&counted.month, case, name.to_owned(), sign);
        for (currency, units) in &counted.saved {
            let name = format!("{SAVED}{}", currency.to_ascii_lowercase());
            self.add(&counted.month, case, name, sign * units);
        }
    }

    /// The actions that change the counters.
    pub(crate) fn actions(self, tenant: &Tenant) -> impl Iterator<Item = Action> {
        self.0.into_iter().filter_map(move |((month, bucket), mut counters)| {
            counters.retain(|_, by| *by != 0);
            if counters.is_empty() {
                return None;
            }
            let adds: Vec<String> =
                counters.keys().zip(NAMES).map(|(counter, name)| format!("{counter} {name}")).collect();
            let values = counters.values().zip(NAMES).map(|(by, name)| (name, number(*by)));
            Some(Action::Update {
                key: keyspace::statistics(tenant, &month, bucket),
                update: Change {
                    expression: format!("SET kind = :kind ADD {}", adds.join(", ")),
                    values: values.chain([(":kind", text(Kind::Statistics.name()))]).collect(),
                },
                condition: None,
            })
        })
    }
}

/// The calendar month in UTC, `YYYY-MM`.
pub(crate) fn month(time: Timestamp) -> String {
    let mut text = time.day();
    text.truncate(7);
    text
}

/// The months from the one of `from` back, the latest first.
pub(crate) fn months_back(from: Timestamp) -> impl Iterator<Item = String> {
    let mut time = from;
    std::iter::repeat_with(move || {
        let this = month(time);
        let first = Timestamp::parse_rfc3339(&format!("{this}-01T00:00:00Z")).unwrap_or(time);
        time = first - DAY;
        this
    })
}

impl Store {
    /// What the last `months` months came to, the latest first; a month without cases has zeros.
    pub async fn statistics(
        &self,
        installation: &Installation,
        months: usize,
    ) -> Result<Vec<MonthlyStatistics>> {
        let tenant = &installation.tenant;
        let wanted: Vec<String> = months_back(self.now()).take(months).collect();
        let keys: Vec<Key> = wanted
            .iter()
            .flat_map(|month| {
                (0..keyspace::BUCKETS).map(move |bucket| keyspace::statistics(tenant, month, bucket))
            })
            .collect();
        let mut all: BTreeMap<String, MonthlyStatistics> = wanted
            .iter()
            .map(|month| {
                (month.clone(), MonthlyStatistics { month: month.clone(), ..MonthlyStatistics::default() })
            })
            .collect();
        for stored in self.batch_get(Table::Data, &keys, Expired::Gone).await? {
            let Some(sum) = all.get_mut(stored.text("sk")?) else { continue };
            let count = |name: &str| stored.optional_number(name).unwrap_or_default();
            sum.opened += count("opened_cases");
            sum.confirmed += count("confirmed_cases");
            sum.dismissed += count("dismissed_cases");
            for name in stored.0.keys() {
                if let Some(currency) = name.strip_prefix(SAVED) {
                    *sum.saved.entry(currency.to_ascii_uppercase()).or_default() += count(name);
                }
            }
        }
        let mut all: Vec<MonthlyStatistics> = all.into_values().rev().collect();
        // What was taken back to the last is nothing.
        for month in &mut all {
            month.saved.retain(|_, units| *units != 0);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_go_back_without_a_gap() {
        let from = Timestamp::parse_rfc3339("2026-03-31T23:59:59Z").unwrap();
        let months: Vec<String> = months_back(from).take(5).collect();
        assert_eq!(months, ["2026-03", "2026-02", "2026-01", "2025-12", "2025-11"]);
    }
}
