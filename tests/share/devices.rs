//! One picture through three devices and four processes: allocated on one node, sampled and drawn on a second, sampled
//! again on a third, with its content checked after each step. Where memory cannot cross, the run copies and says so.

use std::path::Path;

use darkframe::allocator::Request;
use darkframe::board::AllocatorKind;

use super::pipeline::{darkframe, folder, ok};
use super::*;

const FRAMES: u64 = 30;
const SIZE: Size = Size::new(64, 48);
/// Who makes the memory, who draws, who samples what was drawn.
const DRIVERS: [&str; 3] = ["vgem", "virtio_gpu", "vkms"];

/// The process that allocates: numbered frames in dumb buffers of the first driver, for two clients.
pub fn allocating(address: &Address) {
    let mut board = Board::generic();
    board.drm.dumb = Some(DRIVERS[0].into());
    let device = Device::open(&board).unwrap();
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE);
    let pool = Pool::new(&device, request.only(AllocatorKind::Dumb).require_dma_buf(), 8);
    // Two runs start their drivers in the meantime, one behind the other.
    let options = server::Options { rate: Some((25, 1)), patience: 6 * LONG, ..lossless() };
    let server = Server::bind(address, options).unwrap();
    server.wait_for_clients(2, 6 * LONG).unwrap();
    for number in 0..FRAMES {
        let buffer = acquire(&pool);
        assert!(buffer.provenance().allocator.contains(DRIVERS[0]), "{:?}", buffer.provenance());
        assert_eq!(server.send(numbered(buffer, number)).unwrap().clients, 2, "{:?}", server.departures());
    }
    assert!(server.finish(LONG), "everything came back");
}

/// Sources' ways in a report: `zero-copy`, or `copy` and why.
fn way(report: &Path) -> (String, Option<String>) {
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let source = &report["sources"][0];
    (source["path"].as_str().unwrap().to_owned(), source["reason"].as_str().map(str::to_owned))
}

/// Takes every frame and compares its bytes with those of the numbers, changed by `of`.
fn compare(client: &mut Client, of: impl Fn(u8) -> u8) {
    for number in 0..FRAMES {
        let Event::Frame(received) = client.next(Some(6 * LONG)).unwrap() else { panic!("no frame {number}") };
        let map = received.frame.buffer.map(Access::Read).unwrap();
        for row in 0..SIZE.height {
            for (column, got) in map.row(0, row).iter().enumerate() {
                let expected = of(byte(number, 0, row, column));
                assert_eq!(*got, expected, "frame {number}, row {row}, byte {column}");
            }
        }
    }
    assert!(matches!(client.next(Some(LONG)).unwrap(), Event::End));
}

#[test]
fn across_three_devices() {
    let _alone = alone();
    let device = Device::open(&Board::generic()).unwrap();
    for driver in DRIVERS {
        if device.find(driver).is_err() {
            return common::skip("three-devices", format!("no DRM node of {driver}"));
        }
    }
    let folder = folder("devices");
    let socket = |name: &str| folder.join(name);
    let text = |driver: &str, from: &str, sink: &str| {
        let (from, folder) = (socket(from), folder.join(driver));
        std::fs::create_dir_all(&folder).unwrap();
        let board = format!("name = \"{driver}\"\n[drm]\nrender = \"{driver}\"\ndumb = \"{driver}\"\n");
        std::fs::write(folder.join("board.toml"), board).unwrap();
        std::fs::write(folder.join("invert.frag"), "vec4 pixel(vec2 uv) { return 1.0 - picture(); }\n").unwrap();
        format!(
            "board = \"board.toml\"\n[source.picture]\nkind = \"unixfd\"\nsocket = \"{}\"\nreconnect = true\n\
             [pass.invert]\nshader = \"invert.frag\"\ninputs = [\"picture\"]\n[sink.out]\ninput = \"invert\"\n{sink}\n",
            from.display()
        )
    };
    let serve = format!("kind = \"unixfd\"\nsocket = \"{}\"\nwait-for = 2", socket("drawn").display());
    let maker = start("allocating", &socket("made"));
    let run = |driver: &str, from: &str, sink: &str| {
        let mut command = darkframe(&folder.join(driver), &text(driver, from, sink));
        command.args(["--report", "report.json"]).spawn().unwrap()
    };
    let drawing = run(DRIVERS[1], "made", &serve);
    let sampling = run(DRIVERS[2], "drawn", "file = \"out.rgba\"");
    let options = client::Options { reconnect: true, ..client::Options::default() };
    let [mut made, mut drawn] =
        ["made", "drawn"].map(|name| Client::connect(&Address::Path(socket(name)), options.clone()).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| compare(&mut made, |byte| byte));
        compare(&mut drawn, |byte| 255 - byte);
    });
    let _made = succeeds(maker);
    let texts = [drawing, sampling].map(|run| ok(run.wait_with_output().unwrap()));
    // Inverted twice: what was made.
    let file = std::fs::read(folder.join(DRIVERS[2]).join("out.rgba")).unwrap();
    assert_eq!(file.len() as u64, FRAMES * SIZE.pixels() * 4);
    let bytes = (0..FRAMES).flat_map(|number| {
        (0..SIZE.height).flat_map(move |row| (0..SIZE.width as usize * 4).map(move |column| (number, row, column)))
    });
    for (got, (number, row, column)) in file.iter().zip(bytes) {
        assert_eq!(*got, byte(number, 0, row, column), "frame {number}, row {row}, byte {column}");
    }
    for (index, text) in texts.iter().enumerate() {
        let (path, reason) = way(&folder.join(DRIVERS[index + 1]).join("report.json"));
        println!("{} -> {}: {path} {}", DRIVERS[index], DRIVERS[index + 1], reason.as_deref().unwrap_or_default());
        match reason {
            None => assert_eq!(path, "zero-copy"),
            Some(reason) => {
                assert_eq!(path, "copy");
                let plain: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let start: String = reason.chars().take(40).collect();
                assert_eq!(plain.matches(&start).count(), 1, "said once: {text}");
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
