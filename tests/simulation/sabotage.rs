//! Ways to break the promises on purpose, so that it shows whether the histories would find out: writes that are lost or
//! changed between the functions and the tables, with an answer as if nothing had happened.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::support::connector::{Transport, transport};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Orders are stored without an end.
    OrdersWithoutEnd,
    /// The rows by which duplicates are found stay when their order is deleted.
    MatchingRowsStay,
    /// An erasure ends without its receipt.
    NoReceipts,
    /// A receipt does not tell what was erased.
    ReceiptsAltered,
    /// The matching never links an order with its case.
    OrdersWithoutCase,
    /// Records carry a part of what should be sealed.
    NotAllIsSealed,
    /// Mails stay when they are erased, or their conversation goes.
    MailsStay,
    /// Nothing leads from those whom a mail names to its conversation.
    ConversationsUnfound,
    /// What the store answers to whoever reads a mailbox is that everything is stored, and it is not.
    MailsLost,
    /// The erasure of a conversation leaves nothing that keeps its mails from coming back.
    ConversationsComeBack,
    /// That a reply is being sent is not written down.
    RepliesUnannounced,
    /// Nobody asks whether somebody limits the use of their data before something is stored.
    LimitsUnasked,
    /// Conversations are not marked when somebody whom they name limits the use of their data.
    LimitsUnmarked,
    /// Orders are not marked when somebody whom they name limits the use of their data.
    OrdersUnmarked,
}

impl Sabotage {
    pub(super) const ALL: [Self; 14] = [
        Self::OrdersWithoutEnd,
        Self::MatchingRowsStay,
        Self::NoReceipts,
        Self::ReceiptsAltered,
        Self::OrdersWithoutCase,
        Self::NotAllIsSealed,
        Self::MailsStay,
        Self::ConversationsUnfound,
        Self::MailsLost,
        Self::ConversationsComeBack,
        Self::RepliesUnannounced,
        Self::LimitsUnasked,
        Self::LimitsUnmarked,
        Self::OrdersUnmarked,
    ];

    /// Whether only mail shows it.
    pub(super) const fn is_of_mail(self) -> bool {
        matches!(
            self,
            Self::MailsStay
                | Self::ConversationsUnfound
                | Self::MailsLost
                | Self::ConversationsComeBack
                | Self::RepliesUnannounced
                | Self::LimitsUnasked
                | Self::LimitsUnmarked
        )
    }

    /// The same way, sabotaged.
    pub(super) fn in_front_of(self, way: Transport) -> Transport {
        transport(move |request: Request<Bytes>| {
            let way = way.clone();
            async move {
                let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
                if !target.is_some_and(|target| target.starts_with("DynamoDB_20120810.")) {
                    return way(request).await;
                }
                let (parts, body) = request.into_parts();
                let mut told: Value = serde_json::from_slice(&body).unwrap();
                if let Some(items) = told["TransactItems"].as_array_mut() {
                    let before = items.len();
                    items.retain_mut(|item| self.passes(item));
                    if before > 0 && items.is_empty() {
                        return Response::new(Bytes::from_static(b"{}"));
                    }
                }
                for list in told["RequestItems"].as_object_mut().into_iter().flat_map(|all| all.values_mut())
                {
                    let before = list.as_array().map_or(0, Vec::len);
                    let Some(items) = list.as_array_mut() else { continue };
                    items.retain_mut(|item| self.passes(item));
                    if before > 0 && items.is_empty() {
                        return Response::new(Bytes::from_static(br#"{"UnprocessedItems":{}}"#));
                    }
                }
                way(Request::from_parts(parts, Bytes::from(told.to_string()))).await
            }
        })
    }

    /// Whether a write goes through, and changed how.
    fn passes(self, write: &mut Value) -> bool {
        let put = if write["Put"].is_object() { "Put" } else { "PutRequest" };
        let delete = if write["Delete"].is_object() { "Delete" } else { "DeleteRequest" };
        let kind = write[put]["Item"]["kind"]["S"].as_str().unwrap_or_default().to_owned();
        let deleted = write[delete]["Key"]["pk"]["S"].as_str().unwrap_or_default().to_owned();
        match self {
            Self::OrdersWithoutEnd if kind == "order" => {
                write[put]["Item"].as_object_mut().unwrap().remove("expires_at");
                true
            }
            Self::MatchingRowsStay => !deleted.contains("#match#"),
            Self::NoReceipts => !write.to_string().contains("subject-erasure-verified"),
            Self::ReceiptsAltered if kind == "ledger" => {
                let entry = &mut write[put]["Item"]["entry"]["S"];
                let mut told: Value = serde_json::from_str(entry.as_str().unwrap()).unwrap();
                if told["receipt"].is_object() {
                    told["receipt"]["counts"]["order"] = serde_json::json!(1000);
                }
                *entry = told.to_string().into();
                true
            }
            Self::OrdersWithoutCase => {
                let update = &write["Update"];
                let of_order = update["Key"]["pk"]["S"].as_str().is_some_and(|pk| pk.contains("#order#"));
                !(of_order
                    && update["UpdateExpression"].as_str().is_some_and(|text| text.contains("case_id")))
            }
            Self::NotAllIsSealed if kind == "order" => {
                write[put]["Item"]["note"] = serde_json::json!({ "S": "1 Example Street" });
                true
            }
            Self::MailsStay => !deleted.contains("#mail#"),
            Self::ConversationsUnfound => {
                let leads_to = write[put]["Item"]["sk"]["S"].as_str().unwrap_or_default();
                !(kind == "subject" && leads_to.starts_with("thread/"))
            }
            Self::MailsLost => kind != "mail",
            Self::ConversationsComeBack => {
                let leads_to = write[put]["Item"]["leads_to"]["S"].as_str().unwrap_or_default();
                !(kind == "tombstone" && leads_to.starts_with("thread/"))
            }
            Self::RepliesUnannounced => !(kind == "draft" && write[put]["Item"]["phase"]["S"] == "sending"),
            Self::LimitsUnasked => {
                let asked = write["ConditionCheck"]["Key"]["pk"]["S"].as_str();
                !asked.is_some_and(|pk| pk.contains("#limit#"))
            }
            Self::LimitsUnmarked => !marks(write, "#thread#"),
            Self::OrdersUnmarked => !marks(write, "#order#"),
            Self::OrdersWithoutEnd | Self::NotAllIsSealed | Self::ReceiptsAltered => true,
        }
    }
}

/// Whether a write says of a record in such a partition that its use is limited.
fn marks(write: &Value, partition: &str) -> bool {
    let update = &write["Update"];
    let says = |text: &str| text.contains("use_limited") && !text.contains("REMOVE");
    update["Key"]["pk"]["S"].as_str().is_some_and(|pk| pk.contains(partition))
        && update["UpdateExpression"].as_str().is_some_and(says)
}
