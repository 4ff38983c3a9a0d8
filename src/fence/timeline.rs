//! A timeline: a DRM sync object, shared between processes by one fd, whose points are fences.
//!
//! In: a DRM node whose kernel side has timelines, or another process's fd. Out: points made of fences, and fences of points.
//! Not here: who agrees on which point means what (`share`).
//!
//! # References
//! `DRM_CAP_SYNCOBJ_TIMELINE`; `include/uapi/drm/drm.h`

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use drm::Device as _;
use drm::control::{Device as _, syncobj};

use crate::device::DrmNode;
use crate::error::{Error, Result};
use crate::sys;

use super::Fence;

/// A DRM sync object with points in rising order.
#[derive(Debug)]
pub struct Timeline {
    node: DrmNode,
    handle: syncobj::Handle,
}

/// A sync object that is destroyed again.
struct Temporary<'a>(&'a DrmNode, syncobj::Handle);

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let _ = self.0.destroy_syncobj(self.1);
    }
}

fn failed(op: &'static str, node: &DrmNode, error: std::io::Error) -> Error {
    Error::from_io(op, node.path().display(), error)
}

impl Timeline {
    /// Whether the node's driver has timelines.
    pub fn is_supported(node: &DrmNode) -> bool {
        node.get_driver_capability(drm::DriverCapability::TimelineSyncObj).is_ok_and(|has| has == 1)
    }

    /// The first render node of this machine that has timelines. Any will do: the points are the kernel's own.
    pub fn find_node() -> Option<DrmNode> {
        let mut paths: Vec<_> = std::fs::read_dir("/dev/dri").ok()?.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD")));
        paths.sort();
        paths.iter().filter_map(|path| DrmNode::open(path).ok()).find(Self::is_supported)
    }

    /// A timeline on which nothing has signaled.
    ///
    /// # Errors
    /// `Unsupported` where the driver has none.
    pub fn new(node: &DrmNode) -> Result<Self> {
        if !Self::is_supported(node) {
            let detail = format!("{} ({}) has no timelines", node.path().display(), node.driver());
            return Err(Error::unsupported("DRM_CAP_SYNCOBJ_TIMELINE", detail));
        }
        let handle = node.create_syncobj(false).map_err(|error| failed("DRM_IOCTL_SYNCOBJ_CREATE", node, error))?;
        Ok(Self { node: node.clone(), handle })
    }

    /// Another process's timeline, on any node with timelines.
    ///
    /// # Errors
    /// `InvalidInput` where the fd is no sync object.
    pub fn import(node: &DrmNode, fd: impl AsFd) -> Result<Self> {
        let handle = node.fd_to_syncobj(fd.as_fd(), false).map_err(|error| {
            Error::invalid("DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE", format!("the fd is no sync object ({error})"))
        })?;
        Ok(Self { node: node.clone(), handle })
    }

    /// An fd of the timeline, for another process.
    pub fn export(&self) -> Result<OwnedFd> {
        let fd = self.node.syncobj_to_fd(self.handle, false);
        fd.map_err(|error| failed("DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD", &self.node, error))
    }

    fn temporary(&self) -> Result<Temporary<'_>> {
        let handle = self.node.create_syncobj(false);
        let handle = handle.map_err(|error| failed("DRM_IOCTL_SYNCOBJ_CREATE", &self.node, error))?;
        Ok(Temporary(&self.node, handle))
    }

    /// Makes `point` signal when `fence` does, and all before it have. Points are set in rising order.
    ///
    /// # References
    /// `DRM_IOCTL_SYNCOBJ_TRANSFER`
    pub fn set(&self, point: u64, fence: &Fence) -> Result<()> {
        let between = self.temporary()?;
        sys::syncobj::import_sync_file(self.node.as_fd(), between.1.into(), fence.as_fd())
            .map_err(|errno| Error::from_errno("DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE", "a sync_file", errno))?;
        let transfer = self.node.syncobj_timeline_transfer(between.1, self.handle, 0, point);
        transfer.map_err(|error| failed("DRM_IOCTL_SYNCOBJ_TRANSFER", &self.node, error))
    }

    /// Makes `point` a signaled one.
    pub fn signal(&self, point: u64) -> Result<()> {
        let signal = self.node.syncobj_timeline_signal(&[self.handle], &[point]);
        signal.map_err(|error| failed("DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL", &self.node, error))
    }

    /// The fence that signals with `point`.
    ///
    /// # Errors
    /// `InvalidInput` where nobody has set the point yet.
    pub fn fence(&self, point: u64) -> Result<Fence> {
        let between = self.temporary()?;
        self.node.syncobj_timeline_transfer(self.handle, between.1, point, 0).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => {
                Error::invalid("DRM_IOCTL_SYNCOBJ_TRANSFER", format!("nobody has set point {point}"))
            }
            _ => failed("DRM_IOCTL_SYNCOBJ_TRANSFER", &self.node, error),
        })?;
        let fd = self.node.syncobj_to_fd(between.1, true);
        Fence::from_fd(fd.map_err(|error| failed("DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD", &self.node, error))?)
    }

    /// The last point that has signaled; 0 before the first.
    pub fn value(&self) -> Result<u64> {
        let mut points = [0];
        let query = self.node.syncobj_timeline_query(&[self.handle], &mut points, false);
        query.map_err(|error| failed("DRM_IOCTL_SYNCOBJ_QUERY", &self.node, error))?;
        Ok(points[0])
    }

    /// Makes the eventfd count one up when `point` has signaled, also where nobody has set it yet: for poll loops.
    ///
    /// # Errors
    /// `Unsupported` before Linux 6.6.
    ///
    /// # References
    /// `DRM_IOCTL_SYNCOBJ_EVENTFD`
    pub fn notify(&self, point: u64, eventfd: impl AsFd) -> Result<()> {
        let asked = self.node.syncobj_eventfd(self.handle, point, eventfd.as_fd(), false);
        asked.map_err(|error| match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EOPNOTSUPP) => {
                Error::unsupported("DRM_IOCTL_SYNCOBJ_EVENTFD", format!("{} ({error})", self.node.path().display()))
            }
            _ => failed("DRM_IOCTL_SYNCOBJ_EVENTFD", &self.node, error),
        })
    }

    /// Blocks until `point` has signaled, also where nobody has set it yet.
    ///
    /// # Errors
    /// `Timeout`.
    pub fn wait(&self, point: u64, timeout: Duration) -> Result<()> {
        // The kernel takes a moment on the monotonic clock.
        let until = Duration::from_nanos(crate::sys::monotonic_ns()).saturating_add(timeout);
        let until_ns = i64::try_from(until.as_nanos()).unwrap_or(i64::MAX);
        let waited = self.node.syncobj_timeline_wait(&[self.handle], &[point], until_ns, true, true, false);
        match waited {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => {
                let detail = format!("point {point} has not signaled after {timeout:?}");
                Err(Error::new(crate::error::ErrorKind::Timeout, "timeline", detail))
            }
            Err(error) => Err(failed("DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT", &self.node, error)),
        }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        let _ = self.node.destroy_syncobj(self.handle);
    }
}
