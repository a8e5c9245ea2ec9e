//! The bodies of the API. Members are named as they are on the wire; what a caller sends has no others.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::Kind;
use storeward_core::desk::settings::DeskSettings;
use storeward_core::exception::Scope;
use storeward_core::guard::{Alert, Decision, GuardSettings, Sensitivity};
use storeward_core::instructions::{Activity, DeskActivity, Instruction};
use storeward_core::matching::{Evidence, Explanation, Field, Level, Reason};
use storeward_core::members::Members;
use storeward_core::money;
use storeward_core::personal::Personal;
use storeward_core::rights::{OpenedBy, RightsKind, RightsState};
use storeward_core::roles::{Permission, Role};
use storeward_core::time::Timestamp;
use storeward_store::{Asked, Case, CaseState, Exception, Member, MonthlyStatistics, Standing};

/// The schemas of the domain's words, made of the words themselves: the domain knows no schemas.
pub(crate) mod words {
    use schemars::{Schema, SchemaGenerator};
    use serde::Serialize;
    use serde_json::json;
    use storeward_core::data_map::Kind;
    use storeward_core::exception::Scope;
    use storeward_core::guard::{Alert, Decision, Sensitivity};
    use storeward_core::rights::{OpenedBy, RightsKind, RightsState};
    use storeward_store::{CaseState, Standing};

    fn one_of<T: Serialize>(words: &[T]) -> Schema {
        let mut schema = Schema::default();
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), json!(words));
        schema
    }

    pub(crate) fn sensitivity(_: &mut SchemaGenerator) -> Schema {
        one_of(&[Sensitivity::Cautious, Sensitivity::Balanced, Sensitivity::Thorough])
    }

    pub(crate) fn alert(_: &mut SchemaGenerator) -> Schema {
        one_of(&[Alert::Off, Alert::Each, Alert::Digest])
    }

    pub(crate) fn decision(_: &mut SchemaGenerator) -> Schema {
        one_of(&[
            Decision::Confirm,
            Decision::Dismiss,
            Decision::NeverThisHousehold,
            Decision::NeverThisCustomer,
        ])
    }

    /// A merged case is never shown: the one it was merged into is.
    pub(crate) fn case_state(_: &mut SchemaGenerator) -> Schema {
        let shown = CaseState::ALL.into_iter().filter(|state| *state != CaseState::Merged);
        one_of(&shown.collect::<Vec<_>>())
    }

    pub(crate) fn standing(_: &mut SchemaGenerator) -> Schema {
        one_of(&[Standing::Active, Standing::Cancelled, Standing::Fulfilled])
    }

    pub(crate) fn rights_kind(_: &mut SchemaGenerator) -> Schema {
        one_of(&RightsKind::ALL)
    }

    pub(crate) fn exported_kind(_: &mut SchemaGenerator) -> Schema {
        let exported = Kind::ALL.into_iter().filter(|kind| kind.row().exported);
        one_of(&exported.map(Kind::name).collect::<Vec<_>>())
    }

    pub(crate) fn opened_by(_: &mut SchemaGenerator) -> Schema {
        one_of(&OpenedBy::ALL)
    }

    pub(crate) fn rights_state(_: &mut SchemaGenerator) -> Schema {
        one_of(&RightsState::ALL)
    }

    pub(crate) fn scope(_: &mut SchemaGenerator) -> Schema {
        one_of(&[Scope::Household, Scope::Customer])
    }
}

/// The settings of the duplicate guard. A member that is left out stays as it is. Whoever lacks the permission
/// `change-privacy` changes everything but what is done at all: the activities of `/v1/instructions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Settings")]
#[expect(clippy::struct_excessive_bools, reason = "switches that a merchant sets one by one")]
pub struct SettingsBody {
    /// Whether orders are looked at at all. Off means off: no new order is stored.
    pub enabled: bool,
    /// How far apart two orders can be and still be duplicates, in minutes.
    #[schemars(range(min = 5, max = 43_200))]
    pub window_minutes: u32,
    /// How readily orders are taken for duplicates.
    #[schemars(schema_with = "words::sensitivity")]
    pub sensitivity: Sensitivity,
    /// Whether the renewals of subscriptions are looked at.
    pub include_subscriptions: bool,
    /// Whether orders made from drafts by the shop's own staff are looked at.
    pub include_drafts: bool,
    /// Whether orders of a case are tagged in the shop.
    pub tag_orders: bool,
    /// Whether the reasons are attached to the order's risk assessment.
    pub risk_facts: bool,
    /// Whether the fulfilment of orders of a case is held until the merchant decides.
    pub hold_fulfilment: bool,
    /// When the merchant is told by e-mail.
    #[schemars(schema_with = "words::alert")]
    pub alert: Alert,
    /// The hour of the day (UTC) of the digest.
    #[schemars(range(max = 23))]
    pub digest_hour: u8,
    /// Whether cases and what they saved are counted.
    pub count_savings: bool,
    /// Whether orders are compared with the shop every hour.
    pub compare_with_shop: bool,
}

