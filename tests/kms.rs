//! Pictures on a display: vkms, whose write-back connector gives back what is shown. Needs a machine that has it (the guests
//! of `tests/vm`).

mod common;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use darkframe::allocator::{Request, Usage};
use darkframe::board::{AllocatorKind, Board};
use darkframe::buffer::{Access, Buffer};
use darkframe::device::Device;
use darkframe::error::ErrorKind;
use darkframe::format::{Fourcc, Modifier};
use darkframe::kms::{Options, Screen};
use darkframe::layout::Size;
use darkframe::pipeline::Description;
use darkframe::pipeline::description::FrameRange;
use darkframe::pipeline::runner::{self, run};

const SIZE: Size = Size::new(640, 480);

fn alone() -> (std::sync::MutexGuard<'static, ()>, std::fs::File) {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    (ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), common::screens())
}

/// The machine with vkms as the card that makes dumb buffers, or a skip.
fn device() -> Option<Device> {
    let board = Board::parse(Path::new("vkms.toml"), "name = \"vkms\"\n[drm]\ndumb = \"vkms\"\n").unwrap();
    common::or_skip("kms", Device::open(&board))
}

fn card(device: &Device) -> PathBuf {
    device.find("vkms").unwrap().path().to_owned()
}

fn options(write_back: bool) -> Options {
    Options { device: Some("vkms".into()), connector: None, write_back }
}

fn buffer(device: &Device) -> Buffer {
    let usage = Usage::CPU_READ | Usage::CPU_WRITE | Usage::SCANOUT;
    let request = Request::new(SIZE, Fourcc::XRGB8888).usage(usage).only(AllocatorKind::Dumb).require_dma_buf();
    device.allocate(&request).unwrap()
}

/// Row `y` of picture `number`: another one in every row and in every picture.
fn row(number: u32, y: u32) -> &'static [u8] {
    static TABLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let pixel = |at: u32| [(at * 37) as u8, (at * 101 / 3) as u8, (at * at / 7) as u8, 0xff];
        (0..SIZE.width + 256).flat_map(pixel).collect()
    });
    &TABLE[((y * 3 + number * 7) % 256) as usize * 4..][..SIZE.width as usize * 4]
}

fn fill(buffer: &Buffer, number: u32) {
    let stride = buffer.layout().planes()[0].stride_bytes as usize;
    let mut map = buffer.map(Access::Write).unwrap();
    for (y, into) in map.plane_mut(0).chunks_mut(stride).take(SIZE.height as usize).enumerate() {
        into[..SIZE.width as usize * 4].copy_from_slice(row(number, y as u32));
    }
}

fn check(buffer: &Buffer, number: u32) {
    let map = buffer.map(Access::Read).unwrap();
    for y in 0..SIZE.height {
        assert!(map.row(0, y) == row(number, y), "picture {number}, row {y}");
    }
}

/// What a card's CRTCs show.
fn modes(device: &Device) -> Vec<Option<(u16, u16)>> {
    use drm::control::Device as _;
    let node = device.find("vkms").unwrap();
    assert!(node.as_fd().try_clone_to_owned().is_ok());
    let crtcs = node.resource_handles().unwrap();
    crtcs.crtcs().iter().map(|crtc| node.get_crtc(*crtc).unwrap().mode().map(|mode| mode.size())).collect()
}

/// What is written back is what was shown, for every picture; afterwards the display is as it was.
#[test]
fn what_is_shown_is_what_was_made() {
    let _alone = alone();
    let Some(device) = device() else { return };
    let before = modes(&device);
    // The allocator keeps a file of its own.
    drop(buffer(&device));
    let fds = common::open_fds();
    {
        let mut screen = Screen::open(&options(true), SIZE).unwrap();
        println!("{}", screen.name());
        let buffers = [buffer(&device), buffer(&device)];
        let into = buffer(&device);
        // vkms switches its composer off in a work item that runs after a write-back's fence has signalled: a write-back asked
        // for in between waits until the next one, which then does the first in the queue. So: once more, and the fences in
        // their order.
        let mut fences = std::collections::VecDeque::new();
        let mut again = 0;
        for number in 0..40 {
            // The one before is on the screen: this one is not any more.
            let shown = &buffers[number as usize % 2];
            fill(shown, number);
            let mut show = || screen.show(shown.clone(), None, Box::new(()), Some(&into)).unwrap();
            fences.push_back(show().expect("a fence of the write-back"));
            let first = fences.pop_front().unwrap();
            while let Err(error) = first.wait(Some(std::time::Duration::from_secs(5))) {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                again += 1;
                assert!(again < 10, "picture {number}: {error}");
                fences.push_back(show().unwrap());
            }
            check(&into, number);
        }
        println!("{again} write-backs asked for twice");
        screen.settle().unwrap();
        assert_eq!(screen.count(), 40 + again);
        assert_ne!(modes(&device), before);
    }
    assert_eq!(modes(&device), before);
    assert_eq!(common::open_fds(), fds);
}

