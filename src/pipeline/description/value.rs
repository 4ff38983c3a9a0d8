//! The values of a pipeline file that TOML has no type for.
//!
//! In: strings, numbers and arrays. Out: rates, frame ranges, sizes, uniforms; errors in words.
//! Not here: the keys (`description`).

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use crate::error::Error;
use crate::layout::Size;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::Spanned;

/// A value that is written as text (or a bare number) and read by its [`FromStr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err = Error>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);
        impl<T: FromStr<Err = Error>> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Text).map_err(|error: Error| E::custom(error))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

/// Frames per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Frames …
    pub numerator: u32,
    /// … in so many seconds.
    pub denominator: u32,
}

impl Rate {
    /// 25 frames a second.
    pub const DEFAULT: Self = Self { numerator: 25, denominator: 1 };

    /// When frame `index` is shown, from the start of the stream.
    pub fn timestamp_ns(self, index: u64) -> u64 {
        let ns = u128::from(index) * u128::from(self.denominator) * 1_000_000_000 / u128::from(self.numerator);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = Error;

    /// Reads `25`, `29.97`, `30000/1001` or `30000:1001`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            if let Some((numerator, denominator)) = text.split_once(['/', ':']) {
                return Some((numerator.trim().parse().ok()?, denominator.trim().parse().ok()?));
            }
            if let Ok(whole) = text.trim().parse() {
                return Some((whole, 1));
            }
            let rate: f64 = text.trim().parse().ok()?;
            (rate > 0.0 && rate < 100_000.0).then(|| ((rate * 1000.0).round() as u32, 1000))
        };
        match parse() {
            Some((numerator, denominator)) if numerator > 0 && denominator > 0 => Ok(Self { numerator, denominator }),
            _ => Err(Error::invalid("rate", format!("\"{text}\": expected frames per second, e.g. 25 or 30000/1001"))),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// Frames `start` to `end`, with `end` left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    /// The first frame.
    pub start: u64,
    /// The frame after the last; `None` for no end.
    pub end: Option<u64>,
}

impl FromStr for FrameRange {
    type Err = Error;

    /// Reads `A..B`, `A..`, `..B`, or `N` for the first N.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let Some((start, end)) = text.split_once("..") else {
                return Some(Self { start: 0, end: Some(text.trim().parse().ok()?) });
            };
            let (start, end) = (start.trim(), end.trim());
            let start = if start.is_empty() { 0 } else { start.parse().ok()? };
            let end = if end.is_empty() { None } else { Some(end.parse().ok()?) };
            Some(Self { start, end })
        };
        parse().filter(|range| range.end.is_none_or(|end| end > range.start)).ok_or_else(|| {
            Error::invalid(
                "frames",
                format!("\"{text}\": expected A..B with A below B, A.., ..B, or a number of frames"),
            )
        })
    }
}

/// How large a pass's target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassSize {
    /// As the first input.
    AsInput,
    /// In pixels.
    Pixels(Size),
    /// In thousandths of the first input, rounded, at least 1.
    Permille(u32),
}

impl FromStr for PassSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "as-input" {
            return Ok(Self::AsInput);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let permille = percent.trim().parse::<f64>().ok().map(|percent| (percent * 10.0).round());
            return match permille {
                Some(permille) if (1.0..=100_000.0).contains(&permille) => Ok(Self::Permille(permille as u32)),
                _ => Err(Error::invalid("size", format!("\"{text}\": expected 0.1% to 10000%"))),
            };
        }
        if !text.contains(|c: char| c.is_ascii_digit()) {
            return Err(Error::invalid("size", format!("\"{text}\": expected \"as-input\", \"1280x720\" or \"50%\"")));
        }
        text.parse().map(Self::Pixels)
    }
}

/// One number, or one per plane.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a number, or an array with one number per plane")]
pub enum Numbers {
    /// For the first plane; the others follow.
    One(u64),
    /// For each plane.
    Each(Vec<u64>),
}

/// A pass's inputs in the order of the text: (name in the shader, name of the source or pass).
#[derive(Clone, Debug, Default)]
pub struct Inputs(pub Vec<(Spanned<String>, Spanned<String>)>);

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputsVisitor;
        impl<'de> Visitor<'de> for InputsVisitor {
            type Value = Inputs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table { name-in-shader = \"source or pass\" } or an array [\"source or pass\"]")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut inputs = Vec::new();
                while let Some(name) = sequence.next_element::<Spanned<String>>()? {
                    inputs.push((name.clone(), name));
                }
                Ok(Inputs(inputs))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut inputs = Vec::new();
                while let Some(entry) = map.next_entry::<Spanned<String>, Spanned<String>>()? {
                    inputs.push(entry);
                }
                // The order of the text decides which input is the first; maps come sorted.
                inputs.sort_by_key(|(name, _)| name.span().start);
                Ok(Inputs(inputs))
            }
        }
        deserializer.deserialize_any(InputsVisitor)
    }
}

/// The value of a uniform.
#[derive(Clone, Debug, PartialEq)]
pub enum Uniform {
    /// `float`; whole numbers suit `int` and `bool` uniforms too.
    Number(f64),
    /// `bool`.
    Bool(bool),
    /// `vec2`, `vec3`, `vec4`, `mat3`, `mat4` (column by column), or an array of floats.
    Numbers(Vec<f64>),
    /// `"$NAME"`: the value of a parameter.
    Parameter(String),
}

impl Uniform {
    /// The numbers of the value; `true` is 1. A parameter's are not known here: none.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Number(number) => vec![*number],
            Self::Bool(value) => vec![f64::from(u8::from(*value))],
            Self::Numbers(numbers) => numbers.clone(),
            Self::Parameter(_) => Vec::new(),
        }
    }

    /// Reads a value of the command line: `1.5`, `true`, `[1, 2, 3]`.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct One {
            value: Uniform,
        }
        if let Some(name) = text.trim().strip_prefix('$').filter(|name| !name.is_empty()) {
            return Ok(Self::Parameter(name.to_owned()));
        }
        // A line feed would begin another key.
        let one = if text.contains('\n') { None } else { toml::from_str(&format!("value = {}", text.trim())).ok() };
        one.map(|one: One| one.value)
            .ok_or_else(|| format!("\"{text}\" is no value of a uniform: a number, true, false, or [numbers]"))
    }
}

impl<'de> Deserialize<'de> for Uniform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniformVisitor;
        impl<'de> Visitor<'de> for UniformVisitor {
            type Value = Uniform;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, true, false, an array of numbers, or \"$NAME\" of a parameter")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Uniform, E> {
                match text.strip_prefix('$') {
                    Some(name) if !name.is_empty() => Ok(Uniform::Parameter(name.to_owned())),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Uniform, E> {
                Ok(Uniform::Bool(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Uniform, E> {
                Ok(Uniform::Number(value as f64))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Uniform, E> {
                Ok(Uniform::Number(value))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Uniform, A::Error> {
                let mut numbers = Vec::new();
                while let Some(value) = sequence.next_element::<Uniform>()? {
                    match value {
                        Uniform::Numbers(inner) => numbers.extend(inner),
                        Uniform::Parameter(name) => {
                            let words = format!("\"${name}\" stands for a whole value, not for a number in an array");
                            return Err(de::Error::custom(words));
                        }
                        single => numbers.extend(single.numbers()),
                    }
                }
                Ok(Uniform::Numbers(numbers))
            }
        }
        deserializer.deserialize_any(UniformVisitor)
    }
}
