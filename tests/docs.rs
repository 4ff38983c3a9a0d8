//! The documents are true: imports point one way, blocks in documents parse, every key is explained.

use std::path::{Path, PathBuf};

use darkframe::board::Board;
use darkframe::pipeline::{Description, reference};

/// Lower layers first, as ARCHITECTURE.md draws them. A module may use those before it and its own.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["format", "layout", "color", "config"],
    &["board"],
    &["sys"],
    &["device"],
    &["fence", "buffer"],
    &["allocator"],
    &["frame", "pool"],
    &["v4l2", "kms"],
    &["egl"],
    &["gles"],
    &["vulkan"],
    &["wgpu", "cuda"],
    &["share"],
    &["pipeline"],
    &["probe", "selftest", "doctor"],
    &["cli"],
];

/// Edges against the order that are meant, with the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("sys", "error", "gbm_dl returns the crate's error"),
    // EGL's context hands out the GL token that every GL call takes; the token is defined where GL is.
    ("egl", "gles", "Context::make_current returns gles::Gl"),
];

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != ".git" && name != "out") {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

#[test]
fn imports_point_one_way() {
    let source = project().join("src");
    let mut edges = 0;
    for file in files(&source, "rs") {
        let relative = file.strip_prefix(&source).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" || module == "main" {
            continue;
        }
        let from = layer(module).unwrap_or_else(|| panic!("{module} has no layer in tests/docs.rs"));
        // Unit tests at the end of a file may reach anywhere.
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in text.lines().enumerate() {
            let Some(used) = line.split("crate::").nth(1).filter(|_| !line.trim_start().starts_with("//")) else {
                continue;
            };
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(to) = layer(&used) else { continue };
            edges += 1;
            let excepted = EXCEPTIONS.iter().any(|(a, b, _)| *a == module && *b == used);
            assert!(
                to <= from || excepted,
                "{}:{}: {module} uses {used}, which is a later layer",
                relative.display(),
                number + 1
            );
        }
    }
    assert!(edges > 50, "the test read only {edges} imports");
}

#[test]
fn files_stay_readable() {
    for file in files(&project().join("src"), "rs") {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 650, "{} has {lines} lines: split it by noun", file.display());
    }
}

/// The blocks of one language in a Markdown file.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn every_key_of_a_board_file_is_explained() {
    let readme = std::fs::read_to_string(project().join("board-configs/README.md")).unwrap();
    for block in blocks(&readme, "toml") {
        Board::parse(Path::new("board-configs/README.md"), &block).unwrap();
    }
    for table in ["", "match.", "drm.", "egl.", "allocate.", "encode.", "limits.", "measured."] {
        let head = if table.is_empty() { String::new() } else { format!("[{}]\n", table.trim_end_matches('.')) };
        let error =
            Board::parse(Path::new("x"), &format!("name = \"x\"\n{head}{UNKNOWN} = 1")).unwrap_err().to_string();
        let keys = keys_in(&error);
        assert!(!keys.is_empty(), "{error}");
        for key in keys {
            let documented = format!("| `{table}{key}`");
            let is_table = table.is_empty() && readme.contains(&format!("| `{key}."));
            assert!(readme.contains(&documented) || is_table, "board-configs/README.md does not explain {table}{key}");
        }
    }
}

