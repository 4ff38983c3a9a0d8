//! Whether a shader reads an input in the middle of its pixels only: `uv` and whole pixels beside it.
//!
//! In: a text, and what is known of its uniforms. Out: yes where it can be shown. Not here: what follows (`pass`).
//!
//! An expression is followed through `+ - * /`, brackets, constructors and local variables that are set once. What else
//! there is, is not known to be whole, and then the answer is no.

use std::collections::HashMap;

use super::tokens::{Token, TokenKind, tokens};

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// Whole numbers.
    Whole,
    /// The size of the input, which is that of the target.
    Size,
    /// Whole numbers of pixels, as parts of the picture.
    Pixels,
    /// The middle of a pixel.
    Middle,
    Unknown,
}

use Value::{Middle, Pixels, Size, Unknown, Whole};

/// Shows that every read of `input` (whose size is that of the target) is at the middle of a pixel. `is_whole` says of
/// a uniform whether its numbers are, and stay, whole.
pub fn reads_middles(text: &str, input: &str, is_whole: impl Fn(&str) -> bool) -> bool {
    let all = tokens(text);
    let word = |token: &Token| &text[token.range.clone()];
    // What a macro makes of names, and what a function does to its arguments, is not followed.
    if all.iter().any(|token| matches!(word(token), "define" | "out" | "inout")) {
        return false;
    }
    let code: Vec<(&str, TokenKind)> =
        all.iter().filter(|token| !token.directive).map(|token| (word(token), token.kind)).collect();
    let mut globals = HashMap::from([("resolution", Size)]);
    let size = format!("{input}_size");
    globals.insert(&size, Size);
    let mut at = 0;
    while at < code.len() {
        // Outside of functions: uniforms, constants, and functions with their bodies.
        match code[at].0 {
            "uniform" => {
                while at < code.len() && code[at].0 != ";" {
                    at += 1;
                    if let Some((name, TokenKind::Word)) = code.get(at).copied()
                        && is_whole(name)
                    {
                        globals.insert(name, Whole);
                    }
                }
            }
            "{" => {
                let end = closing(&code, at);
                let head = code[..at].iter().rposition(|(word, _)| matches!(*word, ";" | "}")).map_or(0, |end| end + 1);
                if !function(&code[head..at], &code[at..end], &globals, input) {
                    return false;
                }
                at = end;
            }
            "const" => {
                let end = code[at..].iter().position(|(word, _)| *word == ";").map_or(code.len(), |end| at + end);
                locals(&code[at..end + 1.min(code.len() - end)], &mut globals);
                at = end;
            }
            word if word == input => return false,
            _ => at += 1,
        }
    }
    true
}

type Code<'a> = [(&'a str, TokenKind)];

