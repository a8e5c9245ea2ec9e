//! Lists that must agree: functions, template, crates, samples, settings, the data map, the problems, and the documents
//! that are made of them. What a function may do is held against what it does in `privileges`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use storeward_core::data_map::{Kind, Retention, Table};
use storeward_core::guard::{Alert, Decision, GuardSettings};
use storeward_core::incident::{Reach, Severity, Words};
use storeward_core::limits::Limit;
use storeward_core::matching::Origin;
use storeward_core::normalize::identifiers;
use storeward_core::retention::{Deployment, Plan, Terms};
use storeward_core::time::HOUR;
use storeward_host::{OperatorRoute, ProblemKind, Route, Setting};
use storeward_local::template::Template;
use storeward_store::{AccessNote, By, NewIncident};

use crate::bench::{Bench, order, root, sample};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn template() -> Template {
    Template::parse(
        &read("template.yaml"),
        &BTreeMap::from([("Stage".to_owned(), "development".to_owned())]),
        1,
    )
    .unwrap()
}

fn entries(path: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(path)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The names `group/name` of directories two levels below `path`.
fn grouped(path: &str) -> BTreeSet<String> {
    let groups = entries(path).into_iter().filter(|group| root().join(path).join(group).is_dir());
    groups
        .flat_map(|group| {
            let below = entries(&format!("{path}/{group}")).into_iter();
            below.map(move |name| format!("{group}/{name}")).collect::<Vec<_>>()
        })
        .filter(|name| root().join(path).join(name).is_dir())
        .collect()
}

/// Holds a committed document against what it is made of. The new text is left where it can be copied from.
pub(crate) fn assert_document(path: &str, text: &str) {
    let committed = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    if committed != text {
        let fresh = root().join("target").join(path);
        std::fs::create_dir_all(fresh.parent().unwrap()).unwrap();
        std::fs::write(&fresh, text).unwrap();
        panic!(
            "{path} is not what the code says any more. Look at the change and take it:\n  cp target/{path} {path}"
        );
    }
}

#[test]
fn functions_template_crates_and_samples_name_the_same() {
    let registered: BTreeSet<String> =
        bootstrap::FUNCTIONS.iter().map(|function| function.name.to_owned()).collect();
    assert_eq!(registered.len(), bootstrap::FUNCTIONS.len(), "a name twice");
    let deployed: BTreeSet<String> =
        template().functions.into_iter().map(|function| function.handler).collect();
    assert_eq!(registered, deployed, "bootstrap::FUNCTIONS and template.yaml");
    let crates: BTreeSet<String> =
        grouped("functions").into_iter().filter(|name| !name.starts_with("bootstrap/")).collect();
    assert_eq!(registered, crates, "bootstrap::FUNCTIONS and functions/");
    assert_eq!(registered, grouped("events"), "bootstrap::FUNCTIONS and events/");
    let (workspace, bundle) = (read("Cargo.toml"), read("functions/bootstrap/Cargo.toml"));
    for function in &registered {
        let (group, name) = function.split_once('/').unwrap();
        assert!(read(&format!("functions/{function}/Cargo.toml")).contains(&format!("name = \"{name}\"\n")));
        assert!(workspace.contains(&format!("\"functions/{group}/*\"")), "{group} is not in the workspace");
        assert!(workspace.contains(&format!("\n{name} = {{ path = \"functions/{function}\" }}")), "{name}");
        assert!(bundle.contains(&format!("\n{name}.workspace = true")), "{name} is not in the artifact");
        assert!(!entries(&format!("events/{function}")).is_empty(), "{function} has no sample event");
    }
}

/// Where others are: settings that a deployment leaves as they are.
const ELSEWHERE: [Setting; 7] = [
    Setting::ShopifyEndpoint,
    Setting::ResendEndpoint,
    Setting::GoogleAuthUrl,
    Setting::GoogleTokenUrl,
    Setting::GmailEndpoint,
    Setting::GoogleKeysUrl,
    Setting::AnthropicEndpoint,
];

#[test]
fn every_function_gets_exactly_the_settings_it_uses() {
    let mut used = BTreeSet::new();
    for deployed in template().functions {
        let function = bootstrap::function(&deployed.handler).unwrap();
        let settings: BTreeSet<Setting> = function.settings().into_iter().collect();
        assert_eq!(settings.len(), function.settings().len(), "{}: a setting twice", function.name);
        let variables: BTreeSet<&str> = settings
            .iter()
            // Only a local run or a test puts something in the place of Shopify, Resend, Google and Claude.
            .filter(|setting| !ELSEWHERE.contains(setting))
            .map(|setting| setting.variable())
            .collect();
        let given: BTreeSet<&str> = deployed.environment.keys().map(String::as_str).collect();
        assert_eq!(variables, given, "{}: settings and environment in template.yaml", function.name);
        used.extend(settings);
    }
    assert_eq!(used, Setting::ALL.into_iter().collect(), "settings that no function uses");
    let known: BTreeSet<&str> = Setting::ALL.iter().map(|setting| setting.variable()).collect();
    assert_eq!(known.len(), Setting::ALL.len(), "two settings with one variable");
    let text = read("template.yaml");
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        assert!(!word.starts_with("STOREWARD_") || known.contains(word), "{word} is nobody's setting");
    }
}

