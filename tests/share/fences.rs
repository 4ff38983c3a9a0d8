//! Fences that a test signals when it likes (sw_sync), between processes: sync_files one by one, points of timelines, and
//! what is done for peers that take neither. Pixels change under a fence, so that whoever does not wait sees the wrong ones.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use common::sw_sync;
use darkframe::device::DrmNode;
use darkframe::fence::{Fence, Timeline};
use darkframe::share::unixfd::wire::{Hello, Message};

use super::*;

const FRAMES: u64 = 20;
const SIZE: Size = Size::new(33, 7);
/// How long a late reader reads on: a producer that did not wait would write the next frame in the meantime.
const READING: Duration = Duration::from_millis(30);

fn node() -> Option<DrmNode> {
    let node = Timeline::find_node();
    if node.is_none() {
        common::skip("gpu", "no DRM node with timelines");
    }
    node
}

fn dma_buf_pool(limit: usize) -> Option<Pool> {
    let device = Device::open(&Board::generic()).unwrap();
    let request = Request::new(SIZE, Fourcc::ABGR8888).usage(Usage::CPU_READ | Usage::CPU_WRITE).require_dma_buf();
    let first = common::or_skip("dma-buf", device.allocate(&request))?;
    // Before Linux 6.0 memory carries no fence of ours.
    let _idle = common::or_skip("dma-buf", first.export_fence(Access::Read))?;
    Some(Pool::new(&device, request, limit))
}

/// A frame that is wrong until `paint` has been called and its fence has signaled.
struct Late<'a> {
    map: darkframe::buffer::Map<'a>,
    number: u64,
}

impl<'a> Late<'a> {
    fn new(buffer: &'a Buffer, number: u64) -> Self {
        fill(buffer, number + 1000);
        Self { map: buffer.map(Access::Write).unwrap(), number }
    }

    fn paint(mut self, buffer: &Buffer) {
        let stride = buffer.layout().planes()[0].stride_bytes as usize;
        let row_bytes = buffer.layout().row_bytes(0) as usize;
        for (row, bytes) in self.map.plane_mut(0).chunks_mut(stride).enumerate() {
            for (column, pixel) in bytes.iter_mut().take(row_bytes).enumerate() {
                *pixel = byte(self.number, 0, row as u32, column);
            }
        }
    }
}

/// What the consumer's process says next; the rest of its output is the test runner's.
fn said(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    loop {
        let line = lines.next().expect("the consumer has ended").unwrap();
        if let Some((_, text)) = line.split_once("consumer: ") {
            return text.to_owned();
        }
    }
}

/// The consumer: takes frames, says whether they were ready, and reads on after it gave them back, behind a fence.
pub fn consumer(address: &Address, how: &str) {
    let options = client::Options {
        extension: how != "plain",
        timelines: Timeline::find_node().filter(|_| how == "timelines"),
        ..client::Options::default()
    };
    let mut client = Client::connect(address, options).unwrap();
    let Some(clock) = sw_sync::Timeline::open() else { return };
    let mut at = 0;
    while let Event::Frame(received) = client.next(Some(LONG)).unwrap() {
        let number = received.frame.sequence;
        let buffer = received.frame.buffer.clone();
        let fence = match &received.frame.fence {
            Some(fence) => fence.try_clone().unwrap(),
            None => buffer.export_fence(Access::Read).unwrap(),
        };
        let (explicit, timelines) = (received.frame.fence.is_some(), client.has_timelines());
        println!(
            "\nconsumer: {number} explicit {explicit} timelines {timelines} ready {}",
            fence.is_signaled().unwrap()
        );
        // Of memory that carries fences the CPU's access waits by itself.
        if explicit {
            fence.wait(Some(LONG)).unwrap();
        }
        check(&buffer, number);
        at += 1;
        received.lease.until(clock.fence(at));
        drop(received);
        std::thread::sleep(READING);
        check(&buffer, number);
        println!("\nconsumer: {number} read");
        clock.increment(1);
    }
    println!("\nconsumer: {at} in all");
}

