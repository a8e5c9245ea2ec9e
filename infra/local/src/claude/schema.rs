//! Which JSON schemas Claude's structured outputs take: a subset, in which every object is closed (Claude API, "Structured
//! outputs"). Filling one is `answer`'s.

use serde_json::{Map, Value};

/// What a schema must not say, and for which type it would be said.
const UNSUPPORTED: [(&str, &[&str]); 4] = [
    ("number", &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]),
    ("string", &["minLength", "maxLength"]),
    ("array", &["maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"]),
    ("object", &["patternProperties", "minProperties", "maxProperties", "propertyNames"]),
];

/// Whether a schema is one that is taken.
///
/// # Errors
/// Why not.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    check_below(schema, schema, &mut Vec::new())
}

/// What a reference stands for.
pub(super) fn referred<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

fn check_below(schema: &Value, root: &Value, within: &mut Vec<String>) -> Result<(), String> {
    let Some(fields) = schema.as_object() else {
        return Err("Input should be a valid dictionary".to_owned());
    };
    if let Some(reference) = fields.get("$ref") {
        let reference = reference.as_str().unwrap_or_default();
        let Some(found) = referred(root, reference) else {
            return Err(format!("'$ref' {reference:?} does not lead to a definition"));
        };
        if within.iter().any(|outer| outer == reference) {
            return Err("recursive schemas are not supported".to_owned());
        }
        within.push(reference.to_owned());
        check_below(found, root, within)?;
        within.pop();
        return Ok(());
    }
    check_object(fields)?;
    for (kind, keywords) in UNSUPPORTED {
        let found: Vec<&str> = keywords.iter().copied().filter(|name| fields.contains_key(*name)).collect();
        if !found.is_empty() {
            return Err(format!("For '{kind}' type, properties {} are not supported", found.join(", ")));
        }
    }
    if fields.get("minItems").is_some_and(|least| least.as_u64().is_none_or(|least| least > 1)) {
        return Err("For 'array' type, 'minItems' values other than 0 or 1 are not supported".to_owned());
    }
    if let Some(Value::Array(members)) = fields.get("enum")
        && (members.is_empty() || members.iter().any(|member| member.is_array() || member.is_object()))
    {
        return Err("'enum' must list strings, numbers, booleans or null".to_owned());
    }
    let below =
        ["$defs", "definitions", "properties"].into_iter().filter_map(|name| fields.get(name)?.as_object());
    let listed = ["anyOf", "allOf"].into_iter().filter_map(|name| fields.get(name)?.as_array());
    for next in below.flat_map(Map::values).chain(listed.flatten()).chain(fields.get("items")) {
        check_below(next, root, within)?;
    }
    Ok(())
}

fn check_object(fields: &Map<String, Value>) -> Result<(), String> {
    if !fields.contains_key("properties") && fields.get("type").is_none_or(|kind| kind != "object") {
        return Ok(());
    }
    if fields.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err("For 'object' type, 'additionalProperties' must be explicitly set to false".to_owned());
    }
    let properties = fields.get("properties").and_then(Value::as_object);
    let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if properties.is_none_or(|properties| !properties.contains_key(name)) {
            return Err(format!("'required' names {name:?}, which is no property"));
        }
    }
    Ok(())
}
