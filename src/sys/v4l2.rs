//! Video4Linux ioctls: numbers and fds in, plain structs out.
//!
//! Written by hand: the crates that have V4L2 lack the multi-planar API, dma-bufs or codecs, or need a C parser and one
//! certain header to build.
//!
//! # References
//! `include/uapi/linux/videodev2.h`, `Documentation/userspace-api/media/v4l`

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

pub mod uapi;

use uapi::MAX_PLANES;

nix::ioctl_read!(querycap, b'V', 0, uapi::Capability);
nix::ioctl_readwrite!(enum_fmt, b'V', 2, uapi::FmtDesc);
nix::ioctl_readwrite!(g_fmt, b'V', 4, uapi::Format);
nix::ioctl_readwrite!(s_fmt, b'V', 5, uapi::Format);
nix::ioctl_readwrite!(reqbufs, b'V', 8, uapi::RequestBuffers);
nix::ioctl_readwrite!(querybuf, b'V', 9, uapi::Buffer);
nix::ioctl_readwrite!(qbuf, b'V', 15, uapi::Buffer);
nix::ioctl_readwrite!(expbuf, b'V', 16, uapi::ExportBuffer);
nix::ioctl_readwrite!(dqbuf, b'V', 17, uapi::Buffer);
nix::ioctl_write_ptr!(streamon, b'V', 18, libc::c_int);
nix::ioctl_write_ptr!(streamoff, b'V', 19, libc::c_int);
nix::ioctl_readwrite!(g_parm, b'V', 21, uapi::StreamParm);
nix::ioctl_readwrite!(s_parm, b'V', 22, uapi::StreamParm);
nix::ioctl_readwrite!(enuminput, b'V', 26, uapi::Input);
nix::ioctl_readwrite!(querymenu, b'V', 37, uapi::QueryMenu);
nix::ioctl_readwrite!(s_input, b'V', 39, libc::c_int);
nix::ioctl_read!(g_input, b'V', 38, libc::c_int);
nix::ioctl_readwrite!(s_output, b'V', 47, libc::c_int);
nix::ioctl_readwrite!(enumoutput, b'V', 48, uapi::Output);
nix::ioctl_readwrite!(try_fmt, b'V', 64, uapi::Format);
nix::ioctl_readwrite!(g_ext_ctrls, b'V', 71, uapi::ExtControls);
nix::ioctl_readwrite!(s_ext_ctrls, b'V', 72, uapi::ExtControls);
nix::ioctl_readwrite!(enum_framesizes, b'V', 74, uapi::FrameSizes);
nix::ioctl_readwrite!(ioctl_encoder_cmd, b'V', 77, uapi::EncoderCmd);
nix::ioctl_read!(dqevent, b'V', 89, uapi::Event);
nix::ioctl_write_ptr!(ioctl_subscribe_event, b'V', 90, uapi::EventSubscription);
nix::ioctl_readwrite!(g_selection, b'V', 94, uapi::Selection);
nix::ioctl_readwrite!(s_selection, b'V', 95, uapi::Selection);
nix::ioctl_readwrite!(ioctl_decoder_cmd, b'V', 96, uapi::DecoderCmd);
nix::ioctl_readwrite!(query_ext_ctrl, b'V', 103, uapi::QueryExtCtrl);

/// Runs `call` again while it is interrupted. EAGAIN is an answer here: nothing is there yet.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Text in an array, up to its first zero.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The queue is of the multi-planar API.
pub const fn is_mplane(kind: u32) -> bool {
    matches!(kind, uapi::BUF_TYPE_VIDEO_CAPTURE_MPLANE | uapi::BUF_TYPE_VIDEO_OUTPUT_MPLANE)
}

/// Who the device is.
pub fn query_capability(fd: BorrowedFd<'_>) -> nix::Result<uapi::Capability> {
    let mut argument = uapi::Capability::default();
    // SAFETY: the fd is open and the argument is the struct the ioctl fills.
    retry(|| unsafe { querycap(fd.as_raw_fd(), &mut argument) })?;
    Ok(argument)
}

/// Format `index` of a queue; EINVAL after the last.
pub fn enum_format(fd: BorrowedFd<'_>, kind: u32, index: u32) -> nix::Result<uapi::FmtDesc> {
    let mut argument = uapi::FmtDesc { index, kind, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { enum_fmt(fd.as_raw_fd(), &mut argument) })?;
    Ok(argument)
}

