//! The plan in words: what is drawn with what, how pictures are read, and why.
//!
//! In: a [`Plan`], and who draws where that is known. Out: lines for a person.
//! Not here: the decisions (`fuse`, `reuse`, `plan`).

use crate::format::Fourcc;
use crate::gles::yuv::reads_of_four;
use crate::pipeline::description::{Filter, Step};
use crate::pipeline::graph::{Feed, Kind};
use crate::pipeline::model::Model;

use super::{ByFours, Plan, Setting};

/// What is known of the driver.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub renderer: String,
    /// The CPU draws.
    pub software: bool,
    /// OpenGL ES 3.0 or newer.
    pub es3: bool,
    /// Pixels are copied in and out.
    pub copies: bool,
}

impl Plan {
    /// A model in words: file, triangles, draws.
    fn describe_model(&self, model: &Model) -> String {
        let file = model.files.first().map_or(String::new(), |file| file.display().to_string());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (triangles, draws) = (model.triangles(), model.draw_count());
        format!("{file}: {triangles} triangle{} in {draws} draw{}", plural(triangles), plural(draws))
    }

    /// A compute shader in words: file, groups; `None` for other passes.
    fn describe_compute(&self, pass: usize) -> Option<String> {
        let keys = self.computes.get(&self.graph.passes[pass].name)?;
        let [x, y] = keys.local_size;
        let size = self.sizes[pass];
        let [across, down] = keys.groups.unwrap_or([size.width.div_ceil(x), size.height.div_ceil(y)]);
        let file = keys.file.get_ref().display();
        Some(format!("runs {file} in {across}x{down} work groups of {x}x{y} invocations"))
    }

