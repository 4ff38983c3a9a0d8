//! Resolves the names of a description: what feeds what, in which order.
//!
//! In: a [`Description`]. Out: a [`Graph`], and everything that is wrong with it.
//! Not here: which keys go together (`keys`).

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::pipeline::description::{Description, Pass, PassSize, Source, Spanned, Wrap, did_you_mean};
use crate::pipeline::faults::Faults;
use crate::pipeline::sink::{self, output::Pattern};
use crate::pipeline::source::image::list;

use super::{Feed, Graph, Kind, PREVIOUS, PassNode, SinkNode, check_identifier, keys};

impl Graph {
    /// As [`Graph::new`]; where something is wrong, the graph is not whole.
    pub fn collect(description: &Description, faults: &mut Faults) -> Self {
        for name in description.passes.keys() {
            if description.sources.contains_key(name.get_ref().as_str()) {
                let detail = "a source has the same name, and inputs could mean either";
                let error = description.error(format!("pass.{name}"), detail, name.span());
                faults.add(error.with_hint("rename one of them"));
            }
        }
        if description.sinks.is_empty() && !faults.has_broken("sink") {
            let end = description.origin.text.len();
            let error = description.error("sink", "the pipeline has no sink", end.saturating_sub(1)..end.max(1));
            faults.add(error.with_hint("add [sink.pictures] with input = \"NAME\" and file = \"out/%04d.png\""));
        }
        let mut streams = description.sources.iter().filter_map(|(name, source)| {
            let file = source.file.as_ref()?;
            crate::pipeline::source::is_stdin(file.get_ref()).then_some((name, file))
        });
        if let (Some((first, _)), Some((second, file))) = (streams.next(), streams.next()) {
            let detail = format!("source \"{first}\" reads standard input already");
            faults.add(description.error(format!("source.{second}.file"), detail, file.span()));
        }
        let mut builder = Builder {
            description,
            faults,
            failed: HashSet::new(),
            graph: Self { sources: Vec::new(), passes: Vec::new(), sinks: Vec::new(), unused: Vec::new() },
            done: HashMap::new(),
            copies: HashMap::new(),
            open: Vec::new(),
            late: Vec::new(),
        };
        let mut sinks: Vec<_> = description.sinks.iter().collect();
        sinks.sort_by_key(|(name, _)| name.span().start);
        let mut files: HashMap<std::path::PathBuf, String> = HashMap::new();
        let read: HashMap<std::path::PathBuf, &str> = description
            .sources
            .iter()
            .filter_map(|(name, source)| {
                let file = description.resolve(source.file.as_ref()?.get_ref());
                Some((std::fs::canonicalize(file).ok()?, name.get_ref().as_str()))
            })
            .collect();
        for (name, sink) in sinks {
            let name = name.get_ref();
            // A sink whose keys are wrong still says what feeds it.
            let plan = match sink::Plan::new(description, name, sink) {
                Ok(plan) => Some(plan),
                Err(error) => {
                    if !builder.faults.is_broken("sink", name) {
                        builder.faults.add(error);
                    }
                    None
                }
            };
            if let Some(file) = &sink.file
                && !file.get_ref().starts_with("/dev")
            {
                let error = |detail| description.error(format!("sink.{name}.file"), detail, file.span());
                if let Some(other) = files.insert(plain_path(file.get_ref()), name.clone()) {
                    builder.faults.add(error(format!("sink \"{other}\" writes the same file")));
                }
                if let Some(source) = std::fs::canonicalize(file.get_ref()).ok().and_then(|file| read.get(&file)) {
                    builder.faults.add(error(format!("source \"{source}\" reads this file, which would be replaced")));
                }
                let written = Pattern::parse(file.get_ref()).map(|pattern| pattern.name(0)).unwrap_or_default();
                let reads = |source: &Source| {
                    source
                        .file
                        .as_ref()
                        .is_some_and(|read| list::is_among(description.folder(), read.get_ref(), &written))
                };
                if let Some((source, _)) = description.sources.iter().find(|(_, source)| reads(source)) {
                    builder.faults.add(error(format!("source \"{source}\" reads files of this name")));
                }
            }
            let feed = builder.resolve(&format!("sink.{name}.input"), sink.input.get_ref(), sink.input.span());
            let pass = match feed {
                Some(Feed::Pass(pass) | Feed::Previous(pass)) => Some(pass),
                Some(Feed::Source(source)) => Some(builder.copy(source, sink.input.get_ref())),
                None => None,
            };
            if let (Some(plan), Some(pass)) = (plan, pass) {
                builder.graph.sinks.push(SinkNode { plan, pass });
            }
        }
        builder.resolve_late();
        // What no sink needs is left out, and yet must be right: an error there would surprise later.
        let used: Vec<String> = builder.done.keys().cloned().collect();
        let names = description.sources.keys().chain(description.passes.keys());
        let mut unused: Vec<_> = names.filter(|name| !used.contains(name.get_ref())).collect();
        unused.sort_by_key(|name| name.span().start);
        let kept = (builder.graph.sources.len(), builder.graph.passes.len());
        for name in &unused {
            builder.resolve(name.get_ref(), name.get_ref(), name.span());
        }
        builder.resolve_late();
        let mut graph = builder.graph;
        graph.sources.truncate(kept.0);
        graph.passes.truncate(kept.1);
        for index in 0..graph.passes.len() {
            let mut feeds = graph.passes.iter().flat_map(|pass| &pass.inputs);
            graph.passes[index].keeps_previous = feeds.any(|(_, feed)| *feed == Feed::Previous(index));
        }
        graph.unused = unused.into_iter().map(|name| name.get_ref().clone()).collect();
        graph
    }
}

