//! Every parser of bytes from outside under its seeds and under thousands of mutations of them: the bodies of `fuzz/`, on a
//! stable compiler, the same ones in each run. `fuzz/targets` names the seeds; cargo-fuzz looks further (`tests/run`).

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::path::PathBuf;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Names of targets with their seeds.
fn targets() -> Vec<(String, Vec<Vec<u8>>)> {
    let text = std::fs::read_to_string(project().join("fuzz/targets")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap().to_owned();
            let mut paths: Vec<PathBuf> = words
                .flat_map(|pattern| glob::glob(project().join(pattern).to_str().unwrap()).unwrap().flatten())
                .collect();
            paths.sort();
            (name, paths.iter().map(|path| std::fs::read(path).unwrap()).collect())
        })
        .collect()
}

/// SplitMix64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers at which arithmetic goes wrong.
const EDGES: [u64; 12] = [0, 1, 3, 4, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// Words of the formats, for text and bytes alike.
const WORDS: [&str; 16] = [
    "\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "-",
    "\0",
    "9999999999999999999999",
    "1e999",
    "GstVideoMeta",
    "\u{feff}",
    "'''",
    "\\u0000",
];

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len());
        let length = random.below(bytes.len() - at.min(bytes.len())).min(1 + random.below(64));
        match random.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let number = EDGES[random.below(EDGES.len())].to_le_bytes();
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number[..width].iter().copied());
            }
            6 => {
                let word = WORDS[random.below(WORDS.len())].bytes();
                bytes.splice(at..at, word);
            }
            7 => {
                let digits = EDGES[random.below(EDGES.len())].to_string();
                let end = (at + length.min(4)).min(bytes.len());
                bytes.splice(at..end, digits.bytes());
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
        // Copies of copies would only take time.
        bytes.truncate(1 << 16);
    }
    bytes
}

/// Runs a target; what it fails on is left in the folder for temporary files.
fn drive(name: &str, body: fn(&[u8]), times: usize) {
    let (_, seeds) = targets().into_iter().find(|(known, _)| known == name).unwrap();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut random = Random(0x6461_726b_6672_616d);
    let run = |bytes: &[u8]| {
        let result = std::panic::catch_unwind(|| body(bytes));
        if let Err(panic) = result {
            let path = std::env::temp_dir().join(format!("darkframe-fuzz-{name}"));
            let _ = std::fs::write(&path, bytes);
            eprintln!("{name} fails on the bytes in {}", path.display());
            std::panic::resume_unwind(panic);
        }
    };
    run(&[]);
    seeds.iter().for_each(|seed| run(seed));
    for _ in 0..times {
        run(&mutate(&mut random, &seeds));
    }
    // Other tests of this binary open some for a moment.
    let since = std::time::Instant::now();
    while fds() > 40 {
        assert!(since.elapsed().as_secs() < 30, "{} fds are open", fds());
        std::thread::yield_now();
    }
}

macro_rules! targets {
    ($($name:ident $times:literal),*) => {
        $(#[test]
        fn $name() {
            drive(stringify!($name), bodies::$name, $times);
        })*

        /// The list, the folder with the targets and these tests have the same names.
        #[test]
        fn every_target_is_here() {
            let mut here = vec![$(stringify!($name).to_owned()),*];
            let mut listed: Vec<String> = targets().into_iter().map(|(name, _)| name).collect();
            let folder = std::fs::read_dir(project().join("fuzz/fuzz_targets")).unwrap().flatten();
            let mut files: Vec<String> =
                folder.map(|entry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            [&mut here, &mut listed, &mut files].into_iter().for_each(|names| names.sort());
            assert_eq!(here, listed);
            assert_eq!(here, files);
        }
    };
}

targets!(
    unixfd_wire 20000,
    unixfd_client 4000,
    unixfd_caps 20000,
    metadata 20000,
    description 1500,
    board 4000,
    y4m_header 20000,
    cube 600,
    gltf 2000
);
