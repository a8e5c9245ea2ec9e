//! What follows for mail from what was asked and answered: what must be gone, what must be there, and who sees it. No
//! storage and no queues, as in `model`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use storeward_core::data_map::Kind;
use storeward_core::mail::Address;
use storeward_core::normalize::{self, Identifier};
use storeward_core::personal::Personal;
use storeward_core::time::{DAY, Timestamp};
use storeward_store::{Arrival, Draft, DraftState, RecordRef, StoredMail, Thread};

use super::gmail::{Boxes, FIRST_DAYS, Letter};
use super::model::{Life, Request};

/// A mailbox that was connected.
struct Connected {
    at: Timestamp,
    end_tried: bool,
}

/// A request for what is stored.
struct Wanted {
    tried: Timestamp,
    answered: Option<Timestamp>,
    person: Vec<Identifier>,
}

/// An installation's mail.
#[derive(Default)]
pub(super) struct MailLife {
    mailboxes: BTreeMap<String, Connected>,
    /// The least days that mails, and what is known of them, were ever kept; and those that count now.
    least: Option<(u32, u32)>,
    kept: Option<(u32, u32)>,
    wanted: BTreeMap<u64, Wanted>,
}

/// A conversation as it stands at rest.
pub(super) struct Standing {
    pub(super) thread: Thread,
    pub(super) mails: Vec<StoredMail>,
    pub(super) drafts: Vec<Draft>,
    /// How many rows lead to it from people.
    pub(super) rows: usize,
}

/// An installation's mail as it stands at rest.
#[derive(Default)]
pub(super) struct Desk {
    /// Which mails are stored, whoever limits their use.
    pub(super) stored: BTreeSet<usize>,
    /// The mailboxes that cannot be read until they are connected again.
    pub(super) lost: BTreeSet<String>,
    /// How many records of mails there are.
    pub(super) mails: usize,
    /// The conversations that may be used.
    pub(super) threads: Vec<Standing>,
    /// How many mails the receipts of erasures tell of.
    pub(super) erased: u64,
}

impl MailLife {
    pub(super) fn connected(&mut self, address: &str, now: Timestamp) {
        self.mailboxes.entry(address.to_owned()).or_insert(Connected { at: now, end_tried: false });
    }

    /// The mailboxes that were connected.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &String> {
        self.mailboxes.keys()
    }

    /// Somebody ends a mailbox, or may have: what came in by it goes, and what is read anew is another story.
    pub(super) fn end_tried(&mut self, address: &str) {
        if let Some(mailbox) = self.mailboxes.get_mut(address) {
            mailbox.end_tried = true;
        }
    }

    pub(super) fn chosen(&mut self, mail: u32, thread: u32) {
        let (least_mail, least_thread) = self.least.unwrap_or((mail, thread));
        self.least = Some((least_mail.min(mail), least_thread.min(thread)));
        self.kept = Some((mail, thread));
    }

    pub(super) fn data_request_tried(&mut self, number: u64, person: Vec<Identifier>, now: Timestamp) {
        self.wanted.entry(number).or_insert(Wanted { tried: now, answered: None, person });
    }

    pub(super) fn data_request_answered(&mut self, number: u64, now: Timestamp) {
        let wanted = self.wanted.get_mut(&number).expect("what is answered was tried");
        wanted.answered.get_or_insert(now);
    }

    /// How long a mail is surely kept.
    fn surely_kept(&self) -> Duration {
        days(Kind::Mail, self.least.map(|(mail, _)| mail))
    }

    /// Whether nothing but time takes away what this mailbox got.
    fn lasts(&self, letter: &Letter) -> bool {
        self.mailboxes.get(&letter.mailbox).is_some_and(|mailbox| !mailbox.end_tried)
    }
}

fn days(kind: Kind, chosen: Option<u32>) -> Duration {
    let bound = storeward_core::retention::bound(kind).unwrap();
    chosen.map_or(bound, |chosen| (DAY * chosen).min(bound))
}

