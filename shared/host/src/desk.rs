//! What the jobs of the mail desk share: the orders of whoever wrote, as answers may use them, and asking Claude so that a
//! caller knows what to do without an answer. What is asked and what an answer means is `core::desk`'s.

use std::time::Duration;

use storeward_clients::claude::{self, Ask, CacheFor, Effort, Model, StopReason};
use storeward_clients::{ClientError, CustomerOrder};
use storeward_core::desk::context::{OrderContext, OrderState, ReturnState, Tracking};
use storeward_core::desk::prompt::Question;
use storeward_core::egress::Use;
use storeward_core::normalize;
use storeward_core::personal::Personal;
use storeward_store::{Engine, Installation};

use crate::context::{Context, HostError, Queue};
use crate::mail_desk::DeskTask;

/// The tokens that a model may think with before it answers: they count towards the most there may be.
const THOUGHT: u32 = 2_000;

/// How a shop calls itself, and what is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopWords {
    /// What replies call it.
    pub name: String,
    /// Its domains: where replies may link to.
    pub domains: Vec<String>,
}

impl ShopWords {
    /// A shop's words, by its profile. The domain that customers know is its name: Shopify's own is what is left.
    ///
    /// # Errors
    /// When the profile cannot be read.
    pub fn of(installation: &Installation) -> Result<Self, HostError> {
        let profile = installation.profile()?;
        let permanent = profile.domain.as_str().to_owned();
        let name = profile
            .public_domain
            .clone()
            .unwrap_or_else(|| permanent.split('.').next().unwrap_or(permanent.as_str()).replace('-', " "));
        let domains = profile.public_domain.into_iter().chain([permanent]).collect();
        Ok(Self { name, domains })
    }
}

/// What came of asking for somebody's orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orders {
    /// These, the latest first.
    Found(Vec<OrderContext>),
    /// They cannot be had now, and may be later.
    Later,
    /// They cannot be had: the app has no access to the shop, or not to orders.
    Closed,
}

/// What came of asking Claude.
#[derive(Clone, Debug, PartialEq)]
pub enum Claude {
    /// Its answer.
    Answered(Personal<String>),
    /// It was not asked: there is no key, or the merchant objects to it.
    NotAsked,
    /// It cannot be had now, and may be after so long.
    Later(Duration),
    /// It gave no answer that can be used, and would not another time; why, in words for the merchant.
    Useless(&'static str),
}

impl Context {
    /// Gives a task back to its queue for a while, at least for `after`; `false` when it waited long enough and does
    /// without.
    pub async fn put_off(&self, queue: Queue, task: &DeskTask, after: Duration) -> Result<bool, HostError> {
        let Some((later, wait)) = task.later() else { return Ok(false) };
        self.send(queue, &later, wait.max(after)).await?;
        Ok(true)
    }

    /// The latest orders of whoever wrote, by the address they wrote from. Needs [`crate::Setting::ADMIN`].
    ///
    /// # Errors
    /// When the function lacks a setting, or the store fails.
    pub async fn orders_of(
        &self,
        installation: &Installation,
        email: &Personal<String>,
    ) -> Result<Orders, HostError> {
        let access = match self.admin_access(installation).await {
            Ok(Some(access)) => access,
            Ok(None) => return Ok(Orders::Closed),
            Err(HostError::Shopify(error)) if error.is_transient() => return Ok(Orders::Later),
            Err(error) => return Err(error),
        };
        let shopify = self.shopify_for(installation).await?;
        match shopify.orders_of_customer(&access.domain, access.token.expose(), email).await {
            Ok(orders) => Ok(Orders::Found(orders.into_iter().map(context_of).collect())),
            Err(error) if error.is_transient() => Ok(Orders::Later),
            Err(error) => {
                tracing::warn!(shop = %installation.tenant.shop, %error, "orders of a customer cannot be read");
                Ok(Orders::Closed)
            }
        }
    }

