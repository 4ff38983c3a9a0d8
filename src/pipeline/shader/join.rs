//! Several shaders made one: each text under names of its own, one after the other, values handed on between them.
//!
//! In: checked shaders and the names of what joins them. Out: a [`Shader`] whose lines still lead to the authors' files.
//! Not here: which shaders are joined (`plan::fuse`).

use std::collections::HashMap;

use super::tokens::{declared, renamed};
use super::{BUILT_IN, Declared, Entry, Shader, Version, without_comments, words};

/// One shader of several.
pub struct Part<'a> {
    /// The shader.
    pub shader: &'a Shader,
    /// Names of its inputs, and what is behind each.
    pub inputs: Vec<(&'a str, Joint)>,
    /// Its target has no alpha: who reads it gets 1.
    pub opaque: bool,
}

/// What is behind an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joint {
    /// A picture, under this name in the joined shader.
    Picture(String),
    /// The value of an earlier part, by index.
    Value(usize),
}

/// What is known of a joined text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined {
    /// Every part is repeatable.
    pub(super) repeatable: bool,
    /// Every part means the same in GLSL ES 3.00.
    pub(super) liftable: bool,
}

/// The name of part `index`'s `name` in a joined shader.
pub fn name_in(index: usize, name: &str) -> String {
    // Two underscores in a row are the compiler's.
    let joint = if name.starts_with('_') { "u" } else { "_" };
    format!("f{index}{joint}{name}")
}

impl Shader {
    /// The shader can be one of several in a text. Says no, with the reason, where it is not sure.
    pub fn can_be_joined(&self) -> Result<(), String> {
        if self.entry != Entry::Pixel {
            return Err("it has a main() of its own".into());
        }
        if !self.extensions.is_empty() {
            return Err("it asks for extensions".into());
        }
        if let Some(uniform) = self.uniforms.iter().find(|uniform| BUILT_IN.contains(&uniform.name.as_str())) {
            return Err(format!("it declares {} itself", uniform.name));
        }
        let plain = without_comments(&self.text);
        let words = words(&plain);
        let of_the_fragment = ["discard", "dFdx", "dFdy", "fwidth", "__LINE__", "__VERSION__", "DF_UNIT"];
        let is_special = |word: &&&str| {
            of_the_fragment.contains(word) || (word.starts_with("gl_") && **word != "gl_FragCoord") || {
                // Names that joining makes.
                word.strip_prefix('f').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            }
        };
        if let Some(word) = words.iter().find(is_special) {
            return Err(format!("it uses {word}"));
        }
        declared(&self.text).map(|_| ())
    }

    /// The text means the same in GLSL ES 3.00.
    pub fn is_liftable(&self) -> bool {
        self.version == Version::Es300
            || !words(&without_comments(&self.text)).iter().any(|w| super::NEW_IN_300.contains(w))
    }

    /// The text was put together, and is better drawn as GLSL ES 3.00 where there is such a thing.
    pub fn is_better_lifted(&self) -> bool {
        self.joined.is_some_and(|joined| joined.liftable)
    }