/// Frame size `index` of a format; EINVAL after the last.
pub fn enum_frame_size(fd: BorrowedFd<'_>, pixel_format: u32, index: u32) -> nix::Result<uapi::FrameSizes> {
    let mut argument = uapi::FrameSizes { index, pixel_format, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { enum_framesizes(fd.as_raw_fd(), &mut argument) })?;
    Ok(argument)
}

/// Memory of one plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneSize {
    /// From row to row.
    pub stride_bytes: u32,
    /// Of the whole plane.
    pub size_bytes: u32,
}

/// A queue's format, the same for both APIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub width: u32,
    pub height: u32,
    pub pixel_format: u32,
    pub field: u32,
    pub colorspace: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub xfer_func: u32,
    pub planes: [PlaneSize; MAX_PLANES],
    pub plane_count: usize,
}

/// What is done with a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatRequest {
    /// `VIDIOC_G_FMT`
    Get,
    /// `VIDIOC_TRY_FMT`
    Try,
    /// `VIDIOC_S_FMT`
    Set,
}

/// Gets, tries or sets the format of a queue; what comes back is what the driver made of it.
pub fn format(fd: BorrowedFd<'_>, kind: u32, request: FormatRequest, wanted: &Format) -> nix::Result<Format> {
    let mut argument = uapi::Format { kind, fmt: uapi::FormatUnion { raw: [0; 200 / size_of::<usize>()] } };
    if is_mplane(kind) {
        let mut pix = uapi::PixFormatMplane {
            width: wanted.width,
            height: wanted.height,
            pixelformat: wanted.pixel_format,
            field: wanted.field,
            colorspace: wanted.colorspace,
            num_planes: wanted.plane_count as u8,
            ycbcr_enc: wanted.ycbcr_enc as u8,
            quantization: wanted.quantization as u8,
            xfer_func: wanted.xfer_func as u8,
            ..Default::default()
        };
        let planes = wanted.planes.map(|plane| uapi::PlanePixFormat {
            sizeimage: plane.size_bytes,
            bytesperline: plane.stride_bytes,
            reserved: [0; 6],
        });
        pix.plane_fmt = planes;
        argument.fmt.pix_mp = pix;
    } else {
        argument.fmt.pix = uapi::PixFormat {
            width: wanted.width,
            height: wanted.height,
            pixelformat: wanted.pixel_format,
            field: wanted.field,
            bytesperline: wanted.planes[0].stride_bytes,
            sizeimage: wanted.planes[0].size_bytes,
            colorspace: wanted.colorspace,
            priv_: uapi::PIX_FMT_PRIV_MAGIC,
            flags: 0,
            ycbcr_enc: wanted.ycbcr_enc,
            quantization: wanted.quantization,
            xfer_func: wanted.xfer_func,
        };
    }
    // SAFETY: the fd is open and the argument is the struct the ioctl reads and fills.
    retry(|| unsafe {
        match request {
            FormatRequest::Get => g_fmt(fd.as_raw_fd(), &mut argument),
            FormatRequest::Try => try_fmt(fd.as_raw_fd(), &mut argument),
            FormatRequest::Set => s_fmt(fd.as_raw_fd(), &mut argument),
        }
    })?;
    let mut format = Format::default();
    if is_mplane(kind) {
        // SAFETY: the kernel fills this member for these queues; every bit pattern of it is valid.
        let pix = unsafe { argument.fmt.pix_mp };
        format.plane_count = usize::from(pix.num_planes).min(MAX_PLANES);
        let planes = pix.plane_fmt;
        for (plane, from) in format.planes.iter_mut().zip(planes) {
            *plane = PlaneSize { stride_bytes: from.bytesperline, size_bytes: from.sizeimage };
        }
        (format.width, format.height, format.pixel_format) = (pix.width, pix.height, pix.pixelformat);
        (format.field, format.colorspace, format.ycbcr_enc) = (pix.field, pix.colorspace, pix.ycbcr_enc.into());
        (format.quantization, format.xfer_func) = (pix.quantization.into(), pix.xfer_func.into());
    } else {
        // SAFETY: as above, for the other queues.
        let pix = unsafe { argument.fmt.pix };
        format.plane_count = 1;
        format.planes[0] = PlaneSize { stride_bytes: pix.bytesperline, size_bytes: pix.sizeimage };
        (format.width, format.height, format.pixel_format) = (pix.width, pix.height, pix.pixelformat);
        (format.field, format.colorspace, format.ycbcr_enc) = (pix.field, pix.colorspace, pix.ycbcr_enc);
        (format.quantization, format.xfer_func) = (pix.quantization, pix.xfer_func);
    }
    Ok(format)
}

