//! The structs of `linux/videodev2.h`, laid out per pointer width.
//!
//! 32-bit machines get the layout with 32-bit times, which every kernel understands: the C library's own `timeval` is
//! wider there since its time64 move, and kernels before 5.6 do not know that request.
//!
//! # References
//! `include/uapi/linux/videodev2.h`
#![allow(missing_docs, reason = "names and meaning are the header's")]

/// A word of `struct timeval` and `struct timespec` in the layout that is used.
#[cfg(target_pointer_width = "64")]
pub type Time = i64;
/// See above.
#[cfg(target_pointer_width = "32")]
pub type Time = i32;

/// `VIDEO_MAX_PLANES`
pub const MAX_PLANES: usize = 8;
/// `VIDEO_MAX_FRAME`: buffers of a queue.
pub const MAX_FRAMES: u32 = 32;

pub const CAP_VIDEO_CAPTURE: u32 = 0x1;
pub const CAP_VIDEO_OUTPUT: u32 = 0x2;
pub const CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
pub const CAP_VIDEO_OUTPUT_MPLANE: u32 = 0x2000;
pub const CAP_VIDEO_M2M_MPLANE: u32 = 0x4000;
pub const CAP_VIDEO_M2M: u32 = 0x8000;
pub const CAP_STREAMING: u32 = 0x0400_0000;
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;

pub const BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
pub const BUF_TYPE_VIDEO_OUTPUT: u32 = 2;
pub const BUF_TYPE_VIDEO_CAPTURE_MPLANE: u32 = 9;
pub const BUF_TYPE_VIDEO_OUTPUT_MPLANE: u32 = 10;

pub const MEMORY_MMAP: u32 = 1;
pub const MEMORY_DMABUF: u32 = 4;

pub const FIELD_NONE: u32 = 1;

pub const FMT_FLAG_COMPRESSED: u32 = 0x1;
pub const FMT_FLAG_CONTINUOUS_BYTESTREAM: u32 = 0x4;

pub const PIX_FMT_PRIV_MAGIC: u32 = 0xfeed_cafe;

pub const BUF_FLAG_KEYFRAME: u32 = 0x8;
pub const BUF_FLAG_ERROR: u32 = 0x40;
pub const BUF_FLAG_TIMESTAMP_MASK: u32 = 0xe000;
pub const BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x2000;
pub const BUF_FLAG_LAST: u32 = 0x10_0000;

pub const EVENT_EOS: u32 = 2;
pub const EVENT_SOURCE_CHANGE: u32 = 5;
pub const EVENT_SRC_CH_RESOLUTION: u32 = 1;

pub const CTRL_TYPE_INTEGER: u32 = 1;
pub const CTRL_TYPE_BOOLEAN: u32 = 2;
pub const CTRL_TYPE_MENU: u32 = 3;
pub const CTRL_TYPE_BUTTON: u32 = 4;
pub const CTRL_TYPE_INTEGER64: u32 = 5;
pub const CTRL_TYPE_CTRL_CLASS: u32 = 6;
pub const CTRL_TYPE_STRING: u32 = 7;
pub const CTRL_TYPE_BITMASK: u32 = 8;
pub const CTRL_TYPE_INTEGER_MENU: u32 = 9;
pub const CTRL_COMPOUND_TYPES: u32 = 0x100;

pub const CTRL_FLAG_DISABLED: u32 = 0x1;
pub const CTRL_FLAG_READ_ONLY: u32 = 0x4;
pub const CTRL_FLAG_INACTIVE: u32 = 0x10;
pub const CTRL_FLAG_HAS_PAYLOAD: u32 = 0x100;
pub const CTRL_FLAG_NEXT_CTRL: u32 = 0x8000_0000;

pub const ENC_CMD_STOP: u32 = 1;
pub const DEC_CMD_STOP: u32 = 1;

pub const SEL_TGT_CROP: u32 = 0;
pub const SEL_TGT_COMPOSE: u32 = 0x100;

pub const CAP_TIMEPERFRAME: u32 = 0x1000;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FmtDesc {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixelformat: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct PixFormat {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub bytesperline: u32,
    pub sizeimage: u32,
    pub colorspace: u32,
    pub priv_: u32,
    pub flags: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub xfer_func: u32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed)]
pub struct PlanePixFormat {
    pub sizeimage: u32,
    pub bytesperline: u32,
    pub reserved: [u16; 6],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed)]
pub struct PixFormatMplane {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub colorspace: u32,
    pub plane_fmt: [PlanePixFormat; MAX_PLANES],
    pub num_planes: u8,
    pub flags: u8,
    pub ycbcr_enc: u8,
    pub quantization: u8,
    pub xfer_func: u8,
    pub reserved: [u8; 7],
}