/// Six hundred pictures, each behind the one before; every buffer comes back when the next is shown.
#[test]
fn six_hundred_pictures() {
    use std::sync::atomic::{AtomicU64, Ordering};
    struct Back(std::sync::Arc<AtomicU64>);
    impl Drop for Back {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let _alone = alone();
    let Some(device) = device() else { return };
    let back = std::sync::Arc::new(AtomicU64::new(0));
    let mut screen = Screen::open(&options(false), SIZE).unwrap();
    let buffers = [buffer(&device), buffer(&device), buffer(&device)];
    for number in 0..600u64 {
        screen.show(buffers[number as usize % 3].clone(), None, Box::new(Back(back.clone())), None).unwrap();
        // One on the screen, one on its way there.
        assert_eq!(back.load(Ordering::Relaxed), number.saturating_sub(1), "after picture {number}");
    }
    assert_eq!(screen.count(), 600);
    drop(screen);
    assert_eq!(back.load(Ordering::Relaxed), 600);
}

/// The whole way: a pipeline's pictures on the display, by dma-buf and with the GPU's fences.
#[test]
fn a_pipeline_shows_its_pictures() {
    let _alone = alone();
    if device().is_none() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("df-kms-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("same.frag"), "vec4 pixel(vec2 uv) { return test(uv); }\n").unwrap();
    let text = |keys: &str, format: &str| {
        format!(
            "[source.test]\npattern = \"counter\"\nsize = \"640x480\"\n\
             [pass.wanted]\nshader = \"same.frag\"\ninputs = [\"test\"]\nformat = \"{format}\"\n\
             [sink.screen]\ninput = \"wanted\"\nkind = \"kms\"\n{keys}\n"
        )
    };
    let go = |keys: &str, format: &str| {
        let description = Description::parse(folder.join("p.toml"), text(keys, format))?;
        let frames = Some(FrameRange { start: 0, end: Some(30) });
        run(&description, runner::Options { frames, ..Default::default() })
    };
    let report = go("device = \"vkms\"", "XRGB8888").unwrap();
    assert_eq!((report.frames, report.sinks[0].pictures), (30, 30));
    for (keys, format, words) in [
        ("device = \"vkm\"", "XRGB8888", &["sink.screen.device", "did you mean \"vkms\"?"][..]),
        (
            "device = \"vkms\"\nconnector = \"Virtual-9\"",
            "XRGB8888",
            &["sink.screen.connector", "did you mean \"Virtual-"],
        ),
        ("device = \"vkms\"", "YUYV", &["sink.screen.input", "does not show YUYV"]),
        ("device = \"vkms\"\nfile = \"x\"", "XRGB8888", &["sink.screen.file", "writes no file"]),
    ] {
        let said = go(keys, format).unwrap_err().to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{keys}: {said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// What cannot be shown is said before anything is changed.
#[test]
fn what_is_refused() {
    let _alone = alone();
    let Some(device) = device() else { return };
    let before = modes(&device);
    let screen = Screen::open(&options(false), SIZE).unwrap();
    screen.check(Fourcc::XRGB8888, Modifier::LINEAR).unwrap();
    let error = screen.check(Fourcc::XRGB8888, Modifier(0x0800_0000_0000_0051)).unwrap_err();
    assert!(error.to_string().contains("not with modifier") && error.to_string().contains("LINEAR"), "{error}");
    let error = screen.check(Fourcc::NV15, Modifier::LINEAR).unwrap_err();
    assert!(error.to_string().contains("XRGB8888"), "{error}");
    drop(screen);
    let error = Screen::open(&options(false), Size::new(641, 479)).err().unwrap();
    assert!(error.to_string().contains("no mode of 641x479") && error.to_string().contains("640x480"), "{error}");
    // Who opens a card first is its master: nobody else is then.
    let master = std::fs::File::options().read(true).write(true).open(card(&device)).unwrap();
    let error = Screen::open(&options(false), SIZE).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("somebody else shows pictures"), "{error}");
    drop(master);
    drop(Screen::open(&options(false), SIZE).unwrap());
    assert_eq!(modes(&device), before);
}
