//! Pictures that stay in memory of somebody else's.
//!
//! In: a frame from another process or device. Out: the frame, and when its owner gets the memory back.
//! Not here: importing it (`runner`).

use std::time::Duration;

use crate::buffer::{Access, Map};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::format::Modifier;
use crate::frame::Frame;
use crate::layout::Layout;

/// Longer is a hang of the producer's GPU.
pub(super) const HANG: Duration = Duration::from_secs(10);

/// A picture where it lies: in memory of somebody else's.
pub struct Lent {
    /// Its memory, and the fence to wait for.
    pub frame: Frame,
    /// Dropped, the memory goes back.
    pub lease: Box<dyn Lease>,
}

/// The right to read memory of somebody else's.
pub trait Lease: Send {
    /// The memory is read until `fence` signals, also when the lease is dropped before.
    fn until(&self, fence: Fence);
}

/// Copies a picture of the layout `from`, which is linear, into one of the same size and format.
pub(super) fn copy(from: &Layout, map: &Map<'_>, layout: &Layout, into: &mut Map<'_>) {
    for (index, plane) in layout.planes().iter().enumerate() {
        let bytes = into.plane_mut(index);
        if plane.stride_bytes == from.planes()[index].stride_bytes {
            let source = map.plane(index);
            let both = source.len().min(bytes.len());
            bytes[..both].copy_from_slice(&source[..both]);
            continue;
        }
        for row in 0..layout.rows(index) {
            let source = map.row(index, row);
            bytes[plane.stride_bytes as usize * row as usize..][..source.len()].copy_from_slice(source);
        }
    }
}

/// Copies a frame of another process's, once its fence has signaled. `op` and `from` are for errors.
///
/// # Errors
/// `Unsupported` where the pixels do not lie row by row; those of the fence.
pub(super) fn copy_frame(
    op: &'static str,
    from: &dyn std::fmt::Display,
    frame: &Frame,
    layout: &Layout,
    into: &mut Map<'_>,
) -> Result<()> {
    let own = frame.buffer.layout();
    if !matches!(own.modifier, Modifier::LINEAR | Modifier::INVALID) {
        let detail = format!("{from}: frames with modifier {}: only linear ones are copied", own.modifier);
        return Err(Error::unsupported(op, detail).with_hint("have the producer make linear frames"));
    }
    if let Some(fence) = &frame.fence {
        fence.wait(Some(HANG))?;
    }
    copy(own, &frame.buffer.map(Access::Read)?, layout, into);
    Ok(())
}