/// The union has the alignment of a pointer, which one of its other members has.
#[derive(Clone, Copy)]
#[repr(C)]
pub union FormatUnion {
    pub pix: PixFormat,
    pub pix_mp: PixFormatMplane,
    pub raw: [usize; 200 / size_of::<usize>()],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Format {
    pub kind: u32,
    pub fmt: FormatUnion,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u8,
    pub reserved: [u8; 3],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub union PlaneMemory {
    pub mem_offset: u32,
    pub userptr: usize,
    pub fd: i32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plane {
    pub bytesused: u32,
    pub length: u32,
    pub m: PlaneMemory,
    pub data_offset: u32,
    pub reserved: [u32; 11],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TimeVal {
    pub tv_sec: Time,
    pub tv_usec: Time,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TimeCode {
    pub kind: u32,
    pub flags: u32,
    pub frames: u8,
    pub seconds: u8,
    pub minutes: u8,
    pub hours: u8,
    pub userbits: [u8; 4],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub union BufferMemory {
    pub offset: u32,
    pub userptr: usize,
    pub planes: *mut Plane,
    pub fd: i32,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytesused: u32,
    pub flags: u32,
    pub field: u32,
    pub timestamp: TimeVal,
    pub timecode: TimeCode,
    pub sequence: u32,
    pub memory: u32,
    pub m: BufferMemory,
    pub length: u32,
    pub reserved2: u32,
    pub request_fd: i32,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ExportBuffer {
    pub kind: u32,
    pub index: u32,
    pub plane: u32,
    pub flags: u32,
    pub fd: i32,
    pub reserved: [u32; 11],
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StreamParm {
    pub kind: u32,
    pub capability: u32,
    pub mode: u32,
    pub numerator: u32,
    pub denominator: u32,
    pub rest: [u32; 46],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FrameSizes {
    pub index: u32,
    pub pixel_format: u32,
    pub kind: u32,
    /// Discrete: width, height. Else: least, largest and step of the width, then of the height.
    pub sizes: [u32; 6],
    pub reserved: [u32; 2],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Selection {
    pub kind: u32,
    pub target: u32,
    pub flags: u32,
    pub left: i32,
    pub top: i32,
    pub width: u32,
    pub height: u32,
    pub reserved: [u32; 9],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct QueryExtCtrl {
    pub id: u32,
    pub kind: u32,
    pub name: [u8; 32],
    pub minimum: i64,
    pub maximum: i64,
    pub step: u64,
    pub default_value: i64,
    pub flags: u32,
    pub elem_size: u32,
    pub elems: u32,
    pub nr_of_dims: u32,
    pub dims: [u32; 4],
    pub reserved: [u32; 32],
}

#[derive(Clone, Copy, Debug)]
#[repr(C, packed)]
pub struct QueryMenu {
    pub id: u32,
    pub index: u32,
    /// Text, or a number of 64 bits.
    pub name: [u8; 32],
    pub reserved: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed)]
pub union ControlValue {
    pub value: i32,
    pub value64: i64,
    pub pointer: *mut u8,
}

#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct ExtControl {
    pub id: u32,
    pub size: u32,
    pub reserved2: u32,
    pub value: ControlValue,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct ExtControls {
    pub which: u32,
    pub count: u32,
    pub error_idx: u32,
    pub request_fd: i32,
    pub reserved: u32,
    pub controls: *mut ExtControl,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct EventSubscription {
    pub kind: u32,
    pub id: u32,
    pub flags: u32,
    pub reserved: [u32; 5],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Event {
    pub kind: u32,
    /// The union holds numbers of 64 bits.
    pub data: [u64; 8],
    pub pending: u32,
    pub sequence: u32,
    pub timestamp: [Time; 2],
    pub id: u32,
    pub reserved: [u32; 8],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct EncoderCmd {
    pub cmd: u32,
    pub flags: u32,
    pub raw: [u32; 8],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct DecoderCmd {
    pub cmd: u32,
    pub flags: u32,
    /// The union holds numbers of 64 bits.
    pub raw: [u64; 8],
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Input {
    pub index: u32,
    pub name: [u8; 32],
    pub kind: u32,
    pub audioset: u32,
    pub tuner: u32,
    pub std: u64,
    pub status: u32,
    pub capabilities: u32,
    pub reserved: [u32; 3],
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Output {
    pub index: u32,
    pub name: [u8; 32],
    pub kind: u32,
    pub audioset: u32,
    pub modulator: u32,
    pub std: u64,
    pub capabilities: u32,
    pub reserved: [u32; 3],
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as a C compiler gives them (the request's number holds the size, so a wrong one is refused by the kernel).
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sizes_are_those_of_the_header() {
        assert_eq!(size_of::<Capability>(), 104);
        assert_eq!(size_of::<FmtDesc>(), 64);
        assert_eq!(size_of::<PixFormat>(), 48);
        assert_eq!(size_of::<PixFormatMplane>(), 192);
        assert_eq!(size_of::<Format>(), 208);
        assert_eq!(size_of::<RequestBuffers>(), 20);
        assert_eq!(size_of::<Plane>(), 64);
        assert_eq!(size_of::<Buffer>(), 88);
        assert_eq!(size_of::<ExportBuffer>(), 64);
        assert_eq!(size_of::<StreamParm>(), 204);
        assert_eq!(size_of::<FrameSizes>(), 44);
        assert_eq!(size_of::<Selection>(), 64);
        assert_eq!(size_of::<QueryExtCtrl>(), 232);
        assert_eq!(size_of::<QueryMenu>(), 44);
        assert_eq!(size_of::<ExtControl>(), 20);
        assert_eq!(size_of::<ExtControls>(), 32);
        assert_eq!(size_of::<EventSubscription>(), 32);
        assert_eq!(size_of::<Event>(), 136);
        assert_eq!(size_of::<EncoderCmd>(), 40);
        assert_eq!(size_of::<DecoderCmd>(), 72);
        assert_eq!((size_of::<Input>(), size_of::<Output>()), (80, 72));
    }

    /// Measured with a C compiler for ARM, times of 32 bits.
    #[test]
    #[cfg(all(target_pointer_width = "32", target_arch = "arm"))]
    fn sizes_are_those_of_the_header() {
        assert_eq!((size_of::<Buffer>(), size_of::<Plane>(), size_of::<Format>()), (68, 60, 204));
    }
}