    /// What would be done, one line per part.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (info, name) in self.infos.iter().zip(&self.graph.sources) {
            let count = match (info.still, info.frames) {
                (true, _) => "one picture".into(),
                (_, Some(frames)) => format!("{frames} frames"),
                (_, None) => "no end".into(),
            };
            let rate = info.rate.map_or(String::new(), |rate| format!(", {rate} frames/s"));
            lines.push(format!("source {name}: {} {}, {count}{rate}", info.fourcc, info.size));
        }
        for (index, pass) in self.graph.passes.iter().enumerate() {
            let named = |feed: &Feed| match feed {
                Feed::Previous(_) => format!("{} of the frame before", self.graph.name(*feed)),
                _ => self.graph.name(*feed).to_owned(),
            };
            let inputs: Vec<String> = pass.inputs.iter().map(|(_, feed)| named(feed)).collect();
            let from = if inputs.is_empty() { String::new() } else { format!(" from {}", inputs.join(", ")) };
            let how = if self.four_wide[index] { "; four pixels a fragment where the CPU draws" } else { "" };
            let drawn = match self.models.get(&pass.name) {
                Some(model) => format!("; draws {}", self.describe_model(model)),
                None => self.describe_compute(index).map_or(String::new(), |words| format!("; {words}")),
            };
            let times = if pass.repeat > 1 { format!(", {} times", pass.repeat) } else { String::new() };
            lines.push(format!("pass {}: {} {}{from}{times}{how}{drawn}", pass.name, pass.fourcc, self.sizes[index]));
        }
        for sink in &self.graph.sinks {
            let file = match (&sink.plan.file, &sink.plan.share) {
                (Some(file), _) => file.display().to_string(),
                (None, Some(share)) => share.address().to_string(),
                (None, None) => sink.plan.elements.as_ref().map_or("nothing".into(), |elements| elements.text.clone()),
            };
            let every =
                if sink.plan.every > 1 { format!(", every {}th frame", sink.plan.every) } else { String::new() };
            lines.push(format!("sink {}: {} to {file}{every}", sink.plan.name, self.graph.passes[sink.pass].name));
        }
        lines.extend(self.parameters.describe());
        if !self.graph.unused.is_empty() {
            lines.push(format!("left out, as no sink needs them: {}", self.graph.unused.join(", ")));
        }
        lines.push(match self.end {
            Some(end) => format!("frames {}..{end} at {} frames/s", self.start, self.rate),
            None => format!("frames {}.. without end at {} frames/s", self.start, self.rate),
        });
        lines
    }

    /// The plan and why it is so, one line per fact. Without a driver it says what depends on one.
    pub fn explain(&self, driver: Option<&Known>) -> Vec<String> {
        let mut lines = vec![
            format!("steps: {} (optimize = true | false | [names])", self.optimize),
            match driver {
                Some(Known { renderer, software: true, .. }) => format!("drawn by {renderer}: the CPU draws"),
                Some(Known { renderer, .. }) => format!("drawn by {renderer}"),
                None => "no driver here: what depends on it is marked \"where …\"".into(),
            },
            match self.models.is_empty() {
                true => "every pass is one triangle that covers the target".into(),
                false => "every pass without a model is one triangle that covers the target".into(),
            },
        ];
        if !self.graph.unused.is_empty() {
            lines.push(format!("not drawn, as no sink needs them: {}", self.graph.unused.join(", ")));
        }
        let apart = if driver.is_none() { self.apart_on_gpus() } else { Vec::new() };
        for (index, pass) in self.graph.passes.iter().enumerate() {
            lines.push(String::new());
            let parts = &self.parts[index];
            lines.push(match parts.len() {
                1 => format!("pass {}: {} {}", pass.name, pass.fourcc, self.sizes[index]),
                _ => {
                    format!("pass {}: {} {}, fused of {}", pass.name, pass.fourcc, self.sizes[index], parts.join(" + "))
                }
            });
            if let Some(model) = self.models.get(&pass.name) {
                lines.push(format!("  draws {} with depth, into the whole target anew", self.describe_model(model)));
            }
            if let Some(words) = self.describe_compute(index) {
                lines.push(format!("  {words}: needs OpenGL ES 3.1; a target in a dma-buf is drawn from a texture"));
            }
            if pass.kind == Kind::Wgpu {
                lines.push(
                    "  drawn by wgpu: needs a Vulkan device; inputs are drawn for it, and its picture is drawn here"
                        .into(),
                );
            }
            for (number, (name, feed)) in pass.inputs.iter().enumerate() {
                let how = self.how_it_is_read(index, name, *feed, pass.filter_of(number), driver);
                lines.push(format!("  reads {} as {name}: {how}", self.graph.name(*feed)));
            }
            if let Some((_, why)) = self.kept.iter().find(|(name, _)| *name == pass.name) {
                lines.push(format!("  not fused with what reads it: {why}"));
            }
            if parts.len() > 1 {
                lines.push("  between the parts: clamped to 0..1 and rounded to 8 bits, as a target would".into());
            }
            for (part, why) in apart.iter().filter(|(part, _)| parts.contains(part)) {
                lines.push(format!("  where a GPU draws, {part} is drawn by itself: {why}"));
            }
            lines.push(format!("  precision: {}", self.precision(driver)));
            lines.push(format!("  constants: {}", self.constants(index, driver)));
            if let Some(words) = self.alpha(index, driver) {
                lines.push(format!("  alpha: {words}"));
            }
            lines.push(format!("  {}", self.width(index, driver)));
            lines.push(format!("  target: {}", self.target(index)));
        }
        lines
    }

    fn how_it_is_read(&self, pass: usize, name: &str, feed: Feed, wanted: Filter, driver: Option<&Known>) -> String {
        if wanted == Filter::Nearest {
            return "nearest, as the pipeline says".into();
        }
        if self.graph.passes[pass].kind == Kind::Mesh {
            return format!("linear: {} is shown on a model", self.feed_size(feed));
        }
        if self.graph.passes[pass].kind == Kind::Wgpu {
            return "linear, where the shader asks between pixels".into();
        }
        if self.feed_size(feed) != self.sizes[pass] {
            return format!("linear: {} is read at {}", self.feed_size(feed), self.sizes[pass]);
        }
        let chroma = match feed {
            Feed::Source(source) => self.infos[source].fourcc.format().is_ok_and(|format| format.is_yuv()),
            Feed::Pass(_) | Feed::Previous(_) => false,
        };
        let mixed = if chroma { "; subsampled chroma is mixed all the same" } else { "" };
        if self.shaders[pass].as_deref().is_none_or(|shader| shader.is_pointwise(name)) {
            return format!("nearest: only its own pixel is asked for{mixed}");
        }
        match (self.reads_middles(pass, name), driver) {
            (true, Some(Known { software: true, .. })) => {
                format!("nearest: every read is a whole number of pixels away{mixed}")
            }
            (true, None) => {
                format!("nearest where the CPU draws (every read is whole pixels away), else linear{mixed}")
            }
            (true, Some(_)) => "linear: a GPU filters for nothing".into(),
            (false, _) if !self.optimize.has(Step::Nearest) => "linear: the step \"nearest\" is off".into(),
            (false, _) => "linear: that every read is whole pixels away cannot be shown".into(),
        }
    }

    fn precision(&self, driver: Option<&Known>) -> &'static str {
        match (driver, self.optimize.has(Step::Precision)) {
            (_, false) => "as the shader says, highp where it says nothing",
            (Some(Known { software: true, .. }), true) => "highp throughout: 16 bits cost the CPU conversions",
            (Some(_), true) => "as the shader says, highp where it says nothing",
            (None, true) => "highp throughout where the CPU draws, else as the shader says",
        }
    }

    fn constants(&self, pass: usize, driver: Option<&Known>) -> String {
        if !self.optimize.has(Step::Constants) {
            return "none: the step \"constants\" is off".into();
        }
        if driver.is_some_and(|driver| !driver.software) {
            return "none: a GPU reads uniforms for nothing, and may round otherwise without them".into();
        }
        let known = |setting: &&Setting| setting.parameter.is_none();
        let uniforms = self.uniforms[pass].iter().filter(known).map(|setting| setting.uniform.name.as_str());
        let sizes = if self.graph.passes[pass].inputs.is_empty() { "the target's size" } else { "all sizes" };
        let list = [sizes].into_iter().chain(uniforms).collect::<Vec<_>>().join(", ");
        if driver.is_none() { format!("{list} (where the CPU draws)") } else { list }
    }

    fn alpha(&self, pass: usize, driver: Option<&Known>) -> Option<&'static str> {
        match (self.unread_alpha[pass], driver) {
            (false, _) | (true, Some(Known { software: false, .. })) => None,
            (true, Some(_)) => Some("not computed: nobody reads it"),
            (true, None) => Some("not computed where the CPU draws: nobody reads it"),
        }
    }

    fn width(&self, pass: usize, driver: Option<&Known>) -> String {
        let offered = driver.map(|driver| driver.software && driver.es3 && driver.copies);
        match (self.four_wide[pass], offered) {
            (true, Some(true)) => format!("four pixels a fragment: {}", self.what_is_shared(pass)),
            (true, None) => format!(
                "four pixels a fragment where the CPU draws with OpenGL ES 3 and pixels are copied: {}",
                self.what_is_shared(pass)
            ),
            (true, Some(false)) => {
                "one pixel a fragment: four pay only where the CPU draws and pixels are copied".into()
            }
            (false, _) => format!("one pixel a fragment: {}", self.why_one(pass)),
        }
    }

    /// What four pixels read together.
    fn what_is_shared(&self, pass: usize) -> String {
        let inputs = &self.graph.passes[pass].inputs;
        let one = |(index, (name, feed)): (usize, &(String, Feed))| match self.by_fours(pass, index)? {
            ByFours::Subsampled => Some(format!("subsampled chroma of {name} is shared")),
            how @ ByFours::Beside(_) => {
                let offsets = how.offsets();
                let by_four = feed.pass().is_some_and(|pass| self.four_wide[pass]);
                let (reads, alone) = (reads_of_four(&offsets, by_four), 4 * offsets.len());
                (reads < alone).then(|| format!("{reads} reads of {name}, not {alone}"))
            }
        };
        let shared: Vec<String> = inputs.iter().enumerate().filter_map(one).collect();
        // Such a pass is there for another one.
        if shared.is_empty() { "as a pass that reads its picture".into() } else { shared.join("; ") }
    }

    fn why_one(&self, pass: usize) -> String {
        let node = &self.graph.passes[pass];
        let unknown = (0..node.inputs.len()).find(|input| self.by_fours(pass, *input).is_none());
        if node.kind == Kind::Mesh {
            "it draws a model".into()
        } else if node.kind == Kind::Compute {
            "it is a compute shader".into()
        } else if node.kind == Kind::Wgpu {
            "wgpu draws it".into()
        } else if !self.optimize.has(Step::FourWide) {
            "the step \"four-wide\" is off".into()
        } else if node.fourcc != Fourcc::ABGR8888 || !self.sizes[pass].width.is_multiple_of(4) {
            "its picture is no ABGR8888, or four does not divide its width".into()
        } else if let Some(input) = unknown {
            format!(
                "of {} it is not known which whole pixels it reads, or its kind is not read so",
                node.inputs[input].0
            )
        } else if self.rounds_otherwise(pass) {
            "sums in another order may round otherwise, and a later part is steep".into()
        } else {
            "no reads would be shared, or a pass that reads its picture cannot be so".into()
        }
    }

    fn target(&self, pass: usize) -> String {
        if self.graph.sinks.iter().any(|sink| sink.pass == pass) {
            return "buffers in a circle, which sinks take".into();
        }
        if self.graph.passes[pass].kind == Kind::Mesh {
            return "a texture of its own, with depth beside it".into();
        }
        if self.graph.passes[pass].kind == Kind::Compute {
            return "a texture of its own, of fixed storage".into();
        }
        if self.graph.passes[pass].kind == Kind::Wgpu {
            return "a texture of its own, into which wgpu's picture is drawn".into();
        }
        if !self.graph.passes[pass].is_plain() {
            return "a texture of its own: it has wrap, clear, repeat or enable, or is read in the next frame".into();
        }
        match self.reused[pass] {
            Some(earlier) => format!("the texture of {}, which nobody needs any more", self.graph.passes[earlier].name),
            None if !self.optimize.has(Step::Reuse) => "a texture of its own: the step \"reuse\" is off".into(),
            None => "a texture of its own: no earlier one of its size and format is free".into(),
        }
    }
}
