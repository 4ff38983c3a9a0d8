//! Images of textures, and images out of the process: export, import again, the same memory (conformance list C09).
//!
//! The tests take turns, because they count the fds of the process.

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::draw::sampled;
use common::pattern::{SIZE, bench, is_pattern, pattern, shows_pattern, write_pattern};
use common::{open_fds, or_skip, skip};
use darkframe::allocator::{Request, Usage};
use darkframe::board::Board;
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::egl::raw::{Limit, open_limited};
use darkframe::egl::{Context, Display, Image};
use darkframe::error::ErrorKind;
use darkframe::format::Fourcc;
use darkframe::gles::{Filter, Framebuffer, Gl, Texture, TextureOptions};
use darkframe::layout::Constraints;

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const ROUNDS: usize = 10;

fn plain_texture(gl: &Gl) -> Texture {
    Texture::new(gl, SIZE, &TextureOptions::default()).unwrap()
}

/// What is open after some exports that was not before.
fn leaked(gl: &Gl, image: impl Fn() -> Image) -> Vec<String> {
    let round = || {
        drop(image().export());
        // The last frame holds what it used.
        Framebuffer::new(gl, plain_texture(gl)).unwrap();
        gl.clear([0.0; 4]);
        gl.finish();
        gl.collect();
        gl.finish();
    };
    (0..3).for_each(|_| round());
    let mut before = fd_names();
    (0..ROUNDS).for_each(|_| round());
    let mut after = fd_names();
    after.retain(|name| match before.iter().position(|known| known == name) {
        Some(at) => {
            before.swap_remove(at);
            false
        }
        None => true,
    });
    after
}

fn fd_names() -> Vec<String> {
    let folder = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    folder.filter_map(|fd| std::fs::read_link(fd.path()).ok()).map(|link| link.display().to_string()).collect()
}

/// Imports what was exported and samples it; then it is written through one side and read through the other.
fn same_memory(gl: &Gl, display: &Display, exported: &Buffer, original: Texture) {
    let image = match Image::import(display, exported) {
        Ok(image) => image,
        // The driver gives out what it does not take back: then the CPU looks.
        Err(error) => {
            assert!(error.detail().contains("maps memory through"), "{error}");
            println!("{}: exported, not taken back: {error}", gl.caps().version_text);
            let map = exported.map(Access::Read).unwrap();
            let rows: Vec<u8> = (0..SIZE.height).flat_map(|y| map.row(0, y).to_vec()).collect();
            return is_pattern(&rows, "exported memory, read by the CPU");
        }
    };
    let again = Texture::from_image(gl, &image).unwrap();
    shows_pattern(gl, &again, "re-imported");
    let target = Framebuffer::new(gl, original).unwrap();
    target.bind(gl).unwrap();
    gl.clear([0.0, 0.0, 1.0, 1.0]);
    gl.finish();
    assert_eq!(sampled(gl, &again).unwrap()[..4], [0, 0, 255, 255], "a copy, not the same memory");
}

