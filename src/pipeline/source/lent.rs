//! Pictures that stay in memory of somebody else's.
//!
//! In: a frame from another process or device. Out: the frame, and when its owner gets the memory back.
//! Not here: importing it (`runner`).

use crate::buffer::Map;
use crate::fence::Fence;
use crate::frame::Frame;
use crate::layout::Layout;

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
