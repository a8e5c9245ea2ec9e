//! EventBridge Scheduler on one machine: schedules and their groups on the REST-JSON wire, validated as
//! strictly as the real one, kept in a file where asked to. Says what is due when; delivering it to a queue
//! or a function is the runtime's work.

pub mod expression;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Query;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storeward_core::time::{Clock, Timestamp};

use self::expression::{Expression, ExpressionError};
use super::{ACCOUNT, REGION};

/// The group every account has.
const DEFAULT_GROUP: &str = "default";

/// How much of a page a list answers when not told (Scheduler API reference, `ListSchedules`).
const PAGE: usize = 100;

/// Schedules fire with a precision of a minute, so a one-time schedule made within its minute still fires.
const PRECISION: Duration = Duration::from_mins(1);

/// A schedule whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// The schedule's name.
    pub schedule: String,
    /// The group it is in.
    pub group: String,
    /// When it was due.
    pub due: Timestamp,
    /// What to call: the ARN of a queue or of a function.
    pub target_arn: String,
    /// What to give it: a message body, or a function's event as JSON text.
    pub input: String,
}

/// A schedule as the control page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// The schedule's name.
    pub name: String,
    /// The group it is in.
    pub group: String,
    /// `at(…)`, `rate(…)` or `cron(…)`.
    pub expression: String,
    /// The ARN of what it calls.
    pub target_arn: String,
    /// When it fires next; `None` when it is disabled or has fired for the last time.
    pub next: Option<Timestamp>,
}

/// Why the schedules could not be read or written.
#[derive(Debug)]
pub enum SchedulerError {
    /// The file could not be read or written.
    File(std::io::Error),
    /// The file holds something else than schedules.
    Malformed(String),
    /// A schedule was refused: what the wire would answer.
    Refused {
        /// The exception's name.
        code: &'static str,
        /// What it says.
        message: String,
    },
}

impl fmt::Display for SchedulerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the schedules' file cannot be used: {error}"),
            Self::Malformed(why) => write!(f, "the schedules' file does not hold schedules: {why}"),
            Self::Refused { code, message } => write!(f, "{code}: {message}"),
        }
    }
}

impl std::error::Error for SchedulerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Malformed(_) | Self::Refused { .. } => None,
        }
    }
}

/// An exception of the Scheduler API.
#[derive(Debug)]
struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    fn validation(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "ValidationException", message: message.into() }
    }

    fn constraint(value: &str, member: &str, rule: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}"
        ))
    }

    fn missing(member: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    }

    fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code: "ConflictException", message: message.into() }
    }

    fn not_found(what: &str, name: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "ResourceNotFoundException",
            message: format!("{what} {name} does not exist."),
        }
    }

    fn internal(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalServerException",
            message: message.into(),
        }
    }
}

impl From<Fault> for SchedulerError {
    fn from(fault: Fault) -> Self {
        Self::Refused { code: fault.code, message: fault.message }
    }
}

/// What `CreateSchedule` and `UpdateSchedule` take. Numbers of dates are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    schedule_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_expression_timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_after_completion: Option<String>,
    flexible_time_window: Option<FlexibleTimeWindow>,
    target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<String>,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FlexibleTimeWindow {
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_window_in_minutes: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    arn: Option<String>,
    role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqs_parameters: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetryPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<i64>,
}

/// A stored schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Schedule {
    definition: Definition,
    client_token: Option<String>,
    created: Timestamp,
    modified: Timestamp,
    next: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    created: Timestamp,
    schedules: BTreeMap<String, Schedule>,
}

type Groups = BTreeMap<String, Group>;

/// EventBridge Scheduler. Clones share the schedules.
#[derive(Clone)]
pub struct Scheduler {
    clock: Arc<dyn Clock>,
    groups: Arc<Mutex<Groups>>,
    file: Option<Arc<PathBuf>>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Schedules that are gone with the process.
    #[must_use]
    pub fn memory(clock: Arc<dyn Clock>) -> Self {
        let groups = default_groups(clock.now());
        Self { clock, groups: Arc::new(Mutex::new(groups)), file: None }
    }

    /// Schedules kept in `file`. What was due while nothing ran fires at the next [`Scheduler::take_due`].
    pub fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, SchedulerError> {
        let groups = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| SchedulerError::Malformed(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => default_groups(clock.now()),
            Err(error) => return Err(SchedulerError::File(error)),
        };
        Ok(Self { clock, groups: Arc::new(Mutex::new(groups)), file: Some(Arc::new(file.to_owned())) })
    }