impl Default for SettingsBody {
    fn default() -> Self {
        GuardSettings::default().into()
    }
}

impl From<GuardSettings> for SettingsBody {
    fn from(settings: GuardSettings) -> Self {
        // Taken apart by name: a setting that is added must be added here.
        let GuardSettings {
            enabled,
            window_minutes,
            sensitivity,
            include_subscriptions,
            include_drafts,
            tag_orders,
            risk_facts,
            hold_fulfilment,
            alert,
            digest_hour,
            count_savings,
            compare_with_shop,
        } = settings;
        Self {
            enabled,
            window_minutes,
            sensitivity,
            include_subscriptions,
            include_drafts,
            tag_orders,
            risk_facts,
            hold_fulfilment,
            alert,
            digest_hour,
            count_savings,
            compare_with_shop,
        }
    }
}

impl From<SettingsBody> for GuardSettings {
    fn from(body: SettingsBody) -> Self {
        let SettingsBody {
            enabled,
            window_minutes,
            sensitivity,
            include_subscriptions,
            include_drafts,
            tag_orders,
            risk_facts,
            hold_fulfilment,
            alert,
            digest_hour,
            count_savings,
            compare_with_shop,
        } = body;
        Self {
            enabled,
            window_minutes,
            sensitivity,
            include_subscriptions,
            include_drafts,
            tag_orders,
            risk_facts,
            hold_fulfilment,
            alert,
            digest_hour,
            count_savings,
            compare_with_shop,
        }
    }
}

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Retention")]
pub struct RetentionBody {
    /// Orders, from when they were placed.
    pub order: RetentionWindow,
    /// What duplicates of an order are found by, from when it was placed. Never longer than the order.
    pub r#match: RetentionWindow,
    /// Cases, from when they were opened.
    pub case: RetentionWindow,
    /// What was excepted from being flagged, from when that was said.
    pub exception: RetentionWindow,
    /// Conversations: who wrote when about what, from the latest mail.
    pub thread: RetentionWindow,
    /// What mails say, from when each came. Never longer than its conversation.
    pub mail: RetentionWindow,
}

/// How long one kind is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RetentionWindow {
    /// In days, as it counts now.
    pub days: u32,
    /// What was chosen for this shop, if anything was.
    pub chosen: Option<u32>,
    /// The most that can be chosen.
    pub longest: u32,
}

/// How long things are to be kept, in days. What is left out is kept for as long as it can be. What is stored already and
/// older is gone at once, and does not come back when a window becomes longer again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionRequest {
    /// Orders.
    #[schemars(range(min = 1, max = 60))]
    pub order: Option<u32>,
    /// What duplicates of an order are found by: not shorter than the settings look for duplicates.
    #[schemars(range(min = 1, max = 30))]
    pub r#match: Option<u32>,
    /// Cases.
    #[schemars(range(min = 1, max = 365))]
    pub case: Option<u32>,
    /// What was excepted from being flagged.
    #[schemars(range(min = 1, max = 365))]
    pub exception: Option<u32>,
    /// Conversations.
    #[schemars(range(min = 1, max = 365))]
    pub thread: Option<u32>,
    /// What mails say.
    #[schemars(range(min = 1, max = 90))]
    pub mail: Option<u32>,
}

/// What is done with the shop's data by the merchant's leave.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Instructions")]
pub struct InstructionsBody {
    /// Every activity: the duplicate guard's, then the mail desk's.
    pub activities: Vec<ActivityBody>,
}