/// Asks for `count` buffers (0 frees them); gives how many there are.
pub fn request_buffers(fd: BorrowedFd<'_>, kind: u32, memory: u32, count: u32) -> nix::Result<u32> {
    let mut argument = uapi::RequestBuffers { count, kind, memory, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { reqbufs(fd.as_raw_fd(), &mut argument) })?;
    Ok(argument.count)
}

/// One plane of a buffer on its way in or out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneUse {
    /// Bytes with data, counted from the start of the memory.
    pub used_bytes: u32,
    /// Bytes of the memory.
    pub length_bytes: u32,
    /// Where the data begin.
    pub data_offset_bytes: u32,
    /// Memory of the driver: what `mmap` takes.
    pub mem_offset: u32,
}

/// A buffer that came out of a queue, or what is known of one.
#[derive(Clone, Copy, Debug, Default)]
pub struct BufferInfo {
    pub index: u32,
    pub flags: u32,
    pub sequence: u32,
    pub timestamp_ns: u64,
    pub planes: [PlaneUse; MAX_PLANES],
    pub plane_count: usize,
}

/// What is put into a queue.
#[derive(Clone, Copy, Debug)]
pub struct Queueing<'a> {
    pub kind: u32,
    pub memory: u32,
    pub index: u32,
    /// For each plane its memory, where it is ours: `MEMORY_DMABUF`.
    pub fds: &'a [BorrowedFd<'a>],
    /// For each plane; `used_bytes` and `data_offset_bytes` are read from queues that give to the device.
    pub planes: &'a [PlaneUse],
    pub timestamp_ns: u64,
}

fn empty_plane() -> uapi::Plane {
    uapi::Plane { bytesused: 0, length: 0, m: uapi::PlaneMemory { userptr: 0 }, data_offset: 0, reserved: [0; 11] }
}

fn empty_buffer(kind: u32, memory: u32, index: u32) -> uapi::Buffer {
    uapi::Buffer {
        index,
        kind,
        bytesused: 0,
        flags: 0,
        field: uapi::FIELD_NONE,
        timestamp: uapi::TimeVal::default(),
        timecode: uapi::TimeCode::default(),
        sequence: 0,
        memory,
        m: uapi::BufferMemory { userptr: 0 },
        length: 0,
        reserved2: 0,
        request_fd: 0,
    }
}

fn info_of(buffer: &uapi::Buffer, planes: &[uapi::Plane; MAX_PLANES]) -> BufferInfo {
    let seconds = u64::try_from(buffer.timestamp.tv_sec).unwrap_or(0);
    let micros = u64::try_from(buffer.timestamp.tv_usec).unwrap_or(0);
    let mut info = BufferInfo {
        index: buffer.index,
        flags: buffer.flags,
        sequence: buffer.sequence,
        timestamp_ns: seconds.saturating_mul(1_000_000_000).saturating_add(micros * 1000),
        ..BufferInfo::default()
    };
    if is_mplane(buffer.kind) {
        info.plane_count = (buffer.length as usize).min(MAX_PLANES);
        for (into, from) in info.planes.iter_mut().zip(planes) {
            *into = PlaneUse {
                used_bytes: from.bytesused,
                length_bytes: from.length,
                data_offset_bytes: from.data_offset,
                // SAFETY: four bytes that the kernel or we have written; any value is valid.
                mem_offset: unsafe { from.m.mem_offset },
            };
        }
    } else {
        info.plane_count = 1;
        info.planes[0] = PlaneUse {
            used_bytes: buffer.bytesused,
            length_bytes: buffer.length,
            data_offset_bytes: 0,
            // SAFETY: as above.
            mem_offset: unsafe { buffer.m.offset },
        };
    }
    info
}

