//! What a pipeline asks of a GPU that is not here: the rules of a board file held against shaders and sizes.
//!
//! In: a plan, not fused, and [`Limits`]. Out: every place that the GPU cannot do, in the author's file and line.
//! Not here: compiling (`runner::compile`); drivers accept what their processor computes in another precision, so that
//! these things have to be known by rule.

use std::collections::BTreeSet;

use super::faults::Faults;
use super::plan::Plan;
use super::shader::tokens::{Token, TokenKind, tokens};
use super::shader::{Shader, Version};
use crate::board::Limits;
use crate::error::{Error, ErrorKind, Span};

/// GLSL ES 1.00 wants 16 bits of mantissa of a `highp` (4.5.2).
const HIGHP_BITS: u32 = 16;

/// Adds what `plan` asks beyond `limits`. `board` is for the words.
pub fn check(plan: &Plan, board: &str, limits: &Limits, faults: &mut Faults) {
    for (index, shader) in plan.shaders.iter().enumerate() {
        let pass = &plan.graph.passes[index].name;
        if let Some(max) = limits.max_texture_size {
            let size = plan.sizes[index];
            if size.width > max || size.height > max {
                let detail = format!("pass \"{pass}\" draws {size}, textures end at {max}x{max} there");
                faults.add(Error::new(ErrorKind::Unsupported, board_op(board), detail));
            }
        }
        // What is written in WGSL is no matter of OpenGL ES.
        if let Some(shader) = shader.as_deref().filter(|shader| shader.version != Version::Wgsl) {
            Look { shader, board, limits, tokens: tokens(&shader.text) }.all(faults);
        }
    }
    for (index, info) in plan.infos.iter().enumerate() {
        if let Some(max) = limits.max_texture_size
            && (info.size.width > max || info.size.height > max)
        {
            let source = &plan.graph.sources[index];
            let detail = format!("source \"{source}\" is {}, textures end at {max}x{max} there", info.size);
            faults.add(Error::new(ErrorKind::Unsupported, board_op(board), detail));
        }
    }
}

fn board_op(board: &str) -> String {
    format!("board {board}")
}

struct Look<'a> {
    shader: &'a Shader,
    board: &'a str,
    limits: &'a Limits,
    tokens: Vec<Token>,
}

