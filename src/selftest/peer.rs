//! The other process: it gets memory by its fd alone and must see the same pixels.

use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::draw::pattern;
use super::{Bench, Facts, Outcome, rgb, wrong};
use crate::board::Board;
use crate::buffer::{Access, Buffer, Memory};
use crate::egl::UseModifier;
use crate::error::Result;
use crate::gles::{Texture, TextureOptions};
use crate::layout::{Layout, PlaneLayout, Size};

/// Runs a [`Task`] in another process, with the memory.
pub trait Peer {
    /// Waits for the answer.
    fn ask(&self, task: &Task, memory: BorrowedFd<'_>) -> Outcome;
}

/// What the other process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The display to do it on.
    pub display: String,
    format: String,
    width: u32,
    height: u32,
    modifier: u64,
    implicit: bool,
    offset_bytes: u64,
    stride_bytes: u32,
    /// The pattern that the GPU draws is in it; else the codes that the CPU writes.
    drawn: bool,
}

impl Task {
    pub(super) fn new(display: &str, buffer: &Buffer, implicit: bool, drawn: bool) -> Self {
        let (layout, plane) = (buffer.layout(), buffer.layout().planes()[0]);
        Self {
            display: display.to_owned(),
            format: layout.fourcc.to_string(),
            width: layout.size.width,
            height: layout.size.height,
            modifier: layout.modifier.0,
            implicit,
            offset_bytes: plane.offset_bytes,
            stride_bytes: plane.stride_bytes,
            drawn,
        }
    }

    /// Does it, in this process.
    pub fn carry_out(&self, board: &Board, memory: OwnedFd) -> Outcome {
        Outcome::of(false, self.sample(board, memory))
    }

    fn sample(&self, board: &Board, memory: OwnedFd) -> Result<Facts> {
        let bench = Bench::open(board, &self.display)?;
        let plane = PlaneLayout { offset_bytes: self.offset_bytes, stride_bytes: self.stride_bytes };
        let modifier = crate::format::Modifier(self.modifier);
        let size = Size::new(self.width, self.height);
        let layout = Layout::new(self.format.parse()?, size, modifier, &[plane])?;
        let buffer = Buffer::from_fds(layout, vec![memory])?;
        let texture = match buffer.memory() {
            Memory::DmaBuf => {
                let passed = if self.implicit { UseModifier::Implicit } else { UseModifier::Auto };
                Texture::external(&bench.gl, &rgb::import(&bench, &buffer, passed)?)?
            }
            Memory::SealedMemfd => {
                let options = TextureOptions { fourcc: buffer.fourcc(), ..TextureOptions::default() };
                let texture = Texture::new(&bench.gl, size, &options)?;
                let map = buffer.map(Access::Read)?;
                texture.upload(&bench.gl, map.plane(0), self.stride_bytes)?;
                drop(map);
                texture
            }
        };
        if !self.drawn {
            rgb::word(buffer.fourcc())?.check_sampled(&bench, &texture, 0)?;
            return Ok(Facts::new());
        }
        let pixels = bench.mapper.sampled(&bench.gl, &texture)?;
        for (index, got) in pixels.chunks_exact(4).enumerate() {
            let (x, y) = (index as u32 % size.width, index as u32 / size.width);
            let expected = pattern(x, y, 0);
            if got != expected {
                return wrong(format!("({x}, {y}) is {got:?}, expected {expected:?}"));
            }
        }
        Ok(Facts::new())
    }
}

/// Displays on other kernel drivers than this one's.
pub(super) fn other_displays(bench: &Bench) -> Vec<String> {
    let mine = bench.display.node().map(|node| node.driver());
    let others = bench.device.nodes().iter().filter(|node| !node.is_render() && Some(node.driver()) != mine);
    others.map(|node| format!("gbm:{}", node.path().display())).collect()
}
