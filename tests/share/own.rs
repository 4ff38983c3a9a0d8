//! Our server and our clients: every frame, rights, lifetimes.

use std::io::BufRead;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use darkframe::error::ErrorKind;
use darkframe::share::metadata::{Metadata, Value};
use darkframe::share::unixfd::address::Allow;
use darkframe::share::unixfd::server::Outgoing;

use super::*;

/// 10,000 numbered frames to two processes: none lost, none torn, no fd more at the end, and eight buffers in all.
#[test]
fn ten_thousand_frames_to_two_processes() {
    let _alone = alone();
    let (path, address) = socket("own");
    let server = Server::bind(&address, lossless()).unwrap();
    let consumers = [start("consumer", &path), start("consumer", &path)];
    server.wait_for_clients(2, LONG).unwrap();
    let pool = pool(Fourcc::NV12, Size::new(30, 14), 8);
    let mut fds = 0;
    for number in 0..10_000 {
        let sent = server.send(numbered(acquire(&pool), number)).unwrap();
        assert_eq!((sent.clients, sent.dropped), (2, 0), "{:?}", server.departures());
        if number == 100 {
            fds = common::open_fds();
        }
    }
    assert!(pool.len() <= 8);
    assert!(common::open_fds() <= fds + 8, "{} fds after frame 100, {} at the end", fds, common::open_fds());
    assert!(server.finish(LONG), "a client did not release everything");
    for consumer in consumers {
        assert!(succeeds(consumer).contains("took 10000"));
    }
    assert!(!path.exists());
}

/// The same memory is the same Buffer; frames may be released in any order, each exactly once; memory is free only then.
#[test]
fn releases_in_any_order() {
    let _alone = alone();
    let (_, address) = socket("order");
    let server = Server::bind(&address, server::Options { max_in_flight: 3, ..lossless() }).unwrap();
    let mut client = Client::connect(&address, client::Options::default()).unwrap();
    server.wait_for_clients(1, LONG).unwrap();
    let pool = pool(Fourcc::ABGR8888, Size::new(5, 3), 3);
    let mut held = Vec::new();
    for number in 0..3 {
        server.send(numbered(acquire(&pool), number)).unwrap();
        held.push(next(&mut client));
    }
    assert!(pool.acquire().unwrap().is_none(), "every buffer is held by the client");
    let ids: Vec<_> = held.iter().map(|received| received.frame.buffer.ids().next().unwrap()).collect();
    let first = held.remove(0);
    let clone = first.lease.clone();
    drop(held.pop());
    let third = acquire(&pool);
    let inode =
        |fd: std::os::fd::BorrowedFd<'_>| std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap().ino();
    let expected = std::fs::metadata(format!("/proc/self/fd/{}", third.plane_fd(0).as_raw_fd())).unwrap().ino();
    server.send(numbered(third, 3)).unwrap();
    let again = next(&mut client);
    assert_eq!(inode(again.frame.buffer.plane_fd(0).as_fd()), expected);
    assert_eq!(again.frame.buffer.ids().next().unwrap(), ids[2], "the memory of frame 2 came again");
    check(&again.frame.buffer, 3);
    assert!(again.shared);
    drop(first);
    std::thread::sleep(Duration::from_millis(20));
    assert!(pool.acquire().unwrap().is_none(), "a clone of the lease is still held");
    drop(clone);
    drop(acquire(&pool));
    drop((held, again));
    eventually("all released", || server.clients()[0].in_flight == 0);
    assert!(server.departures().is_empty());
}

