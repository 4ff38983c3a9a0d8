//! What changes while a run goes on: parameters, shaders, and what a person sees of it.
//!
//! Skips only where no driver gives OpenGL ES.

use std::path::PathBuf;
use std::process::{Command, Output};

use darkframe::pipeline::Description;
use darkframe::pipeline::plan::Plan;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    /// With a shader that fills the picture with `(level, 0.5, 0, 1)`.
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-live-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let folder = Self(path);
        folder
            .write("level.frag", "uniform float level;\nvec4 pixel(vec2 uv) { return vec4(level, 0.5, 0.0, 1.0); }\n");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        command.args(arguments).current_dir(&self.0).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Standard error, after a run that may find no driver; `None` says that it was skipped.
fn ran(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(1) && (text.contains("libEGL") || text.contains("eglCreateContext")) {
        println!("SKIP run: {text}");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    Some(text)
}

const TWO_PASSES: &str = "[parameter.level]
default = 0.25
min = 0
max = 1
description = \"how bright\"

[pass.one]
shader = \"level.frag\"
size = \"4x4\"
uniforms = { level = \"$level\" }

[pass.two]
shader = \"level.frag\"
size = \"4x4\"
uniforms = { level = \"$level\" }

[sink.one]
input = \"one\"
file = \"one.rgba\"

[sink.two]
input = \"two\"
file = \"two.rgba\"
";

#[test]
fn one_parameter_feeds_uniforms_of_several_passes() {
    let folder = Folder::new("two");
    folder.write("p.toml", TWO_PASSES);
    // 0.25 * 255 = 63.75 and 0.6 * 255 = 153, to the nearest.
    for (arguments, level) in [(&[][..], 64u8), (&["--set", "level=0.6"], 153), (&["--set", "parameter.level=1"], 255)]
    {
        let arguments = [&["run", "-q", "p.toml"], arguments].concat();
        if ran(&folder.command(&arguments).output().unwrap()).is_none() {
            return;
        }
        for name in ["one.rgba", "two.rgba"] {
            let pixels = folder.read(name);
            assert_eq!(pixels.len(), 4 * 4 * 4);
            for pixel in pixels.chunks_exact(4) {
                assert!(pixel[0] == level && (127..=128).contains(&pixel[1]) && pixel[2..] == [0, 255], "{pixel:?}");
            }
        }
    }
}

#[test]
fn parameters_are_held_against_the_shader() {
    let folder = Folder::new("kinds");
    folder.write("kinds.frag", "uniform int count;\nuniform bool on;\nuniform vec2 at;\nvec4 pixel(vec2 uv) { return vec4(at, on ? 1.0 : 0.0, float(count)); }\n");
    let plan = |parameters: &str, uniforms: &str| {
        let text = format!(
            "{parameters}\n[pass.p]\nshader = \"kinds.frag\"\nsize = \"4x4\"\nuniforms = {{ {uniforms} }}\n[sink.out]\ninput = \"p\"\nkind = \"null\"\n"
        );
        let description = Description::parse(folder.path("p.toml"), text).map_err(|error| error.to_string())?;
        Plan::new(&description, None).map_err(|error| error.to_string())
    };
    let three =
        "[parameter.n]\ndefault = 2\nmax = 9\n[parameter.on]\ndefault = true\n[parameter.place]\ndefault = [0, 1]\n";
    let uniforms = "count = \"$n\", on = \"$on\", at = \"$place\"";
    let mut set = plan(three, uniforms).unwrap().parameters;
    set.set("n 3; on false; place [0.5, 0.5]").unwrap();
    // An int uniform takes it: whole numbers only, from then on.
    assert!(set.set("n 2.5").unwrap_err().to_string().contains("takes whole numbers"));
    for (parameters, uniforms, words) in [
        (three, "count = \"$m\", on = true, at = [0, 0]", "there is no parameter \"m\"; did you mean \"n\"?"),
        ("", "count = \"$m\", on = true, at = [0, 0]", "add [parameter.m] with default = …"),
        (three, "count = 1, on = true, at = \"$n\"", "$n has 1 numbers, vec2 at has 2"),
        (three, "count = \"n\", on = true, at = [0, 0]", "\"$NAME\" of a parameter"),
        ("[parameter.n]\ndefault = 1.5", "count = \"$n\", on = true, at = [0, 0]", "int count takes whole numbers"),
    ] {
        let Err(error) = plan(parameters, uniforms) else { panic!("{uniforms}") };
        assert!(error.contains(words), "{error}");
        assert!(error.starts_with(&folder.path("p.toml").display().to_string()), "no place: {error}");
    }
    let mut description = Description::parse("p.toml", TWO_PASSES).unwrap();
    assert!(description.set("levl=1").unwrap_err().to_string().contains("did you mean \"level\"?"));
    assert!(description.set("level=x").unwrap_err().to_string().contains("is no value"));
    description.set("level=3").unwrap();
    let error = darkframe::pipeline::parameters::ParameterSet::new(&description).unwrap_err().to_string();
    assert_eq!(error, "parameter.level.default: 3 is above max 1");
}
