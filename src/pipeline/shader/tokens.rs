//! The words of a GLSL text with their places, the names that it declares for all of its functions, and renaming.
//!
//! In: a text. Out: tokens; declared names, or why they cannot be known. Not here: what shaders mean (`shader`).

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A name or a keyword.
    Word,
    /// A number.
    Number,
    /// Anything else: one character.
    Symbol,
}

/// One word, number or sign, outside of comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// It stands in a line of the preprocessor.
    pub directive: bool,
}

/// The tokens of `text`.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut directive, mut fresh_line) = (0, false, true);
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        match (byte, next) {
            (b'\n', _) => {
                (directive, fresh_line) = (false, true);
                at += 1;
            }
            (b'/', b'/') => at = text[at..].find('\n').map_or(bytes.len(), |end| at + end),
            (b'/', b'*') => at = text[at + 2..].find("*/").map_or(bytes.len(), |end| at + end + 4),
            _ if byte.is_ascii_whitespace() => at += 1,
            _ => {
                directive |= fresh_line && byte == b'#';
                fresh_line = false;
                let start = at;
                let is_number = byte.is_ascii_digit() || (byte == b'.' && next.is_ascii_digit());
                let kind = if is_number {
                    while bytes.get(at).is_some_and(|&byte| is_word(byte) || byte == b'.') {
                        at += 1;
                        let exponent = matches!(bytes[at - 1], b'e' | b'E') && !text[start..at].starts_with("0x");
                        if exponent && matches!(bytes.get(at), Some(b'+' | b'-')) {
                            at += 1;
                        }
                    }
                    TokenKind::Number
                } else if is_word(byte) {
                    while bytes.get(at).is_some_and(|&byte| is_word(byte)) {
                        at += 1;
                    }
                    TokenKind::Word
                } else {
                    at += text[at..].chars().next().map_or(1, char::len_utf8);
                    TokenKind::Symbol
                };
                found.push(Token { kind, range: start..at, directive });
            }
        }
    }
    found
}

/// Names that the text gives to functions, uniforms, constants, types, variables and macros outside of functions.
///
/// # Errors
/// In words: what the text has that this reader does not follow.
pub fn declared(text: &str) -> Result<BTreeSet<String>, String> {
    let all = tokens(text);
    let word = |token: &Token| &text[token.range.clone()];
    let mut names = BTreeSet::new();
    for line in all.iter().filter(|token| token.directive).collect::<Vec<_>>().windows(3) {
        if word(line[0]) == "#" && word(line[1]) == "define" {
            names.insert(word(line[2]).to_owned());
        }
    }
    for token in all.iter().filter(|token| token.directive) {
        if ["pragma", "line", "error", "undef", "\\"].contains(&word(token)) {
            return Err(format!("it has \"{}\" in a line of the preprocessor", word(token)));
        }
    }
    if text.contains("##") {
        return Err("it pastes names together (##)".into());
    }
    let code: Vec<&str> = all.iter().filter(|token| !token.directive).map(word).collect();
    let mut reader = Reader { code: &code, at: 0 };
    while reader.at < code.len() {
        reader.statement(&mut names)?;
    }
    Ok(names)
}

