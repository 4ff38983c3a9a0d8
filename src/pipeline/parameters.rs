//! Named parameters: values that uniforms refer to as `"$NAME"`, and that change while a run goes on.
//!
//! In: `[parameter.NAME]` of a description; new values as text. Out: a [`ParameterSet`] that is checked at every change,
//! and [`Parameters`], the same shared between a run and whoever sets them.
//! Not here: which uniform takes which parameter (`plan`), sockets (the command line).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

use super::description::{Description, Spanned, Uniform, did_you_mean};
use super::faults::Faults;

/// What the numbers of a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `true` and `false`.
    Boolean,
    /// Whole numbers: an `int` uniform takes it.
    Whole,
    /// Any numbers.
    Number,
}

/// A parameter and its value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// The name in the pipeline file.
    pub name: String,
    /// What the numbers may be.
    pub kind: Kind,
    /// The value now: one number, or those of a vector.
    pub value: Vec<f64>,
    /// The value at the start.
    pub default: Vec<f64>,
    /// The smallest number.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
    /// What it does.
    pub description: Option<String>,
}

impl Parameter {
    /// The value as it is written in a description: `1.5`, `true`, `[1, 0.5, 0]`.
    pub fn text(&self) -> String {
        text(self.kind, &self.value)
    }

    /// Why these numbers are no value of this parameter.
    fn check(&self, value: &[f64]) -> Result<(), String> {
        if value.len() != self.default.len() {
            return Err(format!("{} numbers given, {} has {}", value.len(), self.name, self.default.len()));
        }
        for number in value {
            if !number.is_finite() {
                return Err(format!("{number} is no number that a shader can use"));
            }
            if self.kind != Kind::Number && (number.fract() != 0.0 || number.abs() >= f64::from(i32::MAX)) {
                return Err(format!("{number}: {} takes whole numbers", self.name));
            }
            if let Some(min) = self.min.filter(|min| number < min) {
                return Err(format!("{number} is below min {min}"));
            }
            if let Some(max) = self.max.filter(|max| number > max) {
                return Err(format!("{number} is above max {max}"));
            }
        }
        Ok(())
    }

    fn parse(&self, text: &str) -> Result<Vec<f64>, String> {
        let value = Uniform::from_text(text)?;
        match (&value, self.kind) {
            (Uniform::Parameter(_), _) => Err(format!("\"{text}\": a parameter takes numbers, not another parameter")),
            (Uniform::Bool(_), Kind::Boolean) => Ok(value.numbers()),
            (_, Kind::Boolean) => Err(format!("\"{text}\": {} takes true or false", self.name)),
            (Uniform::Bool(_), _) => Err(format!("\"{text}\": {} takes numbers", self.name)),
            _ => Ok(value.numbers()),
        }
    }
}

