//! Just enough GraphQL to answer Admin API requests honestly: a request is parsed, checked against the schema
//! and costed before anything is done, and an answer holds what was selected and nothing else. What the
//! fields mean is not known here.

use std::collections::HashMap;

use async_graphql_parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, FieldDefinition, InputValueDefinition,
    OperationDefinition, OperationType, Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql_parser::{Pos, Positioned, parse_query, parse_schema};
use async_graphql_value::{ConstValue, Value};
use serde_json::{Map, Value as Json, json};

/// How deep selections may nest, fragments included: the end of a fragment that contains itself.
const DEEPEST: usize = 40;

/// What a mutation costs (Shopify, "Rate limits": calculated query cost).
const MUTATION: u64 = 10;

/// What a connection is taken to return where a request does not say.
const UNSAID_PAGE: u64 = 10;

/// The types of an API.
pub struct Schema(HashMap<String, TypeKind>);

/// A request that passed every check.
#[derive(Debug)]
pub struct Prepared {
    /// Whether it is a mutation.
    pub mutation: bool,
    /// The root fields, in order.
    pub fields: Vec<Selected>,
    /// What it may cost at most.
    pub requested_cost: u64,
}

/// A selected field with its arguments checked and filled in.
#[derive(Debug)]
pub struct Selected {
    /// The name it has in the answer.
    pub key: String,
    /// The field's name.
    pub name: String,
    /// Its arguments as JSON.
    pub arguments: Map<String, Json>,
    /// The type it was selected on: an object must be or implement it.
    on: String,
    /// The named type of its value.
    of: String,
    children: Vec<Selected>,
}

/// A refusal, in the shape Shopify gives the entries of `errors`.
pub type Errors = Vec<Json>;

