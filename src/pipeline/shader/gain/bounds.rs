//! Numbers of which two runs are compared: between what they lie, and how far apart they can be.
//!
//! In: such numbers. Out: what GLSL's operators and functions make of them. Not here: texts (`gain`).

/// A number in two runs over pictures that differ: both of its values lie between `low` and `high`, at most `off` apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// It is no less in either run.
    pub low: f64,
    /// It is no more in either run.
    pub high: f64,
    /// How far its two values can be apart; 0: they are the same.
    pub off: f64,
    /// It is an `int` or a `uint`: division leaves the rest out.
    pub whole: bool,
}

/// A number or the numbers of a vector.
pub type Value = Vec<Bound>;

/// Zero of anything is nothing, also of what has no end.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

impl Bound {
    /// The same in both runs, and otherwise unknown.
    pub const ANY: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY, off: 0.0, whole: false };

    /// This number.
    pub fn exact(number: f64) -> Self {
        Self::between(number, number)
    }

    /// The same as an `int`, or as a `float`.
    pub fn as_whole(self, whole: bool) -> Self {
        Self { whole, ..self }
    }

    /// The same in both runs.
    pub fn between(low: f64, high: f64) -> Self {
        Self::new(low, high, 0.0)
    }

    /// What is not to be known is anything; two values between two ends are no farther apart than those.
    pub fn new(low: f64, high: f64, off: f64) -> Self {
        let (low, high) =
            (if low.is_nan() { f64::NEG_INFINITY } else { low }, if high.is_nan() { f64::INFINITY } else { high });
        let off = if off.is_nan() { f64::INFINITY } else { off };
        Self { low, high, off: off.min(high - low), whole: false }
    }

    /// The number, where it can be one only.
    pub fn point(self) -> Option<f64> {
        (self.low == self.high).then_some(self.low)
    }

    fn size(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// Between the ends, and as far apart as those where the runs differ at all.
    fn anywhere(low: f64, high: f64, differs: bool) -> Self {
        Self::new(low, high, if differs { f64::INFINITY } else { 0.0 })
    }

    /// One of both, the same one in both runs.
    pub fn or(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high), self.off.max(other.off))
            .as_whole(self.whole && other.whole)
    }

    fn negated(self) -> Self {
        Self { low: -self.high, high: -self.low, ..self }
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.low + other.low, self.high + other.high, self.off + other.off)
    }

    fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    fn by(self, other: Self) -> Self {
        let corners = [
            times(self.low, other.low),
            times(self.low, other.high),
            times(self.high, other.low),
            times(self.high, other.high),
        ];
        let low = corners.into_iter().fold(f64::INFINITY, f64::min);
        let high = corners.into_iter().fold(f64::NEG_INFINITY, f64::max);
        Self::new(low, high, times(self.size(), other.off) + times(other.size(), self.off))
    }

    fn over(self, other: Self) -> Self {
        if other.low <= 0.0 && other.high >= 0.0 {
            return Self::anywhere(f64::NEG_INFINITY, f64::INFINITY, self.off > 0.0 || other.off > 0.0);
        }
        let least = other.low.abs().min(other.high.abs());
        let parts = self.by(Self::new(1.0 / other.high, 1.0 / other.low, other.off / (least * least)));
        if self.whole && other.whole {
            let off = if parts.off > 0.0 { parts.off + 1.0 } else { 0.0 };
            return Self::new(parts.low.floor(), parts.high.ceil(), off);
        }
        parts
    }

    fn least(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.min(other.high), self.off.max(other.off))
    }

    fn most(self, other: Self) -> Self {
        Self::new(self.low.max(other.low), self.high.max(other.high), self.off.max(other.off))
    }

    fn absolute(self) -> Self {
        let low = if self.low <= 0.0 && self.high >= 0.0 { 0.0 } else { self.low.abs().min(self.high.abs()) };
        Self::new(low, self.size(), self.off)
    }

    /// A function that rises everywhere and by `slope` at most.
    fn rising(self, slope: f64, function: impl Fn(f64) -> f64) -> Self {
        Self::new(function(self.low), function(self.high), times(slope, self.off))
    }

    fn square_root(self) -> Self {
        let low = self.low.max(0.0);
        // Near nothing it is steep, and yet no farther apart than the root of what it was.
        let off = (self.off / (2.0 * low.sqrt())).min(self.off.sqrt());
        Self::new(low.sqrt(), self.high.max(0.0).sqrt(), if self.off == 0.0 { 0.0 } else { off })
    }

    fn power(self, exponent: Self) -> Self {
        let differs = self.off > 0.0 || exponent.off > 0.0;
        let Some(power) = exponent.point().filter(|power| *power > 0.0) else {
            return Self::anywhere(0.0, f64::INFINITY, differs);
        };
        let (low, high) = (self.low.max(0.0), self.high.max(0.0));
        let off = if power >= 1.0 {
            times(power * high.powf(power - 1.0), self.off)
        } else {
            self.off.powf(power).min(times(power * low.powf(power - 1.0), self.off))
        };
        Self::new(low.powf(power), high.powf(power), if self.off == 0.0 { 0.0 } else { off })
    }
}

