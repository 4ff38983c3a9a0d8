//! Golden cases: each folder of `tests/golden` has a pipeline, as a user writes it, and the picture that it must give.
//!
//! The expected pictures are computed by `tests/golden/reference.py`, never by Darkframe. Every case runs with the newest
//! OpenGL ES that the driver has and with 2.0 alone (in virtual machines only the newest). A case may be one code value off, or more where the first lines of
//! its pipeline say so and why: `# Within 2 codes: reason`. Where it is further off, expected | difference | actual
//! are put side by side in `target/golden/NAME.png`.

use std::path::{Path, PathBuf};

use darkframe::error::ErrorKind;
use darkframe::pipeline::Description;
use darkframe::pipeline::runner::{self, Options};
use image::{Rgba, RgbaImage};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project("tests/golden")).unwrap().flatten();
    let mut cases: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join("pipeline.toml").is_file()).collect();
    cases.sort();
    cases
}

/// How far a case may be off: 1, or what its pipeline says, with the reason.
fn within(text: &str) -> u8 {
    let Some(said) = text.lines().find_map(|line| line.strip_prefix("# Within ")) else { return 1 };
    let (codes, reason) = said.split_once(" codes: ").unwrap_or_else(|| panic!("\"{said}\": expected N codes: reason"));
    assert!(reason.len() > 10, "\"{said}\" gives no reason");
    codes.parse().unwrap_or_else(|_| panic!("\"{said}\": expected a number"))
}

/// Runs a case; the picture of its last frame, or `None` where there is no driver.
fn actual(case: &Path, max_version: Option<(u8, u8)>) -> Option<RgbaImage> {
    let folder = std::env::temp_dir().join(format!("darkframe-golden-{}", std::process::id()));
    let mut description = Description::open(case.join("pipeline.toml")).unwrap_or_else(|error| panic!("{error}"));
    let file = format!("sink.picture.file={}", folder.join("%04d.png").display());
    description.set(&file).unwrap_or_else(|error| panic!("{error}"));
    let options = Options { max_version, ..Options::default() };
    match runner::run(&description, options) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Unsupported && error.op().starts_with("eglCreateContext") => {
            println!("SKIP: {error}");
            return None;
        }
        Err(error) if error.kind() == ErrorKind::NotFound && error.to_string().contains("libEGL") => {
            println!("SKIP: {error}");
            return None;
        }
        Err(error) => panic!("{}: {error}", case.display()),
    }
    let last = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let picture = image::open(&last).unwrap_or_else(|error| panic!("{}: {error}", last.display())).into_rgba8();
    std::fs::remove_dir_all(&folder).unwrap();
    Some(picture)
}

/// Where two pictures are furthest apart: difference, channel, x, y.
fn furthest(expected: &RgbaImage, actual: &RgbaImage) -> (u8, usize, u32, u32) {
    let pixels = expected.enumerate_pixels().zip(actual.pixels());
    let all = pixels.flat_map(|((x, y, a), b)| (0..4).map(move |c| (a[c].abs_diff(b[c]), c, x, y)));
    all.max_by_key(|(difference, ..)| *difference).unwrap_or_default()
}

/// Expected, difference times 32, actual, side by side.
fn triptych(expected: &RgbaImage, actual: &RgbaImage) -> RgbaImage {
    let (width, height) = expected.dimensions();
    RgbaImage::from_fn(3 * width, height, |x, y| {
        let (a, b) = (expected.get_pixel(x % width, y), actual.get_pixel(x % width, y));
        match x / width {
            0 => *a,
            1 => Rgba([0, 1, 2, 3].map(|c| if c == 3 { 255 } else { a[c].abs_diff(b[c]).saturating_mul(32) })),
            _ => *b,
        }
    })
}

/// What is wrong with a case, if anything.
fn judge(name: &str, allowed: u8, expected: &RgbaImage, actual: &RgbaImage) -> Result<u8, String> {
    if expected.dimensions() != actual.dimensions() {
        return Err(format!("{name}: {:?}, expected {:?}", actual.dimensions(), expected.dimensions()));
    }
    let (difference, channel, x, y) = furthest(expected, actual);
    if difference <= allowed {
        return Ok(difference);
    }
    let beyond = expected.pixels().zip(actual.pixels());
    let beyond = beyond.filter(|(a, b)| (0..4).any(|c| a[c].abs_diff(b[c]) > allowed)).count();
    let (folder, pair) = (project("target/golden"), (expected.get_pixel(x, y), actual.get_pixel(x, y)));
    let path = folder.join(format!("{}.png", name.replace(' ', "-")));
    let _ = std::fs::create_dir_all(&folder).map(|()| triptych(expected, actual).save(&path));
    Err(format!(
        "{name}: {difference} codes apart in {} at x {x} y {y}: expected {:?}, got {:?}; {allowed} allowed, {beyond} pixels beyond; expected | difference x 32 | actual: {}",
        ["red", "green", "blue", "alpha"][channel],
        pair.0.0,
        pair.1.0,
        path.display()
    ))
}

