//! WGSL in a build without the feature `wgpu`: it is not read.

use std::ops::Range;

use super::{Wgsl, Wrong};
use crate::error::ErrorKind;
use crate::pipeline::shader::Declared;

pub(super) fn read(_: &str, _: &[&str], _: Range<usize>) -> Result<(Vec<Declared>, Wgsl), Wrong> {
    Err(Wrong {
        kind: ErrorKind::Unsupported,
        detail: "this build reads no WGSL".into(),
        range: None,
        hint: Some("build it with the cargo feature wgpu".into()),
    })
}

#[cfg(test)]
mod tests {
    use crate::pipeline::description::Description;
    use crate::pipeline::plan::Plan;

    /// A pipeline with WGSL says at its key what is missing, and how to have it.
    #[test]
    fn a_build_without_wgpu_names_the_feature() {
        let file = std::env::temp_dir().join(format!("darkframe-{}.wgsl", std::process::id()));
        std::fs::write(&file, "fn pixel(uv: vec2f) -> vec4f { return vec4f(1.0); }").unwrap();
        let text = format!(
            "[pass.glow]\nwgpu = \"{}\"\nsize = \"8x8\"\n[sink.s]\ninput = \"glow\"\nkind = \"null\"\n",
            file.display()
        );
        let description = Description::parse("p.toml", text).unwrap();
        let Err(error) = Plan::new(&description, None) else { panic!("WGSL is read") };
        std::fs::remove_file(&file).unwrap();
        let words = error.to_string();
        for expected in ["p.toml:2:8", "this build reads no WGSL", "the cargo feature wgpu"] {
            assert!(words.contains(expected), "{expected}\n{words}");
        }
    }
}
