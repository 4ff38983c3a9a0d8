//! Lifetimes and ownership: of fds, images, textures, displays, and of memory that another process made (conformance
//! list C01 to C07; C08 is in `leaks.rs`, C09 in `export.rs`).
//!
//! The tests take turns, because they count the fds of the process.

#![allow(unsafe_code)] // GL calls on raw images

mod common;

use std::any::Any;
use std::ffi::{CStr, c_void};
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::open_fds;
use common::pattern::{SIZE, bench, is_pattern, shows_pattern, write_pattern};
use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::egl::raw::{Entry, Limit, create_image, open_limited};
use darkframe::egl::{Context, Display, EglError, Image};
use darkframe::error::{ErrorKind, Result};
use darkframe::format::{Fourcc, Modifier};
use darkframe::gles::{Framebuffer, Texture, TextureOptions};
use darkframe::layout::{Layout, PlaneLayout, Size};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `EGL_LINUX_DMA_BUF_EXT` attributes of the first plane.
fn attributes(buffer: &Buffer, fd: i32) -> Vec<i32> {
    let stride = buffer.layout().planes()[0].stride_bytes as i32;
    let (width, height) = (buffer.size().width as i32, buffer.size().height as i32);
    vec![0x3057, width, 0x3056, height, 0x3271, buffer.fourcc().0 as i32, 0x3272, fd, 0x3273, 0, 0x3274, stride]
}

/// The function of this name, which the extension that was looked for promises.
fn gl_function(name: &CStr) -> *mut c_void {
    // SAFETY: libEGL is loaded in this process; opening it again runs nothing new.
    let library = unsafe { libloading::os::unix::Library::new("libEGL.so.1") }.unwrap();
    // SAFETY: every libEGL exports this function with this type.
    let address = unsafe {
        let get = library.get::<unsafe extern "system" fn(*const i8) -> *mut c_void>(b"eglGetProcAddress\0").unwrap();
        get(name.as_ptr().cast())
    };
    assert!(!address.is_null(), "{name:?}");
    address
}

/// C01: the fd is ours after success, after failure, and after the display is terminated; the memory too.
#[test]
fn c01_fds_stay_ours() {
    let _turn = turn();
    let Some((device, display, buffer)) = bench() else { return };
    let fd = || buffer.plane_fd(0).try_clone_to_owned().unwrap();
    let (after_success, after_failure, after_terminate) = (fd(), fd(), fd());
    let list = |fd: BorrowedFd<'_>| attributes(&buffer, fd.as_raw_fd());

    drop(create_image(&display, &list(after_success.as_fd()), Entry::Best).unwrap());
    nix::unistd::close(after_success.into_raw_fd()).expect("still open after success");

    let mut broken = list(after_failure.as_fd());
    broken.extend([0x3275, after_failure.as_raw_fd()]);
    assert_eq!(create_image(&display, &broken, Entry::Best).err(), Some(EglError::BAD_ATTRIBUTE));
    nix::unistd::close(after_failure.into_raw_fd()).expect("still open after failure");

    // A display of our own for this one, so that the last handle of it is here.
    let limit = Limit { version: (1, 5), hidden: &["EGL_KHR_no_such_thing"] };
    let (platform, node) = (display.platform(), display.node().cloned());
    drop(display);
    let own = open_limited(&device, platform, node.as_ref(), limit).unwrap();
    drop(create_image(&own, &list(after_terminate.as_fd()), Entry::Best).unwrap());
    drop(own);
    nix::unistd::close(after_terminate.into_raw_fd()).expect("still open after eglTerminate");

    let map = buffer.map(Access::Read).unwrap();
    let rows: Vec<u8> = (0..SIZE.height).flat_map(|y| map.row(0, y).to_vec()).collect();
    is_pattern(&rows, "memory after eglTerminate");
}