#[test]
fn every_table_is_watched_by_a_trail_that_nobody_rewrites_for_90_days() {
    use serde_norway::Value;
    let template: Value = serde_norway::from_str(&read("template.yaml")).unwrap();
    let resources = &template["Resources"];
    let pointed = |value: &Value| match value {
        Value::Tagged(tagged) => tagged.value.as_str().unwrap().split('.').next().unwrap().to_owned(),
        other => panic!("not by reference: {other:?}"),
    };
    let trail = &resources["TableTrail"]["Properties"];
    let (watching, signed) = (trail["IsLogging"].as_bool(), trail["EnableLogFileValidation"].as_bool());
    assert_eq!((watching, signed), (Some(true), Some(true)));
    let [selector] = trail["AdvancedEventSelectors"].as_sequence().unwrap().as_slice() else {
        panic!("one selector")
    };
    let mut fields: BTreeMap<&str, &Value> = BTreeMap::new();
    for field in selector["FieldSelectors"].as_sequence().unwrap() {
        fields.insert(field["Field"].as_str().unwrap(), field);
    }
    // Nothing narrows it to reads, writes or some operations.
    assert_eq!(
        fields.keys().copied().collect::<Vec<_>>(),
        ["eventCategory", "resources.ARN", "resources.type"]
    );
    assert_eq!(fields["eventCategory"]["Equals"][0].as_str(), Some("Data"));
    let watched: BTreeSet<String> =
        fields["resources.ARN"]["StartsWith"].as_sequence().unwrap().iter().map(pointed).collect();
    let tables: BTreeSet<String> = resources
        .as_mapping()
        .unwrap()
        .iter()
        .filter(|(_, resource)| resource["Type"].as_str() == Some("AWS::DynamoDB::Table"))
        .map(|(id, _)| id.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(watched, tables, "tables that the trail watches, and tables");
    // Promise DG61.
    let bucket = &resources[pointed(&trail["S3BucketName"]).as_str()]["Properties"];
    let lock = &bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"];
    assert_eq!((lock["Mode"].as_str(), lock["Days"].as_u64()), (Some("COMPLIANCE"), Some(90)));
    assert_eq!(bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"].as_u64(), Some(90));
    let closed = bucket["PublicAccessBlockConfiguration"].as_mapping().unwrap();
    assert!(closed.len() == 4 && closed.values().all(|closed| closed.as_bool() == Some(true)), "{closed:?}");
    // What its policy leaves open to anyone is for the trail, and the trail's name is written as it is called.
    let policy = &resources["TableTrailLogsPolicy"]["Properties"]["PolicyDocument"]["Statement"];
    let Value::Tagged(name) = &trail["TrailName"] else { panic!("a name by stage") };
    for statement in policy.as_sequence().unwrap() {
        if statement["Effect"].as_str() == Some("Deny") {
            assert_eq!(statement["Condition"]["Bool"]["aws:SecureTransport"].as_str(), Some("false"));
            continue;
        }
        assert_eq!(statement["Principal"]["Service"].as_str(), Some("cloudtrail.amazonaws.com"));
        let Value::Tagged(source) = &statement["Condition"]["StringEquals"]["aws:SourceArn"] else {
            panic!("from any trail: {statement:?}")
        };
        let ending = format!(":trail/{}", name.value.as_str().unwrap());
        assert!(source.value.as_str().unwrap().ends_with(&ending), "{source:?}");
    }
}

/// What a value of the template points at, as `!Ref`, `!GetAtt` and `!Sub` do.
fn pointed(value: &serde_norway::Value) -> Option<&str> {
    let serde_norway::Value::Tagged(tagged) = value else { return None };
    tagged.value.as_str()?.split('.').next()
}

#[test]
fn backups_of_every_table_go_back_30_days_and_those_of_keys_7() {
    let template: serde_norway::Value = serde_norway::from_str(&read("template.yaml")).unwrap();
    let mut days = BTreeMap::new();
    for (id, table) in template["Resources"].as_mapping().unwrap() {
        if table["Type"].as_str() == Some("AWS::DynamoDB::Table") {
            let recovery = &table["Properties"]["PointInTimeRecoverySpecification"];
            let enabled = recovery["PointInTimeRecoveryEnabled"].as_bool();
            days.insert(id.as_str().unwrap(), (enabled, recovery["RecoveryPeriodInDays"].as_u64()));
        }
    }
    let backed_up = |days| (Some(true), Some(days));
    // Promise SO25.
    let promised = [("DataTable", 30), ("KeysTable", 7), ("LedgerTable", 30)];
    assert_eq!(days, BTreeMap::from(promised.map(|(table, days)| (table, backed_up(days)))));
}

/// The functions and queues that an alarm rings for at the first of what it counts, each with the metric.
fn alarmed(resources: &serde_norway::Mapping) -> BTreeSet<(&str, &str)> {
    let mut alarmed = BTreeSet::new();
    for (id, alarm) in resources {
        let alarm_of = &alarm["Properties"];
        if alarm["Type"].as_str() != Some("AWS::CloudWatch::Alarm") {
            continue;
        }
        let (id, whom) = (id.as_str().unwrap(), format!("{:?}", alarm_of["AlarmActions"]));
        assert!(whom.contains("AlarmTopicArn"), "{id} tells nobody");
        let over = alarm_of["ComparisonOperator"].as_str() == Some("GreaterThanThreshold");
        let first = over && alarm_of["Threshold"].as_u64() == Some(0);
        if !first || alarm_of["EvaluationPeriods"].as_u64() != Some(1) {
            continue;
        }
        let metrics: Vec<&serde_norway::Value> = match alarm_of["Metrics"].as_sequence() {
            None => vec![alarm_of],
            Some(metrics) => {
                let returned: Vec<_> =
                    metrics.iter().filter(|metric| metric["ReturnData"].as_bool() == Some(true)).collect();
                let sum =
                    returned.iter().all(|metric| metric["Expression"].as_str() == Some("SUM(METRICS())"));
                assert!(returned.len() == 1 && sum, "{id} rings for something else than what it counts");
                metrics.iter().map(|metric| &metric["MetricStat"]["Metric"]).collect()
            }
        };
        for metric in metrics {
            let dimensions = metric["Dimensions"].as_sequence().into_iter().flatten();
            let of = dimensions.filter_map(|dimension| pointed(&dimension["Value"]));
            alarmed.extend(of.filter_map(|of| Some((of, metric["MetricName"].as_str()?))));
        }
    }
    alarmed
}

#[test]
fn every_function_and_every_dead_letter_queue_has_an_alarm_that_rings_at_the_first() {
    let template: serde_norway::Value = serde_norway::from_str(&read("template.yaml")).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let alarmed = alarmed(resources);
    let of = |kind: &str| -> BTreeSet<&str> {
        let of = resources.iter().filter(|(_, resource)| resource["Type"].as_str() == Some(kind));
        of.map(|(id, _)| id.as_str().unwrap()).collect()
    };
    let functions = of("AWS::Serverless::Function");
    assert_eq!(functions.len(), bootstrap::FUNCTIONS.len());
    for function in functions {
        for metric in ["Errors", "Throttles"] {
            assert!(alarmed.contains(&(function, metric)), "nobody hears of the {metric} of {function}");
        }
    }
    // Wherever messages and events are put that are given up, by the template's own references.
    let mut dead_letters = BTreeSet::new();
    for (id, resource) in resources {
        let (of, properties) = (id.as_str().unwrap(), &resource["Properties"]);
        dead_letters.extend(pointed(&properties["RedrivePolicy"]["deadLetterTargetArn"]));
        dead_letters.extend(pointed(
            &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"],
        ));
        for (_, event) in properties["Events"].as_mapping().into_iter().flatten() {
            if event["Type"].as_str() == Some("ScheduleV2") {
                let letters = pointed(&event["Properties"]["DeadLetterConfig"]["Arn"]);
                dead_letters.insert(letters.unwrap_or_else(|| panic!("{of}: a schedule that fails quietly")));
            }
        }
    }
    let named: BTreeSet<&str> =
        of("AWS::SQS::Queue").into_iter().filter(|queue| queue.ends_with("DeadLetters")).collect();
    assert_eq!(dead_letters, named, "what is given up, and the queues for it");
    for queue in dead_letters {
        let waiting = (queue, "ApproximateNumberOfMessagesVisible");
        assert!(alarmed.contains(&waiting), "nobody hears of what is in {queue}");
    }
}

#[test]
fn every_function_has_a_log_of_its_own_that_is_kept_for_90_days() {
    let template: serde_norway::Value = serde_norway::from_str(&read("template.yaml")).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let of =
        |kind: &str| resources.iter().filter(|(_, resource)| resource["Type"].as_str() == Some(kind)).count();
    let mut groups = BTreeSet::new();
    for (_, function) in resources.iter().filter(|(_, found)| !found["Properties"]["Handler"].is_null()) {
        let serde_norway::Value::Tagged(group) = &function["Properties"]["LoggingConfig"]["LogGroup"] else {
            panic!("a function that logs where it likes: {function:?}");
        };
        let group = group.value.as_str().unwrap();
        // Promise DG23.
        assert_eq!(
            template["Resources"][group]["Properties"]["RetentionInDays"].as_u64(),
            Some(90),
            "{group}"
        );
        assert!(groups.insert(group), "{group} is the log of two functions");
    }
    assert_eq!(groups.len(), bootstrap::FUNCTIONS.len());
    // Two more are the APIs' own access logs.
    for log in ["ApiLogGroup", "OperatorApiLogGroup"] {
        let access = &template["Resources"][log]["Properties"]["RetentionInDays"];
        assert_eq!(access.as_u64(), Some(90));
    }
    assert_eq!(of("AWS::Logs::LogGroup"), groups.len() + 2, "a log of no function");
}

#[test]
fn the_published_data_map_is_the_one_in_the_code() {
    let mut text = String::from(
        "# What is stored\n\n\
         Made from `shared/core/src/data_map.rs`; a test fails when it is not. One row for every kind of item, in the terms of\n\
         GDPR Art. 30. Everything personal is sealed (AES-256-GCM under a key of the installation); keys and index rows hold\n\
         keyed hashes only. Days are the longest that something is kept: an installation's policy can be shorter\n\
         (docs/decisions/0016). Whatever the retention says, a purge deletes everything of an installation but its ledger.\n\
         On AWS the trail of requests to the tables holds keys, and so keyed hashes, for up to 92 days (docs/operations.md).\n\n\
         | kind | table | holds | about a person | purpose | legal basis | kept | erasing a person | in a person's export | seen by |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in Kind::ALL.map(Kind::row) {
        let categories: Vec<&str> = row.categories.iter().map(|category| category.words()).collect();
        let processors: Vec<&str> = row.processors.iter().map(|processor| processor.words()).collect();
        writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.kind.name(),
            table_name(row.table),
            row.holds,
            if categories.is_empty() { "nothing".to_owned() } else { categories.join(", ") },
            row.purpose.label(),
            row.legal_basis.words(),
            row.retention.words(),
            row.erasure.words(),
            if row.exported { "yes" } else { "no" },
            processors.join(", "),
        )
        .unwrap();
    }
    assert_document("docs/data-map.md", &text);
}

const fn table_name(table: Table) -> &'static str {
    match table {
        Table::Data => "data",
        Table::Keys => "keys",
        Table::Ledger => "ledger",
    }
}