/// Memory whose fds come again is what it was the first time: one import, one mapping, one fd, through 300 frames; the fds
/// that came with later frames are closed.
#[test]
fn memory_that_comes_again_is_imported_once() {
    let _alone = alone();
    let (_, address) = socket("imports");
    let server = Server::bind(&address, server::Options { max_in_flight: 3, ..lossless() }).unwrap();
    let mut client = Client::connect(&address, client::Options::default()).unwrap();
    server.wait_for_clients(1, LONG).unwrap();
    let pool = pool(Fourcc::NV12, Size::new(30, 14), 3);
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let (mut known, mut held, mut before) = (Vec::new(), std::collections::VecDeque::new(), (0, 0));
    for number in 0..300 {
        server.send(numbered(acquire(&pool), number)).unwrap();
        let received = next(&mut client);
        check(&received.frame.buffer, number);
        let buffer = &received.frame.buffer;
        let id = buffer.ids().next().unwrap();
        let place = (buffer.map(Access::Read).unwrap().row(0, 0).as_ptr() as usize, buffer.plane_fd(0).as_raw_fd());
        match known.iter().find(|(known, _)| *known == id) {
            None => known.push((id, place)),
            Some((_, first)) => assert_eq!(*first, place, "frame {number}: imported again"),
        }
        // Two are held, so that all three go round.
        held.push_back(received);
        if held.len() > 2 {
            held.pop_front();
        }
        if number == 20 {
            before = (common::open_fds(), mappings());
        }
    }
    assert_eq!(known.len(), 3, "memories that were seen");
    // A frame that is being sent or received has two fds more.
    let after = (common::open_fds(), mappings());
    assert!(after.0 <= before.0 + 2 && after.1 <= before.1 + 2, "fds and mappings: {before:?} became {after:?}");
}

/// A client that comes late gets caps first, and frames from then on; colours, times and rates arrive.
#[test]
fn late_joiners_and_what_is_said_of_frames() {
    use darkframe::color::{Color, Range, Siting};
    let _alone = alone();
    let (_, address) = socket("late");
    let options = server::Options { rate: Some((25, 1)), stream: "camera é".into(), ..lossless() };
    let server = Server::bind(&address, options).unwrap();
    let pool = pool(Fourcc::NV12, Size::new(16, 8), 4);
    let color = Color { range: Range::Full, siting: Siting::Center, ..Color::HD };
    let frame = |number| Frame { color, ..numbered(acquire(&pool), number) };
    for number in 0..5 {
        assert_eq!(server.send(frame(number)).unwrap().clients, 0);
    }
    let mut client = Client::connect(&address, client::Options::default()).unwrap();
    assert!(client.wait_for_caps(Some(LONG)).unwrap());
    let caps = *client.caps().unwrap();
    assert_eq!((caps.fourcc, caps.size, caps.rate, caps.color), (Fourcc::NV12, Size::new(16, 8), Some((25, 1)), color));
    eventually("hello", || server.clients().iter().any(|client| client.extended));
    let mut metadata = Metadata::default();
    metadata.0.insert("exposure_us".into(), Value::Unsigned(8000));
    metadata.0.insert("lens".into(), Value::Text("wide".into()));
    server.send(Outgoing { metadata: metadata.clone(), ..frame(5).into() }).unwrap();
    let received = next(&mut client);
    assert_eq!((received.frame.sequence, received.frame.timestamp_ns), (5, 0));
    assert_eq!((received.frame.color, &received.metadata), (color, &metadata));
    assert_eq!(client.stream(), Some("camera é"));
    server.send(frame(6)).unwrap();
    let second = next(&mut client);
    assert_eq!((second.frame.sequence, second.frame.timestamp_ns), (6, 40_000_000));
    assert!(second.metadata.is_empty());
    // A client that says no hello gets neither, and its frames all the same.
    let mut plain = Client::connect(&address, client::Options { extension: false, ..Default::default() }).unwrap();
    server.wait_for_clients(2, LONG).unwrap();
    drop((received, second));
    server.send(Outgoing { metadata: Metadata::default(), ..frame(7).into() }).unwrap();
    let received = next(&mut plain);
    assert!(received.metadata.is_empty() && plain.stream().is_none());
    check(&received.frame.buffer, 7);
    // Another size: caps first, again.
    let larger = super::pool(Fourcc::NV12, Size::new(32, 8), 2);
    drop(next(&mut client));
    server.send(numbered(acquire(&larger), 8)).unwrap();
    assert_eq!(next(&mut client).frame.buffer.size(), Size::new(32, 8));
}

