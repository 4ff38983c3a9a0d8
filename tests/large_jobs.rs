//! Jobs larger than one run: shards, resuming after any end, merging. What comes out is compared byte for byte with one
//! run from beginning to end.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Noise through a shader to a PNG for each frame, a video and raw bytes: every byte depends on the frame's number.
const PIPELINE: &str = "frames = \"0..FRAMES\"

[source.noise]
pattern = \"noise\"
size = \"48x32\"

[pass.tint]
shader = \"tint.frag\"
inputs = { source = \"noise\" }
uniforms = { strength = 0.5 }

[sink.pictures]
input = \"tint\"
file = \"out/%04d.png\"

[sink.video]
input = \"tint\"
file = \"out/all.y4m\"

[sink.bytes]
input = \"tint\"
file = \"out/all.rgba\"
every = 3
";

const SHADER: &str = "uniform float strength;
vec4 pixel(vec2 uv) {
    vec4 s = source();
    return vec4(mix(s.rgb, s.gbr, strength), s.a);
}
";

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, frames: u64) -> Self {
        let path = std::env::temp_dir().join(format!("darkframe-jobs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("p.toml"), PIPELINE.replace("FRAMES", &frames.to_string())).unwrap();
        std::fs::write(path.join("tint.frag"), SHADER).unwrap();
        Self(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_darkframe"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `darkframe run p.toml` with `more`, and gives how many frames it drew.
    fn run(&self, more: &[&str]) -> u64 {
        let report = self.0.join("report.json");
        let _ = std::fs::remove_file(&report);
        let all = [&["run", "-q", "p.toml", "--report", "report.json"][..], more].concat();
        fine(&self.command(&all).output().unwrap(), 0);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        report["frames"].as_u64().unwrap()
    }

    fn merge(&self, code: i32) -> String {
        let output = self.command(&["merge", "p.job"]).output().unwrap();
        fine(&output, code);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Name and bytes of everything in `out`.
    fn out(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.0.join("out")).unwrap().flatten();
        entries
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
            .collect()
    }

    /// What a run from beginning to end writes; `None` where nothing can be drawn here.
    fn reference(&self) -> Option<BTreeMap<String, Vec<u8>>> {
        let output = self.command(&["run", "-q", "p.toml"]).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(1) && words.contains("EGL") {
            common::skip("egl", words);
            return None;
        }
        fine(&output, 0);
        let files = self.out();
        std::fs::remove_dir_all(self.0.join("out")).unwrap();
        Some(files)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[track_caller]
fn fine(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The files of a finished job: those of a run from beginning to end, and parts beside them.
#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, reference: &BTreeMap<String, Vec<u8>>) {
    let names: Vec<&String> = found.keys().filter(|name| !name.contains(".part-")).collect();
    assert_eq!(names, reference.keys().collect::<Vec<_>>());
    for (name, bytes) in reference {
        assert!(found[name] == *bytes, "{name} differs from the run from beginning to end");
    }
}

#[test]
fn shards_merge_to_what_one_run_writes() {
    let folder = Folder::new("shards", 50);
    let Some(reference) = folder.reference() else { return };
    assert_eq!(reference.len(), 52);
    assert_eq!(reference["all.rgba"].len(), 17 * 48 * 32 * 4);
    // 50 frames in 4 blocks: 12, 13, 12, 13.
    assert_eq!([0, 1, 3].map(|shard| folder.run(&["--shard", &format!("{shard}/4")])), [12, 13, 13]);
    let words = folder.merge(3);
    assert!(words.contains("missing: frames 25..37 of bytes, pictures, video (never begun)"), "{words}");
    assert!(words.contains("darkframe run p.toml --frames 0..50 --shard 2/4 --resume\n"), "{words}");
    assert!(!folder.0.join("out/all.y4m").exists(), "a file was made of a job that is not whole");
    assert_eq!(folder.run(&["--frames", "0..50", "--shard", "2/4", "--resume"]), 12);
    folder.merge(0);
    assert_same(&folder.out(), &reference);
    // Once more: nothing is drawn, nothing changes.
    assert_eq!(folder.run(&["--shard", "2/4", "--resume"]), 0);
    folder.merge(0);
    assert_same(&folder.out(), &reference);
}

#[test]
fn more_shards_than_frames_and_shards_by_hand() {
    let folder = Folder::new("hand", 5);
    let Some(reference) = folder.reference() else { return };
    let drawn: Vec<u64> = (0..8).map(|shard| folder.run(&["--shard", &format!("{shard}/8"), "--resume"])).collect();
    assert_eq!(drawn.iter().sum::<u64>(), 5);
    folder.merge(0);
    assert_same(&folder.out(), &reference);
    std::fs::remove_dir_all(folder.0.join("out")).unwrap();
    std::fs::remove_dir_all(folder.0.join("p.job")).unwrap();
    // Two ranges that overlap: the frames in both are the same, so it does not matter whose is taken.
    folder.run(&["--frames", "0..3", "--shard", "0/1"]);
    folder.run(&["--frames", "2..5", "--shard", "0/1"]);
    folder.merge(0);
    assert_same(&folder.out(), &reference);
}

#[test]
fn what_is_gone_or_damaged_is_drawn_again() {
    let folder = Folder::new("damage", 30);
    let Some(reference) = folder.reference() else { return };
    for shard in ["0/2", "1/2"] {
        folder.run(&["--shard", shard, "--resume"]);
    }
    let out = folder.0.join("out");
    std::fs::remove_file(out.join("0002.png")).unwrap();
    let mut png = std::fs::read(out.join("0016.png")).unwrap();
    png[200] ^= 1;
    std::fs::write(out.join("0016.png"), png).unwrap();
    std::fs::write(out.join("0017.png"), b"").unwrap();
    let part = out.join("all.y4m.part-000015-000030");
    let whole = std::fs::metadata(&part).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&part).unwrap().set_len(whole - 1000).unwrap();

    let words = folder.merge(3);
    assert!(words.contains("frames 2 of pictures (gone or damaged since they were written)"), "{words}");
    assert!(words.contains("frames 16..18, 29 of pictures, video (gone or damaged"), "{words}");
    assert_eq!(folder.run(&["--shard", "0/2", "--resume"]), 1);
    assert_eq!(folder.run(&["--shard", "1/2", "--resume"]), 3);
    folder.merge(0);
    assert_same(&folder.out(), &reference);

    // A byte in the middle of a part: what stands behind it goes too, for a part only grows at its end.
    let mut bytes = std::fs::read(&part).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x80;
    std::fs::write(&part, bytes).unwrap();
    folder.merge(3);
    let drawn = folder.run(&["--shard", "1/2", "--resume"]);
    assert!((7..=8).contains(&drawn), "{drawn} frames drawn");
    folder.merge(0);
    assert_same(&folder.out(), &reference);
    // The manifest itself is gone: so is what is known of the frames.
    std::fs::remove_file(folder.0.join("p.job/000000-000015.jsonl")).unwrap();
    assert_eq!(folder.run(&["--shard", "0/2", "--resume"]), 15);
    folder.merge(0);
    assert_same(&folder.out(), &reference);
}

#[test]
fn a_job_that_is_not_split_needs_no_merge() {
    let folder = Folder::new("whole", 20);
    let Some(reference) = folder.reference() else { return };
    assert_eq!(folder.run(&["--resume"]), 20);
    assert_same(&folder.out(), &reference);
    assert_eq!(folder.run(&["--resume"]), 0);
    // Its manifest is one that can be merged, too.
    folder.merge(0);
    assert_same(&folder.out(), &reference);
    std::fs::write(folder.0.join("out/all.y4m"), &reference["all.y4m"][..5000]).unwrap();
    assert_eq!(folder.run(&["--resume"]), 20);
    assert_same(&folder.out(), &reference);
}

#[test]
fn another_pipeline_is_refused_by_name() {
    let folder = Folder::new("changed", 6);
    if folder.reference().is_none() {
        return;
    }
    folder.run(&["--shard", "0/2", "--resume"]);
    let refused = |more: &[&str], words: &str| {
        let output = folder.command(&[&["run", "-q", "p.toml", "--resume"][..], more].concat()).output().unwrap();
        fine(&output, 2);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(words), "\"{words}\" is not in: {text}");
    };
    refused(&["--shard", "0/2", "--set", "pass.tint.strength=0.25"], "--set is pass.tint.strength=0.25, was none");
    std::fs::write(folder.0.join("tint.frag"), SHADER.replace("s.gbr", "s.brg")).unwrap();
    refused(&["--shard", "0/2"], "it is of another job: the shader of pass tint has changed; undo the change");
    // The other shard was drawn with the new shader: the two do not belong together.
    folder.run(&["--shard", "1/2", "--resume"]);
    let words = folder.merge(1);
    assert!(words.contains("are of different jobs: the shader of pass tint has changed"), "{words}");
    // Without --resume the old frames are not asked.
    assert_eq!(folder.run(&["--shard", "0/2"]), 3);
    folder.merge(0);
    refused(&["--shard", "2/2"], "shards are counted from 0, the last one is 1/2");
    refused(&["--shard", "slurm"], "SLURM_ARRAY_TASK_ID is not set");
    refused(&["--set", "sink.video.file=/dev/null"], "a job looks at what it wrote");
}

#[test]
fn two_blocks_with_different_pictures_of_a_frame_are_an_error() {
    let folder = Folder::new("conflict", 6);
    if folder.reference().is_none() {
        return;
    }
    folder.run(&["--frames", "0..4", "--shard", "0/1"]);
    folder.run(&["--frames", "3..6", "--shard", "0/1"]);
    // As if another driver had drawn frame 3.
    let path = folder.0.join("p.job/000003-000006.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replacen("\"xxh3\":\"", "\"xxh3\":\"0", 2);
    assert_ne!(changed, text);
    std::fs::write(&path, changed).unwrap();
    let words = folder.merge(1);
    assert!(words.contains("have different pictures of frame 3"), "{words}");
    assert!(!folder.0.join("out/all.y4m").exists());
}

/// A picture that a sink lets go would be missing for ever: refused before anything is drawn, whichever key made it a job.
#[test]
fn sinks_of_a_job_may_not_let_pictures_go() {
    let folder = Folder::new("drops", 6);
    if folder.reference().is_none() {
        return;
    }
    let text = PIPELINE.replace("FRAMES", "6");
    for rule in ["drop-oldest", "drop-newest"] {
        std::fs::write(
            folder.0.join("p.toml"),
            text.replace("every = 3", &format!("every = 3\nwhen-full = \"{rule}\"")),
        )
        .unwrap();
        for (option, more) in [
            ("--shard", &["--shard", "0/2", "--resume"][..]),
            ("--resume", &["--resume"]),
            ("--job", &["--job", "j.job"]),
        ] {
            let output = folder.command(&[&["run", "-q", "p.toml"], more].concat()).output().unwrap();
            fine(&output, 2);
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            let place = "p.toml:24:13: sink.bytes.when-full:";
            for part in [place, option, "lets pictures go", "when-full = \"block\""] {
                assert!(words.contains(part), "\"{part}\" is not in: {words}");
            }
            assert!(
                !folder.0.join("out").exists() && !folder.0.join("p.job").exists() && !folder.0.join("j.job").exists()
            );
        }
        // Without a job it is the author's choice.
        folder.run(&[]);
        std::fs::remove_dir_all(folder.0.join("out")).unwrap();
    }
    // What a sink without files lets go, nobody misses.
    let watched = text + "\n[sink.nothing]\ninput = \"tint\"\nkind = \"null\"\nwhen-full = \"drop-oldest\"\n";
    std::fs::write(folder.0.join("p.toml"), watched).unwrap();
    assert_eq!(folder.run(&["--shard", "0/1", "--resume"]), 6);
}

/// `xxhsum` is another implementation of the checksum, and reads the files that the manifest names.
#[test]
fn the_manifests_checksums_are_those_of_xxhsum() {
    let folder = Folder::new("xxhsum", 4);
    if folder.reference().is_none() {
        return;
    }
    if Command::new("xxhsum").arg("--version").output().is_err() {
        return common::skip("xxhsum", "it is not installed");
    }
    folder.run(&["--shard", "0/1"]);
    let text = std::fs::read_to_string(folder.0.join("p.job/000000-000004.jsonl")).unwrap();
    let mut compared = 0;
    for line in text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        if line["is"] != "wrote" {
            continue;
        }
        let [at, bytes] = ["at", "bytes"].map(|key| line[key].as_u64().unwrap() as usize);
        let file = std::fs::read(folder.0.join(line["file"].as_str().unwrap())).unwrap();
        std::fs::write(folder.0.join("piece"), &file[at..at + bytes]).unwrap();
        let sum = Command::new("xxhsum").args(["-H2", "piece"]).current_dir(&folder.0).output().unwrap().stdout;
        let sum = String::from_utf8(sum).unwrap();
        assert_eq!(sum.split_whitespace().next(), line["xxh3"].as_str());
        compared += 1;
    }
    // Four pictures, four frames of the video and its header, two of the raw file.
    assert_eq!(compared, 11);
}

/// Numbers that look random and come again with the seed: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Workers are killed at random moments and started again until one ends by itself.
#[test]
fn killed_workers_lose_nothing() {
    const FRAMES: u64 = 400;
    const SHARDS: u64 = 3;
    const KILLS: u32 = 36;
    let seed = match std::env::var("DARKFRAME_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64,
    };
    println!("DARKFRAME_SEED={seed}");
    let mut random = Random(seed);
    let folder = Folder::new("killed", FRAMES);
    let Some(reference) = folder.reference() else { return };
    let begun = Instant::now();
    let (mut in_flight, mut torn) = (0, 0);
    for shard in 0..SHARDS {
        let name = format!("{shard}/{SHARDS}");
        let manifest = folder.0.join("p.job").join(block(shard, SHARDS, FRAMES));
        for attempt in 0.. {
            let command = ["run", "-q", "p.toml", "--shard", &name, "--resume"];
            let mut child = folder.command(&command).spawn().unwrap();
            if attempt == KILLS / SHARDS as u32 || begun.elapsed() > Duration::from_secs(30) {
                fine(&child.wait_with_output().unwrap(), 0);
                break;
            }
            // Some are killed before they draw, most while they do: so many lines after those that are there.
            let lines =
                |path: &Path| std::fs::read(path).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
            let wanted = lines(&manifest) + random.below(60) as usize;
            let since = Instant::now();
            while lines(&manifest) < wanted && since.elapsed() < Duration::from_secs(10) {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_micros(random.below(500)));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            // What the kill interrupted: a line, a frame of a part, a picture beside its name.
            torn += usize::from(std::fs::read(&manifest).is_ok_and(|text| !text.ends_with(b"\n")));
            in_flight += folder.out_names().iter().filter(|name| name.contains(".tmp-")).count();
        }
    }
    println!("{in_flight} pictures and {torn} lines were torn, in {:.1} s", begun.elapsed().as_secs_f64());
    let words = folder.merge(0);
    assert_same(&folder.out(), &reference);
    assert!(words.contains("400 frames"), "{words}");
}

impl Folder {
    fn out_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join("out")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// The manifest's name, by the rule of the documentation.
fn block(shard: u64, shards: u64, frames: u64) -> String {
    format!("{:06}-{:06}.jsonl", frames * shard / shards, frames * (shard + 1) / shards)
}

/// The array job of the documentation, on a Slurm of one machine: a task is killed while it draws, and submitted again
/// alone.
#[test]
fn a_slurm_array_draws_the_job() {
    const FRAMES: u64 = 2000;
    let folder = Folder::new("slurm", FRAMES);
    let Some(reference) = folder.reference() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = r#"
        set -eu
        submit() { sbatch --parsable "$@" p.toml; }
        # $1 lines of the manifest $2.
        drawn() { while ! [ -e "p.job/$2" ] || [ "$(wc -l < "p.job/$2")" -lt "$1" ]; do sleep 0.01; done; }
        job=$(submit --array=0-3 "$SCRIPT")
        drawn 20 000500-001000.jsonl
        scancel --signal=KILL --full "${job}_1"
        sbatch --wait --dependency="afterany:$job" --output=/dev/null --wrap true > /dev/null
        status=0
        "$DARKFRAME" merge p.job > first.txt 2>&1 || status=$?
        echo "the first merge: $status"
        # All that is left, by the number of the task in the job as it was.
        SHARDS=4 submit --wait --array=1 "$SCRIPT" > /dev/null
        scontrol show job | grep -c JobState=COMPLETED
        "$DARKFRAME" merge p.job
    "#;
    let output = Command::new(project.join("tests/slurm/cluster"))
        .args([
            folder.0.join("cluster").as_path(),
            Path::new("--"),
            Path::new("sh"),
            Path::new("-c"),
            Path::new(script),
        ])
        .env("DARKFRAME", env!("CARGO_BIN_EXE_darkframe"))
        .env("SCRIPT", project.join("examples/cluster/slurm.sh"))
        .current_dir(&folder.0)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        return common::skip("slurm", words);
    }
    fine(&output, 0);
    println!("{words}");
    let first = std::fs::read_to_string(folder.0.join("first.txt")).unwrap();
    if words.contains("the first merge: 3") {
        assert!(first.contains("--frames 0..2000 --shard 1/4 --job p.job --resume"), "{first}");
    } else {
        println!("the task had ended before it was killed: {first}");
    }
    // Each task wrote its log, and no other block than its own was drawn twice.
    let logs =
        folder.0.read_dir().unwrap().flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "log"));
    assert_eq!(logs.count(), 5);
    assert_same(&folder.out(), &reference);
}

