//! What this machine has: nodes, heaps, EGL platforms, formats, limits.
//!
//! In: a [`Board`]. Out: a [`Report`]: `Display` is one screen for a person, `Serialize` is complete for machines.
//! Not here: proving by pixels that what is offered works.

use std::fmt;

use serde::Serialize;

use crate::allocator::heap;
use crate::board::{AllocatorKind, Board, EglPlatform};
use crate::device::{Device, DrmNode};
use crate::egl::{Context, Display, DmaBufImport, FormatSupport};
use crate::error::Result;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// This crate's version.
    pub darkframe: &'static str,
    /// `Linux 6.12.1 x86_64`
    pub kernel: String,
    /// Name of the board file in use.
    pub board: String,
    /// DRM nodes, opened or not.
    pub nodes: Vec<Node>,
    /// Names below `/dev/dma_heap`, and whether this user may open each.
    pub heaps: Vec<Named>,
    /// Each allocator: which instances there are, or why there is none.
    pub allocators: Vec<Named>,
    /// Client extensions of libEGL (no display needed).
    pub egl_client_extensions: Vec<String>,
    /// Every platform on every node that it can be opened on.
    pub displays: Vec<DisplayReport>,
    /// Index in `displays` of the one that [`Display::open`] chooses.
    pub chosen: Option<usize>,
}

/// A name with what was found under it.
#[derive(Debug, Serialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// It can be used.
    pub usable: bool,
    /// What it is, or why it cannot be used.
    pub detail: String,
}

/// One DRM node.
#[derive(Debug, Serialize)]
pub struct Node {
    /// `/dev/dri/…`
    pub path: String,
    /// The kernel driver; empty where the node could not be opened.
    pub driver: String,
    /// `DRM_CAP_*` names that it has: `dumb`, `prime-import`, `prime-export`, `syncobj`, `syncobj-timeline`, `modifiers`.
    pub capabilities: Vec<&'static str>,
    /// Why it could not be opened.
    pub refused: Option<String>,
}

/// One EGL display.
#[derive(Debug, Serialize)]
pub struct DisplayReport {
    /// `gbm`, `surfaceless`, `device`, `default`
    pub platform: String,
    /// The node that it is on.
    pub node: Option<String>,
    /// Why it could not be opened; then the rest is empty.
    pub error: Option<String>,
    /// EGL version.
    pub egl_version: Option<(i32, i32)>,
    /// `EGL_VENDOR`
    pub egl_vendor: String,
    /// Display extensions.
    pub egl_extensions: Vec<String>,
    /// `none`, `plain`, `modifiers`
    pub dma_buf_import: &'static str,
    /// Formats that the display says it imports.
    pub formats: Vec<FormatReport>,
    /// The context, or why there is none.
    pub gl: Option<GlReport>,
    /// Why there is no context.
    pub gl_error: Option<String>,
}

/// One format of a display.
#[derive(Debug, Serialize)]
pub struct FormatReport {
    /// DRM name.
    pub name: String,
    /// The code.
    pub fourcc: u32,
    /// Not asked from the driver (it has no such question) but assumed.
    pub assumed: bool,
    /// Modifiers by name, each with whether it can only be sampled through `samplerExternalOES`.
    pub modifiers: Vec<(String, bool)>,
    /// No modifier of it can be rendered to or sampled as `GL_TEXTURE_2D`.
    pub external_only: bool,
}

/// An OpenGL ES context.
#[derive(Debug, Serialize)]
pub struct GlReport {
    /// `GL_VERSION`
    pub version: String,
    /// `GL_RENDERER`
    pub renderer: String,
    /// `GL_VENDOR`
    pub vendor: String,
    /// The CPU draws.
    pub is_software: bool,
    /// Pixels.
    pub max_texture_size: u32,
    /// Fragment shaders have highp floats.
    pub fragment_highp: bool,
    /// How others learn that our work is done, and we that theirs is: tried, not read from a list.
    pub fence_out: String,
    /// See `fence_out`.
    pub fence_in: String,
    /// Made with reset notification.
    pub robust: bool,
    /// Extensions.
    pub extensions: Vec<String>,
}

