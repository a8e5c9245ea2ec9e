//! The bodies about the end of the service: everything given back, and everything deleted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storeward_store::Handover;

/// A page of everything that is stored for the shop.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Handover")]
pub struct HandoverBody {
    /// The records. The first page begins with what is known of the shop itself.
    pub records: Vec<HandoverRecord>,
    /// What to send as `cursor` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "HandoverRecord")]
pub struct HandoverRecord {
    /// What kind of record: a name of docs/data-map.md.
    pub kind: String,
    /// What it holds, why, and for how long.
    pub about: Value,
    /// What it says: its open attributes, and in `record` what was sealed.
    pub data: Value,
}

impl From<Handover> for HandoverBody {
    fn from(page: Handover) -> Self {
        let records = page.records.into_iter().map(|record| HandoverRecord {
            kind: record.kind,
            about: record.about,
            data: record.data.into_inner(),
        });
        Self { records: records.collect(), next: page.next }
    }
}

/// That everything is to be deleted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "EndingRequest")]
#[serde(deny_unknown_fields)]
pub struct EndingRequest {
    /// The shop's permanent domain, `name.myshopify.com`, so that it does not happen by mistake.
    pub confirm: String,
}

/// What follows.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Ending")]
pub struct EndingBody {
    /// From when on everything is deleted; it takes minutes, and ends with a receipt in the ledger.
    pub deleted_after: String,
}