/// Something that is done with the shop's data.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Activity")]
pub struct ActivityBody {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Instruction,
    /// What it is for.
    pub purpose: String,
    /// Whether its switch is on.
    pub on: bool,
    /// Whether it is done: its switch is on, and that of what it needs.
    pub done: bool,
    /// What it does nothing without.
    #[schemars(with = "Option<String>")]
    pub needs: Option<Instruction>,
    /// What it reads or writes, by the data map.
    pub kinds: Vec<String>,
}

impl InstructionsBody {
    /// Every activity, as these settings switch it.
    #[must_use]
    pub fn of(guard: &GuardSettings, desk: &DeskSettings) -> Self {
        let words = |kinds: &[Kind]| kinds.iter().map(|kind| kind.name().to_owned()).collect();
        let guards = Activity::ALL.map(|activity| ActivityBody {
            name: Instruction::Guard(activity),
            purpose: activity.purpose().to_owned(),
            on: activity.switch(guard),
            done: guard.allow(activity),
            needs: activity.needs().map(Instruction::Guard),
            kinds: words(activity.kinds()),
        });
        let desks = DeskActivity::ALL.map(|activity| ActivityBody {
            name: Instruction::Desk(activity),
            purpose: activity.purpose().to_owned(),
            on: activity.switch(desk),
            done: desk.allow(activity),
            needs: activity.needs().map(Instruction::Desk),
            kinds: words(activity.kinds()),
        });
        Self { activities: guards.into_iter().chain(desks).collect() }
    }
}

/// Switches to set.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstructionsRequest {
    /// Whether each is to be done. Those that are left out stay as they are.
    #[schemars(with = "BTreeMap<String, bool>")]
    pub activities: BTreeMap<Instruction, bool>,
}

/// Settings to try on orders that are stored already.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// The settings to try; what is left out is as it counts now. Nothing is stored.
    pub settings: SettingsBody,
}

/// What settings would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Preview")]
pub struct PreviewBody {
    /// How many orders were looked at: the latest, at most 500.
    pub orders: usize,
    /// How many days back they were looked for.
    pub days: u32,
    /// Whether these are all orders of those days. Otherwise the figures are of the latest ones that could be read.
    pub complete: bool,
    /// Under the settings to try.
    pub proposed: PreviewResult,
    /// Under the settings that count now.
    pub current: PreviewResult,
}

/// What one choice of settings comes to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PreviewResult {
    /// How many cases it would open.
    pub cases: usize,
    /// How many orders would be in them.
    pub orders: usize,
    /// Up to ten of the cases, the latest first.
    pub examples: Vec<PreviewExample>,
}

/// One case that settings would open.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PreviewExample {
    /// The merchant's names of its orders, `#1001`.
    pub orders: Vec<String>,
    /// On what they agree.
    pub reasons: Vec<ReasonBody>,
}

/// Something that orders agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Reason")]
pub struct ReasonBody {
    /// What, as a word that does not change.
    pub code: String,
    /// What, as a merchant reads it.
    pub sentence: String,
}

impl From<Reason> for ReasonBody {
    fn from(reason: Reason) -> Self {
        let code = serde_json::to_value(reason).ok();
        let code = code.and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default();
        Self { code, sentence: reason.sentence().to_owned() }
    }
}

/// A case: orders that look like one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Case")]
pub struct CaseBody {
    /// Its name: 32 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// Where it stands.
    #[schemars(schema_with = "words::case_state")]
    pub state: CaseState,
    /// When it was opened (RFC 3339); of an anonymised case the day alone.
    pub opened: String,
    /// The version of the rule it was opened under.
    pub rule: String,
    /// How many orders it has, those beyond the listed ones included.
    pub size: u64,
    /// What its orders agree on.
    pub reasons: Vec<ReasonBody>,
    /// Its orders, in the order they joined; none of an anonymised case.
    pub members: Vec<MemberBody>,
    /// How many more there are that are not shown or worked on, because a person they name restricted or objects to it.
    pub restricted: usize,
    /// The merchant's latest decision. It stays when another order joins and opens the case again.
    pub decision: Option<DecisionBody>,
    /// Counts its changes; also its `ETag`.
    pub revision: i64,
}