/// Behind the bracket that closes the one at `open`.
fn closing(code: &Code<'_>, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, (word, _)) in code.iter().enumerate().skip(open) {
        match *word {
            "(" | "{" | "[" => depth += 1,
            ")" | "}" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn function<'a>(head: &Code<'a>, body: &Code<'a>, globals: &HashMap<&'a str, Value>, input: &str) -> bool {
    let mut known = globals.clone();
    let parameters = head.iter().position(|(word, _)| *word == "(").unwrap_or(head.len());
    // Of another number of parameters, it is another function of that name.
    let is_entry = parameters > 0 && is_entry(head[parameters - 1].0) && !head.contains(&(",", TokenKind::Symbol));
    for window in head.get(parameters..).unwrap_or_default().windows(2) {
        let [(_, kind), (next, _)] = window else { continue };
        if *kind == TokenKind::Word && matches!(*next, "," | ")") {
            known.insert(window[0].0, if is_entry { Middle } else { Unknown });
        }
    }
    // A parameter that is set is no place that is known.
    for (name, _) in head.get(parameters..).unwrap_or_default().iter().filter(|(_, kind)| *kind == TokenKind::Word) {
        if assignments(body, name) > 0 {
            known.insert(name, Unknown);
        }
    }
    locals(body, &mut known);
    let mut at = 0;
    while at < body.len() {
        if body[at].0 == input {
            let end = closing(body, at + 1);
            if body.get(at + 1).is_none_or(|(word, _)| *word != "(") {
                return false;
            }
            let argument = &body[at + 2..end.saturating_sub(1).max(at + 2)];
            if !argument.is_empty() && value(argument, &known) != Middle {
                return false;
            }
        }
        at += 1;
    }
    true
}

/// `pixel`, or that of a part of a joined shader.
fn is_entry(name: &str) -> bool {
    let part = name.strip_prefix('f').and_then(|rest| rest.strip_suffix("_pixel"));
    name == "pixel" || part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How often a name is given a value, its declaration included.
fn assignments(code: &Code<'_>, name: &str) -> usize {
    let is = |at: usize, wanted: &[&str]| code.get(at).is_some_and(|(word, _)| wanted.contains(word));
    (0..code.len())
        .filter(|at| code[*at].0 == name)
        .filter(|&at| {
            let mut next = at + 1;
            while is(next, &["."]) || is(next, &["["]) {
                next = if is(next, &["."]) { next + 2 } else { closing(code, next) };
            }
            let compound = is(next, &["+", "-", "*", "/"]) && is(next + 1, &["="]);
            let stepped = (is(next, &["+"]) && is(next + 1, &["+"])) || (is(next, &["-"]) && is(next + 1, &["-"]));
            let before =
                at > 1 && ((is(at - 1, &["+"]) && is(at - 2, &["+"])) || (is(at - 1, &["-"]) && is(at - 2, &["-"])));
            let set = is(next, &["="]) && !is(next + 1, &["="]);
            set || compound || stepped || before
        })
        .count()
}

/// Adds what is known of the variables that `code` declares with a value.
fn locals<'a>(code: &Code<'a>, known: &mut HashMap<&'a str, Value>) {
    let mut seen: Vec<&str> = Vec::new();
    for at in 0..code.len().saturating_sub(2) {
        let [(kind, _), (name, name_kind), (sign, _)] = [code[at], code[at + 1], code[at + 2]];
        let is_type = matches!(kind, "float" | "int" | "uint" | "vec2" | "ivec2" | "vec3" | "vec4" | "bool");
        if !is_type || name_kind != TokenKind::Word {
            continue;
        }
        let twice = seen.contains(&name);
        seen.push(name);
        let found = match (kind, sign) {
            ("int" | "ivec2" | "uint", _) if !twice || known.get(name) == Some(&Whole) => Whole,
            (_, "=") if !twice && assignments(code, name) == 1 => {
                let start = at + 3;
                let mut end = start;
                while end < code.len() && !matches!(code[end].0, ";" | ",") {
                    end = if matches!(code[end].0, "(" | "[" | "{") { closing(code, end) } else { end + 1 };
                }
                value(&code[start..end.min(code.len())], known)
            }
            _ => Unknown,
        };
        known.insert(name, found);
    }
}

/// What is known of an expression.
fn value(code: &Code<'_>, known: &HashMap<&str, Value>) -> Value {
    let mut reader = Reader { code, at: 0, known };
    let value = reader.sum();
    if reader.at == code.len() { value } else { Unknown }
}

struct Reader<'a> {
    code: &'a Code<'a>,
    at: usize,
    known: &'a HashMap<&'a str, Value>,
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        self.code.get(self.at).map_or("", |(word, _)| word)
    }

    fn sum(&mut self) -> Value {
        let mut value = self.product();
        while matches!(self.peek(), "+" | "-") {
            let minus = self.peek() == "-";
            self.at += 1;
            value = match (value, self.product()) {
                (Whole, Whole) => Whole,
                (Pixels, Pixels) => Pixels,
                (Middle, Pixels) => Middle,
                (Pixels, Middle) if !minus => Middle,
                _ => Unknown,
            };
        }
        value
    }

    fn product(&mut self) -> Value {
        let mut value = self.factor();
        while matches!(self.peek(), "*" | "/") {
            let divides = self.peek() == "/";
            self.at += 1;
            value = match (value, self.factor(), divides) {
                (Whole, Whole, false) => Whole,
                (Whole, Size, true) => Pixels,
                (Whole, Pixels, false) | (Pixels, Whole, false) => Pixels,
                _ => Unknown,
            };
        }
        value
    }

    fn factor(&mut self) -> Value {
        let Some((word, kind)) = self.code.get(self.at).copied() else { return Unknown };
        let start = self.at;
        self.at += 1;
        let value = match (word, kind) {
            ("-" | "+", _) => {
                return match self.factor() {
                    value @ (Whole | Pixels) => value,
                    _ => Unknown,
                };
            }
            ("(", _) => {
                let end = closing(self.code, start);
                self.at = end;
                value(&self.code[start + 1..end.saturating_sub(1).max(start + 1)], self.known)
            }
            (number, TokenKind::Number) => {
                let number = number.trim_end_matches(['f', 'F', 'u', 'U']).parse::<f64>();
                if number.is_ok_and(|number| number.fract() == 0.0) { Whole } else { Unknown }
            }
            (name, TokenKind::Word) if self.peek() == "(" => {
                let end = closing(self.code, self.at);
                let arguments = &self.code[self.at + 1..end.saturating_sub(1).max(self.at + 1)];
                self.at = end;
                let kept = matches!(name, "float" | "int" | "vec2" | "ivec2");
                let mut parts = split(arguments).into_iter().map(|part| value(part, self.known));
                match (kept, name == "vec2" && split(arguments).len() == 1) {
                    // Of one vector: the same vector.
                    (true, true) => parts.next().unwrap_or(Unknown),
                    (true, false) if parts.all(|part| part == Whole) => Whole,
                    _ => Unknown,
                }
            }
            (name, TokenKind::Word) => self.known.get(name).copied().unwrap_or(Unknown),
            _ => Unknown,
        };
        // A component of whole numbers is one; of anything else it has lost its direction.
        if self.peek() == "." {
            self.at += 2;
            return if value == Whole { Whole } else { Unknown };
        }
        value
    }
}

