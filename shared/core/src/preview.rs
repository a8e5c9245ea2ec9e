//! Trying a setting: which orders of a list would be taken for duplicates of each other. The very comparison that
//! decides on new orders, over orders that are known already; nothing is stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::guard::GuardSettings;
use crate::matching::{self, KEY_CAP, KeyKind, MatchKey, Reason};
use crate::order::Order;

/// The clusters that orders would make under `settings`: places in `orders` with on what they agree, each of two orders
/// or more. `excepted` says of two places that the merchant excepted them from being flagged.
#[must_use]
pub fn clusters(
    orders: &[Order],
    settings: &GuardSettings,
    excepted: impl Fn(usize, usize) -> bool,
) -> Vec<Cluster> {
    if !settings.enabled {
        return Vec::new();
    }
    let mut by_key: BTreeMap<MatchKey, Vec<usize>> = BTreeMap::new();
    for (place, order) in orders.iter().enumerate() {
        for key in matching::keys(order) {
            by_key.entry(key).or_default().push(place);
        }
    }
    let mut pairs: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for (key, places) in &by_key {
        // As for a new order: so many orders at one address say nothing about any two of them, and of other keys the
        // newest count.
        let saturated = places.len() > KEY_CAP + 1;
        let address = key.kind == KeyKind::Address;
        for (nth, &a) in places.iter().enumerate() {
            let near = places[nth + 1..].iter().take(KEY_CAP);
            for &b in near {
                let flag = pairs.entry((a.min(b), a.max(b))).or_insert(false);
                *flag |= saturated && address;
            }
        }
    }
    let mut joined = Joined::new(orders.len());
    let mut agreed: Vec<(usize, Vec<Reason>)> = Vec::new();
    for ((a, b), address_saturated) in pairs {
        if let Some(reasons) = judged(&orders[a], &orders[b], settings, address_saturated)
            && !excepted(a, b)
        {
            joined.join(a, b);
            agreed.push((a, reasons));
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

/// Whether two orders are taken for one under `settings`: the one place where a preview asks the matching.
fn judged(a: &Order, b: &Order, settings: &GuardSettings, address_saturated: bool) -> Option<Vec<Reason>> {
    matching::compare(a, b, settings.window(), address_saturated)
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

    fn order(id: u64, minutes: u64, email: &str) -> Order {
        let placed = crate::time::Timestamp(1_790_000_000_000 + i64::try_from(minutes * 60_000).unwrap());
        serde_json::from_value(serde_json::json!({
            "id": id, "created_at": placed.to_rfc3339(), "total_price": null, "email": email,
        }))
        .unwrap()
    }

    fn with(window_minutes: u32) -> GuardSettings {
        GuardSettings { window_minutes, ..GuardSettings::default() }
    }

    #[test]
    fn a_wider_window_finds_more_and_off_finds_nothing() {
        let orders = [
            order(1, 0, "a@example.com"),
            order(2, 4, "a@example.com"),
            order(3, 100, "a@example.com"),
            order(4, 1, "b@example.com"),
        ];
        let places = |settings: &GuardSettings| -> Vec<Vec<usize>> {
            clusters(&orders, settings, |_, _| false).into_iter().map(|cluster| cluster.places).collect()
        };
        assert_eq!(places(&with(5)), [vec![0, 1]]);
        assert_eq!(places(&with(120)), [vec![0, 1, 2]]);
        assert_eq!(places(&GuardSettings { enabled: false, ..with(120) }), Vec::<Vec<usize>>::new());
        assert_eq!(clusters(&orders, &with(120), |_, _| true), []);
    }

    proptest! {
        #[test]
        fn every_pair_that_agrees_is_in_one_cluster_and_no_order_is_in_two(
            minutes in prop::collection::vec((0u64..300, 0u8..4), 0..20),
            window in 5u32..200,
        ) {
            let orders: Vec<Order> = (1..)
                .zip(&minutes)
                .map(|(id, (minutes, who))| order(id, *minutes, &format!("{who}@example.com")))
                .collect();
            let found = clusters(&orders, &with(window), |_, _| false);
            let mut all: Vec<usize> = found.iter().flat_map(|cluster| cluster.places.clone()).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count);
            prop_assert!(found.iter().all(|cluster| cluster.places.len() > 1));
            for a in 0..orders.len() {
                for b in a + 1..orders.len() {
                    if matching::compare(&orders[a], &orders[b], with(window).window(), false).is_some() {
                        let together = |cluster: &Cluster| cluster.places.contains(&a) && cluster.places.contains(&b);
                        prop_assert!(found.iter().any(together));
                    }
                }
            }
        }
    }
}
