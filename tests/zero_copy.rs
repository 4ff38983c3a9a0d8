//! The GPU uses memory of every allocator itself: render, sample, map, survive; exact to the byte.
//!
//! Each (display, allocator) is tried in a process of its own, because drivers crash. What a driver is known to get wrong
//! is a row of `FAULTS`; a row that no longer holds fails the test.

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use common::draw::{program, sampled};
use common::{or_skip, skip};
use darkframe::allocator::{Allocator, Request, Usage};
use darkframe::board::{AllocatorKind, Board, EglPlatform};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::{Device, DrmNode};
use darkframe::egl::{Context, Display, Image};
use darkframe::error::{Error, ErrorKind, Result};
use darkframe::format::Fourcc;
use darkframe::gles::{Framebuffer, Gl, Renderbuffer, Texture};
use darkframe::layout::{Constraints, Size};

/// Not a multiple of 16, so that a stride taken for a width shows.
const SIZE: Size = Size::new(52, 37);

/// What is known: (part of `GL_VERSION`, display, allocator, why it fails or `None` where it works). A part of each name
/// is enough, `*` is any, the first row that fits counts; what fits no row must work.
const FAULTS: &[(&str, &str, &str, Option<&str>)] = &[
    ("Mesa 25", "(no DRM)", "*", None),
    ("Mesa 25", " render)", "*", Some(MAPS_THROUGH_ITS_NODE)),
    ("Mesa 25", "gbm(virtio_gpu)", "(virtio_gpu)", None),
    ("Mesa 25", "gbm(vgem)", "(vgem)", None),
    ("Mesa 25", "gbm(vkms)", "(vkms)", None),
    // Surfaceless takes the first node that lets it: vgem's.
    ("Mesa 25", "surfaceless", "(vgem)", None),
    ("Mesa 25", "*", "*", Some(MAPS_THROUGH_ITS_NODE)),
];

/// The refusal of `egl::faults`, which stands before a crash of the driver.
const MAPS_THROUGH_ITS_NODE: &str = "maps memory through";

const USES: [&str; 7] = ["render", "renderbuffer", "2d", "external", "map", "survive", "fence"];

/// Red, green, blue and alpha of pixel (x, y): no two components alike, row 0 told from the last.
fn pattern(x: u32, y: u32) -> [u8; 4] {
    [(x * 4 + 3) as u8, (y * 6 + 1) as u8, (x * 2 + y * 3) as u8, 255]
}

struct Bench {
    device: Device,
    display: Display,
    context: Context,
}

impl Bench {
    fn allocate(&self, allocator: &dyn Allocator) -> Result<Buffer> {
        let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
        let mut request = Request::new(SIZE, Fourcc::ABGR8888).usage(usage);
        request.constraints = Constraints::MALI;
        allocator.allocate(&request)
    }
}

const DRAW_PATTERN: &str = "
void main() {
    vec2 p = floor(gl_FragCoord.xy);
    gl_FragColor = vec4(p.x * 4.0 + 3.0, p.y * 6.0 + 1.0, p.x * 2.0 + p.y * 3.0, 255.0) / 255.0;
}";

/// Draws the pattern into `target` and waits until it is there.
fn draw_pattern(gl: &Gl, target: &Framebuffer) -> Result<()> {
    let program = program(gl, "precision highp float;\n", DRAW_PATTERN)?;
    target.bind(gl)?;
    program.draw_triangle(gl)?;
    if let Some(fence) = gl.fence()? {
        fence.wait(None)?;
    }
    gl.check()
}

fn write_pattern(buffer: &Buffer) -> Result<()> {
    let stride = buffer.layout().planes()[0].stride_bytes as usize;
    let mut map = buffer.map(Access::Write)?;
    let bytes = map.plane_mut(0);
    for y in 0..SIZE.height {
        for x in 0..SIZE.width {
            let at = y as usize * stride + x as usize * 4;
            bytes[at..at + 4].copy_from_slice(&pattern(x, y));
        }
    }
    Ok(())
}

/// Fails at the first pixel that is not the pattern's. `rows` gives row y as bytes.
fn compare<'a>(rows: impl Fn(u32) -> &'a [u8]) -> Result<()> {
    for y in 0..SIZE.height {
        for x in 0..SIZE.width {
            let got = &rows(y)[x as usize * 4..][..4];
            if got != pattern(x, y) {
                let expected = pattern(x, y);
                return Err(Error::failed("pixels", format!("({x}, {y}) is {got:?}, expected {expected:?}")));
            }
        }
    }
    Ok(())
}

