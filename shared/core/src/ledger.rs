//! The arithmetic of the ledger: what an entry hashes to and the Merkle root of a day's entries.
//! Where entries are kept and who signs the roots is the store's and the operator's.

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
            sha256(&[&[1], &root(left), &root(right)])
        }
    }
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

    proptest! {
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