/// An order of a case.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Member")]
pub struct MemberBody {
    /// Shopify's number of the order. A text: it can be larger than what JavaScript counts.
    pub order_id: String,
    /// The merchant's name of it, `#1001`.
    pub name: Option<String>,
    /// When it was placed (RFC 3339).
    pub placed: String,
    /// Its total, as Shopify wrote it.
    pub total: Option<String>,
    /// The total's currency (ISO 4217).
    pub currency: Option<String>,
    /// What has become of it.
    #[schemars(schema_with = "words::standing")]
    pub standing: Standing,
    /// What it agreed on with the others when it joined.
    pub reasons: Vec<ReasonBody>,
    /// Why that was enough: the strongest comparison with another order of the case.
    pub explanation: Option<ExplanationBody>,
}

/// A comparison of two orders, field by field: a waterfall of weights that starts at the prior and ends at the sum.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Explanation")]
pub struct ExplanationBody {
    /// The whole of it, as a merchant reads it.
    pub sentence: String,
    /// The version of the rule that judged.
    pub rule: String,
    /// The sum of all steps, in bits: 1 bit doubles the odds that the two are one order placed twice.
    pub weight: f64,
    /// What it took under the sensitivity that was set, in bits.
    pub threshold: f64,
    /// How far apart the orders were placed, in whole minutes.
    pub minutes_apart: u64,
    /// The steps.
    pub steps: Vec<StepBody>,
}

/// A step of the waterfall.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Step")]
pub struct StepBody {
    /// What was compared, or is added beside it.
    #[schemars(with = "String")]
    pub field: Field,
    /// How far it agrees, from `differs` to `exact`; null for steps that compare nothing.
    #[schemars(with = "Option<String>")]
    pub level: Option<Level>,
    /// What it adds, in bits; negative where it speaks against.
    pub bits: f64,
    /// The share of people who have the value, where it is known.
    pub share: Option<f64>,
    /// How many orders of the window have the value, these two included, where they were counted.
    pub orders: Option<usize>,
    /// Whether more orders have it than are counted: it says little.
    pub saturated: bool,
}

impl From<&Explanation> for ExplanationBody {
    fn from(explanation: &Explanation) -> Self {
        let step = |step: &Evidence| StepBody {
            field: step.field,
            level: step.level,
            bits: step.bits,
            share: step.share,
            orders: step.orders,
            saturated: step.saturated,
        };
        Self {
            sentence: explanation.sentence(),
            rule: explanation.rule.clone(),
            weight: explanation.weight,
            threshold: explanation.threshold,
            minutes_apart: explanation.minutes_apart,
            steps: explanation.steps.iter().map(step).collect(),
        }
    }
}

/// A merchant's decision.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DecisionBody {
    /// What was decided.
    #[schemars(schema_with = "words::decision")]
    pub decision: Decision,
    /// When (RFC 3339).
    pub at: String,
}

impl From<&Member> for MemberBody {
    fn from(member: &Member) -> Self {
        Self {
            order_id: member.id.expose().to_string(),
            name: member.name.as_ref().map(|name| name.expose().clone()),
            placed: member.created_at.to_rfc3339(),
            total: member.total.clone(),
            currency: member.currency.clone(),
            standing: member.standing,
            reasons: member.reasons.iter().copied().map(ReasonBody::from).collect(),
            explanation: member.explanation.as_ref().map(ExplanationBody::from),
        }
    }
}

impl From<&Case> for CaseBody {
    fn from(case: &Case) -> Self {
        let decision = |decided: &storeward_store::Decided| DecisionBody {
            decision: decided.decision,
            at: decided.at.to_rfc3339(),
        };
        Self {
            id: case.reference.id().to_owned(),
            state: case.state,
            opened: case.opened.clone(),
            rule: case.rule.clone(),
            size: case.size,
            reasons: case.reasons.iter().copied().map(ReasonBody::from).collect(),
            members: case.members.iter().map(MemberBody::from).collect(),
            restricted: case.restricted(),
            decision: case.decided.as_ref().map(decision),
            revision: case.revision(),
        }
    }
}

/// A page of cases.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Cases")]
pub struct CasesBody {
    /// The cases, the latest first. A filtered page can be short, or empty, and still have a next one.
    pub cases: Vec<CaseBody>,
    /// What to send as `cursor`, with the same filter, for the next page; null at the end.
    pub next: Option<String>,
}

/// A decision to take.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// What is decided.
    #[schemars(schema_with = "words::decision")]
    pub decision: Decision,
}

/// A further look that was asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Recheck")]
pub struct RecheckBody {
    /// How many orders of the case are looked at again. Orders that are not kept any more are not.
    pub orders: usize,
}