#[test]
fn shipped_board_files_parse() {
    let shipped = Board::shipped().unwrap();
    for file in files(&project().join("board-configs"), "toml") {
        Board::open(file.to_str().unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(shipped.iter().any(|(known, _)| *known == name), "src/board.rs does not ship {name}");
    }
}

/// What a board file says is said by somebody.
#[test]
fn facts_of_boards_have_sources() {
    for file in files(&project().join("board-configs"), "toml").iter().filter(|file| !file.ends_with("generic.toml")) {
        let text = std::fs::read_to_string(file).unwrap();
        let board = Board::parse(file, &text).unwrap();
        for fault in &board.fault {
            assert!(fault.source.len() > 3, "{}: {fault:?}", file.display());
        }
        let sourced = text.contains("unverified: measure with selftest") || text.to_lowercase().contains("measured");
        assert!(sourced, "{} has neither sources nor says so", file.display());
    }
}

/// A key that is near to no other: the parser then lists the valid ones, which are the truth.
const UNKNOWN: &str = "zzzzzzzzzzzz";

fn keys_in(error: &str) -> Vec<String> {
    let keys = error.split("valid here: ").nth(1).unwrap_or_else(|| panic!("{error}"));
    keys.split(", ").map(|key| key.trim().to_owned()).collect()
}

fn keys_of(text: &str) -> Vec<String> {
    keys_in(&Description::parse("x.toml", text).map(|_| ()).unwrap_err().to_string())
}

#[test]
fn every_key_of_a_pipeline_is_explained() {
    let page = std::fs::read_to_string(project().join("docs/pipeline.md")).unwrap();
    assert!(page == reference::markdown(), "docs/pipeline.md is not what the types say: run `make reference`");
    // The parser has the last word: each of its keys is there, and no other.
    for (table, text) in [
        ("", "zzzzzzzzzzzz = 1"),
        ("parameter.", "[parameter.x]\nzzzzzzzzzzzz = 1"),
        ("source.", "[source.x]\nzzzzzzzzzzzz = 1"),
        ("pass.", "[pass.x]\nzzzzzzzzzzzz = 1"),
        ("sink.", "[sink.x]\nzzzzzzzzzzzz = 1"),
        ("color.", "[source.x]\ncolor = { zzzzzzzzzzzz = 1 }"),
    ] {
        let mut keys = keys_of(text);
        assert!(keys.len() > 3, "{table}: {keys:?}");
        keys.iter_mut().for_each(|key| *key = format!("{table}{key}"));
        let rows: Vec<Vec<&str>> =
            page.lines().filter(|line| line.starts_with("| `")).map(|line| line.split(" | ").collect()).collect();
        for key in &keys {
            let row = rows.iter().find(|row| row[0] == format!("| `{key}`"));
            let row = row.unwrap_or_else(|| panic!("docs/pipeline.md does not explain {key}"));
            assert!(row.len() == 5 && row[4].len() > 10, "{key} has no doc comment in the description: {row:?}");
        }
        for row in rows.iter().filter(|row| row.len() == 5 && row[0].starts_with(&format!("| `{table}"))) {
            let key = row[0].trim_start_matches("| `").trim_end_matches('`');
            let inner = key[table.len()..].contains('.') || (table.is_empty() && key.contains('.'));
            assert!(inner || keys.iter().any(|known| known == key), "docs/pipeline.md has {key}");
        }
    }
    let readme = std::fs::read_to_string(project().join("examples/README.md")).unwrap();
    for example in files(&project().join("examples"), "toml") {
        let name = example.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("({name})")), "examples/README.md does not list {name}");
    }
}

#[test]
fn pipelines_in_documents_parse() {
    let mut parsed = 0;
    for document in files(&project(), "md") {
        if document.ends_with("board-configs/README.md") {
            continue;
        }
        let text = std::fs::read_to_string(&document).unwrap();
        for block in blocks(&text, "toml").iter().filter(|block| block.contains("[sink.")) {
            Description::parse(&document, block.as_str()).unwrap_or_else(|error| panic!("{error}"));
            parsed += 1;
        }
    }
    assert!(parsed > 0, "no document shows a pipeline");
}

/// Cargo refuses a manifest that names targets whose files are not there: a container's build copies their folders.
#[test]
fn the_containers_build_has_every_target() {
    let manifest = std::fs::read_to_string(project().join("Cargo.toml")).unwrap();
    let recipe = std::fs::read_to_string(project().join("examples/cluster/Containerfile")).unwrap();
    for (table, folder) in [("[[test]]", "tests"), ("[[example]]", "examples"), ("[[bench]]", "benches")] {
        let is_copied = recipe.lines().any(|line| line == format!("COPY {folder} {folder}"));
        assert!(is_copied || !manifest.contains(table), "{table}: {folder}");
    }
}