/// C09, as far as it needs no dma-bufs: two textures over one storage, which the second keeps.
#[test]
fn c09_siblings_of_a_texture() {
    let _turn = turn();
    let display = Display::open(&Device::open(&Board::generic()).unwrap()).unwrap();
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    let texture = plain_texture(&gl);
    let Some(image) = or_skip("export", Image::from_texture(&gl, &texture)) else { return };
    assert_eq!((image.size(), image.fourcc(), image.external_only()), (SIZE, Fourcc::ABGR8888, false));
    let sibling = Texture::from_image(&gl, &image).unwrap();
    let pixels: Vec<u8> = (0..SIZE.height).flat_map(|y| (0..SIZE.width).flat_map(move |x| pattern(x, y))).collect();
    texture.upload(&gl, &pixels, SIZE.width * 4).unwrap();
    drop((texture, image));
    gl.collect();
    shows_pattern(&gl, &sibling, "sibling of a texture that is gone");
    // A texture of another context is refused.
    let stranger = plain_texture(&gl);
    drop(gl);
    let other = Context::new(&display).unwrap();
    let error = Image::from_texture(&other.make_current().unwrap(), &stranger).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

/// C09: export, query, import again: the same picture in the same memory; through both entry points of EGL.
#[test]
fn c09_export_and_reimport() {
    let _turn = turn();
    let Some((device, display, buffer)) = bench() else { return };
    let khr = Limit { version: (1, 4), hidden: &[] };
    let khr = open_limited(&device, display.platform(), display.node(), khr).unwrap();
    for display in [&display, &khr] {
        let context = Context::new(display).unwrap();
        let gl = context.make_current().unwrap();
        let name = format!("EGL {:?} {}", display.version(), gl.caps().version_text);

        // An image of a buffer.
        write_pattern(&buffer);
        let image = Image::import(display, &buffer).unwrap();
        match image.export() {
            Ok(exported) => {
                println!("{name}: a buffer's image: {}, {:?}", exported.layout(), exported.provenance());
                assert_eq!(exported.fourcc(), buffer.fourcc());
                assert_eq!(exported.size(), SIZE);
                assert_eq!(exported.layout().planes()[0], buffer.layout().planes()[0]);
                assert_eq!(exported.provenance().allocator, "exported");
                let flags = nix::fcntl::fcntl(exported.plane_fd(0), nix::fcntl::FcntlArg::F_GETFD).unwrap();
                assert_eq!(flags & nix::libc::FD_CLOEXEC, nix::libc::FD_CLOEXEC);
                same_memory(&gl, display, &exported, Texture::from_image(&gl, &image).unwrap());
            }
            Err(error) => unsupported(&name, "export of a buffer's image", error),
        }

        // An image of a texture.
        let texture = Texture::new(&gl, SIZE, &TextureOptions { filter: Filter::Nearest, ..Default::default() });
        let texture = texture.unwrap();
        let pixels: Vec<u8> = (0..SIZE.height).flat_map(|y| (0..SIZE.width).flat_map(move |x| pattern(x, y))).collect();
        texture.upload(&gl, &pixels, SIZE.width * 4).unwrap();
        gl.finish();
        let image = Image::from_texture(&gl, &texture).unwrap();
        assert!(image.buffer().is_none());
        // Shared inside the process: another texture shows it, and stays when the first is gone.
        let sibling = Texture::from_image(&gl, &image).unwrap();
        shows_pattern(&gl, &sibling, "sibling of a texture");
        match image.export() {
            Ok(exported) => {
                println!("{name}: a texture's image: {}, {:?}", exported.layout(), exported.provenance());
                assert_eq!(exported.fourcc(), Fourcc::ABGR8888);
                same_memory(&gl, display, &exported, texture);
            }
            Err(error) => {
                unsupported(&name, "export of a texture's image", error);
                drop(texture);
                gl.collect();
                shows_pattern(&gl, &sibling, "sibling of a texture that is gone");
            }
        }
        let image_of_image = Image::from_texture(&gl, &sibling).unwrap_err();
        assert_eq!(image_of_image.kind(), ErrorKind::InvalidInput);
        drop((sibling, image));
        gl.check().unwrap();

        // Nothing of it stays.
        let buffers = leaked(&gl, || Image::import(display, &buffer).unwrap());
        let textures = leaked(&gl, || Image::from_texture(&gl, &plain_texture(&gl)).unwrap());
        assert!(buffers.is_empty() && textures.is_empty(), "{name}: {ROUNDS} exports left {buffers:?}, {textures:?}");
    }
}

/// C09: planes that the driver does not describe are refused, not guessed.
#[test]
fn c09_planar_images() {
    let _turn = turn();
    let Some((device, display, _)) = bench() else { return };
    let context = Context::new(&display).unwrap();
    let gl = context.make_current().unwrap();
    for fourcc in [Fourcc::NV12, Fourcc::YUV420] {
        let request = Request::new(SIZE, fourcc).usage(Usage::SAMPLE | Usage::CPU_WRITE).require_dma_buf();
        let buffer = device.allocate(&request.constrain(Constraints::MALI).unwrap()).unwrap();
        let before = open_fds();
        let Ok(image) = Image::import(&display, &buffer) else { continue };
        match image.export() {
            Ok(exported) => assert_eq!(exported.layout().planes(), buffer.layout().planes(), "{fourcc}"),
            Err(error) => unsupported(&gl.caps().version_text, &format!("export of {fourcc}"), error),
        }
        drop(image);
        assert_eq!(open_fds(), before);
    }
    // Without the extension: said, not tried.
    let limit = Limit { version: (1, 5), hidden: &["EGL_MESA_image_dma_buf_export"] };
    let limited = open_limited(&device, display.platform(), display.node(), limit).unwrap();
    let request = Request::new(SIZE, Fourcc::ABGR8888).require_dma_buf();
    let image = Image::import(&limited, &device.allocate(&request).unwrap()).unwrap();
    let error = image.export().unwrap_err();
    assert_eq!((error.kind(), error.op()), (ErrorKind::Unsupported, "EGL_MESA_image_dma_buf_export"));
}

/// What may be missing: the reason must be there.
#[track_caller]
fn unsupported(driver: &str, what: &str, error: darkframe::error::Error) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{driver}: {what}: {error:?}");
    skip("export", format!("{driver}: {what}: {error}"));
}