/// Processes with `text` in their environment.
fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        // Those of others cannot be read, and are none of ours.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if entry.path().join("exe").exists() && String::from_utf8_lossy(&environment).contains(text) {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    found
}

/// A command that fails while a job runs, whose work has left its session: nothing stays behind.
#[test]
fn a_cluster_leaves_nothing_behind() {
    let folder = Folder::new("cluster", 1);
    let script = r#"
        set -eu
        cat > job.sh <<'JOB'
#!/bin/sh
setsid sleep 600 &
touch running
sleep 600
JOB
        sbatch --parsable --output=/dev/null job.sh
        until [ -e running ]; do sleep 0.1; done
        for process in /proc/[0-9]*; do
            grep -qsz "^SLURM_CONF=$SLURM_CONF" "$process/environ" && tr '\0' ' ' < "$process/cmdline" || true
        done > there
        exit 5
    "#;
    let cluster = folder.0.join("cluster");
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/cluster"))
        .args([cluster.as_path(), Path::new("--"), Path::new("sh"), Path::new("-c"), Path::new(script)])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    if output.status.code() == Some(77) {
        return common::skip("slurm", String::from_utf8_lossy(&output.stderr));
    }
    fine(&output, 5);
    let there = std::fs::read_to_string(folder.0.join("there")).unwrap();
    for name in ["munged", "slurmctld", "slurmd", "slurmstepd", "sleep 600"] {
        assert!(there.contains(name), "{name} did not run: {there}");
    }
    assert_eq!(processes_with(&format!("SLURM_CONF={}", cluster.display())), [""; 0]);
}