fn compare_memory(buffer: &Buffer) -> Result<()> {
    let map = buffer.map(Access::Read)?;
    compare(|y| map.row(0, y))
}

fn compare_pixels(pixels: &[u8]) -> Result<()> {
    let row = SIZE.width as usize * 4;
    compare(|y| &pixels[y as usize * row..][..row])
}

/// One use of one buffer.
fn try_use(bench: &Bench, gl: &Gl, allocator: &dyn Allocator, name: &str) -> Result<()> {
    let buffer = bench.allocate(allocator)?;
    let import = || Image::import(&bench.display, &buffer);
    match name {
        "render" => {
            draw_pattern(gl, &Framebuffer::new(gl, Texture::from_image(gl, &import()?)?)?)?;
            compare_memory(&buffer)
        }
        "renderbuffer" => {
            draw_pattern(gl, &Framebuffer::from_renderbuffer(gl, Renderbuffer::from_image(gl, &import()?)?)?)?;
            compare_memory(&buffer)
        }
        "2d" => {
            write_pattern(&buffer)?;
            compare_pixels(&sampled(gl, &Texture::from_image(gl, &import()?)?)?)
        }
        "external" => {
            write_pattern(&buffer)?;
            compare_pixels(&sampled(gl, &Texture::external(gl, &import()?)?)?)
        }
        // The CPU writes after the GPU has read: the same texture must show the new bytes when it is bound again.
        "map" => {
            let texture = Texture::from_image(gl, &import()?)?;
            sampled(gl, &texture)?;
            write_pattern(&buffer)?;
            compare_pixels(&sampled(gl, &texture)?)
        }
        // Only an fd is kept: GEM handles, buffer objects, mappings, the first image all go.
        "survive" => {
            write_pattern(&buffer)?;
            let fd = buffer.plane_fd(0).try_clone_to_owned().expect("dup");
            let layout = buffer.layout().clone();
            drop(import()?);
            drop(buffer);
            let again = Buffer::from_fds(layout, vec![fd])?;
            let texture = Texture::from_image(gl, &Image::import(&bench.display, &again)?)?;
            drop(again);
            compare_pixels(&sampled(gl, &texture)?)
        }
        // A fence given to the buffer by the kernel or by EGL is waited for, and ours becomes known.
        "fence" => {
            let target = Framebuffer::new(gl, Texture::from_image(gl, &import()?)?)?;
            let program = program(gl, "precision highp float;\n", DRAW_PATTERN)?;
            target.bind(gl)?;
            program.draw_triangle(gl)?;
            if let Some(fence) = gl.fence()? {
                // Others that use the memory implicitly must wait for it too.
                buffer.import_fence(&fence, Access::Write).or_else(|error| match error.kind() {
                    ErrorKind::Unsupported => Ok(()),
                    _ => Err(error),
                })?;
                gl.wait_fence(&fence)?;
                fence.wait(Some(std::time::Duration::from_secs(10)))?;
            }
            // Map's DMA_BUF_IOCTL_SYNC waits for implicit fences.
            compare_memory(&buffer)
        }
        _ => unreachable!("{name}"),
    }
}

/// The name of a display in messages and in `FAULTS`: `gbm(vgem render)`.
fn display_name(platform: EglPlatform, node: Option<&DrmNode>) -> String {
    let on = node.map_or_else(String::new, |node| {
        format!("({}{})", node.driver(), if node.is_render() { " render" } else { "" })
    });
    format!("{platform}{on}")
}

fn displays(device: &Device) -> Vec<(String, EglPlatform, Option<&DrmNode>)> {
    let gbm = device.nodes().iter().map(|node| (EglPlatform::Gbm, Some(node)));
    let all = gbm.chain([(EglPlatform::Surfaceless, None)]);
    let place = if device.nodes().is_empty() { "(no DRM)" } else { "" };
    all.map(|(platform, node)| (display_name(platform, node) + place, platform, node)).collect()
}

