//! Memory: when it comes back, who may write it, that dma-bufs are not copied, and that no fd is left.

use darkframe::share::unixfd::server::{Server, WhenFull};
use darkframe::share::unixfd::{Address, Client, client, server};

use super::*;

/// An encoder that looks ahead keeps more frames than there are memories: the others are copied, none is lost, and none is
/// drawn over while it is kept.
#[test]
fn an_encoder_that_looks_ahead_gets_copies() {
    let folder = Folder::new("gst-ahead");
    let path = folder.0.join("out.mkv");
    let pool = files(Fourcc::YUV420, Size::new(64, 48), 6);
    let first = common::acquire(&pool);
    let text =
        format!("x264enc quantizer=4 rc-lookahead=40 ! h264parse ! matroskamux ! filesink location={}", shown(&path));
    let Some(mut output) = open(&text, &first) else { return };
    drop(first);
    // Every frame has a grey of its own.
    let grey = |number: u64| 20 + 3 * number as u8;
    let mut most = 0;
    for number in 0..60 {
        let buffer = common::acquire(&pool);
        {
            let mut map = buffer.map(Access::Write).unwrap();
            map.plane_mut(0).fill(grey(number));
            map.plane_mut(1).fill(128);
            map.plane_mut(2).fill(128);
        }
        let frame = Frame { sequence: number, timestamp_ns: number * 40_000_000, ..Frame::new(buffer, None) };
        output.send(frame, None).unwrap();
        most = most.max(output.held());
    }
    output.finish().unwrap();
    assert_eq!(most, 4, "as many as may be");
    assert!(output.notes().iter().any(|note| note.contains("were copied")), "{:?}", output.notes());
    drop(output);
    // All six are there again.
    let all: Vec<Buffer> = (0..6).map(|_| common::acquire(&pool)).collect();
    assert_eq!(all.len(), 6);

    let Some(mut input) = take(&format!("filesrc location={} ! matroskademux ! h264parse ! avdec_h264", shown(&path)))
    else {
        return;
    };
    let buffer = common::files::buffer(Size::new(64, 48), Fourcc::YUV420);
    let layout = buffer.layout().clone();
    for number in 0..60 {
        let received = next(&mut input).unwrap();
        received.copy_into(&layout, &mut buffer.map(Access::Write).unwrap()).unwrap();
        let map = buffer.map(Access::Read).unwrap();
        let row = map.row(0, 24);
        assert!(row.iter().all(|got| got.abs_diff(grey(number)) <= 1), "frame {number}: {row:?}");
    }
    assert!(next(&mut input).is_none());
}

/// Elements that work in place get a copy: the memory may be another sink's too, or read in the next frame.
#[test]
fn nobody_writes_what_was_lent() {
    for kind in KINDS {
        let Some(pool) = pool(kind, Fourcc::ABGR8888, Size::new(64, 48), 64, 2) else { continue };
        let buffer = common::acquire(&pool);
        let Some(mut output) = open("videobalance brightness=0.5 ! fakesink", &buffer) else { return };
        output.send(numbered(buffer.clone(), 7), None).unwrap();
        output.finish().unwrap();
        check(&buffer, 7);
    }
}

/// What is kept is dropped when the pipeline has let go, not before.
#[test]
fn memory_comes_back_when_nobody_has_it() {
    struct Tell(std::sync::mpsc::Sender<u64>, u64);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
    let pool = files(Fourcc::ABGR8888, Size::new(16, 16), 12);
    let first = common::acquire(&pool);
    // The last frame stays in the sink, as its `last-sample`, until the stream ends.
    let Some(mut output) = open("videoflip method=none ! fakesink enable-last-sample=true", &first) else { return };
    drop(first);
    let (tell, told) = std::sync::mpsc::channel();
    for number in 0..10 {
        let frame = numbered(common::acquire(&pool), number);
        output.send(frame, Some(Box::new(Tell(tell.clone(), number)))).unwrap();
    }
    let mut before = Vec::new();
    eventually("the first nine", || {
        before.extend(told.try_iter());
        before.len() == 9
    });
    assert!(!before.contains(&9), "{before:?}");
    assert_eq!((output.held(), output.notes()), (1, Vec::new()));
    output.finish().unwrap();
    drop(output);
    let after: Vec<u64> = told.try_iter().collect();
    assert_eq!(after, [9]);
}

