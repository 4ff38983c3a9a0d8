//! The programs of a plan on this driver: what it does not take fused or four pixels wide is drawn as it is written.
//!
//! In: a plan, the driver. Out: passes ready to draw. Not here: their textures (`feed`) and targets (`target`).

use std::collections::BTreeSet;

use crate::color::Siting;
use crate::error::{Error, ErrorKind, Result};
use crate::gles::yuv::{self, PlaneView};
use crate::gles::{self, Gl, InputBinding};

use super::super::description::{ComputeKeys, Filter, Wrap};
use super::super::graph::{Feed, Kind, PassNode};
use super::super::parameters::ParameterSet;
use super::super::pass::compute::{ComputeOptions, ComputePass};
#[cfg(feature = "mesh")]
use super::super::pass::mesh::{MeshOptions, MeshPass};
#[cfg(feature = "wgpu")]
use super::super::pass::wgpu::{WgpuOptions, WgpuPass};
use super::super::pass::{self, Canvas, Pass, PassInput};
use super::super::plan::{ByFours, Plan, Programs};
use super::super::shader::Shader;
use super::feed::SourceFeed;
use super::planes;
use super::reload::is_same;
use super::stage::{Drawer, Stage};
use super::target::{self, Readable};

/// Which passes are drawn four pixels a fragment: those of the plan whose shader compiles so. A shader that the author
/// wrote in GLSL ES 1.00 is 3.00 there, and may have been right by 1.00's rules only.
pub(super) fn settle_four_wide(gl: &Gl, plan: &mut Plan, is_offered: bool) -> Result<()> {
    if !is_offered {
        plan.refuse_all_four_wide();
        return Ok(());
    }
    let mut compiled = BTreeSet::new();
    while let Some(pass) = (0..plan.four_wide.len()).find(|pass| plan.four_wide[*pass] && !compiled.contains(pass)) {
        let feed = |feed: Feed| match feed {
            Feed::Source(source) => before_it_is_opened(plan, source),
            Feed::Pass(pass) | Feed::Previous(pass) => drawn(plan, pass),
        };
        match build(gl, plan, pass, feed) {
            Ok(_) => {
                compiled.insert(pass);
            }
            Err(error) if error.kind() == ErrorKind::Shader => {
                let name = &plan.graph.passes[pass].name;
                tracing::info!(pass = name, %error, "not drawn four pixels a fragment");
                plan.refuse_four_wide(pass);
                // Those that read it may be read otherwise now.
                compiled.clear();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How a source will be read by the passes that are drawn four pixels a fragment.
fn before_it_is_opened(plan: &Plan, source: usize) -> Readable {
    let info = &plan.infos[source];
    let (binding, filters) = match plan.four_wide_filter(source) {
        Some(filter) => {
            let views = yuv::views_of_four(info.fourcc, info.size).unwrap_or_default();
            let filters = views.iter().map(|view: &PlaneView| view.filter).collect();
            (InputBinding::Four { fourcc: info.fourcc, mixed: filter == Filter::Linear }, filters)
        }
        None => (InputBinding::Rgb { swizzle: "rgba".into() }, vec![gles::Filter::Nearest]),
    };
    (binding, info.color, info.size, filters)
}

/// How a shader reads the picture of a pass.
fn drawn(plan: &Plan, pass: usize) -> Readable {
    match plan.four_wide[pass] {
        true => target::sampling_of_four(plan.sizes[pass]),
        false => target::sampling_of(plan.graph.passes[pass].fourcc, plan.sizes[pass]),
    }
}

/// Compiles every pass. Fused ones that the driver refuses are taken apart, so that an error is about the author's text.
pub(super) fn compile(gl: &Gl, plan: &mut Plan, feeds: &[SourceFeed<'_>]) -> Result<Vec<Stage>> {
    loop {
        let mut stages = Vec::new();
        let refused = 'all: {
            for index in 0..plan.graph.passes.len() {
                match Stage::new(gl, plan, index, |feed| sampled(plan, feeds, feed)) {
                    Ok(stage) => stages.push(stage),
                    Err(error) if error.kind() == ErrorKind::Shader => break 'all Some((index, error)),
                    Err(error) => return Err(error),
                }
            }
            None
        };
        let Some((index, error)) = refused else { return Ok(stages) };
        let name = plan.graph.passes[index].name.clone();
        if !plan.keep_apart(index) {
            return Err(error);
        }
        tracing::info!(pass = name, %error, "not drawn fused");
    }
}

/// Compiles every pass of a run that goes on, since a source is read in another way. The passes stay those that they are.
pub(super) fn compile_again(gl: &Gl, plan: &Plan, feeds: &[SourceFeed<'_>]) -> Result<Vec<Stage>> {
    (0..plan.graph.passes.len()).map(|index| Stage::new(gl, plan, index, |feed| sampled(plan, feeds, feed))).collect()
}

/// Compiles the passes whose shaders an edit has changed, and gives the others their values. Names of those that were
/// compiled, and the edit's parameters; where one does not compile, everything stays as it was. Only for plans whose
/// passes are those of the description (neither fused nor four wide).
pub(super) fn recompile(
    gl: &Gl,
    plan: &mut Plan,
    feeds: &[SourceFeed<'_>],
    edit: Programs,
    stages: &mut [Stage],
) -> Result<(Vec<String>, ParameterSet)> {
    let before =
        (std::mem::replace(&mut plan.shaders, edit.shaders), std::mem::replace(&mut plan.uniforms, edit.uniforms));
    let edited: Result<Vec<Option<Stage>>> = (0..stages.len())
        .map(|index| match is_same(before.0[index].as_deref(), plan.shaders[index].as_deref()) {
            true => Ok(None),
            false => Stage::new(gl, plan, index, |feed| sampled(plan, feeds, feed)).map(Some),
        })
        .collect();
    let edited = match edited {
        Ok(edited) => edited,
        Err(error) => {
            (plan.shaders, plan.uniforms) = before;
            return Err(error);
        }
    };
    let mut compiled = Vec::new();
    for (index, edited) in edited.into_iter().enumerate() {
        match edited {
            Some(stage) => {
                compiled.push(plan.graph.passes[index].name.clone());
                stages[index] = stage;
            }
            None => stages[index].assign(gl, &plan.uniforms[index])?,
        }
    }
    Ok((compiled, edit.parameters))
}

fn sampled(plan: &Plan, feeds: &[SourceFeed<'_>], feed: Feed) -> Readable {
    match feed {
        Feed::Source(source) => feeds[source].sampling(),
        Feed::Pass(pass) | Feed::Previous(pass) => drawn(plan, pass),
    }
}

/// What a pass is in its first draw.
pub(super) fn build(gl: &Gl, plan: &Plan, index: usize, feed: impl Fn(Feed) -> Readable) -> Result<Drawer> {
    let inputs = inputs(gl, plan, index, feed)?;
    #[cfg(feature = "mesh")]
    if let Some(model) = plan.models.get(&plan.graph.passes[index].name) {
        return mesh(gl, plan, index, inputs, model).map(|pass| Drawer::Mesh(Box::new(pass)));
    }
    if let Some(keys) = plan.computes.get(&plan.graph.passes[index].name) {
        return compute(gl, plan, index, inputs, keys).map(|pass| Drawer::Compute(Box::new(pass)));
    }
    #[cfg(feature = "wgpu")]
    if plan.graph.passes[index].kind == Kind::Wgpu {
        return wgpu(gl, plan, index, inputs).map(|pass| Drawer::Wgpu(Box::new(pass)));
    }
    program(gl, plan, index, inputs).map(Drawer::Full)
}

/// A pass that wgpu draws.
#[cfg(feature = "wgpu")]
fn wgpu(gl: &Gl, plan: &Plan, index: usize, inputs: Vec<PassInput>) -> Result<WgpuPass> {
    let node = &plan.graph.passes[index];
    let Some(shader) = plan.shaders[index].as_deref() else {
        return Err(Error::failed("wgpu", "the pass has no shader"));
    };
    let options = WgpuOptions {
        name: &node.name,
        shader,
        inputs,
        target: (plan.sizes[index], planes::drawn_format(gl, node.fourcc)?),
        values: &plan.uniforms[index],
        sampling: (node.filter, node.wrap),
        optimize: plan.optimize,
    };
    WgpuPass::new(gl, options).map_err(|error| at_key(node, "wgpu", error))
}

/// A pass that is a compute shader.
fn compute(gl: &Gl, plan: &Plan, index: usize, inputs: Vec<PassInput>, keys: &ComputeKeys) -> Result<ComputePass> {
    let node = &plan.graph.passes[index];
    let Some(shader) = plan.shaders[index].as_deref() else {
        return Err(Error::failed("compute", "the pass has no shader"));
    };
    // What a sink takes may be a dma-buf's image, which is known only when it is there.
    let is_delivered = plan.graph.sinks.iter().any(|sink| sink.pass == index);
    let options = ComputeOptions {
        name: &node.name,
        shader,
        inputs,
        target: (plan.sizes[index], planes::drawn_format(gl, node.fourcc)?),
        values: &plan.uniforms[index],
        local_size: keys.local_size,
        groups: keys.groups,
        clear: node.clear,
        needs_aside: is_delivered && gl.display().dma_buf_import().is_some(),
        optimize: plan.optimize,
    };
    ComputePass::new(gl, options).map_err(|error| at_key(node, "compute", error))
}

/// Shaders have places of their own; the rest is about the key.
fn at_key(node: &PassNode, key: &str, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Shader | ErrorKind::ContextLost | ErrorKind::OutOfMemory => error,
        kind => {
            let detail = format!("{}: {}", error.op(), error.detail());
            let ours = Error::new(kind, format!("pass.{}.{key}", node.name), detail);
            match error.hint() {
                Some(hint) => ours.with_hint(hint),
                None => ours,
            }
        }
    }
}

/// A pass that draws a model.
#[cfg(feature = "mesh")]
fn mesh(
    gl: &Gl,
    plan: &Plan,
    index: usize,
    inputs: Vec<PassInput>,
    model: &std::sync::Arc<super::super::model::Model>,
) -> Result<MeshPass> {
    let node = &plan.graph.passes[index];
    let Some(keys) = plan.meshes.get(&node.name) else {
        return Err(Error::failed("mesh", "the pass has no keys"));
    };
    let options = MeshOptions {
        name: &node.name,
        model: model.clone(),
        keys,
        shader: plan.shaders[index].as_deref(),
        inputs,
        target: (plan.sizes[index], planes::drawn_format(gl, node.fourcc)?),
        values: &plan.uniforms[index],
        clear: node.clear.unwrap_or([0.0; 4]),
        optimize: plan.optimize,
    };
    MeshPass::new(gl, options).map_err(|error| at_key(node, "mesh", error))
}

/// How a pass reads what feeds it.
fn inputs(gl: &Gl, plan: &Plan, index: usize, feed: impl Fn(Feed) -> Readable) -> Result<Vec<PassInput>> {
    let node = &plan.graph.passes[index];
    let mut inputs = Vec::new();
    for (number, (name, from)) in node.inputs.iter().enumerate() {
        inputs.push(input(gl, plan, index, (number, name), feed(*from))?);
    }
    // One texture under two names has one filter: where one of them needs what lies between pixels, both have it.
    for first in 0..inputs.len() {
        for second in first + 1..inputs.len() {
            if node.inputs[first].1 == node.inputs[second].1 {
                let [one, other] = [first, second].map(|input| inputs[input].samplings.clone());
                let both: Vec<_> = one.iter().zip(&other).map(|(one, other)| one.joined(other)).collect();
                inputs[first].samplings.clone_from(&both);
                inputs[second].samplings = both;
            }
        }
    }
    Ok(inputs)
}

/// How a pass reads a picture as one of its inputs, which has a number and a name.
pub(super) fn input(
    gl: &Gl,
    plan: &Plan,
    index: usize,
    (number, name): (usize, &str),
    (binding, mut color, size, planes): Readable,
) -> Result<PassInput> {
    let node = &plan.graph.passes[index];
    // GLES only draws the pictures of wgpu's inputs, pixel by pixel.
    let is_drawn_whole = node.kind == Kind::Wgpu;
    let wrap = if is_drawn_whole { Wrap::Clamp } else { node.wrap };
    pass::check_wrap(gl, &binding, size, wrap).map_err(|error| {
        let ours =
            Error::unsupported(format!("pass.{}.wrap", node.name), format!("input \"{name}\": {}", error.detail()));
        ours.with_hint(error.hint().unwrap_or_default())
    })?;
    let filter = node.filter_of(number);
    // On a model an input's own pixel is none of the target's.
    let same_size = is_drawn_whole || (size == plan.sizes[index] && node.kind != Kind::Mesh);
    let shader = plan.shaders[index].as_deref().filter(|_| !is_drawn_whole);
    // A GPU filters for nothing: there is no reason to rely on its coordinates.
    let middles = gl.caps().is_software && node.is_plain() && plan.reads_middles(index, name);
    let mut samplings = pass::samplings(gl, shader, name, filter, (same_size, middles), &planes, wrap);
    let by_fours = plan.four_wide[index].then(|| plan.by_fours(index, number)).flatten();
    let binding = match (binding, by_fours.map(|how| how.offsets()).unwrap_or_default()) {
        (InputBinding::Beside { swizzle: None, .. }, offsets) => {
            // Numbers are not mixed.
            samplings.iter_mut().for_each(|sampling| sampling.filter = gles::Filter::Nearest);
            InputBinding::Beside { swizzle: None, offsets }
        }
        (InputBinding::Rgb { swizzle }, offsets) if !offsets.is_empty() => {
            InputBinding::Beside { swizzle: Some(swizzle), offsets }
        }
        (binding, _) => binding,
    };
    if filter == Filter::Nearest {
        // Each pixel takes the chroma sample of its own block, wherever that sits.
        color.siting = Siting::Center;
    }
    let convert = plan.conversion(node.inputs[number].1);
    Ok(PassInput { name: name.to_owned(), binding, color, size, samplings, convert })
}

/// The program of a pass over these inputs.
pub(super) fn program(gl: &Gl, plan: &Plan, index: usize, inputs: Vec<PassInput>) -> Result<Pass> {
    let node = &plan.graph.passes[index];
    let fourcc = planes::drawn_format(gl, node.fourcc)?;
    let canvas = Canvas { size: plan.sizes[index], fourcc, alpha_is_read: !plan.unread_alpha[index] };
    let by_fours = plan.shaders[index].as_deref().filter(|_| plan.four_wide[index]);
    let by_fours = by_fours.map(|shader| reading_by_fours(plan, index, shader));
    let shader = by_fours.as_ref().or(plan.shaders[index].as_deref());
    Pass::new(gl, &node.name, shader, inputs, canvas, &plan.uniforms[index], plan.optimize)
}

/// The shader with every place that it names (`camera(uv + step)`) as the function that has the texel there.
fn reading_by_fours(plan: &Plan, index: usize, shader: &Shader) -> Shader {
    let mut changes = Vec::new();
    for (number, (name, _)) in plan.graph.passes[index].inputs.iter().enumerate() {
        let Some(how) = plan.by_fours(index, number) else { continue };
        let offsets = how.offsets();
        let ByFours::Beside(reads) = how else { continue };
        for read in reads.into_iter().filter(|read| !read.is_bare) {
            if let Some(place) = offsets.iter().position(|offset| Some(*offset) == read.offset) {
                changes.push((read.call, format!("{}()", yuv::beside(name, place))));
            }
        }
    }
    // From the end, so that places before stay as they are.
    changes.sort_by_key(|(call, _)| std::cmp::Reverse(call.start));
    let mut shader = shader.clone();
    for (call, function) in changes {
        shader.text.replace_range(call, &function);
    }
    shader
}
