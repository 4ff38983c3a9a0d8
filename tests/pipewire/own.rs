//! Our own ends: what is announced, every frame in order, nobody there, somebody slow, a daemon that is killed.

use darkframe::error::ErrorKind;
use darkframe::share::pipewire::{Input, Output};
use darkframe::share::unixfd::server::WhenFull;

use super::*;
use crate::daemon;

fn open(daemon: &Daemon, name: &str, circle: &Circle, when_full: WhenFull) -> Output {
    let options = output::Options {
        remote: daemon.remote(),
        rate: Some((25, 1)),
        when_full,
        patience: LONG,
        ..output::Options::new(name)
    };
    Output::open(options, circle.memories.clone()).unwrap()
}

fn take(daemon: &Daemon, name: &str) -> Input {
    Input::open(input::Options { remote: daemon.remote(), ..input::Options::new(name) }).unwrap()
}

/// `pw-dump` shows the node, its class, and the format with its size and rate.
#[test]
fn the_node_is_announced_with_its_formats() {
    let Some(daemon) = Daemon::start("announced") else { return };
    for (name, fourcc, spa) in [("df.rgba", Fourcc::ABGR8888, "RGBA"), ("df.nv12", Fourcc::NV12, "NV12")] {
        let circle = Circle::files(fourcc, Size::new(64, 48), 3);
        let _output = open(&daemon, name, &circle, WhenFull::Wait);
        let mut node = serde_json::Value::Null;
        eventually("the node", || {
            node = daemon.node(name).unwrap_or_default();
            !node["info"]["params"]["EnumFormat"].is_null()
        });
        assert_eq!(node["info"]["props"]["media.class"], "Video/Source", "{node:#}");
        let formats = node["info"]["params"]["EnumFormat"].as_array().unwrap();
        assert_eq!(formats.len(), 1, "memory files have no modifier: {formats:#?}");
        let format = &formats[0];
        assert_eq!(format["mediaType"], "video");
        assert_eq!(format["mediaSubtype"], "raw");
        assert_eq!(format["format"], spa);
        assert_eq!((&format["size"]["width"], &format["size"]["height"]), (&64.into(), &48.into()));
        assert_eq!((&format["framerate"]["num"], &format["framerate"]["denom"]), (&25.into(), &1.into()));
    }
}

/// Every frame arrives once, in order, whole, in the producer's own memory; rows with padding are copied into rows without.
#[test]
fn every_frame_arrives_in_order() {
    let Some(daemon) = Daemon::start("order") else { return };
    for (fourcc, size, align) in [
        (Fourcc::ABGR8888, Size::new(64, 48), 4),
        (Fourcc::ABGR8888, Size::new(33, 7), 256),
        (Fourcc::NV12, Size::new(66, 38), 4),
        (Fourcc::YUV420, Size::new(66, 38), 64),
        (Fourcc::R8, Size::new(31, 9), 4),
    ] {
        let name = format!("df.{fourcc}-{align}");
        let circle = Circle::new(AllocatorKind::Memfd, fourcc, size, MEMORIES, align).unwrap();
        let output = open(&daemon, &name, &circle, WhenFull::Wait);
        let mut input = take(&daemon, "df.taker");
        daemon.link(&name, "df.taker");
        let picture = input.wait_for_picture(LONG).unwrap().unwrap();
        assert_eq!((picture.fourcc, picture.size, picture.rate), (fourcc, size, Some((25, 1))));
        let first = meet(&circle, &output, &mut input, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in first..first + 200 {
                    assert!(circle.send(&output, number));
                }
            });
            for number in first..first + 200 {
                let received = next(&mut input);
                assert_eq!(received.frame.sequence, number);
                assert_eq!(received.frame.timestamp_ns % 40_000_000, 0);
                assert!(received.shared);
                check(&received.frame.buffer, number);
            }
        });
        let status = output.status();
        assert_eq!((status.sent, status.dropped, status.shares_dma_bufs), (first + 200, 0, false), "{status:?}");
        output.finish(LONG);
        assert_eq!(circle.count_free(), MEMORIES, "memory that did not come back");
    }
}

