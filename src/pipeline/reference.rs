//! The reference of pipeline files, for editors and for people.
//!
//! In: the types of the description, their doc comments and what serde is told about them. Out: a JSON Schema, and the
//! page `docs/pipeline.md`, both made from the same types that read the files.
//! Not here: the keys and their explanations (`description`).
//!
//! A key's doc comment says what it is, in the end `Unit: bytes.` and `Default: all.` where serde knows no default.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::Description;

/// The JSON Schema (draft 2020-12) of a pipeline file.
pub fn json_schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Description>();
    let mut schema = schema.to_value();
    // What is left out of TOML is not there: it is never null.
    remove_null(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Darkframe pipeline".into());
    }
    schema
}

/// The page for people.
pub fn markdown() -> String {
    let schema = json_schema();
    let definitions = object(&schema["$defs"]);
    let mut page = Page { definitions: &definitions, text: HEAD.to_owned(), tables: Vec::new(), values: Vec::new() };
    page.table("", &schema);
    // Tables and values are found while others are written.
    while let Some((title, prefix, name)) = page.tables.iter().find(|table| !page.is_written(&table.2)).cloned() {
        let definition = definitions.get(&name).cloned().unwrap_or_default();
        let _ = writeln!(page.text, "\n## {title}\n");
        if let Some(text) = definition["description"].as_str() {
            let _ = writeln!(page.text, "{}\n", text.trim());
        }
        page.values.push(name);
        page.table(&prefix, &definition);
    }
    page.values();
    page.text
}

const HEAD: &str = "\
# The pipeline file, key by key

Made by `darkframe schema --markdown` from the types that read the file (`make reference`); a test holds it to them.
For editors: `darkframe schema` prints the same as JSON Schema.

Files of sources and shaders are relative to the pipeline file, so that a pipeline moves as a folder; files of sinks are
relative to the current directory, like any output of a command. A key that is left out has the default; a key without a
default is simply not there. An unknown key, a wrong type or a name that does not exist is an error with its line and
column and the nearest valid name. `darkframe check FILE` looks without drawing.

## Top of the file

";

struct Page<'a> {
    definitions: &'a Map<String, Value>,
    text: String,
    /// Title, what stands before each key, name of the definition.
    tables: Vec<(String, String, String)>,
    /// Definitions that are written, or are to be written at the end.
    values: Vec<String>,
}

