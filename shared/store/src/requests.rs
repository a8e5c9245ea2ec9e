//! The life of a rights request: opened in one of three ways, proven where nobody vouches for who asks, watched over until
//! it is finished, listed. Carrying it out is the erasure's, the export's and the rectification's; they end it in the
//! transaction in which they end their own work, under the same name.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storeward_core::data_map::{Kind, Purpose, Table};
use storeward_core::limits::Limit;
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;
use storeward_core::rights::{
    self, Corrections, Look, OpenedBy, PROOF_TRIES, Person, Refusal, RightsKind, RightsState, Warning,
};
use storeward_core::shop::Tenant;
use storeward_core::time::Timestamp;

use crate::accept::{Acceptance, Delivery, RESEND_AFTER, Work};
use crate::due::{self, DueRow};
use crate::erasing::Target;
use crate::erasure::{self, Wanted};
use crate::error::{Result, StoreError};
use crate::item::{Item, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::orders::{lengthen, shorten};
use crate::purge;
use crate::store::{Action, Change, Condition, Query, Store, Unrecorded};
use crate::tenants::Installation;

/// How often a step is tried while others change the same request.
const ATTEMPTS: usize = 4;

/// A rights request as a merchant follows it: nothing of whom it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name in the store.
    pub reference: RecordRef,
    /// What was asked for.
    pub kind: RightsKind,
    /// Who opened it.
    pub by: OpenedBy,
    /// Where it stands.
    pub state: RightsState,
    /// When it came.
    pub received_at: Timestamp,
    /// When it was carried out or refused.
    pub finished_at: Option<Timestamp>,
    /// Why it was refused.
    pub because: Option<Refusal>,
    /// How many records it changed or found, by kind.
    pub counts: BTreeMap<String, u64>,
    /// The last warning that the merchant was sent.
    pub mailed: u32,
    fingerprint: Option<String>,
    look_at: Option<Timestamp>,
    phase: String,
    rows: Vec<(String, String)>,
}

impl Asked {
    /// By when it is to be answered.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        rights::due_at(self.received_at)
    }

    /// What its deadline comes to at `now`, for whoever looks at it.
    #[must_use]
    pub fn warning(&self, now: Timestamp) -> Option<Warning> {
        if self.state == RightsState::Proving {
            return None;
        }
        rights::look(self.received_at, self.state, now).warning
    }

    /// Whether it was opened with these very words: whoever repeats a request under the same name asks the same.
    #[must_use]
    pub fn is_same(&self, installation: &Installation, asking: &Asking) -> bool {
        self.fingerprint.as_ref().is_none_or(|known| *known == asking.fingerprint(installation))
    }
}

/// What is asked for, for whom.
#[derive(Clone, Debug)]
pub struct Asking {
    /// What.
    pub kind: RightsKind,
    /// Who opens it.
    pub by: OpenedBy,
    /// For whom.
    pub person: Person,
    /// What is right, for a rectification.
    pub corrections: Corrections,
}

impl Asking {
    fn fingerprint(&self, installation: &Installation) -> String {
        let Person { customer, email, phone } = &self.person;
        let text = |value: &Option<Personal<String>>| value.as_ref().map(|value| value.expose().clone());
        let parts = [
            Some(self.kind.name().to_owned()),
            customer.as_ref().map(|id| id.expose().to_string()),
            text(email),
            text(phone),
            text(&self.corrections.email),
            text(&self.corrections.phone),
        ];
        // Written as JSON: no value can be taken for two.
        let words = zeroize::Zeroizing::new(serde_json::to_string(&parts).unwrap_or_default());
        installation.keys.blind(Purpose::Rights, "asking", &words)
    }
}

/// The sealed half of a request that waits for its proof, or that is carried out by itself: whom it is about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SealedAsking {
    #[serde(flatten)]
    pub(crate) wanted: Wanted,
    #[serde(default)]
    pub(crate) corrections: Corrections,
}

/// How a code was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It was right: the request is taken in, and this is to be sent.
    Given(Work),
    /// It was given before.
    GivenBefore,
    /// It was wrong.
    Wrong,
    /// It was wrong for the last time, too late, or there is nothing to prove.
    Over,
}

/// Whom a code is to be sent to.
#[derive(Debug)]
pub struct ProofMail {
    /// The address that the shop stores something under.
    pub to: Personal<String>,
    /// The six digits.
    pub code: Personal<String>,
    /// Until when they count.
    pub until: Timestamp,
}