/// Mails that can have come into one conversation: those of one of Gmail's, and those that name each other.
fn conversations(letters: &[Letter]) -> Vec<usize> {
    let mut of: Vec<usize> = (0..letters.len()).collect();
    let mut first: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (place, letter) in letters.iter().enumerate() {
        for name in letter.message_ids.iter().chain([&letter.thread]) {
            let known = *first.entry((&letter.mailbox, name)).or_insert(place);
            let (one, other) = (of[known], of[place]);
            for joined in of.iter_mut().filter(|joined| **joined == one.max(other)) {
                *joined = one.min(other);
            }
        }
    }
    of
}

fn name_each_other(one: &[Identifier], other: &[Identifier]) -> bool {
    one.iter().any(|identifier| other.contains(identifier))
}

/// What a history says of mails, looked at for one installation.
struct View<'a> {
    life: &'a Life,
    boxes: &'a Boxes,
    conversations: Vec<usize>,
}

impl View<'_> {
    /// Whether a request, or another one in its conversation, may have taken a mail along.
    fn may_erase(&self, request: &Request, place: usize) -> bool {
        let until = request.answered.unwrap_or(Timestamp(i64::MAX));
        self.boxes.letters[place].at <= until
            && self.boxes.letters.iter().enumerate().any(|(other, letter)| {
                self.conversations[other] == self.conversations[place]
                    && name_each_other(&letter.names, &request.identifiers)
            })
    }

    fn may_be_erased(&self, place: usize) -> bool {
        self.life.requests.iter().any(|request| self.may_erase(request, place))
    }

    /// Whether an answered request covers a mail that names the person, and why it must be gone.
    fn must_be_gone(&self, place: usize) -> Option<&'static str> {
        let letter = &self.boxes.letters[place];
        let covers = |request: &&Request| request.answered.is_some() && letter.at <= request.first;
        for request in self.life.requests.iter().filter(covers) {
            if name_each_other(&letter.names, &request.identifiers) {
                return Some("it names somebody who was erased");
            }
            if self.stood_in_it(request, letter) {
                return Some("it came into the conversation of somebody who was erased");
            }
        }
        None
    }

    /// Whether a mail that names the person was stored in the same conversation, and nothing else took it away before the
    /// request did.
    fn stood_in_it(&self, request: &Request, letter: &Letter) -> bool {
        let name = self.life.tenant.to_string();
        let kept = self.life.mail.surely_kept();
        self.life.mail.lasts(letter)
            && self.boxes.said.iter().any(|said| {
                let other = &self.boxes.letters[said.letter];
                let others = self.life.requests.iter().filter(|other| other.webhook_id != request.webhook_id);
                said.tenant == name
                    && matches!(said.arrival, Arrival::Stored { .. })
                    && (&other.mailbox, &other.thread) == (&letter.mailbox, &letter.thread)
                    && name_each_other(&other.names, &request.identifiers)
                    && other.at <= request.first
                    && request.answered.is_some_and(|answered| other.at + kept > answered + DAY * 2)
                    && others.into_iter().all(|other| !self.may_erase(other, said.letter))
            })
    }

    /// Why a mail must be stored; `None` where it may not be.
    fn must_be_there(&self, place: usize, now: Timestamp) -> bool {
        let (letter, mail) = (&self.boxes.letters[place], &self.life.mail);
        let Some(mailbox) = mail.mailboxes.get(&letter.mailbox) else { return false };
        mail.lasts(letter)
            && !self.life.uninstall_tried
            && letter.at > mailbox.at - DAY * (FIRST_DAYS - 1)
            && letter.at + mail.surely_kept() > now
            && !self.may_be_erased(place)
            && !self.life.wishes.may_limit(&letter.names)
    }

    /// What was said to each mail as it came.
    fn answers(&self) {
        let name = self.life.tenant.to_string();
        for said in self.boxes.said.iter().filter(|said| said.tenant == name) {
            let letter = &self.boxes.letters[said.letter];
            let id = &letter.id;
            match said.arrival {
                Arrival::Stored { .. } => {
                    assert!(
                        !self.life.wishes.limited(&letter.names, said.at),
                        "mail {id} was taken under a limit"
                    );
                }
                Arrival::Known => {}
                Arrival::TooOld => {
                    let over = letter.at + self.life.mail.surely_kept() <= said.at;
                    assert!(over, "mail {id} was refused as too old");
                }
                Arrival::RefusedErased => {
                    assert!(self.may_be_erased(said.letter), "mail {id} was refused as erased");
                }
                Arrival::RefusedLimited => {
                    let limited = self.life.wishes.ever_limited(&letter.names);
                    assert!(limited, "mail {id} was refused as limited");
                }
            }
        }
    }
}

