//! Passes whose alpha nobody reads: it is not computed.
//!
//! In: the passes as they are described. Out: those whose alpha may be anything.
//! Not here: how a shader's numbers depend on each other (`shader::gain`).
//!
//! A pass's alpha is taken for unknown, and followed through all that read it: where every picture that a sink takes is the
//! same whatever it was, it is not needed.

use crate::pipeline::graph::{Feed, Kind};
use crate::pipeline::parameters::ParameterSet;
use crate::pipeline::shader::Entry;
use crate::pipeline::shader::gain::bounds::Bound;
use crate::pipeline::shader::gain::{Read, result};
use crate::pipeline::source::Info;

use super::{Drawn, tolerance};

/// Whether the alpha of `pass` reaches no sink.
pub(super) fn is_unread(base: &Drawn, infos: &[Info], parameters: &ParameterSet, pass: usize) -> bool {
    let graph = &base.graph;
    let has_alpha = |pass: usize| graph.passes[pass].fourcc.format().is_ok_and(|format| format.has_alpha);
    // For each pass which numbers of its target may be different; in the order of the graph, so what feeds comes first.
    let mut differs = vec![[false; 4]; graph.passes.len()];
    differs[pass] = [false, false, false, true];
    for reader in 0..graph.passes.len() {
        let node = &graph.passes[reader];
        // Where a target has no alpha, whoever reads it gets 1; the bits are there all the same, and sinks take them.
        let of = |feed: Feed| {
            let [red, green, blue, alpha] = feed.pass().map_or([false; 4], |pass| differs[pass]);
            [red, green, blue, alpha && feed.pass().is_some_and(has_alpha)]
        };
        if !node.inputs.iter().any(|(_, feed)| of(*feed).contains(&true)) {
            continue;
        }
        // What goes round or is drawn in another way is not followed.
        if reader == pass || !node.is_plain() || node.inputs.iter().any(|(_, feed)| matches!(feed, Feed::Previous(_))) {
            return false;
        }
        differs[reader] = match (node.kind, base.shaders[reader].as_deref()) {
            (Kind::Copy, _) => of(node.inputs[0].1),
            (_, Some(shader)) if shader.entry == Entry::Pixel => {
                let reads: Vec<Read<'_>> = node
                    .inputs
                    .iter()
                    .map(|(name, feed)| {
                        let (low, high) = tolerance::ends(graph, infos, *feed);
                        let number = |differs| Bound::new(low, high, if differs { f64::INFINITY } else { 0.0 });
                        Read { name, pixel: of(*feed).map(number) }
                    })
                    .collect();
                let known = |uniform: &str| tolerance::known(base, infos, parameters, reader, uniform);
                let Some(found) = result(&shader.text, &reads, known) else { return false };
                found.map(|bound| bound.off > 0.0)
            }
            _ => return false,
        };
    }
    graph.sinks.iter().all(|sink| !differs[sink.pass].contains(&true))
}
