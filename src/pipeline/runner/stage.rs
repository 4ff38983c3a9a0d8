//! One pass of a run: what is drawn into its target in each frame, how often, and what where it is switched off.
//!
//! In: the plan, what feeds the pass, its target. Out: a [`Stage`] that draws.
//! Not here: its program (`programs`), the targets (`target`).

use crate::error::{Error, Result};
use crate::gles::{Framebuffer, Gl, Texture};

use super::super::graph::{Enable, Feed, Kind, PassNode};
use super::super::parameters::ParameterSet;
use super::super::pass::compute::ComputePass;
#[cfg(feature = "mesh")]
use super::super::pass::mesh::MeshPass;
#[cfg(feature = "wgpu")]
use super::super::pass::wgpu::WgpuPass;
use super::super::pass::{self, Moment, Pass, PassInput};
use super::super::plan::{Plan, Setting};
use super::Job;
use super::feed::SourceFeed;
use super::planes::drawn_format;
use super::programs;
use super::target::{self, Readable, Target};

/// What draws a pass.
pub(super) enum Drawer {
    /// A fragment shader over the whole target.
    Full(Pass),
    /// A model.
    #[cfg(feature = "mesh")]
    Mesh(Box<MeshPass>),
    /// A compute shader.
    Compute(Box<ComputePass>),
    /// A shader in WGSL.
    #[cfg(feature = "wgpu")]
    Wgpu(Box<WgpuPass>),
}

/// A pass, ready to be drawn in every frame.
pub(super) struct Stage {
    pass: Drawer,
    /// The draws after the first.
    again: Option<Again>,
    /// Draws the first input where the pass is switched off.
    bypass: Option<Pass>,
    enable: Option<Enable>,
    clear: Option<[f32; 4]>,
}

/// A pass that reads its own last result.
struct Again {
    pass: Pass,
    /// Takes turns with the target.
    scratch: Framebuffer,
    /// All draws, the first too.
    times: u32,
}

impl Stage {
    /// Compiles what the pass needs. `feed` says how it reads what feeds it.
    pub(super) fn new(gl: &Gl, plan: &Plan, index: usize, feed: impl Fn(Feed) -> Readable) -> Result<Self> {
        let node = &plan.graph.passes[index];
        let (size, fourcc) = (plan.sizes[index], drawn_format(gl, node.fourcc)?);
        let pass = programs::build(gl, plan, index, &feed)?;
        let bypass = match (&node.enable, node.inputs.first()) {
            (Some(_), Some((name, from))) => {
                let (binding, color, own_size, planes) = feed(*from);
                let samplings =
                    pass::samplings(gl, None, name, node.filter, (own_size == size, false), &planes, node.wrap);
                let convert = plan.conversion(*from);
                let first = PassInput { name: "picture".into(), binding, color, size: own_size, samplings, convert };
                Some(Pass::new(gl, &node.name, None, vec![first], (size, fourcc), &[], plan.optimize)?)
            }
            _ => None,
        };
        let again = if node.repeat > 1 {
            let mut inputs = pass.inputs().to_vec();
            let own = target::sampling_of(node.fourcc, size);
            inputs[0] = programs::input(gl, plan, index, (0, &node.inputs[0].0), own)?;
            // Colours were converted in the first draw.
            inputs[0].convert = None;
            let pass = programs::program(gl, plan, index, inputs)?;
            let scratch = target::plain(gl, size, fourcc)?;
            Some(Again { pass, scratch, times: node.repeat })
        } else {
            None
        };
        // As on shadertoy.com: passes that others read keep what they write, what is only looked at is opaque.
        let is_read =
            plan.graph.passes.iter().flat_map(|pass| &pass.inputs).any(|(_, feed)| feed.pass() == Some(index));
        if node.kind == Kind::Shadertoy && !is_read {
            pass.set_opaque(gl)?;
            if let Some(again) = &again {
                again.pass.set_opaque(gl)?;
            }
        }
        Ok(Self { pass, again, bypass, enable: node.enable.clone(), clear: node.clear })
    }

    /// Gets the memory that the pass shares with another API, where it does.
    pub(super) fn link(&mut self, _gl: &Gl, _job: &Job<'_>) -> Result<()> {
        match &mut self.pass {
            #[cfg(feature = "wgpu")]
            Drawer::Wgpu(pass) => super::linked::link(_gl, _job, pass),
            _ => Ok(()),
        }
    }

    /// It was compiled anew since.
    pub(super) fn is_unlinked(&self) -> bool {
        match &self.pass {
            #[cfg(feature = "wgpu")]
            Drawer::Wgpu(pass) => !pass.is_linked(),
            _ => false,
        }
    }

    /// Who draws the pass where it is another API, and why its pictures are copied, where they are.
    pub(super) fn way(&self) -> Option<(String, Option<&str>)> {
        match &self.pass {
            #[cfg(feature = "wgpu")]
            Drawer::Wgpu(pass) => Some(pass.way()),
            _ => None,
        }
    }

