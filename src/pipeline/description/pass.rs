//! The keys of one kind of pass, and the values that several kinds share.
//!
//! In: TOML. Out: typed values. Not here: which keys go together (`graph`).

use std::fmt;
use std::str::FromStr;

use super::value::Text;
use crate::error::Error;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};

/// What lies beyond the edge of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Wrap {
    /// The last pixel.
    #[default]
    Clamp,
    /// The picture again.
    Repeat,
    /// The picture mirrored.
    Mirror,
}

/// Red, green, blue and alpha, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rgba(pub [f32; 4]);

impl FromStr for Rgba {
    type Err = Error;

    /// Reads `#rrggbb` and `#rrggbbaa`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix('#').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = |index: usize| {
            let pair = digits.and_then(|digits| digits.get(2 * index..2 * index + 2))?;
            u8::from_str_radix(pair, 16).ok().map(|byte| f32::from(byte) / 255.0)
        };
        match (digits.map_or(0, str::len), byte(0), byte(1), byte(2)) {
            (6, Some(r), Some(g), Some(b)) => Ok(Self([r, g, b, 1.0])),
            (8, Some(r), Some(g), Some(b)) => Ok(Self([r, g, b, byte(3).unwrap_or(1.0)])),
            _ => Err(Error::invalid("colour", format!("\"{text}\": expected \"#rrggbb\" or \"#rrggbbaa\""))),
        }
    }
}

impl<'de> Deserialize<'de> for Rgba {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RgbaVisitor;
        impl<'de> Visitor<'de> for RgbaVisitor {
            type Value = Rgba;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a colour: \"#rrggbb\", \"#rrggbbaa\", or 3 or 4 numbers from 0 to 1")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rgba, E> {
                text.parse().map_err(|error: Error| E::custom(error))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Rgba, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = sequence.next_element::<f64>()? {
                    numbers.push(number as f32);
                }
                if numbers.len() == 3 {
                    numbers.push(1.0);
                }
                if !numbers.iter().all(|number| (0.0..=1.0).contains(number)) {
                    return Err(de::Error::custom("a colour's numbers are from 0 to 1"));
                }
                let count = numbers.len();
                let numbers = numbers.try_into();
                numbers.map(Rgba).map_err(|_| de::Error::custom(format!("a colour has 3 or 4 numbers, not {count}")))
            }
        }
        deserializer.deserialize_any(RgbaVisitor)
    }
}

/// A length: pixels, or a part of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Pixels, or how many times.
    Number(f64),
    /// Hundredths.
    Percent(f64),
}

impl Length {
    /// In pixels, where hundredths are those of `whole`.
    pub fn of(self, whole: u32) -> f64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => percent / 100.0 * f64::from(whole),
        }
    }
}

impl FromStr for Length {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (number, is_percent) = match text.trim().strip_suffix('%') {
            Some(number) => (number.trim(), true),
            None => (text.trim(), false),
        };
        match number.parse::<f64>() {
            Ok(number) if number.abs() <= 1e6 && is_percent => Ok(Self::Percent(number)),
            Ok(number) if number.abs() <= 1e6 => Ok(Self::Number(number)),
            _ => Err(Error::invalid("length", format!("\"{text}\": expected a number, or a part such as \"30%\""))),
        }
    }
}

/// Lays the second input over the first. Position and size are rounded to whole pixels; at `scale = 1` each pixel of the
/// upper picture is exact. Alpha is straight in the lower picture and in what is given: with colours c and alphas a of the
/// lower (b) and the upper (s) picture, a = as + ab (1 - as) and c = (as cs + ab cb (1 - as)) / a.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Overlay {
    /// Which point of the upper picture lies on the same point of the lower one. Default: `"top-left"`.
    pub anchor: Anchor,
    /// Moved from there to the right and down. Unit: pixels, or % of the target. Default: `[0, 0]`.
    pub position: [Text<Length>; 2],
    /// Its size: so many times its own, or a part of the target's width. Unit: times, or %. Default: 1.
    pub scale: Text<Length>,
    /// 0 hides it, 1 shows it. Default: 1.
    pub opacity: f64,
    /// What the upper picture's colours are multiplied by. Default: `"straight"`.
    pub alpha: Alpha,
}

