//! TypeScript types from the components of an OpenAPI 3.1 document.
//!
//! Only what our own document uses, and an error for anything else: a type that is silently `any` would be
//! found by nobody. Frames and events come out as unions that TypeScript tells apart by `type`.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

const HEAD: &str = "// Generated from spec/openapi.json by `cargo xtask codegen`. Do not edit.\n";

/// The whole module.
///
/// # Errors
/// Names the component that has a form this generator does not know.
pub(crate) fn generate(document: &Value) -> Result<String> {
    let components =
        document["components"]["schemas"].as_object().context("no components in the document")?;
    let mut names: Vec<&String> = components.keys().filter(|name| !is_primitive(name)).collect();
    names.sort();
    let mut module = HEAD.to_owned();
    for name in names {
        let declared = declaration(name, &components[name]).with_context(|| format!("component {name}"))?;
        module.push('\n');
        module.push_str(&declared);
    }
    Ok(module)
}

/// The schema library gives Rust's own number types as components of their own; here they are numbers.
fn is_primitive(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn declaration(name: &str, schema: &Value) -> Result<String> {
    let name = identifier(name);
    let docs = docs(schema, "");
    let is_plain_object = schema["type"] == "object" && schema.get("properties").is_some();
    if is_plain_object {
        return Ok(format!("{docs}export interface {name} {}\n", object(schema, "")?));
    }
    let text = match schema["oneOf"].as_array() {
        Some(variants) => lines_of_variants(variants)?,
        None => format!(" {}", type_of(schema, "")?.text()),
    };
    Ok(format!("{docs}export type {name} ={text};\n"))
}

/// A line for each alternative, under its own comment.
fn lines_of_variants(variants: &[Value]) -> Result<String> {
    let mut lines = String::new();
    for variant in variants {
        let text = type_of(variant, "")?.text().replace('\n', "\n    ");
        write!(lines, "\n{}  | {text}", docs(variant, "  "))?;
    }
    Ok(lines)
}

/// What binds the parts of a type, so that it is put in brackets where it stands in another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    Intersection,
    Union,
}

struct Type {
    parts: Vec<String>,
    form: Form,
}

impl Type {
    fn one(text: impl Into<String>) -> Self {
        Self { parts: vec![text.into()], form: Form::One }
    }

    fn text(&self) -> String {
        self.parts.join(if self.form == Form::Union { " | " } else { " & " })
    }

    /// As a part of something that binds tighter.
    fn bracketed(&self) -> String {
        if self.form == Form::One { self.text() } else { format!("({})", self.text()) }
    }

