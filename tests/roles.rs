//! Who may do what, over the real gateway: every route of both APIs with every role, and members and operators as they
//! come and go. What the table says is `core::roles`'.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use storeward_core::data_map::Kind;
use storeward_core::guard::GuardSettings;
use storeward_core::instructions::Activity;
use storeward_core::members::{Changing, Members};
use storeward_core::roles::{OperatorPermission, OperatorRole, Permission, Role};
use storeward_core::time::{DAY, HOUR, Timestamp};
use storeward_local::runtime::LocalStack;
use storeward_local::runtime::bundle::{Bundle, Keep, Options};
use storeward_store::{Acting, By, Installation, Profile, Store, What};
use tokio::task::JoinHandle;

use crate::bench::{Bench, SECRETS, SHOP, START, root, sample};
use crate::ledgers::{MERCHANTS, OPERATORS, assert_document};

/// A 32-digit name of nothing.
const NOTHING: &str = "00112233445566778899aabbccddeeff";

/// The bundle on loopback, with one shop in it.
struct Local {
    bundle: Bundle,
    installation: Installation,
    serving: JoinHandle<()>,
}

impl Drop for Local {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Local {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = Options {
            template: std::fs::read_to_string(root().join("template.yaml")).unwrap(),
            client_secrets: SECRETS.map(str::to_owned).to_vec(),
            keep: Keep::Nothing { from: Timestamp::parse_rfc3339(START).unwrap() },
            parameters: BTreeMap::new(),
        };
        let bundle = Bundle::start(options, port).await.unwrap();
        let router = bundle.stack.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let profile = Profile {
            domain: SHOP.parse().unwrap(),
            shopify_id: None,
            email: None,
            plan: None,
            public_domain: None,
        };
        let store = store_of(&bundle).await;
        let installation = store.install(&profile).await.unwrap();
        Self { bundle, installation, serving }
    }

    fn stack(&self) -> &LocalStack {
        &self.bundle.stack
    }

    async fn store(&self) -> Store {
        store_of(&self.bundle).await
    }

    /// Everything that is stored, but for the log of who asked for what.
    fn dump(&self) -> BTreeMap<String, Vec<Value>> {
        let database = self.stack().cloud().dynamodb();
        let of = |table: &str| {
            let items = database.dump(table).unwrap().into_iter();
            items.filter(|item| item["kind"]["S"] != Kind::Access.name()).collect()
        };
        database.tables().unwrap().into_iter().map(|table| (table.clone(), of(&table))).collect()
    }

    /// Lets a second go by, so that the throttling does not hide what is tried, and everything that is due be done.
    async fn pause(&self) {
        self.stack().advance(Duration::from_secs(1)).await.unwrap();
        self.stack().settle().await.unwrap();
    }

