//! Expressions of a text: operators by their precedence, calls, parts of vectors.
//!
//! In: where one begins, the variables. Out: its value and where it ends. Not here: statements (`gain`).

use crate::pipeline::shader::tokens::TokenKind;

use super::bounds::{self, Bound, Value};
use super::{Frame, MAX_STEPS, Run, either};

impl<'a> Run<'a> {
    /// The value of the expression here, and what is behind it.
    pub(super) fn expression(&mut self, frame: &Frame<'a>, at: usize) -> Option<(Value, usize)> {
        let (condition, at) = self.binary(frame, at, 0)?;
        if self.word(at) != "?" {
            return Some((condition, at));
        }
        let (yes, at) = self.expression(frame, at + 1)?;
        let (no, at) = self.expression(frame, self.expect(at, ":")?)?;
        let [condition] = condition.as_slice() else { return None };
        let value = match condition.point() {
            Some(0.0) => no,
            Some(_) => yes,
            None if condition.off > 0.0 => {
                let apart = |a: Bound, b: Bound| Bound::new(a.low.min(b.low), a.high.max(b.high), f64::INFINITY);
                bounds::each(&yes, &no, apart)?
            }
            None => either(&yes, &no)?,
        };
        Some((value, at))
    }

    fn binary(&mut self, frame: &Frame<'a>, at: usize, level: usize) -> Option<(Value, usize)> {
        const LEVELS: [&[&str]; 6] =
            [&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/"]];
        let Some(signs) = LEVELS.get(level) else { return self.unary(frame, at) };
        let (mut value, mut at) = self.binary(frame, at, level + 1)?;
        loop {
            let is_here = |sign: &&str| {
                sign.char_indices().all(|(index, _)| self.word(at + index) == &sign[index..=index])
                    // `a <` before `=` is another sign, and so is `+` in `a += b`.
                    && (sign.len() == 2 || self.word(at + 1) != "=")
            };
            let Some(sign) = signs.iter().copied().find(is_here) else { return Some((value, at)) };
            let (other, end) = self.binary(frame, at + sign.len(), level + 1)?;
            (value, at) = (bounds::operator(sign, &value, &other)?, end);
        }
    }

    fn unary(&mut self, frame: &Frame<'a>, at: usize) -> Option<(Value, usize)> {
        let sign = self.word(at);
        if !matches!(sign, "-" | "+" | "!") {
            return self.postfix(frame, at);
        }
        let (value, end) = self.unary(frame, at + 1)?;
        let value = match sign {
            "-" => bounds::negated(&value),
            "!" => bounds::denied(&value),
            _ => value,
        };
        Some((value, end))
    }

    fn postfix(&mut self, frame: &Frame<'a>, at: usize) -> Option<(Value, usize)> {
        let (mut value, mut at) = self.primary(frame, at)?;
        loop {
            match self.word(at) {
                "." => {
                    let places = places(self.word(at + 1))?;
                    value = places.into_iter().map(|place| value.get(place).copied()).collect::<Option<_>>()?;
                    at += 2;
                }
                "[" => {
                    let (index, end) = self.expression(frame, at + 1)?;
                    let [index] = index.as_slice() else { return None };
                    value = vec![*value.get(index.point().filter(|index| *index >= 0.0)? as usize)?];
                    at = self.expect(end, "]")?;
                }
                _ => return Some((value, at)),
            }
        }
    }

    fn primary(&mut self, frame: &Frame<'a>, at: usize) -> Option<(Value, usize)> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        let (word, kind) = *self.code.get(at)?;
        match (word, kind) {
            ("(", _) => {
                let (value, end) = self.expression(frame, at + 1)?;
                Some((value, self.expect(end, ")")?))
            }
            ("true", _) => Some((vec![Bound::exact(1.0)], at + 1)),
            ("false", _) => Some((vec![Bound::exact(0.0)], at + 1)),
            (number, TokenKind::Number) => {
                let whole = !number.contains(['.', 'e', 'E', 'f', 'F']);
                let number = number.trim_end_matches(['f', 'F', 'u', 'U']).parse().ok()?;
                Some((vec![Bound::exact(number).as_whole(whole)], at + 1))
            }
            (name, TokenKind::Word) if self.word(at + 1) == "(" => {
                let mut arguments = Vec::new();
                let mut at = at + 2;
                while self.word(at) != ")" {
                    let (value, end) = self.expression(frame, at)?;
                    arguments.push(value);
                    at = end;
                    if self.word(at) == "," {
                        at += 1;
                    } else if self.word(at) != ")" {
                        return None;
                    }
                }
                Some((self.call(name, arguments)?, at + 1))
            }
            ("gl_FragCoord", _) => Some((vec![Bound::between(0.0, 65536.0); 4], at + 1)),
            (name, TokenKind::Word) => {
                let local = frame.scopes.iter().rev().find_map(|scope| scope.get(name));
                Some((local.or_else(|| self.globals.get(name))?.clone(), at + 1))
            }
            _ => None,
        }
    }
}

/// Which numbers `.xyz`, `.rgb` or `.stp` takes.
pub(super) fn places(parts: &str) -> Option<Vec<usize>> {
    let place = |part: char| ["xyzw", "rgba", "stpq"].iter().find_map(|names| names.find(part));
    parts.chars().map(place).collect()
}