/// Looks at the machine. Opens and closes every node and display; draws nothing.
///
/// # Errors
/// Those of a node that the board names. Everything else that fails is part of the report.
pub fn probe(board: &Board) -> Result<Report> {
    let device = Device::open(board)?;
    let (displays, egl_client_extensions) = displays(&device);
    let chosen = Display::open(&device).ok().and_then(|display| {
        let node = display.node().map(|node| node.path().display().to_string());
        displays.iter().position(|report| report.platform == display.platform().to_string() && report.node == node)
    });
    let allocators = AllocatorKind::ALL.map(|kind| match device.allocators(kind) {
        Ok(found) => Named {
            name: kind.to_string(),
            usable: true,
            detail: found.iter().map(|allocator| allocator.name()).collect::<Vec<_>>().join(", "),
        },
        Err(error) => Named { name: kind.to_string(), usable: false, detail: error.to_string() },
    });
    let heaps = heap::names().into_iter().map(|name| match heap::DmaHeap::open(&name) {
        Ok(heap) => {
            let detail = if heap.is_contiguous() { "contiguous" } else { "scattered pages" };
            Named { name, usable: true, detail: detail.into() }
        }
        Err(error) => Named { name, usable: false, detail: error.to_string() },
    });
    let uname = nix::sys::utsname::uname().ok();
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    Ok(Report {
        darkframe: env!("CARGO_PKG_VERSION"),
        kernel: format!(
            "{} {} {}",
            part(uname.as_ref().map(|uname| uname.sysname())),
            part(uname.as_ref().map(|uname| uname.release())),
            part(uname.as_ref().map(|uname| uname.machine()))
        ),
        board: board.name.clone(),
        nodes: nodes(&device),
        heaps: heaps.collect(),
        allocators: allocators.into(),
        egl_client_extensions,
        displays,
        chosen,
    })
}

fn nodes(device: &Device) -> Vec<Node> {
    use drm::DriverCapability as Cap;
    let opened = device.nodes().iter().map(|node| {
        let value = |capability| drm::Device::get_driver_capability(node, capability).unwrap_or(0);
        let prime = value(Cap::Prime);
        let all = [
            (!node.is_render() && value(Cap::DumbBuffer) != 0, "dumb"),
            (prime & 1 != 0, "prime-import"),
            (prime & 2 != 0, "prime-export"),
            (value(Cap::SyncObj) != 0, "syncobj"),
            (value(Cap::TimelineSyncObj) != 0, "syncobj-timeline"),
            (value(Cap::AddFB2Modifiers) != 0, "modifiers"),
        ];
        Node {
            path: node.path().display().to_string(),
            driver: node.driver().to_owned(),
            capabilities: all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect(),
            refused: None,
        }
    });
    let refused = device.refused().iter().map(|refused| Node {
        path: refused.path.display().to_string(),
        driver: String::new(),
        capabilities: Vec::new(),
        refused: Some(refused.why.clone()),
    });
    opened.chain(refused).collect()
}

/// Every display, and the client extensions that the first one told.
fn displays(device: &Device) -> (Vec<DisplayReport>, Vec<String>) {
    let mut reports = Vec::new();
    let mut client = Vec::new();
    for platform in &device.board().egl.platforms {
        let nodes: Vec<Option<&DrmNode>> = match platform {
            EglPlatform::Gbm | EglPlatform::Device if !device.nodes().is_empty() => {
                device.render_candidates().into_iter().map(Some).collect()
            }
            EglPlatform::Gbm => continue,
            _ => vec![None],
        };
        for node in nodes {
            let opened = Display::open_on(device, *platform, node);
            if let (Ok(display), true) = (&opened, client.is_empty()) {
                client = display.client_extensions().iter().map(str::to_owned).collect();
            }
            reports.push(report_display(*platform, node, opened));
        }
    }
    (reports, client)
}

fn report_display(platform: EglPlatform, node: Option<&DrmNode>, opened: Result<Display>) -> DisplayReport {
    let mut report = DisplayReport {
        platform: platform.to_string(),
        node: node.map(|node| node.path().display().to_string()),
        error: None,
        egl_version: None,
        egl_vendor: String::new(),
        egl_extensions: Vec::new(),
        dma_buf_import: "none",
        formats: Vec::new(),
        gl: None,
        gl_error: None,
    };
    let display = match opened {
        Ok(display) => display,
        Err(error) => {
            report.error = Some(error.to_string());
            return report;
        }
    };
    report.egl_version = Some(display.version());
    report.egl_vendor = display.vendor().to_owned();
    report.egl_extensions = display.extensions().iter().map(str::to_owned).collect();
    report.dma_buf_import = match display.dma_buf_import() {
        None => "none",
        Some(DmaBufImport::Plain) => "plain",
        Some(DmaBufImport::Modifiers) => "modifiers",
    };
    match display.formats() {
        Ok(formats) => report.formats = formats.iter().map(report_format).collect(),
        Err(error) => report.error = Some(error.to_string()),
    }
    match report_gl(&display) {
        Ok(gl) => report.gl = Some(gl),
        Err(error) => report.gl_error = Some(error.to_string()),
    }
    report
}

fn report_format(format: &FormatSupport) -> FormatReport {
    FormatReport {
        name: format.fourcc.to_string(),
        fourcc: format.fourcc.0,
        assumed: format.assumed,
        modifiers: format.modifiers.iter().map(|entry| (entry.modifier.to_string(), entry.external_only)).collect(),
        external_only: format.external_only(),
    }
}