fn text(kind: Kind, value: &[f64]) -> String {
    let one = |number: &f64| match kind {
        Kind::Boolean => (*number != 0.0).to_string(),
        _ => number.to_string(),
    };
    match value {
        [number] => one(number),
        numbers => format!("[{}]", numbers.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

/// Reads one `[parameter.NAME]`.
fn parameter(
    description: &Description,
    name: &Spanned<String>,
    keys: &super::description::Parameter,
) -> Result<Parameter> {
    let error = |key: &str, detail: String, span| description.error(format!("parameter.{name}.{key}"), detail, span);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.get_ref().starts_with(|c: char| c.is_ascii_alphabetic()) || !name.get_ref().chars().all(plain) {
        let detail = "names begin with a letter and have letters, digits, - and _";
        return Err(description.error(format!("parameter.{name}"), detail, name.span()));
    }
    let default = keys.default.get_ref();
    let kind = match default {
        Uniform::Bool(_) => Kind::Boolean,
        Uniform::Parameter(_) => {
            let detail = "a default is a number, true, false or an array of numbers".into();
            return Err(error("default", detail, keys.default.span()));
        }
        _ => Kind::Number,
    };
    let bounds = [("min", keys.min.as_ref()), ("max", keys.max.as_ref())];
    for (key, bound) in bounds {
        let Some(bound) = bound else { continue };
        if kind == Kind::Boolean {
            return Err(error(key, "true and false have no range".into(), bound.span()));
        }
        if !bound.get_ref().is_finite() {
            return Err(error(key, format!("{} is no number that a shader can use", bound.get_ref()), bound.span()));
        }
    }
    let [min, max] = bounds.map(|(_, bound)| bound.map(|bound| *bound.get_ref()));
    if let (Some(low), Some(high), Some(place)) = (min, max, &keys.max)
        && low > high
    {
        return Err(error("max", format!("{high} is below min {low}"), place.span()));
    }
    let value = default.numbers();
    let parameter = Parameter {
        name: name.get_ref().clone(),
        kind,
        value: value.clone(),
        default: value,
        min,
        max,
        description: keys.description.clone(),
    };
    if parameter.value.is_empty() {
        return Err(error("default", "the array has no number".into(), keys.default.span()));
    }
    parameter.check(&parameter.default).map_err(|detail| error("default", detail, keys.default.span()))?;
    Ok(parameter)
}

/// The parameters of a description, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterSet(Vec<Parameter>);

impl ParameterSet {
    /// Reads `[parameter.NAME]`.
    ///
    /// # Errors
    /// `Config` with the place: a name that is none, `min` above `max`, a default out of range.
    pub fn new(description: &Description) -> Result<Self> {
        let mut faults = Faults::default();
        let set = Self::collect(description, &mut faults);
        faults.into_result().map(|()| set)
    }

    /// As [`ParameterSet::new`], without those that are wrong.
    pub fn collect(description: &Description, faults: &mut Faults) -> Self {
        let mut given: Vec<_> = description.parameters.iter().collect();
        given.sort_by_key(|(name, _)| name.span().start);
        let mut set = Vec::new();
        for (name, keys) in given {
            match parameter(description, name, keys) {
                Ok(parameter) => set.push(parameter),
                Err(error) => {
                    faults.breaks("parameter", name.get_ref());
                    faults.add(error);
                }
            }
        }
        Self(set)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> + Clone {
        self.0.iter()
    }

    /// The parameter of this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Parameter> {
        self.0.iter().find(|parameter| parameter.name == name).ok_or_else(|| self.unknown(name))
    }

    /// Numbers of the parameter, where there is one of this name.
    pub fn value(&self, name: &str) -> Option<&[f64]> {
        self.0.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.value.as_slice())
    }

    /// The hint for a name that is none.
    pub fn nearest(&self, name: &str) -> String {
        did_you_mean(name, self.0.iter().map(|parameter| parameter.name.as_str()))
    }

    fn unknown(&self, name: &str) -> Error {
        let detail = format!("there is no parameter \"{name}\"");
        Error::new(ErrorKind::NotFound, "parameter", detail).with_hint(self.nearest(name))
    }

    /// Only whole numbers from now on: an `int` uniform takes this parameter.
    pub(super) fn take_whole(&mut self, name: &str) -> Result<(), String> {
        let Some(parameter) = self.0.iter_mut().find(|parameter| parameter.name == name) else { return Ok(()) };
        if parameter.kind == Kind::Number {
            parameter.kind = Kind::Whole;
        }
        parameter.check(&parameter.value)
    }

    /// Gives parameters new values: `NAME VALUE`, several separated by `;`. All of them change, or none does.
    ///
    /// # Errors
    /// `NotFound` with the nearest name; `InvalidInput`: no value of this parameter.
    pub fn set(&mut self, assignments: &str) -> Result<()> {
        let mut changed = self.clone();
        for assignment in assignments.split(';') {
            let (name, value) =
                assignment.trim().split_once(|c: char| c.is_whitespace() || c == '=').ok_or_else(|| {
                    let error = Error::invalid("set", format!("\"{}\": expected NAME VALUE", assignment.trim()));
                    error.with_hint("e.g. set exposure 1.2")
                })?;
            let at = changed.0.iter().position(|parameter| parameter.name == name);
            let at = at.ok_or_else(|| self.unknown(name))?;
            let parameter = &mut changed.0[at];
            let numbers = parameter.parse(value.trim_start_matches(['=', ' ', '\t']));
            let numbers = numbers.and_then(|numbers| parameter.check(&numbers).map(|()| numbers));
            parameter.value = numbers.map_err(|detail| Error::invalid(format!("set {name}"), detail))?;
        }
        *self = changed;
        Ok(())
    }

    /// Takes over the values of `live` that were set there, where they are values here too; a default that the text now
    /// gives differently wins.
    pub(super) fn keep_values_of(&mut self, live: &Self) {
        for parameter in &mut self.0 {
            let Some(old) = live.0.iter().find(|old| old.name == parameter.name) else { continue };
            if old.default == parameter.default && parameter.check(&old.value).is_ok() {
                parameter.value = old.value.clone();
            }
        }
    }

    /// One line a parameter, for people.
    pub fn describe(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|parameter| {
                let mut line = format!("parameter {}: {}", parameter.name, parameter.text());
                let _ = match (parameter.min, parameter.max) {
                    (Some(min), Some(max)) => write!(line, ", {min} to {max}"),
                    (Some(min), None) => write!(line, ", from {min}"),
                    (None, Some(max)) => write!(line, ", up to {max}"),
                    (None, None) => Ok(()),
                };
                if let Some(description) = &parameter.description {
                    let _ = write!(line, "; {description}");
                }
                line
            })
            .collect()
    }
}

impl From<ParameterSet> for Vec<Parameter> {
    fn from(set: ParameterSet) -> Self {
        set.0
    }
}

/// Parameters shared between a run and whoever sets them.
#[derive(Debug, Default)]
pub struct Parameters {
    set: Mutex<ParameterSet>,
    /// Counts changes.
    generation: AtomicU64,
}

impl Parameters {
    /// Shares `set`.
    pub fn new(set: ParameterSet) -> Self {
        Self { set: Mutex::new(set), generation: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, ParameterSet> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`ParameterSet::set`]; every frame that begins after this sees all the new values.
    ///
    /// # Errors
    /// As [`ParameterSet::set`].
    pub fn set(&self, assignments: &str) -> Result<()> {
        let mut set = self.lock();
        set.set(assignments)?;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// The parameters as they are now.
    pub fn snapshot(&self) -> ParameterSet {
        self.lock().clone()
    }

    /// Puts others in their place.
    pub(super) fn replace(&self, set: ParameterSet) {
        *self.lock() = set;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The parameters, where they have changed since `seen`, which is set. Does not block longer than a change takes.
    pub(super) fn changed(&self, seen: &mut u64) -> Option<ParameterSet> {
        if self.generation.load(Ordering::Acquire) == *seen {
            return None;
        }
        let set = self.lock();
        *seen = self.generation.load(Ordering::Acquire);
        Some(set.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<ParameterSet> {
        ParameterSet::new(&Description::parse("p.toml", text)?)
    }

    const TWO: &str = "[parameter.exposure]\ndefault = 1\nmin = 0\nmax = 4\n[parameter.tint]\ndefault = [1, 0.5, 0]\n[parameter.on]\ndefault = true\n";

    #[test]
    fn values_are_checked_and_change_together() {
        let mut set = set(TWO).unwrap();
        set.set("exposure 1.25; tint [0, 0.25, 1]").unwrap();
        let texts: Vec<_> = set.iter().map(Parameter::text).collect();
        assert_eq!(texts, ["1.25", "[0, 0.25, 1]", "true"]);
        set.set("on=false").unwrap();
        assert_eq!(set.value("on"), Some(&[0.0][..]));
        let before = set.clone();
        for (bad, words) in [
            ("exposure 2; tint [1, 2]", "2 numbers given, tint has 3"),
            ("exposure 5", "5 is above max 4"),
            ("exposure -1", "-1 is below min 0"),
            ("exposure nan", "NaN is no number"),
            ("exposure x", "is no value"),
            ("exposure 1\nother = 2", "is no value"),
            ("exposure true", "takes numbers"),
            ("exposure $tint", "not another parameter"),
            ("on 1", "takes true or false"),
            ("exposur 1", "did you mean \"exposure\"?"),
            ("exposure", "expected NAME VALUE"),
            ("", "expected NAME VALUE"),
        ] {
            let error = set.set(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
        assert_eq!(set, before);
    }

    #[test]
    fn wrong_tables_have_a_place() {
        for (text, words) in [
            ("[parameter.a]\ndefault = 5\nmax = 4\n", "p.toml:2:11: parameter.a.default: 5 is above max 4"),
            ("[parameter.a]\ndefault = 5\nmin = 6\nmax = 4\n", "p.toml:4:7: parameter.a.max: 4 is below min 6"),
            ("[parameter.a]\ndefault = true\nmin = 0\n", "p.toml:3:7: parameter.a.min: true and false"),
            ("[parameter.a]\ndefault = []\n", "p.toml:2:11: parameter.a.default: the array has no number"),
            ("[parameter.a]\ndefault = \"$b\"\n", "p.toml:2:11: parameter.a.default: a default is"),
            ("[parameter.\"a b\"]\ndefault = 1\n", "p.toml:1:12: parameter.a b: names begin with"),
            ("[parameter.a]\ndefault = 1\nmaximum = 2\n", "p.toml:3:1: toml: unknown key `maximum`"),
            ("[parameter.a]\nmin = 1\n", "missing key `default`"),
            ("[parameter.a]\ndefault = [\"$a\"]\n", "stands for a whole value"),
        ] {
            let error = set(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_run_sees_each_change_once() {
        let parameters = Parameters::new(set(TWO).unwrap());
        let mut seen = 0;
        assert!(parameters.changed(&mut seen).is_none());
        parameters.set("exposure 2").unwrap();
        assert!(parameters.set("exposure 9").is_err());
        assert_eq!(parameters.changed(&mut seen).unwrap().value("exposure"), Some(&[2.0][..]));
        assert!(parameters.changed(&mut seen).is_none());
    }

    #[test]
    fn values_that_were_set_outlive_a_change_of_the_text_elsewhere() {
        let mut live = set(TWO).unwrap();
        live.set("exposure 3; on false").unwrap();
        let mut edited = set(&TWO.replace("default = true", "default = true\ndescription = \"new\"")).unwrap();
        edited.keep_values_of(&live);
        assert_eq!((edited.value("exposure"), edited.value("on")), (Some(&[3.0][..]), Some(&[0.0][..])));
        let mut edited = set(&TWO.replace("default = 1\n", "default = 2\n")).unwrap();
        edited.keep_values_of(&live);
        assert_eq!(edited.value("exposure"), Some(&[2.0][..]));
        let mut edited = set(&TWO.replace("max = 4", "max = 2")).unwrap();
        edited.keep_values_of(&live);
        assert_eq!(edited.value("exposure"), Some(&[1.0][..]));
    }
}
