//! What is wrong with a pipeline file, in words and with its place. No device.

use darkframe::pipeline::description::{PassSize, Rate, Uniform};
use darkframe::pipeline::graph::Feed;
use darkframe::pipeline::plan::Plan;
use darkframe::pipeline::{Description, Graph};

const GOOD: &str = r#"
[source.camera]
pattern = "bars"
size = "64x48"

[pass.late]
shader = "shaders/grade.frag"
inputs = ["grade"]
size = "50%"

[pass.grade]
shader = "shaders/grade.frag"
inputs = { source = "camera" }
uniforms = { exposure = 1.08, contrast = 0.35 }

[pass.nobody]
shader = "shaders/grade.frag"
inputs = { source = "grade" }

[sink.out]
input = "late"
kind = "null"
"#;

/// The error of a description that differs from the good one in one piece of text.
fn error_of(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replacen(from, to, 1);
    let description = match Description::parse("p.toml", text.clone()) {
        Ok(description) => description,
        Err(error) => return error.to_string(),
    };
    let graph = Graph::new(&description).and_then(|graph| {
        let sizes = vec![darkframe::layout::Size::new(64, 48); graph.sources.len()];
        graph.sizes(&description, &sizes).map(|_| graph)
    });
    graph.map(|_| ()).expect_err(&text).to_string()
}

#[test]
fn a_good_description_is_ordered_and_sized() {
    let description = Description::parse("p.toml", GOOD).unwrap();
    let graph = Graph::new(&description).unwrap();
    let names: Vec<&str> = graph.passes.iter().map(|pass| pass.name.as_str()).collect();
    assert_eq!(names, ["grade", "late"]);
    assert_eq!(graph.passes[1].inputs, [("grade".to_owned(), Feed::Pass(0))]);
    assert_eq!(graph.unused, ["nobody"]);
    assert_eq!(graph.readers(), [1, 1]);
    let sizes = graph.sizes(&description, &[darkframe::layout::Size::new(65, 48)]).unwrap();
    assert_eq!(sizes[1], darkframe::layout::Size::new(33, 24));
}

