//! The bodies about breaches of personal data: what a merchant reads, and what operators write and follow.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use storeward_core::data_map::Category;
use storeward_core::incident::{Extent, Words, about};
use storeward_core::personal::Personal;
use storeward_core::time::Timestamp;
use storeward_store::{Incident, Reached};

/// The breaches that reached the shop.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Breaches")]
pub struct BreachesBody {
    /// The breaches, the latest first.
    pub breaches: Vec<BreachBody>,
}

/// A breach of personal data, as a merchant is told of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Breach")]
pub struct BreachBody {
    /// Its id.
    pub id: String,
    /// When it began.
    pub from: String,
    /// When it ended.
    pub until: String,
    /// When it became known.
    pub aware_at: String,
    /// The categories of data that were found among what it reached.
    pub categories: Vec<String>,
    /// The categories that may have been among it besides: nothing of them was left when it was looked for.
    pub possible_categories: Vec<String>,
    /// About how many people it concerns; absent where nothing was left to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<u64>,
    /// About how many records it concerns; absent where nothing was left to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// What happened.
    pub nature: String,
    /// What is likely to come of it.
    pub consequences: String,
    /// What was done and is going to be done.
    pub measures: String,
    /// Whom to ask.
    pub contact: String,
    /// When the merchant was told; absent where the notice could not be sent yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
}

impl BreachBody {
    /// What one shop is told of a breach.
    #[must_use]
    pub fn of(incident: &Incident, reached: &Reached) -> Self {
        let Words { nature, consequences, measures, contact } = incident.words.clone();
        let number = |number| (!reached.extent.is_nothing()).then(|| about(number));
        Self {
            id: incident.id.clone(),
            from: incident.reach.from.to_rfc3339(),
            until: incident.reach.until.to_rfc3339(),
            aware_at: incident.aware_at.to_rfc3339(),
            categories: words_of(&incident.reach.found(&reached.extent)),
            possible_categories: words_of(&incident.reach.possible(&reached.extent)),
            people: number(reached.extent.people),
            records: number(reached.extent.total()),
            nature: nature.into_inner(),
            consequences: consequences.into_inner(),
            measures: measures.into_inner(),
            contact: contact.into_inner(),
            told_at: reached.at.map(Timestamp::to_rfc3339).filter(|_| reached.standing.is_told()),
        }
    }
}

fn words_of(categories: &[Category]) -> Vec<String> {
    categories.iter().map(|category| category.words().to_owned()).collect()
}

/// A breach, as operators follow it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Incident")]
pub struct IncidentBody {
    /// Its id.
    pub id: String,
    /// How far it has come.
    pub phase: String,
    /// How bad it is.
    pub severity: String,
    /// Whether it is a drill.
    pub drill: bool,
    /// When it was written down.
    pub opened_at: String,
    /// Since when it is known.
    pub aware_at: String,
    /// When merchants have to have been told.
    pub due_at: String,
    /// When every merchant had been told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notified_at: Option<String>,
    /// From when.
    pub from: String,
    /// Until when.
    pub until: String,
    /// The categories of data it reached.
    pub categories: Vec<String>,
    /// The first element of the notice that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacking: Option<String>,
    /// The shops it reached, as far as they were found.
    pub shops: Vec<ReachedBody>,
}

/// A shop that a breach reached.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReachedShop")]
pub struct ReachedBody {
    /// Its blinded name.
    pub shop: String,
    /// `waiting`, `told`, `rehearsed` or `unreachable`.
    pub standing: String,
    /// When it came to that standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Resend's id of the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// Where it is filed that the merchant was told in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// About how many people.
    pub people: u64,
    /// Records by kind.
    pub records: BTreeMap<String, u64>,
}

impl IncidentBody {
    /// What operators see of a breach.
    #[must_use]
    pub fn of(incident: &Incident, shops: &[Reached]) -> Self {
        let shop = |reached: &Reached| {
            let Extent { records, people } = &reached.extent;
            ReachedBody {
                shop: reached.tenant.shop.to_string(),
                standing: reached.standing.name().to_owned(),
                at: reached.at.map(Timestamp::to_rfc3339),
                mail: reached.mail.clone(),
                reference: reached.reference.clone(),
                people: *people,
                records: records.iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect(),
            }
        };
        Self {
            id: incident.id.clone(),
            phase: incident.phase.name().to_owned(),
            severity: incident.severity.name().to_owned(),
            drill: incident.drill,
            opened_at: incident.opened_at.to_rfc3339(),
            aware_at: incident.aware_at.to_rfc3339(),
            due_at: (incident.aware_at + storeward_core::incident::DEADLINE).to_rfc3339(),
            notified_at: incident.notified_at.map(Timestamp::to_rfc3339),
            from: incident.reach.from.to_rfc3339(),
            until: incident.reach.until.to_rfc3339(),
            categories: words_of(&incident.reach.categories()),
            lacking: incident.words.complete().err().map(|fault| fault.to_string()),
            shops: shops.iter().map(shop).collect(),
        }
    }
}

/// All breaches and drills.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Incidents")]
pub struct IncidentsBody {
    /// The latest first; their shops are left out.
    pub incidents: Vec<IncidentBody>,
}

/// What a breach is opened with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "NewIncident")]
#[serde(deny_unknown_fields)]
pub struct NewIncidentBody {
    /// `critical`, `high`, `medium` or `low`.
    #[schemars(with = "String")]
    pub severity: storeward_core::incident::Severity,
    /// Whether it is a drill: everything is done but the sending.
    #[serde(default)]
    pub drill: bool,
    /// Since when it is known (RFC 3339): the 72 hours begin here.
    pub aware_at: String,
    /// When it began.
    pub from: String,
    /// When it ended.
    pub until: String,
    /// Which kinds of records it reached, by their names in docs/data-map.md; all that are about customers, when it is left out.
    #[serde(default)]
    pub kinds: Option<Vec<String>>,
    /// What is said of it. What is missing can be said later.
    #[serde(default)]
    pub words: WordsBody,
}

/// What is said of a breach: each of these before merchants are told.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "BreachWords")]
#[serde(default, deny_unknown_fields)]
pub struct WordsBody {
    /// What happened.
    pub nature: String,
    /// What is likely to come of it.
    pub consequences: String,
    /// What was done and is going to be done.
    pub measures: String,
    /// Whom a merchant can ask.
    pub contact: String,
}

impl From<WordsBody> for Words {
    fn from(body: WordsBody) -> Self {
        Self {
            nature: body.nature.into(),
            consequences: body.consequences.into(),
            measures: body.measures.into(),
            contact: body.contact.into(),
        }
    }
}

/// That merchants were told of a breach in another way than by our mail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ToldOtherwise")]
#[serde(deny_unknown_fields)]
pub struct ToldOtherwiseBody {
    /// The shops, by their blinded names, as the incident lists them.
    pub shops: Vec<String>,
    /// Where it is filed: a number, so that it is about nobody.
    #[schemars(with = "String")]
    pub reference: Personal<String>,
}

/// The end of a breach.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "Closing")]
#[serde(deny_unknown_fields)]
pub struct ClosingBody {
    /// Where it is filed why nobody has to be told: before any merchant was.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub reference: Option<Personal<String>>,
}
