//! One line in the log for each request to the database (promise DG61): which operation, on which kinds of which shop, for
//! whom and from which hashed address, how long, whether it was answered. Names are blinded; keys and values never stand
//! in it.

use std::collections::BTreeSet;

use storeward_core::data_map::{Kind, Table};
use storeward_core::time::Timestamp;

use crate::acting::{Acting, By, actor};
use crate::store::{Action, Store};

/// What is accessed, before it is: each request for it is a line of its own.
pub(crate) struct Access<'a> {
    store: &'a Store,
    operation: &'static str,
    table: &'static str,
    kinds: String,
    shop: String,
}

/// A request under way. Its line is written when it is over, however it ends: one that was never answered may have been
/// carried out.
pub(crate) struct Line<'a> {
    access: &'a Access<'a>,
    who: Acting,
    began: Timestamp,
    answered: Option<usize>,
}

const fn name(table: Table) -> &'static str {
    match table {
        Table::Data => "data",
        Table::Keys => "keys",
        Table::Ledger => "ledger",
    }
}

/// The first blinded shop in a partition's name; due rows and lists are nobody's.
fn shop_of(partition: &str) -> &str {
    let is_shop = |part: &&str| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    partition.split('#').find(is_shop).unwrap_or("none")
}

/// The kind that a partition's name says: the first known word in it.
fn kind_of(partition: &str) -> &str {
    let known = |part: &&str| Kind::ALL.iter().any(|kind| kind.name() == *part);
    partition.split('#').find(known).unwrap_or("other")
}

impl<'a> Access<'a> {
    pub(crate) fn read(store: &'a Store, operation: &'static str, table: Table, partition: &str) -> Self {
        let (kinds, shop) = (kind_of(partition).to_owned(), shop_of(partition).to_owned());
        Self { store, operation, table: name(table), kinds, shop }
    }

    pub(crate) fn write(store: &'a Store, operation: &'static str, actions: &[Action]) -> Self {
        let keys: Vec<_> = actions.iter().map(Action::key).collect();
        let words = |words: BTreeSet<&'static str>| words.into_iter().collect::<Vec<_>>().join(",");
        let shop = keys.iter().map(|key| shop_of(&key.pk)).find(|shop| *shop != "none").unwrap_or("none");
        let (kinds, shop) = (words(keys.iter().map(|key| key.kind.name()).collect()), shop.to_owned());
        let mut tables: Vec<&'static str> = keys.iter().map(|key| name(key.table())).collect();
        tables.dedup();
        let table = if let [table] = tables.as_slice() { table } else { "several" };
        Self { store, operation, table, kinds, shop }
    }

    /// A request begins, in the name of whoever acts now.
    pub(crate) fn begin(&self) -> Line<'_> {
        let nobody = |_| Acting::new(By::system("front"), None);
        let who = actor(self.store.standing.as_ref()).unwrap_or_else(nobody);
        Line { access: self, who, began: self.store.now(), answered: None }
    }
}

impl Line<'_> {
    /// It was answered: `items` were read or written.
    pub(crate) fn done(mut self, items: usize) {
        self.answered = Some(items);
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let Access { store, operation, table, kinds, shop } = self.access;
        let milliseconds = store.now().since(self.began).as_millis();
        tracing::info!(
            target: "database",
            operation,
            table,
            kinds,
            shop,
            by = ?self.who.by,
            ip = self.who.ip.as_deref().unwrap_or("none"),
            request = self.who.request.as_deref().unwrap_or_default(),
            answered = self.answered.is_some(),
            items = self.answered.unwrap_or_default(),
            milliseconds,
            "accessed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_shop_and_kind_and_nothing_of_the_key_beyond() {
        let (shop, blind) = ("0123456789abcdef0123456789abcdef", "f".repeat(32));
        let subject = format!("{shop}#17#subject#1#email#{blind}");
        assert_eq!((shop_of(&subject), kind_of(&subject)), (shop, "subject"));
        assert_eq!((shop_of("due#0000000001#07"), kind_of("due#0000000001#07")), ("none", "due"));
        assert_eq!(kind_of("shops#03"), "other");
    }
}
