//! Passes drawn together: one that asks only for its own pixel of another is put behind it in one program, and the
//! picture between them is never stored.
//!
//! In: the passes as they are described. Out: fewer passes, and why each pass that stayed alone did.
//! Not here: how texts are joined (`shader::join`).
//!
//! A pass goes into the passes that read it where every one of them asks for its own pixel only, at the same size, and
//! no sink takes its picture. Read by several draws, it is made again in each of them where that is cheap: as many
//! samples as reading the stored picture, and little arithmetic. A pass that is read at other places (by a blur) stays:
//! it would be made again for every tap.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::format::Fourcc;
use crate::gles::yuv;
use crate::pipeline::description::Filter;
use crate::pipeline::graph::{Feed, Graph, Kind, PassNode};
use crate::pipeline::parameters::ParameterSet;
use crate::pipeline::shader::join::{Joint, Part, name_in};
use crate::pipeline::shader::{Declared, Shader, Version};
use crate::pipeline::source::Info;

use super::{Drawn, Setting};

/// Textures that every driver binds at once.
const MAX_SAMPLERS: usize = 8;
/// Words of a shader that is cheap enough to be run in several draws.
const CHEAP_WORDS: usize = 120;
/// What makes a shader dear.
const DEAR: &[&str] = &[
    "for",
    "while",
    "do",
    "pow",
    "exp",
    "exp2",
    "log",
    "log2",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sqrt",
    "inversesqrt",
    "length",
    "distance",
    "normalize",
];

/// What became of the passes.
pub(super) struct Fused {
    /// The passes that are drawn.
    pub(super) drawn: Drawn,
    /// For each of them, the passes of the description that are in it, in the order in which they are computed.
    pub(super) parts: Vec<Vec<String>>,
    /// Passes that stayed alone although others read them, and why.
    pub(super) kept: Vec<(String, String)>,
}

/// Fuses what can be fused. `apart` names passes that must stay alone, as a driver does not take them together; with
/// `tolerance` a pass goes into others only where one code more or less in it stays one (`tolerance`).
pub(super) fn fuse(base: &Drawn, infos: &[Info], apart: &BTreeSet<String>, tolerance: Option<&ParameterSet>) -> Fused {
    let graph = &base.graph;
    let count = graph.passes.len();
    // The draws that a pass is part of, by their last passes.
    let mut member: Vec<BTreeSet<usize>> = (0..count).map(|pass| BTreeSet::from([pass])).collect();
    let mut kept = Vec::new();
    for pass in (0..count).rev() {
        let readers = readers(graph, pass);
        if readers.is_empty() {
            continue;
        }
        let draws: BTreeSet<usize> = readers.iter().flat_map(|reader| member[*reader].iter().copied()).collect();
        let may = can_go(base, pass, &readers, apart).and_then(|()| {
            if draws.len() > 1 {
                is_cheap(base, pass)?;
            }
            for draw in &draws {
                let mut parts: Vec<usize> = (0..count).filter(|other| member[*other].contains(draw)).collect();
                parts.insert(0, pass);
                inputs(base, infos, &parts)?;
            }
            Ok(())
        });
        let may = may.and_then(|()| {
            let alone = std::mem::replace(&mut member[pass], draws);
            let Some(parameters) = tolerance else { return Ok(()) };
            let parts = |draw: &usize| member.iter().filter(|draws| draws.contains(draw)).count();
            let off = (0..count).filter(|part| member[*part].iter().any(|draw| parts(draw) > 1)).collect();
            super::tolerance::check(base, infos, parameters, &off, super::tolerance::MOST_ON_GPU)
                .inspect_err(|_| member[pass] = alone)
        });
        if let Err(why) = may {
            kept.push((graph.passes[pass].name.clone(), why));
        }
    }
    kept.reverse();
    let draws: Vec<usize> = (0..count).filter(|pass| member[*pass].contains(pass)).collect();
    let mut fused = Fused {
        drawn: Drawn {
            graph: Graph { passes: Vec::new(), ..graph.clone() },
            sizes: Vec::new(),
            shaders: Vec::new(),
            uniforms: Vec::new(),
        },
        parts: Vec::new(),
        kept,
    };
    let place = |pass: usize| draws.iter().position(|draw| *draw == pass).unwrap_or(pass);
    for &draw in &draws {
        let parts: Vec<usize> = (0..count).filter(|pass| member[*pass].contains(&draw)).collect();
        let (mut node, shader, uniforms) = match parts.as_slice() {
            [_] => (graph.passes[draw].clone(), base.shaders[draw].clone(), base.uniforms[draw].clone()),
            parts => match join(base, infos, parts) {
                Ok(joined) => joined,
                // Every part was looked at before: cannot happen, and then nothing is fused.
                Err(why) => return alone(base, &why),
            },
        };
        for (_, feed) in &mut node.inputs {
            if let Feed::Pass(pass) | Feed::Previous(pass) = feed {
                *pass = place(*pass);
            }
        }
        fused.drawn.graph.passes.push(node);
        fused.drawn.sizes.push(base.sizes[draw]);
        fused.drawn.shaders.push(shader);
        fused.drawn.uniforms.push(uniforms);
        fused.parts.push(parts.iter().map(|part| graph.passes[*part].name.clone()).collect());
    }
    for sink in &mut fused.drawn.graph.sinks {
        sink.pass = place(sink.pass);
    }
    fused
}