#[test]
fn every_problem_is_explained_and_no_other() {
    let text = read("docs/errors.md");
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let explained: Vec<&str> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(explained, ProblemKind::ALL.map(ProblemKind::id), "docs/errors.md, in the order of the code");
    for (section, kind) in sections.iter().zip(ProblemKind::ALL) {
        assert!(section.contains(&format!("Status {}. {}.", kind.status(), kind.title())), "{}", kind.id());
        assert!(section.contains("\n**What to do:** "), "{} does not say what to do", kind.id());
    }
}

/// What is stored after each step of a shop's whole life.
async fn life() -> (Bench, Vec<(String, Value)>) {
    let bench = Bench::new().await;
    let app = bench.app();
    let mut seen: Vec<(String, Value)> = Vec::new();
    let look = |seen: &mut Vec<(String, Value)>| {
        for (table, items) in bench.dump() {
            seen.extend(items.into_iter().map(|item| (table.clone(), item)));
        }
    };
    let profile = storeward_store::Profile {
        email: Some("merchant@example.com".to_owned().into()),
        ..app.install().await.profile().unwrap()
    };
    let store = app.store().await;
    let installation = store.install(&profile).await.unwrap();
    // One mail a day: nothing goes out at once, and the day's digest is listed.
    store.member_opened(&installation, "42").await.unwrap();
    store.operator_password_set(&store.operator("test-issuer", "test"), "test").await.unwrap();
    let settings = GuardSettings { alert: Alert::Digest, ..GuardSettings::default() };
    assert!(store.change_settings(&installation, &settings).await.unwrap());
    look(&mut seen);
    for id in 1..=3 {
        app.order(&format!("w{id}"), &order(id, u32::try_from(id).unwrap())).await;
        look(&mut seen);
        bench.drain(&app).await;
        look(&mut seen);
    }
    for (function, event) in [
        ("webhooks/customers-update", "webhooks/customers-update/new-email"),
        ("webhooks/customers-data-request", "webhooks/customers-data-request/by-id"),
    ] {
        app.post(function, sample(event)).await;
        look(&mut seen);
        bench.drain(&app).await;
        look(&mut seen);
    }
    let (store, shop) = (app.store().await, app.store().await.shop_id(&crate::bench::SHOP.parse().unwrap()));
    let installation = store.installation(&shop).await.unwrap().unwrap();
    let by = By::Merchant(store.actor(&shop, "42"));
    let looked = AccessNote {
        by: &by,
        role: None,
        route: "GET /v1/cases",
        status: 200,
        ip: Some("192.0.2.1"),
        request: None,
    };
    store.log_access(&shop, &looked).await.unwrap();
    let case = app.cases(&installation).await.remove(0).reference;
    store.decide(&installation, &case, Decision::NeverThisHousehold, None).await.unwrap();
    let person = identifiers(&[&"limited@example.com".to_owned().into()], &[], None);
    let request = "request/0123456789abcdef0123456789abcdef".parse().unwrap();
    store.limit_subject(&installation, &person, Limit::Restricted, &request).await.unwrap();
    let mut refused = later(8);
    refused["email"] = json!("limited@example.com");
    assert_eq!(app.order("refused", &refused).await["because"], "limited");
    look(&mut seen);
    let now = storeward_core::time::Clock::now(&bench.clock);
    let reach = Reach { from: now - HOUR, until: now, kinds: Reach::everything() };
    let (severity, words) = (Severity::Low, Words::default());
    let breach = NewIncident { severity, drill: true, aware_at: now, reach, words };
    let breach = store.open_incident(&breach).await.unwrap();
    assert!(store.assess_incident(&breach, &|| true).await.unwrap());
    look(&mut seen);
    Box::pin(crate::mail_store::whole_desk(store, &installation, now)).await;
    look(&mut seen);
    app.post("webhooks/customers-redact", sample("webhooks/customers-redact/by-id")).await;
    look(&mut seen);
    bench.drain(&app).await;
    look(&mut seen);
    bench.live(&app, 1).await;
    look(&mut seen);
    app.order("left", &later(9)).await;
    app.post("webhooks/app-uninstalled", sample("webhooks/app-uninstalled/plain")).await;
    look(&mut seen);
    // A purge that has no time goes as far as it comes: its progress is seen.
    bench.advance(HOUR * 37).await;
    bench.fire_schedules().await;
    let order =
        bench.template.functions.iter().find(|function| function.handler == "jobs/purge-shop").unwrap();
    let message = bench.cloud.sqs().peek(&order.queues[0].queue).await.unwrap().remove(0);
    let order: storeward_host::PurgeOrder = serde_json::from_str(&message.body).unwrap();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let a_while = || asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 40;
    app.store().await.purge(&order.tenant, "life", &a_while).await.unwrap();
    look(&mut seen);
    bench.drain(&app).await;
    bench.live(&app, 12).await;
    app.post("webhooks/shop-redact", sample("webhooks/shop-redact/plain")).await;
    look(&mut seen);
    (bench, seen)
}

