//! `template.yaml` as the local run needs it: tables, queues, functions with what calls them, and schedule
//! groups, with every intrinsic resolved to a local name, ARN or URL. What is deployed and has no local
//! counterpart (roles, alarms, log groups) is only resolved where something refers to it; what this module
//! does not understand is an error, not a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use serde_norway::Value as Yaml;
use storeward_core::time::Timestamp;

use crate::cloud::scheduler::group_arn;
use crate::cloud::sqs::{queue_arn, queue_url};
use crate::cloud::{ACCOUNT, REGION, kms};

/// The stack's name, where a template asks for it.
const STACK: &str = "storeward";

/// How deep names may refer to each other: far more than any template needs, and the end of a circle.
const DEEPEST: usize = 32;

/// Why a template cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It is not YAML.
    Yaml(String),
    /// Something that must be there is not.
    Missing {
        /// Where it was looked for.
        at: String,
    },
    /// Something is there that the local run has no counterpart for.
    Unsupported {
        /// What it is.
        what: String,
        /// Where it stands.
        at: String,
    },
    /// A name refers to nothing.
    Unknown {
        /// The name.
        name: String,
        /// Where it is used.
        at: String,
    },
    /// A value is not of the kind that belongs there.
    Malformed {
        /// What belongs there.
        expected: &'static str,
        /// Where it stands.
        at: String,
    },
    /// A parameter has no value, or one that is not allowed.
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yaml(why) => write!(f, "template.yaml is not YAML: {why}"),
            Self::Missing { at } => write!(f, "template.yaml has no {at}"),
            Self::Unsupported { what, at } => {
                write!(f, "the local run does not know {what} (template.yaml, {at})")
            }
            Self::Unknown { name, at } => write!(f, "{name} refers to nothing (template.yaml, {at})"),
            Self::Malformed { expected, at } => write!(f, "{at} in template.yaml must be {expected}"),
            Self::Parameter { name, why } => write!(f, "parameter {name} of template.yaml {why}"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// What the local run takes from the template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// DynamoDB tables, by logical id.
    pub tables: Vec<Table>,
    /// SQS queues, dead-letter queues before those that name them.
    pub queues: Vec<Queue>,
    /// Functions, by logical id.
    pub functions: Vec<Function>,
    /// The names of schedule groups.
    pub schedule_groups: Vec<String>,
    /// HTTP APIs: who may call their routes, and how often.
    pub apis: Vec<Api>,
    /// Where on loopback it is served.
    pub port: u16,
}

/// An HTTP API of API Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The id in the template.
    pub logical_id: String,
    /// Who decides on requests to routes that do not say otherwise.
    pub authorizer: Option<Authorizer>,
    /// How many requests a second it takes, and how many at once; no limit where the template has none.
    pub limits: Option<Limits>,
}

/// A Lambda authorizer with simple responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorizer {
    /// The ARN of its function.
    pub function: String,
    /// The header without which it is not even asked.
    pub header: String,
}

/// The throttling of an API: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second.
    pub rate: u64,
    /// Requests at once.
    pub burst: u64,
}

/// A DynamoDB table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The id in the template.
    pub logical_id: String,
    /// The table's name.
    pub name: String,
    /// The body of a `CreateTable` request: name, keys and billing.
    pub create_request: Json,
    /// The attribute by which items expire, if any.
    pub time_to_live: Option<String>,
}

/// An SQS queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The id in the template.
    pub logical_id: String,
    /// The queue's name.
    pub name: String,
    /// Its URL on this machine.
    pub url: String,
    /// Its ARN on this machine.
    pub arn: String,
    /// The attributes of a `CreateQueue` request.
    pub attributes: BTreeMap<String, String>,
}

/// A Lambda function and everything that calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The id in the template.
    pub logical_id: String,
    /// The last segment of the handler, `orders-create`: the crate, and the function's place under
    /// `/lambda-url/`.
    pub name: String,
    /// The handler the artifact dispatches on, `webhooks/orders-create`.
    pub handler: String,
    /// The name it is deployed under.
    pub function_name: String,
    /// Its ARN on this machine.
    pub arn: String,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Its memory in MB.
    pub memory: u64,
    /// Its environment variables, resolved.
    pub environment: BTreeMap<String, String>,
    /// How often an asynchronous invocation that failed is tried again: 0 to 2.
    pub retries: u64,
    /// The queue that gets what failed to the last, if there is one.
    pub failures_to: Option<String>,
    /// Whether it has a URL.
    pub url: bool,
    /// The queues whose messages it gets.
    pub queues: Vec<QueueMapping>,
    /// The schedules that call it.
    pub schedules: Vec<FunctionSchedule>,
    /// The API routes that call it.
    pub routes: Vec<Route>,
}

/// An event source mapping from a queue to a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMapping {
    /// The queue's name.
    pub queue: String,
    /// The most messages one invocation gets.
    pub batch_size: u64,
    /// Whether the function says which messages of a batch failed.
    pub reports_batch_item_failures: bool,
}

/// A schedule that calls a function.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSchedule {
    /// The schedule's name.
    pub name: String,
    /// The body of a `CreateSchedule` request.
    pub request: Json,
}

/// An API route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method in capitals, or `ANY`.
    pub method: String,
    /// The path with `{parameters}`.
    pub path: String,
    /// The API it belongs to, by its id in the template; none for one that SAM would make.
    pub api: Option<String>,
    /// Whether the API's authorizer is asked.
    pub authorized: bool,
}

