//! The arithmetic of the ledger: what an entry hashes to and the Merkle root of a day's entries.
//! Where entries are kept and who signs the roots is the store's and the operator's.

pub mod seal;

use ring::digest::{SHA256, digest};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = ring::digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn digest_of(bytes: &[u8]) -> Hash {
    sha256(&[bytes])
}

/// The hash of one entry's canonical bytes, set apart from the hash of a node as in RFC 6962, section 2.1.
#[must_use]
pub fn leaf(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The Merkle tree hash of leaves in their order (RFC 6962, section 2.1): changing, dropping or reordering one
/// changes it.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => {
            let mut empty = [0; 32];
            empty.copy_from_slice(digest(&SHA256, b"").as_ref());
            empty
        }
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            node(&root(left), &root(right))
        }
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The path from one leaf to the root (RFC 9162, section 2.1.3.1): by it a single receipt is checked without the other
/// entries of its day. `None` when there is no such leaf.
#[must_use]
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (inclusion(left, index)?, root(right))
    } else {
        (inclusion(right, index - left.len())?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// Whether `path` leads from the leaf at `index` of `size` to `root` (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn is_included(leaf: &Hash, index: usize, size: usize, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            hash = node(sibling, &hash);
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && hash == *root
}

/// The root of a day, chained to the day before, so that a whole day cannot be exchanged.
#[must_use]
pub fn chained(previous: &Hash, day: &str, root: &Hash) -> Hash {
    sha256(&[&[2], previous, day.as_bytes(), root])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn roots_are_those_of_rfc_6962() {
        // Known values of Certificate Transparency implementations for the tree over these leaves.
        assert_eq!(
            hex::encode(root(&[])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex::encode(root(&[leaf(b"")])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex::encode(root(&[leaf(b""), leaf(&[0])])),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn a_days_root_is_chained_to_the_day_before_and_to_its_date() {
        let (previous, today) = (root(&[leaf(b"a")]), root(&[leaf(b"b")]));
        let chain = chained(&previous, "2026-11-01", &today);
        // SHA-256 of the byte 2, the chain of the day before, the date and the root, one after the other.
        let mut bytes = vec![2];
        bytes.extend_from_slice(&previous);
        bytes.extend_from_slice(b"2026-11-01");
        bytes.extend_from_slice(&today);
        assert_eq!(chain.as_slice(), digest(&SHA256, &bytes).as_ref());
        for other in [
            chained(&today, "2026-11-01", &today),
            chained(&previous, "2026-11-02", &today),
            chained(&previous, "2026-11-01", &previous),
        ] {
            assert_ne!(other, chain);
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path() {
        // All shapes up to four levels: which step of a check is wrong shows in few of them.
        for size in 1..=16_usize {
            let leaves: Vec<Hash> = (0..size).map(|number| leaf(&number.to_be_bytes())).collect();
            for (at, one) in leaves.iter().enumerate() {
                let path = inclusion(&leaves, at).unwrap();
                assert!(is_included(one, at, size, &path, &root(&leaves)), "{at} of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_path_leads_from_its_leaf_to_its_root_and_from_nowhere_else(
            size in 1usize..40, at in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
        ) {
            let leaves: Vec<Hash> = (0..size).map(|number| leaf(&number.to_be_bytes())).collect();
            let at = at.index(size);
            let path = inclusion(&leaves, at).unwrap();
            let root = root(&leaves);
            prop_assert!(is_included(&leaves[at], at, size, &path, &root));
            for other in (0..size).filter(|other| *other != at) {
                prop_assert!(!is_included(&leaves[at], other, size, &path, &root));
                prop_assert!(!is_included(&leaves[other], at, size, &path, &root));
            }
            prop_assert!(!is_included(&leaves[at], at, size, &[&path[..], &[[0; 32]]].concat(), &root));
            if !path.is_empty() {
                let mut wrong = path.clone();
                wrong[bit.index(path.len())][0] ^= 1;
                prop_assert!(!is_included(&leaves[at], at, size, &wrong, &root));
                prop_assert!(!is_included(&leaves[at], at, size, &path[1..], &root));
            }
            prop_assert_eq!(inclusion(&leaves, size), None);
        }

        #[test]
        fn any_change_changes_the_root(
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 2..20),
            at in any::<prop::sample::Index>(),
        ) {
            let leaves: Vec<Hash> = entries.iter().map(|entry| leaf(entry)).collect();
            let at = at.index(leaves.len());
            let mut altered = leaves.clone();
            altered[at][0] ^= 1;
            prop_assert_ne!(root(&altered), root(&leaves));
            let mut shorter = leaves.clone();
            shorter.remove(at);
            prop_assert_ne!(root(&shorter), root(&leaves));
            let mut swapped = leaves.clone();
            swapped.swap(0, at);
            prop_assert_eq!(root(&swapped) == root(&leaves), swapped == leaves);
        }
    }
}