fn late_frames(how: &str, pool: &Pool, node: Option<DrmNode>) {
    let Some(clock) = sw_sync::Timeline::open() else { return };
    let (path, address) = socket(&format!("fences-{how}"));
    let server = Server::bind(&address, server::Options { timelines: node, ..lossless() }).unwrap();
    let mut child = start(&format!("fences-{how}"), &path);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    server.wait_for_clients(1, LONG).unwrap();
    let explicit = how != "plain";
    eventually("hello", || server.clients()[0].extended == explicit);
    assert_eq!(server.clients()[0].timelines, how == "timelines");
    for number in 0..FRAMES {
        // One buffer in all, which is written wrongly as soon as it may be written: the consumer reads until then.
        let buffer = acquire(pool);
        let late = Late::new(&buffer, number);
        if number > 0 {
            assert_eq!(said(&mut lines), format!("{} read", number - 1));
        }
        let fence = clock.fence(number as u32 + 1);
        let frame = Frame { sequence: number, ..Frame::new(buffer.clone(), Some(fence)) };
        assert_eq!(server.send(frame).unwrap().clients, 1, "{:?}", server.departures());
        let text = said(&mut lines);
        let timelines = how == "timelines";
        assert_eq!(text, format!("{number} explicit {explicit} timelines {timelines} ready false"));
        late.paint(&buffer);
        drop(buffer);
        clock.increment(1);
    }
    assert_eq!(said(&mut lines), format!("{} read", FRAMES - 1));
    assert!(server.finish(LONG), "everything came back");
    assert_eq!(said(&mut lines), format!("{FRAMES} in all"));
    // Closed, its output would be an error of its own.
    lines.for_each(drop);
    succeeds(child);
}

/// Memory that carries no fences: only what the messages say can be waited for.
#[test]
fn sync_files_travel_both_ways() {
    let _alone = alone();
    late_frames("sync-files", &pool(Fourcc::ABGR8888, SIZE, 1), None);
}

/// The same as points of two timelines.
#[test]
fn points_travel_both_ways() {
    let _alone = alone();
    let Some(node) = node() else { return };
    late_frames("timelines", &pool(Fourcc::ABGR8888, SIZE, 1), Some(node));
}

/// A stock peer takes no fences: they are attached to the dma-buf, where its reading and our writing find them.
#[test]
fn dma_bufs_carry_fences_for_stock_peers() {
    let _alone = alone();
    let Some(pool) = dma_buf_pool(1) else { return };
    late_frames("plain", &pool, None);
}

/// Memory that cannot carry a fence, and a stock peer: sending waits, and so does giving back.
#[test]
fn who_takes_no_fence_gets_a_finished_frame() {
    let _alone = alone();
    let Some(clock) = sw_sync::Timeline::open() else { return };
    let (_, address) = socket("waits");
    let server = Server::bind(&address, lossless()).unwrap();
    let options = client::Options { extension: false, ..client::Options::default() };
    let mut client = Client::connect(&address, options).unwrap();
    server.wait_for_clients(1, LONG).unwrap();
    let pool = pool(Fourcc::ABGR8888, SIZE, 1);
    let buffer = acquire(&pool);
    let late = Late::new(&buffer, 7);
    let fence = clock.fence(1);
    let painted = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let frame = Frame { sequence: 7, ..Frame::new(buffer.clone(), Some(fence)) };
            server.send(frame).unwrap();
            Instant::now()
        });
        assert!(matches!(client.next(Some(READING)).unwrap(), Event::Nothing), "sent before it was ready");
        late.paint(&buffer);
        let painted = Instant::now();
        clock.increment(1);
        assert!(sending.join().unwrap() >= painted);
        painted
    });
    drop(buffer);
    let received = next(&mut client);
    assert!(received.frame.fence.is_none());
    check(&received.frame.buffer, 7);
    // Given back behind a fence: the client waits, since the server would not know.
    received.lease.until(clock.fence(2));
    let when = clock.increment_later();
    drop(received);
    assert!(Instant::now() >= when.recv().unwrap() && painted < Instant::now());
    drop(acquire(&pool));
}

/// Reads one message and the fds that came with it.
fn message(socket: &UnixStream) -> (Message, Vec<OwnedFd>) {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut header = [0; 8];
    let got = recvmsg(socket, &mut [std::io::IoSliceMut::new(&mut header)], &mut control, RecvFlags::CMSG_CLOEXEC);
    assert_eq!(got.unwrap().bytes, 8);
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds = fds.flatten().collect();
    let [kind, bytes] = [&header[..4], &header[4..]].map(|four| u32::from_ne_bytes(four.try_into().unwrap()));
    let mut payload = vec![0; bytes as usize];
    (&*socket).read_exact(&mut payload).unwrap();
    (Message::parse(kind, &payload).unwrap(), fds)
}

