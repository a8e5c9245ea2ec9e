//! Trying a setting: which orders of a list would have been taken for duplicates of each other. Each order is judged as it
//! would have been when it came, by the very judgement that decides on new orders; nothing is stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::guard::GuardSettings;
use crate::matching::{self, KEY_CAP, MatchKey, Reason, Rows, Seen, Side};

/// The clusters that orders, the earliest first, would have made under `settings`: places in `orders` with on what they
/// agree, each of two orders or more. `excepted` says of two places that the merchant excepted them from being flagged.
#[must_use]
pub fn clusters(
    orders: &[Side],
    settings: &GuardSettings,
    excepted: impl Fn(usize, usize) -> bool,
) -> Vec<Cluster> {
    if !settings.enabled {
        return Vec::new();
    }
    let mut before: BTreeMap<&MatchKey, Vec<usize>> = BTreeMap::new();
    let mut joined = Joined::new(orders.len());
    let mut agreed: Vec<(usize, BTreeSet<Reason>)> = Vec::new();
    for (place, order) in orders.iter().enumerate() {
        let since = order.created_at - settings.window();
        let mut seen = Seen::new();
        let mut candidates: BTreeSet<usize> = BTreeSet::new();
        for key in order.features.keys() {
            let under = before.entry(key).or_default();
            let inside =
                under.iter().rev().copied().take_while(|earlier| orders[*earlier].created_at >= since);
            let found: Vec<usize> = inside.take(KEY_CAP + 1).collect();
            // The order itself stands under its keys too.
            seen.add(key.clone(), Rows { count: found.len() + 1, more: found.len() > KEY_CAP });
            candidates.extend(found);
            under.push(place);
        }
        for earlier in candidates {
            let verdict = matching::judge(order, &orders[earlier], &seen, settings);
            if verdict.is_duplicate && !excepted(earlier, place) {
                joined.join(earlier, place);
                agreed.push((place, verdict.explanation.reasons().into_iter().collect()));
            }
        }
    }
    let mut clusters: BTreeMap<usize, Cluster> = BTreeMap::new();
    for (place, reasons) in agreed {
        clusters.entry(joined.root(place)).or_default().reasons.extend(reasons);
    }
    for place in 0..orders.len() {
        let root = joined.root(place);
        if let Some(cluster) = clusters.get_mut(&root) {
            cluster.places.push(place);
        }
    }
    clusters.into_values().collect()
}

/// Orders that would be one case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The orders' places in the list.
    pub places: Vec<usize>,
    /// Everything any of them agree on.
    pub reasons: BTreeSet<Reason>,
}

/// Which places belong together.
struct Joined(Vec<usize>);

impl Joined {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&self, mut place: usize) -> usize {
        while self.0[place] != place {
            place = self.0[place];
        }
        place
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller stays: chains stay short enough for a few hundred orders.
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matching::CartSignature;
    use crate::order::Order;

    fn order(id: u64, minutes: u64, email: &str) -> Side {
        let placed = crate::time::Timestamp(1_790_000_000_000 + i64::try_from(minutes * 60_000).unwrap());
        let order: Order = serde_json::from_value(serde_json::json!({
            "id": id, "created_at": placed.to_rfc3339(), "total_price": "10.00", "currency": "EUR", "email": email,
        }))
        .unwrap();
        Side::of(&order, CartSignature::default())
    }

    fn with(window_minutes: u32) -> GuardSettings {
        GuardSettings { window_minutes, ..GuardSettings::default() }
    }

    #[test]
    fn a_wider_window_finds_more_and_off_finds_nothing() {
        let orders = [
            order(1, 0, "first@example.com"),
            order(4, 1, "other@example.com"),
            order(2, 4, "first@example.com"),
            order(3, 20, "first@example.com"),
        ];
        let places = |settings: &GuardSettings| -> Vec<Vec<usize>> {
            clusters(&orders, settings, |_, _| false).into_iter().map(|cluster| cluster.places).collect()
        };
        assert_eq!(places(&with(5)), [vec![0, 2]]);
        assert_eq!(places(&with(120)), [vec![0, 2, 3]]);
        assert_eq!(places(&GuardSettings { enabled: false, ..with(120) }), Vec::<Vec<usize>>::new());
        assert_eq!(clusters(&orders, &with(120), |_, _| true), []);
    }

    proptest! {
        #[test]
        fn what_is_judged_to_be_one_is_in_one_cluster_and_no_order_is_in_two(
            minutes in prop::collection::vec((0u64..300, 0u8..4), 0..20),
            window in 5u32..200,
        ) {
            let mut placed = minutes;
            placed.sort_unstable();
            let orders: Vec<Side> = (1..)
                .zip(&placed)
                .map(|(id, (minutes, who))| order(id, *minutes, &format!("customer{who}@example.com")))
                .collect();
            let found = clusters(&orders, &with(window), |_, _| false);
            let mut all: Vec<usize> = found.iter().flat_map(|cluster| cluster.places.clone()).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count);
            prop_assert!(found.iter().all(|cluster| cluster.places.len() > 1));
            // The fullest a key can have been: what is one even so is one in the replay.
            let mut seen = Seen::new();
            for key in orders.iter().flat_map(|order| order.features.keys()) {
                seen.add(key.clone(), Rows { count: orders.len(), more: false });
            }
            for a in 0..orders.len() {
                for b in a + 1..orders.len() {
                    if matching::judge(&orders[a], &orders[b], &seen, &with(window)).is_duplicate {
                        let together = |cluster: &Cluster| cluster.places.contains(&a) && cluster.places.contains(&b);
                        prop_assert!(found.iter().any(together));
                    }
                }
            }
        }
    }
}
