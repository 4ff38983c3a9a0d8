//! Which passes make four pixels a fragment, where the CPU draws and pixels are copied anyway: texture reads, of which its
//! draws mostly consist, are then shared.
//!
//! In: passes as they are drawn. Out: which of them, and how each reads its inputs. Not here: the GLSL (`gles::yuv`), and
//! whether a driver takes it (`runner::programs`).

use std::collections::BTreeSet;

use super::{Plan, tolerance};
use crate::format::Fourcc;
use crate::gles::yuv::{reads_of_four, views_of_four};
use crate::pipeline::description::Filter;
use crate::pipeline::graph::Feed;
use crate::pipeline::shader::Shader;
use crate::pipeline::shader::texels::Read;

/// As many places may a pixel read of one input: what is read lies in registers.
const MOST_PLACES: usize = 32;

/// How an input reaches a pass that makes four pixels a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByFours {
    /// A source with subsampled chroma, of which each pixel only asks for its own.
    Subsampled,
    /// RGB, of which each pixel asks for pixels that are known, at these places of the text.
    Beside(Vec<Read>),
}

impl ByFours {
    /// The places, each once.
    pub fn offsets(&self) -> Vec<[i32; 2]> {
        let Self::Beside(reads) = self else { return Vec::new() };
        let mut offsets = Vec::new();
        for offset in reads.iter().filter_map(|read| read.offset) {
            if !offsets.contains(&offset) {
                offsets.push(offset);
            }
        }
        offsets
    }
}

impl Plan {
    /// Decides which passes can make four pixels a fragment, but for those of `refused`. A picture that lies in texels of
    /// four is read by such passes only; they are taken where reads are shared.
    pub(super) fn find_four_wide(&self, refused: &BTreeSet<String>) -> Vec<bool> {
        let passes = &self.graph.passes;
        let readers = |of: usize| {
            let reads = move |reader: &usize| passes[*reader].inputs.iter().any(|(_, feed)| feed.pass() == Some(of));
            (0..passes.len()).filter(reads)
        };
        let mut wide: Vec<bool> = (0..passes.len())
            .map(|pass| !refused.contains(&passes[pass].name) && self.can_be_four_wide(pass))
            .collect();
        // Colours that are converted four at once are sums in another order, and now and then round otherwise: one code
        // more or less in any part of these passes must stay one.
        let mut off = BTreeSet::new();
        for pass in (0..passes.len()).filter(|pass| self.converts(*pass)) {
            if wide[pass] {
                let more = off.union(&self.described_in(pass)).copied().collect();
                match self.stays_one_code(&more) {
                    true => off = more,
                    false => wide[pass] = false,
                }
            }
        }
        while let Some(pass) = (0..passes.len()).find(|pass| wide[*pass] && readers(*pass).any(|reader| !wide[reader]))
        {
            wide[pass] = false;
        }
        let mut pays: Vec<bool> = (0..passes.len()).map(|pass| wide[pass] && self.shares_reads(pass, &wide)).collect();
        // What feeds them is read by fours then, and what reads them has to.
        loop {
            let joins = |pass: &usize| {
                let feeds = passes[*pass].inputs.iter().filter_map(|(_, feed)| feed.pass());
                wide[*pass]
                    && !pays[*pass]
                    && (readers(*pass).any(|other| pays[other]) || feeds.into_iter().any(|other| pays[other]))
            };
            let Some(pass) = (0..passes.len()).find(joins) else { return pays };
            pays[pass] = true;
        }
    }

    fn can_be_four_wide(&self, pass: usize) -> bool {
        let node = &self.graph.passes[pass];
        node.fourcc == Fourcc::ABGR8888
            && self.sizes[pass].width.is_multiple_of(4)
            && node.is_plain()
            && !node.inputs.is_empty()
            && self.shaders[pass].as_deref().is_none_or(Shader::is_repeatable)
            && (0..node.inputs.len()).all(|input| self.by_fours(pass, input).is_some())
    }

