//! Pictures that stay in memory of somebody else's.
//!
//! In: a frame from another process or device. Out: the frame, and when its owner gets the memory back.
//! Not here: importing it (`runner`).

use crate::fence::Fence;
use crate::frame::Frame;

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