#[test]
fn every_case_gives_what_the_reference_gives() {
    let (mut failures, mut judged) = (Vec::new(), 0);
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let allowed = within(&std::fs::read_to_string(case.join("pipeline.toml")).unwrap());
        let expected = image::open(case.join("expected.png")).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = expected.into_rgba8();
        let runs = [(name.clone(), None), (format!("{name} on GLES 2.0"), Some((2, 0)))];
        // An emulated processor is slow: one run there.
        let runs = runs.into_iter().take(if std::env::var_os("DARKFRAME_VM").is_some() { 1 } else { 2 });
        for (title, max_version) in runs {
            let Some(actual) = actual(&case, max_version) else { return };
            match judge(&title, allowed, &expected, &actual) {
                Ok(difference) => println!("golden {title}: within {difference}"),
                Err(failure) => failures.push(failure),
            }
            judged += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(judged > 30, "only {judged} runs were judged");
}

#[test]
fn every_shader_has_a_case_a_head_and_a_row() {
    let pipelines: String =
        cases().iter().map(|case| std::fs::read_to_string(case.join("pipeline.toml")).unwrap()).collect();
    let readme = std::fs::read_to_string(project("shaders/README.md")).unwrap();
    let mut shaders = 0;
    for entry in std::fs::read_dir(project("shaders")).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.extension().is_none_or(|extension| extension != "frag") {
            continue;
        }
        shaders += 1;
        assert!(pipelines.contains(&format!("shaders/{name}\"")), "no case in tests/golden uses {name}");
        let row = readme.lines().find(|line| line.starts_with(&format!("| [{name}]({name}) |")));
        let row = row.unwrap_or_else(|| panic!("shaders/README.md has no row for {name}"));
        let picture = row.split("](").find_map(|part| part.strip_prefix("pictures/")?.split(')').next());
        let picture = picture.unwrap_or_else(|| panic!("shaders/README.md shows no picture of {name}"));
        assert!(project("shaders/pictures").join(picture).is_file(), "shaders/pictures/{picture} is missing");
        let text = std::fs::read_to_string(&path).unwrap();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
        for part in ["// Input", "// Output", "// Cost"] {
            assert!(head.iter().any(|line| line.starts_with(part)), "{name}: the head has no line \"{part}\"");
        }
        assert!(head.join(" ").contains("GLES "), "{name}: the head does not say which OpenGL ES it needs");
        for line in text.lines().filter_map(|line| line.strip_prefix("uniform ")) {
            let uniform = line.trim_end_matches(';').split_whitespace().next_back().unwrap();
            let words = format!("// Uniform {uniform} ");
            assert!(head.iter().any(|line| line.starts_with(&words)), "{name}: the head does not explain {uniform}");
        }
    }
    assert!(shaders > 20, "only {shaders} shaders were looked at");
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let grey = RgbaImage::from_pixel(4, 3, Rgba([100, 100, 100, 255]));
    let mut other = grey.clone();
    other.put_pixel(2, 1, Rgba([100, 98, 100, 255]));
    assert_eq!(judge("self", 1, &grey, &grey), Ok(0));
    assert_eq!(judge("self", 2, &grey, &other), Ok(2));
    let failure = judge("self", 1, &grey, &other).unwrap_err();
    assert!(failure.contains("2 codes apart in green at x 2 y 1") && failure.contains("1 pixels beyond"), "{failure}");
    let picture = image::open(project("target/golden/self.png")).unwrap().into_rgba8();
    assert_eq!((picture.dimensions(), picture.get_pixel(6, 1).0), ((12, 3), [0, 64, 0, 255]));
    assert!(judge("self", 255, &grey, &RgbaImage::new(3, 4)).is_err());
    assert_eq!((within("[source.a]\n"), within("# Within 3 codes: sines of the GPU\n")), (1, 3));
}