impl Look<'_> {
    fn all(&self, faults: &mut Faults) {
        let is_es2 = self.limits.gles.as_deref().is_some_and(|version| version.starts_with('2'));
        if is_es2 && self.shader.version == Version::Es300 {
            let span = self.shader.place(0).map(|span| Span::new(span.path, span.text, 0..0));
            self.add(faults, span, "GLSL ES 3.00, and the board has OpenGL ES 2.0", "write the shader in GLSL ES 1.00");
        }
        if let Some(version) = self.limits.gles.as_deref().filter(|_| self.shader.version == Version::Es310)
            && matches!(version, "2.0" | "3.0")
        {
            let span = self.shader.place(0).map(|span| Span::new(span.path, span.text, 0..0));
            let detail = format!("a compute shader, and the board has OpenGL ES {version}");
            self.add(faults, span, &detail, "write a fragment shader, or ask for a board with OpenGL ES 3.1");
        }
        let bits = self.limits.fragment_mantissa_bits;
        if let Some(bits) = bits.filter(|bits| *bits < HIGHP_BITS) {
            for index in self.words(&["highp"]) {
                if self.is_guarded(index) {
                    continue;
                }
                let detail = format!("highp: its fragment processors have {bits} bits of mantissa, and no highp");
                let hint = "leave the precision out (the prelude sets the best there is), or put it between \
                            #ifdef GL_FRAGMENT_PRECISION_HIGH and #endif";
                self.add(faults, self.span(index), &detail, hint);
            }
        }
        if self.limits.derivatives == Some(false) {
            for index in self.words(&["dFdx", "dFdy", "fwidth", "GL_OES_standard_derivatives"]) {
                let detail = format!("{}: there are no derivatives", self.text(index));
                self.add(faults, self.span(index), &detail, "sample the neighbours and subtract");
            }
        }
        if self.limits.dynamic_loops == Some(false) {
            self.loops(faults);
        }
        self.uniforms(faults);
    }

    /// GLSL ES 1.00, appendix A: a loop's count is known when the shader is compiled.
    fn loops(&self, faults: &mut Faults) {
        let hint = "count to a constant and leave the loop with `if (…) break;`";
        for index in self.words(&["while", "do"]) {
            let detail = format!("{}: the number of rounds is not known before", self.text(index));
            self.add(faults, self.span(index), &detail, hint);
        }
        let constants = self.constants();
        for index in self.words(&["for"]) {
            let Some((variable, condition)) = self.for_head(index) else { continue };
            let unknown = condition.iter().copied().find(|&at| {
                let text = self.text(at);
                self.tokens[at].kind == TokenKind::Word
                    && text != variable
                    && !constants.contains(text)
                    && !matches!(text, "int" | "float" | "true" | "false")
            });
            if let Some(at) = unknown {
                let detail = format!("the loop ends at {}, which is not known before", self.text(at));
                self.add(faults, self.span(at), &detail, hint);
            }
        }
    }

    /// The loop's variable, and the tokens of its condition.
    fn for_head(&self, index: usize) -> Option<(&str, Vec<usize>)> {
        let mut depth = 0;
        let (mut part, mut variable, mut condition) = (0, "", Vec::new());
        for at in index + 1..self.tokens.len() {
            match self.text(at) {
                "(" => depth += 1,
                ")" => {
                    depth -= 1;
                    if depth == 0 {
                        return Some((variable, condition));
                    }
                }
                ";" if depth == 1 => part += 1,
                "=" if part == 0 && variable.is_empty() => variable = self.text(at - 1),
                _ if part == 1 => condition.push(at),
                _ => {}
            }
        }
        None
    }

    /// Names that the text declares `const` or defines.
    fn constants(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for at in 0..self.tokens.len() {
            match self.text(at) {
                // `const mediump int N = 3`: the name stands before the sign.
                "const" => {
                    let equals = (at..self.tokens.len().min(at + 6)).find(|&at| matches!(self.text(at), "=" | "["));
                    names.extend(equals.map(|equals| self.text(equals - 1)));
                }
                "define" if self.tokens[at].directive => {
                    names.extend(self.tokens.get(at + 1).map(|_| self.text(at + 1)))
                }
                _ => {}
            }
        }
        names
    }

    fn uniforms(&self, faults: &mut Faults) {
        if let Some(max) = self.limits.max_fragment_uniform_vectors {
            let vectors = |name: &super::shader::Declared| match name.kind.as_str() {
                "mat2" => 2,
                "mat3" => 3,
                "mat4" => 4,
                _ if name.is_sampler() => 0,
                _ => 1,
            };
            let used: usize = self.shader.uniforms.iter().map(|name| vectors(name) * name.elements).sum();
            if used > max as usize {
                let largest = self.shader.uniforms.iter().max_by_key(|name| vectors(name) * name.elements);
                let span = largest.and_then(|name| self.shader.find_words(&name.name));
                let detail = format!("uniforms of {used} vectors; a fragment shader has {max} there");
                self.add(faults, span, &detail, "pack numbers into vec4, or read tables from a texture");
            }
        }
        if let Some(max) = self.limits.max_texture_units {
            let textures = self.shader.uniforms.iter().filter(|name| name.is_sampler()).count();
            if textures > max as usize {
                let detail = format!("{textures} textures; a fragment shader has {max} there");
                self.add(faults, None, &detail, "split the pass in two");
            }
        }
    }

    fn words(&self, wanted: &[&str]) -> Vec<usize> {
        let fits = |at: &usize| self.tokens[*at].kind == TokenKind::Word && wanted.contains(&self.text(*at));
        (0..self.tokens.len()).filter(fits).collect()
    }

    fn text(&self, at: usize) -> &str {
        &self.shader.text[self.tokens[at].range.clone()]
    }

    /// Inside `#ifdef GL_FRAGMENT_PRECISION_HIGH`, before its `#else`.
    fn is_guarded(&self, index: usize) -> bool {
        let mut open: Vec<bool> = Vec::new();
        for at in 0..index {
            if !self.tokens[at].directive || at == 0 || self.text(at - 1) != "#" {
                continue;
            }
            let line_has = |word: &str| {
                let end = self.shader.text[self.tokens[at].range.end..].find('\n');
                let rest = &self.shader.text[self.tokens[at].range.end..];
                rest[..end.unwrap_or(rest.len())].contains(word)
            };
            match self.text(at) {
                "ifdef" | "if" => open.push(line_has("GL_FRAGMENT_PRECISION_HIGH")),
                "ifndef" => open.push(false),
                "else" | "elif" => {
                    if let Some(last) = open.last_mut() {
                        *last = false;
                    }
                }
                "endif" => {
                    open.pop();
                }
                _ => {}
            }
        }
        open.contains(&true)
    }

    /// The token in the author's file.
    fn span(&self, at: usize) -> Option<Span> {
        let range = self.tokens[at].range.clone();
        let line = self.shader.text[..range.start].matches('\n').count();
        let span = self.shader.place(line)?;
        let word = self.text(at);
        // The line is the author's, and the place begins behind its indent.
        let line_start = self.shader.text[..range.start].rfind('\n').map_or(0, |end| end + 1);
        let before = &self.shader.text[line_start..range.start];
        let start = span.start + before.trim_start().len();
        Some(Span::new(span.path.clone(), span.text.clone(), start..start + word.len()))
    }

    fn add(&self, faults: &mut Faults, span: Option<Span>, detail: &str, hint: &str) {
        let error = Error::new(ErrorKind::Shader, board_op(self.board), detail).with_hint(hint);
        faults.add(match span {
            Some(span) => error.with_span(span),
            None => error.in_context(self.shader.path.display()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mali_400() -> Limits {
        Limits {
            gles: Some("2.0".into()),
            max_fragment_uniform_vectors: Some(4),
            max_texture_units: Some(2),
            fragment_mantissa_bits: Some(10),
            derivatives: Some(false),
            dynamic_loops: Some(false),
            ..Limits::default()
        }
    }

    /// Line, column and words of everything that is wrong with a text.
    fn wrong(text: &str) -> Vec<(usize, usize, String)> {
        let shader = Shader::parse("a.frag", text).unwrap();
        let limits = mali_400();
        let mut faults = Faults::default();
        Look { shader: &shader, board: "b", limits: &limits, tokens: tokens(&shader.text) }.all(&mut faults);
        let Err(first) = faults.into_result() else { return Vec::new() };
        let (first, others) = first.apart();
        std::iter::once(first)
            .chain(others)
            .map(|error| {
                let (line, column) = error.span().map_or((0, 0), Span::line_column);
                (line, column, error.detail().to_owned())
            })
            .collect()
    }

    const PIXEL: &str = "vec4 pixel(vec2 uv) { return vec4(uv, 0.0, 1.0); }\n";

    #[test]
    fn highp_is_wrong_unless_it_is_asked_for() {
        let found = wrong(&format!("// highp is fine here\nuniform highp vec2 a;\n{PIXEL}"));
        assert_eq!((found.len(), found[0].0, found[0].1), (1, 2, 9), "{found:?}");
        let guarded =
            "#ifdef GL_FRAGMENT_PRECISION_HIGH\nprecision highp float;\n#else\nprecision mediump float;\n#endif\n";
        assert_eq!(wrong(&format!("{guarded}{PIXEL}")), []);
        let other = "#ifdef SOMETHING\nprecision highp float;\n#endif\n";
        assert_eq!(wrong(&format!("{other}{PIXEL}")).len(), 1);
    }

    #[test]
    fn loops_must_be_counted_before() {
        let body = |head: &str| {
            format!(
                "uniform int n;\nconst int M = 4;\n#define K 3\nvec4 pixel(vec2 uv) {{\n    vec4 sum = vec4(0.0);\n    {head} sum += vec4(uv, 0.0, 1.0);\n    return sum;\n}}\n"
            )
        };
        for fine in ["for (int i = 0; i < 4; i++)", "for (int i = -M; i <= M; i++)", "for (int i = 0; i < K; ++i)"] {
            assert_eq!(wrong(&body(fine)), [], "{fine}");
        }
        let found = wrong(&body("for (int i = 0; i < n; i++)"));
        assert_eq!((found.len(), found[0].0), (1, 6), "{found:?}");
        assert!(found[0].2.contains("ends at n"), "{found:?}");
        let found = wrong(&body("while (sum.x < 1.0)"));
        assert_eq!((found[0].0, found[0].1), (6, 5), "{found:?}");
    }

    #[test]
    fn compute_shaders_need_a_newer_version() {
        let folder = std::env::temp_dir().join(format!("darkframe-limits-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.comp"), "void main() {}\n").unwrap();
        let shader = Shader::open_compute(&folder.join("a.comp")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        for (gles, is_wrong) in [("2.0", true), ("3.0", true), ("3.1", false), ("3.2", false)] {
            let limits = Limits { gles: Some(gles.into()), ..Limits::default() };
            let mut faults = Faults::default();
            Look { shader: &shader, board: "b", limits: &limits, tokens: tokens(&shader.text) }.all(&mut faults);
            let found = faults.into_result().err().map(|error| error.to_string());
            assert_eq!(found.is_some(), is_wrong, "{gles}: {found:?}");
            assert!(found.is_none_or(|error| error.contains("a.comp:1:1") && error.contains("compute shader")));
        }
    }

    #[test]
    fn derivatives_uniforms_and_textures_are_counted() {
        let found = wrong("vec4 pixel(vec2 uv) { return vec4(fwidth(uv), 0.0, 1.0); }\n");
        assert!(found[0].2.contains("derivatives"), "{found:?}");
        let found = wrong(&format!("uniform vec4 a[4];\nuniform mat3 m;\n{PIXEL}"));
        assert!(found[0].2.contains("7 vectors") && found[0].0 == 1, "{found:?}");
        let found = wrong(&format!("uniform sampler2D a;\nuniform sampler2D b;\nuniform sampler2D c;\n{PIXEL}"));
        assert!(found[0].2.contains("3 textures"), "{found:?}");
    }
}