struct Builder<'a> {
    description: &'a Description,
    faults: &'a mut Faults,
    /// Passes of which something is wrong, or of what feeds them.
    failed: HashSet<String>,
    graph: Graph,
    done: HashMap<String, Feed>,
    /// Passes that copy a source for a sink, by source.
    copies: HashMap<usize, usize>,
    /// Passes being resolved, outermost first: meeting one again is a cycle.
    open: Vec<String>,
    /// Inputs that are pictures of the frame before, to be resolved when the passes have their places.
    late: Vec<Late>,
}

/// An input whose pass need not come first.
struct Late {
    pass: usize,
    input: usize,
    name: String,
    key: String,
    span: Range<usize>,
}

impl Builder<'_> {
    /// What `name` is; nothing where that has been said to be wrong.
    fn resolve(&mut self, key: &str, name: &str, span: Range<usize>) -> Option<Feed> {
        if let Some(feed) = self.done.get(name) {
            return Some(*feed);
        }
        if self.failed.contains(name) {
            return None;
        }
        if let Some(at) = self.open.iter().position(|open| open == name) {
            let mut circle: Vec<&str> = self.open[at..].iter().map(String::as_str).collect();
            circle.push(name);
            let detail = format!("the passes feed each other in a circle: {}", circle.join(" reads "));
            let hint = format!("\"{PREVIOUS}.{name}\" is its picture of the frame before, which may go round");
            self.faults.add(self.description.error(key, detail, span).with_hint(hint));
            return None;
        }
        if self.description.sources.contains_key(name) {
            self.graph.sources.push(name.to_owned());
            let feed = Feed::Source(self.graph.sources.len() - 1);
            self.done.insert(name.to_owned(), feed);
            return Some(feed);
        }
        let Some((place, pass)) = self.description.passes.get_key_value(name) else {
            // A table that was not read has a name all the same.
            if !self.faults.is_broken("source", name) && !self.faults.is_broken("pass", name) {
                let names = self.description.sources.keys().chain(self.description.passes.keys());
                let hint = did_you_mean(name, names.map(|name| name.get_ref().as_str()));
                let detail = format!("there is no source or pass \"{name}\"");
                self.faults.add(self.description.error(key, detail, span).with_hint(hint));
            }
            return None;
        };
        self.open.push(name.to_owned());
        let made = self.pass(name, place, pass);
        self.open.pop();
        let Some((node, late)) = made else {
            self.failed.insert(name.to_owned());
            return None;
        };
        self.graph.passes.push(node);
        let index = self.graph.passes.len() - 1;
        self.late.extend(late.into_iter().map(|late| Late { pass: index, ..late }));
        let feed = Feed::Pass(index);
        self.done.insert(name.to_owned(), feed);
        Some(feed)
    }

    /// Reads a pass, and before it what feeds it; nothing where something is wrong.
    fn pass(&mut self, name: &str, place: &Spanned<String>, pass: &Pass) -> Option<(PassNode, Vec<Late>)> {
        // What a pass lacks that was not read whole may stand in the part that was not read.
        let is_partly = self.faults.is_broken("pass", name);
        let before = self.faults.count();
        let mut is_whole = !is_partly;
        let kind = match keys::kind(self.description, name, place.span(), pass) {
            Ok(kind) => kind,
            Err(error) => {
                if !is_partly {
                    self.faults.add(error);
                }
                is_whole = false;
                Kind::Shader
            }
        };
        let mut late: Vec<Late> = Vec::new();
        let mut inputs: Vec<(String, Feed)> = Vec::new();
        for (input, from) in &pass.inputs.0 {
            let key = format!("pass.{name}.inputs");
            // Channels have numbers, not names.
            let named = if kind == Kind::Shadertoy { Ok(()) } else { check_identifier(input.get_ref()) };
            if let Err(detail) = named {
                let error = self.description.error(key.clone(), detail, input.span());
                self.faults.add(error.with_hint("name it for the shader: inputs = { camera = \"NAME\" }"));
            }
            if inputs.iter().any(|(other, _)| other == input.get_ref()) {
                let detail = format!("\"{}\" is there twice", input.get_ref());
                self.faults.add(self.description.error(key.clone(), detail, input.span()));
            }
            let feed = match previous_of(from.get_ref(), name) {
                Some(of) => {
                    let (pass, input) = (0, inputs.len());
                    late.push(Late { pass, input, name: of.to_owned(), key, span: from.span() });
                    Feed::Previous(usize::MAX)
                }
                None => match self.resolve(&key, from.get_ref(), from.span()) {
                    // A sampler of the author's own reads RGB.
                    Some(Feed::Source(source)) if kind == Kind::Shadertoy => {
                        Feed::Pass(self.copy(source, from.get_ref()))
                    }
                    Some(feed) => feed,
                    None => {
                        is_whole = false;
                        continue;
                    }
                },
            };
            inputs.push((input.get_ref().clone(), feed));
        }
        if kind == Kind::Shadertoy {
            for (channel, (name, _)) in inputs.iter_mut().enumerate() {
                *name = format!("iChannel{channel}");
            }
        }
        let size = pass.size.as_ref().map(|size| (size.get_ref().0, size.span()));
        let sized = inputs.iter().any(|(_, feed)| !matches!(feed, Feed::Previous(_)));
        if is_whole && !sized && !matches!(size, Some((PassSize::Pixels(_), _))) {
            let detail = match inputs.is_empty() {
                true => "a pass without inputs needs a size in pixels",
                false => "a pass that only reads pictures of the frame before needs a size in pixels",
            };
            let error = self.description.error(format!("pass.{name}.size"), detail, place.span());
            self.faults.add(error.with_hint("add size = \"1280x720\""));
        }
        let fourcc = pass.format.as_ref().map_or(Fourcc::ABGR8888, |format| format.get_ref().0);
        if let Err(error) = check_target(fourcc) {
            let span = pass.format.as_ref().map_or(place.span(), |format| format.span());
            let ours = self.description.error(format!("pass.{name}.format"), error.detail(), span);
            self.faults.add(ours.with_hint_of(&error));
        }
        let repeat = keys::repeat(self.description, name, pass);
        let repeat = self.faults.take(repeat);
        let enable = keys::enable(self.description, name, pass);
        let enable = self.faults.take(enable);
        let layout = keys::layout(self.description, name, pass);
        let layout = self.faults.take(layout);
        let is_whole = is_whole && self.faults.count() == before;
        let (Some(repeat), Some(enable), Some(layout), true) = (repeat, enable, layout, is_whole) else {
            return None;
        };
        let node = PassNode {
            name: name.to_owned(),
            described: Some(name.to_owned()),
            inputs,
            fourcc,
            color_keys: pass.color,
            layout,
            filter: pass.filter,
            kind,
            wrap: pass.wrap.as_ref().map_or(Wrap::Clamp, |wrap| *wrap.get_ref()),
            repeat,
            enable,
            clear: pass.clear.as_ref().map(|clear| clear.get_ref().0),
            keeps_previous: false,
            filters: Vec::new(),
            size,
        };
        Some((node, late))
    }

    /// Resolves the inputs that are pictures of the frame before; what they need may have such inputs too.
    fn resolve_late(&mut self) {
        while let Some(Late { pass, input, name, key, span }) = self.late.pop() {
            let of = match self.resolve(&key, &name, span) {
                Some(Feed::Pass(of) | Feed::Previous(of)) => of,
                // What a source has shown is overwritten: a copy keeps it.
                Some(Feed::Source(source)) => self.copy(source, &name),
                None => continue,
            };
            self.graph.passes[pass].inputs[input].1 = Feed::Previous(of);
        }
    }

    fn copy(&mut self, source: usize, name: &str) -> usize {
        if let Some(pass) = self.copies.get(&source) {
            return *pass;
        }
        self.graph.passes.push(PassNode::copy(format!("copy of {name}"), source));
        self.copies.insert(source, self.graph.passes.len() - 1);
        self.graph.passes.len() - 1
    }
}

/// The pass that `from` means where it is a picture of the frame before.
fn previous_of<'a>(from: &'a str, own: &'a str) -> Option<&'a str> {
    match from.strip_prefix(PREVIOUS)? {
        "" => Some(own),
        rest => rest.strip_prefix('.'),
    }
}

/// A file's absolute name without `.` and `..`, which need not exist.
fn plain_path(path: &std::path::Path) -> std::path::PathBuf {
    let mut plain = std::path::PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Fails where no driver renders into the format or its planes.
fn check_target(fourcc: Fourcc) -> Result<()> {
    let format = fourcc.format()?;
    if format.is_yuv() {
        return crate::gles::yuv::target::check_target(fourcc);
    }
    if format.gl.is_none() {
        let detail = format!("{fourcc}: no driver renders into it");
        return Err(Error::unsupported("format", detail).with_hint("ABGR8888 is bytes R, G, B, A"));
    }
    Ok(())
}
