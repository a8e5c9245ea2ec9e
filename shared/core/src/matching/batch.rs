//! The same comparison over a whole list at once, without times: how matching is measured on data with known
//! answers. The keys, the weights and the threshold are those of the check.

use std::collections::{BTreeMap, BTreeSet};

use super::features::Features;
use super::keys::MatchKey;
use super::person::{PERSON_THRESHOLD, same_person};
use super::seen::{Rows, Seen};

/// How many of a list stand under one key at most to be compared with each other. Larger than the check's cap: a
/// list has no window that would part them.
pub const BATCH_CAP: usize = 100;

/// How sure two pairs must be for what they have in common to make a third: as a case is a cluster.
const CONFIDENT: f64 = PERSON_THRESHOLD + 2.0;

/// Two of a list that are taken for one person's, and how sure that is: for a pair that only others connect, as
/// sure as its weakest link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The earlier one's place in the list.
    pub a: usize,
    /// The later one's.
    pub b: usize,
    /// The weight, in bits.
    pub weight: f64,
}

/// What was found in a list, and what it took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The pairs that are taken for one person's, ordered by place.
    pub pairs: Vec<Pair>,
    /// How many keys all of the list have together: the rows the store would write.
    pub rows: usize,
    /// How many pairs were compared.
    pub comparisons: usize,
}

/// The pairs of a list that are taken for one person's.
#[must_use]
pub fn pairs(list: &[Features]) -> Batch {
    let mut under: BTreeMap<&MatchKey, Vec<usize>> = BTreeMap::new();
    for (place, features) in list.iter().enumerate() {
        for key in features.keys() {
            under.entry(key).or_default().push(place);
        }
    }
    let mut seen = Seen::new();
    let mut candidates = BTreeSet::new();
    for (key, places) in under {
        let more = places.len() > BATCH_CAP;
        seen.add(key.clone(), Rows { count: places.len(), more });
        if !more {
            for (at, a) in places.iter().enumerate() {
                candidates.extend(places.iter().skip(at + 1).map(|b| (*a, *b)));
            }
        }
    }
    let (rows, comparisons) = (list.iter().map(|features| features.keys().len()).sum(), candidates.len());
    let mut links: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for (a, b) in candidates {
        if let (Some(of_a), Some(of_b)) = (list.get(a), list.get(b)) {
            let found = same_person(of_a, of_b, &seen);
            if found.is_same() {
                links.insert((a, b), found.weight);
            }
        }
    }
    close(&mut links);
    let pairs = links.into_iter().map(|((a, b), weight)| Pair { a, b, weight }).collect();
    Batch { pairs, rows, comparisons }
}

/// Adds the pairs that confident ones connect. Links join clusters strongest first, so that a pair's weight is that
/// of the weakest link on its best path.
fn close(links: &mut BTreeMap<(usize, usize), f64>) {
    let mut sure: Vec<((usize, usize), f64)> = links
        .iter()
        .map(|(pair, weight)| (*pair, *weight))
        .filter(|(_, weight)| *weight >= CONFIDENT)
        .collect();
    sure.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut cluster_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut clusters: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for ((a, b), weight) in sure {
        let (of_a, of_b) = (*cluster_of.entry(a).or_insert(a), *cluster_of.entry(b).or_insert(b));
        if of_a == of_b {
            continue;
        }
        let mut left = clusters.remove(&of_a).unwrap_or_else(|| vec![of_a]);
        let right = clusters.remove(&of_b).unwrap_or_else(|| vec![of_b]);
        for x in &left {
            for y in &right {
                links.entry((*x.min(y), *x.max(y))).or_insert(weight);
            }
        }
        for moved in &right {
            cluster_of.insert(*moved, of_a);
        }
        left.extend(right);
        clusters.insert(of_a, left);
    }
}