/// What is known of buffer `index`.
pub fn query_buffer(fd: BorrowedFd<'_>, kind: u32, memory: u32, index: u32) -> nix::Result<BufferInfo> {
    let mut planes = [empty_plane(); MAX_PLANES];
    let mut buffer = empty_buffer(kind, memory, index);
    if is_mplane(kind) {
        buffer.m.planes = planes.as_mut_ptr();
        buffer.length = MAX_PLANES as u32;
    }
    // SAFETY: the fd is open; the planes that the argument points to live until the call has returned.
    retry(|| unsafe { querybuf(fd.as_raw_fd(), &mut buffer) })?;
    Ok(info_of(&buffer, &planes))
}

/// Memory of the driver as a dma-buf, readable and writable.
pub fn export(fd: BorrowedFd<'_>, kind: u32, index: u32, plane: u32) -> nix::Result<OwnedFd> {
    let flags = (libc::O_CLOEXEC | libc::O_RDWR) as u32;
    let mut argument = uapi::ExportBuffer { kind, index, plane, flags, fd: -1, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { expbuf(fd.as_raw_fd(), &mut argument) })?;
    if argument.fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: on success the kernel has made a new fd for this caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(argument.fd) })
}

/// Gives a buffer to the driver.
pub fn queue(fd: BorrowedFd<'_>, what: &Queueing<'_>) -> nix::Result<()> {
    let mut planes = [empty_plane(); MAX_PLANES];
    let mut buffer = empty_buffer(what.kind, what.memory, what.index);
    buffer.timestamp = uapi::TimeVal {
        tv_sec: uapi::Time::try_from(what.timestamp_ns / 1_000_000_000).unwrap_or(uapi::Time::MAX),
        // Less than a million.
        tv_usec: (what.timestamp_ns % 1_000_000_000 / 1000) as uapi::Time,
    };
    if is_mplane(what.kind) {
        for (index, (plane, from)) in planes.iter_mut().zip(what.planes).enumerate() {
            (plane.bytesused, plane.length) = (from.used_bytes, from.length_bytes);
            plane.data_offset = from.data_offset_bytes;
            if let Some(fd) = what.fds.get(index) {
                plane.m.fd = fd.as_raw_fd();
            }
        }
        buffer.m.planes = planes.as_mut_ptr();
        buffer.length = what.planes.len().min(MAX_PLANES) as u32;
    } else if let Some(plane) = what.planes.first() {
        (buffer.bytesused, buffer.length) = (plane.used_bytes, plane.length_bytes);
        if let Some(fd) = what.fds.first() {
            buffer.m.fd = fd.as_raw_fd();
        }
    }
    // SAFETY: as in query_buffer; of dma-bufs the kernel takes references of its own.
    retry(|| unsafe { qbuf(fd.as_raw_fd(), &mut buffer) })?;
    Ok(())
}

/// Takes a buffer from the driver; EAGAIN where none is ready, EPIPE after the last.
pub fn dequeue(fd: BorrowedFd<'_>, kind: u32, memory: u32) -> nix::Result<BufferInfo> {
    let mut planes = [empty_plane(); MAX_PLANES];
    let mut buffer = empty_buffer(kind, memory, 0);
    if is_mplane(kind) {
        buffer.m.planes = planes.as_mut_ptr();
        buffer.length = MAX_PLANES as u32;
    }
    // SAFETY: as in query_buffer.
    retry(|| unsafe { dqbuf(fd.as_raw_fd(), &mut buffer) })?;
    Ok(info_of(&buffer, &planes))
}

/// Begins or ends streaming of a queue.
pub fn stream(fd: BorrowedFd<'_>, kind: u32, on: bool) -> nix::Result<()> {
    let kind = kind as libc::c_int;
    // SAFETY: the fd is open and the argument is the number the ioctl reads.
    retry(|| unsafe {
        match on {
            true => streamon(fd.as_raw_fd(), &kind),
            false => streamoff(fd.as_raw_fd(), &kind),
        }
    })?;
    Ok(())
}

/// Seconds per frame as a fraction, set where `wanted` is given; `None` where the driver does not know them.
pub fn frame_time(fd: BorrowedFd<'_>, kind: u32, wanted: Option<(u32, u32)>) -> nix::Result<Option<(u32, u32)>> {
    let mut argument = uapi::StreamParm { kind, capability: 0, mode: 0, numerator: 0, denominator: 0, rest: [0; 46] };
    // SAFETY: as in query_capability.
    retry(|| unsafe { g_parm(fd.as_raw_fd(), &mut argument) })?;
    if let Some((numerator, denominator)) = wanted {
        (argument.numerator, argument.denominator) = (numerator, denominator);
        // SAFETY: as above.
        retry(|| unsafe { s_parm(fd.as_raw_fd(), &mut argument) })?;
    }
    let known = argument.capability & uapi::CAP_TIMEPERFRAME != 0 && argument.numerator > 0 && argument.denominator > 0;
    Ok(known.then_some((argument.numerator, argument.denominator)))
}

