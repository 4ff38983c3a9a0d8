//! Memory of every allocator: who can use it, and whether both sides see the same bytes.

use super::rgb::{self, SIZE};
use super::{Bench, Case, Facts, Outcome, Peer, Use, peer, wrong, yuv};
use crate::allocator::Allocator;
use crate::board::AllocatorKind;
use crate::buffer::{Access, Buffer};
use crate::egl::UseModifier;
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::gles::{Framebuffer, Texture, TextureOptions};

/// The format in which everything is tried.
const MAIN: Fourcc = Fourcc::ABGR8888;

const ALL_USES: [Use; 7] =
    [Use::External, Use::TwoD, Use::Render, Use::Renderbuffer, Use::Turns, Use::Survive, Use::Process];

/// Formats that are tried in fewer uses.
const OTHERS: [(Fourcc, &[Use]); 4] = [
    (Fourcc::XRGB8888, &[Use::External, Use::Render]),
    (Fourcc::RGB565, &[Use::External, Use::Render]),
    (Fourcc::R8, &[Use::External, Use::TwoD, Use::Render]),
    (Fourcc::NV12, &[Use::External]),
];

/// Every allocator in every use that the display offers.
///
/// # Errors
/// `Failed`: the driver does not say its formats.
pub fn cases(bench: &Bench) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let case = |allocator: &dyn Allocator, fourcc: Fourcc, modifier: String, usage| Case::Memory {
        allocator: allocator.name(),
        format: fourcc.to_string(),
        modifier,
        usage,
    };
    let imports = bench.display.dma_buf_import().is_some();
    for (kind, allocator) in bench.allocators() {
        let memory = &*allocator;
        if kind == AllocatorKind::Memfd {
            // No dma-buf: it is copied, and other processes have it.
            cases.extend([Use::Copy, Use::Process].map(|usage| case(memory, MAIN, "none".into(), usage)));
            continue;
        }
        if !imports {
            continue;
        }
        for (fourcc, uses) in [(MAIN, &ALL_USES[..])].into_iter().chain(OTHERS) {
            let Ok(support) = bench.display.format(fourcc) else { continue };
            let listed = support.modifiers.iter().map(|entry| entry.modifier);
            // What such memory can have: GBM asks its driver, everybody else lays rows one after the other.
            let mut modifiers: Vec<Modifier> =
                listed.filter(|modifier| kind == AllocatorKind::Gbm || *modifier == Modifier::LINEAR).collect();
            if fourcc != MAIN {
                modifiers.retain(|modifier| *modifier == Modifier::LINEAR);
            }
            for modifier in &modifiers {
                // Rows of tiles are nothing that the CPU could compare.
                let linear = *modifier == Modifier::LINEAR;
                let uses = uses.iter().filter(|usage| linear || **usage == Use::Process);
                cases.extend(uses.map(|usage| case(memory, fourcc, modifier.to_string(), *usage)));
            }
            let implicit: &[Use] = match (fourcc == MAIN, modifiers.is_empty()) {
                (_, true) => uses,
                (true, false) => &[Use::External, Use::Render],
                (false, false) => &[],
            };
            cases.extend(implicit.iter().map(|usage| case(memory, fourcc, "none".into(), *usage)));
        }
        if !peer::other_displays(bench).is_empty() {
            cases.push(case(memory, MAIN, "none".into(), Use::Device));
        }
    }
    Ok(cases)
}

/// One use of one allocator's memory; and whether the driver promised it.
pub fn carry_out(
    bench: &Bench,
    allocator: &str,
    format: &str,
    modifier: &str,
    usage: Use,
    peer: &dyn Peer,
) -> (bool, Result<Facts>) {
    let go = || {
        let memory = bench.allocator(allocator)?;
        let fourcc: Fourcc = format.parse()?;
        let (modifiers, passed) = match modifier {
            "none" => (Vec::new(), UseModifier::Implicit),
            text => (vec![text.parse::<Modifier>()?], UseModifier::Explicit),
        };
        if fourcc.format()?.is_yuv() {
            return yuv::picture(bench, &*memory, fourcc, passed);
        }
        let buffer = rgb::allocate(&*memory, fourcc, SIZE, &modifiers)?;
        // What the allocator does not say cannot be passed.
        let passed = if buffer.layout().modifier == Modifier::INVALID { UseModifier::Implicit } else { passed };
        match usage {
            Use::External | Use::TwoD | Use::Render | Use::Renderbuffer => rgb::try_use(bench, &buffer, passed, usage),
            Use::Turns => turns(bench, &buffer, passed),
            Use::Survive => survive(bench, buffer, passed),
            Use::Copy => copy(bench, &buffer),
            Use::Process => {
                let drawn = buffer.layout().modifier != Modifier::LINEAR && modifier != "none";
                other(bench, &buffer, passed, peer, None, drawn)
            }
            Use::Device => {
                let displays = peer::other_displays(bench);
                let display = displays.first().ok_or_else(|| Error::unsupported("device", "there is no other one"))?;
                other(bench, &buffer, passed, peer, Some(display), true)
            }
        }
    };
    // Whose memory a driver takes is promised by nobody.
    (false, go())
}

