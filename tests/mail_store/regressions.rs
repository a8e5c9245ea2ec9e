//! What went wrong once with stored mail, each as its own small test. Found by the simulation or by reading for it.

use storeward_core::time::Clock as _;
use storeward_store::FullSync;

use super::*;

impl World {
    /// Has the mailbox to itself.
    async fn lease(&self) -> Mailbox {
        let until = self.bench.clock.now() + MINUTE;
        let leased =
            self.store().await.lease_mailbox(&self.installation, &self.mailbox.reference, until).await;
        let Lease::Taken(mailbox) = leased.unwrap() else { panic!("somebody else has it") };
        *mailbox
    }

    async fn read(&self, mailbox: &Mailbox, progress: Progress) {
        assert!(self.store().await.mailbox_read(&self.installation, mailbox, progress).await.unwrap());
    }

    /// Ana restricts the use of her data.
    async fn restrict(&self) -> RecordRef {
        let request: RecordRef = format!("request/{}", "0".repeat(32)).parse().unwrap();
        let store = self.store().await;
        store.limit_subject(&self.installation, &person(ANA), Limit::Restricted, &request).await.unwrap();
        request
    }

    /// And lets it be used again: from where the mailbox is read again.
    async fn lift(&self, request: &RecordRef) -> FullSync {
        let store = self.store().await;
        store.lift_limit(&self.installation, &person(ANA), Limit::Restricted, request).await.unwrap();
        store.lifting_done(&self.installation, &person(ANA)).await.unwrap();
        let mailbox = store.mailbox(&self.installation, &self.mailbox.reference).await.unwrap().unwrap();
        mailbox.full_sync.expect("it is read again")
    }
}

#[tokio::test(start_paused = true)]
async fn a_draft_ends_with_the_mail_that_it_answers_and_never_after_its_conversation() {
    let world = World::new().await;
    let store = world.store().await;
    let choice = Choice::of([(Kind::Mail, 10), (Kind::Thread, 10)]).unwrap();
    store.choose_retention(&world.installation, &choice).await.unwrap();
    // Given a reply that is drafted when its conversation has a day left.
    let (mail, _) = world.stored(&Sent::new("a1", "ana", ANA, 0)).await;
    world.bench.advance(DAY * 9).await;
    assert!(matches!(world.draft(&mail, None).await, PutDraft::Stored { .. }));
    // When the conversation ends, then nothing is left that only it leads to.
    world.bench.advance(DAY + MINUTE).await;
    assert_eq!(world.of_mail(), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_first_reading_under_way_begins_again_when_a_restriction_is_lifted() {
    let world = World::new().await;
    let request = world.restrict().await;
    // Given a first reading that passed a page with a mail of hers.
    let mailbox = world.lease().await;
    let Some(full) = mailbox.full_sync.clone() else { panic!("it is a first reading") };
    assert_eq!(world.take(&Sent::new("a1", "ana", ANA, 3)).await, Arrival::RefusedLimited);
    let passed = FullSync { page: Some(Personal::new("2".to_owned())), ..full.clone() };
    world.read(&mailbox, Progress::FullSync(passed)).await;
    world.store().await.release_mailbox(&world.installation, &mailbox).await.unwrap();
    // When she lifts it, then the page is read again.
    assert_eq!(world.lift(&request).await, full);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_restriction_and_was_read_after_it_is_made_up_for() {
    let world = World::new().await;
    let mailbox = world.lease().await;
    world.read(&mailbox, Progress::Cursor(8)).await;
    // Given a mail that Gmail told of late.
    let request = world.restrict().await;
    let late = Sent::new("a1", "ana", ANA, 3);
    assert_eq!(world.take(&late).await, Arrival::RefusedLimited);
    world.read(&mailbox, Progress::Cursor(9)).await;
    world.store().await.release_mailbox(&world.installation, &mailbox).await.unwrap();
    // When she lifts it, then what came since that mail is read again, and Shopify is asked for nothing older than the
    // restriction.
    let (store, began) = (world.store().await, world.bench.clock.now());
    let lifted =
        store.lift_limit(&world.installation, &person(ANA), Limit::Restricted, &request).await.unwrap();
    assert_eq!(lifted.catch_up_from, Some(began));
    assert_eq!(world.lift(&request).await.since, late.arrived(&world.bench).received_at);
}

#[tokio::test(start_paused = true)]
async fn what_came_while_somebody_objected_is_not_made_up_for_whoever_reads_it_later() {
    let world = World::new().await;
    let mailbox = world.lease().await;
    world.read(&mailbox, Progress::Cursor(8)).await;
    // Given a mail from before an objection was lifted, which Gmail tells of when only a restriction is left.
    let request = world.restrict().await;
    let (store, objection) = (world.store().await, request.clone());
    let ana = person(ANA);
    store.limit_subject(&world.installation, &ana, Limit::Objected, &objection).await.unwrap();
    let late = Sent::new("a1", "ana", ANA, 3);
    world.bench.advance(DAY).await;
    store.lift_limit(&world.installation, &ana, Limit::Objected, &objection).await.unwrap();
    let lifted_at = world.bench.clock.now();
    world.bench.advance(MINUTE).await;
    assert_eq!(world.take(&late).await, Arrival::RefusedLimited);
    store.release_mailbox(&world.installation, &mailbox).await.unwrap();
    // When the restriction is lifted, too, then it is read again from when the objection was.
    assert_eq!(world.lift(&request).await.since, lifted_at);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_cannot_be_read_when_a_restriction_is_lifted_is_read_again_once_it_can() {
    let world = World::new().await;
    let store = world.store().await;
    let mailbox = world.lease().await;
    world.read(&mailbox, Progress::Cursor(8)).await;
    let request = world.restrict().await;
    assert_eq!(world.take(&Sent::new("a1", "ana", ANA, 0)).await, Arrival::RefusedLimited);
    world.read(&mailbox, Progress::Cursor(9)).await;
    // Given that Google does not let us in any more.
    assert!(store.mailbox_lost(&world.installation, &mailbox).await.unwrap());
    store.release_mailbox(&world.installation, &mailbox).await.unwrap();
    // When she lifts it and the mailbox is connected again, then it is read from where the restriction began.
    let lifted = world.lift(&request).await;
    assert_eq!((lifted.cursor, lifted.since), (9, world.bench.clock.now()));
    assert_eq!(world.due("sync-mailbox"), 0, "until then there is nothing to ask for");
    let again = connect(store, &world.installation, SHOP).await;
    assert_eq!((again.full_sync, again.state), (Some(lifted), MailboxState::Connected));
}