/// C03: a texture goes on when its EGLImage is destroyed; no new one can be made of it.
#[test]
fn c03_a_texture_outlives_its_image() {
    let _turn = turn();
    let Some((_device, display, buffer)) = bench() else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    // By the library's types: the texture keeps what it needs.
    let image = Image::import(&display, &buffer).unwrap();
    let texture = Texture::from_image(&gl, &image).unwrap();
    drop(image);
    shows_pattern(&gl, &texture, "texture without a handle to its image");

    // By bare calls: eglDestroyImage comes first, then the draw. The name of a plain texture is borrowed for it.
    type SetImage = unsafe extern "system" fn(u32, *mut c_void);
    // SAFETY: GL_OES_EGL_image (Texture::from_image checked it) names this function.
    let set = unsafe { std::mem::transmute::<*mut c_void, SetImage>(gl_function(c"glEGLImageTargetTexture2DOES")) };
    let raw = create_image(&display, &attributes(&buffer, buffer.plane_fd(0).as_raw_fd()), Entry::Best).unwrap();
    let plain = Texture::new(&gl, SIZE, &TextureOptions::default()).unwrap();
    plain.bind(&gl, 0).unwrap();
    let handle = raw.as_ptr();
    // SAFETY: a context is current, a texture bound and the image lives.
    unsafe { set(0x0DE1, handle) };
    gl.check().unwrap();
    drop(raw);
    gl.finish();
    shows_pattern(&gl, &plain, "texture after eglDestroyImage");
    // The memory is written through the texture that is left: it is the same, not a copy.
    let target = Framebuffer::new(&gl, plain).unwrap();
    target.bind(&gl).unwrap();
    gl.clear([0.0, 1.0, 0.0, 1.0]);
    gl.finish();
    assert_eq!(buffer.map(Access::Read).unwrap().row(0, 7)[..4], [0, 255, 0, 255]);

    // Mesa looks the handle up; a driver that follows it would read what is gone.
    if gl.caps().version_text.contains("Mesa") {
        let other = Texture::new(&gl, SIZE, &TextureOptions::default()).unwrap();
        other.bind(&gl, 0).unwrap();
        // SAFETY: a context is current; Mesa checks the handle against its list of images.
        unsafe { set(0x0DE1, handle) };
        let error = gl.check().unwrap_err();
        assert!(error.to_string().contains("GL_INVALID_VALUE"), "{error}");
    }
    gl.check().unwrap();
}

/// C04: two threads, each with a context of its own, on one display: nothing is lost, nothing left.
#[test]
fn c04_threads_import_and_destroy() {
    const LOOPS: usize = 200;
    let _turn = turn();
    let Some((_device, display, buffer)) = bench() else { return };
    let work = |loops: usize| {
        let context = Context::new(&display).unwrap();
        let gl = context.make_current().unwrap();
        for round in 0..loops {
            let image = Image::import(&display, &buffer).unwrap();
            let texture = match round % 2 {
                0 => Texture::from_image(&gl, &image).unwrap(),
                _ => Texture::external(&gl, &image).unwrap(),
            };
            texture.bind(&gl, 0).unwrap();
            if round % 50 == 0 {
                shows_pattern(&gl, &texture, "one of two threads");
            }
            drop(image);
            drop(texture);
            assert!(gl.collect() > 0);
            gl.finish();
        }
        gl.check().unwrap();
    };
    // Drivers open what they keep at the first use.
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| work(2)))));
    let before = open_fds();
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| work(LOOPS)))));
    assert_eq!(open_fds(), before, "fds after {LOOPS} loops of two threads");
}

/// C05: import, upload into the texture, destroy, and the same once more (the case of piglit's reimport-bug).
#[test]
fn c05_reimport() {
    let _turn = turn();
    let Some((_device, display, buffer)) = bench() else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    for round in 0..20u8 {
        write_pattern(&buffer);
        let texture = Texture::from_image(&gl, &Image::import(&display, &buffer).unwrap()).unwrap();
        shows_pattern(&gl, &texture, "reimported");
        let target = Framebuffer::new(&gl, texture).unwrap();
        target.bind(&gl).unwrap();
        gl.clear([f32::from(round) / 255.0, 0.0, 0.0, 1.0]);
        gl.finish();
        assert_eq!(buffer.map(Access::Read).unwrap().row(0, 1)[..4], [round, 0, 0, 255]);
    }
    gl.check().unwrap();
}

