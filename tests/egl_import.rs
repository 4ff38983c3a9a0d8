//! Import of dma-bufs: what drivers must answer to broken attributes (conformance list A), what the wrapper refuses
//! before they see it, and that nothing is leaked.
//!
//! Every case ends with the buffer's fd still open: a failed import must not close it.

mod common;

use std::os::fd::{AsFd, AsRawFd};

use common::gpu_display;
use darkframe::buffer::Buffer;
use darkframe::egl::raw::{Entry, Forbidden, create_image, create_image_with, query_modifiers};
use darkframe::egl::{Display, EglError, Image, ImportOptions, UseModifier};
use darkframe::error::ErrorKind;
use darkframe::format::{Fourcc, Modifier};
use darkframe::layout::{Layout, PlaneLayout, Size};

const SUCCESS: i32 = 0x3000;
const BAD_ACCESS: i32 = 0x3002;
const BAD_ALLOC: i32 = 0x3003;
const BAD_ATTRIBUTE: i32 = 0x3004;
const BAD_MATCH: i32 = 0x3009;
const BAD_PARAMETER: i32 = 0x300C;

const WIDTH: i32 = 0x3057;
const HEIGHT: i32 = 0x3056;
const FOURCC: i32 = 0x3271;
const FD: [i32; 3] = [0x3272, 0x3275, 0x3278];
const OFFSET: [i32; 3] = [0x3273, 0x3276, 0x3279];
const PITCH: [i32; 3] = [0x3274, 0x3277, 0x327A];
const MODIFIER_LO: i32 = 0x3443;
const MODIFIER_HI: i32 = 0x3444;
/// Colour space, range, horizontal and vertical siting.
const HINTS: [i32; 4] = [0x327B, 0x327C, 0x327D, 0x327E];

/// A good import of ARGB8888: the base of every case.
fn base(buffer: &Buffer) -> Vec<i32> {
    let plane = buffer.layout().planes()[0];
    let size = buffer.size();
    vec![
        WIDTH,
        size.width as i32,
        HEIGHT,
        size.height as i32,
        FOURCC,
        Fourcc::ARGB8888.0 as i32,
        FD[0],
        buffer.plane_fd(0).as_raw_fd(),
        OFFSET[0],
        0,
        PITCH[0],
        plane.stride_bytes as i32,
    ]
}

fn with(mut list: Vec<i32>, more: &[i32]) -> Vec<i32> {
    list.extend_from_slice(more);
    list
}

fn without(list: Vec<i32>, key: i32) -> Vec<i32> {
    list.chunks(2).filter(|pair| pair[0] != key).flatten().copied().collect()
}

fn changed(list: Vec<i32>, key: i32, value: i32) -> Vec<i32> {
    with(without(list, key), &[key, value])
}

struct Case<'a> {
    display: &'a Display,
    buffer: &'a Buffer,
}

impl Case<'_> {
    /// Both entry points must refuse with one of `codes`, and leave the fd open.
    #[track_caller]
    fn refuses(&self, name: &str, attributes: &[i32], codes: &[i32]) {
        for entry in [Entry::Best, Entry::Khr] {
            match create_image(self.display, attributes, entry) {
                Ok(_) => panic!("{name} ({entry:?}): an image was created"),
                Err(EglError(code)) => assert!(codes.contains(&code), "{name} ({entry:?}): {}", EglError(code)),
            }
        }
        nix::sys::stat::fstat(self.buffer.plane_fd(0)).expect("the fd must still be open");
    }
}