impl Life {
    fn view<'a>(&'a self, boxes: &'a Boxes) -> View<'a> {
        View { life: self, boxes, conversations: conversations(&boxes.letters) }
    }

    /// When everything has come to rest: what is stored of mail is what came and was not erased, in conversations that
    /// know nobody else.
    pub(super) fn check_mail(&self, boxes: &Boxes, desk: &Desk, now: Timestamp) {
        if self.mail.mailboxes.is_empty() {
            assert_eq!((desk.mails, desk.threads.len()), (0, 0), "mail without a mailbox");
            return;
        }
        let view = self.view(boxes);
        view.answers();
        assert_eq!(desk.stored.len(), desk.mails, "mails that nobody sent, or stored twice");
        for place in 0..boxes.letters.len() {
            let id = &boxes.letters[place].id;
            if desk.stored.contains(&place) {
                let gone = view.must_be_gone(place);
                assert!(gone.is_none(), "mail {id} is stored: {}", gone.unwrap_or_default());
            } else {
                let may_be_read = !desk.lost.contains(&boxes.letters[place].mailbox);
                assert!(!may_be_read || !view.must_be_there(place, now), "mail {id} is lost");
            }
        }
        let mut of: BTreeMap<RecordRef, usize> = BTreeMap::new();
        let name = self.tenant.to_string();
        for said in boxes.said.iter().filter(|said| said.tenant == name) {
            if let Arrival::Stored { mail, .. } = &said.arrival {
                of.insert(mail.clone(), said.letter);
            }
        }
        let mut shown = BTreeSet::new();
        for standing in &desk.threads {
            for mail in &standing.mails {
                let place = boxes.letters.iter().position(|letter| letter.id == mail.provider_id).unwrap();
                assert!(desk.stored.contains(&place), "mail {} is shown and not stored", mail.provider_id);
                assert!(shown.insert(place), "mail {} is in two conversations", mail.provider_id);
                let kept = days(Kind::Mail, self.mail.kept.map(|(mail, thread)| mail.min(thread)));
                assert!(mail.received_at + kept > now, "mail {} outlived its window", mail.provider_id);
                of.insert(mail.reference.clone(), place);
            }
            self.check_thread(&view, standing, &of, now);
            let listed = standing.thread.mails.iter().map(|mail| of.get(&mail.reference));
            let letters = listed.flatten().map(|place| &boxes.letters[*place]);
            let lasts = letters.into_iter().all(|letter| {
                self.mail.lasts(letter) && !self.uninstall_tried && !desk.lost.contains(&letter.mailbox)
            });
            for draft in standing.drafts.iter().filter(|_| lasts) {
                let due = draft.send_at.is_none_or(|at| at <= now);
                let waits = matches!(draft.state, DraftState::Approved | DraftState::Scheduled) && due;
                assert!(!waits && draft.state != DraftState::Sending, "{} is never sent", draft.reference);
            }
        }
        self.check_counts(&view, desk);
    }