/// The permutation of that number of five things.
fn permutation(mut number: usize) -> [usize; 5] {
    let mut left = vec![0, 1, 2, 3, 4];
    [24, 6, 2, 1, 1].map(|weight| {
        let taken = left.remove(number / weight);
        number %= weight;
        taken
    })
}

/// C06: display, context, image, texture and buffer may go in every order; then everything works as before.
#[test]
fn c06_every_drop_order() {
    const NAMES: [&str; 5] = ["display", "context", "image", "texture", "buffer"];
    let _turn = turn();
    let device = Device::open(&Board::generic()).unwrap();
    let exercise = |order: [usize; 5]| {
        let display = Display::open(&device).unwrap();
        let usage = Usage::SAMPLE | Usage::RENDER | Usage::CPU_READ | Usage::CPU_WRITE;
        let request = Request::new(SIZE, Fourcc::ABGR8888).usage(usage).require_dma_buf();
        let buffer = device.allocate(&request).unwrap();
        write_pattern(&buffer);
        let context = Context::new(&display).unwrap();
        let image = Image::import(&display, &buffer).unwrap();
        let gl = context.make_current().unwrap();
        let texture = Texture::from_image(&gl, &image).unwrap();
        texture.bind(&gl, 0).unwrap();
        drop(gl);
        let mut handles: [Option<Box<dyn Any>>; 5] = [
            Some(Box::new(display)),
            Some(Box::new(context)),
            Some(Box::new(image)),
            Some(Box::new(texture)),
            Some(Box::new(buffer)),
        ];
        for (step, index) in order.into_iter().enumerate() {
            handles[index] = None;
            // As long as the context and the texture are there, they work; once is enough.
            let context = handles[1].as_ref().and_then(|context| context.downcast_ref::<Context>());
            let texture = handles[3].as_ref().and_then(|texture| texture.downcast_ref::<Texture>());
            if let (0, Some(context), Some(texture)) = (step, context, texture) {
                shows_pattern(&context.make_current().unwrap(), texture, &format!("after {} went", NAMES[index]));
            }
        }
    };
    let Some((..)) = bench() else { return };
    exercise(permutation(0));
    let before = open_fds();
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..120 {
        let order = permutation(number);
        assert!(seen.insert(order));
        exercise(order);
        assert_eq!(open_fds(), before, "fds after {:?}", order.map(|index| NAMES[index]));
    }
    exercise(permutation(0));
}

/// What travels with the fds of a picture in these tests: sizes in a fixed order, little-endian.
fn head(layout: &Layout) -> Vec<u8> {
    let mut numbers = vec![u64::from(layout.fourcc.0), u64::from(layout.size.width), u64::from(layout.size.height)];
    numbers.push(layout.modifier.0);
    for plane in layout.planes() {
        numbers.extend([plane.offset_bytes, u64::from(plane.stride_bytes)]);
    }
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn send(socket: &UnixStream, layout: &Layout, fds: &[BorrowedFd<'_>]) {
    let head = head(layout);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&head)], &mut control, SendFlags::empty()).unwrap();
    assert_eq!(sent, head.len());
}

/// A picture as it was received: the buffer, or why it is none; and whether the kernel dropped fds for want of room.
fn receive(socket: &UnixStream, room: usize) -> (Result<Buffer>, bool) {
    let mut bytes = [0; 256];
    /// Where the kernel puts the head of a control message (16 bytes) and the fds.
    #[repr(align(8))]
    struct Space([MaybeUninit<u8>; 64]);
    let mut space = Space([MaybeUninit::uninit(); 64]);
    // The kernel gives what fits: `room` fds of four bytes.
    let mut control = RecvAncillaryBuffer::new(&mut space.0[..16 + room * 4]);
    let message = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    let numbers: Vec<u64> =
        bytes[..message.bytes].chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect();
    let planes: Vec<PlaneLayout> = numbers[4..]
        .chunks_exact(2)
        .map(|pair| PlaneLayout { offset_bytes: pair[0], stride_bytes: pair[1] as u32 })
        .collect();
    let size = Size::new(numbers[1] as u32, numbers[2] as u32);
    let buffer = Layout::new(Fourcc(numbers[0] as u32), size, Modifier(numbers[3]), &planes)
        .and_then(|layout| Buffer::from_fds(layout, fds));
    (buffer, message.flags.contains(ReturnFlags::CTRUNC))
}