/// Reads declarations outside of functions.
struct Reader<'a> {
    code: &'a [&'a str],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> &'a str {
        self.code.get(self.at).copied().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        let word = self.peek();
        self.at += 1;
        word
    }

    /// From an opening bracket to behind its closing one.
    fn skip(&mut self) -> Result<Range<usize>, String> {
        let start = self.at + 1;
        let mut depth = 0;
        while self.at < self.code.len() {
            match self.next() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(start..self.at - 1);
            }
        }
        Err("its brackets do not match".into())
    }

    fn name(&mut self) -> Result<String, String> {
        let name = self.next();
        match name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            true => Ok(name.to_owned()),
            false => Err(format!("\"{name}\" stands where a name was expected")),
        }
    }

    fn statement(&mut self, names: &mut BTreeSet<String>) -> Result<(), String> {
        match self.peek() {
            ";" => {
                self.at += 1;
                return Ok(());
            }
            "precision" => {
                while !matches!(self.next(), ";" | "") {}
                return Ok(());
            }
            word @ ("varying" | "attribute" | "in" | "out" | "layout" | "invariant" | "flat" | "smooth") => {
                return Err(format!("it declares \"{word}\" of its own"));
            }
            _ => {}
        }
        while matches!(self.peek(), "uniform" | "const" | "highp" | "mediump" | "lowp") {
            self.at += 1;
        }
        if self.name()? == "struct" {
            names.insert(self.name()?);
            let members = self.skip()?;
            // Members are reached behind a dot, where nothing is renamed.
            let members = &self.code[members];
            if members.iter().any(|member| names.contains(*member)) {
                return Err("a member of a struct has the name of something else".into());
            }
        }
        loop {
            if self.peek() == ";" {
                self.at += 1;
                return Ok(());
            }
            while self.peek() == "[" {
                self.skip()?;
            }
            names.insert(self.name()?);
            if self.peek() == "(" {
                self.skip()?;
                return match self.peek() {
                    "{" => self.skip().map(|_| ()),
                    ";" => {
                        self.at += 1;
                        Ok(())
                    }
                    other => Err(format!("\"{other}\" follows the head of a function")),
                };
            }
            // An array's size, then a value: up to the comma or semicolon outside of brackets.
            while !matches!(self.peek(), "," | ";") {
                match self.peek() {
                    "" => return Err("a declaration has no end".into()),
                    "(" | "[" | "{" => _ = self.skip()?,
                    _ => self.at += 1,
                }
            }
            if self.peek() == "," {
                self.at += 1;
            }
        }
    }
}

/// The text with other names, comments and line breaks as they were. What follows a dot keeps its name.
pub fn renamed(text: &str, names: &HashMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut done = 0;
    let mut after_dot = false;
    for token in tokens(text) {
        let word = &text[token.range.clone()];
        if let Some(name) = names.get(word).filter(|_| !after_dot && token.kind == TokenKind::Word) {
            out.push_str(&text[done..token.range.start]);
            out.push_str(name);
            done = token.range.end;
        }
        after_dot = word == ".";
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        declared(text).map(|names| names.into_iter().collect())
    }

    #[test]
    fn what_a_text_declares_is_found() {
        let text = "#define TWICE(x) (x * two)\n#ifdef GL_ES\n#endif\nprecision mediump float;\n\
            uniform highp vec3 tint, weights[4]; const float two = max(1.0, 2.0), three = 3.0;\n\
            struct Ray { vec3 from; vec3 to; }; float half_of(float x);\n/* float no; */ // float neither;\n\
            Ray start; vec4 pixel(vec2 uv) { float local = uv.x; { return vec4(local); } } float[2] pair = float[2](1.0, 2.0);";
        let expected = ["Ray", "TWICE", "half_of", "pair", "pixel", "start", "three", "tint", "two", "weights"];
        assert_eq!(names(text).unwrap(), expected);
        for bad in [
            "varying vec2 at;",
            "vec4 pixel(",
            "}",
            "uniform",
            "float 3;",
            "#undef X\n",
            "#define A B ## C\n",
            "#define A \\\n B\n",
            "struct S { float x; } s; float y(",
            "float x = 1.0",
        ] {
            assert!(names(bad).is_err(), "{bad}");
        }
        assert!(names("uniform float r; struct S { float r; };").is_err());
    }

    #[test]
    fn names_change_and_members_do_not() {
        let map = [("x", "f0_x"), ("source", "f0_source")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let text = "#define S x\nfloat x = 1.0e-3 + .5; // x\n/* x */ vec4 v = source(uv).xyzw * a.x + xx.y - x.x;\n";
        let expected = "#define S f0_x\nfloat f0_x = 1.0e-3 + .5; // x\n/* x */ vec4 v = f0_source(uv).xyzw * a.x + xx.y - f0_x.x;\n";
        assert_eq!(renamed(text, &map), expected);
    }

    #[test]
    fn any_text_is_read() {
        for text in ["", "/*", "//", "/", "1e", "1e+", "é x", "#", ".", "0x1e+2", "{{{", "\"", "#define\n", "struct"] {
            tokens(text);
            let _ = declared(text);
        }
        let words: Vec<_> = tokens("0x1e+2").into_iter().map(|token| token.range.len()).collect();
        assert_eq!(words, [4, 1, 1]);
    }
}
