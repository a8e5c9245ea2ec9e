//! What a review found, as a merchant reads it. What is found is `core`'s.

use storeward_core::desk::review::Concern;

/// Why a person has to look.
pub(crate) const fn concern(concern: Concern) -> &'static str {
    match concern {
        Concern::Empty => "it says nothing",
        Concern::TooLong => "it is longer than a reply should be",
        Concern::ForeignLink => "it links to what is neither the shop's nor allowed",
        Concern::ForeignAddress => "it names an e-mail address that is neither the shop's nor the customer's",
        Concern::ForeignPhone => "it names a phone number that is neither the shop's nor the customer's",
        Concern::ForeignValue => "it names a number or an address that nobody in the conversation gave",
        Concern::Placeholder => "a placeholder was left in it",
        Concern::Markup => "it is written in markup, and replies are plain text",
        Concern::Invisible => "it has characters that are not seen",
        Concern::PromptEcho => "it repeats instructions",
        Concern::LookAlike => "it has letters that look like others",
        Concern::Secret => "it has what looks like a key or a password",
    }
}