#[test]
fn every_mistake_has_its_place_and_its_words() {
    let cases = [
        // (what is replaced, by what, the place, words that must be there)
        (
            "shader = \"shaders/grade.frag\"\ninputs = [\"grade\"]",
            "shadr = \"x\"",
            "p.toml:7:1",
            "did you mean `shader`?",
        ),
        ("[source.camera]", "[sorce.camera]", "p.toml:2:2", "did you mean `source`?"),
        ("\"64x48\"", "\"64\"", "p.toml:4:8", "expected WIDTHxHEIGHT"),
        ("\"64x48\"", "\"0x48\"", "p.toml:4:8", "width and height must be 1 to 65536"),
        ("\"64x48\"", "true", "p.toml:4:8", "expected a string"),
        ("\"bars\"", "\"barz\"", "p.toml:3:11", "did you mean `bars`?"),
        ("[\"grade\"]", "[\"grad\"]", "p.toml:8:11", "did you mean \"grade\"?"),
        ("[\"grade\"]", "[]", "p.toml:6:7", "a pass without inputs needs a size in pixels"),
        ("[\"grade\"]", "[\"late\"]", "p.toml:8:11", "in a circle: late reads late"),
        ("{ source = \"camera\" }", "{ source = \"late\" }", "p.toml:13:21", "late reads grade reads late"),
        ("{ source = \"camera\" }", "{ 1st = \"camera\" }", "p.toml:13:12", "cannot be a name in a shader"),
        ("{ source = \"camera\" }", "{ time = \"camera\" }", "p.toml:13:12", "reserved"),
        ("size = \"50%\"", "size = \"0%\"", "p.toml:9:8", "expected 0.1% to 10000%"),
        ("size = \"50%\"", "size = \"as-output\"", "p.toml:9:8", "as-input"),
        ("size = \"50%\"", "format = \"ABRG8888\"", "p.toml:9:10", "ABGR8888"),
        ("size = \"50%\"", "format = \"NV15\"", "p.toml:9:10", "no shader here writes its samples"),
        ("input = \"late\"", "input = \"layt\"", "p.toml:21:9", "did you mean \"late\"?"),
        ("kind = \"null\"", "", "p.toml:20:7", "neither `file` nor `kind`"),
        ("kind = \"null\"", "file = \"a.gif\"", "p.toml:22:8", "use the extension .png"),
        ("kind = \"null\"", "file = \"a-%s.png\"", "p.toml:22:8", "after % comes d"),
        ("kind = \"null\"", "kind = \"null\"\nevery = 0", "p.toml:23:9", "every frame is 1"),
        (
            "kind = \"null\"",
            "file = \"a.png\"\n[sink.two]\ninput=\"late\"\nfile=\"a.png\"",
            "p.toml:25:6",
            "writes the same file",
        ),
        ("[pass.nobody]", "[pass.camera]", "p.toml:16:7", "a source has the same name"),
        ("exposure = 1.08", "exposure = \"bright\"", "p.toml:14:25", "a number, true, false"),
        ("[sink.out]\ninput = \"late\"\nkind = \"null\"", "", "p.toml:20:1", "no sink"),
        ("kind = \"null\"", "kind = \"null", "p.toml:22:", ""),
    ];
    let mut failures = Vec::new();
    for (from, to, place, words) in cases {
        let error = error_of(from, to);
        if !(error.starts_with(place) && error.contains(words)) {
            failures.push(format!("{to}\n  said  {error}\n  wants {place} … {words}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn sources_say_which_keys_do_not_fit() {
    let error = |keys: &str| {
        let text = format!("[source.a]\n{keys}\n[sink.out]\ninput = \"a\"\nkind = \"null\"\n");
        let description = Description::parse("p.toml", text).unwrap();
        Plan::new(&description, None).err().expect(keys).to_string()
    };
    assert!(error("").contains("neither `file` nor `pattern`"));
    assert!(
        error("pattern = \"bars\"\nfile = \"a\"")
            .starts_with("p.toml:3:8: source.a.file: a source is a file or a pattern")
    );
    assert!(error("pattern = \"bars\"\nstride = 4").contains("source.a.stride: this key is for raw files"));
    assert!(error("file = \"a.y4m\"\nsize = \"4x4\"").contains("source.a.size: this key is for raw files"));
    assert!(error("file = \"a.txt\"").contains("add kind ="));
    assert!(error("file = \"gone.y4m\"").starts_with("p.toml:2:8: source.a.file: gone.y4m: No such file"));
    assert!(error("file = \"a.raw\"").contains("source.a.size: a raw file does not say it"));
    assert!(
        error("file = \"a.raw\"\nsize = \"4x4\"\nformat = \"NV12\"\nstride = 2")
            .contains("p.toml:5:10: source.a.stride")
    );
    assert!(error("file = \"a.raw\"\nsize = \"4x4\"\nformat = \"NV12\"\nframe-bytes = 23").contains("end at byte 24"));
}

#[test]
fn settings_change_values_or_say_why_not() {
    let mut description = Description::parse("p.toml", GOOD).unwrap();
    description.set("pass.grade.exposure=1.5").unwrap();
    description.set("pass.grade.uniforms.contrast = [1, 2]").unwrap();
    description.set("pass.late.size=10x10").unwrap();
    description.set("sink.out.file=x.png").unwrap();
    let grade = &description.passes["grade"];
    assert_eq!(*grade.uniforms["exposure"].get_ref(), Uniform::Number(1.5));
    assert_eq!(*grade.uniforms["contrast"].get_ref(), Uniform::Numbers(vec![1.0, 2.0]));
    assert!(matches!(description.passes["late"].size.as_ref().unwrap().get_ref().0, PassSize::Pixels(_)));
    for (bad, words) in [
        ("pass.grade.exposre=1", "did you mean \"exposure\"?"),
        ("pass.grad.exposure=1", "did you mean \"grade\"?"),
        ("pass.grade.exposure=bright", "is no value of a uniform"),
        ("pass.grade.exposure", "expected KEY=VALUE"),
        ("nothing=1", "no such key"),
    ] {
        let error = description.set(bad).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn uniforms_are_held_against_the_shader() {
    let plan = |uniforms: &str| {
        let text = format!(
            "[source.a]\npattern = \"bars\"\nsize = \"8x8\"\n[pass.p]\nshader = \"shaders/grade.frag\"\ninputs = {{ source = \"a\" }}\nuniforms = {{ {uniforms} }}\n[sink.out]\ninput = \"p\"\nkind = \"null\"\n"
        );
        // Relative to the pipeline file, which lies at the project's root.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/p.toml");
        Plan::new(&Description::parse(path, text).unwrap(), None).map(|_| ()).map_err(|error| error.to_string())
    };
    plan("exposure = 1.0, contrast = 0").unwrap();
    assert!(plan("exposure = 1.0, contrst = 0").unwrap_err().contains("did you mean \"contrast\"?"));
    assert!(plan("exposure = 1.0").unwrap_err().contains("declares float contrast, and no value is given"));
    assert!(plan("exposure = [1, 2], contrast = 0").unwrap_err().contains("2 numbers given, float exposure has 1"));
}

#[test]
fn rates_and_ranges() {
    assert_eq!("29.97".parse::<Rate>().unwrap(), Rate { numerator: 29970, denominator: 1000 });
    assert_eq!("30000/1001".parse::<Rate>().unwrap().timestamp_ns(30000), 1_001_000_000_000);
    assert!("0".parse::<Rate>().is_err() && "1/0".parse::<Rate>().is_err() && "-3".parse::<Rate>().is_err());
    let description = |frames: &str| Description::parse("p.toml", format!("frames = {frames}\n"));
    assert_eq!(description("12").unwrap().frames.unwrap().0.end, Some(12));
    assert_eq!(description("\"3..\"").unwrap().frames.unwrap().0.start, 3);
    assert!(description("\"5..5\"").unwrap_err().to_string().contains("A below B"));
}
