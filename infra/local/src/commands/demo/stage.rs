//! What the story is played on: a stack of its own, what can be done with it over HTTP, and what can be seen
//! in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storeward_core::shop::{ShopDomain, Tenant};
use storeward_core::time::Timestamp;

use super::Requests;
use super::letters::Letter;
use super::mailbox::{EARLIER, MAILBOX};
use crate::claude::Claude;
use crate::commands::Trouble;
use crate::commands::client::{self, Answer};
use crate::commands::history::{self, ACCESS_TOKEN, SHOP};
use crate::commands::serve::Served;
use crate::commands::webhooks::Webhook;
use crate::google::Google;
use crate::resend::Mail;
use crate::runtime::bundle::CLIENT_ID;
use crate::shopify::API_VERSION;

/// The second shop.
pub(super) const OTHER_SHOP: &str = "storeward-second.myshopify.com";

/// When the story begins: five minutes before the sample orders were placed.
const BEGINNING: &str = "2026-11-20T14:55:00Z";

/// Sample events of the repository.
pub(super) const FIRST: &str = include_str!("../../../../../events/webhooks/orders-create/first.json");
pub(super) const SECOND: &str =
    include_str!("../../../../../events/webhooks/orders-create/second-same-person.json");
pub(super) const STRANGER: &str =
    include_str!("../../../../../events/webhooks/orders-create/guest-base64.json");
pub(super) const REDACT: &str = include_str!("../../../../../events/webhooks/customers-redact/by-id.json");
pub(super) const UNINSTALLED: &str =
    include_str!("../../../../../events/webhooks/app-uninstalled/plain.json");
pub(super) const SHOP_REDACT: &str = include_str!("../../../../../events/webhooks/shop-redact/plain.json");

/// Where an item stands: table, partition key, sort key.
pub(super) type Place = (String, String, String);

/// A stack, and what earlier steps leave for later ones.
pub(crate) struct Stage {
    served: Served,
    /// The installation the story is about.
    pub(super) tenant: Option<Tenant>,
    /// Every item that is there because of the customer's two orders.
    pub(super) of_customer: BTreeSet<Place>,
    /// What was there before them.
    pub(super) before: BTreeSet<Place>,
    /// When the shop uninstalled the app.
    pub(super) uninstalled_at: Timestamp,
    /// The second shop's items before the first one was purged.
    pub(super) of_other: BTreeSet<Place>,
    /// What the acts of the mail desk leave for each other.
    pub(super) desk: Desk,
}

/// What the acts of the mail desk leave for each other.
#[derive(Default)]
pub(super) struct Desk {
    /// The mailbox's name in the API.
    pub(super) mailbox: String,
    /// The conversations about the refund and about the parcel, by their names in the API.
    pub(super) refund: String,
    pub(super) parcel: String,
    /// What was there before the customer wrote.
    pub(super) before: BTreeSet<Place>,
    /// Every item that is there because the customer wrote.
    pub(super) of_writer: BTreeSet<Place>,
}