    /// Whether a request of this path is for this service.
    #[must_use]
    pub fn owns(path: &str) -> bool {
        ["/schedules", "/schedule-groups"]
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// The name of the operation a request asks for, as the API reference has it; `None` where there is none.
    #[must_use]
    pub fn operation(method: &Method, path: &str) -> Option<&'static str> {
        let mut parts = path.trim_matches('/').split('/');
        let found = match (method.as_str(), parts.next(), parts.next()) {
            ("POST", Some("schedules"), Some(_)) => "CreateSchedule",
            ("PUT", Some("schedules"), Some(_)) => "UpdateSchedule",
            ("GET", Some("schedules"), Some(_)) => "GetSchedule",
            ("DELETE", Some("schedules"), Some(_)) => "DeleteSchedule",
            ("GET", Some("schedules"), None) => "ListSchedules",
            ("POST", Some("schedule-groups"), Some(_)) => "CreateScheduleGroup",
            ("GET", Some("schedule-groups"), Some(_)) => "GetScheduleGroup",
            ("DELETE", Some("schedule-groups"), Some(_)) => "DeleteScheduleGroup",
            ("GET", Some("schedule-groups"), None) => "ListScheduleGroups",
            _ => return None,
        };
        parts.next().is_none().then_some(found)
    }

