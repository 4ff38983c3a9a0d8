//! Recycling of buffers, so that a running pipeline allocates nothing.
//!
//! In: a [`Device`], one [`Request`], a limit. Out: buffers that nobody else holds.
//! Not here: fences. Who hands a buffer back (drops it) has waited for the work on it.

use std::sync::{Mutex, PoisonError};

use crate::allocator::Request;
use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::Result;

/// Buffers of one kind. A buffer is free when the pool holds its only clone.
#[derive(Debug)]
pub struct Pool {
    device: Device,
    request: Request,
    limit: usize,
    buffers: Mutex<Vec<Buffer>>,
}

impl Pool {
    /// A pool of at most `limit` buffers, made when they are first needed.
    pub fn new(device: &Device, request: Request, limit: usize) -> Self {
        Self { device: device.clone(), request, limit, buffers: Mutex::default() }
    }

    /// A free buffer with whatever pixels it last had, or `None` where all are in use.
    ///
    /// # Errors
    /// As [`Device::allocate`].
    pub fn acquire(&self) -> Result<Option<Buffer>> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free) = buffers.iter().find(|buffer| buffer.is_sole()) {
            return Ok(Some(free.clone()));
        }
        if buffers.len() >= self.limit {
            return Ok(None);
        }
        let buffer = self.device.allocate(&self.request)?;
        buffers.push(buffer.clone());
        Ok(Some(buffer))
    }

    /// Buffers made so far.
    pub fn len(&self) -> usize {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// No buffer was made yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{AllocatorKind, Board};
    use crate::format::Fourcc;
    use crate::layout::Size;

    #[test]
    fn buffers_come_back_when_dropped() {
        let device = Device::open(&Board::generic()).unwrap();
        let request = Request::new(Size::new(4, 4), Fourcc::R8).only(AllocatorKind::Memfd);
        let pool = Pool::new(&device, request, 2);
        let first = pool.acquire().unwrap().unwrap();
        let second = pool.acquire().unwrap().unwrap();
        assert_ne!(first.ids().next(), second.ids().next());
        assert!(pool.acquire().unwrap().is_none());
        let id = first.ids().next();
        drop(first);
        assert_eq!(pool.acquire().unwrap().unwrap().ids().next(), id);
        assert_eq!(pool.len(), 2);
    }
}
