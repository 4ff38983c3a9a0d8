//! Memory of GStreamer's over fds of ours, and the fds of its own.
//!
//! In: whoever keeps an fd. Out: memory that lets go of it when the last reference has gone; duplicates of fds.
//! Not here: what lies in the memory (`share::gstreamer`).
//!
//! # References
//! `gst/allocators/gstdmabuf.h`, `gst/gstminiobject.h`

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ::gstreamer as gst;
use gst::glib;
use gst::glib::translate::IntoGlib;
use gstreamer_allocators as allocators;
use gstreamer_allocators::prelude::*;

/// Memory over the dma-buf of `keep`, which nobody may write; `keep` is dropped when nobody has the memory any more, parts
/// that were shared from it included. `None` where GStreamer makes none.
pub(crate) fn lend_dma_buf<K: AsFd + Send + 'static>(
    allocator: &allocators::DmaBufAllocator,
    keep: K,
    size_bytes: usize,
) -> Option<gst::Memory> {
    unsafe extern "C" fn let_go<K>(keep: glib::ffi::gpointer) {
        // SAFETY: the pointer is that of `Box::into_raw` below, and GStreamer calls this once.
        drop(unsafe { Box::from_raw(keep.cast::<K>()) });
    }
    let keep = Box::new(keep);
    let fd = keep.as_fd().as_raw_fd();
    // SAFETY: the fd is a dma-buf's, open as long as `keep` is there, which is as long as the memory: it is dropped by
    // the memory's end alone. `DONT_CLOSE` leaves the fd to `keep`.
    let memory = unsafe { allocator.alloc_dmabuf_with_flags(fd, size_bytes, allocators::FdMemoryFlags::DONT_CLOSE) };
    let memory = memory.ok()?;
    let object = memory.as_ptr().cast_mut().cast::<gst::ffi::GstMiniObject>();
    let name = glib::Quark::from_str("darkframe-keep");
    // SAFETY: memory was made a moment ago and nobody else has it, so its flags may be set; a mini object takes any
    // pointer as data and gives it to `let_go` when it is freed.
    unsafe {
        (*object).flags |= gst::ffi::GST_MINI_OBJECT_FLAG_LOCK_READONLY;
        gst::ffi::gst_mini_object_set_qdata(object, name.into_glib(), Box::into_raw(keep).cast(), Some(let_go::<K>));
    }
    Some(memory)
}

/// Has `GstVideoMeta` known to elements that only take what somebody has registered, as `unixfdsrc` does.
pub(crate) fn register_video_meta() {
    // SAFETY: GStreamer's registration, which may be done any number of times.
    unsafe {
        gstreamer_video::ffi::gst_video_meta_get_info();
    }
}

/// A duplicate of the fd of memory that is a dma-buf; `None` where it is none, or where no fd is left.
pub(crate) fn dma_buf_fd(memory: &gst::MemoryRef) -> Option<OwnedFd> {
    let memory = memory.downcast_memory_ref::<allocators::DmaBufMemory>()?;
    let fd = memory.fd();
    if fd < 0 {
        return None;
    }
    // SAFETY: the memory keeps its fd open as long as it is there, and it is borrowed here.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().ok()
}
