//! What was done outside about a case, recorded before and after: a mail is announced before it is sent, a hold before
//! it is put on, so that whoever comes after a crash knows what may have happened. Doing it is not the store's.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use storeward_core::alert::next_digest;
use storeward_core::data_map::{Kind, Purpose};
use storeward_core::matching::Reason;
use storeward_core::time::Timestamp;

use crate::accept::Work;
use crate::cases::{Case, CaseState, Member};
use crate::due::{self, DueRow};
use crate::error::{Result, StoreError};
use crate::item::{Item, LIVES, Stored, number, text};
use crate::keyspace::{self, Key, RecordRef};
use crate::ledger::{Entry, What};
use crate::store::{Action, Change, Condition, Store, Unrecorded};
use crate::tenants::Installation;

/// How long whoever took an order to show it can still be at it: longer than its function runs, shorter than it takes the
/// queue to call it again.
const SHOWING: Duration = Duration::from_mins(2);

/// A mail that was announced and not seen to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailing {
    /// Which opening of the case it is about; 1 for a digest.
    pub opening: u64,
    /// When it was first announced.
    pub since: Timestamp,
    /// How often it was announced: each try is.
    pub tries: u64,
}

/// What was done outside about a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseNotice {
    /// Up to which opening the merchant was told, or was not to be.
    pub alerted: u64,
    /// A mail under way.
    pub mailing: Option<Mailing>,
    /// How often holding was announced.
    holds: u64,
    /// Up to which of these it was let go again.
    released: u64,
}

impl CaseNotice {
    /// Whether orders may be held for the case.
    #[must_use]
    pub const fn holding(&self) -> bool {
        self.holds > self.released
    }
}

/// Cases that one mail tells of.
#[derive(Clone, Debug)]
pub struct Digest {
    /// The cases.
    pub cases: BTreeSet<RecordRef>,
    /// When it is due.
    pub at: Timestamp,
    /// Its mail, if that is under way.
    pub mailing: Option<Mailing>,
}

/// What an order of a case agrees on with the others, as a merchant reads it: in a mail, in a risk fact.
#[must_use]
pub fn why(member: &Member) -> String {
    if let Some(explanation) = &member.explanation {
        return explanation.sentence();
    }
    member.reasons.iter().map(|reason: &Reason| reason.sentence()).collect::<Vec<_>>().join(", ")
}

/// The record of what was done about a case: under the case's own name.
fn notice_key(installation: &Installation, case: &RecordRef) -> Key {
    keyspace::record(&installation.tenant, &RecordRef::new(Kind::Notice, case.id().to_owned()))
}

/// The action by which a case that ends takes the record of what was done about it along.
pub(crate) fn forgotten(installation: &Installation, case: &RecordRef) -> Action {
    Action::delete(notice_key(installation, case))
}

/// That the case is open, for this time of opening: nothing is done about one that was decided or erased meanwhile.
fn still_open(installation: &Installation, case: &Case) -> Action {
    Action::Check {
        key: keyspace::record(&installation.tenant, &case.reference),
        condition: Condition {
            expression: "phase = :open AND (openings = :opening OR attribute_not_exists(openings))",
            values: vec![(":open", text(CaseState::Open.name())), (":opening", count(case.openings))],
        },
    }
}

fn count(n: u64) -> AttributeValue {
    number(i64::try_from(n).unwrap_or(i64::MAX))
}

fn mailing(stored: &Stored) -> Result<Option<Mailing>> {
    let Some(opening) = stored.optional_number("mailing") else { return Ok(None) };
    Ok(Some(Mailing {
        opening: u64::try_from(opening).unwrap_or_default(),
        since: stored.time("mailing_since")?,
        tries: u64::try_from(stored.number("tries")?).unwrap_or_default(),
    }))
}