/// Every pass as it is described.
pub(super) fn alone(base: &Drawn, why: &str) -> Fused {
    let names = || base.graph.passes.iter().map(|pass| pass.name.clone());
    Fused {
        drawn: base.clone(),
        parts: names().map(|name| vec![name]).collect(),
        kept: names()
            .enumerate()
            .filter(|(pass, _)| !readers(&base.graph, *pass).is_empty())
            .map(|(_, name)| (name, why.to_owned()))
            .collect(),
    }
}

/// The passes that read a pass.
fn readers(graph: &Graph, pass: usize) -> Vec<usize> {
    let reads = |node: &PassNode| node.inputs.iter().any(|(_, feed)| *feed == Feed::Pass(pass));
    (0..graph.passes.len()).filter(|other| reads(&graph.passes[*other])).collect()
}

/// Fails, in words, where a pass cannot go into those that read it.
fn can_go(base: &Drawn, pass: usize, readers: &[usize], apart: &BTreeSet<String>) -> Result<(), String> {
    let graph = &base.graph;
    let node = &graph.passes[pass];
    if let Some(sink) = graph.sinks.iter().find(|sink| sink.pass == pass) {
        return Err(format!("sink {} takes its picture", sink.plan.name));
    }
    let format = node.fourcc.format().map_err(|error| error.to_string())?;
    if format.component_bits != 8 || format.is_yuv() || matches!(node.fourcc, Fourcc::R8 | Fourcc::GR88) {
        return Err(format!("its picture is {}, not 8 bits of red, green and blue", node.fourcc));
    }
    can_be_part(base, pass, apart)?;
    for &reader in readers {
        let name = &graph.passes[reader].name;
        let shader = base.shaders[reader].as_deref();
        can_be_part(base, reader, apart).map_err(|why| format!("{name} reads it, and {why}"))?;
        if base.sizes[reader] != base.sizes[pass] {
            return Err(format!("{name} has another size"));
        }
        let inputs = graph.passes[reader].inputs.iter().filter(|(_, feed)| *feed == Feed::Pass(pass));
        for (input, _) in inputs {
            if !shader.is_some_and(|shader| shader.is_pointwise(input)) {
                return Err(format!("{name} reads it at other places too: {input} is not only {input}()"));
            }
        }
    }
    Ok(())
}

/// Fails, in words, where a pass cannot be part of a larger one.
fn can_be_part(base: &Drawn, pass: usize, apart: &BTreeSet<String>) -> Result<(), String> {
    let node = &base.graph.passes[pass];
    if apart.contains(&node.name) {
        return Err("the driver does not take the fused shader".into());
    }
    if node.kind == Kind::Mesh {
        return Err("it draws a model".into());
    }
    if node.kind == Kind::Compute {
        return Err("it is a compute shader".into());
    }
    if node.kind == Kind::Wgpu {
        return Err("wgpu draws it".into());
    }
    if !node.is_plain() {
        return Err("it has wrap, clear, repeat or enable, or is read in the next frame".into());
    }
    let shader = base.shaders[pass].as_deref().ok_or("it is no shader pass")?;
    let sizes = |declared: &Declared| node.inputs.iter().any(|(input, _)| declared.name == format!("{input}_size"));
    if let Some(declared) = shader.uniforms.iter().find(|declared| sizes(declared)) {
        return Err(format!("it declares {} itself", declared.name));
    }
    shader.can_be_joined()
}

/// Fails, in words, where a pass costs more to make again than to read.
fn is_cheap(base: &Drawn, pass: usize) -> Result<(), String> {
    let node = &base.graph.passes[pass];
    let Some(shader) = base.shaders[pass].as_deref() else { return Err("it is no shader pass".into()) };
    let tokens = crate::pipeline::shader::tokens::tokens(&shader.text);
    let is_dear = |range: &std::ops::Range<usize>| DEAR.contains(&&shader.text[range.clone()]);
    let cheap = node.inputs.len() <= 1
        && node.inputs.iter().all(|(input, _)| shader.is_pointwise(input))
        && tokens.len() <= CHEAP_WORDS
        && !tokens.iter().any(|token| is_dear(&token.range));
    match cheap {
        true => Ok(()),
        false => Err("several passes read it, and making it again in each would cost more than storing it".into()),
    }
}

/// A picture that a fused pass reads.
struct Picture {
    name: String,
    feed: Feed,
    filter: Filter,
    /// Every part asks for its own pixel only.
    pointwise: bool,
}

/// For each part its inputs by name.
type Joints = Vec<Vec<(String, Joint)>>;