/// The request that an export or a rectification is the work of, and the other way round: they share their id.
pub(crate) fn request_of(errand: &RecordRef) -> RecordRef {
    RecordRef::new(Kind::Request, errand.id().to_owned())
}

/// What carries a request out: the record that a job is given.
pub(crate) fn errand_of(kind: RightsKind, request: &RecordRef) -> RecordRef {
    let errand = match kind {
        RightsKind::Access | RightsKind::Portability => Kind::Export,
        RightsKind::Rectification => Kind::Rectification,
        RightsKind::Erasure
        | RightsKind::Restriction
        | RightsKind::LiftRestriction
        | RightsKind::Objection
        | RightsKind::LiftObjection => Kind::Request,
    };
    RecordRef::new(errand, request.id().to_owned())
}

/// The row that watches over a request's deadline. It belongs to no delivery: it is named by the request.
pub(crate) fn watch_row(tenant: &Tenant, request: &RecordRef, at: Timestamp) -> DueRow {
    let work = Work {
        tenant: tenant.clone(),
        record: request.clone(),
        delivery: RecordRef::new(Kind::Delivery, request.id().to_owned()),
        due_at: at,
        stored: true,
    };
    DueRow::of(&work, due::Action::RequestDue)
}

fn state_of_phase(phase: &str) -> Result<RightsState> {
    Ok(match phase {
        "proving" => RightsState::Proving,
        "open" => RightsState::Received,
        "erased" => RightsState::InWork,
        "ready" => RightsState::Ready,
        "done" => RightsState::Done,
        "refused" => RightsState::Refused,
        _ => return Err(StoreError::Corrupt("a request's state")),
    })
}

pub(crate) fn read(stored: &Stored) -> Result<Asked> {
    let corrupt = StoreError::Corrupt("a request");
    let phase = stored.text("phase")?.to_owned();
    let records = stored.optional_number("records").and_then(|count| u64::try_from(count).ok());
    Ok(Asked {
        reference: RecordRef::new(Kind::Request, stored.text("sk")?.to_owned()),
        kind: RightsKind::by_name(stored.text("rights")?).ok_or_else(|| corrupt.clone())?,
        by: OpenedBy::by_name(stored.text("opened_by")?).ok_or_else(|| corrupt.clone())?,
        state: state_of_phase(&phase)?,
        received_at: stored.time("asked_at")?,
        finished_at: stored.optional_number("finished_at").map(Timestamp),
        because: stored.optional_text("because").and_then(Refusal::by_name),
        counts: erasure::counts_of(stored).chain(records.map(|count| ("record".to_owned(), count))).collect(),
        mailed: stored
            .optional_number("mailed")
            .and_then(|stage| u32::try_from(stage).ok())
            .unwrap_or_default(),
        fingerprint: stored.optional_text("fingerprint").map(str::to_owned),
        look_at: stored.optional_number("look_at").map(Timestamp),
        phase,
        rows: match stored.optional_text("leads") {
            Some(rows) => serde_json::from_str(rows).map_err(|_| corrupt)?,
            None => Vec::new(),
        },
    })
}

/// What a request ends with.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// It was carried out; so many records were found or changed, where its counts are not its own already.
    Done(Option<u64>),
    /// It was not.
    Refused(Refusal),
}

impl Asked {
    /// The index rows that lead to it; none once nobody is to be found by it.
    pub(crate) fn row_keys(&self, tenant: &Tenant) -> impl Iterator<Item = Key> {
        self.rows.iter().filter_map(|row| lengthen(tenant, row))
    }

    /// Everything that goes with it when its installation is purged: its rows, its place in the list and the row
    /// that watches over it.
    pub(crate) fn keys(&self, tenant: &Tenant) -> Vec<Key> {
        self.row_keys(tenant)
            .chain([keyspace::request_index(tenant, self.received_at, &self.reference)])
            .chain(self.look_at.map(|at| watch_row(tenant, &self.reference, at).key()))
            .collect()
    }