/// The update that announces a mail: for the first time, or once more.
fn announcing(opening: u64, known: Option<&Mailing>, now: Timestamp) -> (Change, Condition, Mailing) {
    if let Some(known) = known.filter(|known| known.opening == opening) {
        let change =
            Change { expression: "SET tries = tries + :one".to_owned(), values: vec![(":one", number(1))] };
        let condition = Condition {
            expression: "mailing = :mailing AND tries = :tries",
            values: vec![(":mailing", count(opening)), (":tries", count(known.tries))],
        };
        return (change, condition, Mailing { tries: known.tries + 1, ..known.clone() });
    }
    let change = Change {
        expression: "SET mailing = :mailing, mailing_since = :now, tries = :one".to_owned(),
        values: vec![(":now", number(now.millis())), (":one", number(1))],
    };
    let condition = Condition {
        expression: "(attribute_not_exists(alerted) OR alerted < :mailing) \
                     AND (attribute_not_exists(mailing) OR mailing < :mailing)",
        values: vec![(":mailing", count(opening))],
    };
    (change, condition, Mailing { opening, since: now, tries: 1 })
}

/// The update that takes an announcement back, if it was the only one.
fn taking_back(key: Key, mailing: &Mailing) -> Action {
    Action::Update {
        key,
        update: Change { expression: "REMOVE mailing, mailing_since, tries".to_owned(), values: Vec::new() },
        condition: Some(Condition {
            expression: "mailing = :mailing AND tries = :tries",
            values: vec![(":mailing", count(mailing.opening)), (":tries", count(mailing.tries))],
        }),
    }
}

impl Store {
    /// What was done outside about a case so far.
    pub async fn case_notice(&self, installation: &Installation, case: &RecordRef) -> Result<CaseNotice> {
        let Some(stored) = self.get(&notice_key(installation, case)).await? else {
            return Ok(CaseNotice::default());
        };
        let number = |name| stored.optional_number(name).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(CaseNotice {
            alerted: number("alerted"),
            mailing: mailing(&stored)?,
            released: number("released"),
            holds: number("holds"),
        })
    }

    /// Announces the mail about a case's opening. What comes back is to be sent at once, or not at all when it was first
    /// announced too long ago.
    ///
    /// # Errors
    /// `Contended` when someone else is at it, or the case changed: to be looked at again.
    pub async fn announce_mail(
        &self,
        installation: &Installation,
        case: &Case,
        known: &CaseNotice,
    ) -> Result<Mailing> {
        let (change, condition, mailing) = announcing(case.openings, known.mailing.as_ref(), self.now());
        let actions = vec![
            still_open(installation, case),
            Self::note_case(installation, case, change, Some(condition)),
            self.told(installation, What::MailAnnounced, "alert")?,
        ];
        self.transact(actions).await?.map_err(|_| StoreError::Contended("a case's mail"))?;
        Ok(mailing)
    }

    /// Remembers that the announced mail was certainly not sent. Where another try was announced meanwhile, or before,
    /// the announcement stays: of that one it is not known.
    pub async fn mail_not_sent(
        &self,
        installation: &Installation,
        case: &RecordRef,
        mailing: &Mailing,
    ) -> Result<()> {
        if mailing.tries == 1 {
            let back = taking_back(notice_key(installation, case), mailing);
            let entry = self.told(installation, What::MailNotSent, "alert")?;
            let _others_are_at_it = self.transact(vec![back, entry]).await?;
        }
        Ok(())
    }

    /// Remembers that the merchant was told of a case's opening, or is not to be.
    pub async fn alerted(&self, installation: &Installation, case: &Case) -> Result<()> {
        let action = Self::alerted_action(installation, case);
        // A condition that fails says that this or a later opening was told of, or that the case is gone.
        let entry = self.told(installation, What::MerchantTold, "alert")?;
        let actions = vec![Self::case_exists(installation, case), action, entry];
        let _done_before = self.transact(actions).await?;
        Ok(())
    }

    /// The entry of something done outside. Not about which case: the ledger outlives its people.
    fn told(&self, installation: &Installation, what: What, why: &str) -> Result<Action> {
        self.ledger_action(&Entry::new(self.now(), &installation.tenant, what, why))
    }

    fn alerted_action(installation: &Installation, case: &Case) -> Action {
        let change = Change {
            expression: "SET alerted = :alerted REMOVE mailing, mailing_since, tries".to_owned(),
            values: Vec::new(),
        };
        let condition = Condition {
            expression: "attribute_not_exists(alerted) OR alerted < :alerted",
            values: vec![(":alerted", count(case.openings))],
        };
        Self::note_case(installation, case, change, Some(condition))
    }