/// Two values number by number; a single number goes with each of the other.
pub fn each(a: &Value, b: &Value, function: impl Fn(Bound, Bound) -> Bound) -> Option<Value> {
    let count = a.len().max(b.len());
    let fits = |value: &Value| value.len() == 1 || value.len() == count;
    let at = |value: &Value, index: usize| value[if value.len() == 1 { 0 } else { index }];
    (fits(a) && fits(b) && !a.is_empty() && !b.is_empty())
        .then(|| (0..count).map(|index| function(at(a, index), at(b, index))).collect())
}

/// `a + b` and its kin; comparisons and `&&`, `||` are 0 or 1.
pub fn operator(sign: &str, a: &Value, b: &Value) -> Option<Value> {
    let truth = |known: Option<bool>, a: Bound, b: Bound| match known {
        Some(truth) => Bound::exact(f64::from(u8::from(truth))),
        None => Bound::anywhere(0.0, 1.0, a.off > 0.0 || b.off > 0.0),
    };
    let below = |a: Bound, b: Bound| match () {
        () if a.high < b.low => Some(true),
        () if a.low >= b.high => Some(false),
        () => None,
    };
    let same = |a: Bound, b: Bound| match (a.point(), b.point()) {
        (Some(a), Some(b)) => Some(a == b),
        _ if a.high < b.low || b.high < a.low => Some(false),
        _ => None,
    };
    let not = |known: Option<bool>| known.map(|truth| !truth);
    if !matches!(sign, "+" | "-" | "*" | "/") && (a.len() != 1 || b.len() != 1) {
        return None;
    }
    each(a, b, |a, b| match sign {
        "+" => a.plus(b).as_whole(a.whole && b.whole),
        "-" => a.minus(b).as_whole(a.whole && b.whole),
        "*" => a.by(b).as_whole(a.whole && b.whole),
        "/" => a.over(b).as_whole(a.whole && b.whole),
        "<" => truth(below(a, b), a, b),
        ">" => truth(below(b, a), a, b),
        "<=" => truth(not(below(b, a)), a, b),
        ">=" => truth(not(below(a, b)), a, b),
        "==" => truth(same(a, b), a, b),
        "!=" => truth(not(same(a, b)), a, b),
        "&&" => a.least(b),
        "||" => a.most(b),
        _ => Bound::anywhere(f64::NEG_INFINITY, f64::INFINITY, true),
    })
}

/// `-a`.
pub fn negated(value: &Value) -> Value {
    value.iter().map(|bound| bound.negated()).collect()
}

/// `!a`.
pub fn denied(value: &Value) -> Value {
    value.iter().map(|bound| Bound::exact(1.0).minus(*bound)).collect()
}

fn sum_of_products(a: &Value, b: &Value) -> Option<Bound> {
    Some(each(a, b, Bound::by)?.into_iter().fold(Bound::exact(0.0), Bound::plus))
}

fn length(value: &Value) -> Bound {
    let absolute: Vec<Bound> = value.iter().map(|bound| bound.absolute()).collect();
    let root = |of: fn(&Bound) -> f64| absolute.iter().map(|bound| of(bound).powi(2)).sum::<f64>().sqrt();
    Bound::new(root(|bound| bound.low), root(|bound| bound.high), root(|bound| bound.off))
}

/// A function of GLSL ES; nothing where it is not known.
pub fn built_in(name: &str, arguments: &[Value]) -> Option<Value> {
    let whole = arguments.iter().flatten().all(|bound| bound.whole);
    Some(function(name, arguments)?.into_iter().map(|bound| bound.as_whole(whole)).collect())
}

