//! One of a device's queues: its buffers, what goes in and comes out, waiting.
//!
//! In: a device, the kind of queue, its format, whose memory. Out: numbered slots that are queued and come back.
//! Not here: what is in them (`capture`, `output`, `codec`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Error, Result};
use crate::sys::v4l2::{self as sys, BufferInfo, Format, PlaneUse, Queueing, uapi};

use super::VideoDevice;

/// Whose memory the slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// The driver's.
    Driver,
    /// Ours, as dma-bufs.
    DmaBuf,
}

/// The buffers of a queue. Dropped, it stops and gives them back.
#[derive(Debug)]
pub(super) struct Queue {
    device: VideoDevice,
    kind: u32,
    memory: u32,
    pub(super) format: Format,
    /// Which slots the driver has.
    queued: Vec<bool>,
    is_streaming: bool,
}

/// What a poll found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    /// A picture or a stream's piece can be taken.
    pub(super) capture: bool,
    /// Something that was given comes back.
    pub(super) output: bool,
    pub(super) event: bool,
    /// An error, or the device went away: the next request says which.
    pub(super) error: bool,
}

impl Queue {
    /// Asks for `count` slots; the driver may make more or fewer.
    pub(super) fn new(device: &VideoDevice, kind: u32, format: Format, memory: Memory, count: u32) -> Result<Self> {
        let memory = match memory {
            Memory::Driver => uapi::MEMORY_MMAP,
            Memory::DmaBuf => uapi::MEMORY_DMABUF,
        };
        let made = sys::request_buffers(device.fd(), kind, memory, count.min(uapi::MAX_FRAMES)).map_err(|errno| {
            let what = if memory == uapi::MEMORY_DMABUF { "buffers of ours (V4L2_MEMORY_DMABUF)" } else { "buffers" };
            let error = Error::from_errno("VIDIOC_REQBUFS", format!("{device}: {count} {what}"), errno);
            match errno {
                Errno::EBUSY => error.with_hint("somebody else is streaming with this device"),
                Errno::EINVAL if memory == uapi::MEMORY_DMABUF => {
                    let detail = format!("{device} takes no memory of others (V4L2_MEMORY_DMABUF)");
                    Error::unsupported("VIDIOC_REQBUFS", detail)
                }
                _ => error,
            }
        })?;
        if made == 0 {
            return Err(Error::failed("VIDIOC_REQBUFS", format!("{device} made no buffer")));
        }
        let queued = vec![false; made as usize];
        Ok(Self { device: device.clone(), kind, memory, format, queued, is_streaming: false })
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Slots that the driver has.
    pub(super) fn queued(&self) -> usize {
        self.queued.iter().filter(|queued| **queued).count()
    }

    pub(super) fn is_queued(&self, slot: usize) -> bool {
        self.queued[slot]
    }

    /// What is known of a slot.
    pub(super) fn query(&self, slot: usize) -> Result<BufferInfo> {
        sys::query_buffer(self.device.fd(), self.kind, self.memory, slot as u32)
            .map_err(|errno| self.failed("VIDIOC_QUERYBUF", slot, errno))
    }

    /// The driver's memory of a plane as a dma-buf.
    pub(super) fn export(&self, slot: usize, plane: usize) -> Result<OwnedFd> {
        sys::export(self.device.fd(), self.kind, slot as u32, plane as u32).map_err(|errno| match errno {
            Errno::ENOTTY | Errno::EINVAL => Error::unsupported(
                "VIDIOC_EXPBUF",
                format!("{}: this driver exports no dma-bufs ({errno})", self.device),
            ),
            errno => self.failed("VIDIOC_EXPBUF", slot, errno),
        })
    }

    fn failed(&self, op: &'static str, slot: usize, errno: Errno) -> Error {
        Error::from_errno(op, format!("{}, buffer {slot}", self.device), errno)
    }

    /// Gives a slot to the driver; `fds` are the memories of its planes, where they are ours.
    pub(super) fn queue(
        &mut self,
        slot: usize,
        fds: &[BorrowedFd<'_>],
        planes: &[PlaneUse],
        timestamp_ns: u64,
    ) -> Result<()> {
        let empty = [PlaneUse::default(); uapi::MAX_PLANES];
        let planes = if planes.is_empty() { &empty[..self.format.plane_count.max(1)] } else { planes };
        let what = Queueing { kind: self.kind, memory: self.memory, index: slot as u32, fds, planes, timestamp_ns };
        sys::queue(self.device.fd(), &what).map_err(|errno| {
            let error = self.failed("VIDIOC_QBUF", slot, errno);
            let wanted: Vec<String> = self.format.planes[..self.format.plane_count]
                .iter()
                .map(|plane| format!("{} bytes in rows of {}", plane.size_bytes, plane.stride_bytes))
                .collect();
            match errno {
                Errno::EINVAL => error.with_hint(format!("the device wants planes of {}", wanted.join(" and "))),
                _ => error,
            }
        })?;
        self.queued[slot] = true;
        Ok(())
    }

    /// Takes what the driver is done with; `None` where nothing is ready.
    ///
    /// # Errors
    /// `NotFound` where the device went away; EPIPE, behind the last buffer of a codec, is `None` too.
    pub(super) fn dequeue(&mut self) -> Result<Option<BufferInfo>> {
        if !self.is_streaming {
            return Ok(None);
        }
        match sys::dequeue(self.device.fd(), self.kind, self.memory) {
            Ok(info) => {
                if let Some(queued) = self.queued.get_mut(info.index as usize) {
                    *queued = false;
                }
                Ok(Some(info))
            }
            Err(Errno::EAGAIN | Errno::EPIPE) => Ok(None),
            Err(errno) => Err(Error::from_errno("VIDIOC_DQBUF", &self.device, errno)),
        }
    }

    pub(super) fn start(&mut self) -> Result<()> {
        sys::stream(self.device.fd(), self.kind, true).map_err(|errno| {
            let error = Error::from_errno("VIDIOC_STREAMON", &self.device, errno);
            match errno {
                Errno::ENOSPC => {
                    error.with_hint("the bus has no room for it: use a smaller size or rate, or another port")
                }
                Errno::EPIPE => error.with_hint("the formats along the media pipeline do not fit: see media-ctl"),
                Errno::EBUSY => error.with_hint("somebody else is streaming with this device"),
                _ => error,
            }
        })?;
        self.is_streaming = true;
        Ok(())
    }

    /// Stops; every slot is ours again.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.is_streaming = false;
        self.queued.fill(false);
        sys::stream(self.device.fd(), self.kind, false)
            .map_err(|errno| Error::from_errno("VIDIOC_STREAMOFF", &self.device, errno))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.is_streaming {
            // A device that went away has stopped by itself.
            let _ = self.stop();
        }
        // Memory that was exported lives on with its fds.
        let _ = sys::request_buffers(self.device.fd(), self.kind, self.memory, 0);
    }
}

/// Waits until a queue of the device has something, an event came, or one of `others` is readable.
pub(super) fn wait(
    device: &VideoDevice,
    (capture, output): (bool, bool),
    others: &[BorrowedFd<'_>],
    timeout: Duration,
) -> Result<Ready> {
    let mut events = PollFlags::POLLPRI;
    events.set(PollFlags::POLLIN, capture);
    events.set(PollFlags::POLLOUT, output);
    let mut fds: Vec<PollFd<'_>> = others.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    // Without buffers in the driver a queue is in error all the time.
    if capture || output {
        fds.push(PollFd::new(device.fd(), events));
    }
    // Rounded up, or the last millisecond is spun through.
    let timeout = PollTimeout::try_from(timeout + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR | Errno::EAGAIN) => return Ok(Ready::default()),
        Err(errno) => return Err(Error::from_errno("poll", device, errno)),
    }
    if !(capture || output) {
        return Ok(Ready::default());
    }
    let found = fds.last().and_then(PollFd::revents).unwrap_or(PollFlags::empty());
    Ok(Ready {
        capture: found.contains(PollFlags::POLLIN),
        output: found.contains(PollFlags::POLLOUT),
        event: found.contains(PollFlags::POLLPRI),
        error: found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL),
    })
}