    /// Answers one request of the REST-JSON protocol.
    #[must_use]
    pub fn call(&self, method: &Method, uri: &Uri, body: &[u8]) -> Response<Bytes> {
        let name = uri.path().trim_matches('/').split('/').nth(1).unwrap_or_default();
        let query =
            Query::<HashMap<String, String>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
        let answer = match Self::operation(method, uri.path()) {
            Some("CreateSchedule") => self.create(name, body),
            Some("UpdateSchedule") => self.update(name, body),
            Some("GetSchedule") => self.get(name, query.get("groupName")),
            Some("DeleteSchedule") => self.delete(name, query.get("groupName")),
            Some("ListSchedules") => self.list(&query),
            Some("CreateScheduleGroup") => self.create_group(name, body),
            Some("GetScheduleGroup") => self.get_group(name),
            Some("DeleteScheduleGroup") => self.delete_group(name),
            Some("ListScheduleGroups") => self.list_groups(&query),
            _ => Err(Fault {
                status: StatusCode::NOT_FOUND,
                code: "UnknownOperationException",
                message: format!("{method} {} is no operation of this service.", uri.path()),
            }),
        };
        match answer {
            Ok(body) => respond(StatusCode::OK, &body),
            Err(fault) => {
                let mut response = respond(fault.status, &json!({ "Message": fault.message }));
                response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(fault.code));
                response
            }
        }
    }

    /// Makes a schedule, or replaces the one of that name: how the template's schedules get here. `request`
    /// is the body of `CreateSchedule`.
    pub fn put(&self, name: &str, request: &Value) -> Result<(), SchedulerError> {
        let group = request["GroupName"].as_str().unwrap_or(DEFAULT_GROUP);
        self.ensure_group(group)?;
        let exists = self.groups().get(group).is_some_and(|group| group.schedules.contains_key(name));
        let body = request.to_string();
        if exists { self.update(name, body.as_bytes()) } else { self.create(name, body.as_bytes()) }?;
        Ok(())
    }

    /// Makes a group where there is none of that name.
    pub fn ensure_group(&self, name: &str) -> Result<(), SchedulerError> {
        if !self.groups().contains_key(name) {
            self.create_group(name, b"{}")?;
        }
        Ok(())
    }

    /// When the next schedule fires, if any does.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.groups()
            .values()
            .flat_map(|group| group.schedules.values())
            .filter_map(Schedule::next_firing)
            .min()
    }

    /// Takes what is due at `now`, in the order it was due, and sets each schedule to its next time, or
    /// removes it when it is complete and asked to be. Firings that were missed while nothing ran count as
    /// one.
    pub fn take_due(&self, now: Timestamp) -> Result<Vec<Firing>, SchedulerError> {
        let mut groups = self.groups();
        let mut firings = Vec::new();
        for (group_name, group) in &mut *groups {
            group.schedules.retain(|name, schedule| {
                let Some(due) = schedule.next_firing().filter(|&due| due <= now) else { return true };
                firings.push(schedule.fire(name, group_name, due));
                schedule.next = schedule.next_after(now);
                schedule.next.is_some()
                    || schedule.definition.action_after_completion.as_deref() != Some("DELETE")
            });
        }
        if !firings.is_empty() {
            self.save(&groups)?;
        }
        firings.sort_by(|a, b| (a.due, &a.schedule).cmp(&(b.due, &b.schedule)));
        Ok(firings)
    }

    /// All schedules, by group and name.
    #[must_use]
    pub fn schedules(&self) -> Vec<ScheduleState> {
        let groups = self.groups();
        let all = groups.iter().flat_map(|(group, content)| {
            content.schedules.iter().map(|(name, schedule)| ScheduleState {
                name: name.clone(),
                group: group.clone(),
                expression: schedule.definition.schedule_expression.clone().unwrap_or_default(),
                target_arn: schedule.definition.target_arn().to_owned(),
                next: schedule.next_firing(),
            })
        });
        all.collect()
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, Groups> {
        // Every change is made on a whole map and leaves it whole: a panic elsewhere does not spoil it.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes beside and renames: a crash leaves the old file or the new one.
    fn save(&self, groups: &Groups) -> Result<(), SchedulerError> {
        let Some(file) = &self.file else { return Ok(()) };
        let beside = file.with_extension("tmp");
        let bytes =
            serde_json::to_vec(groups).map_err(|error| SchedulerError::Malformed(error.to_string()))?;
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, &**file))
            .map_err(SchedulerError::File)
    }

    fn saved(&self, groups: &Groups) -> Result<(), Fault> {
        self.save(groups).map_err(|error| Fault::internal(error.to_string()))
    }

    fn create(&self, name: &str, body: &[u8]) -> Result<Value, Fault> {
        check_name(name, "name")?;
        let definition = read::<Definition>(body)?;
        let expression = definition.validate()?;
        let group_name = definition.group().to_owned();
        let mut groups = self.groups();
        let group =
            groups.get_mut(&group_name).ok_or_else(|| Fault::not_found("Schedule group", &group_name))?;
        let now = self.clock.now();
        if let Some(existing) = group.schedules.get(name) {
            let same = existing.client_token.is_some() && existing.client_token == definition.client_token;
            let unchanged = Definition { client_token: None, ..definition } == existing.definition;
            return match (same, unchanged) {
                (true, true) => Ok(json!({ "ScheduleArn": schedule_arn(&group_name, name) })),
                (true, false) => Err(Fault::conflict(
                    "The request uses a client token that was used before with different parameters.",
                )),
                _ => Err(Fault::conflict(format!("Schedule {name} already exists."))),
            };
        }
        let mut schedule = Schedule {
            client_token: definition.client_token.clone(),
            definition: Definition { client_token: None, ..definition },
            created: now,
            modified: now,
            next: None,
        };
        schedule.next = schedule.first(&expression, now);
        group.schedules.insert(name.to_owned(), schedule);
        self.saved(&groups)?;
        Ok(json!({ "ScheduleArn": schedule_arn(&group_name, name) }))
    }

    fn update(&self, name: &str, body: &[u8]) -> Result<Value, Fault> {
        check_name(name, "name")?;
        let definition = read::<Definition>(body)?;
        let expression = definition.validate()?;
        let group_name = definition.group().to_owned();
        let mut groups = self.groups();
        let schedule = groups
            .get_mut(&group_name)
            .and_then(|group| group.schedules.get_mut(name))
            .ok_or_else(|| Fault::not_found("Schedule", name))?;
        let now = self.clock.now();
        let unchanged = Definition { client_token: None, ..definition.clone() } == schedule.definition;
        schedule.modified = now;
        // The same definition again, as at every start of the local run, keeps its rhythm.
        if !unchanged || schedule.next.is_none() {
            schedule.definition = Definition { client_token: None, ..definition };
            schedule.next = schedule.first(&expression, now);
        }
        self.saved(&groups)?;
        Ok(json!({ "ScheduleArn": schedule_arn(&group_name, name) }))
    }

    fn get(&self, name: &str, group: Option<&String>) -> Result<Value, Fault> {
        check_name(name, "name")?;
        let group_name = group.map_or(DEFAULT_GROUP, String::as_str);
        let groups = self.groups();
        let schedule = groups
            .get(group_name)
            .and_then(|group| group.schedules.get(name))
            .ok_or_else(|| Fault::not_found("Schedule", name))?;
        let mut answer = json!(schedule.definition);
        let defaults = [
            ("ActionAfterCompletion", "NONE"),
            ("GroupName", DEFAULT_GROUP),
            ("ScheduleExpressionTimezone", "UTC"),
            ("State", "ENABLED"),
        ];
        for (member, default) in defaults {
            if answer[member].is_null() {
                answer[member] = json!(default);
            }
        }
        answer["Name"] = json!(name);
        answer["Arn"] = json!(schedule_arn(group_name, name));
        answer["CreationDate"] = seconds(schedule.created);
        answer["LastModificationDate"] = seconds(schedule.modified);
        Ok(answer)
    }

    fn delete(&self, name: &str, group: Option<&String>) -> Result<Value, Fault> {
        check_name(name, "name")?;
        let mut groups = self.groups();
        groups
            .get_mut(group.map_or(DEFAULT_GROUP, String::as_str))
            .and_then(|group| group.schedules.remove(name))
            .ok_or_else(|| Fault::not_found("Schedule", name))?;
        self.saved(&groups)?;
        Ok(json!({}))
    }

    fn list(&self, query: &HashMap<String, String>) -> Result<Value, Fault> {
        let groups = self.groups();
        let wanted = query.get("ScheduleGroup");
        if let Some(group) = wanted.filter(|&group| !groups.contains_key(group)) {
            return Err(Fault::not_found("Schedule group", group));
        }
        let state = query.get("State");
        if let Some(state) = state.filter(|state| !["ENABLED", "DISABLED"].contains(&state.as_str())) {
            return Err(Fault::constraint(state, "state", "satisfy enum value set: [ENABLED, DISABLED]"));
        }
        let prefix = query.get("NamePrefix").map_or("", String::as_str);
        let mut found = Vec::new();
        for (group, content) in
            groups.iter().filter(|(group, _)| wanted.is_none_or(|wanted| wanted == *group))
        {
            for (name, schedule) in content.schedules.iter().filter(|(name, _)| name.starts_with(prefix)) {
                let its_state = schedule.definition.state.as_deref().unwrap_or("ENABLED");
                if state.is_some_and(|state| state != its_state) {
                    continue;
                }
                found.push(json!({
                    "Arn": schedule_arn(group, name), "Name": name, "GroupName": group, "State": its_state,
                    "CreationDate": seconds(schedule.created), "LastModificationDate": seconds(schedule.modified),
                    "Target": { "Arn": schedule.definition.target_arn() },
                }));
            }
        }
        page("Schedules", found, query)
    }

    fn create_group(&self, name: &str, body: &[u8]) -> Result<Value, Fault> {
        check_name(name, "name")?;
        read::<Value>(body)?;
        let mut groups = self.groups();
        if groups.contains_key(name) {
            return Err(Fault::conflict(format!("Schedule group {name} already exists.")));
        }
        groups.insert(name.to_owned(), Group { created: self.clock.now(), schedules: BTreeMap::new() });
        self.saved(&groups)?;
        Ok(json!({ "ScheduleGroupArn": group_arn(name) }))
    }

    fn get_group(&self, name: &str) -> Result<Value, Fault> {
        check_name(name, "name")?;
        let groups = self.groups();
        let group = groups.get(name).ok_or_else(|| Fault::not_found("Schedule group", name))?;
        Ok(group.describe(name))
    }

    fn delete_group(&self, name: &str) -> Result<Value, Fault> {
        check_name(name, "name")?;
        if name == DEFAULT_GROUP {
            return Err(Fault::validation("Schedule group default cannot be deleted."));
        }
        let mut groups = self.groups();
        groups.remove(name).ok_or_else(|| Fault::not_found("Schedule group", name))?;
        self.saved(&groups)?;
        Ok(json!({}))
    }

    fn list_groups(&self, query: &HashMap<String, String>) -> Result<Value, Fault> {
        let prefix = query.get("NamePrefix").map_or("", String::as_str);
        let groups = self.groups();
        let named = groups.iter().filter(|(name, _)| name.starts_with(prefix));
        page("ScheduleGroups", named.map(|(name, group)| group.describe(name)).collect(), query)
    }
}

