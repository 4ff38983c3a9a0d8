//! How far a shader's result can move where the pictures that it reads move a little.
//!
//! In: a text, what is known of its inputs and uniforms. Out: a bound, where one can be shown.
//! Not here: the arithmetic (`bounds`), what follows from it (`plan::tolerance`).
//!
//! The text is run once, over numbers of which only the ends are known and how far two runs can be apart. Loops must
//! count to a number that is known; what the reader does not know (matrices, arrays, macros, `while`) has no bound.

use std::collections::HashMap;

use super::tokens::{TokenKind, tokens};

pub mod bounds;
mod expression;

use bounds::{Bound, Value};
use expression::places;

/// What is known of an input.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// Its name in the shader.
    pub name: &'a str,
    /// Red, green, blue and alpha of each of its pixels.
    pub pixel: [Bound; 4],
}

impl<'a> Read<'a> {
    /// The same is known of all four.
    pub fn even(name: &'a str, bound: Bound) -> Self {
        Self { name, pixel: [bound; 4] }
    }
}

/// Words of the text that are looked at before the answer is that none is known.
const MAX_STEPS: usize = 200_000;
/// Functions in functions.
const MAX_DEPTH: usize = 16;

/// What `pixel` gives: between what each of its four numbers lies, and how far two results can be apart. `known` gives the
/// ends of a uniform's numbers.
pub fn result(text: &str, inputs: &[Read<'_>], known: impl Fn(&str) -> Option<Vec<(f64, f64)>>) -> Option<[Bound; 4]> {
    let all = tokens(text);
    if all.iter().any(|token| token.directive) {
        return None;
    }
    let code: Vec<(&str, TokenKind)> = all.iter().map(|token| (&text[token.range.clone()], token.kind)).collect();
    let mut run = Run { code: &code, functions: HashMap::new(), globals: HashMap::new(), inputs, steps: 0, depth: 0 };
    for name in ["time", "frame"] {
        run.globals.insert(name, vec![Bound::between(0.0, f64::INFINITY).as_whole(name == "frame")]);
    }
    let sizes = inputs.iter().map(|input| format!("{}_size", input.name)).chain(["resolution".to_owned()]);
    let sizes: Vec<(String, Value)> = sizes
        .map(|name| {
            let ends = known(&name).unwrap_or_else(|| vec![(1.0, f64::INFINITY); 2]);
            (name, ends.into_iter().map(|(low, high)| Bound::between(low, high)).collect())
        })
        .collect();
    sizes.iter().for_each(|(name, value)| _ = run.globals.insert(name, value.clone()));
    run.declarations(&known)?;
    let result = run.call("pixel", vec![vec![Bound::between(0.0, 1.0); 2]])?;
    result.try_into().ok()
}

/// How far two results can be apart in any of their four numbers.
pub fn result_off(text: &str, inputs: &[Read<'_>], known: impl Fn(&str) -> Option<Vec<(f64, f64)>>) -> Option<f64> {
    result(text, inputs, known).map(|result| result.iter().fold(0.0, |most: f64, bound| most.max(bound.off)))
}

/// Numbers in a value of this type, and whether they are whole.
fn numbers(kind: &str) -> Option<(usize, bool)> {
    let (scalar, rest) = match kind {
        "float" => return Some((1, false)),
        "int" | "uint" => return Some((1, true)),
        "bool" => return Some((1, false)),
        _ => kind.split_at_checked(kind.len().checked_sub(1)?)?,
    };
    let count = rest.parse().ok().filter(|count| (2..=4).contains(count))?;
    match scalar {
        "vec" | "bvec" => Some((count, false)),
        "ivec" | "uvec" => Some((count, true)),
        _ => None,
    }
}

/// A function's parameters and the place of its body.
#[derive(Clone)]
struct Function<'a> {
    parameters: Vec<&'a str>,
    body: usize,
}

/// Names and values, the innermost scope last.
type Scopes<'a> = Vec<HashMap<&'a str, Value>>;

/// One call of a function.
struct Frame<'a> {
    scopes: Scopes<'a>,
    returns: Option<Value>,
}

struct Run<'a> {
    code: &'a [(&'a str, TokenKind)],
    functions: HashMap<(&'a str, usize), Function<'a>>,
    globals: HashMap<&'a str, Value>,
    inputs: &'a [Read<'a>],
    steps: usize,
    depth: usize,
}

