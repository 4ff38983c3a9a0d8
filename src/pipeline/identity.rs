//! What the pictures of a job are made from, as checksums: two runs with the same identity draw the same frames, as far as
//! the driver does.
//!
//! In: a checked pipeline. Out: a checksum by what it is of, so that a difference has a name.
//! Not here: the driver, which a manifest notes beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

use super::description::Description;
use super::manifest::{Checksum, Head};
use super::plan::Plan;
use super::source::image::list;

/// Files up to this size are read whole.
const READ_BYTES: u64 = 64 << 20;
/// Of larger ones this much at the beginning, in the middle and at the end.
const SAMPLE_BYTES: u64 = 16 << 20;
/// The same where a source has many files.
const FEW_BYTES: (u64, u64) = (192 << 10, 64 << 10);

/// The checksums of `description`: its text, its shaders with what they include, the files of its sources, this version.
///
/// # Errors
/// Those of the files.
pub fn of(description: &Description, plan: &Plan) -> Result<BTreeMap<String, String>> {
    let mut parts = BTreeMap::from([
        ("darkframe".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("the pipeline file".to_owned(), Checksum::of(description.origin.text.as_bytes())),
    ]);
    for (node, shader) in plan.graph.passes.iter().zip(&plan.shaders) {
        let Some(shader) = shader else { continue };
        let mut sum = Checksum::default();
        for line in &shader.extensions {
            sum.update(line.as_bytes());
        }
        sum.update(format!("{:?}", shader.version).as_bytes());
        sum.update(shader.text.as_bytes());
        parts.insert(format!("the shader of pass {}", node.name), sum.finish());
    }
    for (name, model) in &plan.models {
        let checksum = |file: &std::path::PathBuf| file_checksum(file, (READ_BYTES, SAMPLE_BYTES));
        let sums = model.files.iter().map(checksum).collect::<Result<Vec<_>>>()?;
        parts.insert(format!("the model of pass {name}"), Checksum::of(sums.join(" ").as_bytes()));
    }
    for name in &plan.graph.sources {
        if let Some(file) = &description.sources[name.as_str()].file {
            let files = match super::source::is_stdin(file.get_ref()) {
                true => list::Files::One(file.get_ref().clone()),
                false => list::find(description.folder(), file.get_ref())?,
            };
            match files {
                list::Files::One(path) => {
                    parts.insert(
                        format!("the file of source {name}"),
                        file_checksum(&path, (READ_BYTES, SAMPLE_BYTES))?,
                    );
                }
                list::Files::Several(files, _) => {
                    let mut sum = Checksum::default();
                    for file in files {
                        sum.update(file.file_name().unwrap_or_default().as_encoded_bytes());
                        sum.update(file_checksum(&file, FEW_BYTES)?.as_bytes());
                    }
                    parts.insert(format!("the files of source {name}"), sum.finish());
                }
            }
        }
    }
    Ok(parts)
}

/// Length and content; of large files samples.
fn file_checksum(path: &Path, (whole_bytes, sample_bytes): (u64, u64)) -> Result<String> {
    let failed = |error| Error::from_io("read", path.display(), error);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut sum = Checksum::default();
    sum.update(&length.to_le_bytes());
    let samples = match length <= whole_bytes {
        true => vec![(0, length)],
        false => [0, length / 2, length - sample_bytes].map(|at| (at, sample_bytes)).to_vec(),
    };
    let mut bytes = vec![0; 1 << 20];
    for (mut at, mut left) in samples {
        while left > 0 {
            let wanted = bytes.len().min(left as usize);
            file.read_exact_at(&mut bytes[..wanted], at).map_err(failed)?;
            sum.update(&bytes[..wanted]);
            (at, left) = (at + wanted as u64, left - wanted as u64);
        }
    }
    Ok(sum.finish())
}

/// What makes two jobs different, in words; empty where their pictures belong together.
pub fn differences(one: &Head, other: &Head) -> Vec<String> {
    let mut found = Vec::new();
    let names = one.identity.keys().chain(other.identity.keys().filter(|name| !one.identity.contains_key(*name)));
    for name in names {
        match (one.identity.get(name), other.identity.get(name)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) if name == "darkframe" => found.push(format!("darkframe is {b}, was {a}")),
            (Some(_), Some(_)) => found.push(format!("{name} has changed")),
            (_, None) => found.push(format!("{name} is gone")),
            (None, _) => found.push(format!("{name} is new")),
        }
    }
    let settings = |head: &Head| match head.settings.is_empty() {
        true => "none".into(),
        false => head.settings.join(" "),
    };
    if one.settings != other.settings {
        found.push(format!("--set is {}, was {}", settings(other), settings(one)));
    }
    if one.warm_up != other.warm_up {
        let frames = |head: &Head| head.warm_up.map_or("none".into(), |frames| frames.to_string());
        found.push(format!("--warm-up is {}, was {}", frames(other), frames(one)));
    }
    if one.sinks != other.sinks && found.is_empty() {
        found.push("the sinks are others".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_sampled_and_their_length_counts() {
        let path = std::env::temp_dir().join(format!("darkframe-identity-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        // Sparse: it has no bytes on disk.
        let sum_of = |length: u64| {
            file.set_len(length).unwrap();
            file_checksum(&path, (READ_BYTES, SAMPLE_BYTES)).unwrap()
        };
        let small = sum_of(1000);
        let (large, longer) = (sum_of(READ_BYTES * 4), sum_of(READ_BYTES * 4 + 1));
        assert!(small != large && large != longer);
        file.write_all_at(b"x", READ_BYTES * 4).unwrap();
        assert_ne!(file_checksum(&path, (READ_BYTES, SAMPLE_BYTES)).unwrap(), longer);
        std::fs::remove_file(&path).unwrap();
        assert!(
            file_checksum(&path, (READ_BYTES, SAMPLE_BYTES)).unwrap_err().to_string().contains("darkframe-identity")
        );
    }
}