/// Arguments at the commas outside of brackets.
fn split<'a, 'b>(code: &'b Code<'a>) -> Vec<&'b Code<'a>> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < code.len() {
        match code[at].0 {
            "(" | "[" | "{" => at = closing(code, at),
            "," => {
                parts.push(&code[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    parts.push(&code[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> bool {
        reads_middles(text, "a", |uniform| uniform == "direction")
    }

    fn in_pixel(body: &str) -> bool {
        reads(&format!(
            "uniform vec2 direction, other;\nconst float two = 2.0, half_one = 0.5;\nvec4 pixel(vec2 uv) {{ {body} }}\n"
        ))
    }

    #[test]
    fn whole_pixels_are_shown() {
        for body in [
            "return a();",
            "return a(uv);",
            "vec2 one = direction / a_size; return a(uv - one) + a(uv + 4.0 * one) + a(uv - two * one);",
            "return a(uv + vec2(1.0, -2.0) / resolution);",
            "vec4 s = vec4(0.0); for (int i = -4; i <= 4; i++) { s += a(uv + float(i) * direction / a_size); } return s;",
            "vec2 at = uv + (vec2(3, 0) - direction) / a_size; return a(at) * 0.5;",
            "return a(uv + direction.x * (vec2(0.0, 1.0) / a_size));",
        ] {
            assert!(in_pixel(body), "{body}");
        }
        let blur = include_str!("../../../shaders/blur.frag").replace("#include \"gaussian.glsl\"", "");
        let blur = blur.replace("source", "a").replace("GAUSSIAN", "const");
        assert!(reads(&blur));
        assert!(reads("vec4 f0_pixel(vec2 uv) { return a(uv); } vec4 pixel(vec2 uv) { return f0_pixel(uv); }"));
    }

    #[test]
    fn anything_else_is_not() {
        for body in [
            "return a(uv * 0.5);",
            "return a(uv + 0.5 / a_size);",
            "return a(uv + half_one * direction / a_size);",
            "return a(uv + other / a_size);",
            "return a(uv + direction);",
            "return a(direction / a_size);",
            "return a(uv + 1.0 / a_size.x);",
            "return a(uv.yx);",
            "return a(clamp(uv, 0.0, 1.0));",
            "vec2 one = direction / a_size; one *= 0.5; return a(uv + one);",
            "vec2 one = direction / a_size; one.x = 0.1; return a(uv + one);",
            "float k = 1.0; for (int i = 0; i < 3; i++) { k += 0.5; } return a(uv + k * direction / a_size);",
            "vec2 at = uv; { vec2 at = uv * 0.5; return a(at); }",
            "uv = uv * 0.3; return a(uv);",
            "vec2 one = direction / b_size; return a(uv + one);",
            "return a(uv + direction / a_size / 2.0);",
            "return a(uv + (1 / 2) * direction / a_size);",
            "return a;",
        ] {
            assert!(!in_pixel(body), "{body}");
        }
        assert!(!reads("#define A a\nvec4 pixel(vec2 uv) { return A(uv); }"));
        assert!(!reads("vec4 f(vec2 uv) { return a(uv); } vec4 pixel(vec2 uv) { return f(uv * 0.5); }"));
        assert!(!reads("void move(inout vec2 x) {} vec4 pixel(vec2 uv) { move(uv); return a(uv); }"));
        assert!(!reads("vec4 pixel(vec2 at, vec2 uv) { return a(at); }"));
    }
}
