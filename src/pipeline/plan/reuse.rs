//! Textures between passes, used again when nobody needs their picture any more.
//!
//! In: passes in the order in which they are drawn. Out: for each, the earlier one whose texture it takes.
//! Not here: targets that sinks read, which go round in circles of their own (`runner::target`).

use crate::layout::Size;
use crate::pipeline::graph::{Feed, Graph};

/// For each pass the earlier pass whose texture it draws into. Texels of `four_wide` passes have four pixels.
pub(super) fn reuse(graph: &Graph, sizes: &[Size], four_wide: &[bool]) -> Vec<Option<usize>> {
    let count = graph.passes.len();
    let mut last_reader: Vec<usize> = (0..count).collect();
    for (reader, pass) in graph.passes.iter().enumerate() {
        for (_, feed) in &pass.inputs {
            if let Feed::Pass(read) | Feed::Previous(read) = *feed {
                // What a pass that may be left out reads, its own readers may read too.
                let last = if pass.is_plain() { reader } else { count };
                last_reader[read] = last_reader[read].max(last);
            }
        }
    }
    let is_between = |pass: usize| graph.passes[pass].is_plain() && graph.sinks.iter().all(|sink| sink.pass != pass);
    let mut reused = vec![None; count];
    // Textures that are free, by the pass that drew into them last.
    let mut holders: Vec<usize> = Vec::new();
    for pass in (0..count).filter(|pass| is_between(*pass)) {
        let fits = |holder: &usize| {
            let same = sizes[*holder] == sizes[pass] && four_wide[*holder] == four_wide[pass];
            let same = same && graph.passes[*holder].fourcc == graph.passes[pass].fourcc;
            // Read in this very pass, it is not free yet.
            same && last_reader[*holder] < pass
        };
        match holders.iter().position(fits) {
            Some(at) => reused[pass] = Some(std::mem::replace(&mut holders[at], pass)),
            None => holders.push(pass),
        }
    }
    reused
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Description;

    #[test]
    fn a_texture_is_used_again_after_its_last_reader() {
        let mut text = String::from("[source.s]\npattern = \"bars\"\nsize = \"8x8\"\n");
        for (name, inputs, rest) in [
            ("a", "x = \"s\"", ""),
            ("b", "x = \"a\"", ""),
            ("c", "x = \"b\"", ""),
            ("d", "x = \"c\", y = \"a\"", ""),
            ("e", "x = \"d\"", ""),
            ("f", "x = \"e\"", "format = \"RGB565\""),
            ("g", "x = \"f\"", ""),
        ] {
            text += &format!("[pass.{name}]\nshader = \"x.frag\"\ninputs = {{ {inputs} }}\n{rest}\n");
        }
        text += "[sink.n]\ninput = \"g\"\nkind = \"null\"\n";
        let graph = Graph::new(&Description::parse("p.toml", text).unwrap()).unwrap();
        let names: Vec<_> = graph.passes.iter().map(|pass| pass.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g"]);
        let sizes = vec![Size::new(8, 8); 7];
        // a is needed until d; b is free for d, a or c for e; another format and a sink's pass take nothing.
        let expected = [None, None, None, Some(1), Some(0), None, None];
        assert_eq!(reuse(&graph, &sizes, &[false; 7]), expected);
        // d is of another kind than b, and like a, which it reads; e may take b's.
        let four_wide = [true, false, true, true, false, false, false];
        assert_eq!(reuse(&graph, &sizes, &four_wide), [None, None, None, None, Some(1), None, None]);
    }
}