impl Group {
    fn describe(&self, name: &str) -> Value {
        json!({
            "Arn": group_arn(name), "Name": name, "State": "ACTIVE",
            "CreationDate": seconds(self.created), "LastModificationDate": seconds(self.created),
        })
    }
}

impl Schedule {
    /// When it fires next, unless it is disabled.
    fn next_firing(&self) -> Option<Timestamp> {
        self.next.filter(|_| self.definition.state.as_deref() != Some("DISABLED"))
    }

    /// Where a rate counts from.
    fn anchor(&self) -> Timestamp {
        self.definition.start().map_or(self.modified, |start| start.max(self.modified))
    }

    /// The first time it fires after it was made or changed at `now`. A rate without a start date fires at
    /// once; a one-time schedule in the past is accepted and never fires, since nothing documents that it
    /// does.
    fn first(&self, expression: &Expression, now: Timestamp) -> Option<Timestamp> {
        match expression {
            Expression::At(time) => (*time + PRECISION > now).then_some(*time),
            Expression::Rate(_) => self.until_end(Some(self.anchor())),
            Expression::Cron(..) => {
                let from = self.anchor() - Duration::from_millis(1);
                self.until_end(expression.next(from, from))
            }
        }
    }

    /// The time it fires after `now`, once it has fired.
    fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let text = self.definition.schedule_expression.as_deref()?;
        let expression =
            Expression::parse(text, self.definition.schedule_expression_timezone.as_deref()).ok()?;
        match expression {
            Expression::At(_) => None,
            recurring => self.until_end(recurring.next(now, self.anchor())),
        }
    }

    fn until_end(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.filter(|&time| self.definition.end().is_none_or(|end| time < end))
    }

    fn fire(&self, name: &str, group: &str, due: Timestamp) -> Firing {
        let arn = schedule_arn(group, name);
        // The real one gives a random id per execution; this one says the same thing about the same firing.
        let digest =
            ring::digest::digest(&ring::digest::SHA256, format!("{arn} {}", due.millis()).as_bytes());
        let id = hex::encode(&digest.as_ref()[..16]);
        let time = Timestamp::from_seconds(due.seconds()).to_rfc3339();
        let input = match self.definition.target.as_ref().and_then(|target| target.input.as_deref()) {
            Some(input) => input
                .replace("<aws.scheduler.schedule-arn>", &arn)
                .replace("<aws.scheduler.scheduled-time>", &time)
                .replace("<aws.scheduler.execution-id>", &id)
                .replace("<aws.scheduler.attempt-number>", "1"),
            None => json!({
                "version": "0", "id": id, "detail-type": "Scheduled Event", "source": "aws.scheduler",
                "account": ACCOUNT, "time": time, "region": REGION, "resources": [arn], "detail": "{}",
            })
            .to_string(),
        };
        let target_arn = self.definition.target_arn().to_owned();
        Firing { schedule: name.to_owned(), group: group.to_owned(), due, target_arn, input }
    }
}

impl Definition {
    fn group(&self) -> &str {
        self.group_name.as_deref().unwrap_or(DEFAULT_GROUP)
    }