/// The child: all uses of one allocator kind on one display, told line by line: `USE name: ok | why`.
#[test]
fn child() {
    let Ok(case) = std::env::var("DARKFRAME_CASE") else { return };
    let (wanted, rest) = case.split_once('|').unwrap();
    let (kind, skipped) = rest.split_once('|').unwrap();
    let device = Device::open(&Board::generic()).unwrap();
    let all = displays(&device);
    let (_, platform, node) = all.iter().find(|(name, _, _)| name == wanted).unwrap();
    let display = Display::open_on(&device, *platform, *node).unwrap();
    if let Some(reason) = display.unsupported_reason() {
        println!("NONE {reason}");
        return;
    }
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    println!("GL {} {}", gl.caps().version_text, gl.caps().renderer);
    let bench = Bench { device: device.clone(), display, context: context.clone() };
    let kind: AllocatorKind = kind.parse().unwrap();
    for allocator in bench.device.allocators(kind).unwrap() {
        if bench.allocate(&*allocator).is_err() {
            continue;
        }
        for name in USES {
            let label = format!("{} {name}", allocator.name());
            if skipped.split(',').any(|skipped| skipped == label) {
                continue;
            }
            print!("USE {label}: ");
            std::io::stdout().flush().unwrap();
            match try_use(&bench, &gl, &*allocator, name) {
                Ok(()) => println!("ok"),
                Err(error) => println!("{error}"),
            }
        }
    }
    let _ = &bench.context;
    println!("END");
}

/// What one use came to.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Ok,
    Error(String),
    Crash(i32),
}

/// Runs the child until it reaches its end, leaving out the uses that crashed it.
fn outcomes(display: &str, kind: AllocatorKind) -> (String, BTreeMap<String, Outcome>) {
    let (mut found, mut version) = (BTreeMap::new(), String::new());
    loop {
        let crashed: Vec<&String> =
            found.iter().filter(|(_, o)| matches!(o, Outcome::Crash(_))).map(|(l, _)| l).collect();
        let crashed = crashed.iter().map(|label| label.as_str()).collect::<Vec<_>>().join(",");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env("DARKFRAME_CASE", format!("{display}|{kind}|{crashed}"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut last = None;
        for line in text.lines() {
            if let Some(gl) = line.strip_prefix("GL ") {
                version = gl.to_owned();
            }
            let Some((label, result)) = line.strip_prefix("USE ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            last = Some(label.to_owned());
            match result {
                "ok" => found.insert(label.to_owned(), Outcome::Ok),
                "" => None,
                error => found.insert(label.to_owned(), Outcome::Error(error.to_owned())),
            };
        }
        if text.lines().any(|line| line == "END" || line.starts_with("NONE ")) {
            return (version, found);
        }
        let signal = output.status.signal().unwrap_or_else(|| {
            panic!(
                "{display} {kind}: child ended with {}: {text}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )
        });
        // The crash came under the last use that was begun: its line has no result, so it was not parsed.
        let begun =
            text.lines().rev().find_map(|line| line.strip_prefix("USE ")).map(|line| line.trim_end_matches(": "));
        let label =
            begun.map(str::to_owned).or(last).unwrap_or_else(|| panic!("{display} {kind}: crash before any use"));
        assert!(found.insert(label.clone(), Outcome::Crash(signal)).is_none(), "{label} crashed twice");
    }
}

/// Why this is known to fail, if it is.
fn fault(version: &str, display: &str, allocator: &str) -> Option<&'static str> {
    let fits = |pattern: &str, text: &str| pattern == "*" || text.contains(pattern);
    let row = FAULTS.iter().find(|(v, d, a, _)| fits(v, version) && fits(d, display) && fits(a, allocator));
    row.and_then(|(.., why)| *why)
}

#[test]
fn every_allocator_on_every_display() {
    if std::env::var_os("DARKFRAME_CASE").is_some() {
        return;
    }
    let device = Device::open(&Board::generic()).unwrap();
    let (mut wrong, mut proved) = (Vec::new(), 0);
    for (display, platform, node) in displays(&device) {
        if or_skip(&display, Display::open_on(&device, platform, node)).is_none() {
            continue;
        }
        for kind in AllocatorKind::ALL.into_iter().filter(|kind| *kind != AllocatorKind::Memfd) {
            if device.allocators(kind).is_err() {
                continue;
            }
            let (version, outcomes) = outcomes(&display, kind);
            for (label, outcome) in &outcomes {
                let (allocator, _) = label.rsplit_once(' ').unwrap();
                let known = fault(&version, &display, allocator);
                println!("{display:<24} {label:<40} {outcome:?}");
                match (outcome, known) {
                    (Outcome::Ok, None) => proved += 1,
                    (Outcome::Ok, Some(why)) => wrong.push(format!("{display} {label} works, yet is listed: {why}")),
                    (Outcome::Error(error), Some(why)) if error.contains(why) => {}
                    (failure, _) => wrong.push(format!("{display} {label} ({version}): {failure:?}")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ from the table:\n{}", wrong.len(), wrong.join("\n"));
    if proved == 0 {
        skip("zero-copy", "no display here imports dma-bufs");
    }
}