/// A reader that takes nothing does not keep frames from another; what it missed is counted.
#[test]
fn a_client_that_never_reads_harms_nobody() {
    let _alone = alone();
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let (_, address) = socket("slow");
        let server = Server::bind(&address, server::Options { when_full, ..server::Options::default() }).unwrap();
        let stuck = Client::connect(&address, client::Options::default()).unwrap();
        server.wait_for_clients(1, LONG).unwrap();
        let mut good = Client::connect(&address, client::Options::default()).unwrap();
        server.wait_for_clients(2, LONG).unwrap();
        let pool = pool(Fourcc::ABGR8888, Size::new(5, 3), 6);
        for number in 0..500 {
            server.send(numbered(acquire(&pool), number)).unwrap();
            let received = next(&mut good);
            assert_eq!(received.frame.sequence, number);
            check(&received.frame.buffer, number);
            drop(received);
            eventually("released", || server.clients().iter().any(|client| client.in_flight == 0));
        }
        let clients = server.clients();
        assert_eq!(clients.iter().map(|client| client.dropped).max(), Some(498), "{clients:?}");
        assert_eq!(clients.iter().map(|client| client.dropped).min(), Some(0));
        drop(stuck);
        eventually("gone", || server.clients().len() == 1);
        let departure = server.departures().remove(0);
        assert_eq!(departure.reason.kind(), ErrorKind::PeerClosed);
        // What it held is free again.
        let all: Vec<_> = (0..6).map(|_| acquire(&pool)).collect();
        assert_eq!(all.len(), 6);
    }
}

/// A producer that waits lets go of a client that never releases.
#[test]
fn patience_ends() {
    let _alone = alone();
    let (_, address) = socket("patience");
    let options = server::Options { patience: Duration::from_millis(50), max_in_flight: 1, ..lossless() };
    let server = Server::bind(&address, options).unwrap();
    let _stuck = Client::connect(&address, client::Options::default()).unwrap();
    server.wait_for_clients(1, LONG).unwrap();
    let pool = pool(Fourcc::R8, Size::new(5, 3), 2);
    assert_eq!(server.send(numbered(acquire(&pool), 0)).unwrap().clients, 1);
    assert_eq!(server.send(numbered(acquire(&pool), 1)).unwrap().clients, 0);
    let departure = server.departures().remove(0);
    assert_eq!(departure.reason.kind(), ErrorKind::Timeout);
    assert!(departure.reason.to_string().contains("released no frame for 50ms and holds 1"), "{}", departure.reason);
}