impl Schema {
    /// Reads a schema written in GraphQL's schema language.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document = parse_schema(text).map_err(|error| error.to_string())?;
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => {
                Some((definition.node.name.node.to_string(), definition.node.kind))
            }
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
        Ok(Self(types.collect()))
    }

    fn fields(&self, name: &str) -> &[Positioned<FieldDefinition>] {
        match self.0.get(name) {
            Some(TypeKind::Object(object)) => &object.fields,
            Some(TypeKind::Interface(interface)) => &interface.fields,
            _ => &[],
        }
    }

    fn is_composite(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(TypeKind::Object(_) | TypeKind::Interface(_)))
    }

    /// Whether an object of type `name` is also a `wanted`.
    fn is(&self, name: &str, wanted: &str) -> bool {
        name == wanted
            || matches!(self.0.get(name), Some(TypeKind::Object(object))
                if object.implements.iter().any(|interface| interface.node == wanted))
    }

    /// Parses and checks a request.
    pub fn prepare(
        &self,
        query: &str,
        operation_name: Option<&str>,
        variables: &Map<String, Json>,
    ) -> Result<Prepared, Errors> {
        let document = parse_query(query).map_err(|error| {
            let at = error.positions().next();
            vec![refusal(&error.to_string(), at, "parseError", &[])]
        })?;
        let operation = operation(&document, operation_name)?;
        let root = match operation.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => {
                return Err(vec![refusal("Subscriptions are not supported", None, "missingOperation", &[])]);
            }
        };
        let variables = self.variables(operation, variables)?;
        let mut checker = Checker { schema: self, document: &document, variables, errors: Vec::new() };
        let path = vec![root.to_lowercase()];
        let fields = checker.selections(&operation.selection_set.node, root, &path, 0);
        if !checker.errors.is_empty() {
            return Err(checker.errors);
        }
        let mutation = root == "Mutation";
        let requested_cost =
            if mutation { MUTATION.saturating_mul(fields.len() as u64) } else { self.cost(&fields, None) };
        Ok(Prepared { mutation, fields, requested_cost })
    }

    /// The variables a request declares, checked, with their defaults.
    fn variables(
        &self,
        operation: &OperationDefinition,
        given: &Map<String, Json>,
    ) -> Result<HashMap<String, ConstValue>, Errors> {
        let mut variables = HashMap::new();
        for definition in &operation.variable_definitions {
            let name = definition.node.name.node.as_str();
            let ty = &definition.node.var_type.node;
            let value = match given.get(name) {
                Some(value) => ConstValue::from_json(value.clone()).unwrap_or_default(),
                None => match definition.node.default_value() {
                    Some(value) => value.clone(),
                    None => ConstValue::Null,
                },
            };
            if let Err(why) = self.coerce(ty, &value, true) {
                let message = format!("Variable ${name} of type {ty} was provided invalid value: {why}");
                return Err(vec![refusal(&message, Some(definition.pos), "INVALID_VARIABLE", &[])]);
            }
            variables.insert(name.to_owned(), value);
        }
        Ok(variables)
    }

    /// Checks a value against a type and gives it as JSON. `given` values came as JSON, where an enum is a
    /// string.
    fn coerce(&self, ty: &Type, value: &ConstValue, given: bool) -> Result<Json, String> {
        if matches!(value, ConstValue::Null) {
            return if ty.nullable {
                Ok(Json::Null)
            } else {
                Err("Expected value to not be null".to_owned())
            };
        }
        let name = match &ty.base {
            BaseType::List(item) => {
                let items = match value {
                    ConstValue::List(items) => items.as_slice(),
                    // One value stands for a list of it.
                    single => std::slice::from_ref(single),
                };
                return items.iter().map(|value| self.coerce(item, value, given)).collect();
            }
            BaseType::Named(name) => name.as_str(),
        };
        let wrong = || Err(format!("Expected {value} to be a {name}"));
        match (name, value) {
            ("Boolean", ConstValue::Boolean(value)) => Ok(json!(value)),
            ("Int", ConstValue::Number(number)) => match number.as_i64() {
                Some(number) if i32::try_from(number).is_ok() => Ok(json!(number)),
                _ => wrong(),
            },
            ("Float", ConstValue::Number(number)) => Ok(json!(number)),
            ("ID", ConstValue::Number(number)) if number.is_i64() => Ok(json!(number.to_string())),
            ("ID" | "String", ConstValue::String(text)) => Ok(json!(text)),
            ("ID" | "String" | "Int" | "Float" | "Boolean", _) => wrong(),
            _ => match (self.0.get(name), value) {
                (Some(TypeKind::Scalar), ConstValue::String(text)) => Ok(json!(text)),
                (Some(TypeKind::Enum(kind)), value) => {
                    let text = match value {
                        ConstValue::Enum(name) => name.as_str(),
                        ConstValue::String(text) if given => text,
                        _ => return wrong(),
                    };
                    if kind.values.iter().any(|one| one.node.value.node == text) {
                        Ok(json!(text))
                    } else {
                        wrong()
                    }
                }
                (Some(TypeKind::InputObject(kind)), ConstValue::Object(members)) => {
                    let known = |name: &str| kind.fields.iter().any(|field| field.node.name.node == name);
                    if let Some(stranger) = members.keys().find(|name| !known(name.as_str())) {
                        return Err(format!("Field is not defined on {name}: {stranger}"));
                    }
                    let mut object = Map::new();
                    for field in &kind.fields {
                        let InputValueDefinition { name, ty, default_value, .. } = &field.node;
                        match members.get(&name.node).or(default_value.as_ref().map(|value| &value.node)) {
                            Some(value) => {
                                let value = self
                                    .coerce(&ty.node, value, given)
                                    .map_err(|why| format!("{}: {why}", name.node))?;
                                object.insert(name.node.to_string(), value);
                            }
                            None if ty.node.nullable => {}
                            None => return Err(format!("{}: Expected value to not be null", name.node)),
                        }
                    }
                    Ok(Json::Object(object))
                }
                _ => wrong(),
            },
        }
    }

    /// What a selection costs: an object one point, a connection what its page can hold. With an answer, what
    /// came back counts; without one, what could.
    fn cost(&self, fields: &[Selected], answer: Option<&Json>) -> u64 {
        fields.iter().map(|field| self.field_cost(field, answer.map(|answer| &answer[&field.key]))).sum()
    }

    fn field_cost(&self, field: &Selected, answer: Option<&Json>) -> u64 {
        if !self.is_composite(&field.of) {
            return 0;
        }
        match answer {
            Some(Json::Null) => 0,
            Some(Json::Array(items)) => {
                items.iter().map(|item| 1 + self.cost(&field.children, Some(item))).sum()
            }
            Some(one) => 1 + self.cost(&field.children, Some(one)),
            None if field.of.ends_with("Connection") => {
                let page = field.arguments.get("first").and_then(Json::as_u64).unwrap_or(UNSAID_PAGE);
                2 + page.saturating_mul(self.cost(&field.children, None).max(1))
            }
            None => 1 + self.cost(&field.children, None),
        }
    }

    /// What an answered request cost.
    #[must_use]
    pub fn actual_cost(&self, prepared: &Prepared, answer: &Json) -> u64 {
        // Never more than was asked for: Shopify gives the difference back.
        let cost = if prepared.mutation {
            prepared.requested_cost
        } else {
            self.cost(&prepared.fields, Some(answer))
        };
        cost.min(prepared.requested_cost)
    }

    /// What was selected of a whole value. Objects name their type in `__typename`.
    #[must_use]
    pub fn project(&self, field: &Selected, value: &Json) -> Json {
        match value {
            Json::Array(items) => items.iter().map(|item| self.project(field, item)).collect(),
            Json::Object(object) if !field.children.is_empty() => {
                let its_type = object.get("__typename").and_then(Json::as_str).unwrap_or(&field.of);
                let mut out = Map::new();
                for child in field.children.iter().filter(|child| self.is(its_type, &child.on)) {
                    let value = if child.name == "__typename" {
                        json!(its_type)
                    } else {
                        self.project(child, object.get(&child.name).unwrap_or(&Json::Null))
                    };
                    merge(out.entry(child.key.clone()).or_insert(Json::Null), value);
                }
                Json::Object(out)
            }
            plain => plain.clone(),
        }
    }
}

