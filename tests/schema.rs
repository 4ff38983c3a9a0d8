//! The JSON Schema against an independent validator (Python's jsonschema) and the parser: both accept and refuse the same.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use darkframe::pipeline::Description;

mod common;

/// Reads TOML texts from standard input, one JSON string a line; says `ok` or what is wrong, one line each.
const VALIDATE: &str = r#"
import json, sys, tomllib
from jsonschema import Draft202012Validator as Validator
schema = json.load(open(sys.argv[1]))
Validator.check_schema(schema)
validator = Validator(schema)
for line in sys.stdin:
    errors = list(validator.iter_errors(tomllib.loads(json.loads(line))))
    print("; ".join(e.json_path + ": " + e.message.replace("\n", " ") for e in errors) or "ok")
"#;

/// What the validator says of each text; `None` where there is none on this machine.
fn validate(name: &str, texts: &[String]) -> Option<Vec<String>> {
    let python = Path::new("/usr/bin/python3");
    let has = Command::new(python).args(["-c", "import jsonschema, tomllib"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        common::skip("jsonschema", "no python3-jsonschema here: scripts/setup test");
        return None;
    }
    let schema = std::env::temp_dir().join(format!("darkframe-schema-{name}-{}.json", std::process::id()));
    let printed = Command::new(env!("CARGO_BIN_EXE_darkframe")).arg("schema").output().unwrap();
    assert!(printed.status.success());
    std::fs::write(&schema, printed.stdout).unwrap();
    let mut child = Command::new(python)
        .args(["-c", VALIDATE])
        .arg(&schema)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for text in texts {
        writeln!(stdin, "{}", serde_json::to_string(text).unwrap()).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    std::fs::remove_file(schema).unwrap();
    assert!(output.status.success());
    let said: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(said.len(), texts.len());
    Some(said)
}

fn pipelines() -> Vec<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [project.join("examples"), project.join("benches")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

#[test]
fn every_example_is_valid() {
    let files = pipelines();
    assert!(files.len() > 5);
    let texts: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let Some(said) = validate("good", &texts) else { return };
    for (path, said) in files.iter().zip(said) {
        assert_eq!(said, "ok", "{}", path.display());
    }
}

const GOOD: &str = r#"
frames = "2..9"
rate = "30000/1001"

[source.camera]
file = "a.raw"
size = "64x48"
format = "NV12"
stride = [64, 64]
loop = true
color = { matrix = "bt709" }

[pass.late]
shader = "a.frag"
inputs = ["camera"]
size = "50%"
uniforms = { a = 1, b = [1, 2.5], c = true }

[sink.out]
input = "late"
file = "-"
kind = "raw"
every = 2
"#;

#[test]
fn wrong_pipelines_are_refused_by_schema_and_parser_alike() {
    let cases = [
        ("[source.camera]", "[sorce.camera]"),
        ("loop = true", "lop = true"),
        ("loop = true", "loop = 1"),
        ("\"64x48\"", "\"64\""),
        ("\"64x48\"", "64"),
        ("\"64x48\"", "true"),
        ("\"NV12\"", "\"NV12345\""),
        ("[64, 64]", "[-64, 64]"),
        ("[64, 64]", "\"64\""),
        ("\"bt709\"", "\"bt710\""),
        ("matrix", "matricks"),
        ("\"50%\"", "\"half\""),
        ("[\"camera\"]", "\"camera\""),
        ("[\"camera\"]", "{ a = 1 }"),
        ("[1, 2.5]", "\"bright\""),
        ("shader = \"a.frag\"", "blend = \"ad\""),
        ("shader = \"a.frag\"", "blend = { mod = \"add\" }"),
        ("shader = \"a.frag\"", "overlay = { anchor = \"botom\" }"),
        ("shader = \"a.frag\"", "overlay = { position = [1, \"x\"] }"),
        ("shader = \"a.frag\"", "wrap = \"miror\""),
        ("shader = \"a.frag\"", "clear = \"red\""),
        ("shader = \"a.frag\"", "clear = [1, 2, 3]"),
        ("input = \"late\"", ""),
        ("\"raw\"", "\"rwa\""),
        ("every = 2", "every = 2.5"),
        ("every = 2", "every = -1"),
        ("\"2..9\"", "\"two\""),
        ("\"2..9\"", "true"),
        ("\"30000/1001\"", "0"),
        ("\"30000/1001\"", "\"fast\""),
    ];
    let mut texts = vec![GOOD.to_owned()];
    for (from, to) in cases {
        assert!(GOOD.contains(from), "{from}");
        texts.push(GOOD.replacen(from, to, 1));
    }
    assert!(Description::parse("p.toml", GOOD).is_ok());
    for text in &texts[1..] {
        assert!(Description::parse("p.toml", text.as_str()).is_err(), "the parser takes\n{text}");
    }
    let Some(said) = validate("bad", &texts) else { return };
    assert_eq!(said[0], "ok");
    for (text, said) in texts[1..].iter().zip(&said[1..]) {
        assert_ne!(said, "ok", "the schema takes\n{text}");
    }
}
