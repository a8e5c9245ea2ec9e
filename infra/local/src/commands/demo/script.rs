//! The words of the story, step by step, and which act goes with each.

use std::future::{Future, ready};
use std::pin::Pin;

use super::stage::Stage;
use super::{Claims, decision, erasure, letters, mailbox, orders, person, purge};
use crate::commands::Trouble;

/// What is done and looked at in a step.
pub(super) type Act = for<'a> fn(
    &'a mut Stage,
    &'a mut Claims,
) -> Pin<Box<dyn Future<Output = Result<(), Trouble>> + Send + 'a>>;

/// A step of the story.
pub(crate) struct Step {
    /// Its short name, for machines.
    pub(super) name: &'static str,
    /// Its title.
    pub(super) title: &'static str,
    /// What happens.
    pub(super) text: &'static str,
    /// Doing it, and looking whether it is so.
    pub(super) act: Act,
}

/// The story.
pub(crate) const SCRIPT: &[Step] = &[
    Step {
        name: "install",
        title: "Two shops install the app",
        text: "The admin of the simulated Shopify opens the app and hands it a session token, which is exchanged for \
               access. Each installation gets keys of its own. The clock stands at an afternoon in November and \
               only moves when it is told to.",
        act: |stage, claims| Box::pin(orders::install(stage, claims)),
    },
    Step {
        name: "bystanders",
        title: "Orders that nothing must happen to",
        text: "Somebody else orders in the first shop. The customer of this story also orders in the second \
               shop, which is none of the first one's business.",
        act: |stage, claims| Box::pin(orders::bystanders(stage, claims)),
    },
    Step {
        name: "first-order",
        title: "A customer orders",
        text: "Shopify signs the order and posts it to the function's URL. The function stores it, sealed, \
               and queues a reference; a job looks for duplicates and finds none.",
        act: |stage, claims| Box::pin(orders::first(stage, claims)),
    },
    Step {
        name: "second-order",
        title: "41 seconds later, the same customer orders again",
        text: "The e-mail address is in capitals this time and the phone number is missing.",
        act: |stage, claims| Box::pin(orders::second(stage, claims)),
    },
    Step {
        name: "case",
        title: "The two orders are one case, and it says why",
        text: "Nothing is cancelled or changed: a person decides.",
        act: |stage, claims| Box::pin(orders::case(stage, claims)),
    },
    Step {
        name: "tags",
        title: "The merchant sees it in the shop",
        text: "Both orders carry a tag, as the simulated Shopify answers it to anyone who asks its Admin API.",
        act: |stage, claims| Box::pin(orders::tags(stage, claims)),
    },
    Step {
        name: "alert",
        title: "The merchant is alerted",
        text: "One mail for the case, by way of the simulated Resend: which orders, why, and where to decide. It \
               tells nothing of the customer.",
        act: |stage, claims| Box::pin(ready(orders::alert(stage, claims))),
    },
    Step {
        name: "evidence",
        title: "The merchant looks at the case",
        text: "The app's page asks the API, with the session token the admin gave it.",
        act: |stage, claims| Box::pin(decision::evidence(stage, claims)),
    },
    Step {
        name: "decision",
        title: "The merchant decides: a duplicate",
        text: "Only that is noted, and counted. Cancelling the order stays the merchant's to do.",
        act: |stage, claims| Box::pin(decision::confirm(stage, claims)),
    },
    Step {
        name: "repetition",
        title: "Shopify delivers the second order once more",
        text: "It does that whenever it is not sure that a delivery arrived.",
        act: |stage, claims| Box::pin(orders::repetition(stage, claims)),
    },
    Step {
        name: "forgery",
        title: "Somebody forges an order",
        text: "A genuine delivery with one letter changed, under the genuine signature.",
        act: |stage, claims| Box::pin(orders::forgery(stage, claims)),
    },
    Step {
        name: "replay",
        title: "Somebody turns a harmless webhook into a destructive one",
        text: "A captured customers/data_request, with its genuine signature, is sent as shop/redact: the \
               topic is not signed, only the body is.",
        act: |stage, claims| Box::pin(orders::replay(stage, claims)),
    },
    Step {
        name: "news",
        title: "The merchant cancels the second order, and Shopify tells it in the wrong order",
        text: "First that it is cancelled; then, late, how it was before.",
        act: |stage, claims| Box::pin(decision::news(stage, claims)),
    },
    Step {
        name: "household",
        title: "In the second shop a household orders twice on purpose",
        text: "Its merchant tries a setting on past orders, leaves it as it is, and says \u{201c}never for this \
               household\u{201d} instead.",
        act: |stage, claims| Box::pin(decision::household(stage, claims)),
    },
    Step {
        name: "at-rest",
        title: "Nothing personal can be read in the database",
        text: "Every byte of it is searched for what the customer typed.",
        act: |stage, claims| Box::pin(ready(erasure::at_rest(stage, claims))),
    },
    Step {
        name: "erasure",
        title: "The customer asks to be forgotten",
        text: "Shopify sends customers/redact. What the two orders left, the records as well as the index rows \
               that lead to them, is looked for again, key by key.",
        act: |stage, claims| Box::pin(erasure::erase(stage, claims)),
    },
    Step {
        name: "late-order",
        title: "An order from before the erasure arrives late",
        text: "Shopify tries for hours. What was placed before the erasure must not bring the customer back.",
        act: |stage, claims| Box::pin(erasure::late(stage, claims)),
    },
    Step {
        name: "second-pass",
        title: "A quarter of an hour later: the second pass, and the receipt",
        text: "By now nothing that began before the erasure can still be running. It is looked again, and the \
               ledger gets its receipt.",
        act: |stage, claims| Box::pin(erasure::second_pass(stage, claims)),
    },
    Step {
        name: "return",
        title: "The customer comes back",
        text: "Forgotten is not banned: a new order is served like anybody's.",
        act: |stage, claims| Box::pin(erasure::comes_back(stage, claims)),
    },
    Step {
        name: "uninstall",
        title: "The shop uninstalls the app",
        text: "From here on nothing is done for it. Its purge is put into the schedule.",
        act: |stage, claims| Box::pin(purge::uninstall(stage, claims)),
    },
    Step {
        name: "order-after",
        title: "An order arrives after the uninstall",
        text: "Shopify's queues are not empty at once.",
        act: |stage, claims| Box::pin(purge::order_after(stage, claims)),
    },
    Step {
        name: "purge",
        title: "Two days pass, hour by hour",
        text: "Each hour it is looked how much of the shop is left. The promise is nothing after 48 hours; the \
               purge is due at 36, so that there is time left should something fail.",
        act: |stage, claims| Box::pin(purge::hours(stage, claims)),
    },
    Step {
        name: "nothing-left",
        title: "Nothing of the shop is left",
        text: "Every table is searched for the shop's blinded name, the ledger set aside. Its keys are gone, so \
               that nothing in any backup can be opened either. The other shop is as it was.",
        act: |stage, claims| Box::pin(purge::nothing_left(stage, claims)),
    },
    Step {
        name: "receipt",
        title: "The receipt",
        text: "What stays is the ledger: what was done, when and how many, and nothing about anyone.",
        act: |stage, claims| Box::pin(purge::receipt(stage, claims)),
    },
    Step {
        name: "shop-redact",
        title: "48 hours after the uninstall, Shopify asks for it",
        text: "shop/redact finds that there is nothing to do any more.",
        act: |stage, claims| Box::pin(purge::redact(stage, claims)),
    },
    Step {
        name: "reinstall",
        title: "The shop installs the app again, and a late shop/redact arrives",
        text: "It is about the old installation. Obeying it would destroy the new one.",
        act: |stage, claims| Box::pin(purge::reinstall(stage, claims)),
    },
    Step {
        name: "mailbox",
        title: "The merchant connects the shop's mailbox",
        text: "The app asks the API where to go. The browser goes there, to the consent of the simulated Google, and \
               back. The mailbox is watched from then on, and the mail of the last days is read.",
        act: |stage, claims| Box::pin(mailbox::connect(stage, claims)),
    },
    Step {
        name: "desk",
        title: "The merchant says how mail is answered",
        text: "Who asks where a parcel is gets a text of the merchant's, ten minutes later, without anybody doing \
               anything. For everything else Claude drafts, and a person decides.",
        act: |stage, claims| Box::pin(mailbox::desk(stage, claims)),
    },
    Step {
        name: "mails",
        title: "A customer writes twice: about a refund, and about a parcel",
        text: "Gmail tells of each mail by a push. It is fetched, understood, and answered with a draft that knows \
               the order: for the first mail the one that it names, for the second the latest.",
        act: |stage, claims| Box::pin(letters::arrive(stage, claims)),
    },
    Step {
        name: "sent-by-rule",
        title: "Ten minutes later the rule answers the second mail",
        text: "Until then it can be stopped. What the reply looks like is read in the simulated Gmail.",
        act: |stage, claims| Box::pin(letters::by_rule(stage, claims)),
    },
    Step {
        name: "approved",
        title: "A person answers the first mail",
        text: "The draft is rewritten and approved through the API, which takes nothing that was not read.",
        act: |stage, claims| Box::pin(letters::approve(stage, claims)),
    },
    Step {
        name: "trick",
        title: "Somebody writes to the machine instead of the shop",
        text: "The mail wants a link sent and another customer's address told. Here Claude falls for it: the draft \
               that comes back holds the link.",
        act: |stage, claims| Box::pin(letters::trick(stage, claims)),
    },
    Step {
        name: "claude",
        title: "What Claude was told",
        text: "Every byte that reached the simulated Claude is searched for what the customer who wrote twice is \
               known by.",
        act: |stage, claims| Box::pin(person::told_to_claude(stage, claims)),
    },
    Step {
        name: "access",
        title: "She asks the merchant what is stored about her",
        text: "The merchant opens a request through the API, and hands her a link that works for a quarter of an hour.",
        act: |stage, claims| Box::pin(person::access(stage, claims)),
    },
    Step {
        name: "mail-erasure",
        title: "She asks to be forgotten",
        text: "Shopify sends customers/redact. Her conversations go with everything in them; the mailbox itself \
               stays the merchant's.",
        act: |stage, claims| Box::pin(person::erase(stage, claims)),
    },
    Step {
        name: "mail-receipt",
        title: "The receipt, and a mailbox that is read from the beginning",
        text: "Gmail forgets its history, so that all mail of the last days is read again, hers too. It must not \
               bring her back.",
        act: |stage, claims| Box::pin(person::stays_away(stage, claims)),
    },
    Step {
        name: "disconnect",
        title: "The merchant disconnects the mailbox",
        text: "Google is asked to tell nothing any more and gets the consent back. What came in by the mailbox is \
               deleted.",
        act: |stage, claims| Box::pin(mailbox::disconnect(stage, claims)),
    },
    Step {
        name: "end",
        title: "Nothing waits, nothing failed",
        text: "Queues, dead letters and everything that functions did are looked through.",
        act: |stage, claims| Box::pin(purge::end(stage, claims)),
    },
];