impl Template {
    /// Reads a template with values for its parameters. `port` is where everything is served on this machine.
    pub fn parse(
        text: &str,
        parameters: &BTreeMap<String, String>,
        port: u16,
    ) -> Result<Self, TemplateError> {
        let root: Yaml =
            serde_norway::from_str(text).map_err(|error| TemplateError::Yaml(error.to_string()))?;
        let resolver = Resolver::new(&root, parameters, port)?;
        let mut template = Self {
            tables: Vec::new(),
            queues: Vec::new(),
            functions: Vec::new(),
            schedule_groups: Vec::new(),
            apis: Vec::new(),
            port,
        };
        for (id, resource) in resolver.resources()? {
            match resource.kind {
                "AWS::DynamoDB::Table" => template.tables.push(resolver.table(&id, &resource)?),
                "AWS::SQS::Queue" => template.queues.push(resolver.queue(&id, &resource)?),
                "AWS::Serverless::Function" => template.functions.push(resolver.function(&id, &resource)?),
                "AWS::Serverless::HttpApi" => template.apis.push(resolver.api(&id, &resource)?),
                "AWS::Scheduler::ScheduleGroup" => {
                    template.schedule_groups.push(resolver.name_of(&id, &resource, "Name", 0)?);
                }
                _ => {}
            }
        }
        template.queues.sort_by_key(|queue| queue.attributes.contains_key("RedrivePolicy"));
        template.check_names()?;
        Ok(template)
    }