    fn target_arn(&self) -> &str {
        self.target.as_ref().and_then(|target| target.arn.as_deref()).unwrap_or_default()
    }

    fn start(&self) -> Option<Timestamp> {
        self.start_date.and_then(point)
    }

    fn end(&self) -> Option<Timestamp> {
        self.end_date.and_then(point)
    }

    /// Checks everything the API reference limits and answers the expression.
    fn validate(&self) -> Result<Expression, Fault> {
        check_name(self.group(), "groupName")?;
        if let Some(token) = &self.client_token {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if token.is_empty() || token.len() > 64 || !token.bytes().all(fine) {
                return Err(Fault::constraint(
                    token,
                    "clientToken",
                    "satisfy regular expression pattern: [a-zA-Z0-9-_]+",
                ));
            }
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 512) {
            return Err(Fault::validation(
                "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have \
                 length less than or equal to 512",
            ));
        }
        check_enum(self.state.as_deref(), "state", &["ENABLED", "DISABLED"])?;
        check_enum(self.action_after_completion.as_deref(), "actionAfterCompletion", &["NONE", "DELETE"])?;
        self.flexible_time_window.as_ref().ok_or_else(|| Fault::missing("flexibleTimeWindow"))?.validate()?;
        self.target.as_ref().ok_or_else(|| Fault::missing("target"))?.validate()?;
        for (date, member) in [(self.start_date, "startDate"), (self.end_date, "endDate")] {
            if let Some(date) = date.filter(|&date| point(date).is_none()) {
                return Err(Fault::constraint(&date.to_string(), member, "be a point in time"));
            }
        }
        if let (Some(start), Some(end)) = (self.start(), self.end())
            && start >= end
        {
            return Err(Fault::validation("The StartDate must be before the EndDate."));
        }
        let text = self.schedule_expression.as_deref().ok_or_else(|| Fault::missing("scheduleExpression"))?;
        Expression::parse(text, self.schedule_expression_timezone.as_deref()).map_err(|error| match error {
            ExpressionError::Malformed => Fault::validation(format!("Invalid Schedule Expression {text}.")),
            ExpressionError::UnknownTimeZone => Fault::validation(format!(
                "Invalid Schedule Expression Timezone {}.",
                self.schedule_expression_timezone.as_deref().unwrap_or_default()
            )),
        })
    }
}

impl FlexibleTimeWindow {
    fn validate(&self) -> Result<(), Fault> {
        let mode = self.mode.as_deref().ok_or_else(|| Fault::missing("flexibleTimeWindow.mode"))?;
        check_enum(Some(mode), "flexibleTimeWindow.mode", &["OFF", "FLEXIBLE"])?;
        match (mode, self.maximum_window_in_minutes) {
            ("OFF", None) | ("FLEXIBLE", Some(1..=1440)) => Ok(()),
            ("OFF", Some(_)) => {
                Err(Fault::validation("MaximumWindowInMinutes must be left out when the Mode is OFF."))
            }
            _ => Err(Fault::validation(
                "MaximumWindowInMinutes must be from 1 to 1440 when the Mode is FLEXIBLE.",
            )),
        }
    }
}

impl Target {
    fn validate(&self) -> Result<(), Fault> {
        let arn = self.arn.as_deref().ok_or_else(|| Fault::missing("target.arn"))?;
        let role = self.role_arn.as_deref().ok_or_else(|| Fault::missing("target.roleArn"))?;
        let parts: Vec<&str> = role.splitn(6, ':').collect();
        let is_role = matches!(parts[..], ["arn", _, "iam", "", account, resource]
            if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) && resource.starts_with("role/"));
        if !is_role {
            return Err(Fault::constraint(
                role,
                "target.roleArn",
                "satisfy regular expression pattern: arn:aws[a-z-]*:iam::\\d{12}:role\\/[\\w+=,.@\\/-]+",
            ));
        }
        let queue = arn.starts_with("arn:aws:sqs:");
        if !(queue || (arn.starts_with("arn:aws:lambda:") && arn.contains(":function:"))) {
            return Err(Fault::validation(format!(
                "{arn} is neither a queue nor a function: the local Scheduler calls no other targets."
            )));
        }
        // Queue names are case-sensitive, and so is the suffix that makes one FIFO.
        let fifo = queue && arn.rsplit('.').next() == Some("fifo");
        let has_group = self.sqs_parameters.as_ref().is_some_and(|p| p["MessageGroupId"].is_string());
        if has_group != fifo {
            return Err(Fault::validation(
                "SqsParameters.MessageGroupId goes with FIFO queues, and only with them.",
            ));
        }
        if self.input.as_ref().is_some_and(|input| input.is_empty() || input.len() > 262_144) {
            return Err(Fault::validation("The Input must have 1 to 262144 bytes."));
        }
        // A function's event is JSON; what is not would reach it on AWS as an error nobody sees.
        if let Some(input) = self.input.as_deref().filter(|_| !queue)
            && serde_json::from_str::<Value>(input).is_err()
        {
            return Err(Fault::validation("The Input of a function must be JSON."));
        }
        let retry = self.retry_policy.as_ref();
        let age = retry.and_then(|policy| policy.maximum_event_age_in_seconds).unwrap_or(86_400);
        let attempts = retry.and_then(|policy| policy.maximum_retry_attempts).unwrap_or(185);
        if !(60..=86_400).contains(&age) {
            return Err(Fault::constraint(
                &age.to_string(),
                "target.retryPolicy.maximumEventAgeInSeconds",
                "be from 60 to 86400",
            ));
        }
        if !(0..=185).contains(&attempts) {
            return Err(Fault::constraint(
                &attempts.to_string(),
                "target.retryPolicy.maximumRetryAttempts",
                "be from 0 to 185",
            ));
        }
        Ok(())
    }
}