/// Nobody is linked: nothing waits, nothing is kept.
#[test]
fn a_node_without_a_consumer_blocks_nobody() {
    let Some(daemon) = Daemon::start("alone") else { return };
    let circle = Circle::files(Fourcc::ABGR8888, Size::new(16, 16), 3);
    let output = open(&daemon, "df.alone", &circle, WhenFull::Wait);
    for number in 0..50 {
        assert!(!circle.send(&output, number));
    }
    assert_eq!(output.status().dropped, 50);
    assert_eq!(circle.count_free(), 3);
    let error = output.wait_for_consumer(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// A consumer that holds frames: with `block` the producer waits for it, with `drop-newest` it does not, with `drop-oldest`
/// the newest frame comes when there is room.
#[test]
fn a_slow_consumer_gets_what_the_rule_says() {
    let Some(daemon) = Daemon::start("slow") else { return };
    for when_full in [WhenFull::Wait, WhenFull::DropNewest, WhenFull::DropOldest] {
        let name = format!("df.{when_full:?}");
        let circle = Circle::files(Fourcc::ABGR8888, Size::new(16, 16), MEMORIES);
        let options = output::Options { remote: daemon.remote(), when_full, ..output::Options::new(&name) };
        let patience = Duration::from_millis(200);
        let output = Output::open(output::Options { patience, ..options }, circle.memories.clone()).unwrap();
        let mut input = take(&daemon, "df.slow");
        daemon.link(&name, "df.slow");
        let first = meet(&circle, &output, &mut input, 0);
        // What was given back comes back with a cycle: there is room for four before long, and not for five.
        let held: Vec<_> = (first..first + 4)
            .map(|number| {
                eventually("room", || circle.send(&output, number));
                let received = next(&mut input);
                assert_eq!(received.frame.sequence, number);
                received
            })
            .collect();
        let dropped = output.status().dropped;
        // Nothing comes back: the fifth finds no room.
        let taken = circle.send(&output, first + 4);
        assert_eq!(taken, when_full == WhenFull::DropOldest, "{when_full:?}");
        assert_eq!(circle.send(&output, first + 5), when_full == WhenFull::DropOldest);
        assert_eq!(output.status().dropped - dropped, if when_full == WhenFull::DropOldest { 1 } else { 2 });
        for (number, received) in held.iter().enumerate() {
            check(&received.frame.buffer, first + number as u64);
        }
        drop(held);
        // Everything goes on once something has come back.
        let expected = match when_full {
            WhenFull::DropOldest => first + 5,
            _ => {
                eventually("room", || circle.send(&output, first + 6));
                first + 6
            }
        };
        let received = next(&mut input);
        check(&received.frame.buffer, expected);
        drop((received, input));
        // Whoever goes away gives back everything.
        eventually("everything comes back", || circle.count_free() == MEMORIES);
    }
}

/// Consumers that come and go.
#[test]
fn consumers_come_and_go() {
    let Some(daemon) = Daemon::start("come-and-go") else { return };
    let circle = Circle::files(Fourcc::ABGR8888, Size::new(32, 16), MEMORIES);
    let output = open(&daemon, "df.out", &circle, WhenFull::Wait);
    let mut number = 0;
    for round in 0..5 {
        let name = format!("df.in{round}");
        let mut input = take(&daemon, &name);
        daemon.link("df.out", &name);
        number = meet(&circle, &output, &mut input, number);
        let first = number;
        for _ in 0..10 {
            assert!(circle.send(&output, number));
            let received = next(&mut input);
            assert_eq!(received.frame.sequence, number);
            check(&received.frame.buffer, number);
            number += 1;
        }
        assert_eq!(number, first + 10);
        drop(input);
        eventually("the node notices", || !output.status().streaming);
        eventually("everything comes back", || circle.count_free() == MEMORIES);
    }
}

/// Two consumers at one time: once both are there, both get every frame, and memory is free when both have given it back.
#[test]
fn two_consumers_get_every_frame() {
    let Some(daemon) = Daemon::start("two") else { return };
    let circle = Circle::files(Fourcc::ABGR8888, Size::new(32, 16), MEMORIES);
    let output = open(&daemon, "df.out", &circle, WhenFull::Wait);
    let mut first = take(&daemon, "df.first");
    daemon.link("df.out", "df.first");
    let mut number = meet(&circle, &output, &mut first, 0);
    let mut second = take(&daemon, "df.second");
    daemon.link("df.out", "df.second");
    // The second one comes when it likes; the first one misses nothing meanwhile.
    let since = Instant::now();
    loop {
        assert!(circle.send(&output, number));
        assert_eq!(next(&mut first).frame.sequence, number);
        number += 1;
        if let input::Event::Frame(received) = second.next(Duration::from_millis(50)).unwrap() {
            assert_eq!(received.frame.sequence, number - 1);
            break;
        }
        assert!(since.elapsed() < LONG, "no frame arrives");
    }
    for _ in 0..100 {
        assert!(circle.send(&output, number));
        let (one, other) = (next(&mut first), next(&mut second));
        assert_eq!((one.frame.sequence, other.frame.sequence), (number, number));
        check(&one.frame.buffer, number);
        // Whoever is late reads what it was.
        drop(one);
        assert!(circle.send(&output, number + 1));
        assert_eq!(next(&mut first).frame.sequence, number + 1);
        check(&other.frame.buffer, number);
        drop(other);
        assert_eq!(next(&mut second).frame.sequence, number + 1);
        number += 2;
    }
    drop((first, second));
    eventually("everything comes back", || circle.count_free() == MEMORIES);
}

/// A producer that goes away is an end, not an error and not a hang; what was received stays valid.
#[test]
fn a_producer_that_goes_away_is_an_end() {
    let Some(daemon) = Daemon::start("end") else { return };
    let circle = Circle::files(Fourcc::ABGR8888, Size::new(32, 16), MEMORIES);
    let output = open(&daemon, "df.out", &circle, WhenFull::Wait);
    let mut input = take(&daemon, "df.in");
    daemon.link("df.out", "df.in");
    let number = meet(&circle, &output, &mut input, 0);
    circle.send(&output, number);
    let received = next(&mut input);
    drop(output);
    assert!(matches!(input.next(LONG).unwrap(), input::Event::End));
    check(&received.frame.buffer, number);
}

/// The daemon is killed in the middle: both ends say so, nothing hangs, and nothing is left open.
#[test]
fn a_killed_daemon_is_an_error_that_says_so() {
    let _alone = daemon::alone();
    let round = |name: &str| {
        let Some(mut daemon) = Daemon::start_alone(name) else { return false };
        let circle = Circle::files(Fourcc::ABGR8888, Size::new(32, 16), MEMORIES);
        let output = open(&daemon, "df.out", &circle, WhenFull::Wait);
        let mut input = take(&daemon, "df.in");
        daemon.link("df.out", "df.in");
        let number = meet(&circle, &output, &mut input, 0);
        circle.send(&output, number);
        let received = next(&mut input);
        daemon.kill();
        let frame = || Frame::new(circle.memories[7].clone(), None);
        let mut error = None;
        eventually("the producer hears of it", || {
            error = output.send(frame(), None).err();
            error.is_some()
        });
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::PeerClosed, "{error}");
        assert!(error.to_string().contains(&format!("went away after {} frames", number + 1)), "{error}");
        let mut error = None;
        eventually("the consumer hears of it", || {
            error = input.next(Duration::from_millis(10)).err();
            error.is_some()
        });
        assert_eq!(error.unwrap().kind(), ErrorKind::PeerClosed);
        check(&received.frame.buffer, number);
        drop((received, input, output));
        assert_eq!(circle.count_free(), MEMORIES);
        true
    };
    if !round("killed-0") {
        return;
    }
    let before = common::open_fds();
    for index in 1..6 {
        round(&format!("killed-{index}"));
    }
    assert!(common::open_fds() <= before, "{} fds for {before}", common::open_fds());
}

/// Memory of another kind than was announced, and frames in memory that the node does not know, are errors with words.
#[test]
fn wrong_memory_is_refused() {
    let Some(daemon) = Daemon::start("wrong") else { return };
    let circle = Circle::files(Fourcc::ABGR8888, Size::new(32, 16), 2);
    let other = Circle::files(Fourcc::ABGR8888, Size::new(16, 16), 1);
    let memories = [circle.memories.clone(), other.memories.clone()].concat();
    let options = || output::Options { remote: daemon.remote(), ..output::Options::new("df.out") };
    assert!(Output::open(options(), memories).is_err());
    assert!(Output::open(options(), Vec::new()).is_err());
    let output = Output::open(options(), circle.memories.clone()).unwrap();
    let mut input = take(&daemon, "df.in");
    daemon.link("df.out", "df.in");
    output.wait_for_consumer(LONG).unwrap();
    let stranger = Circle::files(Fourcc::ABGR8888, Size::new(32, 16), 1);
    let mut sent = output.send(Frame::new(stranger.memories[0].clone(), None), None);
    eventually("an error", || {
        sent = output.send(Frame::new(circle.memories[0].clone(), None), None);
        sent.is_err()
    });
    assert!(sent.unwrap_err().to_string().contains("was not made with"));
    // Frames that were sent before may have arrived.
    let mut event = input.next(LONG).unwrap();
    while let input::Event::Frame(_) = event {
        event = input.next(LONG).unwrap();
    }
    assert!(matches!(event, input::Event::End), "{event:?}");
    let error = Input::open(input::Options { remote: Some("/nowhere/pipewire-0".into()), ..input::Options::new("x") });
    let error = error.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("/nowhere/pipewire-0"), "{error}");
}