fn either(a: &Value, b: &Value) -> Option<Value> {
    bounds::each(a, b, Bound::or)
}

impl<'a> Run<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.code.get(at).map_or("", |(word, _)| word)
    }

    fn is_name(&self, at: usize) -> bool {
        self.code.get(at).is_some_and(|(_, kind)| *kind == TokenKind::Word)
    }

    /// Behind `word`, which must stand here.
    fn expect(&self, at: usize, word: &str) -> Option<usize> {
        (self.word(at) == word).then_some(at + 1)
    }

    /// Behind the bracket that closes the one here.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for at in open..self.code.len() {
            match self.word(at) {
                "(" | "{" | "[" => depth += 1,
                ")" | "}" | "]" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(at + 1);
            }
        }
        None
    }

    /// Behind what may stand before a type.
    fn unqualified(&self, mut at: usize) -> usize {
        while matches!(self.word(at), "const" | "in" | "highp" | "mediump" | "lowp") {
            at += 1;
        }
        at
    }

    /// What stands outside of functions.
    fn declarations(&mut self, known: &impl Fn(&str) -> Option<Vec<(f64, f64)>>) -> Option<()> {
        let mut at = 0;
        while at < self.code.len() {
            match self.word(at) {
                ";" => at += 1,
                "precision" => at += 4,
                "uniform" => {
                    at = self.unqualified(at + 1);
                    let (count, whole) = numbers(self.word(at))?;
                    loop {
                        let name = self.word(at + 1);
                        let ends = known(name).filter(|ends| ends.len() == count);
                        let ends = ends.unwrap_or_else(|| vec![(f64::NEG_INFINITY, f64::INFINITY); count]);
                        let bound = |(low, high)| Bound::between(low, high).as_whole(whole);
                        self.globals.insert(name, ends.into_iter().map(bound).collect());
                        at += 2;
                        if self.word(at) != "," {
                            break;
                        }
                    }
                    at = self.expect(at, ";")?;
                }
                first => {
                    let start = self.unqualified(at);
                    numbers(self.word(start))?;
                    if self.word(start + 2) == "(" {
                        at = self.function(start)?;
                    } else if first == "const" {
                        let mut frame = Frame { scopes: vec![HashMap::new()], returns: None };
                        at = self.declaration(&mut frame, start)?;
                        self.globals.extend(frame.scopes.pop()?);
                    } else {
                        // A variable that remembers.
                        return None;
                    }
                }
            }
        }
        Some(())
    }

    fn function(&mut self, start: usize) -> Option<usize> {
        let name = self.word(start + 1);
        let end = self.closing(start + 2)?;
        let mut parameters = Vec::new();
        let mut at = start + 3;
        while at + 1 < end && self.word(at) != "void" {
            at = self.unqualified(at);
            numbers(self.word(at))?;
            parameters.push(self.word(at + 1));
            at += 2;
            if at + 1 < end {
                at = self.expect(at, ",")?;
            }
        }
        if self.word(end) == ";" {
            return Some(end + 1);
        }
        self.expect(end, "{")?;
        // One of two of a name and a number of parameters is chosen by types, which are not followed.
        let function = Function { body: end, parameters };
        let key = (name, function.parameters.len());
        if self.functions.insert(key, function).is_some() {
            return None;
        }
        self.closing(end)
    }

    fn call(&mut self, name: &str, arguments: Vec<Value>) -> Option<Value> {
        if let Some(input) = self.inputs.iter().find(|input| input.name == name) {
            let elsewhere = arguments.iter().flatten().any(|bound| bound.off > 0.0);
            let anywhere = |Bound { low, high, .. }| Bound::new(low, high, f64::INFINITY);
            let pixel = if elsewhere { input.pixel.map(anywhere) } else { input.pixel };
            return (arguments.len() < 2).then(|| pixel.to_vec());
        }
        if let Some(function) = self.functions.get(&(name, arguments.len())).cloned() {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return None;
            }
            let scope = function.parameters.iter().copied().zip(arguments).collect();
            let mut frame = Frame { scopes: vec![scope], returns: None };
            self.statement(&mut frame, function.body)?;
            self.depth -= 1;
            return frame.returns;
        }
        match numbers(name) {
            Some((count, whole)) => bounds::constructed(count, whole, &arguments),
            None => bounds::built_in(name, &arguments),
        }
    }

    /// Behind the statement here, which has been run.
    fn statement(&mut self, frame: &mut Frame<'a>, at: usize) -> Option<usize> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        match self.word(at) {
            ";" => Some(at + 1),
            "{" => {
                frame.scopes.push(HashMap::new());
                let mut at = at + 1;
                while self.word(at) != "}" {
                    at = self.statement(frame, at)?;
                }
                frame.scopes.pop();
                Some(at + 1)
            }
            "return" => {
                let (value, end) = self.expression(frame, at + 1)?;
                frame.returns = Some(match frame.returns.take() {
                    Some(other) => either(&other, &value)?,
                    None => value,
                });
                self.expect(end, ";")
            }
            "if" => self.branch(frame, at),
            "for" => self.count(frame, at),
            "while" | "do" | "switch" | "break" | "continue" | "discard" => None,
            _ => {
                let start = self.unqualified(at);
                if numbers(self.word(start)).is_some() && self.is_name(start + 1) {
                    return self.declaration(frame, start);
                }
                let end = self.assignment(frame, at)?;
                self.expect(end, ";")
            }
        }
    }

    fn branch(&mut self, frame: &mut Frame<'a>, at: usize) -> Option<usize> {
        let open = self.expect(at + 1, "(")?;
        let (condition, end) = self.expression(frame, open)?;
        let [condition] = condition.as_slice() else { return None };
        let then = self.expect(end, ")")?;
        let after = self.behind(then)?;
        let otherwise = (self.word(after) == "else").then_some(after + 1);
        let end = otherwise.map_or(Some(after), |at| self.behind(at))?;
        match condition.point() {
            Some(0.0) => _ = otherwise.map_or(Some(after), |at| self.statement(frame, at))?,
            Some(_) => _ = self.statement(frame, then)?,
            // The two runs could go apart.
            None if condition.off > 0.0 => return None,
            None => {
                let before = frame.scopes.clone();
                self.statement(frame, then)?;
                let first = std::mem::replace(&mut frame.scopes, before);
                if let Some(at) = otherwise {
                    self.statement(frame, at)?;
                }
                for (scope, other) in frame.scopes.iter_mut().zip(first) {
                    for (name, value) in scope.iter_mut() {
                        *value = either(value, other.get(name)?)?;
                    }
                }
            }
        }
        Some(end)
    }

    /// Behind the statement here, which is not run.
    fn behind(&self, at: usize) -> Option<usize> {
        match self.word(at) {
            "{" => self.closing(at),
            "if" => {
                let after = self.behind(self.closing(at + 1)?)?;
                if self.word(after) == "else" { self.behind(after + 1) } else { Some(after) }
            }
            "for" | "while" => self.behind(self.closing(at + 1)?),
            "" | "do" | "switch" => None,
            _ => (at..self.code.len()).find(|at| self.word(*at) == ";").map(|at| at + 1),
        }
    }

    fn count(&mut self, frame: &mut Frame<'a>, at: usize) -> Option<usize> {
        let open = self.expect(at + 1, "(")?;
        let body = self.closing(at + 1)?;
        frame.scopes.push(HashMap::new());
        let test = self.statement(frame, open)?;
        loop {
            let (condition, end) = self.expression(frame, test)?;
            let [condition] = condition.as_slice() else { return None };
            if condition.point()? == 0.0 {
                break;
            }
            self.statement(frame, body)?;
            let step = self.expect(end, ";")?;
            self.assignment(frame, step)?;
        }
        frame.scopes.pop();
        self.behind(body)
    }

    /// `float a = 1.0, b;`
    fn declaration(&mut self, frame: &mut Frame<'a>, at: usize) -> Option<usize> {
        let (count, whole) = numbers(self.word(at))?;
        let mut at = at + 1;
        loop {
            let name = self.word(at);
            at += 1;
            let value = if self.word(at) == "=" {
                let (value, end) = self.expression(frame, at + 1)?;
                at = end;
                value
            } else {
                vec![Bound::ANY.as_whole(whole); count]
            };
            if value.len() != count {
                return None;
            }
            frame.scopes.last_mut()?.insert(name, value);
            match self.word(at) {
                "," => at += 1,
                ";" => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// `a.x += b`, `i++`; what is no assignment is an expression.
    fn assignment(&mut self, frame: &mut Frame<'a>, at: usize) -> Option<usize> {
        let is_step =
            |at: usize| ["+", "-"].into_iter().find(|sign| self.word(at) == *sign && self.word(at + 1) == *sign);
        if let Some(sign) = is_step(at) {
            self.set(frame, self.word(at + 2), None, sign, vec![Bound::exact(1.0).as_whole(true)])?;
            return Some(at + 3);
        }
        let name = self.word(at);
        let (parts, after) = match self.word(at + 1) {
            "." => (Some(self.word(at + 2)), at + 3),
            _ => (None, at + 1),
        };
        if let Some(sign) = is_step(after) {
            self.set(frame, name, parts, sign, vec![Bound::exact(1.0).as_whole(true)])?;
            return Some(after + 2);
        }
        let sign = self.word(after);
        let compound = matches!(sign, "+" | "-" | "*" | "/") && self.word(after + 1) == "=";
        if self.is_name(at) && (compound || (sign == "=" && self.word(after + 1) != "=")) {
            let (value, end) = self.expression(frame, after + 1 + usize::from(compound))?;
            self.set(frame, name, parts, sign, value)?;
            return Some(end);
        }
        self.expression(frame, at).map(|(_, end)| end)
    }

    fn set(&self, frame: &mut Frame<'a>, name: &str, parts: Option<&str>, sign: &str, value: Value) -> Option<()> {
        let old = frame.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name))?;
        let places: Vec<usize> = match parts {
            Some(parts) => places(parts)?,
            None => (0..old.len()).collect(),
        };
        let before: Value = places.iter().map(|place| old.get(*place).copied()).collect::<Option<_>>()?;
        let value = if sign == "=" { value } else { bounds::operator(sign, &before, &value)? };
        if value.len() != places.len() {
            return None;
        }
        places.into_iter().zip(value).for_each(|(place, bound)| old[place] = bound);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In codes, where `a` is off by one and `b` is not.
    fn codes(text: &str) -> Option<f64> {
        let unit = |name, off| Read::even(name, Bound::new(0.0, 1.0, off / 255.0));
        let known = |name: &str| match name {
            "amount" => Some(vec![(0.6, 0.6)]),
            "some" => Some(vec![(0.0, 1.0)]),
            "gain" => Some(vec![(1.5, 2.5)]),
            _ => None,
        };
        result_off(text, &[unit("a", 1.0), unit("b", 0.0)], known).map(|off| off * 255.0)
    }

    fn in_pixel(body: &str) -> Option<f64> {
        codes(&format!(
            "precision mediump float;\nuniform float amount, some; uniform highp float gain, any;\nconst float two = 2.0, four = two * 2.0;\n\
             float half_of(float x) {{ return x * 0.5; }}\nvec4 pixel(vec2 uv) {{ {body} }}\n"
        ))
    }

    #[test]
    fn bounds_are_what_arithmetic_says() {
        for (body, expected) in [
            ("return b();", 0.0),
            ("return a();", 1.0),
            ("return a() * gain;", 2.5),
            ("return 1.0 - a();", 1.0),
            ("return a() - a(uv + 0.1);", 2.0),
            ("return vec4(a().rgb * 3.0, 1.0).bgra;", 3.0),
            ("return vec4((b().rgb + amount * (b().rgb - a().rgb)), b().a);", 0.6),
            ("return mix(a(), b(), some);", 1.0),
            ("return mix(a(), b(), 0.5);", 1.0),
            ("return mix(b(), b(uv), a());", 1.0),
            ("return 0.25 * a() + 0.75 * b();", 0.25),
            ("return clamp((a() - 0.5) * four, 0.0, 1.0);", 4.0),
            ("return vec4(half_of(a().g));", 0.5),
            ("vec4 s = vec4(0.0); for (int i = -2; i <= 2; i++) { s += a(uv + float(i) * 0.1) * 0.2; } return s;", 1.0),
            ("float k = 0.0; for (int i = 0; i < 3; ++i) k += 1.0; return a() / k;", 1.0 / 3.0),
            ("if (uv.x < 0.5) { return a() * 2.0; } return a() * 3.0;", 3.0),
            ("vec4 s = b(); if (uv.x < some) s.rgb = a().rgb * 2.0; else s *= 5.0; return s;", 2.0),
            ("return uv.x < 0.5 ? a() : b();", 1.0),
            ("return a().r < 2.0 ? b() : a() * 9.0;", 0.0),
            ("return step(2.0, a());", 0.0),
            ("return step(0.5, a());", 255.0),
            ("return a().r < 0.5 ? vec4(0.25) : vec4(0.75);", 127.5),
            ("return vec4(length(a().rg));", 2f64.sqrt()),
            ("return vec4(dot(a().rgb, vec3(0.3, 0.6, 0.1)));", 1.0),
            ("return pow(a(), vec4(2.0));", 2.0),
            ("return b(a().xy);", 255.0),
            ("return b() * any;", 0.0),
            ("return a() * (1.0 - 0.35 * smoothstep(0.45, 0.95, length(uv - 0.5) * 1.4));", 1.0),
            ("return smoothstep(0.25, 0.75, a());", 3.0),
            ("return a() * float(3 / 2 * 2);", 4.0),
            ("int n = 3; return a() * (1.0 - float(n / 2 / 2));", 1.0),
            ("return vec4(sin(a().r * 4.0 + time), gl_FragCoord.x, 0.0, 1.0);", 4.0),
        ] {
            let found = in_pixel(body).unwrap_or_else(|| panic!("no bound: {body}"));
            assert!((found - expected).abs() < 1e-9 * expected.max(1.0), "{found}, expected {expected}: {body}");
        }
        assert_eq!(in_pixel("return a() * any;"), Some(f64::INFINITY));
        assert_eq!(in_pixel("return a() / (b() - 0.5);"), Some(f64::INFINITY));
    }

    #[test]
    fn numbers_of_a_pixel_are_told_apart() {
        let unit = Bound::between(0.0, 1.0);
        let any = Bound::new(0.0, 1.0, f64::INFINITY);
        let reads = [Read { name: "a", pixel: [unit, unit, unit, any] }, Read::even("b", unit)];
        let off = |body: &str| {
            let text = format!("vec4 pixel(vec2 uv) {{ {body} }}");
            result(&text, &reads, |_| None).unwrap().map(|bound| bound.off)
        };
        assert_eq!(off("return a(uv) * 0.5 + a(uv * 0.5) * 0.5;"), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(off("vec4 s = b(); return vec4(s.rgb + 0.6 * (s.rgb - a().rgb), s.a);"), [0.0; 4]);
        assert_eq!(off("return a().bgra.wzyx;"), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(off("return vec4(dot(a(), b()));"), [1.0; 4]);
        assert_eq!(off("return a().a > 0.5 ? vec4(0.0) : b();"), [1.0; 4]);
        let ends = result("vec4 pixel(vec2 uv) { return a() * 2.0 - 0.5; }", &reads, |_| None).unwrap();
        assert_eq!((ends[0].low, ends[0].high), (-0.5, 1.5));
    }

    #[test]
    fn what_is_not_followed_has_no_bound() {
        for body in [
            "if (a().r > 0.5) { return b(); } return vec4(0.0);",
            "float x = a().r; while (x < 1.0) { x += 0.1; } return vec4(x);",
            "for (int i = 0; i < int(any); i++) {} return a();",
            "for (int i = 0; i >= 0; i++) {} return a();",
            "mat2 m = mat2(1.0); return a();",
            "float k[2]; return a();",
            "return unknown(a());",
            "return texture2D(other, uv);",
            "return a().xyz;",
            "return pixel(uv);",
            "discard;",
            "return vec4(1.0",
            "return ;",
        ] {
            assert_eq!(in_pixel(body), None, "{body}");
        }
        for text in [
            "#define A a\nvec4 pixel(vec2 uv) { return A(); }",
            "vec4 kept;\nvec4 pixel(vec2 uv) { kept = a(); return kept; }",
            "void f(out float x) { x = 1.0; }\nvec4 pixel(vec2 uv) { return a(); }",
            "float f(float x) { return x; }\nfloat f(vec2 x) { return x.x; }\nvec4 pixel(vec2 uv) { return a() * f(1.0); }",
            "uniform sampler2D other;\nvec4 pixel(vec2 uv) { return a(); }",
            "struct S { float x; };\nvec4 pixel(vec2 uv) { return a(); }",
            "vec4 other(vec2 uv) { return a(); }",
            "vec4 pixel(vec2 uv) {",
            "",
        ] {
            assert_eq!(codes(text), None, "{text}");
        }
    }
}
