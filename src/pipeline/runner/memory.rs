//! How many buffers a target has, and memory for pixels that are read back, some of it made before the driver is there.
//!
//! In: what sinks want of a pass's pictures. Out: buffers. Not here: what is drawn into (`target`).

use std::collections::HashMap;

use crate::allocator::{Request, Usage};
use crate::board::AllocatorKind;
use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::Fourcc;
use crate::layout::{Constraints, Size};

use super::super::plan::Plan;
use super::super::sink::Shape;
use super::BUFFERS;
use super::planes::read_back_memory;

/// Buffers made while the driver starts, by the pass's name.
#[derive(Default)]
pub(super) struct Staged(HashMap<String, Vec<Buffer>>);

impl Staged {
    pub(super) fn take(&mut self, pass: &str) -> Vec<Buffer> {
        self.0.remove(pass).unwrap_or_default()
    }
}

/// Makes the memory for read-back where the machine has no dma-bufs anyway, and touches it: page faults cost more than
/// the copy, and the driver is starting on another core.
pub(super) fn stage(device: &Device, plan: &Plan) -> Result<Staged> {
    let mut staged = Staged::default();
    if !device.nodes().is_empty() || std::path::Path::new("/dev/udmabuf").exists() {
        return Ok(staged);
    }
    for sink in &plan.graph.sinks {
        let buffers = staged.0.entry(plan.graph.passes[sink.pass].name.clone()).or_default();
        if buffers.is_empty() {
            let shape = plan.shape(sink.pass);
            if shape.size.pixels() > STAGED_PIXELS {
                continue;
            }
            // Without a node and without udmabuf the CPU draws.
            for _ in 0..read_back_buffers(&shape, true) {
                let name = &plan.graph.passes[sink.pass].name;
                let buffer = read_back_memory(device, &shape).map_err(|error| error.in_context(name))?;
                buffer.populate()?;
                buffers.push(buffer);
            }
        }
    }
    Ok(staged)
}

/// Larger targets may not fit the driver: their memory is made when it has taken the size.
const STAGED_PIXELS: u64 = 4096 * 4096;

/// Buffers for pictures that sinks map.
pub(super) fn buffers_for(shape: &Shape) -> usize {
    no_more_than_frames(shape, BUFFERS + shape.held)
}

fn no_more_than_frames(shape: &Shape, buffers: usize) -> usize {
    shape.frames.map_or(buffers, |frames| frames.clamp(1, buffers as u64) as usize)
}

/// Buffers for pixels that are read back. Where the CPU draws nothing is gained by reading ahead of the sinks: one is
/// read into while one is written.
pub(super) fn read_back_buffers(shape: &Shape, is_software: bool) -> usize {
    no_more_than_frames(shape, if is_software { 2 } else { BUFFERS } + shape.held)
}

/// Memory for the CPU alone, without padding (rows of YUV planes: to four bytes) but for what is wanted: what uploads and
/// read-back like best.
pub(super) fn tight_memory(device: &Device, size: Size, fourcc: Fourcc, wanted: Constraints) -> Result<Buffer> {
    let request = Request::new(size, fourcc).usage(Usage::CPU_READ | Usage::CPU_WRITE);
    // Planes are read back as texels of four bytes.
    let stride_align_bytes = if fourcc.format()?.is_yuv() { 4 } else { 1 };
    let request = request.constrain(Constraints { stride_align_bytes, ..Constraints::NONE })?.constrain(wanted)?;
    let memfd = device.allocators(AllocatorKind::Memfd)?;
    let memfd = memfd.first().ok_or_else(|| Error::unsupported("memfd", "this machine has no memory files"))?;
    memfd.allocate(&request)
}