/// The shop's exceptions.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Exceptions")]
pub struct ExceptionsBody {
    /// The exceptions, the latest first.
    pub exceptions: Vec<ExceptionBody>,
}

/// A household or customer that is not flagged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Exception")]
pub struct ExceptionBody {
    /// Its name: 32 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// Whom it is for.
    #[schemars(schema_with = "words::scope")]
    pub scope: Scope,
    /// How a merchant recognises them: addresses, or e-mails, phones and customer numbers.
    pub labels: Vec<String>,
    /// How many more there are that are not shown, because a person restricted or objects to the use of their data.
    pub restricted: usize,
    /// When the merchant said so (RFC 3339). It ends a year later.
    pub since: String,
}

impl From<Exception> for ExceptionBody {
    fn from(exception: Exception) -> Self {
        Self {
            id: exception.id,
            scope: exception.scope,
            labels: exception.labels.into_iter().map(Personal::into_inner).collect(),
            restricted: exception.restricted,
            since: exception.since.to_rfc3339(),
        }
    }
}

/// The sub-processors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Processors")]
pub struct ProcessorsBody {
    /// All of them, also those that are not in use yet.
    pub processors: Vec<ProcessorBody>,
}

/// A sub-processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Processor")]
pub struct ProcessorBody {
    /// What it is objected to by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether the service cannot be given without it.
    pub essential: bool,
    /// What does not happen without it.
    pub without: String,
    /// Since when the merchant objects, if it does. Nothing is sent to it, and what `without` says holds.
    pub objected_at: Option<String>,
    /// What it is used for.
    pub uses: Vec<ProcessorUseBody>,
}

/// One use of a sub-processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ProcessorUse")]
pub struct ProcessorUseBody {
    /// What for, as a word.
    pub purpose: String,
    /// What for, as a text.
    pub about: String,
    /// Which categories of data it may get for that, and no others.
    pub categories: Vec<String>,
    /// Where it is processed.
    pub region: String,
    /// Whether it counts for this merchant.
    pub state: UseState,
    /// When it was announced, if it came by a change.
    pub announced_at: Option<String>,
    /// From when it counts at the earliest, if it came by a change.
    pub effective_at: Option<String>,
    /// When this merchant was told of the change.
    pub told_at: Option<String>,
    /// From when it counts for this merchant, while it does not and that is known.
    pub in_force_from: Option<String>,
}

/// Whether a use of a sub-processor counts for a merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UseState {
    /// It does.
    InForce,
    /// It is announced, and nothing is sent before it counts.
    Announced,
    /// It counts for nobody: what needs it does not exist yet.
    NotInUse,
}

/// What the guard was good for, month by month.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Savings")]
pub struct SavingsBody {
    /// The months, the latest first.
    pub months: Vec<MonthBody>,
}

/// One month in UTC.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Month")]
pub struct MonthBody {
    /// Which, `2026-11`.
    #[schemars(regex(pattern = "^[0-9]{4}-[0-9]{2}$"))]
    pub month: String,
    /// Cases opened in it.
    pub opened: i64,
    /// Cases confirmed in it that still are.
    pub confirmed: i64,
    /// Cases dismissed in it that still are.
    pub dismissed: i64,
    /// The totals of confirmed duplicates: of each case all orders but the one that is wanted, and those that were sent.
    pub saved: Vec<SavedBody>,
}

/// A sum in one currency.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Saved")]
pub struct SavedBody {
    /// ISO 4217.
    pub currency: String,
    /// The sum in the currency's minor units.
    pub minor_units: i64,
    /// How many decimal digits the minor units stand for: 2 of EUR, 0 of JPY.
    pub exponent: u32,
}