impl Page<'_> {
    fn is_written(&self, name: &str) -> bool {
        self.values.iter().any(|written| written == name)
    }

    fn table(&mut self, prefix: &str, schema: &Value) {
        self.text.push_str("| key | type | unit | default | what it is |\n|---|---|---|---|---|\n");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (key, property) in object(&schema["properties"]) {
            let said = Said::of(&property);
            let default = match (&property["default"], required.contains(&key.as_str().into())) {
                (_, true) => "required".into(),
                (Value::Null, _) => said.default,
                (Value::Object(_) | Value::Array(_), _) => said.default,
                (value, _) => format!("`{value}`"),
            };
            let kind = self.kind(prefix, &key, &property);
            let cells = [&format!("`{prefix}{key}`"), &kind, &said.unit, &default, &said.text];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(self.text, "| {} |", cells.join(" | "));
        }
    }

    /// The type of a key; notes the tables and values that it leads to.
    fn kind(&mut self, prefix: &str, key: &str, schema: &Value) -> String {
        let inner = &schema["additionalProperties"];
        if let Some(name) = reference(inner).filter(|name| self.is_table(name)) {
            let title = format!("`[{prefix}{key}.NAME]`");
            self.note_table(title.clone(), format!("{prefix}{key}."), name);
            return format!("tables [{title}](#{})", anchor(&title));
        }
        if inner.is_object() {
            return format!("table of {}", self.kind(prefix, key, inner));
        }
        if let Some(name) = reference(schema) {
            if self.is_table(name) {
                // Named after the key where it is met first; others lead to the same place.
                let found = self.tables.iter().find(|table| table.2 == name).map(|table| table.0.clone());
                let title = found.unwrap_or_else(|| format!("`{key} = {{ … }}`"));
                self.note_table(title.clone(), format!("{key}."), name);
                return format!("table [{title}](#{})", anchor(&title));
            }
            if !self.is_written(name) {
                self.values.push(name.to_owned());
            }
            return format!("[{name}](#{})", anchor(name));
        }
        match (&schema["type"], schema["items"].is_object()) {
            (Value::String(_), true) => format!("list of {}", self.kind(prefix, key, &schema["items"])),
            (Value::String(kind), _) => kind.clone(),
            (Value::Array(kinds), _) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => {
                let kinds = schema["anyOf"].as_array().cloned().unwrap_or_default();
                let kinds: Vec<String> = kinds.iter().map(|kind| self.kind(prefix, key, kind)).collect();
                kinds.join(" or ")
            }
        }
    }

    fn is_table(&self, name: &str) -> bool {
        self.definitions.get(name).is_some_and(|definition| definition["properties"].is_object())
    }

    fn note_table(&mut self, title: String, prefix: String, name: &str) {
        if !self.tables.iter().any(|table| table.2 == name) {
            self.tables.push((title, prefix, name.to_owned()));
        }
    }

    /// What may be written for the types that are no tables.
    fn values(&mut self) {
        self.text.push_str("\n## Values\n");
        let tables: Vec<String> = self.tables.iter().map(|table| table.2.clone()).collect();
        let mut names: Vec<String> = self.values.iter().filter(|name| !tables.contains(name)).cloned().collect();
        names.sort();
        for name in names {
            let definition = self.definitions.get(&name).cloned().unwrap_or_default();
            let _ = writeln!(self.text, "\n### {name}\n");
            if let Some(text) = definition["description"].as_str() {
                let _ = writeln!(self.text, "{}", text.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            let examples = definition["examples"].as_array().cloned().unwrap_or_default();
            if !examples.is_empty() {
                let examples: Vec<String> = examples.iter().map(|example| format!("`{example}`")).collect();
                let _ = writeln!(self.text, "E.g. {}.", examples.join(", "));
            }
            let choices = definition["oneOf"].as_array().cloned().unwrap_or_default();
            let choices: Vec<(&Value, String)> = choices
                .iter()
                .filter(|choice| !choice["const"].is_null())
                .map(|choice| (&choice["const"], Said::of(choice).text))
                .collect();
            if !choices.is_empty() {
                self.text.push_str("\n| value | what it is |\n|---|---|\n");
            }
            for (value, text) in choices {
                let _ = writeln!(self.text, "| `{value}` | {} |", text.replace('|', "\\|"));
            }
        }
    }
}

/// What a doc comment says.
struct Said {
    text: String,
    unit: String,
    default: String,
}

impl Said {
    fn of(schema: &Value) -> Self {
        let words: Vec<&str> = schema["description"].as_str().unwrap_or("").split_whitespace().collect();
        let text = words.join(" ");
        let (text, default) = text.split_once("Default: ").unwrap_or((&text, ""));
        let (text, unit) = text.split_once("Unit: ").unwrap_or((text, ""));
        let plain = |text: &str| text.trim().trim_end_matches('.').to_owned();
        Self { text: text.trim().to_owned(), unit: plain(unit), default: plain(default) }
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The definition that a schema names, alone or beside a description.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"))
}

/// GitHub's name of a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// `anyOf: [X, null]` is X, `type: [X, null]` is X, a default of null is none.
fn remove_null(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        if map.get("default").is_some_and(Value::is_null) {
            map.shift_remove("default");
        }
        if let Some(kinds) = map.get_mut("type").and_then(Value::as_array_mut) {
            kinds.retain(|kind| kind != "null");
            if let [one] = kinds.as_slice() {
                let one = one.clone();
                map.insert("type".into(), one);
            }
        }
        if let Some(kinds) = map.get_mut("anyOf").and_then(Value::as_array_mut) {
            kinds.retain(|kind| kind["type"] != "null");
            if let [Value::Object(one)] = kinds.as_slice() {
                let one = one.clone();
                map.shift_remove("anyOf");
                map.extend(one);
            }
        }
        map.values_mut().for_each(remove_null);
    }
    if let Some(list) = value.as_array_mut() {
        list.iter_mut().for_each(remove_null);
    }
}
