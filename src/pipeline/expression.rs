//! Expressions on the frame number: `frame >= 10 && frame % 2 == 0`.
//!
//! In: text. Out: an [`Expression`] that says yes or no for a frame; errors with the place in the text.
//! Not here: which keys take one (`graph`).
//!
//! Whole numbers of 64 bits with `+ - * / %`, comparisons, `! && ||` and parentheses, each as in C. `frame` is the frame's
//! number. Numbers and truths are two types: `frame % 2` alone is an error, `frame % 2 == 0` is meant.

use std::ops::Range;

/// An expression that is true or false for a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    root: Node,
}

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In words.
    pub detail: String,
    /// Bytes of the text.
    pub range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    kind: Kind,
    is_truth: bool,
    range: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Frame,
    Number(i64),
    Not(Box<Node>),
    Negative(Box<Node>),
    Two(Operator, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    Plus,
    Minus,
    Times,
    Over,
    Remainder,
}

use Operator as Op;

/// Operators of one strength, weakest first; longer ones before those they begin with.
const LEVELS: &[&[(&str, Op)]] = &[
    &[("||", Op::Or)],
    &[("&&", Op::And)],
    &[("==", Op::Equal), ("!=", Op::NotEqual)],
    &[("<=", Op::LessEqual), (">=", Op::GreaterEqual), ("<", Op::Less), (">", Op::Greater)],
    &[("+", Op::Plus), ("-", Op::Minus)],
    &[("*", Op::Times), ("/", Op::Over), ("%", Op::Remainder)],
];

/// Parentheses and signs within each other.
const MAX_DEPTH: usize = 64;
/// Bytes of an expression.
const MAX_LENGTH: usize = 4096;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > MAX_LENGTH {
            let detail = format!("{} bytes: an expression has at most {MAX_LENGTH}", text.len());
            return Err(Wrong { detail, range: 0..text.len() });
        }
        let mut parser = Parser { text, at: 0, depth: 0 };
        let root = parser.level(0)?;
        parser.space();
        if parser.at < text.len() {
            let range = parser.at..text.len();
            let next = text[range.clone()].split_whitespace().next().unwrap_or_default();
            let detail = match next {
                "=" => "= is no comparison: write ==".into(),
                "&" | "|" => format!("{next} is no operator here: write {next}{next}"),
                next => format!("expected an operator or the end, found \"{next}\""),
            };
            return Err(Wrong { detail, range: range.start..range.start + next.len() });
        }
        if !root.is_truth {
            let detail = "a number is neither true nor false: compare it, e.g. frame % 2 == 0".into();
            return Err(Wrong { detail, range: root.range });
        }
        Ok(Self { root })
    }

    /// Whether it is true for `frame`.
    ///
    /// # Errors
    /// Division by zero, or a number beyond 64 bits, with its place.
    pub fn holds(&self, frame: u64) -> Result<bool, Wrong> {
        Ok(value(&self.root, i64::try_from(frame).unwrap_or(i64::MAX))? != 0)
    }
}