#[test]
fn a_attributes_that_the_specification_forbids() {
    let Some((_device, display, buffer)) = gpu_display(Fourcc::ARGB8888, Size::new(64, 64)) else { return };
    let case = Case { display: &display, buffer: &buffer };
    drop(create_image(&display, &base(&buffer), Entry::Best).expect("the base case must work"));
    drop(create_image(&display, &base(&buffer), Entry::Khr).expect("the base case must work with the KHR function"));

    for (id, key) in
        [("A01", WIDTH), ("A02", HEIGHT), ("A03", FOURCC), ("A04", FD[0]), ("A05", OFFSET[0]), ("A06", PITCH[0])]
    {
        case.refuses(id, &without(base(&buffer), key), &[BAD_PARAMETER]);
    }
    let fd = buffer.plane_fd(0).as_raw_fd();
    for (id, more) in [
        ("A07", [FD[1], fd]),
        ("A08", [OFFSET[1], 0]),
        ("A09", [PITCH[1], 256]),
        ("A10", [FD[2], fd]),
        ("A11", [OFFSET[2], 0]),
        ("A12", [PITCH[2], 256]),
    ] {
        case.refuses(id, &with(base(&buffer), &more), &[BAD_ATTRIBUTE]);
    }
    for (id, hint) in ["A13", "A14", "A15", "A16"].into_iter().zip(HINTS) {
        case.refuses(id, &with(base(&buffer), &[hint, 0]), &[BAD_ATTRIBUTE]);
    }
    let answer = create_image_with(&display, Forbidden::Buffer, &base(&buffer), Entry::Best);
    assert_eq!(answer.err().map(|error| error.0), Some(BAD_PARAMETER), "A17");
    case.refuses("A19", &changed(base(&buffer), FOURCC, i32::from_le_bytes(*b"FOO0")), &[BAD_MATCH]);
    case.refuses("A20", &changed(base(&buffer), FOURCC, 0), &[BAD_MATCH]);
    case.refuses("A21", &changed(base(&buffer), PITCH[0], 0), &[BAD_ACCESS]);
    case.refuses("A22 low", &with(base(&buffer), &[MODIFIER_LO, 0]), &[BAD_PARAMETER]);
    case.refuses("A22 high", &with(base(&buffer), &[MODIFIER_HI, 0]), &[BAD_PARAMETER]);
    let odd = [MODIFIER_LO, 0xffff_fffe_u32 as i32, MODIFIER_HI, 0x00ff_ffff];
    case.refuses("A23", &with(base(&buffer), &odd), &[BAD_MATCH]);
    // One error of any kind is demanded here; drivers differ in which.
    let any = [BAD_ALLOC, BAD_ACCESS, BAD_PARAMETER, BAD_MATCH, BAD_ATTRIBUTE, SUCCESS];
    case.refuses("A24 -1", &changed(base(&buffer), FD[0], -1), &any);
    for value in [0, -1] {
        case.refuses("A25 width", &changed(base(&buffer), WIDTH, value), &any);
        case.refuses("A25 height", &changed(base(&buffer), HEIGHT, value), &any);
    }
    let unlisted = query_modifiers(&display, i32::from_le_bytes(*b"FOO0"));
    assert_eq!(unlisted.err().map(|error| error.0), Some(BAD_PARAMETER), "A27");
}

/// What drivers get wrong (an image of an fd that is no dma-buf, of a buffer that is too small) never reaches them.
#[test]
fn wrapper_refuses_before_the_driver() {
    let Some((_device, display, buffer)) = gpu_display(Fourcc::ARGB8888, Size::new(64, 64)) else { return };
    let fd = || buffer.plane_fd(0).try_clone_to_owned().unwrap();
    let linear = |size, offset_bytes, stride_bytes| {
        Layout::new(Fourcc::ARGB8888, size, Modifier::LINEAR, &[PlaneLayout { offset_bytes, stride_bytes }]).unwrap()
    };
    // 640x480 over a 64x64 buffer: Mesa 26 on virtio-gpu makes an image that reads past the memory.
    let error = Buffer::from_fds(linear(Size::new(640, 480), 0, 2560), vec![fd()]).unwrap_err();
    assert!(error.to_string().contains("ends at byte 1228800"), "{error}");
    // stdout: surfaceless Mesa makes an image of it.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    assert!(Buffer::from_fds(linear(Size::new(4, 4), 0, 16), vec![stdout]).is_err());
    // A format that the display does not list, and one that exists only with modifiers.
    let nv30 = Layout::new(
        Fourcc::NV30,
        Size::new(16, 4),
        Modifier::LINEAR,
        &[PlaneLayout { offset_bytes: 0, stride_bytes: 64 }, PlaneLayout { offset_bytes: 1024, stride_bytes: 64 }],
    );
    let error = Image::import(&display, &Buffer::from_fds(nv30.unwrap(), vec![fd()]).unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("NV30") && error.hint().is_some(), "{error}");
    // A modifier that the display does not list.
    let plane = PlaneLayout { offset_bytes: 0, stride_bytes: 256 };
    let tiled = Layout::new(Fourcc::ARGB8888, Size::new(64, 64), Modifier(0x00ff_ffff_ffff_fffe), &[plane]).unwrap();
    let tiled = Buffer::from_fds(tiled, vec![fd()]).unwrap();
    let options = ImportOptions { modifier: UseModifier::Explicit, ..ImportOptions::default() };
    let error = Image::import_with(&display, &tiled, &options).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    // An offset that EGL's signed 32 bits cannot hold.
    let far = linear(Size::new(1, 1), 3 << 30, 4);
    assert!(Buffer::from_fds(far, vec![fd()]).is_err());
}

/// C01, C02, C05: lifetimes of fds, buffers and images.
#[test]
fn images_outlive_what_they_were_made_of() {
    let Some((_device, display, buffer)) = gpu_display(Fourcc::ARGB8888, Size::new(64, 64)) else { return };
    let first = Image::import(&display, &buffer).unwrap();
    let layout = buffer.layout().clone();
    let second = Buffer::from_fds(layout.clone(), vec![buffer.plane_fd(0).try_clone_to_owned().unwrap()]).unwrap();
    let second = Image::import(&display, &second).unwrap();
    drop(buffer);
    drop(first);
    assert_eq!(second.size(), layout.size);
    for _ in 0..50 {
        drop(Image::import(&display, second.buffer().unwrap()).unwrap());
    }
    // The display goes with its last user, which is this image.
    drop(display);
    drop(second);
}