    /// A change to the record of what was done about a case, which begins with the first of them.
    fn note_case(
        installation: &Installation,
        case: &Case,
        mut change: Change,
        condition: Option<Condition>,
    ) -> Action {
        let set = change.expression.strip_prefix("SET ").unwrap_or_default();
        change.expression = format!("SET kind = :kind, expires_at = :expires_at, {LIVES} = :lives, {set}");
        change.values.push((":kind", text(Kind::Notice.name())));
        let key = notice_key(installation, &case.reference);
        let life = Item::new(key.clone()).expiring_with(Kind::Case, case.opened_at).not_after(case.ends);
        change.values.extend(life.life(installation.retention()));
        Action::Update { key, update: change, condition }
    }

    fn case_exists(installation: &Installation, case: &Case) -> Action {
        let key = keyspace::record(&installation.tenant, &case.reference);
        Action::Check { key, condition: Condition::PRESENT }
    }

    /// Takes an order that is in a case and not shown in the shop yet, to show it now. `false` when someone else took it a
    /// moment ago, who shows it or is called again, or when there is nothing to show any more.
    pub async fn take_to_show(&self, installation: &Installation, order: &RecordRef) -> Result<bool> {
        let now = self.now();
        let update = Action::Update {
            key: keyspace::record(&installation.tenant, order),
            update: Change {
                expression: "SET shown_from = :now".to_owned(),
                values: vec![(":now", number(now.millis()))],
            },
            condition: Some(Condition {
                expression: "flag = :pending AND attribute_not_exists(use_limited) \
                             AND (attribute_not_exists(shown_from) OR shown_from < :stale)",
                values: vec![(":pending", text("pending")), (":stale", number((now - SHOWING).millis()))],
            }),
        };
        Ok(self.transact_unrecorded(Unrecorded::Bookkeeping, vec![update]).await?.is_ok())
    }

    /// Announces that orders of an open case are going to be held. `false` when it is not open any more.
    pub async fn announce_hold(&self, installation: &Installation, case: &Case) -> Result<bool> {
        let change = Change {
            expression: "SET holds = if_not_exists(holds, :none) + :one".to_owned(),
            values: vec![(":none", number(0)), (":one", number(1))],
        };
        let actions = vec![
            still_open(installation, case),
            Self::note_case(installation, case, change, None),
            self.told(installation, What::HoldAnnounced, "hold")?,
        ];
        Ok(self.transact(actions).await?.is_ok())
    }

    /// Remembers that everything was let go that was held by the time `seen` was read. What was announced since is not
    /// touched by it.
    pub async fn released(
        &self,
        installation: &Installation,
        case: &RecordRef,
        seen: &CaseNotice,
    ) -> Result<()> {
        let update = Action::Update {
            key: notice_key(installation, case),
            update: Change {
                expression: "SET released = :released".to_owned(),
                values: vec![(":released", count(seen.holds))],
            },
            condition: Some(Condition {
                expression: "holds >= :released AND (attribute_not_exists(released) OR released < :released)",
                values: Vec::new(),
            }),
        };
        let entry = self.told(installation, What::HoldReleased, "hold")?;
        let _done_before = self.transact(vec![update, entry]).await?;
        Ok(())
    }

    /// Puts a case's opening into the shop's next digest, which is due at the full `hour`: the merchant counts as told.
    ///
    /// # Errors
    /// `Contended` when the case changed: to be looked at again.
    pub async fn put_into_digest(&self, installation: &Installation, case: &Case, hour: u8) -> Result<()> {
        let at = next_digest(self.now(), hour);
        let id = installation.keys.blind(Purpose::Operation, "digest", &at.millis().to_string());
        let reference = RecordRef::new(Kind::Digest, id);
        let key = keyspace::record(&installation.tenant, &reference);
        let mut values = vec![
            (":kind", text(Kind::Digest.name())),
            (":at", number(at.millis())),
            (":cases", AttributeValue::Ss(vec![case.reference.to_string()])),
        ];
        values.extend(Item::new(key.clone()).expiring(at).life(installation.retention()));
        let expression = format!(
            "SET kind = :kind, due_at = :at, expires_at = :expires_at, {LIVES} = :lives ADD cases :cases"
        );
        let listed = Action::Update { key, update: Change { expression, values }, condition: None };
        let actions = vec![
            still_open(installation, case),
            Self::alerted_action(installation, case),
            listed,
            due::put(&digest_row(installation, &reference, at)),
            self.told(installation, What::MerchantTold, "digest")?,
        ];
        self.transact(actions).await?.map_err(|_| StoreError::Contended("a case's digest"))
    }