fn default_groups(now: Timestamp) -> Groups {
    BTreeMap::from([(DEFAULT_GROUP.to_owned(), Group { created: now, schedules: BTreeMap::new() })])
}

/// The ARN of a schedule.
#[must_use]
pub fn schedule_arn(group: &str, name: &str) -> String {
    format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/{group}/{name}")
}

/// The ARN of a schedule group.
#[must_use]
pub fn group_arn(name: &str) -> String {
    format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/{name}")
}

fn check_name(name: &str, member: &str) -> Result<(), Fault> {
    if name.len() > 64 {
        return Err(Fault::constraint(name, member, "have length less than or equal to 64"));
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(fine) {
        return Err(Fault::constraint(name, member, "satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$"));
    }
    Ok(())
}

fn check_enum(value: Option<&str>, member: &str, allowed: &[&str]) -> Result<(), Fault> {
    match value.filter(|value| !allowed.contains(value)) {
        Some(value) => Err(Fault::constraint(
            value,
            member,
            &format!("satisfy enum value set: [{}]", allowed.join(", ")),
        )),
        None => Ok(()),
    }
}

fn read<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault {
        status: StatusCode::BAD_REQUEST,
        code: if error.is_data() { "ValidationException" } else { "SerializationException" },
        message: format!("The request body cannot be read: {error}"),
    })
}

/// Cuts a page out of a list; the token is the place of the next one.
fn page(member: &str, found: Vec<Value>, query: &HashMap<String, String>) -> Result<Value, Fault> {
    let size = match query.get("MaxResults") {
        None => PAGE,
        Some(text) => text.parse().ok().filter(|size| (1..=PAGE).contains(size)).ok_or_else(|| {
            Fault::constraint(
                text,
                "maxResults",
                "be greater than or equal to 1 and less than or equal to 100",
            )
        })?,
    };
    let start = match query.get("NextToken") {
        None => 0,
        Some(token) => {
            token.parse::<usize>().map_err(|_| Fault::validation("The NextToken is not one of this list."))?
        }
    };
    let next = start.saturating_add(size);
    let more = next < found.len();
    let mut answer = json!({ member: found.into_iter().skip(start).take(size).collect::<Vec<_>>() });
    if more {
        answer["NextToken"] = json!(next.to_string());
    }
    Ok(answer)
}

/// Seconds since the epoch with a fraction, as the wire has dates.
fn seconds(time: Timestamp) -> Value {
    // Half a second at worst in a hundred thousand years.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^53")]
    let seconds = time.millis() as f64 / 1000.0;
    json!(seconds)
}

fn point(seconds: f64) -> Option<Timestamp> {
    // The years jiff can name; also keeps the cast exact.
    let fine = seconds.is_finite() && seconds.abs() < 250_000_000_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    fine.then(|| Timestamp((seconds * 1000.0).round() as i64))
}