/// The CPU and the GPU write and read by turns, through one texture that stays: stale caches show.
fn turns(bench: &Bench, buffer: &Buffer, passed: UseModifier) -> Result<Facts> {
    let (gl, word) = (&bench.gl, rgb::word(buffer.fourcc())?);
    let image = rgb::import(bench, buffer, passed)?;
    let texture = Texture::from_image(gl, &image)?;
    let target = Framebuffer::new(gl, Texture::from_image(gl, &image)?)?;
    for turn in 0..4 {
        word.write(buffer, turn)?;
        word.check_sampled(bench, &texture, turn)
            .map_err(|error| error.in_context(format!("turn {turn}, CPU to GPU")))?;
        bench.mapper.draw_pattern(gl, &target, turn)?;
        gl.finish();
        word.check_drawn(buffer, turn).map_err(|error| error.in_context(format!("turn {turn}, GPU to CPU")))?;
    }
    Ok(Facts::new())
}

/// Only an fd is kept: handles, buffer objects, mappings and the first image all go.
fn survive(bench: &Bench, buffer: Buffer, passed: UseModifier) -> Result<Facts> {
    let (gl, word) = (&bench.gl, rgb::word(buffer.fourcc())?);
    word.write(&buffer, 0)?;
    let fd = buffer.plane_fd(0).try_clone_to_owned().map_err(|error| Error::from_io("dup", "a dma-buf", error))?;
    let layout = buffer.layout().clone();
    drop(rgb::import(bench, &buffer, passed)?);
    drop(buffer);
    let again = Buffer::from_fds(layout, vec![fd])?;
    let texture = Texture::external(gl, &rgb::import(bench, &again, passed)?)?;
    drop(again);
    word.check_sampled(bench, &texture, 0)?;
    Ok(Facts::new())
}

/// Copied into a texture from mapped memory, sampled.
fn copy(bench: &Bench, buffer: &Buffer) -> Result<Facts> {
    let word = rgb::word(buffer.fourcc())?;
    word.write(buffer, 0)?;
    let options = TextureOptions { fourcc: buffer.fourcc(), ..TextureOptions::default() };
    let texture = Texture::new(&bench.gl, buffer.size(), &options)?;
    {
        let map = buffer.map(Access::Read)?;
        texture.upload(&bench.gl, map.plane(0), buffer.layout().planes()[0].stride_bytes)?;
    }
    word.check_sampled(bench, &texture, 0)?;
    Ok(Facts::new())
}

/// Another process samples it: what the CPU wrote here, or what was drawn here.
fn other(
    bench: &Bench,
    buffer: &Buffer,
    passed: UseModifier,
    peer: &dyn Peer,
    display: Option<&str>,
    drawn: bool,
) -> Result<Facts> {
    if drawn {
        let image = rgb::import(bench, buffer, passed)?;
        let target = Framebuffer::new(&bench.gl, Texture::from_image(&bench.gl, &image)?)?;
        bench.mapper.draw_pattern(&bench.gl, &target, 0)?;
        bench.gl.finish();
        bench.gl.check()?;
    } else {
        rgb::word(buffer.fourcc())?.write(buffer, 0)?;
    }
    let display = display.unwrap_or(&bench.name);
    let task = peer::Task::new(display, buffer, passed == UseModifier::Implicit, drawn);
    match peer.ask(&task, buffer.plane_fd(0)) {
        Outcome::Ok { facts } => Ok(facts),
        Outcome::Wrong { why } => wrong(format!("in the other process: {why}")),
        Outcome::Unsupported { why } => Err(Error::unsupported("other process", why)),
        other => Err(Error::failed("other process", other.to_string())),
    }
}