impl Default for Overlay {
    fn default() -> Self {
        Self {
            anchor: Anchor::TopLeft,
            position: [Text(Length::Number(0.0)); 2],
            scale: Text(Length::Number(1.0)),
            opacity: 1.0,
            alpha: Alpha::Straight,
        }
    }
}

/// A corner, the middle of an edge, or the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The top left corner.
    #[default]
    TopLeft,
    /// The middle of the top edge.
    Top,
    /// The top right corner.
    TopRight,
    /// The middle of the left edge.
    Left,
    /// The middle.
    Center,
    /// The middle of the right edge.
    Right,
    /// The bottom left corner.
    BottomLeft,
    /// The middle of the bottom edge.
    Bottom,
    /// The bottom right corner.
    BottomRight,
}

impl Anchor {
    /// Across and down, 0 to 1.
    pub fn parts(self) -> (f64, f64) {
        match self {
            Self::TopLeft => (0.0, 0.0),
            Self::Top => (0.5, 0.0),
            Self::TopRight => (1.0, 0.0),
            Self::Left => (0.0, 0.5),
            Self::Center => (0.5, 0.5),
            Self::Right => (1.0, 0.5),
            Self::BottomLeft => (0.0, 1.0),
            Self::Bottom => (0.5, 1.0),
            Self::BottomRight => (1.0, 1.0),
        }
    }
}

/// What a picture's colours are multiplied by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Alpha {
    /// Nothing: PNG files, and what every pass makes.
    #[default]
    Straight,
    /// Their alpha.
    Premultiplied,
}

/// `blend`: the mode alone, or a table.
#[derive(Clone, Copy, Debug)]
pub struct Blend(pub BlendKeys);

/// Mixes the second input into the first, as the W3C's Compositing and Blending has it, on R'G'B' as stored. Alpha is
/// straight, in what is read and in what is given.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BlendKeys {
    /// The formula. Default: `"normal"`.
    #[serde(default)]
    pub mode: BlendMode,
    /// Multiplies the alpha of the second input: 0 gives the first input, 1 the whole effect. Default: 1.
    #[serde(default = "one")]
    pub opacity: f64,
}

fn one() -> f64 {
    1.0
}

/// A formula for two colours: below, above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BlendMode {
    /// The upper one.
    #[default]
    Normal,
    /// Their sum, at most 1.
    Add,
    /// Their product.
    Multiply,
    /// The product of what is missing to white.
    Screen,
    /// How far they are apart.
    Difference,
    /// The larger, in each component.
    Lighten,
    /// The smaller, in each component.
    Darken,
    /// Multiply where the lower one is dark, screen where it is bright.
    Overlay,
}

impl<'de> Deserialize<'de> for Blend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlendVisitor;
        impl<'de> Visitor<'de> for BlendVisitor {
            type Value = Blend;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mode (\"multiply\"), or a table { mode = \"multiply\", opacity = 0.5 }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blend, E> {
                let text: StrDeserializer<'_, E> = text.into_deserializer();
                BlendMode::deserialize(text).map(|mode| Blend(BlendKeys { mode, opacity: one() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Blend, A::Error> {
                BlendKeys::deserialize(MapAccessDeserializer::new(map)).map(Blend)
            }
        }
        deserializer.deserialize_any(BlendVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_lengths() {
        assert_eq!("#ff0080".parse::<Rgba>().unwrap().0, [1.0, 0.0, 128.0 / 255.0, 1.0]);
        assert_eq!("#00000000".parse::<Rgba>().unwrap().0, [0.0; 4]);
        for bad in ["", "#", "#12345", "#1234567", "red", "#ggg000", "#é1234"] {
            assert!(bad.parse::<Rgba>().is_err(), "{bad}");
        }
        assert_eq!("30%".parse::<Length>().unwrap().of(200), 60.0);
        assert_eq!("-16".parse::<Length>().unwrap().of(200), -16.0);
        for bad in ["", "%", "1e9", "nan", "3 px"] {
            assert!(bad.parse::<Length>().is_err(), "{bad}");
        }
    }
}
