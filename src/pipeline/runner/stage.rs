//! One pass of a run: what is drawn into its target in each frame, how often, and what where it is switched off.
//!
//! In: the graph, what feeds the pass, its target. Out: a [`Stage`] that draws.
//! Not here: the programs (`pass`), the targets (`target`).

use crate::color::Siting;
use crate::error::{Error, Result, Span};
use crate::gles::{Framebuffer, Gl, Texture};
use crate::layout::Size;

use super::super::description::{Description, Filter};
use super::super::graph::{Enable, Feed, Graph, PassNode};
use super::super::parameters::ParameterSet;
use super::super::pass::{self, Moment, Pass, PassInput};
use super::super::plan::Setting;
use super::super::shader::Shader;
use super::feed::SourceFeed;
use super::planes::drawn_format;
use super::target::{self, Target};

/// What stages are made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a, 'scope> {
    pub(super) gl: &'a Gl,
    pub(super) description: &'a Description,
    pub(super) graph: &'a Graph,
    pub(super) feeds: &'a [SourceFeed<'scope>],
    pub(super) targets: &'a [Target],
    pub(super) sizes: &'a [Size],
}

/// A pass, ready to be drawn in every frame.
pub(super) struct Stage {
    pass: Pass,
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
    /// Compiles what the pass needs.
    pub(super) fn new(
        parts: &Parts<'_, '_>,
        index: usize,
        shader: Option<&Shader>,
        uniforms: &[Setting],
    ) -> Result<Self> {
        let Parts { gl, graph, sizes, .. } = *parts;
        let node = &graph.passes[index];
        let inputs = parts.inputs(node, sizes[index], shader)?;
        let target = (sizes[index], drawn_format(gl, node.fourcc)?);
        let bypass = match (&node.enable, node.inputs.first()) {
            (Some(_), Some((name, feed))) => {
                let mut first = parts.input(node, name, *feed, sizes[index], None)?;
                first.name = "picture".into();
                Some(Pass::new(gl, &node.name, None, vec![first], target, &[])?)
            }
            _ => None,
        };
        let again = if node.repeat > 1 {
            let mut inputs = inputs.clone();
            let (name, _) = &node.inputs[0];
            inputs[0] = parts.own(index, node, name, sizes[index], shader)?;
            let pass = Pass::new(gl, &node.name, shader, inputs, target, uniforms)?;
            let scratch = target::plain(gl, target.0, target.1)?;
            Some(Again { pass, scratch, times: node.repeat })
        } else {
            None
        };
        let pass = Pass::new(gl, &node.name, shader, inputs, target, uniforms)?;
        Ok(Self { pass, again, bypass, enable: node.enable.clone(), clear: node.clear })
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
            return draw_into(gl, &self.pass, framebuffer, self.clear, &textures, moment);
        };
        // The last draw goes into the target.
        let into = |draw: u32| if (times - 1 - draw).is_multiple_of(2) { framebuffer } else { scratch };
        draw_into(gl, &self.pass, into(0), self.clear, &textures, moment)?;
        for draw in 1..*times {
            let last = into(draw - 1).texture().ok_or_else(|| Error::failed("repeat", "the target is no texture"))?;
            textures[0] = vec![last];
            draw_into(gl, pass, into(draw), self.clear, &textures, moment)?;
        }
        Ok(())
    }
}

fn draw_into(
    gl: &Gl,
    pass: &Pass,
    framebuffer: &Framebuffer,
    clear: Option<[f32; 4]>,
    textures: &[Vec<&Texture>],
    moment: Moment,
) -> Result<()> {
    for (input, textures) in pass.inputs().iter().zip(textures) {
        for (texture, sampling) in textures.iter().zip(&input.samplings) {
            sampling.apply(gl, texture)?;
        }
    }
    framebuffer.bind(gl)?;
    if let Some(color) = clear {
        gl.clear(color);
    }
    pass.draw(gl, textures, moment)
}

impl Parts<'_, '_> {
    fn inputs(&self, node: &PassNode, target: Size, shader: Option<&Shader>) -> Result<Vec<PassInput>> {
        node.inputs.iter().map(|(name, feed)| self.input(node, name, *feed, target, shader)).collect()
    }

    /// How the pass reads what feeds it.
    fn input(
        &self,
        node: &PassNode,
        name: &str,
        feed: Feed,
        target: Size,
        shader: Option<&Shader>,
    ) -> Result<PassInput> {
        let sampling = match feed {
            Feed::Source(source) => self.feeds[source].sampling(),
            Feed::Pass(pass) | Feed::Previous(pass) => self.targets[pass].sampling(),
        };
        self.made(node, name, sampling, target, shader)
    }

    /// How the pass reads its own last result.
    fn own(
        &self,
        index: usize,
        node: &PassNode,
        name: &str,
        target: Size,
        shader: Option<&Shader>,
    ) -> Result<PassInput> {
        self.made(node, name, self.targets[index].sampling(), target, shader)
    }

    fn made(
        &self,
        node: &PassNode,
        name: &str,
        (binding, mut color, size, planes): target::Readable,
        target: Size,
        shader: Option<&Shader>,
    ) -> Result<PassInput> {
        pass::check_wrap(self.gl, &binding, size, node.wrap).map_err(|error| {
            let key = node.described.as_ref().and_then(|name| self.description.passes[name.as_str()].wrap.as_ref());
            let span = key.map(|wrap| wrap.span()).unwrap_or_default();
            let origin = &self.description.origin;
            let detail = format!("input \"{name}\": {}", error.detail());
            let ours = Error::unsupported(format!("pass.{}.wrap", node.name), detail);
            let ours = ours.with_span(Span::new(&origin.path, origin.text.clone(), span));
            ours.with_hint(error.hint().unwrap_or_default())
        })?;
        let samplings = pass::samplings(self.gl, shader, name, node.filter, size == target, &planes, node.wrap);
        if node.filter == Filter::Nearest {
            // Each pixel takes the chroma sample of its own block, wherever that sits.
            color.siting = Siting::Center;
        }
        Ok(PassInput { name: name.to_owned(), binding, color, size, samplings })
    }
}
