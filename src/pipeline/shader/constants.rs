//! Uniforms whose value never changes, written as constants: the compiler then folds what follows from them.
//!
//! In: a text and values. Out: a text of as many lines. Not here: which uniforms never change (`pass`).

use super::Declared;
use super::tokens::{Token, TokenKind, tokens};

/// A value as the text of a constant of `declared`'s type; `None` where it has none: arrays, numbers that are not finite.
pub fn literal(declared: &Declared, numbers: &[f64]) -> Option<String> {
    let kind = declared.kind.as_str();
    if declared.elements != 1 || Some(numbers.len()) != declared.components() {
        return None;
    }
    let part: fn(f64) -> String = match kind {
        // The shortest text that is this 32-bit number.
        "float" | "vec2" | "vec3" | "vec4" | "mat3" | "mat4" => |number| format!("{:?}", number as f32),
        "int" | "ivec2" | "ivec3" | "ivec4" => |number| format!("{}", number as i32),
        "bool" | "bvec2" | "bvec3" | "bvec4" => |number| (number != 0.0).to_string(),
        _ => return None,
    };
    if !numbers.iter().all(|number| (*number as f32).is_finite()) {
        return None;
    }
    let parts: Vec<String> = numbers.iter().copied().map(part).collect();
    Some(match parts.as_slice() {
        [one] => one.clone(),
        several => format!("{kind}({})", several.join(", ")),
    })
}

/// The text with every uniform that has a `value` declared as a constant. What this reader does not follow stays.
pub fn with_constants(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let all: Vec<Token> = tokens(text).into_iter().filter(|token| !token.directive).collect();
    let word = |token: &Token| &text[token.range.clone()];
    let mut changed = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while at < all.len() {
        let start = at;
        at += 1;
        if word(&all[start]) != "uniform" {
            continue;
        }
        let Some(length) = all[start..].iter().position(|token| word(token) == ";") else { break };
        at = start + length + 1;
        let range = all[start].range.start..all[at - 1].range.end;
        // A line of the preprocessor inside of a declaration.
        if text[range.clone()].contains('#') {
            continue;
        }
        if let Some(declarations) = split(&all[start + 1..at - 1], word, &value) {
            changed.push_str(&text[copied..range.start]);
            changed.push_str(&declarations);
            // Lines keep their numbers.
            changed.extend(text[range.clone()].matches('\n'));
            copied = range.end;
        }
    }
    changed.push_str(&text[copied..]);
    changed
}

/// One declaration for each name between `uniform` and `;`. `None` where none of them has a value.
fn split<'a>(
    code: &[Token],
    word: impl Fn(&Token) -> &'a str,
    value: &impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let is_precision = |token: &&Token| matches!(word(token), "lowp" | "mediump" | "highp");
    let (head, names) = code.split_at_checked(if code.first().filter(is_precision).is_some() { 2 } else { 1 })?;
    let head: Vec<&str> = head.iter().map(&word).collect();
    let head = head.join(" ");
    let mut declarations = Vec::new();
    let mut found = false;
    for declarator in names.split(|token| word(token) == ",") {
        let [name, size @ ..] = declarator else { return None };
        if name.kind != TokenKind::Word {
            return None;
        }
        let constant = if size.is_empty() { value(word(name)) } else { None };
        found |= constant.is_some();
        declarations.push(match constant {
            Some(constant) => format!("const {head} {} = {constant};", word(name)),
            None => {
                let size: String = size.iter().map(&word).collect();
                format!("uniform {head} {}{size};", word(name))
            }
        });
    }
    found.then(|| declarations.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact() {
        let text = |kind: &str, numbers: &[f64]| {
            literal(&Declared { name: "x".into(), kind: kind.into(), elements: 1 }, numbers)
        };
        assert_eq!(text("float", &[0.1]).as_deref(), Some("0.1"));
        assert_eq!(text("float", &[-3.0]).as_deref(), Some("-3.0"));
        assert_eq!(text("float", &[1e-9]).as_deref(), Some("1e-9"));
        assert_eq!(text("vec2", &[1.0, 1.0 / 3.0]).as_deref(), Some("vec2(1.0, 0.33333334)"));
        assert_eq!(text("ivec2", &[1.0, -7.0]).as_deref(), Some("ivec2(1, -7)"));
        assert_eq!(text("bool", &[1.0]).as_deref(), Some("true"));
        assert_eq!(text("bvec2", &[1.0, 0.0]).as_deref(), Some("bvec2(true, false)"));
        for (kind, numbers) in [("float", &[f64::NAN][..]), ("float", &[1e300]), ("uint", &[1.0]), ("vec3", &[1.0])] {
            assert_eq!(text(kind, numbers), None, "{kind} {numbers:?}");
        }
        assert_eq!(literal(&Declared { name: "x".into(), kind: "float".into(), elements: 2 }, &[1.0, 2.0]), None);
    }

    #[test]
    fn declarations_keep_their_lines_and_what_has_no_value_stays() {
        let value = |name: &str| (name.len() == 1).then(|| "2.0".to_owned());
        for (text, expected) in [
            ("uniform float a;\n", "const float a = 2.0;\n"),
            (
                "uniform highp float a, long, b[3];",
                "const highp float a = 2.0; uniform highp float long; uniform highp float b[3];",
            ),
            ("uniform float // of\n  a;\nx", "const float a = 2.0;\n\nx"),
            ("uniform float long;\n", "uniform float long;\n"),
            ("// uniform float a;\n#define U uniform float a;\n", "// uniform float a;\n#define U uniform float a;\n"),
            ("uniform float\n#ifdef X\na\n#else\nb\n#endif\n;", "uniform float\n#ifdef X\na\n#else\nb\n#endif\n;"),
            ("uniform", "uniform"),
            ("uniform ;", "uniform ;"),
            ("uniform float;", "uniform float;"),
            ("uniform float a", "uniform float a"),
        ] {
            assert_eq!(with_constants(text, value), expected);
            assert_eq!(with_constants(text, value).lines().count(), text.lines().count(), "{text}");
        }
    }
}