/// The names of a device's inputs, or of its outputs.
pub fn connections(fd: BorrowedFd<'_>, outputs: bool) -> Vec<String> {
    let one = |index: u32| -> nix::Result<String> {
        if outputs {
            let mut argument = uapi::Output {
                index,
                name: [0; 32],
                kind: 0,
                audioset: 0,
                modulator: 0,
                std: 0,
                capabilities: 0,
                reserved: [0; 3],
            };
            // SAFETY: as in query_capability.
            retry(|| unsafe { enumoutput(fd.as_raw_fd(), &mut argument) })?;
            return Ok(text(&argument.name));
        }
        let mut argument = uapi::Input {
            index,
            name: [0; 32],
            kind: 0,
            audioset: 0,
            tuner: 0,
            std: 0,
            status: 0,
            capabilities: 0,
            reserved: [0; 3],
        };
        // SAFETY: as above.
        retry(|| unsafe { enuminput(fd.as_raw_fd(), &mut argument) })?;
        Ok(text(&argument.name))
    };
    // A driver that never says EINVAL is not believed for ever.
    (0..64).map_while(|index| one(index).ok()).collect()
}

/// Chooses an input, or an output.
pub fn select_connection(fd: BorrowedFd<'_>, outputs: bool, index: u32) -> nix::Result<()> {
    let mut index = libc::c_int::try_from(index).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the fd is open and the argument is the number the ioctl reads and writes.
    retry(|| unsafe {
        match outputs {
            true => s_output(fd.as_raw_fd(), &mut index),
            false => s_input(fd.as_raw_fd(), &mut index),
        }
    })?;
    Ok(())
}

/// The input of a capture device that is chosen; ENOTTY where the device has none.
pub fn current_input(fd: BorrowedFd<'_>) -> nix::Result<u32> {
    let mut index: libc::c_int = 0;
    // SAFETY: the fd is open and the argument is the number the ioctl writes.
    retry(|| unsafe { g_input(fd.as_raw_fd(), &mut index) })?;
    u32::try_from(index).map_err(|_| Errno::EINVAL)
}

/// The control behind `after` (0: the first); EINVAL after the last.
pub fn next_control(fd: BorrowedFd<'_>, after: u32) -> nix::Result<uapi::QueryExtCtrl> {
    let mut argument = uapi::QueryExtCtrl { id: after | uapi::CTRL_FLAG_NEXT_CTRL, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { query_ext_ctrl(fd.as_raw_fd(), &mut argument) })?;
    Ok(argument)
}

/// One line of a menu: its bytes, text or a number; EINVAL where the driver has no such line.
pub fn menu_item(fd: BorrowedFd<'_>, id: u32, index: u32) -> nix::Result<[u8; 32]> {
    let mut argument = uapi::QueryMenu { id, index, name: [0; 32], reserved: 0 };
    // SAFETY: as in query_capability.
    retry(|| unsafe { querymenu(fd.as_raw_fd(), &mut argument) })?;
    Ok(argument.name)
}

/// The value of a control that is one number. `wide`: of 64 bits.
pub fn control(fd: BorrowedFd<'_>, id: u32, wide: bool) -> nix::Result<i64> {
    let mut control = uapi::ExtControl { id, size: 0, reserved2: 0, value: uapi::ControlValue { value64: 0 } };
    let mut argument =
        uapi::ExtControls { which: 0, count: 1, error_idx: 0, request_fd: 0, reserved: 0, controls: &raw mut control };
    // SAFETY: the fd is open; the control that the argument points to lives until the call has returned.
    retry(|| unsafe { g_ext_ctrls(fd.as_raw_fd(), &mut argument) })?;
    // SAFETY: the kernel has written as many bytes as the control's type has; the rest was zero.
    Ok(unsafe { if wide { control.value.value64 } else { i64::from(control.value.value) } })
}