/// No fd is left, however often, also where it fails half-way.
#[test]
fn no_fd_is_left() {
    let folder = Folder::new("gst-fds");
    let round = |index: usize| {
        let path = folder.0.join("a.raw");
        let pool = files(Fourcc::NV12, Size::new(66, 34), 6);
        send(&pool, &format!("queue ! filesink location={}", shown(&path)), 5).unwrap();
        let text = format!("filesrc location={} ! rawvideoparse format=nv12 width=66 height=34 ! queue", shown(&path));
        let mut input = take(&text).unwrap();
        // Half of them are left.
        for _ in 0..(index % 3) + 1 {
            next(&mut input).unwrap();
        }
        drop(input);
        let failed =
            input::Input::open(input::Options::new("filesrc location=/nowhere/a ! decodebin"), &AtomicBool::new(false));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotFound);
        let first = common::acquire(&pool);
        let failed =
            output::Output::open(output::Options::new("filesink location=/nowhere/a"), std::slice::from_ref(&first));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotFound);
    };
    // What is loaded once stays.
    (0..2).for_each(round);
    let before = common::open_fds();
    (0..6).for_each(round);
    // Other tests run beside this one: theirs come and go.
    eventually("fds are left", || common::open_fds() <= before);
}

fn lossless() -> server::Options {
    server::Options { when_full: WhenFull::Wait, patience: LONG, ..server::Options::default() }
}

/// Dma-bufs of another process's, through `unixfdsrc`: the memory itself comes out.
#[test]
fn dma_bufs_come_in_as_they_are() {
    let folder = Folder::new("gst-dma-in");
    for fourcc in [Fourcc::ABGR8888, Fourcc::NV12, Fourcc::YUV420] {
        let size = Size::new(98, 62);
        let Some(pool) = dma_bufs(fourcc, size) else { return };
        let socket = folder.0.join(format!("{fourcc}.sock"));
        let address: Address = shown(&socket).parse().unwrap();
        let server = Server::bind(&address, lossless()).unwrap();
        let producer = std::thread::spawn(move || {
            server.wait_for_clients(1, LONG).unwrap();
            let mut ids = Vec::new();
            for number in 0..30 {
                let buffer = common::acquire(&pool);
                ids.extend(buffer.ids());
                server.send(numbered(buffer, number)).unwrap();
            }
            server.finish(LONG);
            ids
        });
        let Some(mut input) = take(&format!("unixfdsrc socket-path={}", shown(&socket))) else { return };
        assert!(input.lends(), "{fourcc}: {:?}", input.caps());
        let mut seen = Vec::new();
        let mut number = 0;
        while let Some(received) = next(&mut input) {
            let (frame, lease) = input.lend(received).unwrap();
            assert_eq!(frame.buffer.layout().planes()[0].stride_bytes % 64, 0);
            check(&frame.buffer, number);
            seen.extend(frame.buffer.ids());
            drop(lease);
            number += 1;
        }
        assert_eq!(number, 30);
        let ids = producer.join().unwrap();
        assert!(seen.iter().all(|id| ids.contains(id)), "another memory than the producer's");
    }
}

/// Our dma-bufs through `unixfdsink`: the same memory arrives, under both kinds of caps.
#[test]
fn dma_bufs_go_out_as_they_are() {
    let folder = Folder::new("gst-dma-out");
    for (index, fourcc) in [Fourcc::ABGR8888, Fourcc::NV12, Fourcc::YUV420].into_iter().enumerate() {
        // Under plain caps `unixfdsink` does not say that it obeys strides: there are none to obey.
        let cases =
            [("", Size::new(128, 64)), ("capsfilter caps=\"video/x-raw(memory:DMABuf)\" ! ", Size::new(98, 62))];
        for (filter, size) in cases {
            let Some(pool) = dma_bufs(fourcc, size) else { return };
            let socket = folder.0.join(format!("{index}-{}.sock", filter.len()));
            let text = format!("{filter}unixfdsink socket-path={} sync=false", shown(&socket));
            let first = common::acquire(&pool);
            let Some(mut output) = open(&text, &first) else { return };
            drop(first);
            output.require_zero_copy().unwrap();
            assert_eq!(output.caps().contains("DMA_DRM"), !filter.is_empty(), "{}", output.caps());
            let address: Address = shown(&socket).parse().unwrap();
            let mut client = Client::connect(&address, client::Options::default()).unwrap();
            let mut ids = Vec::new();
            // Frames from before it knew of us are not ours.
            let mut received = Vec::new();
            for number in 0..20 {
                let buffer = common::acquire(&pool);
                ids.extend(buffer.ids());
                output.send(numbered(buffer, number), None).unwrap();
                while let client::Event::Frame(got) = client.next(Some(Duration::from_millis(50))).unwrap() {
                    check(&got.frame.buffer, got.frame.sequence);
                    assert!(got.shared && got.frame.buffer.ids().all(|id| ids.contains(&id)));
                    assert!(got.pts_ns.is_some());
                    received.push(got.frame.sequence);
                }
            }
            output.finish().unwrap();
            assert!(received.len() >= 15 && received.is_sorted(), "{received:?}");
        }
    }
}

fn dma_bufs(fourcc: Fourcc, size: Size) -> Option<Pool> {
    let kinds = [AllocatorKind::Udmabuf, AllocatorKind::DmaHeap, AllocatorKind::Dumb];
    kinds.into_iter().find_map(|kind| pool(kind, fourcc, size, 64, 8))
}