/// The Job's manifest, read by PyYAML; its command, run for each index as a pod would.
#[test]
fn the_pods_of_an_indexed_job_draw_the_job() {
    let folder = Folder::new("kubernetes", 30);
    let Some(reference) = folder.reference() else { return };
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let python = Command::new("/usr/bin/python3")
        .args([Path::new("-c"), Path::new(script), &project.join("examples/cluster/job.yaml")])
        .output();
    let json = match python {
        Ok(output) if output.status.success() => output.stdout,
        _ => return common::skip("python3-yaml", "it is not installed"),
    };
    let job: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((job["apiVersion"].as_str(), job["kind"].as_str()), (Some("batch/v1"), Some("Job")));
    let spec = &job["spec"];
    // Without Indexed there is no JOB_COMPLETION_INDEX; per-index limits need Never.
    assert_eq!(spec["completionMode"], "Indexed");
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
    let completions = spec["completions"].as_u64().unwrap();
    assert!((1..=completions).contains(&spec["parallelism"].as_u64().unwrap()));
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"]);
    let volume = &container["volumeMounts"][0];
    assert_eq!(volume["mountPath"], container["workingDir"]);
    assert_eq!(volume["name"], spec["template"]["spec"]["volumes"][0]["name"]);
    assert_eq!(container["command"], serde_json::json!(["darkframe"]));
    let arguments: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
    assert!(arguments.contains(&format!("kubernetes/{completions}").as_str()), "{arguments:?}");

    std::fs::rename(folder.0.join("p.toml"), folder.0.join(arguments[1])).unwrap();
    let pods: Vec<_> = (0..completions)
        .map(|index| folder.command(&arguments).env("JOB_COMPLETION_INDEX", index.to_string()).spawn().unwrap())
        .collect();
    for pod in pods {
        fine(&pod.wait_with_output().unwrap(), 0);
    }
    // One more than there are: status 2, which the manifest's policy does not try again.
    let beyond = folder.command(&arguments).env("JOB_COMPLETION_INDEX", completions.to_string()).output().unwrap();
    fine(&beyond, 2);
    assert_eq!(spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"], serde_json::json!([2]));
    // The count from the environment, for manifests that set it.
    let by_variable = folder
        .command(&["run", "-q", arguments[1], "--shard", "kubernetes", "--resume"])
        .envs([("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", &completions.to_string())])
        .output()
        .unwrap();
    fine(&by_variable, 0);
    fine(&folder.command(&["merge", &arguments[1].replace(".toml", ".job")]).output().unwrap(), 0);
    assert_same(&folder.out(), &reference);
}

/// The example of 1,000 pictures in shards, beside numpy.
#[test]
fn a_data_set_is_augmented_in_shards() {
    let folder = Folder::new("augment", 1);
    if folder.reference().is_none() {
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = |script: &str, arguments: &[&str]| {
        let output = Command::new("/usr/bin/python3")
            .arg(project.join(script))
            .args(arguments)
            .current_dir(&folder.0)
            .output()
            .unwrap();
        fine(&output, 0);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    python("examples/media/make_dataset.py", &["dataset.rgba"]);
    let example = project.join("examples/augment.toml");
    let pipeline = ["run", "-q", example.to_str().unwrap(), "--set", "source.dataset.file=dataset.rgba"];
    for shard in ["0/4", "1/4", "2/4", "3/4"] {
        let all = [&pipeline[..], &["--shard", shard, "--resume"]].concat();
        fine(&folder.command(&all).output().unwrap(), 0);
    }
    fine(&folder.command(&["merge", "augment.job"]).output().unwrap(), 0);
    assert_eq!(std::fs::read_dir(folder.0.join("out/augmented")).unwrap().count(), 1000);
    let frames: Vec<String> = (0..1000).step_by(7).map(|frame| frame.to_string()).collect();
    let mut arguments = vec!["dataset.rgba", "out/augmented.rgba", "out/augmented/%04d.png"];
    arguments.extend(frames.iter().map(String::as_str));
    let words = python("tests/reference/augment.py", &arguments);
    assert!(words.contains("143 frames, furthest"), "{words}");
}

/// The example of a folder: 1,000 pictures of several shapes in four shards, two of which are killed while they draw.
#[test]
fn a_folder_of_pictures_is_drawn_in_shards() {
    const FILES: u32 = 1000;
    let folder = Folder::new("folder", 1);
    if folder.reference().is_none() {
        return;
    }
    let mut random = Random(5);
    std::fs::create_dir(folder.0.join("photos")).unwrap();
    for file in 0..FILES {
        let (width, height) = (20 + random.below(20) as u32, 20 + random.below(20) as u32);
        // Blocks, so that what decides is which picture it is, and not how it is scaled.
        let colors: Vec<[u8; 3]> = (0..16).map(|_| [0; 3].map(|_: u8| random.below(256) as u8)).collect();
        let block = |x: u32, y: u32| image::Rgb(colors[(y * 4 / height * 4 + x * 4 / width) as usize]);
        image::RgbImage::from_fn(width, height, block).save(folder.0.join(format!("photos/photo-{file}.png"))).unwrap();
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/augment-folder.toml");
    let pipeline =
        ["run", "-q", example.to_str().unwrap(), "--set", "source.photos.file=photos/*.png"].map(str::to_owned);
    let pictures = |folder: &Path| -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(folder.join("out/augmented-photos")).into_iter().flatten().flatten();
        let read = |entry: std::fs::DirEntry| {
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())
        };
        entries.map(read).collect()
    };
    let with = |more: &[&str]| {
        let all: Vec<&str> = pipeline.iter().map(String::as_str).chain(more.iter().copied()).collect();
        folder.command(&all)
    };
    fine(&with(&[]).output().unwrap(), 0);
    let reference = pictures(&folder.0);
    let different: std::collections::BTreeSet<&Vec<u8>> = reference.values().collect();
    assert_eq!((reference.len(), different.len()), (FILES as usize, FILES as usize));
    std::fs::remove_dir_all(folder.0.join("out")).unwrap();

    let mut killed = 0;
    for shard in ["0/4", "1/4", "2/4", "3/4"] {
        for wanted in [Some(60), Some(130), None] {
            let before = folder.0.join("out/augmented-photos").read_dir().map_or(0, Iterator::count);
            let mut child = with(&["--shard", shard, "--resume"]).spawn().unwrap();
            let count = || folder.0.join("out/augmented-photos").read_dir().map_or(0, Iterator::count) - before;
            match wanted.filter(|_| shard == "1/4" || shard == "2/4") {
                Some(wanted) => {
                    let since = Instant::now();
                    while count() < wanted && child.try_wait().unwrap().is_none() && since.elapsed().as_secs() < 60 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    killed += u32::from(child.try_wait().unwrap().is_none());
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
                None => {
                    fine(&child.wait_with_output().unwrap(), 0);
                    break;
                }
            }
        }
    }
    assert!(killed > 0, "every worker ended before it was killed");
    fine(&folder.command(&["merge", "augment-folder.job"]).output().unwrap(), 0);
    let found = pictures(&folder.0);
    assert_eq!(found.len(), reference.len());
    let differing: Vec<_> = reference.iter().filter(|(name, bytes)| found.get(*name) != Some(bytes)).collect();
    assert!(differing.is_empty(), "{} differ, {} first", differing.len(), differing[0].0);

    // A picture is damaged and another one removed: both are missed, and drawn again by the command that merge prints.
    let out = folder.0.join("out/augmented-photos");
    std::fs::write(out.join("0300.png"), &reference["0301.png"]).unwrap();
    std::fs::remove_file(out.join("0700.png")).unwrap();
    fine(&folder.command(&["merge", "augment-folder.job"]).output().unwrap(), 3);
    for shard in ["1/4", "2/4"] {
        fine(&with(&["--shard", shard, "--resume"]).output().unwrap(), 0);
    }
    fine(&folder.command(&["merge", "augment-folder.job"]).output().unwrap(), 0);
    assert!(pictures(&folder.0) == reference, "drawn again, they differ");

    // The folder has another file: what is there is of another job.
    std::fs::copy(folder.0.join("photos/photo-0.png"), folder.0.join("photos/photo-1000.png")).unwrap();
    let output = with(&["--shard", "0/4", "--resume"]).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("the files of source photos"), "{words}");
}

/// `late` is what `tint` was in the frame before, and remembers no more; `trail` remembers everything.
const MEMORY: &str = "frames = \"0..24\"

[source.noise]
pattern = \"noise\"
size = \"48x32\"

[pass.tint]
shader = \"tint.frag\"
inputs = { source = \"noise\" }
uniforms = { strength = 0.5 }

[pass.late]
shader = \"mean.frag\"
inputs = { source = \"tint\", before = \"@previous.tint\" }

[sink.pictures]
input = \"late\"
file = \"out/%04d.png\"

[sink.video]
input = \"late\"
file = \"out/all.y4m\"
";

#[test]
fn passes_with_memory_are_warmed_up_or_not_split() {
    let folder = Folder::new("memory", 1);
    let path = folder.0.join("p.toml");
    std::fs::write(
        folder.0.join("mean.frag"),
        "vec4 pixel(vec2 uv) { return vec4(0.5 * (source().rgb + before().rgb), 1.0); }\n",
    )
    .unwrap();
    std::fs::write(&path, MEMORY).unwrap();
    let Some(reference) = folder.reference() else { return };
    let output = folder.command(&["run", "-q", "p.toml", "--shard", "1/3", "--resume"]).output().unwrap();
    fine(&output, 2);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["p.toml:14:", "pass.late.inputs: it reads the frame before", "--warm-up N"] {
        assert!(words.contains(part), "\"{part}\" is not in: {words}");
    }
    // 8 frames, and the one before.
    let drawn = ["0/3", "1/3", "2/3"].map(|shard| folder.run(&["--shard", shard, "--warm-up", "1", "--resume"]));
    assert_eq!(drawn, [8, 9, 9]);
    std::fs::remove_file(folder.0.join("out/0011.png")).unwrap();
    assert!(folder.merge(3).contains("--shard 1/3 --warm-up 1 --job p.job --resume"));
    assert_eq!(folder.run(&["--shard", "1/3", "--warm-up", "1", "--resume"]), 2);
    folder.merge(0);
    assert_same(&folder.out(), &reference);

    // Without shards nothing is approximate, whatever the memory: all that went before is drawn again.
    let trail = MEMORY.replace("@previous.tint", "@previous");
    std::fs::write(&path, trail).unwrap();
    std::fs::remove_dir_all(folder.0.join("p.job")).unwrap();
    std::fs::remove_dir_all(folder.0.join("out")).unwrap();
    let reference = folder.reference().unwrap();
    assert_eq!(folder.run(&["--resume"]), 24);
    std::fs::remove_file(folder.0.join("out/0017.png")).unwrap();
    assert_eq!(folder.run(&["--resume"]), 18);
    assert_same(&folder.out(), &reference);
}
