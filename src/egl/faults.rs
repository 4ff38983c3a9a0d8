//! Known faults of drivers that nobody must reach.
//!
//! In: a display and a buffer about to be imported. Out: nothing, or an `Unsupported` that names the fault.
//! Not here: rules that a driver keeps with an error of its own (`image` explains those).
//!
//! # The software rasteriser of Mesa before 26 on DRM nodes
//! It maps every imported buffer with `DRM_IOCTL_MODE_MAP_DUMB` on its node. The kernel refuses that for memory of
//! another device (EINVAL) and on render nodes (EACCES). virtio-gpu's import then fails; vgem's and vkms's succeeds, and
//! the first draw goes through a null pointer. Measured with Mesa 25.0.7; 26.1.6 maps the dma-buf itself.
//!
//! # Native fences of the software rasteriser
//! `eglDupNativeFenceFDANDROID` of a fence made when nothing was left to draw, on one thread, while another one draws with
//! a context of its own on the same display, ends in a crash or a hang within seconds, in a bare C program too; `eglClientWaitSyncKHR` in its place does not. Measured
//! with Mesa 25.0.7 and 26.1.6 on llvmpipe. It blocks until the work is done either way, so `gles` takes the latter there.

use std::os::fd::{AsFd, BorrowedFd};

use super::Display;
use crate::buffer::Buffer;
use crate::device::DrmNode;
use crate::error::{Error, Result};

/// The first Mesa whose software rasteriser maps dma-bufs by their own fd.
const MESA_MAPS_DMA_BUFS: u32 = 26;

/// Whether the rules of this file are left out, so that a driver's own fault can be seen: `DARKFRAME_NO_FAULT_RULES` is set
/// in the environment. For tests of what catches a crash; nothing else should set it.
pub fn fault_rules_are_off() -> bool {
    std::env::var_os("DARKFRAME_NO_FAULT_RULES").is_some_and(|value| !value.is_empty())
}

/// Fails where the driver of `display` would crash on the memory of `buffer`.
pub(super) fn check(display: &Display, buffer: &Buffer) -> Result<()> {
    if fault_rules_are_off() {
        return Ok(());
    }
    if !display.is_software()
        || display.gl_version().and_then(mesa_major).is_some_and(|major| major >= MESA_MAPS_DMA_BUFS)
    {
        return Ok(());
    }
    let Some(path) = display.driver_node() else { return Ok(()) };
    // A file of its own: the handle made below must not be one that EGL holds.
    let node = DrmNode::open(&path)?;
    for plane in 0..buffer.layout().planes().len() {
        let fd = buffer.plane_fd(plane);
        if let Err(error) = map_as_the_driver_does(&node, fd) {
            let version = display.gl_version().unwrap_or("Mesa of unknown version");
            return Err(Error::unsupported(
                "EGL_EXT_image_dma_buf_import",
                format!(
                    "{}: the software rasteriser ({version}) maps memory through {} ({}), which the kernel refuses for plane {plane}: {error}",
                    buffer.layout(),
                    path.display(),
                    node.driver(),
                ),
            )
            .with_hint(format!("allocate dumb or GBM buffers of {} on its primary node, or use Mesa 26", node.driver())));
        }
    }
    Ok(())
}

/// What the driver will ask the kernel, without the mapping itself.
fn map_as_the_driver_does(node: &DrmNode, fd: BorrowedFd<'_>) -> std::io::Result<()> {
    let handle = drm_ffi::gem::fd_to_handle(node.as_fd(), fd)?.handle;
    let mapped = drm_ffi::mode::dumbbuffer::map(node.as_fd(), handle, 0, 0);
    drm_ffi::gem::close(node.as_fd(), handle)?;
    mapped.map(|_| ())
}

/// 25 of "OpenGL ES 3.2 Mesa 25.0.7-2".
fn mesa_major(gl_version: &str) -> Option<u32> {
    gl_version.split("Mesa ").nth(1)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn mesa_versions() {
        assert_eq!(super::mesa_major("OpenGL ES 3.2 Mesa 25.0.7-2"), Some(25));
        assert_eq!(super::mesa_major("OpenGL ES 3.2 v1.r20p0"), None);
    }
}