/// The same key selected twice: what either selects.
fn merge(into: &mut Json, value: Json) {
    match (into, value) {
        (Json::Object(into), Json::Object(value)) => {
            for (key, value) in value {
                merge(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (Json::Array(into), Json::Array(value)) if into.len() == value.len() => {
            into.iter_mut().zip(value).for_each(|(into, value)| merge(into, value));
        }
        (into, value) => *into = value,
    }
}

fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, Errors> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(all), Some(name)) => {
            all.iter().find(|(its, _)| its.as_str() == name).map(|(_, operation)| operation)
        }
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => all.values().next(),
        (DocumentOperations::Multiple(_), None) => {
            return Err(vec![refusal("An operation name is required", None, "missingOperation", &[])]);
        }
    };
    found.map(|operation| &operation.node).ok_or_else(|| {
        let message = format!("No operation named \"{}\"", name.unwrap_or_default());
        vec![refusal(&message, None, "missingOperation", &[])]
    })
}

/// Walks a document and collects everything that is wrong with it.
struct Checker<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    variables: HashMap<String, ConstValue>,
    errors: Errors,
}

impl Checker<'_> {
    fn refuse(&mut self, message: &str, at: Pos, code: &str, path: &[String]) {
        self.errors.push(refusal(message, Some(at), code, path));
    }

    fn selections(&mut self, set: &SelectionSet, on: &str, path: &[String], depth: usize) -> Vec<Selected> {
        let mut selected = Vec::new();
        for item in &set.items {
            if depth > DEEPEST {
                self.refuse("Selections nest too deeply", item.pos, "deeplyNested", path);
                break;
            }
            if !self.included(&item.node, item.pos, path) {
                continue;
            }
            match &item.node {
                Selection::Field(field) => selected.extend(self.field(field, on, path, depth)),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let on = condition.map_or(on, |condition| condition.node.on.node.as_str());
                    selected.extend(self.fragment(
                        &fragment.node.selection_set.node,
                        on,
                        item.pos,
                        path,
                        depth,
                    ));
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let Some(fragment) = self.document.fragments.get(name) else {
                        let message = format!("Fragment {name} was used, but not defined");
                        self.refuse(&message, item.pos, "useAndDefineFragment", path);
                        continue;
                    };
                    let on = fragment.node.type_condition.node.on.node.as_str();
                    let set = &fragment.node.selection_set.node;
                    selected.extend(self.fragment(set, on, item.pos, path, depth));
                }
            }
        }
        selected
    }

    fn fragment(
        &mut self,
        set: &SelectionSet,
        on: &str,
        at: Pos,
        path: &[String],
        depth: usize,
    ) -> Vec<Selected> {
        if self.schema.is_composite(on) {
            return self.selections(set, on, path, depth + 1);
        }
        self.refuse(
            &format!("No such type {on}, so it can't be a fragment condition"),
            at,
            "undefinedType",
            path,
        );
        Vec::new()
    }

    fn field(
        &mut self,
        field: &Positioned<async_graphql_parser::types::Field>,
        on: &str,
        path: &[String],
        depth: usize,
    ) -> Option<Selected> {
        let (node, at) = (&field.node, field.pos);
        let name = node.name.node.as_str();
        let key = node.response_key().node.to_string();
        let mut path = path.to_vec();
        path.push(key.clone());
        if name == "__typename" {
            let (on, of) = (on.to_owned(), "String".to_owned());
            return Some(Selected {
                key,
                name: name.to_owned(),
                arguments: Map::new(),
                on,
                of,
                children: Vec::new(),
            });
        }
        let schema = self.schema;
        let Some(definition) = schema.fields(on).iter().find(|known| known.node.name.node == name) else {
            self.refuse(&format!("Field '{name}' doesn't exist on type '{on}'"), at, "undefinedField", &path);
            return None;
        };
        for (argument, _) in &node.arguments {
            if !definition.node.arguments.iter().any(|known| known.node.name.node == argument.node) {
                let message = format!("Field '{name}' doesn't accept argument '{}'", argument.node);
                self.refuse(&message, argument.pos, "argumentNotAccepted", &path);
            }
        }
        let mut arguments = Map::new();
        for known in &definition.node.arguments {
            let (argument, ty) = (known.node.name.node.as_str(), &known.node.ty.node);
            let Some(written) = node.get_argument(argument) else {
                if !ty.nullable {
                    let message = format!("Field '{name}' is missing required arguments: {argument}");
                    self.refuse(&message, at, "missingRequiredArguments", &path);
                }
                continue;
            };
            match self.argument(ty, &written.node) {
                Ok(Json::Null) => {}
                Ok(value) => drop(arguments.insert(argument.to_owned(), value)),
                Err(why) => {
                    let message = format!(
                        "Argument '{argument}' on Field '{name}' has an invalid value. Expected type '{ty}'. {why}"
                    );
                    self.refuse(&message, written.pos, "argumentLiteralsIncompatible", &path);
                }
            }
        }
        let of = named(&definition.node.ty.node).to_owned();
        let set = &node.selection_set.node;
        if schema.is_composite(&of) == set.items.is_empty() {
            let message = if set.items.is_empty() {
                format!("Field must have selections (field '{name}' returns {of} but has no selections.)")
            } else {
                format!("Selections can't be made on scalars (field '{name}' returns {of})")
            };
            self.refuse(&message, at, "selectionMismatch", &path);
            return None;
        }
        let children = self.selections(set, &of, &path, depth + 1);
        Some(Selected { key, name: name.to_owned(), arguments, on: on.to_owned(), of, children })
    }

    fn argument(&self, ty: &Type, written: &Value) -> Result<Json, String> {
        // What a variable holds came as JSON and was checked where it was declared.
        let given = matches!(written, Value::Variable(_)) || contains_variable(written);
        let value = written.clone().into_const_with(|name| {
            self.variables
                .get(name.as_str())
                .cloned()
                .ok_or_else(|| format!("Variable ${name} is used but not declared"))
        })?;
        self.schema.coerce(ty, &value, given)
    }

    /// `@skip` and `@include`; another directive is refused.
    fn included(&mut self, item: &Selection, at: Pos, path: &[String]) -> bool {
        let mut included = true;
        for directive in item.directives() {
            let name = directive.node.name.node.as_str();
            let condition = directive.node.get_argument("if").map(|value| value.node.clone());
            let ty =
                Type { base: BaseType::Named(async_graphql_value::Name::new("Boolean")), nullable: false };
            let decided =
                condition.and_then(|value| self.argument(&ty, &value).ok()).and_then(|value| value.as_bool());
            match (name, decided) {
                ("skip", Some(skip)) => included &= !skip,
                ("include", Some(include)) => included &= include,
                _ => {
                    self.refuse(&format!("Directive @{name} is not defined"), at, "undefinedDirective", path);
                }
            }
        }
        included
    }
}

fn contains_variable(value: &Value) -> bool {
    match value {
        Value::Variable(_) => true,
        Value::List(items) => items.iter().any(contains_variable),
        Value::Object(members) => members.values().any(contains_variable),
        _ => false,
    }
}

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(item) => named(item),
    }
}

fn refusal(message: &str, at: Option<Pos>, code: &str, path: &[String]) -> Json {
    let mut error = json!({ "message": message, "extensions": { "code": code } });
    if let Some(at) = at {
        error["locations"] = json!([{ "line": at.line, "column": at.column }]);
    }
    if !path.is_empty() {
        error["path"] = json!(path);
    }
    error
}