impl From<MonthlyStatistics> for MonthBody {
    fn from(month: MonthlyStatistics) -> Self {
        let saved = month.saved.into_iter().filter_map(|(currency, minor_units)| {
            let exponent = money::exponent(&currency)?;
            Some(SavedBody { currency, minor_units, exponent })
        });
        Self {
            saved: saved.collect(),
            month: month.month,
            opened: month.opened,
            confirmed: month.confirmed,
            dismissed: month.dismissed,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Self")]
pub struct SelfBody {
    /// The member's blinded name in this shop.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// What the member is.
    pub role: RoleBody,
    /// What the member may do: the permissions that routes need.
    pub may: Vec<&'static str>,
}

impl SelfBody {
    /// What a member of that role is told.
    #[must_use]
    pub fn new(actor: &str, role: Role) -> Self {
        let may = Permission::ALL.into_iter().filter(|permission| role.may(*permission));
        Self { id: actor.to_owned(), role: role.into(), may: may.map(Permission::name).collect() }
    }
}

/// What a member of the merchant's staff is (docs/roles.md).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Role")]
pub enum RoleBody {
    /// Decides who is what, and everything else.
    Owner,
    /// Runs the service.
    Admin,
    /// Works on cases.
    Agent,
    /// Looks.
    Viewer,
    /// Sees nothing of other people's.
    Vendor,
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Agent => Self::Agent,
            Role::Viewer => Self::Viewer,
            Role::Vendor => Self::Vendor,
        }
    }
}

impl From<RoleBody> for Role {
    fn from(role: RoleBody) -> Self {
        match role {
            RoleBody::Owner => Self::Owner,
            RoleBody::Admin => Self::Admin,
            RoleBody::Agent => Self::Agent,
            RoleBody::Viewer => Self::Viewer,
            RoleBody::Vendor => Self::Vendor,
        }
    }
}

/// The members of the shop's staff who opened the app, and what whoever comes next is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Members")]
pub struct MembersBody {
    /// In the order they came.
    pub members: Vec<StaffBody>,
    /// What a member is whom nobody has given a role.
    pub newcomers: RoleBody,
}

/// A member of the shop's staff.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "StaffMember")]
pub struct StaffBody {
    /// The blinded name in this shop.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// Shopify's number of the account: the last part of its address in the admin, under Settings, Users.
    pub user: String,
    /// What the member is.
    pub role: RoleBody,
    /// When the member first opened the app.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Whether it is who asks.
    pub you: bool,
}

impl MembersBody {
    /// The list as `actor` sees it.
    #[must_use]
    pub fn new(members: &Members, actor: &str) -> Self {
        let staff = members.list().iter().map(|member| StaffBody {
            id: member.id.clone(),
            user: member.user.expose().clone(),
            role: member.role.into(),
            since: member.since.to_rfc3339(),
            you: member.id == actor,
        });
        Self { members: staff.collect(), newcomers: members.newcomers().into() }
    }
}

/// What newcomers shall be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Newcomers")]
pub struct NewcomersRequest {
    /// Agent, viewer or vendor.
    pub newcomers: RoleBody,
}

/// What a member shall be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRole")]
pub struct RoleRequest {
    /// The role.
    pub role: RoleBody,
}

/// A rights request to open. By at least one of e-mail, phone and customer number, all of which must be right.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// What the person asks for.
    #[schemars(schema_with = "words::rights_kind")]
    pub kind: RightsKind,
    /// The person's e-mail address.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub email: Option<Personal<String>>,
    /// The person's phone number, with the country: `+12025550143`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub phone: Option<Personal<String>>,
    /// Shopify's number of the person's customer account.
    #[serde(default)]
    #[schemars(with = "Option<u64>")]
    pub customer_id: Option<Personal<u64>>,
    /// What is right, for a rectification alone.
    #[serde(default)]
    pub corrections: Option<CorrectionsBody>,
}

/// What is right in place of what is stored. Names and addresses are put right in the shop, which tells of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Corrections")]
pub struct CorrectionsBody {
    /// The right e-mail address.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub email: Option<Personal<String>>,
    /// The right phone number, with the country.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub phone: Option<Personal<String>>,
}

/// A rights request: nothing of whom it is about.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RightsRequest")]
pub struct RequestBody {
    /// Its name.
    pub id: String,
    /// What was asked for.
    #[schemars(schema_with = "words::rights_kind")]
    pub kind: RightsKind,
    /// Who opened it.
    #[schemars(schema_with = "words::opened_by")]
    pub opened_by: OpenedBy,
    /// Where it stands.
    #[schemars(schema_with = "words::rights_state")]
    pub state: RightsState,
    /// When it came.
    pub received_at: String,
    /// By when it is to be answered.
    pub due_at: String,
    /// When it was carried out or refused.
    pub finished_at: Option<String>,
    /// Why it was refused, as a word that does not change.
    pub refused_because: Option<String>,
    /// What that means.
    pub explanation: Option<String>,
    /// How many records it changed or found, by kind.
    pub counts: BTreeMap<String, u64>,
    /// What its deadline comes to when it is near or over.
    pub warning: Option<String>,
}

