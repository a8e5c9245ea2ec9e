//! `demo`: a shop's life from install to purge, played on a stack of its own and told while it happens. The
//! words are `script`'s, what is done and looked at the `acts`'; here it is played, told and judged.

mod decision;
mod erasure;
mod letters;
mod mailbox;
mod orders;
mod person;
mod purge;
mod script;
mod stage;
mod telling;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};

use serde_json::{Value, json};

use self::script::SCRIPT;
use self::stage::Stage;
use self::telling::Teller;
use super::Trouble;

/// Something the story says, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub claim: String,
    /// What has to be seen for it.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// Whether that is the same.
    pub ok: bool,
}

/// The claims of one step, as they are checked.
#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<Claim>);

#[expect(clippy::needless_pass_by_value, reason = "numbers, texts and references are all given as they are")]
impl Claims {
    /// Claims that something is as expected.
    fn that(&mut self, claim: impl Into<String>, expected: impl ToString, observed: impl ToString) {
        let (expected, observed) = (expected.to_string(), observed.to_string());
        self.0.push(Claim { claim: claim.into(), ok: expected == observed, expected, observed });
    }

    /// Claims something that is more than an equality: `expected` says what in words.
    fn holds(&mut self, claim: impl Into<String>, ok: bool, expected: &str, observed: impl ToString) {
        let (expected, observed) = (expected.to_owned(), observed.to_string());
        self.0.push(Claim { claim: claim.into(), expected, observed, ok });
    }
}

/// A step that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its short name.
    pub step: &'static str,
    /// The time on the stack's clock when it ended.
    pub virtual_time: String,
    /// What it claimed.
    pub claims: Vec<Claim>,
    /// How many requests of each kind each function made to AWS.
    pub requests: Requests,
}

/// Requests to AWS: how many of each operation, by function.
pub type Requests = BTreeMap<String, BTreeMap<String, u64>>;

/// The story, played.
#[derive(Clone, Debug)]
pub struct Story {
    /// Its steps, in order.
    pub steps: Vec<Played>,
}

impl Story {
    /// Whether everything claimed was seen.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.steps.iter().flat_map(|step| &step.claims).all(|claim| claim.ok)
    }

    /// The story for machines: every claim with its step and time, and the requests of every step.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let claims = self.steps.iter().flat_map(|played| {
            played.claims.iter().map(|claim| {
                json!({
                    "step": played.step, "virtual_time": played.virtual_time, "claim": claim.claim,
                    "expected": claim.expected, "observed": claim.observed, "ok": claim.ok,
                })
            })
        });
        let requests = self.steps.iter().map(|played| {
            let total = played.requests.values().flat_map(BTreeMap::values).sum::<u64>();
            json!({ "step": played.step, "total": total, "by_function": played.requests })
        });
        json!({
            "ok": self.holds(), "steps": claims.collect::<Vec<_>>(), "requests": requests.collect::<Vec<_>>(),
        })
    }
}

/// Plays the story on a stack of its own at a free port, and tells the teller of each step.
///
/// # Errors
/// When the stack cannot be started. What goes wrong in the story is a claim that does not hold.
pub(crate) async fn play(teller: &mut impl Teller) -> Result<Story, Trouble> {
    let mut stage = Stage::set().await?;
    let mut steps = Vec::new();
    for (place, step) in SCRIPT.iter().enumerate() {
        teller.begins(place, step)?;
        let from = stage.invocations();
        let mut claims = Claims::default();
        if let Err(trouble) = (step.act)(&mut stage, &mut claims).await {
            claims.that("this step can be played", "no trouble", trouble);
        }
        if let Err(trouble) = stage.settle().await {
            claims.that("everything that is due is worked off", "no trouble", trouble);
        }
        let played = Played {
            step: step.name,
            virtual_time: stage.now().to_rfc3339(),
            claims: claims.0,
            requests: stage.requests_since(from),
        };
        teller.ended(&played)?;
        steps.push(played);
    }
    let story = Story { steps };
    teller.over(&story)?;
    Ok(story)
}

/// Plays the story and tells nobody: for tests.
///
/// # Errors
/// When the stack cannot be started.
pub async fn play_quietly() -> Result<Story, Trouble> {
    play(&mut telling::Nobody).await
}

/// Plays the story for people. Answers whether everything claimed was seen.
pub(super) async fn tell_people(out: &mut std::io::Stdout) -> Result<bool, Trouble> {
    let colour = out.is_terminal();
    Ok(play(&mut telling::People::new(out, colour)).await?.holds())
}

/// Plays the story for machines. Answers whether everything claimed was seen.
pub(super) async fn tell_machines(out: &mut impl Write) -> Result<bool, Trouble> {
    let story = play_quietly().await?;
    let text = serde_json::to_string_pretty(&story.to_json()).unwrap_or_default();
    writeln!(out, "{text}").map_err(|error| Trouble::new("standard output", error))?;
    Ok(story.holds())
}