    fn check_thread(
        &self,
        view: &View<'_>,
        standing: &Standing,
        of: &BTreeMap<RecordRef, usize>,
        now: Timestamp,
    ) {
        let Standing { thread, drafts, .. } = standing;
        let reference = &thread.reference;
        let listed: Option<Vec<&Letter>> = thread
            .mails
            .iter()
            .map(|mail| of.get(&mail.reference).map(|place| &view.boxes.letters[*place]))
            .collect();
        let kept = days(Kind::Thread, self.mail.kept.map(|(_, thread)| thread));
        assert!(thread.latest_at + kept > now, "{reference} outlived its window");
        for mail in &thread.mails {
            if let Some(place) = of.get(&mail.reference) {
                let (id, gone) = (&view.boxes.letters[*place].id, view.must_be_gone(*place));
                assert!(gone.is_none(), "mail {id} is listed: {}", gone.unwrap_or_default());
                let limited = self.wishes.limited(&view.boxes.letters[*place].names, now);
                assert!(!limited, "mail {id} is shown under a limit");
            }
        }
        // A mail of which only the list is left, and whose answer was lost, may be anyone's.
        if let Some(listed) = &listed {
            let people: BTreeSet<&Identifier> = listed.iter().flat_map(|letter| &letter.people).collect();
            let names: BTreeSet<&Identifier> = listed.iter().flat_map(|letter| &letter.names).collect();
            let known = identifiers_of(&thread.people);
            assert_eq!(known.iter().collect::<BTreeSet<_>>(), people, "who takes part in {reference}");
            assert_eq!(standing.rows, names.len(), "the rows that lead to {reference}");
        }
        let open = drafts.iter().filter(|draft| draft.state.is_open()).count();
        assert!(open <= 1, "{open} replies wait in {reference}");
        for draft in drafts {
            let there = thread.mails.iter().any(|mail| mail.reference == draft.mail);
            assert!(there, "{} answers what is not in {reference}", draft.reference);
        }
    }

    /// What receipts of erasures say: at least what surely was there, at most what can have been.
    fn check_counts(&self, view: &View<'_>, desk: &Desk) {
        let lasts = self.mail.mailboxes.values().all(|mailbox| !mailbox.end_tried) && !self.uninstall_tried;
        if !lasts {
            return;
        }
        let name = self.tenant.to_string();
        let may: BTreeSet<usize> =
            (0..view.boxes.letters.len()).filter(|place| view.may_be_erased(*place)).collect();
        let kept = self.mail.surely_kept();
        let sure = |place: &usize| {
            let letter = &view.boxes.letters[*place];
            let was_stored = view.boxes.said.iter().any(|said| {
                let stored = matches!(said.arrival, Arrival::Stored { .. });
                said.letter == *place && said.tenant == name && stored
            });
            was_stored
                && self.requests.iter().any(|request| {
                    letter.at <= request.first
                        && request.answered.is_some_and(|answered| letter.at + kept > answered + DAY * 3)
                        && name_each_other(&letter.names, &request.identifiers)
                })
        };
        let least = may.iter().filter(|place| sure(place)).count() as u64;
        let erased = desk.erased;
        assert!(least <= erased && erased <= may.len() as u64, "{least} to {} of {erased}", may.len());
    }

    /// What a person is shown of mail is theirs, and all of it.
    pub(super) fn check_mail_export(&self, boxes: &Boxes, number: Option<u64>, document: &str) {
        let marks: BTreeSet<&str> = document.split("Mark").skip(1).step_by(2).collect();
        let Some(wanted) = number.and_then(|number| self.mail.wanted.get(&number)) else { return };
        let is_theirs = |letter: &Letter| name_each_other(&letter.seen_by, &wanted.person);
        let shown = |letter: &Letter| self.mail.mailboxes.contains_key(&letter.mailbox) && is_theirs(letter);
        for mark in &marks {
            let letter = boxes.letters.iter().find(|letter| letter.id == *mark);
            assert!(letter.is_some_and(shown), "mail {mark} in the export of somebody else");
        }
        let (Some(answered), name) = (wanted.answered, self.tenant.to_string()) else { return };
        let before = boxes.said.iter().filter(|said| said.tenant == name && said.at < wanted.tried);
        for said in before.filter(|said| matches!(said.arrival, Arrival::Stored { .. })) {
            let letter = &boxes.letters[said.letter];
            let is_there = letter.id.starts_with('g')
                && is_theirs(letter)
                && self.requests.is_empty()
                && self.mail.lasts(letter)
                && !self.uninstall_tried
                && letter.at + self.mail.surely_kept() > answered + DAY;
            assert!(!is_there || marks.contains(letter.id.as_str()), "mail {} is not shown", letter.id);
        }
    }
}

fn identifiers_of(people: &[Address]) -> Vec<Identifier> {
    let addresses: Vec<&Personal<String>> = people.iter().map(|person| &person.address).collect();
    normalize::identifiers(&addresses, &[], None)
}
