//! Who wants the use of their data limited, or used again: what they ask for, and what follows from it for whatever names
//! them. What is done with mail and orders is the models'.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use storeward_core::normalize::Identifier;
use storeward_core::rights::RightsKind;
use storeward_core::time::Timestamp;

use super::people;
use super::world::World;
use crate::bench::sample;

/// How often somebody tries to enter a wish.
const TRIES_OF_STAFF: usize = 4;

/// A wish, and how far it has come.
struct Wished {
    person: usize,
    /// By what it names the person: each time by the same.
    by: Vec<Identifier>,
    /// A limit on the use of their data, or that it be lifted.
    wish: RightsKind,
    /// Its request's name; none where the answer was lost, and nobody knows whether it counts.
    request: Option<String>,
    /// When it was first seen carried out.
    done: Option<Timestamp>,
    tried: Timestamp,
}

/// The wishes in one installation, in their order.
#[derive(Default)]
pub(super) struct Wishes(Vec<Wished>);

impl Wishes {
    /// The wishes of those whom something names.
    fn about<'a>(&'a self, names: &'a [Identifier]) -> impl Iterator<Item = &'a Wished> {
        self.0.iter().filter(|wished| wished.by.iter().any(|identifier| names.contains(identifier)))
    }

    /// Whether somebody whom it names ever wanted its use limited.
    pub(super) fn ever_limited(&self, names: &[Identifier]) -> bool {
        self.about(names).any(|wished| puts_on(wished.wish))
    }

    /// Whether the use of what names somebody may be limited now.
    pub(super) fn may_limit(&self, names: &[Identifier]) -> bool {
        let mut limiting = BTreeSet::new();
        for wished in self.about(names) {
            match wished.wish {
                // What came while somebody did not want it is not fetched afterwards.
                RightsKind::Objection => return true,
                wish if !puts_on(wish) && wished.done.is_some() => _ = limiting.remove(&wished.person),
                _ => _ = limiting.insert(wished.person),
            }
        }
        !limiting.is_empty()
    }

    /// Whether the use of what names somebody surely was limited then. The clock stands still while jobs work: of two
    /// things that have one time nobody knows which was first.
    pub(super) fn limited(&self, names: &[Identifier], at: Timestamp) -> bool {
        let mut limiting = BTreeSet::new();
        for wished in self.about(names) {
            if !puts_on(wished.wish) && wished.tried <= at {
                limiting.remove(&wished.person);
            }
            if puts_on(wished.wish) && wished.done.is_some_and(|done| done < at) {
                limiting.insert(wished.person);
            }
        }
        !limiting.is_empty()
    }

    /// What somebody can wish next; nothing while it is open what became of the last wish.
    fn next(&self, person: usize, objects: bool) -> Option<RightsKind> {
        let mut last = None;
        for wished in self.0.iter().filter(|wished| wished.person == person) {
            wished.done?;
            last = Some(wished.wish);
        }
        Some(match last {
            Some(RightsKind::Restriction) => RightsKind::LiftRestriction,
            Some(RightsKind::Objection) => RightsKind::LiftObjection,
            _ if objects => RightsKind::Objection,
            _ => RightsKind::Restriction,
        })
    }

    /// How many limits were surely put on, and how many lifted.
    pub(super) fn done(&self) -> [usize; 2] {
        let done = |put_on| {
            self.0.iter().filter(|wished| puts_on(wished.wish) == put_on && wished.done.is_some()).count()
        };
        [done(true), done(false)]
    }
}

/// Whether a wish is that the use of data be limited.
fn puts_on(wish: RightsKind) -> bool {
    wish.limit().is_some_and(|(_, put_on)| put_on)
}

impl World {
    /// Whoever limited the use of their data last, and did not lift that.
    pub(super) fn who_limits(&self, shop: usize) -> Option<usize> {
        let last = self.shops[shop].lives.last()?.wishes.0.last()?;
        (puts_on(last.wish) && last.done.is_some()).then_some(last.person)
    }

    /// Somebody wants the use of their data limited, or lets it be used again; the merchant enters it.
    pub(super) async fn limit(&mut self, shop: usize) {
        let life = self.shops[shop].lives.last().unwrap();
        let (tenant, ends, limits) = (life.tenant.clone(), life.uninstall_tried, self.who_limits(shop));
        let last = self.shops[shop].orders.last().map(|(_, person)| *person);
        let customer = last.filter(|_| !self.of_mail() && self.dice.chance(60));
        let somebody = customer.unwrap_or_else(|| self.asking(shop));
        let person = limits.filter(|_| self.dice.chance(60)).unwrap_or(somebody);
        let (objects, now) = (self.dice.chance(25), self.now());
        if ends {
            return;
        }
        let life = self.shops[shop].lives.last().unwrap();
        let Some(wish) = life.wishes.next(person, objects) else { return };
        let (who, by) = people::limits_by(person);
        let mut body = json!({ "kind": wish.name() });
        body.as_object_mut().unwrap().extend(who);
        let mut event = sample("api/requests/open");
        event["body"] = json!(body.to_string());
        event["headers"]["idempotency-key"] = json!(format!("wish-{}", self.id()));
        let mut request = None;
        for _ in 0..TRIES_OF_STAFF {
            let Some(answer) = self.call_as_owner(event.clone(), shop, "api/requests", wish.name()).await
            else {
                continue;
            };
            let status = answer["statusCode"].as_u64().unwrap();
            assert!(status == 202 || status >= 500, "a wish was not taken: {answer}");
            if status == 202 {
                let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
                request = Some(body["id"].as_str().unwrap().to_owned());
                break;
            }
        }
        let life = self.shops[shop].lives.iter_mut().find(|life| life.tenant == tenant).unwrap();
        life.wishes.0.push(Wished { person, by, wish, request, done: None, tried: now });
        // "Erase me, and never store me again": which of the two is carried out first nobody knows.
        if puts_on(wish) && self.dice.chance(20) {
            self.redaction_of(shop, person);
        }
    }

    /// Remembers which wishes are carried out by now, as the raw table says.
    pub(super) fn carried_out(&mut self, items: &[&Value]) {
        let now = self.now();
        for life in self.shops.iter_mut().flat_map(|shop| &mut shop.lives) {
            for wished in &mut life.wishes.0 {
                let Some(id) = wished.request.as_ref().filter(|_| wished.done.is_none()) else { continue };
                let is_it = |item: &&&Value| item["kind"]["S"] == "request" && item["sk"]["S"] == **id;
                let phase = items.iter().find(is_it).map(|item| &item["phase"]["S"]);
                if phase.is_some_and(|phase| phase == "done") {
                    wished.done = Some(now);
                }
                // Not even with the person.
                let dropped = puts_on(wished.wish) && phase.is_some_and(|phase| phase == "refused");
                assert!(!dropped, "a {} was dropped: {id}", wished.wish.name());
            }
        }
    }
}