    /// The actions that end it, if it stands where it was read; that change is the first. Who it was about is forgotten
    /// with it, and whatever leads to it is gone.
    pub(crate) fn ended(&self, tenant: &Tenant, now: Timestamp, end: End) -> Vec<Action> {
        let mut expression = "SET phase = :next, finished_at = :now".to_owned();
        let mut values = vec![(":now", number(now.millis()))];
        match end {
            End::Done(counted) => {
                values.push((":next", text("done")));
                if let Some(count) = counted {
                    expression.push_str(", records = :records");
                    values.push((":records", number(i64::try_from(count).unwrap_or(i64::MAX))));
                }
            }
            End::Refused(because) => {
                expression.push_str(", because = :because");
                values.extend([(":next", text("refused")), (":because", text(because.name()))]);
            }
        }
        expression.push_str(" REMOVE sealed, leads");
        let key = keyspace::record(tenant, &self.reference);
        let condition = Some(Condition::phase(&self.phase));
        let mut actions = vec![Action::Update { key, update: Change { expression, values }, condition }];
        actions.extend(self.look_at.map(|at| Action::delete(watch_row(tenant, &self.reference, at).key())));
        actions.extend(self.row_keys(tenant).map(Action::delete));
        actions
    }
}

/// A request about to be written, without its sealed half.
pub(crate) struct Opened {
    pub(crate) item: Item,
    /// Its place in the list, the row that watches over it, and the ledger's entry.
    pub(crate) more: Vec<Action>,
}

impl Store {
    /// A request as it is written first.
    pub(crate) fn opened(
        &self,
        tenant: &Tenant,
        reference: &RecordRef,
        kind: RightsKind,
        by: OpenedBy,
        state: RightsState,
    ) -> Result<Opened> {
        let now = self.now();
        let look_at = rights::first_look(now, state);
        let phase = if state == RightsState::Proving { "proving" } else { "open" };
        let item = Item::new(keyspace::record(tenant, reference))
            .set("phase", text(phase))
            .set("rights", text(kind.name()))
            .set("opened_by", text(by.name()))
            .set("asked_at", number(now.millis()))
            .set("received_at", number(now.millis()))
            .set("look_at", number(look_at.millis()))
            .expiring(now);
        let index = Item::new(keyspace::request_index(tenant, now, reference));
        let entry = Entry::new(now, tenant, What::RequestOpened, format!("{} {reference}", kind.name()));
        let more = vec![
            Action::put(index.expiring_with(Kind::Request, now)),
            due::put(&watch_row(tenant, reference, look_at)),
            self.ledger_action(&entry)?,
        ];
        Ok(Opened { item, more })
    }

    /// Prepares a request that a merchant or an operator opens. `name` is what the caller calls it: opened again under the
    /// same name, it is the same. What an operator opens waits for its proof, and its work is not to be sent before.
    pub fn open_request(
        &self,
        installation: &Installation,
        name: &str,
        asking: &Asking,
    ) -> Result<Acceptance> {
        let (tenant, keys) = (&installation.tenant, &installation.keys);
        let reference = asked_ref(installation, asking.by, name);
        let now = self.now();
        let proving = asking.by == OpenedBy::Operator;
        let state = if proving { RightsState::Proving } else { RightsState::Received };
        let opened = self.opened(tenant, &reference, asking.kind, asking.by, state)?;
        let mut item = opened.item.set("fingerprint", text(asking.fingerprint(installation)));
        let mut more = opened.more;
        let errand = errand_of(asking.kind, &reference);
        if proving || asking.kind.limit().is_some() {
            // Found by whoever erases the person meanwhile.
            let rows = Self::rows_to(installation, &reference, now, &asking.person.identifiers());
            item = item.set("leads", text(leads(tenant, &rows)?));
            more.extend(rows.into_iter().map(Action::put));
        }
        if proving || errand.kind() == Kind::Request {
            item = item.sealed(keys, &SealedAsking::of(asking), &*self.entropy)?;
        }
        let delivery = Delivery { webhook_id: caller(asking.by, name), topic: "requests".to_owned() };
        let checks = vec![purge::not_begun(tenant)];
        if errand == reference || proving {
            let acceptance = self.acceptance(installation, &delivery, reference, item, more, checks);
            return Ok(if proving { acceptance.idle() } else { acceptance });
        }
        let (main, rows) = self.errand(installation, &errand, now, &SealedAsking::of(asking))?;
        more.push(Action::Put { item, condition: Some(Condition::ABSENT) });
        more.extend(rows);
        Ok(self.acceptance(installation, &delivery, errand, main, more, checks))
    }