/// An order placed after the redaction.
fn later(id: u64) -> Value {
    let mut order = order(id, 0);
    order["created_at"] = json!("2026-11-20T17:00:00Z");
    order
}

fn number(item: &Value, name: &str) -> Option<i64> {
    item[name]["N"].as_str().map(|digits| digits.parse().unwrap())
}

/// When the item began, in milliseconds, as it tells itself.
fn began(kind: Kind, item: &Value) -> Option<i64> {
    let sort = item["sk"]["S"].as_str().unwrap();
    match kind {
        Kind::Order | Kind::Exception => number(item, "created_at"),
        Kind::Delivery => number(item, "accepted_at"),
        Kind::Request | Kind::Rectification | Kind::Export => number(item, "received_at"),
        Kind::Tombstone => number(item, "erased_at"),
        Kind::Digest => number(item, "due_at"),
        Kind::OperatorPassword => number(item, "set_at"),
        Kind::Match => sort.split('#').next().unwrap().parse().ok(),
        Kind::Due => number(item, "at").or_else(|| number(item, "hour").map(|hour| hour * 3_600_000)),
        Kind::Case => number(item, "opened_at").or_else(|| {
            let day = item["opened_day"]["S"].as_str()?;
            Some(storeward_core::time::Timestamp::parse_rfc3339(&format!("{day}T23:59:59Z"))?.millis())
        }),
        // Whatever else ends says in the open since when it is kept.
        _ => Some(storeward_core::retention::Lives::read(item["lives"]["S"].as_str()?).began()? * 1000),
    }
}