fn function(name: &str, arguments: &[Value]) -> Option<Value> {
    let every = |function: fn(Bound) -> Bound| arguments[0].iter().map(|bound| function(*bound)).collect();
    match (name, arguments) {
        ("abs", [_]) => Some(every(Bound::absolute)),
        ("sqrt", [_]) => Some(every(Bound::square_root)),
        ("inversesqrt", [_]) => Some(every(|x| Bound::exact(1.0).over(x.square_root()))),
        ("radians", [_]) => Some(every(|x| x.by(Bound::exact(1f64.to_radians())))),
        ("degrees", [_]) => Some(every(|x| x.by(Bound::exact(1f64.to_degrees())))),
        ("sin" | "cos", [_]) => Some(every(|x| Bound::new(-1.0, 1.0, x.off))),
        ("atan", [_]) => Some(every(|x| x.rising(1.0, f64::atan))),
        ("exp", [_]) => Some(every(|x| x.rising(x.high.exp(), f64::exp))),
        ("exp2", [_]) => Some(every(|x| x.rising(x.high.exp2() * std::f64::consts::LN_2, f64::exp2))),
        ("log", [_]) => Some(every(|x| x.rising(1.0 / x.low.max(0.0), |x| x.max(0.0).ln()))),
        ("log2", [_]) => Some(every(|x| x.rising(std::f64::consts::LOG2_E / x.low.max(0.0), |x| x.max(0.0).log2()))),
        // A step apart where the runs are apart at all.
        ("floor", [_]) => Some(every(|x| x.rising(1.0, f64::floor).stepped())),
        ("ceil", [_]) => Some(every(|x| x.rising(1.0, f64::ceil).stepped())),
        ("round" | "roundEven", [_]) => Some(every(|x| x.rising(1.0, f64::round_ties_even).stepped())),
        ("sign", [_]) => Some(every(|x| Bound::anywhere(-1.0, 1.0, x.off > 0.0))),
        ("fract", [_]) => Some(every(|x| Bound::anywhere(0.0, 1.0, x.off > 0.0))),
        ("mod", [a, b]) => each(a, b, |a, b| {
            let size = b.size();
            Bound::anywhere(if b.low >= 0.0 { 0.0 } else { -size }, size, a.off > 0.0 || b.off > 0.0)
        }),
        ("min", [a, b]) => each(a, b, Bound::least),
        ("max", [a, b]) => each(a, b, Bound::most),
        ("pow", [a, b]) => each(a, b, Bound::power),
        ("step", [edge, x]) => each(edge, x, |edge, x| match () {
            () if x.low >= edge.high => Bound::exact(1.0),
            () if x.high < edge.low => Bound::exact(0.0),
            () => Bound::anywhere(0.0, 1.0, edge.off > 0.0 || x.off > 0.0),
        }),
        ("clamp", [x, low, high]) => each(&each(x, low, Bound::most)?, high, Bound::least),
        ("mix", [a, b, part]) => {
            let rest: Value = part.iter().map(|part| Bound::exact(1.0).minus(*part)).collect();
            let sum = operator("+", &operator("*", a, &rest)?, &operator("*", b, part)?)?;
            // Between the two where the part is one of the whole, and then nearer than the farther of them.
            let moved = each(&each(b, a, Bound::minus)?, part, |span, part| {
                Bound::new(f64::NEG_INFINITY, f64::INFINITY, times(span.size(), part.off))
            })?;
            let ends = each(a, b, Bound::or)?;
            let is_part = part.iter().all(|part| part.low >= 0.0 && part.high <= 1.0);
            let near = each(&ends, &moved, |ends, moved| Bound::new(ends.low, ends.high, ends.off + moved.off))?;
            Some(if is_part { near } else { sum })
        }
        ("smoothstep", [from, to, x]) => {
            let width = each(to, from, Bound::minus)?;
            let place = each(x, &width, |x, width| {
                let known = width.low > 0.0 && width.off == 0.0;
                let off = if known { 1.5 * x.off / width.low } else { f64::INFINITY };
                Bound::new(0.0, 1.0, if x.off == 0.0 && width.off == 0.0 { 0.0 } else { off })
            })?;
            each(&place, from, |place, from| Bound::new(0.0, 1.0, if from.off > 0.0 { 1.0 } else { place.off }))
        }
        ("dot", [a, b]) => Some(vec![sum_of_products(a, b)?]),
        ("length", [a]) => Some(vec![length(a)]),
        ("distance", [a, b]) => Some(vec![length(&each(a, b, Bound::minus)?)]),
        ("normalize", [a]) => {
            let differs = a.iter().any(|bound| bound.off > 0.0);
            Some(a.iter().map(|_| Bound::anywhere(-1.0, 1.0, differs)).collect())
        }
        _ => None,
    }
}

/// `float(x)`, `int(x)`, `vec3(…)`: `count` numbers; what is whole loses its rest.
pub fn constructed(count: usize, whole: bool, arguments: &[Value]) -> Option<Value> {
    let all: Value = arguments.iter().flatten().copied().collect();
    let numbers = match all.as_slice() {
        [] => return None,
        [one] => vec![*one; count],
        several => several.get(..count)?.to_vec(),
    };
    let cut = |x: Bound| if whole && !x.whole { x.rising(1.0, f64::trunc).stepped() } else { x };
    Some(numbers.into_iter().map(|x| cut(x).as_whole(whole)).collect())
}

impl Bound {
    /// Whole numbers of values that were apart are apart by one more.
    fn stepped(self) -> Self {
        Self::new(self.low, self.high, if self.off > 0.0 { self.off + 1.0 } else { 0.0 })
    }
}