    fn check_names(&self) -> Result<(), TemplateError> {
        let mut seen = BTreeSet::new();
        for function in &self.functions {
            if !seen.insert(&function.name) {
                return Err(TemplateError::Unsupported {
                    what: format!("two functions called {}", function.name),
                    at: format!("Resources.{}.Properties.Handler", function.logical_id),
                });
            }
            for mapping in &function.queues {
                if !self.queues.iter().any(|queue| queue.name == mapping.queue) {
                    return Err(TemplateError::Unknown {
                        name: mapping.queue.clone(),
                        at: format!("Resources.{}.Properties.Events", function.logical_id),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Where in the template something stands, for errors.
#[derive(Clone, Debug)]
struct Place {
    path: String,
    depth: usize,
}

impl Place {
    fn new(path: impl Into<String>, depth: usize) -> Self {
        Self { path: path.into(), depth }
    }

    fn at(&self, step: &str) -> Self {
        Self { path: format!("{}.{step}", self.path), depth: self.depth }
    }

    fn malformed(&self, expected: &'static str) -> TemplateError {
        TemplateError::Malformed { expected, at: self.path.clone() }
    }

    fn unsupported(&self, what: impl Into<String>) -> TemplateError {
        TemplateError::Unsupported { what: what.into(), at: self.path.clone() }
    }

    fn missing(&self) -> TemplateError {
        TemplateError::Missing { at: self.path.clone() }
    }
}

/// A resource as it is written.
struct Resource<'a> {
    kind: &'a str,
    properties: &'a Yaml,
}

/// Resolves names and intrinsics against one template.
struct Resolver<'a> {
    root: &'a Yaml,
    parameters: BTreeMap<&'a str, Json>,
    port: u16,
}

impl<'a> Resolver<'a> {
    fn new(root: &'a Yaml, given: &BTreeMap<String, String>, port: u16) -> Result<Self, TemplateError> {
        let mut parameters = BTreeMap::new();
        for (name, parameter) in entries(&root["Parameters"]) {
            let fault = |why| TemplateError::Parameter { name: name.to_owned(), why };
            let text = match given.get(name) {
                Some(value) => value.clone(),
                None => {
                    scalar(&parameter["Default"]).ok_or_else(|| fault("has no default and was not given"))?
                }
            };
            if let Some(allowed) = parameter["AllowedValues"].as_sequence()
                && !allowed.iter().any(|value| scalar(value).as_ref() == Some(&text))
            {
                return Err(fault("has a value that is not allowed"));
            }
            let value = match parameter["Type"].as_str() {
                Some("CommaDelimitedList") if text.is_empty() => json!([]),
                Some("CommaDelimitedList") => text.split(',').map(|part| json!(part.trim())).collect(),
                _ => json!(text),
            };
            parameters.insert(name, value);
        }
        if let Some(name) = given.keys().find(|name| !parameters.contains_key(name.as_str())) {
            return Err(TemplateError::Parameter { name: name.clone(), why: "does not exist" });
        }
        Ok(Self { root, parameters, port })
    }

    /// The resources whose condition holds.
    fn resources(&self) -> Result<Vec<(String, Resource<'a>)>, TemplateError> {
        if !self.root["Resources"].is_mapping() {
            return Err(TemplateError::Missing { at: "Resources".to_owned() });
        }
        let mut found = Vec::new();
        for (id, resource) in entries(&self.root["Resources"]) {
            let place = Place::new(format!("Resources.{id}"), 0);
            let kind = resource["Type"].as_str().ok_or_else(|| place.at("Type").missing())?;
            if let Some(condition) = resource["Condition"].as_str()
                && !self.condition(condition, &place.at("Condition"))?
            {
                continue;
            }
            found.push((id.to_owned(), Resource { kind, properties: &resource["Properties"] }));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn resource(&self, id: &str) -> Option<Resource<'a>> {
        let resource = &self.root["Resources"][id];
        Some(Resource { kind: resource["Type"].as_str()?, properties: &resource["Properties"] })
    }

    // ---- what is taken from each kind of resource ----

    fn table(&self, id: &str, resource: &Resource<'_>) -> Result<Table, TemplateError> {
        let place = Place::new(format!("Resources.{id}.Properties"), 0);
        let name = self.name_of(id, resource, "TableName", 0)?;
        let properties = resource.properties;
        for unsupported in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes", "StreamSpecification"] {
            if !properties[unsupported].is_null() {
                return Err(place.unsupported(unsupported));
            }
        }
        let take = |member: &str| {
            self.value(&properties[member], &place.at(member))?.ok_or_else(|| place.at(member).missing())
        };
        let create_request = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": take("KeySchema")?,
            "AttributeDefinitions": take("AttributeDefinitions")?,
        });
        let ttl = self.value(&properties["TimeToLiveSpecification"], &place.at("TimeToLiveSpecification"))?;
        let time_to_live = ttl
            .filter(|ttl| truth(&ttl["Enabled"]))
            .and_then(|ttl| ttl["AttributeName"].as_str().map(str::to_owned));
        Ok(Table { logical_id: id.to_owned(), name, create_request, time_to_live })
    }

    fn api(&self, id: &str, resource: &Resource<'_>) -> Result<Api, TemplateError> {
        let place = Place::new(format!("Resources.{id}.Properties"), 0);
        let take = |member: &str| self.value(&resource.properties[member], &place.at(member));
        let auth = take("Auth")?.unwrap_or_else(|| json!({}));
        let authorizer = match auth["DefaultAuthorizer"].as_str() {
            None => None,
            Some(name) => {
                let place = place.at(&format!("Auth.Authorizers.{name}"));
                let written = &auth["Authorizers"][name];
                let function =
                    written["FunctionArn"].as_str().ok_or_else(|| place.at("FunctionArn").missing())?;
                // What is simulated here: nothing is remembered of a caller, and answers are the simple ones.
                if text(&written["Identity"]["ReauthorizeEvery"]).as_deref() != Some("0") {
                    return Err(place.unsupported("an authorizer whose answers are remembered"));
                }
                if !truth(&written["EnableSimpleResponses"])
                    || text(&written["AuthorizerPayloadFormatVersion"]).as_deref() != Some("2.0")
                {
                    return Err(place.unsupported("an authorizer without simple responses"));
                }
                let [header] = written["Identity"]["Headers"].as_array().map_or(&[][..], Vec::as_slice)
                else {
                    return Err(place.unsupported("an authorizer with other than one header"));
                };
                let header =
                    header.as_str().ok_or_else(|| place.at("Identity.Headers").malformed("a name"))?;
                Some(Authorizer { function: function.to_owned(), header: header.to_owned() })
            }
        };
        let throttling = take("DefaultRouteSettings")?.unwrap_or_else(|| json!({}));
        let limit = |name: &str| whole(&throttling[name]);
        let limits = limit("ThrottlingRateLimit")
            .zip(limit("ThrottlingBurstLimit"))
            .map(|(rate, burst)| Limits { rate, burst });
        Ok(Api { logical_id: id.to_owned(), authorizer, limits })
    }

    fn queue(&self, id: &str, resource: &Resource<'_>) -> Result<Queue, TemplateError> {
        let place = Place::new(format!("Resources.{id}.Properties"), 0);
        let name = self.name_of(id, resource, "QueueName", 0)?;
        let mut attributes = BTreeMap::new();
        for (member, value) in entries(resource.properties) {
            let place = place.at(member);
            let Some(value) = self.value(value, &place)? else { continue };
            match member {
                "QueueName" | "Tags" => {}
                "RedrivePolicy" | "RedriveAllowPolicy" => {
                    attributes.insert(member.to_owned(), value.to_string());
                }
                "ContentBasedDeduplication"
                | "DeduplicationScope"
                | "DelaySeconds"
                | "FifoQueue"
                | "FifoThroughputLimit"
                | "KmsDataKeyReusePeriodSeconds"
                | "KmsMasterKeyId"
                | "MaximumMessageSize"
                | "MessageRetentionPeriod"
                | "ReceiveMessageWaitTimeSeconds"
                | "SqsManagedSseEnabled"
                | "VisibilityTimeout" => {
                    let value = text(&value).ok_or_else(|| place.malformed("a plain value"))?;
                    attributes.insert(member.to_owned(), value);
                }
                _ => return Err(place.unsupported(format!("the queue property {member}"))),
            }
        }
        let (url, arn) = (queue_url(self.port, &name), queue_arn(&name));
        Ok(Queue { logical_id: id.to_owned(), name, url, arn, attributes })
    }

    fn function(&self, id: &str, resource: &Resource<'_>) -> Result<Function, TemplateError> {
        let place = Place::new(format!("Resources.{id}.Properties"), 0);
        let own = resource.properties;
        let shared = &self.root["Globals"]["Function"];
        // Of a plain property the function's own value wins; environment variables are merged (SAM,
        // "Globals").
        let take = |member: &str| {
            let written = if own[member].is_null() { &shared[member] } else { &own[member] };
            self.value(written, &place.at(member))
        };
        let number = |member: &'static str, default: u64| match take(member)? {
            None => Ok(default),
            Some(value) => whole(&value).ok_or_else(|| place.at(member).malformed("a whole number")),
        };
        let handler =
            take("Handler")?.as_ref().and_then(text).ok_or_else(|| place.at("Handler").missing())?;
        let mut environment = BTreeMap::new();
        for variables in [&shared["Environment"]["Variables"], &own["Environment"]["Variables"]] {
            for (name, written) in entries(variables) {
                let place = place.at(&format!("Environment.Variables.{name}"));
                if let Some(value) = self.value(written, &place)? {
                    let value = text(&value).ok_or_else(|| place.malformed("a plain value"))?;
                    environment.insert(name.to_owned(), value);
                }
            }
        }
        let invoke = take("EventInvokeConfig")?;
        let function_name = self.name_of(id, resource, "FunctionName", 0)?;
        let mut function = Function {
            logical_id: id.to_owned(),
            name: handler.rsplit('/').next().unwrap_or_default().to_owned(),
            handler,
            arn: function_arn(&function_name),
            function_name,
            // The defaults of Lambda (API reference, CreateFunction).
            timeout: Duration::from_secs(number("Timeout", 3)?),
            memory: number("MemorySize", 128)?,
            environment,
            // Twice unless it says otherwise (Lambda, "Asynchronous invocation").
            retries: invoke.as_ref().and_then(|config| whole(&config["MaximumRetryAttempts"])).unwrap_or(2),
            failures_to: invoke
                .as_ref()
                .and_then(|config| config["DestinationConfig"]["OnFailure"]["Destination"].as_str())
                .filter(|arn| arn.starts_with("arn:aws:sqs:"))
                .and_then(|arn| arn.rsplit(':').next())
                .map(str::to_owned),
            url: own["FunctionUrlConfig"].is_mapping(),
            queues: Vec::new(),
            schedules: Vec::new(),
            routes: Vec::new(),
        };
        for (name, event) in entries(&own["Events"]) {
            self.event(name, event, &place.at(&format!("Events.{name}")), &mut function)?;
        }
        Ok(function)
    }

    fn event(
        &self,
        name: &str,
        event: &Yaml,
        place: &Place,
        function: &mut Function,
    ) -> Result<(), TemplateError> {
        let properties =
            self.value(&event["Properties"], &place.at("Properties"))?.unwrap_or_else(|| json!({}));
        let place_of = |member: &str| place.at(&format!("Properties.{member}"));
        match event["Type"].as_str() {
            Some("SQS") => {
                let arn = properties["Queue"].as_str().ok_or_else(|| place_of("Queue").missing())?;
                let kinds = properties["FunctionResponseTypes"].as_array();
                function.queues.push(QueueMapping {
                    queue: arn.rsplit(':').next().unwrap_or_default().to_owned(),
                    batch_size: whole(&properties["BatchSize"]).unwrap_or(10),
                    reports_batch_item_failures: kinds
                        .is_some_and(|kinds| kinds.contains(&json!("ReportBatchItemFailures"))),
                });
            }
            Some(kind @ ("Schedule" | "ScheduleV2")) => {
                let expression = if kind == "Schedule" { "Schedule" } else { "ScheduleExpression" };
                let written =
                    properties[expression].as_str().ok_or_else(|| place_of(expression).missing())?;
                let given = properties["Name"].as_str().map(str::to_owned);
                let mut target = json!({
                    "Arn": function.arn,
                    "RoleArn": properties["RoleArn"].as_str().map_or_else(
                        || role_arn(&format!("{}{name}Role", function.logical_id)),
                        str::to_owned,
                    ),
                });
                for member in ["Input", "RetryPolicy", "DeadLetterConfig"] {
                    if !properties[member].is_null() {
                        target[member] = properties[member].clone();
                    }
                }
                let mut request = json!({
                    "ScheduleExpression": written, "FlexibleTimeWindow": { "Mode": "OFF" }, "Target": target,
                });
                for member in
                    ["Description", "FlexibleTimeWindow", "GroupName", "ScheduleExpressionTimezone", "State"]
                {
                    if !properties[member].is_null() {
                        request[member] = properties[member].clone();
                    }
                }
                for member in ["StartDate", "EndDate"] {
                    if let Some(date) = properties[member].as_str() {
                        let time = Timestamp::parse_rfc3339(date)
                            .ok_or_else(|| place_of(member).malformed("an RFC 3339 time"))?;
                        request[member] = json!(time.seconds());
                    }
                }
                function.schedules.push(FunctionSchedule {
                    name: given.unwrap_or_else(|| format!("{}{name}", function.logical_id)),
                    request,
                });
            }
            Some("Api" | "HttpApi") => function.routes.push(Route {
                method: properties["Method"].as_str().unwrap_or("ANY").to_ascii_uppercase(),
                path: properties["Path"].as_str().ok_or_else(|| place_of("Path").missing())?.to_owned(),
                api: properties["ApiId"].as_str().map(str::to_owned),
                authorized: properties["Auth"]["Authorizer"].as_str() != Some("NONE"),
            }),
            Some(other) => return Err(place.unsupported(format!("events of type {other}"))),
            None => return Err(place.at("Type").missing()),
        }
        Ok(())
    }

    // ---- names ----

    /// What a resource is called: the property if it is given, its id in the template otherwise.
    fn name_of(
        &self,
        id: &str,
        resource: &Resource<'_>,
        property: &str,
        depth: usize,
    ) -> Result<String, TemplateError> {
        let place = Place::new(format!("Resources.{id}.Properties.{property}"), depth);
        match self.value(&resource.properties[property], &place)? {
            None => Ok(id.to_owned()),
            Some(value) => text(&value).ok_or_else(|| place.malformed("a name")),
        }
    }

    fn reference(&self, name: &str, place: &Place) -> Result<Option<Json>, TemplateError> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(Some(value.clone()));
        }
        let pseudo = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => Some(REGION.to_owned()),
            "AWS::AccountId" => Some(ACCOUNT.to_owned()),
            "AWS::Partition" => Some("aws".to_owned()),
            "AWS::URLSuffix" => Some("amazonaws.com".to_owned()),
            "AWS::StackName" => Some(STACK.to_owned()),
            _ => None,
        };
        if let Some(value) = pseudo {
            return Ok(Some(json!(value)));
        }
        let resource = self
            .resource(name)
            .ok_or_else(|| TemplateError::Unknown { name: name.to_owned(), at: place.path.clone() })?;
        let called = |property: &str| self.name_of(name, &resource, property, place.depth + 1);
        let value = match resource.kind {
            "AWS::DynamoDB::Table" => called("TableName")?,
            "AWS::SQS::Queue" => queue_url(self.port, &called("QueueName")?),
            "AWS::Serverless::Function" => called("FunctionName")?,
            "AWS::Scheduler::ScheduleGroup" => called("Name")?,
            "AWS::IAM::Role" => called("RoleName")?,
            "AWS::Logs::LogGroup" => called("LogGroupName")?,
            "AWS::KMS::Key" => key_arn(resource.properties).rsplit('/').next().unwrap_or_default().to_owned(),
            "AWS::S3::Bucket" => called("BucketName")?,
            "AWS::KMS::Alias" => called("AliasName")?,
            // There is no Cognito here: whoever starts the bundle names another issuer.
            "AWS::Serverless::HttpApi" | "AWS::Cognito::UserPool" | "AWS::Cognito::UserPoolClient" => {
                name.to_owned()
            }
            kind => return Err(place.unsupported(format!("a reference to a resource of type {kind}"))),
        };
        Ok(Some(json!(value)))
    }

    fn attribute(&self, id: &str, attribute: &str, place: &Place) -> Result<Json, TemplateError> {
        let unsupported = || place.unsupported(format!("the attribute {id}.{attribute}"));
        let Some(resource) = self.resource(id) else {
            // SAM makes a `<Function>Url` resource for each function with a URL.
            let function = id.strip_suffix("Url").and_then(|owner| Some((owner, self.resource(owner)?)));
            return match function {
                Some((owner, resource))
                    if resource.kind == "AWS::Serverless::Function" && attribute == "FunctionUrl" =>
                {
                    let at = Place::new(format!("Resources.{owner}.Properties.Handler"), place.depth + 1);
                    let handler = self.value(&resource.properties["Handler"], &at)?;
                    let handler = handler.as_ref().and_then(text).ok_or_else(|| at.missing())?;
                    let name = handler.rsplit('/').next().unwrap_or_default();
                    Ok(json!(format!("http://127.0.0.1:{}/lambda-url/{name}/", self.port)))
                }
                _ => Err(TemplateError::Unknown { name: id.to_owned(), at: place.path.clone() }),
            };
        };
        let called = |property: &str| self.name_of(id, &resource, property, place.depth + 1);
        let value = match (resource.kind, attribute) {
            ("AWS::DynamoDB::Table", "Arn") => {
                format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{}", called("TableName")?)
            }
            ("AWS::SQS::Queue", "Arn") => queue_arn(&called("QueueName")?),
            ("AWS::SQS::Queue", "QueueName") => called("QueueName")?,
            ("AWS::SQS::Queue", "QueueUrl") => queue_url(self.port, &called("QueueName")?),
            ("AWS::Serverless::Function", "Arn") => function_arn(&called("FunctionName")?),
            ("AWS::Scheduler::ScheduleGroup", "Arn") => group_arn(&called("Name")?),
            ("AWS::IAM::Role", "Arn") => role_arn(&called("RoleName")?),
            ("AWS::KMS::Key", "Arn") => key_arn(resource.properties),
            ("AWS::S3::Bucket", "Arn") => format!("arn:aws:s3:::{}", called("BucketName")?),
            ("AWS::Logs::LogGroup", "Arn") => {
                format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{}:*", called("LogGroupName")?)
            }
            _ => return Err(unsupported()),
        };
        Ok(json!(value))
    }

    // ---- values ----

    /// The value of what is written; `None` where it is null or comes to `AWS::NoValue`.
    fn value(&self, written: &Yaml, place: &Place) -> Result<Option<Json>, TemplateError> {
        if place.depth > DEEPEST {
            return Err(place.unsupported("names that refer to each other in a circle"));
        }
        Ok(Some(match written {
            Yaml::Null => return Ok(None),
            Yaml::Bool(value) => json!(value),
            Yaml::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => json!(number),
                (None, Some(number)) => json!(number),
                (None, None) => return Err(place.malformed("a number that fits 64 bits")),
            },
            Yaml::String(value) => json!(value),
            Yaml::Sequence(items) => {
                let mut list = Vec::new();
                for (number, item) in items.iter().enumerate() {
                    list.extend(self.value(item, &place.at(&number.to_string()))?);
                }
                Json::Array(list)
            }
            Yaml::Mapping(mapping) => {
                if let Some((name, argument)) = long_form(written) {
                    return self.intrinsic(name, argument, place);
                }
                let mut object = Map::new();
                for (key, item) in mapping {
                    let key = scalar(key).ok_or_else(|| place.malformed("a mapping with plain keys"))?;
                    if let Some(value) = self.value(item, &place.at(&key))? {
                        object.insert(key, value);
                    }
                }
                Json::Object(object)
            }
            Yaml::Tagged(tagged) => {
                let tag = tagged.tag.to_string();
                return self.intrinsic(tag.trim_start_matches('!'), &tagged.value, place);
            }
        }))
    }

    fn intrinsic(&self, name: &str, argument: &Yaml, place: &Place) -> Result<Option<Json>, TemplateError> {
        let place = place.at(&format!("!{name}"));
        match name {
            "Ref" => self.reference(argument.as_str().ok_or_else(|| place.malformed("a name"))?, &place),
            "GetAtt" => {
                let (id, attribute) = match argument {
                    Yaml::String(dotted) => dotted.split_once('.'),
                    Yaml::Sequence(parts) => match &parts[..] {
                        [Yaml::String(id), Yaml::String(attribute)] => {
                            Some((id.as_str(), attribute.as_str()))
                        }
                        _ => None,
                    },
                    _ => None,
                }
                .ok_or_else(|| place.malformed("a resource and an attribute"))?;
                self.attribute(id, attribute, &place).map(Some)
            }
            "Sub" => self.substitute(argument, &place).map(|text| Some(json!(text))),
            "If" => match Self::arguments(argument, &place)? {
                [Yaml::String(condition), yes, no] => {
                    self.value(if self.condition(condition, &place)? { yes } else { no }, &place)
                }
                _ => Err(place.malformed("a condition and two values")),
            },
            "Join" => match Self::arguments(argument, &place)? {
                [Yaml::String(between), list] => {
                    let list = self.value(list, &place)?;
                    let list =
                        list.as_ref().and_then(Json::as_array).ok_or_else(|| place.malformed("a list"))?;
                    let parts: Option<Vec<String>> = list.iter().map(text).collect();
                    let parts = parts.ok_or_else(|| place.malformed("a list of plain values"))?;
                    Ok(Some(json!(parts.join(between))))
                }
                _ => Err(place.malformed("a delimiter and a list")),
            },
            "Select" => match Self::arguments(argument, &place)? {
                [number, list] => {
                    let number = self.value(number, &place)?.as_ref().and_then(whole);
                    let number = number
                        .and_then(|number| usize::try_from(number).ok())
                        .ok_or_else(|| place.malformed("a whole number first"))?;
                    let list = self.value(list, &place)?;
                    let found = list.as_ref().and_then(|list| list.get(number));
                    found.cloned().map(Some).ok_or_else(|| place.malformed("a list that is long enough"))
                }
                _ => Err(place.malformed("a number and a list")),
            },
            "Split" => match Self::arguments(argument, &place)? {
                [Yaml::String(between), whole] => {
                    let whole = self.value(whole, &place)?;
                    let whole = whole.as_ref().and_then(text).ok_or_else(|| place.malformed("a text"))?;
                    Ok(Some(whole.split(between.as_str()).map(|part| json!(part)).collect()))
                }
                _ => Err(place.malformed("a delimiter and a text")),
            },
            "Equals" | "Not" | "And" | "Or" | "Condition" => {
                self.decide(name, argument, &place).map(|decided| Some(json!(decided)))
            }
            _ => Err(place.unsupported(format!("the intrinsic !{name}"))),
        }
    }

    fn arguments<'b>(argument: &'b Yaml, place: &Place) -> Result<&'b [Yaml], TemplateError> {
        argument.as_sequence().map(Vec::as_slice).ok_or_else(|| place.malformed("a list"))
    }

    /// `${Name}`, `${Name.Attribute}`, `${!Literal}`, and names of the second argument's mapping.
    fn substitute(&self, argument: &Yaml, place: &Place) -> Result<String, TemplateError> {
        let (pattern, names) = match argument {
            Yaml::String(pattern) => (pattern.as_str(), &Yaml::Null),
            Yaml::Sequence(parts) => match &parts[..] {
                [Yaml::String(pattern), names @ Yaml::Mapping(_)] => (pattern.as_str(), names),
                _ => return Err(place.malformed("a text and a mapping")),
            },
            _ => return Err(place.malformed("a text")),
        };
        let mut out = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| place.malformed("a text with closed ${"))?;
            out.push_str(before);
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                out.extend(["${", literal, "}"]);
                continue;
            }
            let own = &names[name];
            let value = if !own.is_null() {
                self.value(own, place)?
            } else if let Some((id, attribute)) = name.split_once('.') {
                Some(self.attribute(id, attribute, place)?)
            } else {
                self.reference(name, place)?
            };
            let value =
                value.as_ref().and_then(text).ok_or_else(|| place.malformed("a text of plain values"))?;
            out.push_str(&value);
        }
        out.push_str(rest);
        Ok(out)
    }

    fn condition(&self, name: &str, place: &Place) -> Result<bool, TemplateError> {
        let written = &self.root["Conditions"][name];
        if written.is_null() {
            return Err(TemplateError::Unknown { name: name.to_owned(), at: place.path.clone() });
        }
        let place = Place::new(format!("Conditions.{name}"), place.depth + 1);
        let value = self.value(written, &place)?;
        value.as_ref().and_then(Json::as_bool).ok_or_else(|| place.malformed("a condition"))
    }

    fn decide(&self, name: &str, argument: &Yaml, place: &Place) -> Result<bool, TemplateError> {
        if name == "Condition" {
            return self.condition(argument.as_str().ok_or_else(|| place.malformed("a name"))?, place);
        }
        let arguments = Self::arguments(argument, place)?;
        if name == "Equals" {
            let [left, right] = arguments else { return Err(place.malformed("two values")) };
            let (left, right) = (self.value(left, place)?, self.value(right, place)?);
            // Parameters are texts, whatever they are compared with.
            let (left, right) = (left.as_ref().and_then(text), right.as_ref().and_then(text));
            return match (left, right) {
                (Some(left), Some(right)) => Ok(left == right),
                _ => Err(place.malformed("two plain values")),
            };
        }
        let mut decided = Vec::new();
        for argument in arguments {
            let value = self.value(argument, place)?;
            decided
                .push(value.as_ref().and_then(Json::as_bool).ok_or_else(|| place.malformed("conditions"))?);
        }
        match (name, &decided[..]) {
            ("Not", [only]) => Ok(!only),
            ("And", all @ [_, _, ..]) => Ok(all.iter().all(|&one| one)),
            ("Or", all @ [_, _, ..]) => Ok(all.iter().any(|&one| one)),
            _ => Err(place.malformed("one condition for !Not, at least two for !And and !Or")),
        }
    }
}