#[tokio::test(start_paused = true)]
async fn no_row_that_orders_are_matched_by_tells_by_which_channel_one_came_and_it_counts_all_the_same() {
    // Given an order of one person by each channel
    let bench = Bench::new().await;
    let app = bench.app();
    let installation = app.install().await;
    let sources = ["web", "pos", "shopify_draft_order", "subscription_contract", "an app"];
    for (id, source) in (1..).zip(sources) {
        let mut placed = order(id, u32::try_from(id).unwrap());
        placed["source_name"] = json!(source);
        app.order(&format!("w{id}"), &placed).await;
    }
    bench.drain(&app).await;
    // Then drafts and subscriptions, which are repeated on purpose, are told from the others
    let cases = app.cases(&installation).await;
    let mut members: Vec<u64> =
        cases.iter().flat_map(|case| &case.members).map(|member| *member.id.expose()).collect();
    members.sort_unstable();
    assert_eq!((cases.len(), members), (1, vec![1, 2, 5]));
    // And by blinds alone: promise DG40.
    let rows = bench.items(Kind::Match.name());
    let blinds: BTreeSet<&str> = rows.iter().map(|row| row["origin"]["S"].as_str().unwrap()).collect();
    assert_eq!(blinds.len(), Origin::ALL.len(), "{blinds:?}");
    for value in rows.iter().flat_map(|row| row.as_object().unwrap().values()) {
        let text = value["S"].as_str();
        assert!(Origin::ALL.iter().all(|origin| text != Some(origin.name())), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_ever_stored_is_as_the_data_map_says() {
    let (bench, seen) = Box::pin(life()).await;
    let environment = &bench.template.functions[0].environment;
    let table_of = |table: Table| match table {
        Table::Data => &environment["STOREWARD_DATA_TABLE"],
        Table::Keys => &environment["STOREWARD_KEYS_TABLE"],
        Table::Ledger => &environment["STOREWARD_LEDGER_TABLE"],
    };
    let policy = Terms::begin(&Deployment::default(), Plan::Paid).policy(&Deployment::default(), None);
    let mut kinds = BTreeSet::new();
    let records: BTreeSet<i64> = seen
        .iter()
        .filter(|(_, item)| {
            ["order", "case", "exception", "rectification", "export", "request", "thread"]
                .contains(&item["kind"]["S"].as_str().unwrap_or_default())
        })
        .filter_map(|(_, item)| number(item, "expires_at"))
        .collect();
    for (table, item) in &seen {
        let name = item["kind"]["S"].as_str().unwrap_or_else(|| panic!("no kind: {item}"));
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).expect("a kind of the data map");
        let row = kind.row();
        kinds.insert(kind);
        assert_eq!(table, table_of(row.table), "{item}");
        let expires = number(item, "expires_at");
        match row.retention {
            Retention::UntilPurge | Retention::Permanent => assert_eq!(expires, None, "{item}"),
            Retention::WithRecord => assert!(records.contains(&expires.expect("an end")), "{item}"),
            Retention::Window(window) => {
                let began = began(kind, item).unwrap_or_else(|| panic!("no beginning: {item}"));
                let ends = expires.unwrap_or_else(|| panic!("no end: {item}"));
                // The bench's shop is on a paid plan, in a deployment that keeps what it keeps by default.
                let kept = policy.window(kind).expect("a window");
                assert!(kept <= window, "{kind:?} is kept for longer than the data map says");
                let promised = began / 1000 + i64::try_from(kept.as_secs()).unwrap();
                // The cursor only tells its hour.
                let slack = if item["sk"]["S"] == "cursor" { 3600 } else { 0 };
                assert!((promised..=promised + slack).contains(&ends), "{promised} {item}");
            }
        }
        let sealed = item.get("sealed").is_some();
        let personal = row.categories.iter().any(|category| {
            use storeward_core::data_map::Category::{
                CustomerAddress, CustomerContact, MerchantAccount, OrderMetadata,
            };
            matches!(category, CustomerAddress | CustomerContact | MerchantAccount | OrderMetadata)
        });
        // What operators write is about nobody, and sealed in case it is: the row says so.
        let said = personal || row.holds.contains("sealed: ");
        assert!(said || !sealed, "the map says of nothing in it that it is sealed: {item}");
    }
    assert_eq!(kinds, Kind::ALL.into_iter().collect(), "kinds that a whole life never shows");
}

/// What a merchant's browser is sent to or calls while the app is installed: on the API's address and without its
/// authorizer. It is Shopify's protocol and Google's and not the merchants' API, so the document says nothing of it.
const BROWSERS: [(&str, &str, bool); 5] = [
    ("GET /auth", "api/oauth-install", false),
    ("GET /auth/callback", "api/oauth-callback", false),
    ("POST /auth/session", "api/token-exchange", false),
    ("GET /google/start", "api/google-oauth", false),
    ("GET /google/callback", "api/google-oauth", false),
];

/// Every function of the merchants' API that asks who is calling, with its routes.
pub(crate) const MERCHANTS: [(&str, &[Route]); 13] = [
    (cases::FUNCTION.name, cases::ROUTES),
    (desk::FUNCTION.name, desk::ROUTES),
    (drafts::FUNCTION.name, drafts::ROUTES),
    (exceptions::FUNCTION.name, exceptions::ROUTES),
    (incidents::FUNCTION.name, incidents::ROUTES),
    (mailboxes::FUNCTION.name, mailboxes::ROUTES),
    (members::FUNCTION.name, members::ROUTES),
    (processors::FUNCTION.name, processors::ROUTES),
    (requests::FUNCTION.name, requests::ROUTES),
    (savings::FUNCTION.name, savings::ROUTES),
    (service::FUNCTION.name, service::ROUTES),
    (settings::FUNCTION.name, settings::ROUTES),
    (threads::FUNCTION.name, threads::ROUTES),
];

/// Every function of the operators' API, with its routes.
pub(crate) const OPERATORS: [(&str, &[OperatorRoute]); 3] = [
    (breaches::FUNCTION.name, breaches::ROUTES),
    (rights::FUNCTION.name, rights::ROUTES),
    (shops::FUNCTION.name, shops::ROUTES),
];

#[test]
fn the_apis_routes_are_the_same_in_template_functions_and_document() {
    let described: BTreeSet<(&str, &str, bool)> = storeward_api::OPERATIONS
        .iter()
        .map(|operation| (operation.key, operation.function, !operation.public))
        .collect();
    assert_eq!(described.len(), storeward_api::OPERATIONS.len(), "an operation twice");
    let template = template();
    let routed: Vec<(String, &str, bool)> = template
        .functions
        .iter()
        .flat_map(|function| function.routes.iter().map(move |route| (function, route)))
        .map(|(function, route)| {
            let api = if route.path.starts_with("/operator/") { "OperatorApi" } else { "Api" };
            assert_eq!(route.api.as_deref(), Some(api), "{route:?}");
            (format!("{} {}", route.method, route.path), function.handler.as_str(), route.authorized)
        })
        .collect();
    let routed: BTreeSet<(&str, &str, bool)> =
        routed.iter().map(|(key, function, authorized)| (key.as_str(), *function, *authorized)).collect();
    let operators: BTreeSet<(&str, &str, bool)> = OPERATORS
        .iter()
        .flat_map(|(function, routes)| routes.iter().map(move |route| (route.key, *function, true)))
        .collect();
    assert!(operators.iter().all(|(key, _, _)| key.contains(" /operator/v1/")), "{operators:?}");
    let described_or_browsers: BTreeSet<_> =
        described.iter().copied().chain(BROWSERS).chain(operators).collect();
    assert_eq!(described_or_browsers, routed, "the document, with what browsers call, and template.yaml");
    assert!(described.iter().all(|(key, _, _)| key.contains(" /v1/")), "the merchants' API has a version");
    let handled = MERCHANTS
        .iter()
        .flat_map(|(function, routes)| routes.iter().map(move |route| (route.key, *function, true)));
    let public = openapi::ROUTES.iter().map(|route| (*route, openapi::FUNCTION.name, false));
    let linked = exports::ROUTES.iter().map(|route| (*route, exports::FUNCTION.name, false));
    assert_eq!(described, handled.chain(public).chain(linked).collect(), "the document and the functions");
    let apis = &template.apis[..];
    assert!(apis.len() == 2 && apis.iter().all(|api| api.limits.is_some() && api.authorizer.is_some()));
    assert!(!read("template.yaml").contains("sourceIp"), "an access log with the callers' addresses");
}

#[test]
fn the_published_form_of_a_persons_export_is_the_one_of_the_code() {
    let mut text = serde_json::to_string_pretty(&storeward_api::subject_export_schema()).unwrap();
    text.push('\n');
    assert_document("docs/subject-export.schema.json", &text);
}

#[test]
fn the_published_description_of_the_api_is_the_one_of_the_code() {
    let mut text = serde_json::to_string_pretty(&storeward_api::document()).unwrap();
    text.push('\n');
    assert_document("docs/openapi.json", &text);
}
