//! Why an import fails: the same import in many variants, and the rules that its numbers break.
//!
//! In: an [`Attempt`], from its numbers or from a line of ours. Out: its [`variants`], and [`rules::broken`] ones with what to
//! use instead. Not here: carrying variants out (`selftest`, in a process that may crash).

use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Constraints, Layout, PlaneLayout, Size, align_up};
use crate::selftest::Use;
use crate::selftest::import::Attempt;

pub mod rules;

/// One change of an import.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What is different, in words.
    pub what: String,
    /// The import.
    pub attempt: Attempt,
}

/// Reads an import from a text that has a line of ours: `eglCreateImage: NV12 640x480 LINEAR, modifier LINEAR, plane 0
/// offset_bytes 0 stride_bytes 640, plane 1 offset_bytes 307200 stride_bytes 640: EGL_BAD_ALLOC`.
///
/// # Errors
/// `InvalidInput`: there is no such line, or its words are none of ours.
pub fn read(text: &str) -> Result<Attempt> {
    let line = text.lines().find(|line| line.contains("offset_bytes") && line.contains("stride_bytes"));
    let line = line.ok_or_else(|| {
        Error::invalid("doctor", "no line here says which import failed").with_hint(
            "give the whole error: \"eglCreateImage: FORMAT WIDTHxHEIGHT …, plane 0 offset_bytes … stride_bytes …\"",
        )
    })?;
    let words: Vec<&str> =
        line.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| {
        word.split_once('x').is_some_and(|(w, h)| w.parse::<u32>().is_ok() && h.parse::<u32>().is_ok())
    });
    let bad = |what: &str| Error::invalid("doctor", format!("{what} in \"{line}\""));
    let at = at.filter(|at| *at > 0).ok_or_else(|| bad("no size"))?;
    let format: Fourcc = words[at - 1].parse()?;
    let size: Size = words[at].parse()?;
    let number = |index: usize| words.get(index).and_then(|word| word.trim_end_matches(':').parse::<u64>().ok());
    let mut planes = Vec::new();
    for (index, word) in words.iter().enumerate().filter(|(_, word)| **word == "offset_bytes") {
        let offset = number(index + 1).ok_or_else(|| bad(&format!("no number behind {word}")))?;
        let stride = number(index + 3).ok_or_else(|| bad("no number behind stride_bytes"))?;
        planes.push((offset, u32::try_from(stride).map_err(|_| bad("a stride beyond 32 bits"))?));
    }
    let passed = words.iter().position(|word| *word == "modifier").and_then(|index| words.get(index + 1));
    let modifier = match passed {
        Some(&"passed") | None => None,
        Some(word) => Some(word.parse::<Modifier>()?.to_string()),
    };
    let khr = line.contains("eglCreateImageKHR");
    Ok(Attempt { format: format.to_string(), size, planes, modifier, khr, ..Attempt::default() })
}

/// The import with one thing changed at a time, and with everything aligned.
///
/// # Errors
/// `InvalidInput`: the numbers are no layout at all.
pub fn variants(base: &Attempt, allocators: &[String]) -> Result<Vec<Variant>> {
    let fourcc: Fourcc = base.format.parse()?;
    base.layout()?;
    let mut all = vec![Variant { what: "as it is".into(), attempt: base.clone() }];
    let mut add = |what: String, attempt: Attempt| {
        if attempt != *base && attempt.layout().is_ok() {
            all.push(Variant { what, attempt });
        }
    };
    add("without a modifier".into(), Attempt { modifier: None, ..base.clone() });
    add("with the modifier LINEAR".into(), Attempt { modifier: Some("LINEAR".into()), ..base.clone() });
    add("by eglCreateImageKHR".into(), Attempt { khr: true, ..base.clone() });
    add("by eglCreateImage".into(), Attempt { khr: false, ..base.clone() });
    if base.planes.len() > 1 {
        add("an fd for each plane".into(), Attempt { each: !base.each, ..base.clone() });
    }
    for align in [16, 64, 256] {
        let strides = base.planes.iter().map(|(_, stride)| stride.next_multiple_of(align)).collect::<Vec<_>>();
        add(format!("strides multiples of {align}"), laid(base, &strides, 1, 1)?);
    }
    let strides: Vec<u32> = base.planes.iter().map(|(_, stride)| *stride).collect();
    let rounded = base.planes.iter().map(|(offset, stride)| (offset.next_multiple_of(64), *stride)).collect();
    add("offsets multiples of 64".into(), Attempt { planes: rounded, ..base.clone() });
    add("rows padded to 16".into(), Attempt { padded_rows: 16, ..laid(base, &strides, 1, 16)? });
    let aligned: Vec<u32> = strides.iter().map(|stride| stride.next_multiple_of(64)).collect();
    add("strides and offsets of 64, 16 rows".into(), Attempt { padded_rows: 16, ..laid(base, &aligned, 64, 16)? });
    for sibling in rules::siblings(fourcc) {
        let layout = Layout::linear(*sibling, base.size, &Constraints::MALI)?;
        let planes = layout.planes().iter().map(|plane| (plane.offset_bytes, plane.stride_bytes)).collect();
        add(format!("as {sibling}"), Attempt { format: sibling.to_string(), planes, padded_rows: 16, ..base.clone() });
    }
    for (usage, what) in [
        (Use::External, "sampled as an external texture"),
        (Use::TwoD, "sampled as a 2D texture"),
        (Use::Render, "drawn into"),
    ] {
        add(what.into(), Attempt { usage, ..base.clone() });
    }
    for allocator in allocators {
        add(format!("memory of {allocator}"), Attempt { allocator: allocator.clone(), ..base.clone() });
    }
    Ok(all)
}

