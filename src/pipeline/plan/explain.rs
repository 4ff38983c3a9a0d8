//! The plan in words: what is drawn with what, how pictures are read, and why.
//!
//! In: a [`Plan`], and who draws where that is known. Out: lines for a person.
//! Not here: the decisions (`fuse`, `reuse`, `plan`).

use crate::format::Fourcc;
use crate::gles::yuv::views_of_four;
use crate::pipeline::description::{Filter, Step};
use crate::pipeline::graph::{Feed, Kind};

use super::{Plan, Setting};

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
            (true, Some(true)) => "four pixels a fragment: subsampled chroma is shared".into(),
            (true, None) => "four pixels a fragment where the CPU draws with OpenGL ES 3 and pixels are copied".into(),
            (true, Some(false)) => {
                "one pixel a fragment: four pay only where the CPU draws and pixels are copied".into()
            }
            (false, _) => format!("one pixel a fragment: {}", self.why_one(pass)),
        }
    }

    fn why_one(&self, pass: usize) -> &'static str {
        let node = &self.graph.passes[pass];
        let is_subsampled = |feed: &Feed| match *feed {
            Feed::Source(source) => views_of_four(self.infos[source].fourcc, self.infos[source].size).is_some(),
            Feed::Pass(_) | Feed::Previous(_) => false,
        };
        if node.kind == Kind::Mesh {
            "it draws a model"
        } else if node.kind == Kind::Compute {
            "it is a compute shader"
        } else if !self.optimize.has(Step::FourWide) {
            "the step \"four-wide\" is off"
        } else if node.inputs.is_empty() || !node.inputs.iter().all(|(_, feed)| is_subsampled(feed)) {
            "not every input is a source of 8 bits with subsampled chroma, four columns wide"
        } else if node.fourcc != Fourcc::ABGR8888 || !self.graph.sinks.iter().any(|sink| sink.pass == pass) {
            "another pass reads its picture, or it is no ABGR8888"
        } else if !self.stays_one_code(pass) {
            "sums in another order may round otherwise, and a later part is steep"
        } else {
            "it asks for other pixels than its own, or its source feeds others too"
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