/// The commands themselves, from a client written out by hand; and points that a client should not name.
#[test]
fn points_on_the_wire() {
    let _alone = alone();
    let (Some(node), Some(clock)) = (node(), sw_sync::Timeline::open()) else { return };
    let (path, address) = socket("points");
    let options = server::Options { timelines: Some(node.clone()), max_in_flight: 3, ..lossless() };
    let server = Server::bind(&address, options).unwrap();
    let pool = pool(Fourcc::ABGR8888, SIZE, 4);
    let hello = |timelines| {
        Message::Hello(Hello { version: 1, fences: true, metadata: false, timelines, stream: String::new() }).encode()
    };
    let connect = |timelines| {
        let socket = UnixStream::connect(&path).unwrap();
        hostile::send(&socket, &hello(timelines), &[]);
        // Whoever comes late gets the caps first.
        let answer = [0, 1].into_iter().find_map(|_| match message(&socket).0 {
            Message::Hello(answer) => Some(answer),
            _ => None,
        });
        assert_eq!(answer.unwrap().timelines, timelines);
        socket
    };
    let ready = || Some(clock.fence(0));
    let send = |number, fence: Option<Fence>| {
        server.send(Frame { sequence: number, ..Frame::new(acquire(&pool), fence) }).unwrap();
    };
    let fds = common::open_fds();
    {
        let socket = connect(true);
        let (Message::Timelines, timelines) = message(&socket) else { panic!("no TIMELINES") };
        let [acquire, release] = [0, 1].map(|index: usize| Timeline::import(&node, &timelines[index]).unwrap());
        send(0, Some(clock.fence(1)));
        assert!(matches!(message(&socket).0, Message::Caps(Some(_))));
        let (Message::AcquirePoint { id, point: 1 }, fds) = message(&socket) else { panic!("no ACQUIRE_POINT 1") };
        assert!(fds.is_empty());
        assert!(matches!(message(&socket).0, Message::NewBuffer(buffer) if buffer.id == id));
        assert!(acquire.wait(1, READING).is_err(), "nothing has signaled");
        clock.increment(1);
        acquire.wait(1, LONG).unwrap();
        // Given back behind a point.
        release.set(4, &clock.fence(2)).unwrap();
        hostile::send(&socket, &Message::ReleasePoint { id, point: 4 }.encode(), &[]);
        hostile::send(&socket, &Message::Release { id }.encode(), &[]);
        std::thread::sleep(READING);
        assert_eq!(server.clients()[0].in_flight, 1, "the fence has not signaled");
        clock.increment(1);
        eventually("given back", || server.clients()[0].in_flight == 0);
        // A point that nobody has set.
        send(1, ready());
        let (Message::AcquirePoint { id, point: 2 }, _) = message(&socket) else { panic!("no ACQUIRE_POINT 2") };
        hostile::send(&socket, &Message::ReleasePoint { id, point: 9 }.encode(), &[]);
        eventually("let go", || server.clients().is_empty());
        let reason = server.departures().remove(0).reason.to_string();
        assert!(reason.contains("RELEASE_POINT") && reason.contains("nobody has set point 9"), "{reason}");
        // Points without timelines.
        let socket = connect(false);
        send(2, ready());
        let (Message::AcquireFence { id }, fds) = message(&socket) else { panic!("no ACQUIRE_FENCE") };
        assert_eq!(fds.len(), 1);
        hostile::send(&socket, &Message::ReleasePoint { id, point: 1 }.encode(), &[]);
        eventually("let go", || server.clients().is_empty());
        let reason = server.departures().remove(0).reason.to_string();
        assert!(reason.contains("this client has no timeline"), "{reason}");
    }
    // Each buffer that went out has an fd that only reads.
    assert!(common::open_fds() <= fds + 8, "{fds} fds before, {} now", common::open_fds());

    // A server that sends what nobody asked for, or no sync objects.
    let file = std::fs::File::open("/dev/null").unwrap();
    let refuse = |timelines: Option<DrmNode>, messages: &[Message], words: &str| {
        let (server, client) = UnixStream::pair().unwrap();
        let mut client =
            Client::from_socket(client.into(), client::Options { timelines, ..Default::default() }).unwrap();
        hostile::send(&server, &hello(true), &[]);
        for message in messages {
            let fds = vec![std::os::fd::AsFd::as_fd(&file); message.fds().unwrap()];
            hostile::send(&server, &message.encode(), &fds);
        }
        let error = client.next(Some(LONG)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(words), "expected \"{words}\": {error}");
    };
    refuse(None, &[Message::Timelines], "nobody asked for them");
    refuse(Some(node.clone()), &[Message::Timelines], "the fd is no sync object");
    refuse(Some(node), &[Message::AcquirePoint { id: 1, point: 1 }], "before TIMELINES");
}