/// Truths are 0 and 1.
fn value(node: &Node, frame: i64) -> Result<i64, Wrong> {
    let wrong = |what: &str| Wrong { detail: format!("{what} at frame {frame}"), range: node.range.clone() };
    match &node.kind {
        Kind::Frame => Ok(frame),
        Kind::Number(number) => Ok(*number),
        Kind::Not(inner) => Ok(i64::from(value(inner, frame)? == 0)),
        Kind::Negative(inner) => {
            value(inner, frame)?.checked_neg().ok_or_else(|| wrong("the number is beyond 64 bits"))
        }
        Kind::Two(operator, left, right) => {
            let a = value(left, frame)?;
            match operator {
                Op::Or if a != 0 => return Ok(1),
                Op::And if a == 0 => return Ok(0),
                _ => {}
            }
            let b = value(right, frame)?;
            if matches!(operator, Op::Over | Op::Remainder) && b == 0 {
                return Err(wrong("division by zero"));
            }
            let number = match operator {
                Op::Or | Op::And => Some(b),
                Op::Equal => Some(i64::from(a == b)),
                Op::NotEqual => Some(i64::from(a != b)),
                Op::LessEqual => Some(i64::from(a <= b)),
                Op::GreaterEqual => Some(i64::from(a >= b)),
                Op::Less => Some(i64::from(a < b)),
                Op::Greater => Some(i64::from(a > b)),
                Op::Plus => a.checked_add(b),
                Op::Minus => a.checked_sub(b),
                Op::Times => a.checked_mul(b),
                Op::Over => a.checked_div(b),
                Op::Remainder => a.checked_rem(b),
            };
            number.ok_or_else(|| wrong("the number is beyond 64 bits"))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn level(&mut self, level: usize) -> Result<Node, Wrong> {
        let Some(operators) = LEVELS.get(level) else { return self.single() };
        let mut left = self.level(level + 1)?;
        loop {
            self.space();
            let rest = &self.text[self.at..];
            let Some((sign, operator)) = operators.iter().find(|(sign, _)| rest.starts_with(sign)) else {
                return Ok(left);
            };
            self.at += sign.len();
            let right = self.level(level + 1)?;
            left = two(sign, *operator, left, right)?;
        }
    }

    fn single(&mut self) -> Result<Node, Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let detail = format!("more than {MAX_DEPTH} parentheses within each other");
            return Err(Wrong { detail, range: self.at..self.text.len() });
        }
        let node = self.bare();
        self.depth -= 1;
        node
    }

    fn bare(&mut self) -> Result<Node, Wrong> {
        self.space();
        let start = self.at;
        let rest = &self.text[start..];
        let Some(first) = rest.chars().next() else {
            let detail = "the expression ends where a value is expected".into();
            return Err(Wrong { detail, range: self.text.len().saturating_sub(1)..self.text.len() });
        };
        match first {
            '(' => {
                self.at += 1;
                let mut inner = self.level(0)?;
                self.space();
                if !self.text[self.at..].starts_with(')') {
                    return Err(Wrong { detail: "the parenthesis is not closed".into(), range: start..self.at });
                }
                self.at += 1;
                inner.range = start..self.at;
                Ok(inner)
            }
            '!' | '-' => {
                self.at += 1;
                let inner = self.single()?;
                let range = start..inner.range.end;
                if inner.is_truth != (first == '!') {
                    return Err(wrong_type(first.encode_utf8(&mut [0; 4]), first == '!', inner.range));
                }
                let kind = if first == '!' { Kind::Not(Box::new(inner)) } else { Kind::Negative(Box::new(inner)) };
                Ok(Node { kind, is_truth: first == '!', range })
            }
            _ => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = &rest[..end];
                let range = start..start + end.max(first.len_utf8());
                self.at += end;
                let (kind, is_truth) = match word {
                    "frame" => (Kind::Frame, false),
                    "true" => (Kind::Number(1), true),
                    "false" => (Kind::Number(0), true),
                    "" => return Err(Wrong { detail: format!("expected a value, found \"{first}\""), range }),
                    word if first.is_ascii_digit() => match word.parse() {
                        Ok(number) => (Kind::Number(number), false),
                        Err(_) => {
                            return Err(Wrong { detail: format!("\"{word}\" is no whole number of 64 bits"), range });
                        }
                    },
                    word => {
                        let detail = format!("there is no \"{word}\": the only name is frame, the frame's number");
                        return Err(Wrong { detail, range });
                    }
                };
                Ok(Node { kind, is_truth, range })
            }
        }
    }
}

fn two(sign: &str, operator: Op, left: Node, right: Node) -> Result<Node, Wrong> {
    let range = left.range.start..right.range.end;
    let is_truth = match operator {
        Op::Or | Op::And => {
            for side in [&left, &right] {
                if !side.is_truth {
                    return Err(wrong_type(sign, true, side.range.clone()));
                }
            }
            true
        }
        Op::Equal | Op::NotEqual => {
            if left.is_truth != right.is_truth {
                let detail = format!("{sign} compares a number with a truth");
                return Err(Wrong { detail, range });
            }
            true
        }
        Op::LessEqual | Op::GreaterEqual | Op::Less | Op::Greater => {
            numbers(sign, &left, &right)?;
            true
        }
        Op::Plus | Op::Minus | Op::Times | Op::Over | Op::Remainder => {
            numbers(sign, &left, &right)?;
            if matches!(operator, Op::Over | Op::Remainder) && right.kind == Kind::Number(0) {
                return Err(Wrong { detail: "division by zero".into(), range: right.range });
            }
            false
        }
    };
    Ok(Node { kind: Kind::Two(operator, Box::new(left), Box::new(right)), is_truth, range })
}

