//! Whether a shader reads an input in the middle of its pixels only: `uv` and whole pixels beside it.
//!
//! In: a text, and what is known of its uniforms. Out: every read and, where it is known, which pixel that is; nothing
//! where one of them may be elsewhere. Not here: what follows (`pass`, `plan`).
//!
//! An expression is followed through `+ - * /`, brackets, constructors and local variables that are set once. What else
//! there is, is not known to be whole, and then the answer is no.

use std::collections::HashMap;
use std::ops::Range;

use super::tokens::{Token, TokenKind, tokens};

/// Two whole numbers; of a single number, twice that. `None` where they are not known.
type Numbers = Option<[f64; 2]>;

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    /// Whole numbers.
    Whole(Numbers),
    /// The size of the input, which is that of the target.
    Size,
    /// Whole numbers of pixels, as parts of the picture.
    Pixels(Numbers),
    /// The middle of the pixel so many away.
    Middle(Numbers),
    Unknown,
}

/// One read of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where in the text the call is.
    pub call: Range<usize>,
    /// It is of this very pixel, and names no place.
    pub is_bare: bool,
    /// Columns and rows from the own pixel to the one that is read, where they are known.
    pub offset: Option<[i32; 2]>,
}

/// The farthest pixel of which it is said how far it is.
const FAR: f64 = 64.0;

use Value::{Middle, Pixels, Size, Unknown, Whole};

/// Every read of `input` (whose size is that of the target), where each is shown to be at the middle of a pixel. `whole`
/// gives the numbers of a uniform that are, and stay, whole.
pub fn reads(text: &str, input: &str, whole: impl Fn(&str) -> Option<Vec<f64>>) -> Option<Vec<Read>> {
    let all = tokens(text);
    let word = |token: &Token| &text[token.range.clone()];
    // What a macro makes of names, and what a function does to its arguments, is not followed.
    if all.iter().any(|token| matches!(word(token), "define" | "out" | "inout")) {
        return None;
    }
    let code: Vec<(&str, TokenKind)> =
        all.iter().filter(|token| !token.directive).map(|token| (word(token), token.kind)).collect();
    let mut globals = HashMap::from([("resolution", Size)]);
    let size = format!("{input}_size");
    globals.insert(&size, Size);
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        // Outside of functions: uniforms, constants, and functions with their bodies.
        match code[at].0 {
            "uniform" => {
                while at < code.len() && code[at].0 != ";" {
                    at += 1;
                    if let Some((name, TokenKind::Word)) = code.get(at).copied()
                        && let Some(numbers) = whole(name)
                    {
                        globals.insert(name, Whole(pair(&numbers)));
                    }
                }
            }
            "{" => {
                let end = closing(&code, at);
                let head = code[..at].iter().rposition(|(word, _)| matches!(*word, ";" | "}")).map_or(0, |end| end + 1);
                for (call, argument) in function(&code[head..at], &code[at..end], &globals, input)? {
                    // Words are parts of the text.
                    let start = code[at + call.start].0.as_ptr() as usize - text.as_ptr() as usize;
                    let last = code[at + call.end - 1].0;
                    let end = last.as_ptr() as usize + last.len() - text.as_ptr() as usize;
                    let whole = |number: f64| (number.abs() <= FAR).then_some(number as i32);
                    let offset = argument.map_or(Some([0.0; 2]), |numbers| numbers);
                    let offset = offset.and_then(|[x, y]| Some([whole(x)?, whole(y)?]));
                    found.push(Read { call: start..end, is_bare: argument.is_none(), offset });
                }
                at = end;
            }
            "const" => {
                let end = code[at..].iter().position(|(word, _)| *word == ";").map_or(code.len(), |end| at + end);
                locals(&code[at..end + 1.min(code.len() - end)], &mut globals);
                at = end;
            }
            word if word == input => return None,
            _ => at += 1,
        }
    }
    Some(found)
}