impl RequestBody {
    /// A request as it stands at `now`.
    #[must_use]
    pub fn of(asked: &Asked, now: Timestamp) -> Self {
        Self {
            id: asked.reference.id().to_owned(),
            kind: asked.kind,
            opened_by: asked.by,
            state: asked.state,
            received_at: asked.received_at.to_rfc3339(),
            due_at: asked.due_at().to_rfc3339(),
            finished_at: asked.finished_at.map(Timestamp::to_rfc3339),
            refused_because: asked.because.map(|because| because.name().to_owned()),
            explanation: asked.because.map(|because| because.sentence().to_owned()),
            counts: asked.counts.clone(),
            warning: asked.warning(now).map(|warning| warning.to_string()),
        }
    }
}

/// A page of rights requests.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "RightsRequests")]
pub struct RequestsBody {
    /// The requests, the latest first.
    pub requests: Vec<RequestBody>,
    /// What to ask for the next page with; null at the end.
    pub next: Option<String>,
}

/// Where a document can be fetched, for a few minutes, by whoever has the address.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Link")]
pub struct LinkBody {
    /// The JSON file.
    pub json: String,
    /// The same as a page to read.
    pub html: String,
    /// The further pieces of a document that is too large for one answer, in their order; most have none.
    pub further: Vec<PieceBody>,
    /// Until when.
    pub until: String,
}

/// Where a further piece of a document can be fetched: a document of its own, with the next records.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LinkPiece")]
pub struct PieceBody {
    /// The JSON file.
    pub json: String,
    /// The same as a page to read.
    pub html: String,
}

impl LinkBody {
    /// The link with this token, to a document of so many pieces.
    #[must_use]
    pub fn of(token: &str, until: Timestamp, pieces: usize) -> Self {
        let address = |name: &str, form: &str| format!("/v1/exports/{name}.{form}");
        let piece = |piece: usize| {
            let name = format!("{token}.{piece}");
            PieceBody { json: address(&name, "json"), html: address(&name, "html") }
        };
        Self {
            json: address(token, "json"),
            html: address(token, "html"),
            further: (2..=pieces).map(piece).collect(),
            until: until.to_rfc3339(),
        }
    }
}

/// Everything stored about a person, as it is handed over: docs/subject-export.schema.json.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SubjectExport")]
pub struct SubjectExport {
    /// The form, with its version: `storeward-subject-export-1`.
    pub format: String,
    /// Shopify's number of the request, where it came from there.
    pub data_request: Option<u64>,
    /// When it was asked for.
    pub received_at: String,
    /// When it was put together.
    pub made_at: Option<String>,
    /// Which piece of the document this is, from 1 on.
    pub piece: usize,
    /// How many pieces it has: more than one where it is too large for one answer. Each has records of its own.
    pub pieces: usize,
    /// What is stored; empty where nothing is.
    pub records: Vec<SubjectRecord>,
}

/// One thing that is stored about the person.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SubjectRecord {
    /// What kind of record: a name of docs/data-map.md.
    #[schemars(schema_with = "words::exported_kind")]
    pub kind: String,
    /// What it holds, why, and until when.
    pub about: SubjectRecordAbout,
    /// What it says: the members depend on the kind.
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// What a kind of record holds, why, and until when.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SubjectRecordAbout {
    /// What it holds.
    pub holds: String,
    /// Why it is kept.
    pub purpose: String,
    /// For how many days it is kept; null where it ends with something else.
    pub retention: Option<KeptFor>,
}

/// How long something is kept.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct KeptFor {
    /// In days.
    pub kept_for_days: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_the_domains_and_a_typing_error_is_refused() {
        let stored = serde_json::to_value(GuardSettings::default()).unwrap();
        assert_eq!(serde_json::to_value(SettingsBody::default()).unwrap(), stored);
        let body: SettingsBody = serde_json::from_value(json!({"window_minutes": 7})).unwrap();
        assert_eq!(
            GuardSettings::from(body),
            GuardSettings { window_minutes: 7, ..GuardSettings::default() }
        );
        assert!(serde_json::from_value::<SettingsBody>(json!({"window_minute": 7})).is_err());
    }
}