fn report_gl(display: &Display) -> Result<GlReport> {
    let context = Context::new(display)?;
    let gl = context.make_current()?;
    let caps = gl.caps();
    let fences = gl.fence_ways();
    Ok(GlReport {
        version: caps.version_text.clone(),
        renderer: caps.renderer.clone(),
        vendor: caps.vendor.clone(),
        is_software: caps.is_software,
        max_texture_size: caps.max_texture_size,
        fragment_highp: caps.fragment_highp,
        fence_out: fences.out.to_string(),
        fence_in: fences.into.to_string(),
        robust: context.is_robust(),
        extensions: caps.extensions.iter().map(str::to_owned).collect(),
    })
}

impl fmt::Display for Report {
    /// One screen: what there is, and what the first display that imports dma-bufs takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "darkframe {} on {}, board {}", self.darkframe, self.kernel, self.board)?;
        writeln!(f, "\nDRM nodes")?;
        if self.nodes.is_empty() {
            writeln!(f, "  none (/dev/dri is empty or missing)")?;
        }
        for node in &self.nodes {
            match &node.refused {
                None => writeln!(f, "  {:<22} {:<12} {}", node.path, node.driver, node.capabilities.join(" "))?,
                Some(why) => writeln!(f, "  {:<22} {why}", node.path)?,
            }
        }
        writeln!(f, "\nAllocators")?;
        for allocator in &self.allocators {
            let heaps: Vec<String> = self.heaps.iter().map(|heap| format!("{} ({})", heap.name, heap.detail)).collect();
            match (allocator.usable, allocator.name.as_str()) {
                (true, "dma-heap") => writeln!(f, "  dma-heap   {}", heaps.join(", "))?,
                (true, name) => writeln!(f, "  {name:<10} {}", allocator.detail)?,
                (false, name) => writeln!(f, "  {name:<10} no: {}", allocator.detail)?,
            }
        }
        writeln!(f, "\nEGL displays (* is what a run takes)")?;
        // Displays that say the same share their lines.
        let mut said: Vec<(String, Vec<String>)> = Vec::new();
        for (index, display) in self.displays.iter().enumerate() {
            let star = if self.chosen == Some(index) { "*" } else { "" };
            let node = display.node.as_ref().map_or_else(String::new, |node| format!(" {node}"));
            let (name, text) = (format!("{star}{}{node}", display.platform), display.summary());
            match said.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(name),
                None => said.push((text, vec![name])),
            }
        }
        for (text, names) in &said {
            write_wrapped(f, "  ", &names.iter().map(|name| format!("{name},")).collect::<Vec<_>>())?;
            writeln!(f, "    {text}")?;
        }
        let importing = |index: &usize| self.displays[*index].dma_buf_import != "none";
        let best = self.chosen.filter(importing).or_else(|| (0..self.displays.len()).find(importing));
        let Some(best) = best.map(|index| &self.displays[index]) else {
            return writeln!(f, "\nZero-copy: not here, no display imports dma-bufs");
        };
        let place = best.node.as_ref().map_or_else(String::new, |node| format!(" on {node}"));
        writeln!(f, "\nFormats of {}{place} (as advertised; --json has modifiers)", best.platform)?;
        for (title, external) in [("render, sample", false), ("sample only", true)] {
            let names: Vec<&str> = best
                .formats
                .iter()
                .filter(|format| format.external_only == external)
                .map(|format| format.name.as_str())
                .collect();
            write_wrapped(f, &format!("  {title:<15} "), &names)?;
        }
        Ok(())
    }
}

impl DisplayReport {
    /// What it offers, or why it offers nothing.
    fn summary(&self) -> String {
        let gl = match (&self.error, &self.gl, &self.gl_error) {
            (Some(error), _, _) => return error.clone(),
            (None, None, error) => return format!("no context: {}", error.as_deref().unwrap_or("unknown")),
            (None, Some(gl), _) => gl,
        };
        let import = match self.dma_buf_import {
            "none" => "no dma-buf import: frames are copied".to_owned(),
            kind => format!("dma-buf import ({kind}), {} formats", self.formats.len()),
        };
        let robust = if gl.robust { "; robust" } else { "" };
        format!(
            "{} on {}\n    {import}; fences out {}, in {}; textures to {}{robust}",
            gl.version, gl.renderer, gl.fence_out, gl.fence_in, gl.max_texture_size
        )
    }
}

/// Words behind a title, in lines of at most 110 columns.
fn write_wrapped(f: &mut fmt::Formatter<'_>, title: &str, words: &[impl AsRef<str>]) -> fmt::Result {
    let mut line = title.to_owned();
    for word in words.iter().map(AsRef::as_ref) {
        if line.len() + word.len() > 110 {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(title.len());
        }
        line.push_str(word);
        line.push(' ');
    }
    writeln!(f, "{}", line.trim_end().trim_end_matches(','))
}