    /// `GLSL ES 1.00` or `3.00`.
    pub(super) fn version(&self) -> &'static str {
        self.pass.version()
    }

    /// Gives the uniforms of `settings` that take a parameter its value.
    pub(super) fn update(&self, gl: &Gl, settings: &[Setting], parameters: &ParameterSet) -> Result<()> {
        self.pass.update(gl, settings, parameters)?;
        match &self.again {
            Some(again) => again.pass.update(gl, settings, parameters),
            None => Ok(()),
        }
    }

    /// Gives every uniform of `settings` its numbers.
    pub(super) fn assign(&self, gl: &Gl, settings: &[Setting]) -> Result<()> {
        self.pass.assign(gl, settings)?;
        match &self.again {
            Some(again) => again.pass.assign(gl, settings),
            None => Ok(()),
        }
    }

    /// Draws one frame into the target.
    pub(super) fn draw(
        &self,
        gl: &Gl,
        node: &PassNode,
        feeds: &[SourceFeed<'_>],
        targets: &[Target],
        index: usize,
        moment: Moment,
    ) -> Result<()> {
        let framebuffer = targets[index].framebuffer();
        let mut textures: Vec<Vec<&Texture>> = Vec::with_capacity(node.inputs.len());
        for (_, feed) in &node.inputs {
            textures.push(match *feed {
                Feed::Source(source) => feeds[source].textures(),
                Feed::Pass(pass) => targets[pass].textures()?,
                Feed::Previous(pass) => targets[pass].previous_textures()?,
            });
        }
        if let Some(enable) = &self.enable
            && !enable.holds(moment.frame)?
        {
            match &self.bypass {
                Some(bypass) => draw_into(gl, bypass, framebuffer, self.clear, &textures[..1], moment)?,
                None => {
                    framebuffer.bind(gl)?;
                    gl.clear(self.clear.unwrap_or([0.0; 4]));
                }
            }
            return Ok(());
        }
        let Some(Again { pass, scratch, times }) = &self.again else {
            return self.pass.draw_into(gl, framebuffer, self.clear, &textures, moment);
        };
        // The last draw goes into the target.
        let into = |draw: u32| if (times - 1 - draw).is_multiple_of(2) { framebuffer } else { scratch };
        self.pass.draw_into(gl, into(0), self.clear, &textures, moment)?;
        for draw in 1..*times {
            let last = into(draw - 1).texture().ok_or_else(|| Error::failed("repeat", "the target is no texture"))?;
            textures[0] = vec![last];
            draw_into(gl, pass, into(draw), self.clear, &textures, moment)?;
        }
        Ok(())
    }
}

impl Drawer {
    fn inputs(&self) -> &[PassInput] {
        match self {
            Self::Full(pass) => pass.inputs(),
            #[cfg(feature = "mesh")]
            Self::Mesh(pass) => pass.inputs(),
            Self::Compute(pass) => pass.inputs(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(pass) => pass.inputs(),
        }
    }

    fn version(&self) -> &'static str {
        match self {
            Self::Full(pass) => pass.version(),
            #[cfg(feature = "mesh")]
            Self::Mesh(pass) => pass.version(),
            Self::Compute(_) => "3.10",
            #[cfg(feature = "wgpu")]
            Self::Wgpu(_) => "WGSL",
        }
    }

    fn update(&self, gl: &Gl, settings: &[Setting], parameters: &ParameterSet) -> Result<()> {
        match self {
            Self::Full(pass) => pass.update(gl, settings, parameters),
            #[cfg(feature = "mesh")]
            Self::Mesh(pass) => pass.update(gl, settings, parameters),
            Self::Compute(pass) => pass.update(gl, settings, parameters),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(pass) => {
                pass.update(settings, parameters);
                Ok(())
            }
        }
    }

    fn assign(&self, gl: &Gl, settings: &[Setting]) -> Result<()> {
        match self {
            Self::Full(pass) => pass.assign(gl, settings),
            #[cfg(feature = "mesh")]
            Self::Mesh(pass) => pass.assign(gl, settings),
            Self::Compute(pass) => pass.assign(gl, settings),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(pass) => {
                pass.assign(settings);
                Ok(())
            }
        }
    }

    /// Shadertoy shaders: alpha is 1, whatever they write.
    fn set_opaque(&self, gl: &Gl) -> Result<()> {
        match self {
            Self::Full(pass) => pass.set_opaque(gl),
            #[cfg(feature = "mesh")]
            Self::Mesh(_) => Ok(()),
            Self::Compute(_) => Ok(()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(_) => Ok(()),
        }
    }

    fn draw_into(
        &self,
        gl: &Gl,
        framebuffer: &Framebuffer,
        clear: Option<[f32; 4]>,
        textures: &[Vec<&Texture>],
        moment: Moment,
    ) -> Result<()> {
        match self {
            Self::Full(pass) => draw_into(gl, pass, framebuffer, clear, textures, moment),
            #[cfg(feature = "mesh")]
            Self::Mesh(pass) => {
                apply_samplings(gl, pass.inputs(), textures)?;
                pass.draw(gl, framebuffer, textures, moment)
            }
            Self::Compute(pass) => {
                apply_samplings(gl, pass.inputs(), textures)?;
                pass.run(gl, framebuffer, textures, moment)
            }
            #[cfg(feature = "wgpu")]
            Self::Wgpu(pass) => pass.run(gl, framebuffer, textures, moment),
        }
    }
}

/// Sets how each texture of the inputs is read.
fn apply_samplings(gl: &Gl, inputs: &[PassInput], textures: &[Vec<&Texture>]) -> Result<()> {
    for (input, textures) in inputs.iter().zip(textures) {
        for (texture, sampling) in textures.iter().zip(&input.samplings) {
            sampling.apply(gl, texture)?;
        }
    }
    Ok(())
}

fn draw_into(
    gl: &Gl,
    pass: &Pass,
    framebuffer: &Framebuffer,
    clear: Option<[f32; 4]>,
    textures: &[Vec<&Texture>],
    moment: Moment,
) -> Result<()> {
    apply_samplings(gl, pass.inputs(), textures)?;
    framebuffer.bind(gl)?;
    if let Some(color) = clear {
        gl.clear(color);
    }
    pass.draw(gl, textures, moment)
}