/// Sets a control that is one number.
pub fn set_control(fd: BorrowedFd<'_>, id: u32, value: i64, wide: bool) -> nix::Result<()> {
    let union = match wide {
        true => uapi::ControlValue { value64: value },
        false => {
            let mut union = uapi::ControlValue { value64: 0 };
            union.value = i32::try_from(value)
                .or_else(|_| u32::try_from(value).map(|bits| bits as i32))
                .map_err(|_| Errno::ERANGE)?;
            union
        }
    };
    let mut control = uapi::ExtControl { id, size: 0, reserved2: 0, value: union };
    let mut argument =
        uapi::ExtControls { which: 0, count: 1, error_idx: 0, request_fd: 0, reserved: 0, controls: &raw mut control };
    // SAFETY: as in control.
    retry(|| unsafe { s_ext_ctrls(fd.as_raw_fd(), &mut argument) })?;
    Ok(())
}

/// Sets a control that is text, of at most `size_bytes` with its zero.
pub fn set_text_control(fd: BorrowedFd<'_>, id: u32, value: &str, size_bytes: u32) -> nix::Result<()> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    if bytes.len() > size_bytes as usize {
        return Err(Errno::ERANGE);
    }
    bytes.resize(size_bytes as usize, 0);
    let pointer = uapi::ControlValue { pointer: bytes.as_mut_ptr() };
    let mut control = uapi::ExtControl { id, size: size_bytes, reserved2: 0, value: pointer };
    let mut argument =
        uapi::ExtControls { which: 0, count: 1, error_idx: 0, request_fd: 0, reserved: 0, controls: &raw mut control };
    // SAFETY: as in control; the text has `size_bytes` bytes and lives until the call has returned.
    retry(|| unsafe { s_ext_ctrls(fd.as_raw_fd(), &mut argument) })?;
    Ok(())
}

/// From now on events of this kind are kept for [`dequeue_event`].
pub fn subscribe_event(fd: BorrowedFd<'_>, kind: u32, id: u32) -> nix::Result<()> {
    let argument = uapi::EventSubscription { kind, id, ..Default::default() };
    // SAFETY: the fd is open and the argument is the struct the ioctl reads.
    retry(|| unsafe { ioctl_subscribe_event(fd.as_raw_fd(), &argument) })?;
    Ok(())
}

/// The oldest event: its kind, and what changed; ENOENT where there is none.
pub fn dequeue_event(fd: BorrowedFd<'_>) -> nix::Result<(u32, u32)> {
    let mut argument = uapi::Event::default();
    // SAFETY: as in query_capability.
    retry(|| unsafe { dqevent(fd.as_raw_fd(), &mut argument) })?;
    let bytes = argument.data[0].to_ne_bytes();
    Ok((argument.kind, u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
}

/// `VIDIOC_ENCODER_CMD`
pub fn encoder_command(fd: BorrowedFd<'_>, cmd: u32) -> nix::Result<()> {
    let mut argument = uapi::EncoderCmd { cmd, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { ioctl_encoder_cmd(fd.as_raw_fd(), &mut argument) })?;
    Ok(())
}

/// `VIDIOC_DECODER_CMD`
pub fn decoder_command(fd: BorrowedFd<'_>, cmd: u32) -> nix::Result<()> {
    let mut argument = uapi::DecoderCmd { cmd, ..Default::default() };
    // SAFETY: as in query_capability.
    retry(|| unsafe { ioctl_decoder_cmd(fd.as_raw_fd(), &mut argument) })?;
    Ok(())
}

/// A rectangle of a queue: left, top, width, height; set where `wanted` is given. `kind` is the single-planar one.
pub fn selection(
    fd: BorrowedFd<'_>,
    kind: u32,
    target: u32,
    wanted: Option<(i32, i32, u32, u32)>,
) -> nix::Result<(i32, i32, u32, u32)> {
    let mut argument = uapi::Selection { kind, target, ..Default::default() };
    match wanted {
        Some((left, top, width, height)) => {
            (argument.left, argument.top, argument.width, argument.height) = (left, top, width, height);
            // SAFETY: as in query_capability.
            retry(|| unsafe { s_selection(fd.as_raw_fd(), &mut argument) })?;
        }
        None => {
            // SAFETY: as above.
            retry(|| unsafe { g_selection(fd.as_raw_fd(), &mut argument) })?;
        }
    }
    Ok((argument.left, argument.top, argument.width, argument.height))
}