fn numbers(sign: &str, left: &Node, right: &Node) -> Result<(), Wrong> {
    match [left, right].into_iter().find(|side| side.is_truth) {
        Some(side) => Err(wrong_type(sign, false, side.range.clone())),
        None => Ok(()),
    }
}

fn wrong_type(sign: &str, wants_truth: bool, range: Range<usize>) -> Wrong {
    let detail = match wants_truth {
        true => format!("{sign} needs something true or false here, and this is a number"),
        false => format!("{sign} needs a number here, and this is true or false"),
    };
    Wrong { detail, range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_c() {
        type Case = (&'static str, fn(i64) -> bool);
        let cases: [Case; 9] = [
            ("frame >= 10 && frame % 2 == 0", |f| f >= 10 && f % 2 == 0),
            ("frame < 3 || frame > 7 && frame != 9", |f| f < 3 || f > 7 && f != 9),
            ("!(frame == 4) == true", |f| f != 4),
            ("frame * 2 - 3 * (frame - 1) <= -4", |f| f * 2 - 3 * (f - 1) <= -4),
            ("frame/3 == 2", |f| f / 3 == 2),
            ("  true  ", |_| true),
            ("- frame + 5 > 0", |f| 5 - f > 0),
            ("frame % 7 % 4 == 1", |f| f % 7 % 4 == 1),
            ("frame == 0 || 10 / frame == 2", |f| f == 0 || 10 / f == 2),
        ];
        for (text, meant) in cases {
            let expression = Expression::parse(text).unwrap();
            for frame in 0..20 {
                assert_eq!(expression.holds(frame), Ok(meant(frame as i64)), "{text} at {frame}");
            }
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (text, place, words) in [
            ("", "", "ends where a value"),
            ("frame", "frame", "neither true nor false"),
            ("frame % 2", "frame % 2", "neither true nor false"),
            ("frame = 3", "=", "write =="),
            ("frame > 2 & frame < 5", "&", "write &&"),
            ("frame && true", "frame", "&& needs something true"),
            ("frame > (2 > 1)", "(2 > 1)", "> needs a number"),
            ("fram > 2", "fram", "the only name is frame"),
            ("frame > 1.5", ".5", "expected an operator"),
            ("frame > 99999999999999999999", "99999999999999999999", "64 bits"),
            ("(frame > 2", "(frame > 2", "not closed"),
            ("frame % 0 == 1", "0", "division by zero"),
            ("frame > é", "é", "expected a value"),
            ("!frame", "frame", "! needs something true"),
            ("frame > 2 )", ")", "expected an operator or the end"),
        ] {
            let wrong = Expression::parse(text).unwrap_err();
            assert_eq!(&text[wrong.range.clone()], place, "{text}: {wrong:?}");
            assert!(wrong.detail.contains(words), "{text}: {wrong:?}");
        }
        assert!(Expression::parse(&"(".repeat(100_000)).is_err());
        assert!(Expression::parse(&"!".repeat(100_000)).is_err());
        assert!(Expression::parse(&format!("frame {} == 1", "+ 1 ".repeat(1000))).unwrap().holds(0).is_ok());
        assert!(Expression::parse(&format!("frame {} == 1", "+ 1 ".repeat(2000))).is_err());
        let late = Expression::parse("10 / (frame - 5) > 1").unwrap();
        assert_eq!(late.holds(5).unwrap_err().detail, "division by zero at frame 5");
        let large = Expression::parse("frame * 9223372036854775807 > 0").unwrap();
        assert!(large.holds(1).unwrap() && large.holds(2).is_err());
    }
}