/// The planes one behind the other with other strides; `rows`: of luma, rounded up to.
fn laid(base: &Attempt, strides: &[u32], offset_align: u32, rows: u32) -> Result<Attempt> {
    let format = base.format.parse::<Fourcc>()?.format()?;
    let height = base.size.height.next_multiple_of(rows);
    let mut end = base.planes.first().map_or(0, |(offset, _)| *offset);
    let mut planes = Vec::new();
    for (index, stride) in strides.iter().enumerate() {
        let offset = align_up(end, offset_align).unwrap_or(end);
        planes.push((offset, *stride));
        end = offset + u64::from(*stride) * u64::from(format.planes.get(index).map_or(0, |plane| plane.rows(height)));
    }
    Ok(Attempt { planes, ..base.clone() })
}

impl Attempt {
    /// The layout of its numbers.
    ///
    /// # Errors
    /// Those of [`Layout::new`].
    pub fn layout(&self) -> Result<Layout> {
        let modifier = self.modifier.as_deref().map_or(Ok(Modifier::LINEAR), str::parse)?;
        let planes: Vec<PlaneLayout> = self
            .planes
            .iter()
            .map(|(offset, stride)| PlaneLayout { offset_bytes: *offset, stride_bytes: *stride })
            .collect();
        Layout::new(self.format.parse()?, self.size, modifier, &planes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "darkframe: error: eglCreateImageKHR: NV12 320x240 LINEAR, no modifier passed, plane 0 offset_bytes 0 \
                        stride_bytes 320, plane 1 offset_bytes 76832 stride_bytes 320: EGL_BAD_ALLOC (0x3003); Mali drivers …";

    #[test]
    fn a_line_of_ours_is_an_import() {
        let attempt = read(&format!("other words\n{LINE}\n")).unwrap();
        assert_eq!((attempt.format.as_str(), attempt.size), ("NV12", Size::new(320, 240)));
        assert_eq!(attempt.planes, [(0, 320), (76832, 320)]);
        assert!(attempt.khr && attempt.modifier.is_none());
        let with = LINE.replace("no modifier passed", "modifier ARM_16X16_BLOCK_U_INTERLEAVED");
        assert_eq!(read(&with).unwrap().modifier.as_deref(), Some("ARM_16X16_BLOCK_U_INTERLEAVED"));
        assert!(read("nothing of the kind").is_err());
        assert!(read("offset_bytes stride_bytes").is_err());
        assert!(read("NV12 8x8 offset_bytes 1 stride_bytes 99999999999").is_err());
    }

    #[test]
    fn variants_change_one_thing() {
        let base = read(LINE).unwrap();
        let all = variants(&base, &["dma-heap(system)".into()]).unwrap();
        let of =
            |what: &str| &all.iter().find(|v| v.what == what).unwrap_or_else(|| panic!("{what}: {all:#?}")).attempt;
        assert_eq!(of("offsets multiples of 64").planes, [(0, 320), (76864, 320)]);
        assert_eq!(of("strides multiples of 256").planes, [(0, 512), (512 * 240, 512)]);
        assert_eq!(of("an fd for each plane").planes, base.planes);
        assert_eq!(of("memory of dma-heap(system)").allocator, "dma-heap(system)");
        assert!(all.iter().any(|variant| variant.what == "as NV21"));
        assert!(all.iter().skip(1).all(|variant| variant.attempt != base));
    }
}
