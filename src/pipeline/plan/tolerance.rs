//! Where a GPU draws: whether pictures that may be off by one code stay so up to the sinks.
//!
//! In: the passes as they are described, and those that would be drawn together. Out: why that must not be.
//! Not here: how far one shader carries a difference (`shader::gain`).
//!
//! A fused pass rounds to 8 bits as its target would, and yet not always alike: GPUs round to their targets by rules of
//! their own, and compilers join multiplications and additions in one shader that stand in two without it. Now and then
//! a value next to the middle of two codes becomes the other one. That is one code, and allowed; it must not become more
//! in whatever reads it. Where the CPU draws both ways are the same to the bit, and nothing is asked.

use std::collections::BTreeSet;

use crate::format::Fourcc;
use crate::layout::Size;
use crate::pipeline::graph::{Feed, Graph, Kind, PassNode};
use crate::pipeline::parameters::ParameterSet;
use crate::pipeline::shader::Entry;
use crate::pipeline::shader::gain::bounds::Bound;
use crate::pipeline::shader::gain::{Read, result_off};
use crate::pipeline::source::Info;

use super::{Drawn, Setting};

/// How far from the middle of two codes a GPU may round to the farther one, in codes. Seen on an NVIDIA H100: colours go to
/// their 8-bit targets as 16-bit floats, which between 1/2 and 1 are up to 2^-12 off: 1/16 code.
const ROUNDING: f64 = 1.0 / 16.0;

/// The most that one code may become on a GPU, in codes: numbers so far apart, each rounded so badly, are still neighbours.
pub(super) const MOST_ON_GPU: f64 = 1.0 - 2.0 * ROUNDING;

/// The same where rounding is exact. Sums of weights that are 1 on paper are a little more in numbers.
pub(super) const MOST_ON_CPU: f64 = 1.0 + 1e-5;

/// Fails, in words, where a difference of one code in the pictures of `off` becomes more than `most` in a pass that reads
/// them.
pub(super) fn check(
    base: &Drawn,
    infos: &[Info],
    parameters: &ParameterSet,
    off: &BTreeSet<usize>,
    most: f64,
) -> Result<(), String> {
    let graph = &base.graph;
    let mut off = off.clone();
    // Pictures of the frame before go round: until nothing is added.
    loop {
        let reads =
            |node: &PassNode| node.inputs.iter().any(|(_, feed)| feed.pass().is_some_and(|pass| off.contains(&pass)));
        let more: Vec<usize> =
            (0..graph.passes.len()).filter(|pass| !off.contains(pass) && reads(&graph.passes[*pass])).collect();
        if more.is_empty() {
            break;
        }
        off.extend(more);
    }
    (0..graph.passes.len()).try_for_each(|pass| one(base, infos, parameters, &off, most, pass))
}

/// The same for one pass.
fn one(
    base: &Drawn,
    infos: &[Info],
    parameters: &ParameterSet,
    off: &BTreeSet<usize>,
    most: f64,
    pass: usize,
) -> Result<(), String> {
    let node = &base.graph.passes[pass];
    let is_off = |feed: &Feed| feed.pass().is_some_and(|pass| off.contains(&pass));
    if !node.inputs.iter().any(|(_, feed)| is_off(feed)) {
        return Ok(());
    }
    let name = &node.name;
    let more = |why: String| Err(format!("a GPU may round it otherwise than its target, and {why}"));
    if bits(node.fourcc) != 8 {
        return more(format!("one code in it is another number of codes in {name}, which is {}", node.fourcc));
    }
    let reads: Vec<Read<'_>> = node
        .inputs
        .iter()
        .enumerate()
        .map(|(index, (name, feed))| {
            // Drawn several times, a pass reads itself as its first input.
            let off = if is_off(feed) || (index == 0 && node.repeat > 1) { 1.0 / 255.0 } else { 0.0 };
            let (low, high) = ends(&base.graph, infos, *feed);
            Read::even(name, Bound::new(low, high, off))
        })
        .collect();
    let codes = match (node.kind, base.shaders[pass].as_deref()) {
        (Kind::Copy, _) if node.inputs.iter().all(|(_, feed)| size(base, infos, *feed) == base.sizes[pass]) => {
            return Ok(());
        }
        // What a filter gives lies between what it reads, and is rounded again.
        (Kind::Copy, _) => Some(1.0),
        (Kind::Mesh | Kind::Compute | Kind::Wgpu, _) | (_, None) => {
            return more(format!("what {name} makes of it is not known"));
        }
        (_, Some(shader)) => match shader.entry {
            Entry::Pixel => result_off(&shader.text, &reads, |uniform| known(base, infos, parameters, pass, uniform))
                .map(|off| off * 255.0),
            Entry::Main | Entry::MainImage => None,
        },
    };
    match codes {
        Some(codes) if codes <= most => Ok(()),
        Some(codes) if codes < 255.0 => {
            more(format!("one code in it may become {codes:.1} in {name}, of which no more than {most:.3} stay one"))
        }
        _ => more(format!("that one code in it stays one in {name} cannot be shown")),
    }
}

/// Between what the numbers of a uniform of a pass lie.
pub(super) fn known(
    base: &Drawn,
    infos: &[Info],
    parameters: &ParameterSet,
    pass: usize,
    uniform: &str,
) -> Option<Vec<(f64, f64)>> {
    let node = &base.graph.passes[pass];
    let pixels = |size: Size| [size.width, size.height].map(|pixels| (f64::from(pixels), f64::from(pixels))).to_vec();
    if uniform == "resolution" {
        return Some(pixels(base.sizes[pass]));
    }
    let is_size = |input: &&(String, Feed)| uniform.strip_suffix("_size").is_some_and(|name| name == input.0);
    if let Some((_, feed)) = node.inputs.iter().find(is_size) {
        return Some(pixels(size(base, infos, *feed)));
    }
    let setting = base.uniforms[pass].iter().find(|setting| setting.uniform.name == uniform)?;
    Some(numbers(setting, parameters))
}

fn size(base: &Drawn, infos: &[Info], feed: Feed) -> Size {
    match feed {
        Feed::Source(source) => infos[source].size,
        Feed::Pass(pass) | Feed::Previous(pass) => base.sizes[pass],
    }
}

fn bits(fourcc: Fourcc) -> u32 {
    fourcc.format().map_or(0, |format| u32::from(format.component_bits))
}

/// Between what the numbers of a picture lie.
pub(super) fn ends(graph: &Graph, infos: &[Info], feed: Feed) -> (f64, f64) {
    let fourcc = match feed {
        Feed::Source(source) => infos[source].fourcc,
        Feed::Pass(pass) | Feed::Previous(pass) => graph.passes[pass].fourcc,
    };
    if bits(fourcc) <= 12 { (0.0, 1.0) } else { (f64::NEG_INFINITY, f64::INFINITY) }
}

/// Between what the numbers of a uniform lie, now and when its parameter changes.
fn numbers(setting: &Setting, parameters: &ParameterSet) -> Vec<(f64, f64)> {
    match setting.parameter.as_deref() {
        None => setting.numbers.iter().map(|number| (*number, *number)).collect(),
        Some(name) => {
            let parameter = parameters.iter().find(|parameter| parameter.name == name);
            let low = parameter.and_then(|parameter| parameter.min).unwrap_or(f64::NEG_INFINITY);
            let high = parameter.and_then(|parameter| parameter.max).unwrap_or(f64::INFINITY);
            vec![(low, high); setting.numbers.len()]
        }
    }
}