/// dma-bufs travel as they are, with their modifier and, where there is a node with timelines, with fences as points.
#[test]
fn dma_bufs_travel_with_their_modifier() {
    let Some(daemon) = Daemon::start("dma-buf") else { return };
    let Some((kind, circle)) = dma_bufs(Fourcc::ABGR8888) else { return };
    for with_timelines in [false, true] {
        let timelines = darkframe::fence::Timeline::find_node().filter(|_| with_timelines);
        if with_timelines && timelines.is_none() {
            common::skip("timelines", "no render node has timelines");
            continue;
        }
        let options = output::Options {
            remote: daemon.remote(),
            when_full: WhenFull::Wait,
            timelines: timelines.clone(),
            ..output::Options::new("df.dma")
        };
        let output = Output::open(options, circle.memories.clone()).unwrap();
        let mut input = Input::open(input::Options {
            remote: daemon.remote(),
            timelines: timelines.clone(),
            ..input::Options::new("df.taker")
        })
        .unwrap();
        daemon.link("df.dma", "df.taker");
        let first = meet(&circle, &output, &mut input, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in first..first + 100 {
                    assert!(circle.send(&output, number));
                }
            });
            for number in first..first + 100 {
                let received = next(&mut input);
                assert_eq!(received.frame.sequence, number);
                assert_eq!(received.frame.buffer.memory(), darkframe::buffer::Memory::DmaBuf, "{kind}");
                let id = received.frame.buffer.ids().next();
                assert!(circle.memories.iter().any(|own| own.ids().next() == id), "the producer's own memory");
                if let Some(fence) = &received.frame.fence {
                    fence.wait(Some(LONG)).unwrap();
                }
                assert_eq!(received.frame.fence.is_some(), timelines.is_some());
                check(&received.frame.buffer, number);
            }
        });
        let status = output.status();
        assert_eq!((status.sent, status.shares_dma_bufs, status.timelines), (first + 100, true, timelines.is_some()));
        output.finish(LONG);
        assert_eq!(circle.count_free(), MEMORIES);
    }
}