    /// The record of an export or of a rectification that a request asks for, and the rows that lead to it.
    fn errand(
        &self,
        installation: &Installation,
        errand: &RecordRef,
        now: Timestamp,
        asking: &SealedAsking,
    ) -> Result<(Item, Vec<Action>)> {
        match errand.kind() {
            Kind::Export => self.export_item(installation, errand, now, asking.wanted.clone(), None),
            _ => self.rectification_item(installation, errand, now, asking),
        }
    }

    /// A request by its name in the store. Needs no keys.
    pub async fn asked(&self, tenant: &Tenant, reference: &RecordRef) -> Result<Option<Asked>> {
        self.get(&keyspace::record(tenant, reference)).await?.as_ref().map(read).transpose()
    }

    /// The request that was opened under a name.
    pub async fn asked_as(
        &self,
        installation: &Installation,
        by: OpenedBy,
        name: &str,
    ) -> Result<Option<Asked>> {
        self.asked(&installation.tenant, &asked_ref(installation, by, name)).await
    }

    /// The work of a request that is not begun, to be sent again: a message can have been lost.
    #[must_use]
    pub fn work_of(&self, installation: &Installation, asked: &Asked, name: &str) -> Work {
        let marker = keyspace::delivery_ref(&installation.keys, &caller(asked.by, name));
        Work {
            tenant: installation.tenant.clone(),
            record: errand_of(asked.kind, &asked.reference),
            delivery: marker,
            due_at: asked.received_at + RESEND_AFTER,
            stored: true,
        }
    }