/// The numbers of a uniform of one or two.
fn pair(numbers: &[f64]) -> Numbers {
    match *numbers {
        [number] => Some([number; 2]),
        [x, y] => Some([x, y]),
        _ => None,
    }
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

/// The reads of `input` in a function: words of the body, and how far the pixel is, where a place is named.
fn function<'a>(
    head: &Code<'a>,
    body: &Code<'a>,
    globals: &HashMap<&'a str, Value>,
    input: &str,
) -> Option<Vec<(Range<usize>, Option<Numbers>)>> {
    let mut known = globals.clone();
    let parameters = head.iter().position(|(word, _)| *word == "(").unwrap_or(head.len());
    // Of another number of parameters, it is another function of that name.
    let is_entry = parameters > 0 && is_entry(head[parameters - 1].0) && !head.contains(&(",", TokenKind::Symbol));
    for window in head.get(parameters..).unwrap_or_default().windows(2) {
        let [(_, kind), (next, _)] = window else { continue };
        if *kind == TokenKind::Word && matches!(*next, "," | ")") {
            known.insert(window[0].0, if is_entry { Middle(Some([0.0; 2])) } else { Unknown });
        }
    }
    // A parameter that is set is no place that is known.
    for (name, _) in head.get(parameters..).unwrap_or_default().iter().filter(|(_, kind)| *kind == TokenKind::Word) {
        if assignments(body, name) > 0 {
            known.insert(name, Unknown);
        }
    }
    locals(body, &mut known);
    let mut found = Vec::new();
    for at in (0..body.len()).filter(|at| body[*at].0 == input) {
        let end = closing(body, at + 1);
        if body.get(at + 1).is_none_or(|(word, _)| *word != "(") {
            return None;
        }
        let argument = &body[at + 2..end.saturating_sub(1).max(at + 2)];
        let place = match argument.is_empty() {
            true => None,
            false => match value(argument, &known) {
                Middle(numbers) => Some(numbers),
                _ => return None,
            },
        };
        found.push((at..end, place));
    }
    Some(found)
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
            ("int" | "ivec2" | "uint", _) if !twice || matches!(known.get(name), Some(Whole(_))) => Whole(None),
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
            let sum = |a, b| both(a, b, |a, b| if minus { a - b } else { a + b });
            value = match (value, self.product()) {
                (Whole(a), Whole(b)) => Whole(sum(a, b)),
                (Pixels(a), Pixels(b)) => Pixels(sum(a, b)),
                (Middle(a), Pixels(b)) => Middle(sum(a, b)),
                (Pixels(a), Middle(b)) if !minus => Middle(sum(a, b)),
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
                (Whole(a), Whole(b), false) => Whole(both(a, b, |a, b| a * b)),
                (Whole(numbers), Size, true) => Pixels(numbers),
                (Whole(a), Pixels(b), false) | (Pixels(a), Whole(b), false) => Pixels(both(a, b, |a, b| a * b)),
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
                let turned = |numbers: Numbers| numbers.map(|both| both.map(|n| if word == "-" { -n } else { n }));
                return match self.factor() {
                    Whole(numbers) => Whole(turned(numbers)),
                    Pixels(numbers) => Pixels(turned(numbers)),
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
                number.ok().filter(|number| number.fract() == 0.0).map_or(Unknown, |number| Whole(Some([number; 2])))
            }
            (name, TokenKind::Word) if self.peek() == "(" => {
                let end = closing(self.code, self.at);
                let arguments = &self.code[self.at + 1..end.saturating_sub(1).max(self.at + 1)];
                self.at = end;
                let kept = matches!(name, "float" | "int" | "vec2" | "ivec2");
                let parts: Vec<Value> = split(arguments).into_iter().map(|part| value(part, self.known)).collect();
                match (kept, name, parts.as_slice()) {
                    // Of one vector: the same vector.
                    (true, "vec2", [part]) => *part,
                    (true, _, [Whole(numbers)]) => Whole(*numbers),
                    // A vector among them would be one too many.
                    (true, _, [Whole(x), Whole(y)]) => Whole(x.zip(*y).map(|(x, y)| [x[0], y[0]])),
                    (true, _, parts) if parts.iter().all(|part| matches!(part, Whole(_))) => Whole(None),
                    _ => Unknown,
                }
            }
            (name, TokenKind::Word) => self.known.get(name).copied().unwrap_or(Unknown),
            _ => Unknown,
        };
        // A component of whole numbers is one; of anything else it has lost its direction.
        if self.peek() == "." {
            let part = self.code.get(self.at + 1).map_or("", |(word, _)| word);
            self.at += 2;
            return match (value, part) {
                (Whole(numbers), "x" | "r" | "s") => Whole(numbers.map(|[x, _]| [x; 2])),
                (Whole(numbers), "y" | "g" | "t") => Whole(numbers.map(|[_, y]| [y; 2])),
                (Whole(_), _) => Whole(None),
                _ => Unknown,
            };
        }
        value
    }
}

fn both(a: Numbers, b: Numbers, of: impl Fn(f64, f64) -> f64) -> Numbers {
    a.zip(b).map(|(a, b)| [of(a[0], b[0]), of(a[1], b[1])])
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
    use super::reads as found;

    fn reads(text: &str) -> bool {
        offsets(text).is_some()
    }

    /// Places that are read; `None` in the list for those that are not known.
    fn offsets(text: &str) -> Option<Vec<Option<[i32; 2]>>> {
        let reads = found(text, "a", |uniform| (uniform == "direction").then(|| vec![1.0, 2.0]))?;
        for read in &reads {
            let call = &text[read.call.clone()];
            assert!(call.starts_with("a(") && call.ends_with(')'), "{call}");
            assert_eq!(read.is_bare, call == "a()");
        }
        Some(reads.into_iter().map(|read| read.offset).collect())
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
    fn places_are_known_where_every_number_is() {
        let in_pixel = |body: &str| offsets(&format!("uniform vec2 direction;\nvec4 pixel(vec2 uv) {{ {body} }}\n"));
        for (body, expected) in [
            ("return a() + a(uv);", vec![Some([0, 0]), Some([0, 0])]),
            (
                "vec2 one = direction / a_size; return a(uv - one) + a(uv + 4.0 * one) + a(-one * 2.0 + uv);",
                vec![Some([-1, -2]), Some([4, 8]), Some([-2, -4])],
            ),
            ("return a(uv + vec2(direction.y, -3.0) / resolution);", vec![Some([2, -3])]),
            ("return a(uv + (direction - vec2(2)) / a_size);", vec![Some([-1, 0])]),
            ("return a(uv + 65.0 / a_size) + a(uv + direction.yx / a_size);", vec![None, None]),
            ("vec4 s; for (int i = 0; i < 3; i++) { s += a(uv + float(i) / a_size); } return s;", vec![None]),
        ] {
            assert_eq!(in_pixel(body), Some(expected), "{body}");
        }
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