    /// A digest that was not sent yet.
    pub async fn digest(&self, installation: &Installation, reference: &RecordRef) -> Result<Option<Digest>> {
        let key = keyspace::record(&installation.tenant, reference);
        let Some(stored) = self.get(&key).await? else { return Ok(None) };
        let corrupt = StoreError::Corrupt("a digest");
        let cases = stored.0.get("cases").and_then(|cases| cases.as_ss().ok()).ok_or(corrupt.clone())?;
        let cases = cases.iter().map(|case| case.parse()).collect::<std::result::Result<_, _>>();
        Ok(Some(Digest {
            cases: cases.map_err(|_| corrupt)?,
            at: stored.time("due_at")?,
            mailing: mailing(&stored)?,
        }))
    }

    /// The cases of a digest; where one was merged into another, that other one.
    pub async fn cases_of(&self, installation: &Installation, digest: &Digest) -> Result<Vec<Case>> {
        let mut cases = self.resolve_cases(installation, digest.cases.clone()).await?;
        cases.sort_by(|a, b| a.opened.cmp(&b.opened).then_with(|| a.reference.cmp(&b.reference)));
        Ok(cases)
    }

    /// Announces the mail of a digest.
    ///
    /// # Errors
    /// `Contended` when someone else is at it: to be looked at again.
    pub async fn announce_digest(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        known: &Digest,
    ) -> Result<Mailing> {
        let (update, mut condition, mailing) = announcing(1, known.mailing.as_ref(), self.now());
        if mailing.tries == 1 {
            // Not for one that was ended meanwhile.
            condition.expression =
                "attribute_exists(due_at) AND (attribute_not_exists(mailing) OR mailing < :mailing)";
        }
        let key = keyspace::record(&installation.tenant, reference);
        let update = Action::Update { key, update, condition: Some(condition) };
        let entry = self.told(installation, What::MailAnnounced, "digest")?;
        self.transact(vec![update, entry]).await?.map_err(|_| StoreError::Contended("a digest"))?;
        Ok(mailing)
    }

    /// Remembers that the announced mail of a digest was certainly not sent.
    pub async fn digest_not_sent(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        mailing: &Mailing,
    ) -> Result<()> {
        if mailing.tries == 1 {
            let key = keyspace::record(&installation.tenant, reference);
            let entry = self.told(installation, What::MailNotSent, "digest")?;
            let _others_are_at_it = self.transact(vec![taking_back(key, mailing), entry]).await?;
        }
        Ok(())
    }

    /// Ends a digest that was sent, or is not to be: it is forgotten, and its due row with it.
    pub async fn end_digest(
        &self,
        installation: &Installation,
        reference: &RecordRef,
        due_at: Timestamp,
    ) -> Result<()> {
        let key = keyspace::record(&installation.tenant, reference);
        let row = digest_row(installation, reference, due_at).key();
        self.write(Unrecorded::Bookkeeping, vec![Action::delete(key), Action::delete(row)]).await
    }
}

/// The row that leads to a digest: it stands up to a day ahead.
pub(crate) fn rows_of_digest(installation: &Installation, stored: &Stored) -> Result<Vec<Key>> {
    let reference = RecordRef::new(Kind::Digest, stored.text("sk")?.to_owned());
    let due_at = stored.optional_number("due_at").map(Timestamp);
    Ok(due_at.map(|at| digest_row(installation, &reference, at).key()).into_iter().collect())
}

fn digest_row(installation: &Installation, reference: &RecordRef, due_at: Timestamp) -> DueRow {
    let work = Work {
        tenant: installation.tenant.clone(),
        record: reference.clone(),
        delivery: reference.clone(),
        due_at,
        stored: true,
    };
    DueRow::of(&work, due::Action::Digest)
}
