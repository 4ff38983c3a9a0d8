//! Runs of the command whose sinks and sources are nodes.

use std::process::{Child, Output};

use super::*;

fn darkframe(daemon: &Daemon, name: &str, text: &str) -> Child {
    let folder = daemon.folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("pipeline.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = daemon.command(env!("CARGO_BIN_EXE_darkframe"));
    command.arg("run").arg(file).current_dir(folder).spawn().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn ok(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, text(&output));
    text(&output)
}

const PATTERN: &str = "frames = \"0..60\"\n[source.test]\npattern = \"gradient\"\nsize = \"64x48\"\n";

/// What one run offers, another one takes: the same bytes as when one run does both.
#[test]
fn a_run_feeds_a_run() {
    let Some(daemon) = Daemon::start("runs") else { return };
    ok(darkframe(&daemon, "one", &format!("{PATTERN}[sink.out]\ninput = \"test\"\nfile = \"out.rgba\"\n")));
    let expected = std::fs::read(daemon.folder.join("one/out.rgba")).unwrap();
    assert_eq!(expected.len(), 60 * 64 * 48 * 4);
    let offered = format!("{PATTERN}[sink.out]\ninput = \"test\"\nkind = \"pipewire\"\nwait-for = 1\n");
    let producer = darkframe(&daemon, "two", &offered);
    let taken =
        "[source.in]\nkind = \"pipewire\"\nnode = \"darkframe.out\"\n[sink.out]\ninput = \"in\"\nfile = \"out.rgba\"\n";
    let consumer = darkframe(&daemon, "three", taken);
    daemon.link("darkframe.out", "darkframe.in");
    let said = ok(producer);
    assert!(said.contains("60 frames"), "{said}");
    ok(consumer);
    let got = std::fs::read(daemon.folder.join("three/out.rgba")).unwrap();
    assert!(got == expected, "{} bytes for {}", got.len(), expected.len());
}

/// The example, as it is but that its first frame waits for us.
#[test]
fn the_example_runs() {
    let Some(daemon) = Daemon::start("example") else { return };
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let text = std::fs::read_to_string(format!("{examples}/pipewire.toml")).unwrap();
    let text = text.replace("media/", &format!("{examples}/media/"));
    let child = darkframe(&daemon, "example", &format!("{text}wait-for = 1\n"));
    let options = input::Options { remote: daemon.remote(), ..input::Options::new("df.taker") };
    let mut input = darkframe::share::pipewire::Input::open(options).unwrap();
    daemon.link("darkframe.camera", "df.taker");
    assert_eq!(next(&mut input).frame.sequence, 0);
    ok(child);
}

/// Nobody is linked: the run ends with what its other sinks have.
#[test]
fn a_run_without_a_consumer_goes_on() {
    let Some(daemon) = Daemon::start("lonely") else { return };
    let both = format!(
        "{PATTERN}[sink.node]\ninput = \"test\"\nkind = \"pipewire\"\n[sink.out]\ninput = \"test\"\nfile = \"out.rgba\"\n"
    );
    ok(darkframe(&daemon, "run", &both));
    assert_eq!(std::fs::metadata(daemon.folder.join("run/out.rgba")).unwrap().len(), 60 * 64 * 48 * 4);
}

/// The daemon is killed: the run says so and ends; a run that takes frames ends with what had come.
#[test]
fn a_run_survives_no_daemon_and_says_so() {
    let Some(mut daemon) = Daemon::start("dies") else { return };
    let offered = "[source.test]\npattern = \"gradient\"\nsize = \"64x48\"\npace = \"realtime\"\n[sink.out]\ninput = \"test\"\nkind = \"pipewire\"\n";
    let producer = darkframe(&daemon, "two", offered);
    let taken = "[source.in]\nkind = \"pipewire\"\n[sink.out]\ninput = \"in\"\nfile = \"out-%04d.png\"\n";
    let consumer = darkframe(&daemon, "three", taken);
    daemon.link("darkframe.out", "darkframe.in");
    eventually("a picture", || daemon.folder.join("three/out-0000.png").exists());
    daemon.kill();
    let output = producer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("daemon went away"), "{}", text(&output));
    ok(consumer);
}

/// No daemon, nobody to link, a kind whose keys are others': errors with the place and what to do.
#[test]
fn what_cannot_be_is_said() {
    let Some(mut daemon) = Daemon::start("errors") else { return };
    let sink = |keys: &str| format!("{PATTERN}[sink.out]\ninput = \"test\"\nkind = \"pipewire\"\n{keys}");
    let cases = [
        (
            "[source.in]\nkind = \"pipewire\"\npatience = 0.3\n[sink.out]\ninput = \"in\"\nkind = \"null\"\n"
                .to_owned(),
            "pw-link",
        ),
        (sink("mode = 0o600\n"), "this key is for kind = \"unixfd\""),
        (sink("wait-for = 2\n"), "1 is anybody"),
        (sink("patience = 0\n"), "more than 0"),
        (sink("node = \"\"\n"), "at least one character"),
        (sink("file = \"x.png\"\n"), "a pipewire sink writes no file"),
        (sink("socket = \"/nowhere/pw\"\n"), "no daemon answers at \"/nowhere/pw\""),
        (
            "[source.in]\nkind = \"pipewire\"\nsize = \"4x4\"\n[sink.out]\ninput = \"in\"\nkind = \"null\"\n"
                .to_owned(),
            "the producer says",
        ),
    ];
    for (index, (description, expected)) in cases.iter().enumerate() {
        let output = darkframe(&daemon, &format!("case-{index}"), description).wait_with_output().unwrap();
        assert!(!output.status.success());
        // The report wraps lines.
        let said: Vec<String> =
            text(&output).split_whitespace().filter(|word| *word != "│").map(str::to_owned).collect();
        assert!(said.join(" ").contains(expected), "{expected}: {}", text(&output));
    }
    daemon.kill();
    let _ = std::fs::remove_file(daemon.socket());
    let output = darkframe(&daemon, "gone", &sink("")).wait_with_output().unwrap();
    assert!(text(&output).contains("no daemon answers"), "{}", text(&output));
}