    /// A union of these; nested unions become one, a part that stands twice stands once.
    fn union(types: Vec<Self>) -> Self {
        let mut parts: Vec<String> = Vec::new();
        for type_ in types {
            let inner = if type_.form == Form::Union { type_.parts } else { vec![type_.text()] };
            for part in inner {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        let form = if parts.len() == 1 { Form::One } else { Form::Union };
        Self { parts, form }
    }

    fn intersection(types: &[Self]) -> Self {
        let parts: Vec<String> =
            types.iter().map(|t| if t.form == Form::Union { t.bracketed() } else { t.text() }).collect();
        let form = if parts.len() == 1 { types[0].form } else { Form::Intersection };
        Self { parts, form }
    }

    fn without_null(mut self) -> Self {
        if self.form == Form::Union {
            self.parts.retain(|part| part != "null");
            self.form = if self.parts.len() == 1 { Form::One } else { Form::Union };
        }
        self
    }
}

fn type_of(schema: &Value, indent: &str) -> Result<Type> {
    let schema = match schema {
        Value::Bool(true) => return Ok(Type::one("unknown")),
        Value::Object(schema) => schema,
        Value::Null | Value::Bool(false) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            bail!("{schema} is no schema")
        }
    };
    if let Some(reference) = schema.get("$ref") {
        return referred(reference);
    }
    if let Some(value) = schema.get("const") {
        return Ok(Type::one(literal(value)?));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let literals = values.iter().map(|value| literal(value).map(Type::one)).collect::<Result<_>>()?;
        return Ok(Type::union(literals));
    }
    if let Some(any_of) = schema.get("anyOf").and_then(Value::as_array) {
        return any_of_these(any_of, indent);
    }
    if let Some(one_of) = schema.get("oneOf").and_then(Value::as_array) {
        return Ok(Type::union(types_of(one_of, indent)?));
    }
    if let Some(all_of) = schema.get("allOf").and_then(Value::as_array) {
        return Ok(Type::intersection(&types_of(all_of, indent)?));
    }
    match schema.get("type") {
        None => Ok(Type::one("unknown")),
        Some(Value::String(name)) => of_named_type(name, schema, indent),
        Some(Value::Array(names)) => {
            let named = |name: &Value| of_named_type(name.as_str().unwrap_or_default(), schema, indent);
            Ok(Type::union(names.iter().map(named).collect::<Result<_>>()?))
        }
        Some(other) => bail!("{other} is no type"),
    }
}

fn types_of(schemas: &[Value], indent: &str) -> Result<Vec<Type>> {
    schemas.iter().map(|schema| type_of(schema, indent)).collect()
}

fn referred(reference: &Value) -> Result<Type> {
    let reference = reference.as_str().context("a $ref that is no text")?;
    let name = reference.strip_prefix("#/components/schemas/").context("a $ref to another place")?;
    match name {
        _ if !is_primitive(name) => Ok(Type::one(identifier(name))),
        "bool" => Ok(Type::one("boolean")),
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "f32" | "f64" => {
            Ok(Type::one("number"))
        }
        other => bail!("{other} is no primitive type that is known here"),
    }
}

/// An enum beside `string` is one that may grow: the known values are offered, any other is taken.
fn any_of_these(schemas: &[Value], indent: &str) -> Result<Type> {
    let is_open = schemas.iter().any(|s| s.get("enum").is_some())
        && schemas.iter().any(|s| s["type"] == "string" && s.get("enum").is_none());
    let mut types = types_of(schemas, indent)?;
    if is_open {
        // `"a" | string` is just `string` to the compiler, and to the editor's completion.
        types.iter_mut().filter(|t| t.text() == "string").for_each(|t| *t = Type::one("(string & {})"));
    }
    Ok(Type::union(types))
}

fn of_named_type(name: &str, schema: &Map<String, Value>, indent: &str) -> Result<Type> {
    Ok(match name {
        "string" => Type::one("string"),
        "integer" | "number" => Type::one("number"),
        "boolean" => Type::one("boolean"),
        "null" => Type::one("null"),
        "array" => {
            let items = schema.get("items").context("an array without items")?;
            Type::one(format!("{}[]", type_of(items, indent)?.bracketed()))
        }
        "object" => Type::one(object(&Value::Object(schema.clone()), indent)?),
        other => bail!("the type {other:?}"),
    })
}

fn object(schema: &Value, indent: &str) -> Result<String> {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let rest = match schema.get("additionalProperties") {
        None | Some(Value::Bool(false)) => None,
        Some(rest) => Some(rest),
    };
    if properties.is_empty() {
        return Ok(match rest {
            Some(rest) => format!("Record<string, {}>", type_of(rest, indent)?.text()),
            None => "Record<string, unknown>".to_owned(),
        });
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let inner = format!("{indent}  ");
    let mut text = "{\n".to_owned();
    // `type` first, for the reader; the rest by name, so that the file does not depend on any map's order.
    let mut names: Vec<&String> = properties.keys().collect();
    names.sort_by_key(|name| (*name != "type", *name));
    for name in names {
        let property = &properties[name];
        let type_ = type_of(property, &inner)?;
        // The server leaves out what is absent; it never says null there.
        let (mark, type_) =
            if required.contains(&name.as_str()) { ("", type_) } else { ("?", type_.without_null()) };
        writeln!(text, "{}{inner}{}{mark}: {};", docs(property, &inner), key(name), type_.text())?;
    }
    if let Some(rest) = rest {
        let type_ = type_of(rest, &inner)?;
        writeln!(text, "{}{inner}[key: string]: {};", docs(rest, &inner), type_.text())?;
    }
    write!(text, "{indent}}}")?;
    Ok(text)
}

/// The schema's description, or that of the alternative that carries it, as a comment.
fn docs(schema: &Value, indent: &str) -> String {
    let own = schema["description"].as_str();
    let inner =
        || schema["oneOf"].as_array()?.iter().find_map(|s| s.get("$ref").and(s["description"].as_str()));
    let Some(text) = own.or_else(inner) else { return String::new() };
    // A `*/` in the text would end the comment.
    let text = text.trim().replace("*/", "*\\/");
    if text.contains('\n') {
        let lines: String = text.lines().map(|line| format!("{indent} * {}\n", line.trim_end())).collect();
        return format!("{indent}/**\n{}{indent} */\n", lines.replace(" * \n", " *\n"));
    }
    format!("{indent}/** {text} */\n")
}

fn literal(value: &Value) -> Result<String> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => bail!("{value} is no literal"),
    }
}

fn key(name: &str) -> String {
    let is_identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if is_identifier { name.to_owned() } else { format!("{name:?}") }
}

fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(schema: Value) -> String {
        let document = json!({ "components": { "schemas": { "T": schema } } });
        let module = generate(&document).unwrap();
        module.strip_prefix(HEAD).unwrap().trim().to_owned()
    }

    #[test]
    fn an_object_becomes_an_interface_with_its_comments() {
        let schema = json!({
            "type": "object", "description": "A user.", "required": ["id"],
            "properties": { "id": {"type": "string"}, "age": {"type": "integer", "description": "In years."} }
        });
        let expected =
            "/** A user. */\nexport interface T {\n  /** In years. */\n  age?: number;\n  id: string;\n}";
        assert_eq!(of(schema), expected);
    }

    #[test]
    fn fields_of_the_app_become_an_index_signature() {
        let schema = json!({
            "type": "object", "required": ["id"], "properties": { "id": {"type": "string"} },
            "additionalProperties": { "description": "Whatever the app puts there." }
        });
        let expected = "export interface T {\n  id: string;\n  /** Whatever the app puts there. */\n  [key: string]: unknown;\n}";
        assert_eq!(of(schema), expected);
    }

    #[test]
    fn an_object_of_nothing_but_values_is_a_record() {
        let number = json!({"type": "object", "additionalProperties": {"$ref": "#/components/schemas/u64"}});
        assert_eq!(of(number), "export type T = Record<string, number>;");
        assert_eq!(of(json!({"type": "object"})), "export type T = Record<string, unknown>;");
    }

    #[test]
    fn an_open_enum_offers_its_values_and_takes_any_other() {
        let schema = json!({"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "string"}]});
        assert_eq!(of(schema), r#"export type T = "a" | "b" | (string & {});"#);
    }

    #[test]
    fn a_closed_enum_is_a_union_of_its_values() {
        assert_eq!(of(json!({"type": "string", "enum": ["a", "b"]})), r#"export type T = "a" | "b";"#);
        assert_eq!(of(json!({"const": 3})), "export type T = 3;");
    }

    #[test]
    fn tagged_variants_are_told_apart_by_their_type() {
        let schema = json!({"oneOf": [
            {"allOf": [
                {"$ref": "#/components/schemas/Hello"},
                {"type": "object", "required": ["type"], "properties": {"type": {"type": "string", "enum": ["hello"]}}}
            ]},
            {"type": "object", "required": ["id", "type"], "description": "Asks.",
             "properties": {"id": {"type": "integer"}, "type": {"type": "string", "enum": ["ping"]}}}
        ]});
        let expected = "export type T =\n  | Hello & {\n      type: \"hello\";\n    }\n  /** Asks. */\n  | {\n      type: \"ping\";\n      id: number;\n    };";
        assert_eq!(of(schema), expected);
    }

    #[test]
    fn what_may_be_null_says_so_and_what_may_be_absent_is_optional() {
        let schema = json!({
            "type": "object", "required": ["a", "b"],
            "properties": {
                "a": {"type": ["string", "null"]},
                "b": {"oneOf": [{"$ref": "#/components/schemas/Cid"}, {"type": "null"}]},
                "c": {"oneOf": [{"$ref": "#/components/schemas/Cid", "description": "Where."}, {"type": "null"}]}
            }
        });
        let expected =
            "export interface T {\n  a: string | null;\n  b: Cid | null;\n  /** Where. */\n  c?: Cid;\n}";
        assert_eq!(of(schema), expected);
    }

    #[test]
    fn a_union_in_an_array_or_an_intersection_is_bracketed() {
        let union = json!({"oneOf": [{"type": "string"}, {"type": "integer"}]});
        assert_eq!(of(json!({"type": "array", "items": union})), "export type T = (string | number)[];");
        let both = json!({"allOf": [union, {"$ref": "#/components/schemas/X"}]});
        assert_eq!(of(both), "export type T = (string | number) & X;");
    }

    #[test]
    fn names_that_are_no_identifiers_are_quoted() {
        let schema = json!({"type": "object", "required": ["a-b"], "properties": {"a-b": {}}});
        assert_eq!(of(schema), "export interface T {\n  \"a-b\": unknown;\n}");
    }

    #[test]
    fn a_comment_cannot_be_ended_by_its_text() {
        assert!(of(json!({"type": "string", "description": "a */ b"})).starts_with("/** a *\\/ b */"));
    }

    #[test]
    fn a_form_that_is_not_known_is_an_error_and_not_any() {
        let document = json!({"components": {"schemas": {"T": {"type": "tuple"}}}});
        assert_eq!(generate(&document).unwrap_err().to_string(), "component T");
        assert!(generate(&json!({"components": {"schemas": {"T": {"type": "array"}}}})).is_err());
    }
}