#[test]
fn paths_rights_and_stale_sockets() {
    let _alone = alone();
    let (path, address) = socket("rights");
    let server = Server::bind(&address, server::Options::default()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = Server::bind(&address, server::Options::default()).err().unwrap();
    assert!(error.to_string().contains("another process serves it"), "{error}");
    // What a killed process leaves: a socket that nobody listens on.
    drop(server);
    assert!(!path.exists(), "the socket is removed at the end");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let error = Client::connect(&address, client::Options::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nobody serves it"), "{error}");
    let server = Server::bind(&address, server::Options { mode: 0o660, group: Some(0), ..Default::default() });
    let server = match server {
        // Only root, or a member, may give a file to a group.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return common::skip("group", error),
        server => server.unwrap(),
    };
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // Another server took the name: ours does not remove its socket.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "a file").unwrap();
    drop(server);
    let error = Server::bind(&address, server::Options::default()).err().unwrap();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    std::fs::remove_file(&path).unwrap();
    let long = Address::Path(std::env::temp_dir().join("x".repeat(120)));
    let error = Server::bind(&long, server::Options::default()).err().unwrap();
    assert!(error.to_string().contains("107 bytes"), "{error}");
    for (text, word) in [("", "empty"), ("@", "empty")] {
        assert!(text.parse::<Address>().unwrap_err().to_string().contains(word));
    }
}

#[test]
fn allow_lists_and_abstract_names() {
    let _alone = alone();
    let name = format!("darkframe-test-{}", std::process::id());
    let address: Address = format!("@{name}").parse().unwrap();
    assert_eq!(address, Address::Abstract(name));
    let me = nix::unistd::geteuid().as_raw();
    let stranger = Allow::User(me.wrapping_add(1));
    let server = Server::bind(&address, server::Options { allow: vec![stranger], ..Default::default() }).unwrap();
    let mut client = Client::connect(&address, client::Options::default()).unwrap();
    let error = client.next(Some(LONG)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerClosed, "{error}");
    eventually("turned away", || !server.departures().is_empty() || !server.clients().is_empty());
    assert!(server.clients().is_empty());
    drop(server);
    let allow = vec![stranger, format!("user:{me}").parse().unwrap()];
    let server = Server::bind(&address, server::Options { allow: allow.clone(), ..lossless() }).unwrap();
    let error = Client::connect(&address, client::Options { allow: vec![stranger], ..Default::default() });
    assert!(error.err().unwrap().to_string().contains("not on the allow list"));
    let mut client = Client::connect(&address, client::Options { allow, ..Default::default() }).unwrap();
    assert_eq!(client.server().unwrap().pid, std::process::id() as i32);
    eventually("connected", || server.clients().len() == 1);
    let pool = pool(Fourcc::R8, Size::new(5, 3), 1);
    server.send(numbered(acquire(&pool), 0)).unwrap();
    let received = next(&mut client);
    // The consumer may look and not touch.
    let fd = received.frame.buffer.plane_fd(0);
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    assert_eq!(flags & libc::O_ACCMODE, libc::O_RDONLY);
    assert_eq!(received.frame.buffer.map(Access::Write).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!("group:0".parse::<Allow>().unwrap(), Allow::Group(0));
    assert_eq!("user:root".parse::<Allow>().unwrap(), Allow::User(0));
    for bad in ["root", "user:nobody-has-this-name", "mode:1"] {
        assert!(bad.parse::<Allow>().is_err(), "{bad}");
    }
}

/// The end, with and without being said; frames that are held stay valid.
#[test]
fn ends() {
    let _alone = alone();
    let (path, address) = socket("ends");
    let server = Server::bind(&address, lossless()).unwrap();
    let mut client = Client::connect(&address, client::Options::default()).unwrap();
    server.wait_for_clients(1, LONG).unwrap();
    let pool = pool(Fourcc::R8, Size::new(5, 3), 2);
    server.send(numbered(acquire(&pool), 7)).unwrap();
    let received = next(&mut client);
    let begun = Instant::now();
    assert!(!server.finish(Duration::from_millis(50)), "a frame is held");
    assert!(begun.elapsed() < LONG);
    assert!(matches!(client.next(Some(LONG)), Ok(Event::End)));
    assert!(matches!(client.next(Some(LONG)), Ok(Event::End)));
    drop(pool);
    check(&received.frame.buffer, 7);
    drop(received);

    // Killed in between; the consumer waits for the next producer on the same path.
    let mut producer = start("producer", &path);
    let mut client = Client::connect(&address, client::Options { reconnect: true, ..Default::default() }).unwrap();
    let received = next(&mut client);
    producer.kill().unwrap();
    producer.wait().unwrap();
    check(&received.frame.buffer, received.frame.sequence);
    assert!(path.exists(), "a killed process leaves its socket");
    let mut producer = start("producer", &path);
    let mut seen = 0;
    while seen < 20 {
        let received = next(&mut client);
        check(&received.frame.buffer, received.frame.sequence);
        seen += u32::from(client.server().unwrap().pid == producer.id() as i32);
    }
    producer.kill().unwrap();
    producer.wait().unwrap();
    let mut plain = Client::connect(&address, client::Options { reconnect: true, ..Default::default() }).unwrap();
    assert!(matches!(plain.next(Some(Duration::from_millis(30))), Ok(Event::Nothing)));
    std::fs::remove_file(&path).unwrap();
}

/// Fewer in an emulated machine, where a process takes half a second to start.
fn rounds(on_a_machine: u32) -> u32 {
    if std::env::var_os("DARKFRAME_VM").is_some() { on_a_machine / 5 } else { on_a_machine }
}

/// Moments that differ from round to round, alike in every run.
fn moments() -> impl FnMut() -> Duration {
    let mut random = 0x1234_5678_u64;
    move || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Duration::from_micros(random >> 33 & 0x3fff)
    }
}

/// Either end killed at random moments: the other goes on, keeps no fd and no buffer, and the socket works again.
#[test]
fn killed_at_random_moments() {
    let _alone = alone();
    let (path, address) = socket("kill");
    let mut moment = moments();
    let server = Server::bind(&address, server::Options::default()).unwrap();
    let pool = pool(Fourcc::ABGR8888, Size::new(33, 7), 8);
    let fds = common::open_fds();
    for round in 0..rounds(50) {
        let mut taker = start("taker", &path);
        server.wait_for_clients(1, LONG).unwrap();
        let until = Instant::now() + moment();
        let mut number = 0;
        while Instant::now() < until {
            if let Some(buffer) = pool.acquire().unwrap() {
                server.send(numbered(buffer, number)).unwrap();
                number += 1;
            }
        }
        taker.kill().unwrap();
        taker.wait().unwrap();
        drop(taker);
        eventually("the client's end is seen", || server.clients().is_empty());
        let all: Vec<_> = (0..8).map(|_| acquire(&pool)).collect();
        drop(all);
        // Eight buffers have two fds each by now: their own, and the one that only reads.
        assert!(common::open_fds() <= fds + 16, "round {round}: {fds} fds before, {} now", common::open_fds());
        for departure in server.departures() {
            assert_eq!(departure.reason.kind(), ErrorKind::PeerClosed, "{}", departure.reason);
        }
    }
    drop((server, pool));
    let fds = common::open_fds();
    for round in 0..rounds(50) {
        let mut producer = start("producer", &path);
        let mut client = Client::connect(&address, client::Options { reconnect: true, ..Default::default() }).unwrap();
        let first = next(&mut client);
        drop(client);
        let mut client = Client::connect(&address, client::Options::default()).unwrap();
        let killer = std::thread::spawn({
            let moment = moment();
            move || {
                std::thread::sleep(moment);
                producer.kill().unwrap();
                producer.wait().unwrap();
            }
        });
        let error = loop {
            match client.next(Some(LONG)) {
                Ok(Event::Frame(received)) => check(&received.frame.buffer, received.frame.sequence),
                Ok(other) => panic!("round {round}: {other:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::PeerClosed, "round {round}: {error}");
        killer.join().unwrap();
        check(&first.frame.buffer, first.frame.sequence);
        drop((first, client));
        assert_eq!(common::open_fds(), fds, "round {round}");
    }
    std::fs::remove_file(&path).unwrap();
}

/// A producer, a third that hands its frames on, and a consumer behind it; any of them is killed at a random moment, 200
/// times. The others go on: frames come, whole, and nobody who lives has more fds than before. No file is left but the two
/// sockets, which are served again.
#[test]
fn any_of_three_is_killed() {
    let _alone = alone();
    let folder = std::env::temp_dir().join(format!("df-three-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("three.sock");
    let relayed = path.with_extension("relayed");
    let mut moment = moments();
    let mut members = [start("producer", &path), start("relay", &path), start("taker", &relayed)];
    let options = client::Options { reconnect: true, ..client::Options::default() };
    let mut client = Client::connect(&Address::Path(relayed.clone()), options).unwrap();
    let fds_of = |child: &Child| std::fs::read_dir(format!("/proc/{}/fd", child.id())).map_or(0, |fds| fds.count());
    let mut fds = None;
    let mut most = [0; 3];
    for round in 0..rounds(200) {
        let until = Instant::now() + moment();
        while Instant::now() < until {
            let received = next(&mut client);
            check(&received.frame.buffer, received.frame.sequence);
        }
        let (index, role) = [(0, "producer"), (1, "relay"), (2, "taker")][round as usize % 3];
        let held = next(&mut client);
        members[index].kill().unwrap();
        assert!(!members[index].wait().unwrap().success());
        // The producer's memory outlives it. That of a third is the producer's own, and goes back to it with the third.
        if role != "relay" {
            check(&held.frame.buffer, held.frame.sequence);
        }
        drop(held);
        members[index] = start(role, if role == "taker" { &relayed } else { &path });
        let server = members[1].id() as i32;
        let mut seen = 0;
        while seen < 3 {
            let received = next(&mut client);
            if client.server().is_some_and(|now| now.pid == server) {
                check(&received.frame.buffer, received.frame.sequence);
                seen += 1;
            }
        }
        for (index, member) in members.iter_mut().enumerate() {
            assert!(member.try_wait().unwrap().is_none(), "round {round}: member {index} ended by itself");
            most[index] = most[index].max(fds_of(member));
        }
        let now = common::open_fds();
        // 32 memories are remembered on each connection.
        assert!(now <= *fds.get_or_insert(now) + 40, "round {round}: {fds:?} fds at first, {now} now");
    }
    println!("at most {most:?} fds in the producer, the third and the consumer");
    assert!(most.iter().all(|most| *most < 120), "{most:?} fds");
    for mut member in members {
        member.kill().unwrap();
        member.wait().unwrap();
    }
    let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["three.relayed", "three.sock"]);
    for path in [path, relayed] {
        drop(Server::bind(&Address::Path(path.clone()), server::Options::default()).unwrap());
        assert!(!path.exists());
    }
    std::fs::remove_dir(&folder).unwrap();
}

/// Servers that start at one path at the same time, where a killed one left its socket: one gets it, the others are told,
/// and clients reach the one.
#[test]
fn two_servers_race_for_a_path() {
    let _alone = alone();
    let (path, address) = socket("race");
    let stale = || drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    for round in 0..rounds(200) {
        stale();
        let barrier = std::sync::Barrier::new(4);
        let servers: Vec<_> = std::thread::scope(|scope| {
            let bind = || {
                barrier.wait();
                Server::bind(&address, server::Options::default())
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(bind)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (bound, refused): (Vec<_>, Vec<_>) = servers.into_iter().partition(Result::is_ok);
        assert_eq!(bound.len(), 1, "round {round}");
        for error in refused.into_iter().filter_map(Result::err) {
            assert!(error.to_string().contains("another process serves it"), "round {round}: {error}");
        }
        let server = bound.into_iter().next().unwrap().unwrap();
        let _client = Client::connect(&address, client::Options::default()).unwrap();
        server.wait_for_clients(1, LONG).unwrap();
        drop(server);
        assert!(!path.exists());
    }
    // The same between processes.
    for round in 0..rounds(20) {
        stale();
        let mut racers: Vec<Child> = (0..3)
            .map(|_| {
                let mut command = command("racer", &path);
                command.stdin(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let outcomes: Vec<String> = racers
            .iter_mut()
            .map(|racer| {
                let mut lines = std::io::BufReader::new(racer.stdout.as_mut().unwrap()).lines();
                lines.find_map(|line| Some(line.unwrap().split_once("racer: ")?.1.to_owned())).unwrap()
            })
            .collect();
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "serves").count(), 1, "round {round}: {outcomes:?}");
        let told = outcomes.iter().filter(|outcome| outcome.contains("another process serves it")).count();
        assert_eq!(told, 2, "round {round}: {outcomes:?}");
        let winner = outcomes.iter().position(|outcome| outcome == "serves").unwrap();
        let client = Client::connect(&address, client::Options::default()).unwrap();
        assert_eq!(client.server().unwrap().pid, racers[winner].id() as i32);
        for racer in &mut racers {
            drop(racer.stdin.take());
            assert!(racer.wait().unwrap().success());
        }
        assert!(!path.exists());
    }
}