    /// Joins parts, each after those whose values it takes; the last one's colour is the result. Each part is one for
    /// which [`can_be_joined`](Shader::can_be_joined) holds.
    ///
    /// Between two parts a value is what an 8-bit target would have kept of it: within 0..1, to the nearest of 256.
    pub fn joined(parts: &[Part<'_>]) -> Result<Self, String> {
        let last = parts.last().ok_or("there is nothing to join")?;
        let newest = parts.iter().any(|part| part.shader.version == Version::Es300);
        let mut joined = Self {
            path: last.shader.path.clone(),
            version: if newest { Version::Es300 } else { Version::Es100 },
            version_is_given: true,
            entry: Entry::Pixel,
            uniforms: Vec::new(),
            text: String::new(),
            extensions: Vec::new(),
            on_texels: Vec::new(),
            files: Vec::new(),
            lines: Vec::new(),
            wgsl: None,
            joined: Some(Joined {
                repeatable: parts.iter().all(|part| part.shader.is_repeatable()),
                liftable: parts.iter().all(|part| part.shader.is_liftable()),
            }),
        };
        // A value as a target keeps it: to the nearest of 256, and the even one of two, as drivers do; where the version
        // has no word for it, only for drivers of which that is known.
        for line in [
            "#if __VERSION__ >= 300",
            "vec4 df_kept(vec4 c) { return roundEven(clamp(c, 0.0, 1.0) * 255.0) * (1.0 / 255.0); }",
            "#elif defined(DF_EVEN)",
            "vec4 df_kept(vec4 c) {",
            "    vec4 exact = clamp(c, 0.0, 1.0) * 255.0;",
            "    vec4 up = floor(exact + 0.5);",
            "    return (up - vec4(equal(up - exact, vec4(0.5))) * mod(up, 2.0)) * (1.0 / 255.0);",
            "}",
            "#else",
            "vec4 df_kept(vec4 c) { return floor(clamp(c, 0.0, 1.0) * 255.0 + 0.5) * (1.0 / 255.0); }",
            "#endif",
        ] {
            joined.push_own(line);
        }
        let mut body = String::from("vec4 pixel(vec2 uv) {");
        for (index, part) in parts.iter().enumerate() {
            let mut names: HashMap<String, String> = HashMap::new();
            for name in declared(&part.shader.text)? {
                let to = name_in(index, &name);
                names.insert(name, to);
            }
            for (input, joint) in &part.inputs {
                let size = format!("{input}_size");
                match joint {
                    Joint::Picture(name) => {
                        names.insert(size, format!("{name}_size"));
                        names.insert((*input).to_owned(), name.clone());
                    }
                    Joint::Value(from) => {
                        joined.push_own(&format!("vec4 {}() {{ return df_value{from}; }}", name_in(index, input)));
                        names.insert((*input).to_owned(), name_in(index, input));
                        // Both are the size of the one target.
                        names.insert(size, "resolution".into());
                    }
                }
            }
            joined.append_part(part.shader, &names);
            for uniform in &part.shader.uniforms {
                let name = names.get(&uniform.name).cloned().unwrap_or_else(|| uniform.name.clone());
                joined.uniforms.push(Declared { name, ..uniform.clone() });
            }
            let call = format!("{}(uv)", name_in(index, "pixel"));
            if index + 1 == parts.len() {
                body.push_str(&format!(" return {call}; }}"));
                break;
            }
            // The author may have set a precision for what follows.
            joined.push_own("precision DF_P float; precision highp int;");
            joined.push_own(&format!("vec4 df_value{index};"));
            let value = match part.opaque {
                true => format!("vec4(df_kept({call}).rgb, 1.0)"),
                false => format!("df_kept({call})"),
            };
            body.push_str(&format!(" df_value{index} = {value};"));
        }
        joined.push_own(&body);
        Ok(joined)
    }

    /// A line that no author wrote.
    fn push_own(&mut self, line: &str) {
        self.push_line(line, usize::MAX, 0);
    }

    fn append_part(&mut self, part: &Self, names: &HashMap<String, String>) {
        let first = self.files.len();
        self.files.extend(part.files.iter().cloned());
        self.text.push_str(&renamed(&part.text, names));
        self.lines.extend(part.lines.iter().map(|(file, line)| (file.saturating_add(first), *line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_shaders_keep_their_names_apart_and_their_lines() {
        let first = Shader::parse(
            "a.frag",
            "#define K 2.0\nuniform float gain;\nfloat f(float x) { return x * gain * K; }\nvec4 pixel(vec2 uv) { return f(source(uv).x) * source(); }\n",
        )
        .unwrap();
        let second = Shader::parse(
            "b.frag",
            "uniform float gain;\nvec4 f() { return blurred() * gain; }\nvec4 pixel(vec2 uv) { return f() - base() + time; }\n",
        )
        .unwrap();
        assert_eq!((first.can_be_joined(), second.can_be_joined()), (Ok(()), Ok(())));
        let parts = [
            Part { shader: &first, inputs: vec![("source", Joint::Picture("f0_source".into()))], opaque: false },
            Part {
                shader: &second,
                inputs: vec![("base", Joint::Picture("f0_source".into())), ("blurred", Joint::Value(0))],
                opaque: false,
            },
        ];
        let joined = Shader::joined(&parts).unwrap();
        let names: Vec<_> = joined.uniforms.iter().map(|uniform| uniform.name.as_str()).collect();
        assert_eq!(names, ["f0_gain", "f1_gain"]);
        for line in [
            "float f0_f(float x) { return x * f0_gain * f0_K; }",
            "vec4 f1_f() { return f1_blurred() * f1_gain; }",
            "vec4 f1_pixel(vec2 uv) { return f1_f() - f0_source() + time; }",
        ] {
            let number =
                joined.text.lines().position(|found| found == line).unwrap_or_else(|| panic!("{}", joined.text));
            let place = joined.place(number).unwrap();
            assert_eq!(
                place.line_column().0,
                if line.contains("f0_f") { 3 } else { 2 + usize::from(line.contains("pixel")) }
            );
        }
        assert!(joined.place(0).is_none());
        assert!(joined.is_repeatable() && !joined.is_pointwise("f0_source"));
    }

    #[test]
    fn what_cannot_be_joined_is_said() {
        let why = |text: &str| Shader::parse("a.frag", text).unwrap().can_be_joined().unwrap_err();
        let pixel = "vec4 pixel(vec2 uv) { return vec4(1.0); }\n";
        assert!(why("void main() {}").contains("main()"));
        assert!(why(&format!("#extension all : enable\n{pixel}")).contains("extensions"));
        assert!(why(&format!("uniform float time;\n{pixel}")).contains("time"));
        assert!(why("vec4 pixel(vec2 uv) { discard; }").contains("discard"));
        assert!(why(&format!("float f0_x;\n{pixel}")).contains("f0_x"));
        assert!(why(&format!("varying vec2 at;\n{pixel}")).contains("varying"));
        let old =
            Shader::parse("a.frag", "float round(float x) { return x; }\nvec4 pixel(vec2 uv) { return vec4(1.0); }");
        assert!(!old.unwrap().is_liftable());
    }
}