    /// Asks Claude, and counts what it took. Needs [`crate::Setting::CLAUDE`].
    ///
    /// # Errors
    /// When the key cannot be decrypted, or the store fails.
    pub async fn ask_claude(
        &self,
        installation: &Installation,
        model: Model,
        question: Question,
        timeout: Duration,
    ) -> Result<Claude, HostError> {
        let Some(client) = self.claude_for(installation).await? else { return Ok(Claude::NotAsked) };
        let answered = match client.ask(&ask(model, question, timeout)).await {
            Ok(answered) => answered,
            Err(error) => return Ok(failed(installation, &error)),
        };
        let usage = answered.usage;
        let engine = (model == Model::Haiku).then_some(Engine::Claude);
        let tokens = usage.prompt() + usage.output;
        let store = self.store().await?;
        store.count_understood(installation, engine, tokens, claude::cost(&usage, model)).await?;
        tracing::info!(
            model = model.name(),
            tokens_in = usage.prompt(),
            tokens_out = usage.output,
            cached = usage.cache_read,
            stop = ?answered.stop,
            request = answered.request_id.as_deref().unwrap_or("none"),
            "asked Claude"
        );
        Ok(match answered.stop {
            StopReason::EndTurn => Claude::Answered(answered.text),
            StopReason::MaxTokens => Claude::Useless("Claude's answer was cut off"),
            StopReason::Refusal => Claude::Useless("Claude would not answer this mail"),
            StopReason::Other => Claude::Useless("Claude gave no answer"),
        })
    }
}

fn ask(model: Model, question: Question, timeout: Duration) -> Ask {
    // What never changes is the same for every shop, and asked for all day; what is the merchant's for a busy while.
    let cache = |place: usize| if place == 0 { CacheFor::OneHour } else { CacheFor::FiveMinutes };
    let system = question
        .system
        .into_iter()
        .enumerate()
        .map(|(place, part)| claude::Part { text: part.text, cache: part.lasting.then(|| cache(place)) });
    Ask {
        purpose: Use::Drafting,
        model,
        effort: match model {
            Model::Haiku => Effort::Low,
            Model::Sonnet => Effort::Medium,
        },
        system: system.collect(),
        message: question.message,
        schema: question.schema,
        max_tokens: question.max_tokens + THOUGHT,
        timeout,
    }
}

fn failed(installation: &Installation, error: &ClientError) -> Claude {
    match error {
        ClientError::NotPermitted(refusal) if !refusal.is_a_fault() => Claude::NotAsked,
        error if error.is_transient() => {
            tracing::warn!(shop = %installation.tenant.shop, %error, "Claude is not to be had");
            let ClientError::Throttled(after) = error else { return Claude::Later(Duration::ZERO) };
            Claude::Later(*after)
        }
        // The key, the bill or the budget: an operator's matter, found in the log (docs/operations.md, what to watch).
        error => {
            tracing::error!(shop = %installation.tenant.shop, %error, "Claude refused a question");
            Claude::Useless("Claude did not take the question")
        }
    }
}

fn context_of(order: CustomerOrder) -> OrderContext {
    let state = match (order.cancelled_at, order.payment.as_str(), order.fulfilment.as_str()) {
        (Some(_), ..) => OrderState::Cancelled,
        (None, "REFUNDED", _) => OrderState::Refunded,
        (None, _, "FULFILLED") => OrderState::Fulfilled,
        (None, _, "PARTIALLY_FULFILLED") => OrderState::PartiallyFulfilled,
        _ => OrderState::Unfulfilled,
    };
    let returns = match order.returns.as_str() {
        "RETURN_REQUESTED" => Some(ReturnState::Requested),
        "IN_PROGRESS" | "INSPECTION_COMPLETE" => Some(ReturnState::Open),
        "RETURNED" => Some(ReturnState::Closed),
        "RETURN_FAILED" => Some(ReturnState::Cancelled),
        _ => None,
    };
    let names: Vec<&str> = order.customer.iter().map(|name| name.expose().as_str()).collect();
    let customer_name = (!names.is_empty()).then(|| Personal::new(names.join(" ")));
    let tracking = order.parcels.into_iter().map(|parcel| Tracking {
        carrier: parcel.carrier,
        number: parcel.number,
        url: parcel.url,
    });
    OrderContext {
        name: order.name,
        state,
        placed_at: Some(order.placed_at),
        customer_name,
        tracking: tracking.collect(),
        items: Vec::new(),
        returns: returns.into_iter().collect(),
    }
}

/// Which of somebody's orders a mail is about: the one it names, else the latest. What it names that is not among theirs is
/// another's, and no matter of theirs.
#[must_use]
pub fn order_about<'a>(orders: &'a [OrderContext], texts: &[&str]) -> Option<&'a OrderContext> {
    let folded: Vec<String> = texts.iter().map(|text| format!(" {} ", normalize::fold(text))).collect();
    let named = |order: &&OrderContext| {
        let name = normalize::fold(order.name.expose());
        !name.is_empty() && folded.iter().any(|text| text.contains(&format!(" {name} ")))
    };
    orders.iter().find(named).or_else(|| orders.first())
}

#[cfg(test)]
mod tests {
    use storeward_core::time::Timestamp;

    use super::*;

    fn order(name: &str) -> OrderContext {
        OrderContext { name: Personal::new(name.to_owned()), ..OrderContext::default() }
    }

    #[test]
    fn a_mail_is_about_the_order_it_names_or_the_latest() {
        let orders = [order("#1002"), order("#1001")];
        let about = |text: &str| order_about(&orders, &["Hello", text]).unwrap().name.expose().clone();
        assert_eq!(about("Where is my order #1001?"), "#1001");
        assert_eq!(about("Where is 1001, please"), "#1001");
        assert_eq!(about("Where is 11001?"), "#1002", "a longer number is another one");
        assert_eq!(about("Where is it?"), "#1002");
        assert_eq!(order_about(&[], &["#1001"]), None);
    }

    #[test]
    fn an_order_is_told_as_far_as_it_is() {
        let told = |cancelled: bool, payment: &str, fulfilment: &str, returns: &str| {
            let context = context_of(CustomerOrder {
                name: Personal::new("#1".to_owned()),
                placed_at: Timestamp(0),
                cancelled_at: cancelled.then_some(Timestamp(1)),
                payment: payment.to_owned(),
                fulfilment: fulfilment.to_owned(),
                returns: returns.to_owned(),
                total: None,
                customer: vec![Personal::new("Sample".to_owned()), Personal::new("Person".to_owned())],
                parcels: Vec::new(),
            });
            assert_eq!(context.customer_name.unwrap().expose(), "Sample Person");
            (context.state, context.returns)
        };
        assert_eq!(told(false, "PAID", "UNFULFILLED", "NO_RETURN"), (OrderState::Unfulfilled, vec![]));
        assert_eq!(
            told(false, "PAID", "FULFILLED", "IN_PROGRESS"),
            (OrderState::Fulfilled, vec![ReturnState::Open])
        );
        assert_eq!(
            told(false, "REFUNDED", "FULFILLED", "RETURNED"),
            (OrderState::Refunded, vec![ReturnState::Closed])
        );
        assert_eq!(told(true, "REFUNDED", "UNFULFILLED", "NO_RETURN").0, OrderState::Cancelled);
    }
}