    /// Whether anything is stored under an identifier of the person, other than what was asked.
    pub async fn knows_person(&self, installation: &Installation, person: &Person) -> Result<bool> {
        for identifier in person.identifiers() {
            if self.knows(installation, &identifier).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn knows(&self, installation: &Installation, identifier: &Identifier) -> Result<bool> {
        let partition = keyspace::subject_partition(&installation.tenant, &installation.keys, identifier);
        let rows = self.query_all(Query::of(Table::Data, &partition)).await?;
        let asked = |row: &Stored| row.text("sk").is_ok_and(|sort| sort.starts_with(Kind::Request.name()));
        Ok(rows.iter().any(|row| !asked(row)))
    }

    /// Whom to send the code of a request that waits for its proof: nobody, when the shop stores nothing under the address
    /// that was given.
    pub async fn proof_mail(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<ProofMail>> {
        let Some(stored) = self.get(&keyspace::record(&installation.tenant, reference)).await? else {
            return Ok(None);
        };
        let asked = read(&stored)?;
        let until = rights::first_look(asked.received_at, asked.state);
        if asked.state != RightsState::Proving || self.now() >= until {
            return Ok(None);
        }
        let sealed: SealedAsking = stored.unseal(Kind::Request, &installation.keys)?;
        let Some(to) = sealed.wanted.email.as_ref().and_then(|email| normalize::email(email.expose())) else {
            return Ok(None);
        };
        let identifier = Identifier { kind: normalize::IdentifierKind::Email, value: to.clone() };
        if !self.knows(installation, &identifier).await? {
            return Ok(None);
        }
        Ok(Some(ProofMail { to, code: code_of(installation, reference), until }))
    }

    /// Takes a code for a request that waits for its proof.
    pub async fn prove_request(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        code: &str,
    ) -> Result<Proof> {
        let tenant = &installation.tenant;
        let key = keyspace::record(tenant, reference);
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.get(&key).await? else { return Ok(Proof::Over) };
            let asked = read(&stored)?;
            if asked.state != RightsState::Proving {
                let over = asked.state == RightsState::Refused || asked.by != OpenedBy::Operator;
                return Ok(if over { Proof::Over } else { Proof::GivenBefore });
            }
            let now = self.now();
            let tries =
                stored.optional_number("tries").and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
            if now >= rights::first_look(asked.received_at, asked.state) || tries >= PROOF_TRIES {
                return Ok(Proof::Over);
            }
            // Compared as keyed hashes: how long that takes says nothing of the code.
            let hash = |code: &str| installation.keys.blind(Purpose::Rights, "code", code);
            let right = hash(code) == hash(code_of(installation, reference).expose());
            if !right {
                let counted = Action::Update {
                    key: key.clone(),
                    update: Change {
                        expression: "SET tries = :tries".to_owned(),
                        values: vec![(":tries", number(i64::try_from(tries + 1).unwrap_or(i64::MAX)))],
                    },
                    condition: Some(Condition {
                        expression: "phase = :proving AND (attribute_not_exists(tries) OR tries < :tries)",
                        values: vec![(":proving", text("proving"))],
                    }),
                };
                if self.transact_unrecorded(Unrecorded::Bookkeeping, vec![counted]).await?.is_err() {
                    continue;
                }
                return Ok(if tries + 1 < PROOF_TRIES { Proof::Wrong } else { Proof::Over });
            }
            if let Some(work) = self.proven(installation, &stored, &asked).await? {
                return Ok(Proof::Given(work));
            }
        }
        Err(StoreError::Contended("a request"))
    }

    /// Takes in what was proven, with the work that carries it out. `None` when it changed meanwhile.
    async fn proven(
        &self,
        installation: &Installation,
        stored: &Stored,
        asked: &Asked,
    ) -> Result<Option<Work>> {
        let tenant = &installation.tenant;
        let now = self.now();
        let sealed: SealedAsking = stored.unseal(Kind::Request, &installation.keys)?;
        let errand = errand_of(asked.kind, &asked.reference);
        let work = Work {
            tenant: tenant.clone(),
            record: errand.clone(),
            // There is no caller who repeats it: the marker is the proof's own.
            delivery: RecordRef::new(Kind::Delivery, asked.reference.id().to_owned()),
            due_at: now + RESEND_AFTER,
            stored: true,
        };
        let look_at = rights::first_look(asked.received_at, RightsState::Received);
        // What came until the proof is the person's too.
        let mut expression = "SET phase = :open, received_at = :now, look_at = :look_at".to_owned();
        let values = vec![
            (":open", text("open")),
            (":now", number(now.millis())),
            (":look_at", number(look_at.millis())),
        ];
        let stays = errand == asked.reference;
        let keeps_rows = stays && asked.kind != RightsKind::Erasure;
        expression.push_str(match (stays, keeps_rows) {
            (true, true) => "",
            (true, false) => " REMOVE leads",
            _ => " REMOVE leads, sealed",
        });
        let key = keyspace::record(tenant, &asked.reference);
        let entry = Entry::new(now, tenant, What::RequestProven, asked.reference.to_string());
        let mut actions = vec![
            Action::Update {
                key,
                update: Change { expression, values },
                condition: Some(Condition::phase("proving")),
            },
            due::put(&watch_row(tenant, &asked.reference, look_at)),
            due::put(&DueRow::of(&work, due::Action::Resend)),
            self.ledger_action(&entry)?,
            purge::not_begun(tenant),
        ];
        actions.extend(asked.look_at.map(|at| Action::delete(watch_row(tenant, &asked.reference, at).key())));
        if !keeps_rows {
            actions.extend(asked.row_keys(tenant).map(Action::delete));
        }
        if !stays {
            let (item, rows) = self.errand(installation, &errand, now, &sealed)?;
            actions.push(Action::put(item));
            actions.extend(rows);
        }
        Ok(self.transact(actions).await?.is_ok().then_some(work))
    }

    /// Which limit a request puts on (`true`) or lifts, and whose data it is about. `None` when it is finished, or about no
    /// limit.
    pub async fn to_carry_out(
        &self,
        installation: &Installation,
        reference: &RecordRef,
    ) -> Result<Option<(Limit, bool, Vec<Identifier>)>> {
        let Some(stored) = self.get(&keyspace::record(&installation.tenant, reference)).await? else {
            return Ok(None);
        };
        let asked = read(&stored)?;
        let Some((limit, put_on)) = asked.kind.limit().filter(|_| asked.state == RightsState::Received)
        else {
            return Ok(None);
        };
        let sealed: SealedAsking = stored.unseal(Kind::Request, &installation.keys)?;
        Ok(Some((limit, put_on, sealed.wanted.identifiers())))
    }

    /// Ends such a request together with its delivery, when it was carried out on so many orders.
    pub async fn carried_out(&self, installation: &Installation, work: &Work, orders: u64) -> Result<()> {
        let (tenant, now) = (&installation.tenant, self.now());
        let asked = self.asked(tenant, &work.record).await?;
        let Some(asked) = asked.filter(|asked| !asked.state.is_finished()) else {
            return self.complete(work).await;
        };
        let why = format!("{} {}", asked.kind.name(), asked.reference);
        let entry = Entry::new(now, tenant, What::RequestDone, why);
        let mut actions = asked.ended(tenant, now, End::Done(Some(orders)));
        actions.push(self.ledger_action(&entry)?);
        self.end(actions, Vec::new(), work).await
    }

    /// What a look at a watched request comes to now. `None` when there is nothing to watch any more. Needs no keys.
    pub async fn look_at_request(&self, row: &DueRow) -> Result<Option<(Asked, Look)>> {
        let Some(work) = &row.work else { return Ok(None) };
        let Some(asked) = self.asked(&row.tenant, &work.record).await? else { return Ok(None) };
        // A row that another one took the place of.
        if asked.look_at != Some(row.at) {
            return Ok(None);
        }
        let look = rights::look(asked.received_at, asked.state, self.now());
        Ok((!asked.state.is_finished()).then_some((asked, look)))
    }

    /// Moves a watched request on: it ends, or is looked at again. `false` when it changed since it was looked at.
    pub async fn looked_at(&self, row: &DueRow, asked: &Asked, look: &Look) -> Result<bool> {
        let (tenant, now) = (&row.tenant, self.now());
        let mut actions = Vec::new();
        let told = |what| {
            let why = format!("{} {}", asked.kind.name(), asked.reference);
            self.ledger_action(&Entry::new(now, tenant, what, why))
        };
        if look.warning.is_some() {
            actions.push(told(What::RequestWarned)?);
        }
        if let Some(because) = look.ends {
            actions.extend(asked.ended(tenant, now, End::Refused(because)));
            actions.push(told(What::RequestRefused)?);
        } else if let Some(again) = look.again {
            actions.push(Action::Update {
                key: keyspace::record(tenant, &asked.reference),
                update: Change {
                    expression: "SET look_at = :look_at".to_owned(),
                    values: vec![(":look_at", number(again.millis()))],
                },
                condition: Some(Condition::phase(&asked.phase)),
            });
            actions
                .extend([Action::delete(row.key()), due::put(&watch_row(tenant, &asked.reference, again))]);
        }
        Ok(match (look.warning, look.ends, look.again) {
            (None, None, None) => true,
            // Nothing to tell yet: only the row moves.
            (None, None, Some(_)) => {
                self.transact_unrecorded(Unrecorded::Bookkeeping, actions).await?.is_ok()
            }
            _ => self.transact(actions).await?.is_ok(),
        })
    }

    /// Remembers up to which warning the merchant was sent a mail.
    pub async fn warning_mailed(
        &self,
        tenant: &Tenant,
        reference: &RecordRef,
        warning: Warning,
    ) -> Result<()> {
        let action = Action::Update {
            key: keyspace::record(tenant, reference),
            update: Change {
                expression: "SET mailed = :stage".to_owned(),
                values: vec![(":stage", number(warning.stage().into()))],
            },
            condition: Some(Condition {
                expression: "attribute_exists(pk) AND (attribute_not_exists(mailed) OR mailed < :stage)",
                values: Vec::new(),
            }),
        };
        let _told_before = self.transact_unrecorded(Unrecorded::Bookkeeping, vec![action]).await?;
        Ok(())
    }

    /// Ends the requests whose work an erasure is about to delete: nothing is left to answer them with. Gives back those that
    /// stand: they are not about what is erased.
    pub(crate) async fn overtake(
        &self,
        installation: &Installation,
        target: &Target,
        errands: &BTreeSet<RecordRef>,
    ) -> Result<BTreeSet<RecordRef>> {
        let itself = target.name.parse().ok();
        let mut standing = BTreeSet::new();
        for errand in errands {
            let request = request_of(errand);
            if Some(&request) != itself.as_ref() && self.outlasts(installation, target, &request).await? {
                standing.insert(errand.clone());
            }
        }
        Ok(standing)
    }

    /// Whether a request stands, whoever it is about is erased; otherwise it is ended. A restriction and an objection are
    /// never dropped with the person, or the next order would be stored: they are carried out, and whom they name is
    /// forgotten.
    async fn outlasts(
        &self,
        installation: &Installation,
        target: &Target,
        request: &RecordRef,
    ) -> Result<bool> {
        let tenant = &installation.tenant;
        for _ in 0..ATTEMPTS {
            let Some(asked) = self.asked(tenant, request).await? else { return Ok(false) };
            let itself = asked.kind == RightsKind::Erasure && asked.state != RightsState::Proving;
            if asked.state.is_finished() || itself {
                return Ok(false);
            }
            let later = asked.received_at > target.received_at;
            let (end, what, why) = match (asked.state, asked.kind.limit()) {
                (RightsState::Proving, Some((_, true))) => return Ok(true),
                // What was asked for after the erasure, and holds nothing that was put together before it.
                (RightsState::Proving, _) | (_, Some((_, false))) if later => return Ok(true),
                (RightsState::Received, Some((limit, true))) => {
                    let Some((.., person)) = self.to_carry_out(installation, request).await? else {
                        continue;
                    };
                    // Boxed: an erasure's future is large without it.
                    let limiting =
                        Box::pin(self.limit_subject(installation, &person, limit, request)).await?;
                    self.forget_limited(installation, &person).await?;
                    let orders = limiting.map_or(0, |limiting| limiting.orders);
                    let why = format!("{} {request}", asked.kind.name());
                    (End::Done(Some(orders)), What::RequestDone, why)
                }
                _ => (End::Refused(Refusal::Erased), What::RequestRefused, request.to_string()),
            };
            let now = self.now();
            let mut actions = asked.ended(tenant, now, end);
            actions.push(self.ledger_action(&Entry::new(now, tenant, what, why))?);
            if self.transact(actions).await?.is_ok() {
                return Ok(false);
            }
        }
        Err(StoreError::Contended("a request"))
    }

    /// Ends those of these requests that are not finished: their installation is purged, and nothing is left to answer them
    /// with. Each has its entry in the ledger, once: whoever is stopped and comes back finds it ended. An erasure is carried
    /// out by the purge.
    pub(crate) async fn end_with_shop(&self, tenant: &Tenant, page: &[Stored]) -> Result<()> {
        for stored in page {
            let asked = read(stored)?;
            if !asked.state.is_finished() {
                self.end_unanswered(tenant, &asked.reference).await?;
            }
        }
        Ok(())
    }

    async fn end_unanswered(&self, tenant: &Tenant, request: &RecordRef) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let asked = self.asked(tenant, request).await?;
            let Some(asked) = asked.filter(|asked| !asked.state.is_finished()) else { return Ok(()) };
            let now = self.now();
            let erasure = asked.kind == RightsKind::Erasure && asked.state != RightsState::Proving;
            let (end, what, because) = if erasure {
                (End::Done(None), What::RequestDone, "by the purge")
            } else {
                let because = asked.state.lost_with_shop();
                (End::Refused(because), What::RequestRefused, because.name())
            };
            let why = format!("{} {request}: {because}", asked.kind.name());
            let mut actions = asked.ended(tenant, now, end);
            actions.push(self.ledger_action(&Entry::new(now, tenant, what, why))?);
            if self.transact(actions).await?.is_ok() {
                return Ok(());
            }
        }
        Err(StoreError::Contended("a request"))
    }
}

impl SealedAsking {
    fn of(asking: &Asking) -> Self {
        let Person { customer, email, phone } = asking.person.clone();
        Self { wanted: Wanted::of(customer, email, phone), corrections: asking.corrections.clone() }
    }
}

fn caller(by: OpenedBy, name: &str) -> String {
    format!("{}/{name}", by.name())
}

fn asked_ref(installation: &Installation, by: OpenedBy, name: &str) -> RecordRef {
    RecordRef::new(Kind::Request, installation.keys.blind(Purpose::Rights, "request", &caller(by, name)))
}

/// The code of a request that waits for its proof. Made of the request's name and a key of the installation, it is stored
/// nowhere, and each time it is sent it is the same.
fn code_of(installation: &Installation, request: &RecordRef) -> Personal<String> {
    let blind = installation.keys.blind(Purpose::Rights, "proof", request.id());
    let random = blind.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    Personal::new(rights::proof_code(random))
}

fn leads(tenant: &Tenant, rows: &[Item]) -> Result<String> {
    let rows: Vec<(String, String)> = rows.iter().map(|row| shorten(tenant, &row.key)).collect();
    serde_json::to_string(&rows).map_err(|_| StoreError::Corrupt("a request"))
}