impl Stage {
    /// Starts a stack at a free port.
    pub(super) async fn set() -> Result<Self, Trouble> {
        let from = Timestamp::parse_rfc3339(BEGINNING).unwrap_or_default();
        let served = Served::start(0, None, from).await?;
        // Days old when the mailbox is connected.
        let google = served.bundle.stack.google();
        google.add_mailbox(MAILBOX);
        let _id = google.deliver(MAILBOX, EARLIER.raw());
        // The first hourly sweep of a new deployment looks two days back: that belongs to no step.
        let settled = served.bundle.stack.settle().await;
        settled.map_err(|error| Trouble::new("the stack", error))?;
        Ok(Self {
            served,
            tenant: None,
            of_customer: BTreeSet::new(),
            before: BTreeSet::new(),
            uninstalled_at: from,
            of_other: BTreeSet::new(),
            desk: Desk::default(),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.served.bundle.stack.now()
    }

    /// Installs the app as a merchant does with Shopify's managed installation: Shopify knows that it is there, the
    /// admin opens it, and the app's page sends the session token it got to the bundle. Answers what that answered.
    pub(super) async fn install(&self, shop: &str) -> Result<String, Trouble> {
        history::introduce(&self.served.bundle, shop, "Storeward Demo");
        let path = self.path_of("token-exchange")?;
        let answer = self.send("POST", &path, &[("authorization", &self.session(shop).await?)], "").await?;
        Ok(if answer.json()["connected"] == true {
            format!("{} connected", answer.status)
        } else {
            answer.body
        })
    }

    /// The installation of a shop, if the bundle has one.
    pub(super) async fn tenant_of(&self, shop: &str) -> Result<Option<Tenant>, Trouble> {
        let failed = |error: storeward_store::StoreError| Trouble::new("the installation", error);
        let domain: ShopDomain = shop.parse().map_err(|_| Trouble(format!("{shop} is no domain")))?;
        let store = history::store_of(&self.served.bundle).await?;
        let store = store.get();
        let found = store.installation(&store.shop_id(&domain)).await.map_err(failed)?;
        Ok(found.map(|installation| installation.tenant))
    }

    /// Where a function is reached over HTTP: at its route of the API, or at its URL.
    fn path_of(&self, function: &str) -> Result<String, Trouble> {
        let functions = &self.served.bundle.stack.template().functions;
        let found = functions.iter().find(|wired| wired.name == function);
        let found = found.ok_or_else(|| Trouble(format!("template.yaml has no function {function}")))?;
        Ok(match found.routes.first() {
            Some(route) => format!("/api{}", route.path),
            None => format!("/lambda-url/{function}/"),
        })
    }

    /// The `Authorization` of the app's page in a shop: the session token that the simulated admin hands it.
    async fn session(&self, shop: &str) -> Result<String, Trouble> {
        let opened = self.send("GET", &format!("/{shop}/admin/apps/{CLIENT_ID}"), &[], "").await?;
        let token = opened.json()["id_token"].as_str().map(|token| format!("Bearer {token}"));
        token.ok_or_else(|| Trouble(format!("the admin of {shop} does not show the app: {}", opened.body)))
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, Trouble> {
        client::send(self.served.port, method, path, headers, body).await
    }

    /// Asks the merchants' API as nobody.
    pub(super) async fn ask_as_nobody(&self, path: &str) -> Result<Answer, Trouble> {
        self.send("GET", &format!("/api{path}"), &[], "").await
    }

    /// Asks the merchants' API as the app's page in a shop's admin does, and lets what it leads to be worked off.
    pub(super) async fn ask(&self, shop: &str, path: &str) -> Result<Value, Trouble> {
        self.call(shop, "GET", path, "").await
    }

    /// The same, with something to say.
    pub(super) async fn tell(&self, shop: &str, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.call(shop, "POST", path, &body.to_string()).await
    }

    async fn call(&self, shop: &str, method: &str, path: &str, body: &str) -> Result<Value, Trouble> {
        let answer = self.request(shop, method, path, None, body).await?;
        if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(Trouble(format!("{method} {path} was answered {}: {}", answer.status, answer.body)))
        }
    }

    /// Sends the merchants' API a request as the app's page does, about the revision that `etag` names, and lets what it
    /// leads to be worked off. Whatever it is answered is an answer.
    pub(super) async fn request(
        &self,
        shop: &str,
        method: &str,
        path: &str,
        etag: Option<&str>,
        body: &str,
    ) -> Result<Answer, Trouble> {
        let session = self.session(shop).await?;
        let mut headers = vec![("authorization", &*session), ("content-type", "application/json")];
        headers.extend(etag.map(|etag| ("if-match", etag)));
        let answer = self.send(method, &format!("/api{path}"), &headers, body).await?;
        self.settle().await?;
        Ok(answer)
    }

    /// Opens an address of this stack as a browser does that holds this cookie.
    pub(super) async fn browse(&self, url: &str, cookie: Option<&str>) -> Result<Answer, Trouble> {
        let path = url.strip_prefix(&format!("http://127.0.0.1:{}", self.served.port)).unwrap_or(url);
        let headers: Vec<_> = cookie.map(|cookie| ("cookie", cookie)).into_iter().collect();
        self.send("GET", path, &headers, "").await
    }

    /// Has a mail arrive in the shop's mailbox, of which Google then tells, and lets what it leads to be worked off.
    pub(super) async fn deliver(&self, letter: &Letter) -> Result<(), Trouble> {
        let _id = self.google().deliver(MAILBOX, letter.raw());
        self.settle().await
    }

    /// The Google whose mailboxes are read.
    pub(super) fn google(&self) -> &Google {
        self.served.bundle.stack.google()
    }

    /// The Claude that is asked.
    pub(super) fn claude(&self) -> &Claude {
        self.served.bundle.stack.claude()
    }

    /// How many calls the simulated Shopify got.
    pub(super) fn shopify_calls(&self) -> usize {
        self.served.bundle.stack.shopify().calls().len()
    }

    /// Ends the app's access on Shopify's side.
    pub(super) fn end_access(&self) {
        self.served.bundle.stack.shopify().uninstall(SHOP);
    }

    /// Whether the bundle still holds an access token of the shop.
    pub(super) async fn holds_token(&self) -> Result<bool, Trouble> {
        let failed = |error: storeward_store::StoreError| Trouble::new("the installation", error);
        let store = history::store_of(&self.served.bundle).await?;
        let tenant = self.tenant.as_ref().ok_or_else(|| Trouble("there is no installation".to_owned()))?;
        let installation = store.get().tenant(tenant).await.map_err(failed)?;
        let access = installation.map(|installation| installation.access()).transpose().map_err(failed)?;
        Ok(access.flatten().is_some())
    }

    /// Posts a webhook to its function's URL, and lets what it leads to be worked off.
    pub(super) async fn post(&self, webhook: &Webhook) -> Result<String, Trouble> {
        let answer = webhook.post(self.served.port).await?;
        self.settle().await?;
        Ok(in_short(&answer))
    }

    /// Has an order placed in Shopify, which then posts it.
    pub(super) async fn order(&self, webhook: &Webhook) -> Result<String, Trouble> {
        history::place_order(&self.served.bundle, &webhook.shop, &webhook.body);
        self.post(webhook).await
    }

    /// Works off what is due. Functions are woken anyway; this waits for them.
    pub(super) async fn settle(&self) -> Result<(), Trouble> {
        let settled = self.served.bundle.stack.settle().await;
        settled.map(drop).map_err(|error| Trouble::new("the stack", error))
    }

    /// Moves the clock, as anybody can.
    pub(super) async fn pass(&self, by: Duration) -> Result<(), Trouble> {
        let advance = json!({ "advance": format!("{}s", by.as_secs()) });
        let answer = client::post_json(self.served.port, "/_local/clock", &advance).await?;
        if answer.status == 200 { Ok(()) } else { Err(Trouble(answer.body)) }
    }

    /// Moves the clock to a time that is to come.
    pub(super) async fn pass_until(&self, time: Timestamp) -> Result<(), Trouble> {
        self.pass(time.since(self.now())).await
    }

    /// What the control page knows.
    pub(super) async fn state(&self) -> Result<Value, Trouble> {
        client::state(self.served.port).await
    }

    /// What the control page knows of a shop.
    pub(super) async fn shop(&self, domain: &str) -> Result<Value, Trouble> {
        let state = self.state().await?;
        let shop = state["shops"].as_array().into_iter().flatten().find(|shop| shop["domain"] == domain);
        shop.cloned().ok_or_else(|| Trouble(format!("the control page does not know {domain}")))
    }

    /// A shop's latest ledger entry of a sort.
    pub(super) async fn ledger(&self, domain: &str, what: &str) -> Result<Option<Value>, Trouble> {
        let shop = self.shop(domain).await?;
        let mut entries = shop["ledger"].as_array().into_iter().flatten();
        Ok(entries.rfind(|entry| entry["what"] == what).cloned())
    }

    /// The tags of an order, asked from the simulated Admin API.
    pub(super) async fn tags(&self, shop: &str, order: u64) -> Result<String, Trouble> {
        let query =
            json!({ "query": format!(r#"{{ order(id: "gid://shopify/Order/{order}") {{ tags }} }}"#) });
        let path = format!("/{shop}/admin/api/{API_VERSION}/graphql.json");
        let headers = [("content-type", "application/json"), ("x-shopify-access-token", ACCESS_TOKEN)];
        let answer = self.send("POST", &path, &headers, &query.to_string()).await?.json();
        Ok(answer["data"]["order"]["tags"].to_string())
    }

    /// Every request that put messages into queues, as it was sent.
    pub(super) fn queued(&self) -> Vec<Bytes> {
        self.served.bundle.stack.cloud().sqs().sent()
    }

    /// The mails that the simulated Resend took.
    pub(super) fn mails(&self) -> Vec<Mail> {
        self.served.bundle.stack.resend().mails()
    }

    /// How often an order was tagged, by Shopify's own record of the calls it got.
    pub(super) fn taggings(&self) -> usize {
        let calls = self.served.bundle.stack.shopify().calls();
        calls.iter().filter(|call| call.fields.iter().any(|field| field == "tagsAdd")).count()
    }

    /// Every item of every table.
    pub(super) fn items(&self) -> Result<Vec<(Place, Value)>, Trouble> {
        let failed = |error: crate::cloud::dynamodb::DatabaseError| Trouble::new("the database", error);
        let database = self.served.bundle.stack.cloud().dynamodb();
        let mut items = Vec::new();
        for table in database.tables().map_err(failed)? {
            for item in database.dump(&table).map_err(failed)? {
                let key = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
                items.push(((table.clone(), key("pk"), key("sk")), item));
            }
        }
        Ok(items)
    }

    /// Where every item stands that names a shop by its blinded name, the ledger's set aside.
    pub(super) fn places_of(&self, shop: &str) -> Result<BTreeSet<Place>, Trouble> {
        let items = self.items()?.into_iter();
        let logged = |item: &Value| ["access", "ledger"].contains(&kind(item));
        let theirs = items.filter(|(_, item)| !logged(item) && item.to_string().contains(shop));
        Ok(theirs.map(|(place, _)| place).collect())
    }

    /// How many items the story's shop has of each kind.
    pub(super) fn kinds(&self) -> Result<BTreeMap<String, usize>, Trouble> {
        let name = self.blinded()?;
        let mut kinds = BTreeMap::new();
        for (_, item) in self.items()?.iter().filter(|(_, item)| item.to_string().contains(&name)) {
            *kinds.entry(kind(item).to_owned()).or_default() += 1;
        }
        Ok(kinds)
    }

    /// The blinded name of the story's shop.
    pub(super) fn blinded(&self) -> Result<String, Trouble> {
        let tenant = self.tenant.as_ref().ok_or_else(|| Trouble("there is no installation".to_owned()))?;
        Ok(tenant.shop.as_str().to_owned())
    }

    /// How often each text occurs in the bytes of the database, whatever its case.
    pub(super) fn raw(&self, texts: &[&str]) -> Result<BTreeMap<String, usize>, Trouble> {
        let bytes = self.served.bundle.stack.cloud().dynamodb().raw_bytes();
        let bytes = bytes.map_err(|error| Trouble::new("the database", error))?.to_ascii_lowercase();
        let haystack = String::from_utf8_lossy(&bytes);
        let count = |text: &&str| ((*text).to_owned(), haystack.matches(&text.to_ascii_lowercase()).count());
        Ok(texts.iter().map(count).collect())
    }

    /// How often blinded names of what was erased stand in the database's raw bytes, but for the tombstones: these lead to
    /// what was erased, so that it can be erased from a restored backup too.
    pub(super) fn raw_beside_tombstones(&self, names: &[&str]) -> Result<usize, Trouble> {
        let found: usize = self.raw(names)?.values().sum();
        let tombstones = self.items()?.into_iter().filter(|(_, item)| kind(item) == "tombstone");
        let leading: usize = tombstones
            .map(|(_, item)| item.to_string())
            .map(|item| names.iter().filter(|name| item.contains(**name)).count())
            .sum();
        Ok(found.saturating_sub(leading))
    }

    /// When a function first ran since the given invocation, whatever called it.
    pub(super) fn first_run(&self, function: &str, since: usize) -> Option<Timestamp> {
        let activities = self.served.bundle.stack.activities();
        activities.iter().skip(since).find(|activity| activity.function == function).map(|found| found.at)
    }

    /// What functions did and did not end well.
    pub(super) fn failures(&self) -> Vec<String> {
        let activities = self.served.bundle.stack.activities();
        let failed = activities.iter().filter(|activity| !activity.succeeded);
        failed.map(|activity| format!("{}: {}", activity.function, activity.outcome)).collect()
    }

    /// How many invocations there were.
    pub(super) fn invocations(&self) -> usize {
        self.served.bundle.stack.activities().len()
    }

    /// How many requests each function made to AWS since the given invocation, by operation.
    pub(super) fn requests_since(&self, from: usize) -> Requests {
        let mut requests = Requests::new();
        for activity in self.served.bundle.stack.activities().iter().skip(from) {
            for (operation, count) in &activity.requests {
                let function = requests.entry(activity.function.clone()).or_default();
                *function.entry(operation.clone()).or_default() += count;
            }
        }
        requests
    }
}

/// The kind of an item.
pub(super) fn kind(item: &Value) -> &str {
    item["kind"]["S"].as_str().unwrap_or_default()
}

/// An answer in a few words: `200 accepted`, `200 refused: erased`, `401 bad-signature`.
pub(super) fn in_short(answer: &Answer) -> String {
    let body = answer.json();
    let said = body["outcome"].as_str().or_else(|| body["type"].as_str()?.rsplit(':').next());
    let because = body["because"].as_str().map(|because| format!(": {because}")).unwrap_or_default();
    format!("{} {}{because}", answer.status, said.unwrap_or(&answer.body))
}