    /// How an input would reach the pass, drawn four pixels a fragment; `None` where it could not.
    pub fn by_fours(&self, pass: usize, input: usize) -> Option<ByFours> {
        let (name, feed) = &self.graph.passes[pass].inputs[input];
        let shader = self.shaders[pass].as_deref();
        if self.feed_size(*feed) != self.sizes[pass] || matches!(feed, Feed::Previous(_)) {
            return None;
        }
        if let Feed::Source(source) = *feed
            && self.infos[source].fourcc.format().is_ok_and(|format| format.is_yuv())
        {
            let info = &self.infos[source];
            let inputs = self.graph.passes.iter().flat_map(|pass| &pass.inputs);
            // Named in its text, the input is a name that `is_repeatable` has looked at.
            let asks_for_its_own =
                shader.is_none_or(|shader| shader.is_pointwise(name) && shader.text.contains(name.as_str()));
            let fits = inputs.filter(|(_, other)| other == feed).count() == 1
                && asks_for_its_own
                && views_of_four(info.fourcc, info.size).is_some();
            return fits.then_some(ByFours::Subsampled);
        }
        let reads = match shader {
            Some(shader) => self.reads(pass, name, &shader.text)?,
            // It copies.
            None => vec![Read { call: 0..0, is_bare: true, offset: Some([0, 0]) }],
        };
        let is_known = !reads.is_empty() && reads.iter().all(|read| read.offset.is_some());
        let by_fours = ByFours::Beside(reads);
        (is_known && by_fours.offsets().len() <= MOST_PLACES).then_some(by_fours)
    }

    /// Whether drawing four pixels at once saves a pass half of its reads of something.
    fn shares_reads(&self, pass: usize, wide: &[bool]) -> bool {
        let inputs = &self.graph.passes[pass].inputs;
        (0..inputs.len()).filter_map(|input| Some((inputs[input].1, self.by_fours(pass, input)?))).any(|(feed, how)| {
            let offsets = how.offsets();
            let by_four = feed.pass().is_some_and(|pass| wide[pass]);
            // A few do not pay for taking texels apart.
            offsets.is_empty() || (offsets.len() > 2 && reads_of_four(&offsets, by_four) <= 2 * offsets.len())
        })
    }

    /// Whether a pass converts colours for four pixels at once.
    fn converts(&self, pass: usize) -> bool {
        (0..self.graph.passes[pass].inputs.len()).any(|input| self.by_fours(pass, input) == Some(ByFours::Subsampled))
    }

    /// The parts of a pass, as passes of the description.
    fn described_in(&self, pass: usize) -> BTreeSet<usize> {
        let passes = self.described.graph.passes.iter().enumerate();
        passes.filter(|(_, node)| self.parts[pass].contains(&node.name)).map(|(index, _)| index).collect()
    }

    fn stays_one_code(&self, off: &BTreeSet<usize>) -> bool {
        tolerance::check(&self.described, &self.infos, &self.parameters, off, tolerance::MOST_ON_CPU).is_ok()
    }

    /// Drawn four pixels at once, the pass would round otherwise, and a later one would make more of it.
    pub(super) fn rounds_otherwise(&self, pass: usize) -> bool {
        self.converts(pass) && !self.stays_one_code(&self.described_in(pass))
    }

    /// Draws a pass one pixel a fragment, as the driver does not take it otherwise.
    pub fn refuse_four_wide(&mut self, pass: usize) {
        self.one_wide.insert(self.graph.passes[pass].name.clone());
        self.settle_widths();
    }

    /// Draws every pass one pixel a fragment.
    pub fn refuse_all_four_wide(&mut self) {
        self.one_wide.extend(self.graph.passes.iter().map(|pass| pass.name.clone()));
        self.settle_widths();
    }

    /// How a source is read by the pass that takes its subsampled chroma for four pixels at once: `None` where no pass
    /// does.
    pub fn four_wide_filter(&self, source: usize) -> Option<Filter> {
        let passes = self.graph.passes.iter().enumerate().filter(|(pass, _)| self.four_wide[*pass]);
        passes.into_iter().find_map(|(index, pass)| {
            let input = pass.inputs.iter().position(|(_, feed)| *feed == Feed::Source(source))?;
            (self.by_fours(index, input) == Some(ByFours::Subsampled)).then(|| pass.filter_of(input))
        })
    }
}