/// C07: the counts of planes and fds that arrive need not agree: then they are refused, and every fd is closed.
#[test]
fn c07_fds_that_do_not_fit_their_planes() {
    let _turn = turn();
    let device = Device::open(&Board::generic()).unwrap();
    let request = Request::new(SIZE, Fourcc::YUV420).only(AllocatorKind::Memfd);
    let buffer = device.allocate(&request).unwrap();
    let fd = buffer.plane_fd(0);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let before = open_fds();
    for (count, words) in [(0, "0 fds given"), (2, "2 fds given"), (4, "4 fds given"), (8, "8 fds given")] {
        send(&theirs, buffer.layout(), &vec![fd; count]);
        let (received, truncated) = receive(&ours, 8);
        let error = received.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!truncated);
        assert_eq!(open_fds(), before, "{count} fds");
    }
    for count in [1, 3] {
        send(&theirs, buffer.layout(), &vec![fd; count]);
        let received = receive(&ours, 8).0.unwrap();
        assert_eq!(received.layout(), buffer.layout());
        // The same memory three times is one object.
        assert_eq!(received.ids().collect::<Vec<_>>(), buffer.ids().collect::<Vec<_>>());
        drop(received);
        assert_eq!(open_fds(), before, "{count} fds");
    }
    // MSG_CTRUNC: the kernel closes what does not fit; what does is too few.
    send(&theirs, buffer.layout(), &[fd; 3]);
    let (received, truncated) = receive(&ours, 2);
    assert!(truncated);
    assert!(received.unwrap_err().to_string().contains("2 fds given"));
    assert_eq!(open_fds(), before, "after a truncated message");
    // A layout that does not hold: the fds go with it.
    let mut wild = buffer.layout().clone();
    wild.fourcc = Fourcc(0x3030_3030);
    send(&theirs, &wild, &[fd]);
    assert!(receive(&ours, 8).0.is_err());
    assert_eq!(open_fds(), before, "after an unknown format");
}

/// The socket that this process was given as its standard input.
fn inherited_socket() -> UnixStream {
    UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap())
}

/// The child of the test below: what it does is in `DARKFRAME_ROLE`.
#[test]
fn child() {
    let Ok(role) = std::env::var("DARKFRAME_ROLE") else { return };
    let mut socket = inherited_socket();
    match role.as_str() {
        "producer" => {
            let (_device, _display, buffer) = bench().expect("the parent had one");
            send(&socket, buffer.layout(), &[buffer.plane_fd(0)]);
            println!("PRODUCED by {}", buffer.provenance().allocator);
        }
        "consumer" => {
            let buffer = receive(&socket, 8).0.unwrap();
            assert_eq!(buffer.provenance().allocator, "received");
            // Nothing more comes, and the end comes when every handle of the producer is closed: it is gone.
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty());
            let device = Device::open(&Board::generic()).unwrap();
            let display = Display::open(&device).unwrap();
            let context = Context::new(&display).unwrap();
            let gl = context.make_current().unwrap();
            let texture = Texture::from_image(&gl, &Image::import(&display, &buffer).unwrap()).unwrap();
            shows_pattern(&gl, &texture, "sampled by the consumer");
            println!("CONSUMED");
        }
        other => panic!("{other}"),
    }
}

/// C07: a picture is sampled by one process when the process that made it has ended.
#[test]
fn c07_the_consumer_outlives_the_producer() {
    let _turn = turn();
    if bench().is_none() {
        return;
    }
    let (first, second) = UnixStream::pair().unwrap();
    let start = |role: &str, socket: UnixStream| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env("DARKFRAME_ROLE", role)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // Each child has one end; this process has none, so that the end of one is seen by the other.
    let consumer = start("consumer", first);
    let producer = start("producer", second);
    let text = |child: std::process::Child, what: &str| {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{what}: {}: {text}", output.status);
        text
    };
    let produced = text(producer, "producer");
    assert!(produced.contains("PRODUCED by "), "{produced}");
    let consumed = text(consumer, "consumer");
    assert!(consumed.contains("CONSUMED"), "{consumed}");
}