/// The ARN of a function of this name on this machine.
#[must_use]
pub fn function_arn(function_name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function_name}")
}

/// The ARN of the key that seals, or of the one that signs.
fn key_arn(properties: &Yaml) -> String {
    if properties["KeyUsage"].as_str() == Some("SIGN_VERIFY") {
        kms::signing_key_arn()
    } else {
        kms::key_arn()
    }
}

fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// The entries of a mapping with text keys; none of anything else.
fn entries(value: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    value.as_mapping().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str()?, value)))
}

/// `{ Fn::Sub: … }` and `{ Ref: … }`, which say the same as `!Sub …` and `!Ref …`.
fn long_form(value: &Yaml) -> Option<(&str, &Yaml)> {
    let mut all = entries(value);
    let (key, argument) = all.next()?;
    if all.next().is_some() {
        return None;
    }
    match key {
        "Ref" => Some((key, argument)),
        _ => Some((key.strip_prefix("Fn::")?, argument)),
    }
}

fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        Yaml::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn whole(value: &Json) -> Option<u64> {
    text(value)?.parse().ok()
}

fn truth(value: &Json) -> bool {
    text(value).is_some_and(|text| text == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = r"
Parameters:
  Stage: { Type: String, AllowedValues: [development, production] }
  Secret: { Type: String, Default: '' }
  Subnets: { Type: CommaDelimitedList, Default: '' }
  Memory: { Type: Number, Default: 256 }
Conditions:
  Production: !Equals [!Ref Stage, production]
  Networked: !Not [!Equals [!Join ['', !Ref Subnets], '']]
  Either: !Or [!Condition Production, !Condition Networked]
Globals:
  Function: { Timeout: 7, Environment: { Variables: { SHARED: all } } }
Resources:
  Orders:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub 'shop-${Stage}-orders'
      Handler: webhooks/orders
      MemorySize: !Ref Memory
      VpcConfig: !If [Networked, { SubnetIds: !Ref Subnets }, !Ref AWS::NoValue]
      Environment:
        Variables:
          TABLE: !Ref Data
          QUEUE: !Ref Work
          SECRET: !Ref Secret
          EITHER: !If [Either, 'yes', !Ref AWS::NoValue]
          TEXT: !Sub ['${Here}/${Work.QueueName}/${!Kept}', { Here: !GetAtt Work.Arn }]
          PART: !Select [1, !Split ['-', !GetAtt [Work, QueueName]]]
          LONG: { 'Fn::Sub': '${AWS::Region}' }
      FunctionUrlConfig: { AuthType: NONE }
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: jobs/worker
      Timeout: 30
      Environment: { Variables: { SHARED: own, URL: !GetAtt OrdersUrl.FunctionUrl } }
      Events:
        Messages:
          Type: SQS
          Properties: { Queue: !GetAtt Work.Arn, BatchSize: 5, FunctionResponseTypes: [ReportBatchItemFailures] }
        Hourly:
          Type: ScheduleV2
          Properties: { ScheduleExpression: rate(1 hour), GroupName: !Ref Group }
        Page:
          Type: HttpApi
          Properties: { Path: '/cases/{id}', Method: get }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub '${Stage}-work'
      VisibilityTimeout: 180
      SqsManagedSseEnabled: true
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5 }
  Dead: { Type: AWS::SQS::Queue }
  OnlyInProduction: { Type: AWS::SQS::Queue, Condition: Production }
  Data:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: data
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
  Group: { Type: AWS::Scheduler::ScheduleGroup, Properties: { Name: purges } }
  Role: { Type: AWS::IAM::Role }
";

    fn parse(text: &str, given: &[(&str, &str)]) -> Result<Template, TemplateError> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Template::parse(text, &given, 4000)
    }

    fn development() -> Template {
        parse(FIXTURE, &[("Stage", "development"), ("Secret", "sealed")]).unwrap()
    }

    #[test]
    fn given_a_template_when_read_then_functions_have_their_wiring_and_environment() {
        let template = development();
        let [orders, worker] = &template.functions[..] else { panic!("two functions") };
        assert_eq!(
            (orders.name.as_str(), orders.handler.as_str(), orders.url),
            ("orders", "webhooks/orders", true)
        );
        assert_eq!(orders.arn, "arn:aws:lambda:us-east-1:000000000000:function:shop-development-orders");
        assert_eq!((orders.timeout.as_secs(), orders.memory), (7, 256));
        let expected = [
            ("LONG", "us-east-1"),
            ("PART", "work"),
            ("QUEUE", "http://127.0.0.1:4000/000000000000/development-work"),
            ("SECRET", "sealed"),
            ("SHARED", "all"),
            ("TABLE", "data"),
            ("TEXT", "arn:aws:sqs:us-east-1:000000000000:development-work/development-work/${Kept}"),
        ];
        assert_eq!(
            orders.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(),
            expected
        );

        assert_eq!(worker.environment["SHARED"], "own");
        assert_eq!(worker.environment["URL"], "http://127.0.0.1:4000/lambda-url/orders/");
        assert_eq!(
            worker.queues,
            [QueueMapping {
                queue: "development-work".to_owned(),
                batch_size: 5,
                reports_batch_item_failures: true
            }]
        );
        assert_eq!(worker.schedules[0].name, "WorkerHourly");
        assert_eq!(worker.schedules[0].request["GroupName"], "purges");
        assert_eq!(worker.schedules[0].request["Target"]["Arn"], worker.arn.as_str());
        let [route] = &worker.routes[..] else { panic!("one route") };
        assert_eq!((route.method.as_str(), route.path.as_str()), ("GET", "/cases/{id}"));
        assert!(route.api.is_none() && route.authorized);
    }

    #[test]
    fn given_a_template_when_read_then_queues_and_tables_are_requests_that_make_them() {
        let template = development();
        let names: Vec<_> = template.queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["Dead", "development-work"], "dead letters first, conditions heeded");
        let work = &template.queues[1].attributes;
        assert_eq!(
            (work["VisibilityTimeout"].as_str(), work["SqsManagedSseEnabled"].as_str()),
            ("180", "true")
        );
        let policy: Json = serde_json::from_str(&work["RedrivePolicy"]).unwrap();
        assert_eq!(
            policy,
            json!({ "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:Dead", "maxReceiveCount": 5 })
        );
        assert_eq!(template.tables[0].create_request["KeySchema"][0]["AttributeName"], "pk");
        assert_eq!(template.tables[0].time_to_live.as_deref(), Some("expires_at"));
        assert_eq!(template.schedule_groups, ["purges"]);
    }

    #[test]
    fn given_parameters_when_they_are_wrong_then_it_says_which() {
        let fault = |given: &[(&str, &str)]| match parse(FIXTURE, given) {
            Err(TemplateError::Parameter { name, .. }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(&[]), "Stage");
        assert_eq!(fault(&[("Stage", "elsewhere")]), "Stage");
        assert_eq!(fault(&[("Stage", "production"), ("Stag", "x")]), "Stag");
        assert_eq!(parse(FIXTURE, &[("Stage", "production")]).unwrap().queues.len(), 3);
    }

    #[test]
    fn given_our_own_template_when_read_then_everything_in_it_has_a_local_counterpart() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let template = parse(&text, &[("Stage", "development")]).unwrap();
        assert_eq!(template.tables.len(), 3);
        assert!(template.tables.iter().all(|table| table.time_to_live.as_deref() == Some("expires_at")));
        let named = |name: &str| template.functions.iter().find(|function| function.name == name).unwrap();
        assert!(named("orders-create").url && named("app-uninstalled").url);
        for job in ["match-order", "redact-subject", "purge-shop"] {
            let mapping = &named(job).queues[0];
            assert!(mapping.reports_batch_item_failures, "{job}");
            let queue = template.queues.iter().find(|queue| queue.name == mapping.queue).unwrap();
            assert!(queue.attributes.contains_key("RedrivePolicy"), "{job}");
            let visible_again: u64 = queue.attributes["VisibilityTimeout"].parse().unwrap();
            assert_eq!(visible_again, 6 * named(job).timeout.as_secs(), "{job}");
        }
        let sweep = named("sweep-due");
        assert_eq!(sweep.retries, 1);
        assert!(template.queues.iter().any(|queue| Some(&queue.name) == sweep.failures_to.as_ref()));
        assert_eq!(named("sweep-due").schedules[0].request["ScheduleExpression"], "rate(1 hour)");
        assert_eq!(
            named("app-uninstalled").environment["STOREWARD_SCHEDULE_GROUP"],
            template.schedule_groups[0]
        );
    }

    #[test]
    fn given_what_the_local_run_does_not_know_when_read_then_it_says_what_and_where() {
        let function = |properties: &str| {
            format!(
                "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {{ Handler: jobs/f, {properties} }}\n"
            )
        };
        let cases = [
            (function("Environment: { Variables: { A: !Ref Nothing } }"), "Nothing refers to nothing"),
            (function("Environment: { Variables: { A: !GetAtt Nothing.Arn } }"), "Nothing refers to nothing"),
            (
                function("Environment: { Variables: { A: !ImportValue x } }"),
                "does not know the intrinsic !ImportValue",
            ),
            (function("Environment: { Variables: { A: [1, 2] } }"), "Variables.A in template.yaml must be"),
            (function("Timeout: soon"), "Timeout in template.yaml must be a whole number"),
            (function("Events: { E: { Type: Kinesis } }"), "does not know events of type Kinesis"),
            (
                function("Events: { E: { Type: SQS } }"),
                "has no Resources.F.Properties.Events.E.Properties.Queue",
            ),
            (function("FunctionName: !Ref F"), "in a circle"),
            (
                "Resources:\n  Q: { Type: AWS::SQS::Queue, Properties: { Colour: red } }\n".to_owned(),
                "property Colour",
            ),
            ("Description: nothing\n".to_owned(), "has no Resources"),
            ("{".to_owned(), "is not YAML"),
        ];
        for (text, expected) in cases {
            let error = parse(&text, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