    async fn ask(&self, key: &str, token: &str, body: &str) -> (u16, Value) {
        let (method, path) = key.split_once(' ').unwrap();
        let at = if path.starts_with("/operator/") { path.to_owned() } else { format!("/api{path}") };
        let request = Request::builder()
            .method(method)
            .uri(at)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        let answer = self.stack().call_api(request).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// Asks as a member of the shop's staff.
    async fn ask_as(&self, user: &str, key: &str, body: &Value) -> (u16, Value) {
        let now = self.stack().now();
        let token = crate::api::token(SHOP, SECRETS[0], now, |claims| claims["sub"] = json!(user));
        self.ask(key, &token, &if body.is_null() { String::new() } else { body.to_string() }).await
    }

    async fn ask_operator(&self, role: OperatorRole, key: &str, body: &str) -> (u16, Value) {
        let token = self.stack().issuer().unwrap().token(role);
        self.ask(key, &token, body).await
    }

    fn id_of(store: &Store, installation: &Installation, user: &str) -> String {
        store.actor(&installation.tenant.shop, user)
    }
}

async fn store_of(bundle: &Bundle) -> Store {
    let context = bundle.functions.context("api/cases").unwrap();
    context.store().await.unwrap().standing_for(Acting::new(By::system("tests"), None))
}

fn kind_of(answer: &Value) -> &str {
    answer["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default()
}

/// A route's key with a name of nothing in the place of each parameter.
fn named(key: &str) -> String {
    let parts = key.split('/').map(|part| if part.starts_with('{') { NOTHING } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn each_role_gets_what_the_table_allows_on_each_route_and_nothing_else() {
    let local = Local::new().await;
    let store = local.store().await;
    // Given one member of each role.
    for (user, role) in (1..).zip(Role::ALL) {
        let user = user.to_string();
        store.member_opened(&local.installation, &user).await.unwrap();
        let id = Local::id_of(&store, &local.installation, &user);
        let give = |members: &mut Members| members.set_role(&id, role);
        store.change_members(&local.installation, What::RoleChanged, "test", give).await.unwrap();
    }
    let mut refused = 0;
    for route in MERCHANTS.iter().flat_map(|(_, routes)| *routes) {
        for (user, role) in (1..).zip(Role::ALL) {
            local.pause().await;
            let before = local.dump();
            // When the route is asked for with a body that no route takes.
            let (status, said) =
                local.ask_as(&user.to_string(), &named(route.key), &json!({ "not": "known" })).await;
            let case = format!("{} as {}: {status} {said}", route.key, role.name());
            if role.may(route.needs) {
                assert!(![401, 403].contains(&status), "{case}");
            } else {
                // Then it says what is lacking, and nothing was written.
                refused += 1;
                assert_eq!((status, kind_of(&said)), (403, "forbidden"), "{case}");
                assert!(said["detail"].as_str().unwrap().contains(route.needs.name()), "{case}");
                assert!(local.dump() == before, "{case}: it wrote");
            }
        }
    }
    assert!(refused > 30, "{refused}: roles that may everything are not roles");
}

#[tokio::test]
async fn each_operators_role_gets_what_the_table_allows_on_each_route_and_nothing_else() {
    let local = Local::new().await;
    for route in OPERATORS.iter().flat_map(|(_, routes)| *routes) {
        for role in OperatorRole::ALL {
            local.pause().await;
            let before = local.dump();
            let (status, said) = local.ask_operator(role, &named(route.key), r#"{"not":"known"}"#).await;
            let case = format!("{} as {}: {status} {said}", route.key, role.name());
            if role.may(route.needs) {
                assert!(![401, 403].contains(&status), "{case}");
            } else {
                assert_eq!((status, kind_of(&said)), (403, "forbidden"), "{case}");
                assert!(said["detail"].as_str().unwrap().contains(route.needs.name()), "{case}");
                assert!(local.dump() == before, "{case}: it wrote");
            }
        }
        // Whoever is no operator is nobody there, a merchant's owner included; and no operator is a merchant's.
        let issuer = local.stack().issuer().unwrap();
        let now = local.stack().now();
        let strangers = [
            crate::api::token(SHOP, SECRETS[0], now, |_| {}),
            issuer.token_with(&json!({ "groups": ["support"], "aud": "another" })),
            issuer.token_with(&json!({ "groups": ["support"], "iss": "https://example.com" })),
            issuer.token_with(&json!({ "groups": ["support"], "exp": now.seconds() - 60 })),
            issuer.token_with(&json!({ "groups": ["support"], "amr": ["pwd"] })),
            issuer.token_with(&json!({ "groups": ["owner"] })),
            "canary".to_owned(),
        ];
        for token in strangers {
            local.pause().await;
            let (status, said) = local.ask(&named(route.key), &token, "{}").await;
            assert_eq!((status, kind_of(&said)), (401, "invalid-operator-token"), "{}: {said}", route.key);
            assert!(!said.to_string().contains("canary"), "{said}");
        }
    }
    let operator = local.stack().issuer().unwrap().token(OperatorRole::Admin);
    let (status, said) = local.ask("GET /v1/settings", &operator, "").await;
    assert_eq!((status, kind_of(&said)), (401, "invalid-session"));
}

#[tokio::test]
async fn an_operator_finds_a_shop_by_its_domain_and_learns_nothing_about_people() {
    let local = Local::new().await;
    let support = OperatorRole::Support;
    let (_, me) = local.ask_operator(support, "GET /operator/v1/me", "").await;
    assert_eq!((&me["role"], me["id"].as_str().unwrap().len()), (&json!("support"), 32));
    assert!(!me.to_string().contains("test-support"), "the issuer's name of somebody: {me}");
    let may: Vec<&str> = me["may"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let table = OperatorPermission::ALL.into_iter().filter(|permission| support.may(*permission));
    assert_eq!(may, table.map(OperatorPermission::name).collect::<Vec<_>>());
    let lookup = json!({ "domain": SHOP }).to_string();
    let (status, found) = local.ask_operator(support, "POST /operator/v1/shops/lookup", &lookup).await;
    let shop = local.installation.tenant.shop.as_str();
    assert_eq!((status, &found["shop"], &found["state"]), (200, &json!(shop), &json!("installed")));
    let at = format!("GET /operator/v1/shops/{shop}");
    assert_eq!(local.ask_operator(support, &at, "").await, (200, found));
    // What was removed says so, what never was is unknown, and what is no domain is not looked for.
    local.store().await.uninstall(&local.installation, "test").await.unwrap();
    let (_, gone) = local.ask_operator(support, &at, "").await;
    assert!(gone["state"] == "uninstalled" && gone["uninstalled_at"].is_string(), "{gone}");
    let other = json!({ "domain": "never-installed.myshopify.com" }).to_string();
    let (status, unknown) = local.ask_operator(support, "POST /operator/v1/shops/lookup", &other).await;
    assert_eq!((status, &unknown["state"]), (200, &json!("unknown")));
    let at = format!("GET /operator/v1/shops/{}", unknown["shop"].as_str().unwrap());
    assert_eq!(local.ask_operator(support, &at, "").await.0, 404);
    let odd = json!({ "domain": "canary@example.com" }).to_string();
    let (status, said) = local.ask_operator(support, "POST /operator/v1/shops/lookup", &odd).await;
    assert_eq!((status, kind_of(&said)), (400, "invalid-body"));
    assert!(!said.to_string().contains("canary"), "{said}");
}

#[tokio::test]
async fn the_first_to_open_the_app_is_owner_and_decides_what_the_others_are() {
    let local = Local::new().await;
    let (store, none) = (local.store().await, Value::Null);
    let opened = async |user: &str| {
        store.member_opened(&local.installation, user).await.unwrap();
        Local::id_of(&store, &local.installation, user)
    };
    // Before anybody opened it, whoever asks looks and nothing more.
    let (_, me) = local.ask_as("41", "GET /v1/me", &none).await;
    assert_eq!(me["role"], "viewer");
    let (owner, colleague) = (opened("41").await, opened("42").await);
    let (_, me) = local.ask_as("41", "GET /v1/me", &none).await;
    assert_eq!((&me["role"], &me["id"]), (&json!("owner"), &json!(owner)));
    let may: Vec<&str> = me["may"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(may, Permission::ALL.map(Permission::name));
    let (status, _) = local.ask_as("42", "GET /v1/members", &none).await;
    assert_eq!(status, 403);
    let (_, listed) = local.ask_as("41", "GET /v1/members", &none).await;
    let rows = listed["members"].as_array().unwrap();
    let row = |row: &Value| (row["user"].clone(), row["role"].clone(), row["you"].clone());
    assert_eq!(
        rows.iter().map(row).collect::<Vec<_>>(),
        [(json!("41"), json!("owner"), json!(true)), (json!("42"), json!("viewer"), json!(false)),]
    );
    // The last owner stays; a role counts at once; two owners can do without one of them.
    let (of_owner, of_colleague) = (format!("/v1/members/{owner}"), format!("/v1/members/{colleague}"));
    for (key, body) in [
        (format!("PUT {of_owner}"), json!({ "role": "admin" })),
        (format!("DELETE {of_owner}"), none.clone()),
    ] {
        let (status, said) = local.ask_as("41", &key, &body).await;
        assert_eq!((status, kind_of(&said)), (409, "last-owner"));
    }
    let put = format!("PUT {of_colleague}");
    assert_eq!(local.ask_as("41", &put, &json!({ "role": "owner" })).await.0, 200);
    assert_eq!(local.ask_as("42", &format!("DELETE {of_owner}"), &none).await.0, 204);
    assert_eq!(local.ask_as("41", "GET /v1/me", &none).await.1["role"], "viewer");
    // What nobody is, nobody gets; newcomers are what an owner says, and never mighty.
    for (key, body, expected) in [
        (format!("PUT /v1/members/{NOTHING}"), json!({ "role": "agent" }), (404, "not-found")),
        (put.clone(), json!({ "role": "king" }), (400, "invalid-body")),
        (put, json!({ "role": "agent", "more": 1 }), (400, "invalid-body")),
        ("PUT /v1/members".to_owned(), json!({ "newcomers": "admin" }), (422, "role-too-mighty")),
    ] {
        let (status, said) = local.ask_as("42", &key, &body).await;
        assert_eq!((status, kind_of(&said)), expected, "{key}");
    }
    assert_eq!(local.ask_as("42", "PUT /v1/members", &json!({ "newcomers": "agent" })).await.0, 200);
    assert_eq!(local.ask_as("43", "GET /v1/me", &none).await.1["role"], "agent");
    // Each change is in the ledger, by whom it was made; and no staff number is anywhere in the clear.
    let entries = store.ledger_of(&local.installation.tenant.shop, local.stack().now()).await.unwrap();
    let told: BTreeSet<(String, bool)> = entries
        .iter()
        .map(|entry| (format!("{:?}", entry.what), entry.by == Some(By::Merchant(colleague.clone()))))
        .collect();
    for expected in [("MemberCame", false), ("RoleChanged", true), ("MemberRemoved", true)] {
        assert!(told.contains(&(expected.0.to_owned(), expected.1)), "{told:?}");
    }
    // A later installation begins anew.
    store.uninstall(&local.installation, "test").await.unwrap();
    local.stack().advance(Duration::from_secs(1)).await.unwrap();
    let again = store.install(&local.installation.profile().unwrap()).await.unwrap();
    store.member_opened(&again, "44").await.unwrap();
    assert_eq!(local.ask_as("44", "GET /v1/me", &none).await.1["role"], "owner");
    assert_eq!(local.ask_as("42", "GET /v1/me", &none).await.1["role"], "viewer");
    let refused = store.change_members(&local.installation, What::RoleChanged, "test", |members| {
        members.set_newcomers(Role::Vendor)
    });
    assert_eq!(refused.await.unwrap(), storeward_store::ChangingMembers::NotInstalled);
}

#[tokio::test]
async fn whoever_may_not_switch_processing_changes_settings_and_switches_nothing_by_them() {
    let local = Local::new().await;
    let store = local.store().await;
    for user in ["41", "42"] {
        store.member_opened(&local.installation, user).await.unwrap();
    }
    let admin = Local::id_of(&store, &local.installation, "42");
    let give = |members: &mut Members| members.set_role(&admin, Role::Admin);
    store.change_members(&local.installation, What::RoleChanged, "test", give).await.unwrap();
    let ask = async |user: &str, key: &str, body: &Value| {
        local.pause().await;
        local.ask_as(user, key, body).await
    };
    let on = |said: &Value| -> BTreeSet<String> {
        let activities = said["activities"].as_array().unwrap().iter();
        let on = activities.filter(|activity| activity["on"] == true);
        on.map(|activity| activity["name"].as_str().unwrap().to_owned()).collect()
    };
    // Given an owner who switched off what is on when nothing is said.
    let off = [
        "detect_duplicates",
        "alert_by_mail",
        "count_savings",
        "compare_with_shop",
        "read_mail",
        "draft_with_claude",
    ];
    let switches =
        json!({ "activities": off.map(|name| (name, false)).into_iter().collect::<BTreeMap<_, _>>() });
    let (status, said) = ask("41", "PUT /v1/instructions", &switches).await;
    assert_eq!((status, said["activities"].as_array().unwrap().len()), (200, 12), "{said}");
    let left = on(&said);
    assert!(off.iter().all(|name| !left.contains(*name)) && left.contains("draft_replies"), "{left:?}");
    // When an admin changes settings, then what is left out stays as it is.
    for (key, body) in [
        ("PUT /v1/settings", json!({ "window_minutes": 60 })),
        ("PUT /v1/desk", json!({ "least_delay_minutes": 30 })),
    ] {
        let (status, said) = ask("42", key, &body).await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(ask("42", key, &said).await, (200, said), "{key}: as it is, it may be said");
    }
    let (_, said) = ask("42", "GET /v1/instructions", &Value::Null).await;
    assert_eq!(on(&said), left);
    // And a switch is refused with everything that was to go with it, in whichever direction.
    for (key, body) in [
        ("PUT /v1/settings", json!({ "enabled": true, "window_minutes": 90 })),
        ("PUT /v1/settings", json!({ "tag_orders": false })),
        ("PUT /v1/settings", json!({ "alert": "digest" })),
        ("PUT /v1/desk", json!({ "read_mail": true, "least_delay_minutes": 60 })),
        ("PUT /v1/desk", json!({ "send_by_rule": true })),
        ("PUT /v1/instructions", switches.clone()),
    ] {
        let (status, said) = ask("42", key, &body).await;
        assert_eq!((status, kind_of(&said)), (403, "forbidden"), "{key} {body}");
        assert!(said["detail"].as_str().unwrap().contains("change-privacy"), "{said}");
    }
    let (_, said) = ask("42", "GET /v1/instructions", &Value::Null).await;
    assert_eq!(on(&said), left);
    assert_eq!(ask("42", "GET /v1/settings", &Value::Null).await.1["window_minutes"], 60);
    assert_eq!(ask("42", "GET /v1/desk", &Value::Null).await.1["least_delay_minutes"], 30);
    // The owner may, by either; a preview takes what is left out as it is, too.
    assert_eq!(ask("41", "PUT /v1/settings", &json!({ "enabled": true })).await.1["window_minutes"], 60);
    assert_eq!(ask("41", "PUT /v1/desk", &json!({ "read_mail": true })).await.0, 200);
    let wide = json!({ "settings": { "window_minutes": 43_200 } });
    assert_eq!(ask("42", "POST /v1/settings/preview", &wide).await.0, 200);
    let (_, said) = ask("41", "GET /v1/instructions", &Value::Null).await;
    let more = BTreeSet::from(["detect_duplicates", "read_mail"].map(str::to_owned));
    assert_eq!(on(&said).difference(&left).cloned().collect::<BTreeSet<_>>(), more);
}

#[tokio::test]
async fn given_settings_that_change_meanwhile_when_others_are_changed_then_what_counts_now_is_what_stays() {
    let local = Local::new().await;
    let (store, seen) = (local.store().await, &local.installation);
    // Given an owner who switches something off after an admin's request was let in.
    let off = BTreeMap::from([(Activity::DetectDuplicates, false)]);
    store.change_instructions(seen, &off).await.unwrap().unwrap();
    let revise = |latest: &Installation| {
        let now = latest.settings()?;
        Ok::<_, storeward_store::StoreError>(GuardSettings { window_minutes: 60, ..now })
    };
    let settings = store.revise_settings(seen, revise).await.unwrap().unwrap();
    assert_eq!((settings.enabled, settings.window_minutes), (false, 60));
}

#[tokio::test]
async fn two_owners_who_take_each_others_role_at_once_leave_one() {
    let local = Local::new().await;
    let store = local.store().await;
    for user in ["1", "2"] {
        store.member_opened(&local.installation, user).await.unwrap();
    }
    let ids = ["1", "2"].map(|user| Local::id_of(&store, &local.installation, user));
    let give = |id: String, role: Role| {
        let (store, installation) = (store.clone(), local.installation.clone());
        async move {
            let change = |members: &mut Members| members.set_role(&id, role);
            store.change_members(&installation, What::RoleChanged, "test", change).await.unwrap()
        }
    };
    give(ids[1].clone(), Role::Owner).await;
    let _either = futures::join!(give(ids[0].clone(), Role::Viewer), give(ids[1].clone(), Role::Viewer));
    let (_, members) = store.entered(&local.installation.tenant.shop).await.unwrap().unwrap();
    let owners = members.list().iter().filter(|member| member.role == Role::Owner).count();
    assert_eq!(owners, 1, "{members:?}");
    let unchanged = |members: &mut Members| members.set_role(&ids[0], members.role_of(&ids[0]));
    let before = local.dump();
    store.change_members(&local.installation, What::RoleChanged, "test", unchanged).await.unwrap();
    assert!(local.dump() == before, "nothing changed, and it was written");
    assert_eq!(Changing::Unchanged, Members::default().set_newcomers(Role::Viewer).unwrap());
}

/// A permission with the routes that need it and which roles have it.
type Needed<R> = (&'static str, Vec<&'static str>, Box<dyn Fn(R) -> bool>);

/// The roles as columns, with a cross where one has the permission, and the routes that need it.
fn table<R: Copy>(roles: &[(R, &str)], permissions: &[Needed<R>]) -> String {
    let mut text = String::from("| permission |");
    for (_, name) in roles {
        write!(text, " {name} |").unwrap();
    }
    text.push_str(" routes |\n|---|");
    text.push_str(&"---|".repeat(roles.len() + 1));
    text.push('\n');
    for (permission, routes, may) in permissions {
        write!(text, "| `{permission}` |").unwrap();
        for (role, _) in roles {
            text.push_str(if may(*role) { " yes |" } else { " |" });
        }
        let routes: Vec<String> = routes.iter().map(|key| format!("`{key}`")).collect();
        writeln!(text, " {} |", routes.join(", ")).unwrap();
    }
    text
}

#[test]
fn the_published_table_of_roles_is_the_one_in_the_code() {
    let merchants = Permission::ALL.map(|permission| {
        let routes = MERCHANTS.iter().flat_map(|(_, routes)| *routes);
        let routes = routes.filter(|route| route.needs == permission).map(|route| route.key).collect();
        let may: Box<dyn Fn(Role) -> bool> = Box::new(move |role| role.may(permission));
        (permission.name(), routes, may)
    });
    let operators = OperatorPermission::ALL.map(|permission| {
        let routes = OPERATORS.iter().flat_map(|(_, routes)| *routes);
        let routes = routes.filter(|route| route.needs == permission).map(|route| route.key).collect();
        let may: Box<dyn Fn(OperatorRole) -> bool> = Box::new(move |role| role.may(permission));
        (permission.name(), routes, may)
    });
    let text = format!(
        "# Who may do what\n\n\
         Made from `shared/core/src/roles.rs`; a test fails when it is not. What is not a yes is refused with the problem\n\
         `forbidden`, which names the permission. Every route of both APIs needs one; a test asks each route as each role.\n\n\
         ## A merchant's staff\n\n\
         The first to open the app in an installation is its owner; an owner gives the others their roles (docs/decisions/0021).\n\n\
         {}\n\
         ## Operators\n\n\
         The role is the one group of these names in the operator's token.\n\n\
         {}",
        table(&Role::ALL.map(|role| (role, role.name())), &merchants),
        table(&OperatorRole::ALL.map(|role| (role, role.name())), &operators),
    );
    assert_document("docs/roles.md", &text);
}

fn resources() -> serde_norway::Value {
    let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let template: serde_norway::Value = serde_norway::from_str(&text).unwrap();
    template["Resources"].clone()
}

#[test]
fn the_operators_pool_is_as_promised() {
    // Promise DG62, and SO63's second factor.
    let resources = resources();
    let pool = &resources["OperatorPool"]["Properties"];
    let password = &pool["Policies"]["PasswordPolicy"];
    assert!(
        password["MinimumLength"].as_u64() >= Some(12) && password["PasswordHistorySize"].as_u64() >= Some(5)
    );
    for kind in ["RequireUppercase", "RequireLowercase", "RequireNumbers", "RequireSymbols"] {
        assert_eq!(password[kind].as_bool(), Some(true), "{kind}");
    }
    // The history of passwords is of these tiers alone.
    assert!(["ESSENTIALS", "PLUS"].contains(&pool["UserPoolTier"].as_str().unwrap()));
    assert_eq!(pool["MfaConfiguration"].as_str(), Some("ON"));
    assert_eq!(pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"].as_bool(), Some(true));
    assert_eq!(pool["DeletionProtection"].as_str(), Some("ACTIVE"));
    let client = &resources["OperatorPoolClient"]["Properties"];
    assert!(
        client["AccessTokenValidity"].as_u64() <= Some(60) && client["IdTokenValidity"].as_u64() <= Some(60)
    );
    let groups: BTreeSet<&str> = resources
        .as_mapping()
        .unwrap()
        .values()
        .filter(|resource| resource["Type"].as_str() == Some("AWS::Cognito::UserPoolGroup"))
        .map(|group| group["Properties"]["GroupName"].as_str().unwrap())
        .collect();
    assert_eq!(groups, OperatorRole::ALL.map(OperatorRole::name).into());
}

#[test]
fn what_stages_have_is_called_by_their_stage() {
    // Promise DG63: of two stages in one account, nothing is the other's.
    let names =
        ["TableName", "QueueName", "FunctionName", "LogGroupName", "AliasName", "UserPoolName", "ClientName"];
    let mut checked = 0;
    for (id, resource) in resources().as_mapping().unwrap() {
        for name in names {
            let name = &resource["Properties"][name];
            if name.is_null() {
                continue;
            }
            let serde_norway::Value::Tagged(tagged) = name else { panic!("{id:?}: {name:?}") };
            // A reference is to something that has a name of its own.
            if tagged.tag != "Sub" {
                continue;
            }
            checked += 1;
            let text = tagged.value.as_str().unwrap();
            assert!(text.contains("${Stage}"), "{id:?}: {text}");
        }
    }
    assert!(checked > 60, "{checked}");
}

#[tokio::test]
async fn an_operators_password_counts_for_90_days_and_a_reset_makes_it_count_again() {
    let bench = Bench::new().await;
    let app = bench.app();
    let event = |name: &str| sample(&format!("triggers/operator-sign-in/{name}"));
    let asked = async |name: &str| app.invoke("triggers/operator-sign-in", event(name)).await;
    // Given an account whose password nobody knows of: refused, unless it has to be replaced at this very sign-in.
    for name in ["asked", "signed-in"] {
        let refused = asked(name).await.unwrap_err();
        assert!(refused.to_string().contains("set a new one"), "{name}: {refused}");
    }
    for name in ["first", "signed-in", "asked"] {
        assert_eq!(asked(name).await.unwrap(), event(name), "{name}");
    }
    // When 90 days have passed, with sign-ins in between, then it does not count any more.
    bench.advance(DAY * 89).await;
    asked("asked").await.unwrap();
    asked("signed-in").await.unwrap();
    // Not even in a sign-in that began before and ends after: it begins no new time.
    bench.advance(DAY.saturating_sub(Duration::from_mins(1))).await;
    asked("asked").await.unwrap();
    bench.advance(Duration::from_mins(2)).await;
    let refused = asked("signed-in").await.unwrap_err();
    assert!(refused.to_string().contains("set a new one"), "{refused}");
    asked("asked").await.unwrap_err();
    asked("reset").await.unwrap();
    asked("asked").await.unwrap();
    // An administrator's new password ends the time of the one before, and begins none until it is replaced.
    asked("first").await.unwrap();
    bench.advance(HOUR).await;
    asked("signed-in").await.unwrap_err();
    asked("first").await.unwrap();
    asked("signed-in").await.unwrap();
    bench.advance(DAY * 89).await;
    asked("asked").await.unwrap();
    // Another account, or the same in another pool, is somebody else.
    for (pointer, value) in
        [("/request/userAttributes/sub", "another"), ("/userPoolId", "another"), ("/region", "another")]
    {
        let mut other = event("asked");
        *other.pointer_mut(pointer).unwrap() = json!(value);
        app.invoke("triggers/operator-sign-in", other).await.unwrap_err();
    }
    for source in ["PreSignUp_SignUp", "PostConfirmation_ConfirmSignUp", ""] {
        let mut other = event("asked");
        other["triggerSource"] = json!(source);
        app.invoke("triggers/operator-sign-in", other).await.unwrap_err();
    }
    let stored = json!(bench.dump()).to_string();
    assert!(!stored.contains("operator@example.com") && !stored.contains("11111111-2222"), "{stored}");
}