/// The pictures that parts read together, and for each part what its inputs are. Parts that read one picture share it.
fn inputs(base: &Drawn, infos: &[Info], parts: &[usize]) -> Result<(Vec<Picture>, Joints), String> {
    let graph = &base.graph;
    let mut pictures: Vec<Picture> = Vec::new();
    let mut joints = Vec::new();
    let newest = parts.iter().filter_map(|part| base.shaders[*part].as_deref()).any(|s| s.version == Version::Es300);
    for (index, &part) in parts.iter().enumerate() {
        let node = &graph.passes[part];
        let shader = base.shaders[part].as_deref().ok_or("it is no shader pass")?;
        if newest && !shader.is_liftable() {
            return Err(format!("{} is GLSL ES 1.00 and uses a name that 3.00 has taken", node.name));
        }
        let mut of_part = Vec::new();
        for (input, feed) in &node.inputs {
            if let Some(value) = parts.iter().position(|other| *feed == Feed::Pass(*other)) {
                of_part.push((input.clone(), Joint::Value(value)));
                continue;
            }
            let same_size = match *feed {
                Feed::Source(source) => infos[source].size == base.sizes[part],
                Feed::Pass(pass) | Feed::Previous(pass) => base.sizes[pass] == base.sizes[part],
            };
            let pointwise = same_size && shader.is_pointwise(input);
            // Subsampled chroma is mixed between its samples even where a pixel asks for itself.
            let exact = match *feed {
                Feed::Source(source) => !infos[source].fourcc.format().is_ok_and(|format| format.is_yuv()),
                Feed::Pass(_) | Feed::Previous(_) => true,
            };
            let (pointwise, filter) = (pointwise && exact, node.filter);
            if let Some(picture) = pictures.iter_mut().find(|picture| picture.feed == *feed) {
                if picture.filter != filter && !picture.pointwise && !pointwise {
                    return Err(format!("{} would be read with two filters", graph.name(*feed)));
                }
                // Nothing lies between the pixels of one that is only asked for its own.
                if picture.pointwise {
                    (picture.filter, picture.pointwise) = (filter, pointwise);
                }
                of_part.push((input.clone(), Joint::Picture(picture.name.clone())));
                continue;
            }
            let name = name_in(index, input);
            pictures.push(Picture { name: name.clone(), feed: *feed, filter, pointwise });
            of_part.push((input.clone(), Joint::Picture(name)));
        }
        joints.push(of_part);
    }
    let samplers: usize = pictures.iter().map(|picture| samplers(picture.feed, infos)).sum();
    if samplers > MAX_SAMPLERS {
        return Err(format!("together they would read {samplers} textures, and not every driver has {MAX_SAMPLERS}"));
    }
    Ok((pictures, joints))
}

fn samplers(feed: Feed, infos: &[Info]) -> usize {
    let Feed::Source(source) = feed else { return 1 };
    yuv::views(infos[source].fourcc, infos[source].size).map_or(1, |views| views.len())
}

type Joined = (PassNode, Option<Arc<Shader>>, Vec<Setting>);

fn join(base: &Drawn, infos: &[Info], parts: &[usize]) -> Result<Joined, String> {
    let (pictures, joints) = inputs(base, infos, parts)?;
    let mut texts = Vec::new();
    let mut uniforms = Vec::new();
    for (index, (&part, joints)) in parts.iter().zip(&joints).enumerate() {
        texts.push(Part {
            shader: base.shaders[part].as_deref().ok_or("it is no shader pass")?,
            inputs: joints.iter().map(|(input, joint)| (input.as_str(), joint.clone())).collect(),
            opaque: !base.graph.passes[part].fourcc.format().is_ok_and(|format| format.has_alpha),
        });
        for setting in &base.uniforms[part] {
            let name = name_in(index, &setting.uniform.name);
            uniforms.push(Setting { uniform: Declared { name, ..setting.uniform.clone() }, ..setting.clone() });
        }
    }
    let mut shader = Shader::joined(&texts)?;
    let is_read_once = |picture: &str| {
        let named = |joint: &Joint| matches!(joint, Joint::Picture(name) if name == picture);
        joints.iter().flatten().filter(|(_, joint)| named(joint)).count() == 1
    };
    for (&part, joints) in parts.iter().zip(&joints) {
        let on_texels = base.shaders[part].as_deref().map_or(&[][..], |shader| &shader.on_texels);
        for (input, joint) in joints {
            if let Joint::Picture(name) = joint
                && on_texels.contains(input)
                && is_read_once(name)
            {
                shader.on_texels.push(name.clone());
            }
        }
    }
    let last = parts.last().ok_or("there is nothing to join")?;
    let mut node = base.graph.passes[*last].clone();
    node.filters = pictures.iter().map(|picture| picture.filter).collect();
    node.inputs = pictures.into_iter().map(|picture| (picture.name, picture.feed)).collect();
    Ok((node, Some(Arc::new(shader)), uniforms))
}