fn respond(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use storeward_core::time::{HOUR, ManualClock};

    use super::*;

    const START: &str = "2026-11-22T12:00:00Z";
    const ROLE: &str = "arn:aws:iam::000000000000:role/scheduler";

    fn at_start() -> (ManualClock, Scheduler) {
        let clock = ManualClock::new(Timestamp::parse_rfc3339(START).unwrap());
        (clock.clone(), Scheduler::memory(Arc::new(clock)))
    }

    fn purge() -> Value {
        json!({
            "ScheduleExpression": "at(2026-11-24T00:00:00)",
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "ActionAfterCompletion": "DELETE",
            "ClientToken": "token-1",
            "Target": { "Arn": "arn:aws:sqs:us-east-1:000000000000:purge-shop", "RoleArn": ROLE, "Input": "{\"shop\":1}" },
        })
    }

    fn ask(scheduler: &Scheduler, method: &str, path: &str, body: &Value) -> (u16, String, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = scheduler.call(&method.parse().unwrap(), &path.parse().unwrap(), body.as_bytes());
        let error =
            response.headers().get("x-amzn-errortype").map(|value| value.to_str().unwrap().to_owned());
        (
            response.status().as_u16(),
            error.unwrap_or_default(),
            serde_json::from_slice(response.body()).unwrap(),
        )
    }

    #[test]
    fn given_a_one_time_schedule_when_its_time_comes_then_it_fires_once_and_is_gone() {
        let (clock, scheduler) = at_start();
        let (status, _, made) = ask(&scheduler, "POST", "/schedules/purge-1", &purge());
        assert_eq!(status, 200);
        assert_eq!(made["ScheduleArn"], "arn:aws:scheduler:us-east-1:000000000000:schedule/default/purge-1");
        let due = clock.now() + 36 * HOUR;
        assert_eq!(scheduler.next_due(), Some(due));

        assert!(scheduler.take_due(due - Duration::from_millis(1)).unwrap().is_empty());
        let fired = scheduler.take_due(due).unwrap();
        assert_eq!(fired.len(), 1);
        assert_eq!((fired[0].due, fired[0].input.as_str()), (due, "{\"shop\":1}"));
        assert_eq!(fired[0].target_arn, "arn:aws:sqs:us-east-1:000000000000:purge-shop");
        assert_eq!(scheduler.next_due(), None);
        assert_eq!(ask(&scheduler, "GET", "/schedules/purge-1", &Value::Null).1, "ResourceNotFoundException");
    }

    #[test]
    fn given_a_schedule_when_created_again_then_only_the_same_request_is_answered_the_same() {
        let (_, scheduler) = at_start();
        assert_eq!(ask(&scheduler, "POST", "/schedules/purge-1", &purge()).0, 200);
        assert_eq!(
            ask(&scheduler, "POST", "/schedules/purge-1", &purge()).0,
            200,
            "the same token, the same answer"
        );
        let mut changed = purge();
        changed["Description"] = json!("changed");
        assert_eq!(ask(&scheduler, "POST", "/schedules/purge-1", &changed).1, "ConflictException");
        let mut other = purge();
        other["ClientToken"] = json!("token-2");
        let (status, error, _) = ask(&scheduler, "POST", "/schedules/purge-1", &other);
        assert_eq!((status, error.as_str()), (409, "ConflictException"));
    }

    #[test]
    fn given_a_rate_when_time_passes_then_it_fires_at_once_and_at_each_interval_and_missed_ones_count_as_one()
    {
        let (clock, scheduler) = at_start();
        let start = clock.now();
        let mut hourly = purge();
        hourly["ScheduleExpression"] = json!("rate(1 hour)");
        hourly["Target"]["Arn"] = json!("arn:aws:lambda:us-east-1:000000000000:function:sweep-due");
        hourly["Target"].as_object_mut().unwrap().remove("Input");
        assert_eq!(ask(&scheduler, "POST", "/schedules/sweep", &hourly).0, 200);

        let fired = scheduler.take_due(start).unwrap();
        let event: Value = serde_json::from_str(&fired[0].input).unwrap();
        assert_eq!(
            (event["detail-type"].as_str(), event["time"].as_str()),
            (Some("Scheduled Event"), Some(START))
        );
        assert_eq!(scheduler.next_due(), Some(start + HOUR));
        assert_eq!(scheduler.take_due(start + 5 * HOUR + Duration::from_mins(1)).unwrap().len(), 1);
        assert_eq!(scheduler.next_due(), Some(start + 6 * HOUR));
    }

    #[test]
    fn given_start_and_end_dates_when_asked_then_it_fires_only_between_them() {
        let (clock, scheduler) = at_start();
        let start = clock.now() + 3 * HOUR;
        let mut hourly = purge();
        hourly["ScheduleExpression"] = json!("cron(0 * * * ? *)");
        hourly["StartDate"] = json!(start.seconds());
        hourly["EndDate"] = json!((start + HOUR).seconds());
        ask(&scheduler, "POST", "/schedules/window", &hourly);
        assert_eq!(scheduler.next_due(), Some(start));
        scheduler.take_due(start).unwrap();
        assert_eq!(scheduler.next_due(), None);
        assert!(scheduler.schedules().is_empty(), "complete and asked to be deleted");
    }

    #[test]
    fn given_a_disabled_schedule_when_its_time_comes_then_it_does_not_fire_until_it_is_enabled() {
        let (_, scheduler) = at_start();
        let mut disabled = purge();
        disabled["State"] = json!("DISABLED");
        ask(&scheduler, "POST", "/schedules/purge-1", &disabled);
        assert_eq!(scheduler.next_due(), None);
        assert_eq!(ask(&scheduler, "PUT", "/schedules/purge-1", &purge()).0, 200);
        assert!(scheduler.next_due().is_some());
    }

    #[test]
    fn given_a_one_time_schedule_in_the_past_when_made_then_it_never_fires() {
        let (_, scheduler) = at_start();
        let mut past = purge();
        past["ScheduleExpression"] = json!("at(2026-11-22T11:00:00)");
        assert_eq!(ask(&scheduler, "POST", "/schedules/late", &past).0, 200);
        assert_eq!(scheduler.next_due(), None);
    }

    #[test]
    fn given_groups_when_used_then_schedules_live_and_go_with_them() {
        let (_, scheduler) = at_start();
        let mut grouped = purge();
        grouped["GroupName"] = json!("purges");
        assert_eq!(ask(&scheduler, "POST", "/schedules/purge-1", &grouped).1, "ResourceNotFoundException");
        assert_eq!(ask(&scheduler, "POST", "/schedule-groups/purges", &json!({ "ClientToken": "1" })).0, 200);
        assert_eq!(ask(&scheduler, "POST", "/schedule-groups/purges", &json!({})).1, "ConflictException");
        assert_eq!(ask(&scheduler, "POST", "/schedules/purge-1", &grouped).0, 200);
        assert_eq!(
            ask(&scheduler, "GET", "/schedules/purge-1", &Value::Null).0,
            404,
            "not in the default group"
        );
        let (_, _, got) = ask(&scheduler, "GET", "/schedules/purge-1?groupName=purges", &Value::Null);
        assert_eq!((got["State"].as_str(), got["GroupName"].as_str()), (Some("ENABLED"), Some("purges")));
        assert!(got["ClientToken"].is_null());
        let (_, _, listed) =
            ask(&scheduler, "GET", "/schedules?ScheduleGroup=purges&NamePrefix=pur", &Value::Null);
        assert_eq!(listed["Schedules"].as_array().unwrap().len(), 1);
        assert_eq!(
            ask(&scheduler, "DELETE", "/schedules/purge-1?groupName=purges&clientToken=1", &Value::Null).0,
            200
        );
        assert_eq!(ask(&scheduler, "DELETE", "/schedules/purge-1?groupName=purges", &Value::Null).0, 404);
        assert_eq!(ask(&scheduler, "DELETE", "/schedule-groups/purges", &Value::Null).0, 200);
        assert_eq!(
            ask(&scheduler, "DELETE", "/schedule-groups/default", &Value::Null).1,
            "ValidationException"
        );
    }

    #[test]
    fn given_more_than_a_page_when_listed_then_the_token_leads_on() {
        let (_, scheduler) = at_start();
        for number in 0..5 {
            ask(&scheduler, "POST", &format!("/schedules/purge-{number}"), &purge());
        }
        let (_, _, first) = ask(&scheduler, "GET", "/schedules?MaxResults=3", &Value::Null);
        let token = first["NextToken"].as_str().unwrap();
        let (_, _, second) =
            ask(&scheduler, "GET", &format!("/schedules?MaxResults=3&NextToken={token}"), &Value::Null);
        assert_eq!(second["Schedules"].as_array().unwrap().len(), 2);
        assert!(second["NextToken"].is_null());
    }

    #[test]
    fn given_what_the_api_does_not_allow_when_created_then_it_is_a_validation_exception() {
        let (_, scheduler) = at_start();
        let cases: [(&str, Value); 14] = [
            ("/ScheduleExpression", json!("rate(0 hours)")),
            ("/ScheduleExpression", Value::Null),
            ("/ScheduleExpressionTimezone", json!("Mars/Olympus")),
            ("/FlexibleTimeWindow", Value::Null),
            ("/FlexibleTimeWindow", json!({ "Mode": "FLEXIBLE" })),
            ("/FlexibleTimeWindow", json!({ "Mode": "OFF", "MaximumWindowInMinutes": 5 })),
            ("/ActionAfterCompletion", json!("REMOVE")),
            ("/State", json!("PAUSED")),
            ("/ClientToken", json!("not a token")),
            ("/Description", json!("x".repeat(513))),
            ("/Target/RoleArn", json!("scheduler")),
            ("/Target/Arn", json!("arn:aws:s3:::bucket")),
            ("/Target/RetryPolicy", json!({ "MaximumRetryAttempts": 186 })),
            ("/Target/Arn", json!("arn:aws:sqs:us-east-1:000000000000:purge.fifo")),
        ];
        for (place, value) in cases {
            let mut request = purge();
            match place.rsplit_once('/') {
                Some(("", name)) => request[name] = value,
                Some((_, name)) => request["Target"][name] = value,
                None => {}
            }
            let (status, error, body) = ask(&scheduler, "POST", "/schedules/purge-1", &request);
            assert_eq!((status, error.as_str()), (400, "ValidationException"), "{place} {body}");
        }
        for name in ["a%20b", &"x".repeat(65)] {
            assert_eq!(ask(&scheduler, "POST", &format!("/schedules/{name}"), &purge()).0, 400);
        }
        assert_eq!(ask(&scheduler, "PATCH", "/schedules/x", &Value::Null).0, 404);
    }

    #[test]
    fn given_a_file_when_opened_again_then_the_schedules_are_still_there_and_due() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("schedules.json");
        let clock = ManualClock::new(Timestamp::parse_rfc3339(START).unwrap());
        let scheduler = Scheduler::open(&file, Arc::new(clock.clone())).unwrap();
        assert_eq!(ask(&scheduler, "POST", "/schedules/purge-1", &purge()).0, 200);
        drop(scheduler);
        clock.advance(100 * HOUR);
        let scheduler = Scheduler::open(&file, Arc::new(clock.clone())).unwrap();
        assert_eq!(scheduler.take_due(clock.now()).unwrap().len(), 1);
        drop(scheduler);
        assert_eq!(
            Scheduler::open(&file, Arc::new(clock)).unwrap().next_due(),
            None,
            "fired once, on disk too"
        );
    }
}
