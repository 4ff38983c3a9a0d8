//! Compiles the shaders of a plan as a run would, and draws nothing.
//!
//! In: a plan, a driver. Out: every error, in the author's file and line.
//! Not here: which textures a run would have: sources are taken to be uploaded, the way that every driver has.

use crate::error::{Error, ErrorKind, Result};
use crate::gles::{self, Gl, InputBinding, Texture, TextureOptions};
use crate::layout::Size;

use super::super::description::Description;
use super::super::faults::Faults;
use super::super::graph::{Feed, Kind};
use super::super::plan::Plan;
use super::super::source::{Info, unpack};
use super::programs;
use super::stage::Stage;
use super::target::{self, Readable};
use super::way::views_of;
use super::with_place;

/// Compiles what `plan` draws: as it is planned, and then each pass by itself, as it is written. The plan is not to be
/// run afterwards. Gives why passes of wgpu were not built, where this machine has no Vulkan at all: their shaders were looked at
/// without it.
///
/// # Errors
/// Errors of shaders, and sizes that this driver does not take, are added to `faults`; others end it.
pub fn compile(gl: &Gl, plan: &mut Plan, description: &Description, faults: &mut Faults) -> Result<Option<Error>> {
    for index in 0..plan.infos.len() {
        let info = &mut plan.infos[index];
        info.fourcc = unpack::readable(gl, info.fourcc).unwrap_or(info.fourcc);
        let fits = gles::texture::check_size(gl, info.size);
        faults.take(fits.map_err(|error| error.in_context(format!("source \"{}\"", plan.graph.sources[index]))));
    }
    plan.settle_for(gl.caps().is_software);
    programs::settle_four_wide(gl, plan, false)?;
    let sources = plan.infos.iter().map(|info| uploaded(gl, info)).collect::<Result<Vec<Readable>>>()?;
    let has_wgpu = plan.graph.passes.iter().any(|pass| pass.kind == Kind::Wgpu);
    let no_vulkan = if has_wgpu { no_vulkan() } else { None };
    loop {
        let mut fused = None;
        for index in 0..plan.graph.passes.len() {
            let feed = |feed: Feed| match feed {
                Feed::Source(source) => sources[source].clone(),
                Feed::Pass(pass) | Feed::Previous(pass) => {
                    target::sampling_of(plan.graph.passes[pass].fourcc, plan.sizes[pass])
                }
            };
            if no_vulkan.is_some() && plan.graph.passes[index].kind == Kind::Wgpu {
                continue;
            }
            let is_fused = plan.parts.get(index).is_some_and(|parts| parts.len() > 1);
            match Stage::new(gl, plan, index, feed) {
                // A fused text that does not compile is drawn in its parts, of which each is looked at below.
                Err(error) if is_fused && error.kind() == ErrorKind::Shader => {}
                Err(error) if matches!(error.kind(), ErrorKind::ContextLost | ErrorKind::OutOfMemory) => {
                    return Err(error);
                }
                Err(error) => faults.add(with_place(description, error)),
                Ok(_) => {}
            }
            if is_fused {
                fused = Some(index);
            }
        }
        gl.collect();
        match fused {
            Some(index) => plan.keep_apart(index),
            None => return Ok(no_vulkan),
        };
    }
}

/// Why no pass of wgpu is built on this machine.
fn no_vulkan() -> Option<Error> {
    #[cfg(feature = "wgpu")]
    return crate::vulkan::Device::list().err().filter(|error| error.kind() == ErrorKind::Unsupported);
    #[cfg(not(feature = "wgpu"))]
    None
}

/// How a source is read whose pictures are uploaded.
fn uploaded(gl: &Gl, info: &Info) -> Result<Readable> {
    let views = views_of(info)?;
    let mut swizzles = Vec::new();
    for view in &views {
        let options = TextureOptions { fourcc: view.fourcc, filter: view.filter, ..TextureOptions::default() };
        swizzles.push(Texture::new(gl, Size::new(4, 4), &options)?.swizzle().to_owned());
    }
    let binding = match info.fourcc.format()?.is_yuv() {
        true => InputBinding::Planes { fourcc: info.fourcc, swizzles },
        false => InputBinding::Rgb { swizzle: swizzles.swap_remove(0) },
    };
    Ok((binding, info.color, info.size, views.iter().map(|view| view.filter).collect()))
}
