//! Rules of drivers about imports, as data, each with its source.

use crate::error::Result;
use crate::format::Fourcc;
use crate::layout::Size;
use crate::selftest::Use;
use crate::selftest::import::Attempt;

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The offset of every plane is a multiple.
    Offset(u32),
    /// The stride of every plane is a multiple.
    Stride(u32),
    /// The stride of a drawn picture holds a row of a multiple of so many pixels.
    DrawnRow(u32),
    /// The chroma plane lies behind a multiple of so many rows.
    Rows(u32),
    /// The format is none that the driver takes.
    Format(&'static str),
    /// The modifier is one of those the driver knows.
    Modifier(&'static [&'static str]),
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Whose: parts of `GL_RENDERER` or the name of the driver, any of them; none for everybody.
    pub drivers: &'static [&'static str],
    /// In words.
    pub name: &'static str,
    /// For these formats only; none for all.
    pub formats: &'static [Fourcc],
    /// What it is about.
    pub about: About,
    /// What to do, where it is no number.
    pub advice: &'static str,
    /// Who says so.
    pub source: &'static str,
}

const LIMA: &[&str] = &["lima", "Mali450", "Mali400", "Mali-400", "Mali-450"];
const PANFROST: &[&str] = &["panfrost", "panthor", "Mali-T", "Mali-G"];
const MALI: &[&str] = &["lima", "panfrost", "panthor", "Mali", "mali"];
const YUV_420: &[Fourcc] = &[Fourcc::NV12, Fourcc::NV21, Fourcc::YUV420, Fourcc::YVU420];

/// The rules.
pub const RULES: &[Rule] = &[
    Rule {
        drivers: LIMA,
        name: "lima",
        formats: &[],
        about: About::Offset(64),
        advice: "",
        source: "Mesa lima_resource.c @05f8b59c, lima_resource_from_handle",
    },
    Rule {
        drivers: LIMA,
        name: "lima",
        formats: &[],
        about: About::DrawnRow(16),
        advice: "",
        source: "Mesa lima_resource.c @05f8b59c, lima_resource_from_handle",
    },
    Rule {
        drivers: LIMA,
        name: "lima",
        formats: &[],
        about: About::Modifier(&["LINEAR", "ARM_16X16_BLOCK_U_INTERLEAVED", "INVALID"]),
        advice: "allocate linear memory",
        source: "Mesa lima_resource.c @05f8b59c, lima_resource_from_handle",
    },
    Rule {
        drivers: PANFROST,
        name: "panfrost",
        formats: &[],
        about: About::Offset(64),
        advice: "",
        source: "Mesa pan_layout.c @05abdda2, format_minimum_alignment",
    },
    Rule {
        drivers: PANFROST,
        name: "panfrost",
        formats: &[],
        about: About::Stride(64),
        advice: "",
        source: "Mesa pan_layout.c @05abdda2 (Bifrost and later); rockchip-linux/mpp #507",
    },
    Rule {
        drivers: &["Mali-T"],
        name: "Midgard",
        formats: &[Fourcc::NV15],
        about: About::Format("10 bits in tight planes are not taken"),
        advice: "use P010 or NV12",
        source: "warpme/minimyth2 #73",
    },
    Rule {
        drivers: MALI,
        name: "Mali",
        formats: &[],
        about: About::Stride(64),
        advice: "",
        source: "endlessm/chromium-browser PR 8: the width was taken for the stride",
    },
    Rule {
        drivers: MALI,
        name: "Mali",
        formats: YUV_420,
        about: About::Rows(16),
        advice: "",
        source: "rockchip-linux/mpp #637, gstreamer-rockchip #86: chroma lies behind the padded rows",
    },
    Rule {
        drivers: MALI,
        name: "Mali",
        formats: &[Fourcc::RGB888, Fourcc::BGR888],
        about: About::Format("24 bits a pixel are not taken"),
        advice: "use XRGB8888 or XBGR8888",
        source: "rockchip-linux/mpp #707",
    },
    Rule {
        drivers: &["llvmpipe"],
        name: "llvmpipe",
        formats: &[],
        about: About::DrawnRow(4),
        advice: "",
        source: "darkframe selftest, Mesa 25.0: drawing with a stride that is no multiple of 16 bytes crashes",
    },
    Rule {
        drivers: &[],
        name: "DRM formats",
        formats: &[Fourcc::RGBA8888, Fourcc::RGBX8888],
        about: About::Format("is A, B, G, R in memory, and GL_RGBA's bytes are those of ABGR8888"),
        advice: "use ABGR8888 or XBGR8888",
        source: "drm_fourcc.h; Xilinx wiki 2709618765",
    },
];

/// What an attempt breaks, in words with what to use instead, and who says so. `driver`: `GL_RENDERER` or a driver's name.
///
/// # Errors
/// `Unsupported`: a format that the table does not know.
pub fn broken(attempt: &Attempt, driver: &str) -> Result<Vec<(String, &'static str)>> {
    let fourcc: Fourcc = attempt.format.parse()?;
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for rule in RULES {
        let whose = rule.drivers.is_empty() || rule.drivers.iter().any(|part| driver.contains(part));
        if !whose || !(rule.formats.is_empty() || rule.formats.contains(&fourcc)) {
            continue;
        }
        for (words, same) in judge(rule, attempt, fourcc)? {
            // The strictest word about a number comes first in the table.
            if !found.iter().any(|(known, _)| known.ends_with(&same)) {
                found.push((format!("{}: {words}{same}", rule.name), rule.source));
            }
        }
    }
    Ok(found)
}

/// Words, and what two rules about the same number have in common.
fn judge(rule: &Rule, attempt: &Attempt, fourcc: Fourcc) -> Result<Vec<(String, String)>> {
    let format = fourcc.format()?;
    let Size { width, height } = attempt.size;
    let mut found = Vec::new();
    let planes = || attempt.planes.iter().enumerate();
    let multiple = |what: String, value: u64, of: u32| {
        (!value.is_multiple_of(u64::from(of))).then(|| {
            (
                String::new(),
                format!("{what} {value} is not a multiple of {of}; use {}", value.next_multiple_of(u64::from(of))),
            )
        })
    };
    match rule.about {
        About::Offset(of) => {
            found.extend(
                planes().filter_map(|(n, (offset, _))| multiple(format!("plane {n} offset_bytes"), *offset, of)),
            );
        }
        About::Stride(of) => {
            found
                .extend(planes().filter_map(|(n, (_, stride))| {
                    multiple(format!("plane {n} stride_bytes"), u64::from(*stride), of)
                }));
        }
        About::DrawnRow(pixels) if attempt.usage == Use::Render => {
            let needed = format.planes[0].row_bytes(width.next_multiple_of(pixels));
            if let Some((_, stride)) = attempt.planes.first().filter(|(_, stride)| u64::from(*stride) < needed) {
                let text = format!(
                    "stride_bytes {stride} of a target has no room for {pixels} pixels more at its end; use {needed}"
                );
                found.push((String::new(), text));
            }
        }
        About::Rows(of) if attempt.planes.len() > 1 && !attempt.each => {
            let [(first, stride), (second, _)] = [attempt.planes[0], attempt.planes[1]];
            let needed = u64::from(stride) * u64::from(height.next_multiple_of(of));
            if second > first && second - first < needed {
                let text = format!(
                    "plane 1 offset_bytes {second} lies behind {} rows of luma, {height} padded to {of} are {}; use {}",
                    (second - first) / u64::from(stride.max(1)),
                    height.next_multiple_of(of),
                    first + needed
                );
                found.push((String::new(), text));
            }
        }
        About::Format(why) => found.push((String::new(), format!("{fourcc} {why}; {}", rule.advice))),
        About::Modifier(known) => {
            if let Some(modifier) = attempt.modifier.as_deref().filter(|modifier| !known.contains(modifier)) {
                found.push((
                    String::new(),
                    format!("modifier {modifier} is not among {}; {}", known.join(", "), rule.advice),
                ));
            }
        }
        About::DrawnRow(_) | About::Rows(_) => {}
    }
    Ok(found)
}

/// Formats to try in place of one.
pub const fn siblings(fourcc: Fourcc) -> &'static [Fourcc] {
    match fourcc {
        Fourcc::RGB888 => &[Fourcc::XRGB8888, Fourcc::BGR888],
        Fourcc::BGR888 => &[Fourcc::XBGR8888, Fourcc::RGB888],
        Fourcc::RGBA8888 | Fourcc::RGBX8888 | Fourcc::BGRA8888 => &[Fourcc::ABGR8888, Fourcc::ARGB8888],
        Fourcc::ABGR8888 => &[Fourcc::XBGR8888, Fourcc::ARGB8888],
        Fourcc::ARGB8888 => &[Fourcc::XRGB8888, Fourcc::ABGR8888],
        Fourcc::XRGB8888 => &[Fourcc::ARGB8888, Fourcc::XBGR8888],
        Fourcc::XBGR8888 => &[Fourcc::ABGR8888, Fourcc::XRGB8888],
        Fourcc::NV12 => &[Fourcc::NV21, Fourcc::YUV420, Fourcc::YUYV],
        Fourcc::NV21 => &[Fourcc::NV12, Fourcc::YVU420],
        Fourcc::YUV420 | Fourcc::YVU420 => &[Fourcc::NV12],
        Fourcc::NV15 | Fourcc::NV20 => &[Fourcc::P010, Fourcc::NV12],
        Fourcc::P010 => &[Fourcc::NV12],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(format: &str, width: u32, height: u32, planes: &[(u64, u32)]) -> Attempt {
        Attempt { format: format.into(), size: Size::new(width, height), planes: planes.to_vec(), ..Attempt::default() }
    }

    fn words(attempt: &Attempt, driver: &str) -> Vec<String> {
        broken(attempt, driver).unwrap().into_iter().map(|(words, _)| words).collect()
    }

    /// The reports of users, by number of the tracker; each says what to change.
    #[test]
    fn reports_are_explained() {
        // The sentence that was asked for.
        let nv12 = attempt("NV12", 320, 240, &[(0, 320), (76832, 320)]);
        assert!(
            words(&nv12, "lima")
                .contains(&"lima: plane 1 offset_bytes 76832 is not a multiple of 64; use 76864".to_owned())
        );
        // mpp #507: a stride that is the width.
        let found = words(&attempt("NV12", 1080, 1920, &[(0, 1080), (1080 * 1920, 1080)]), "Mali-T860 (Panfrost)");
        assert!(
            found.contains(&"panfrost: plane 0 stride_bytes 1080 is not a multiple of 64; use 1088".to_owned()),
            "{found:?}"
        );
        // mpp #637, gstreamer-rockchip #86: chroma behind 1080 rows, where 1088 were allocated.
        let found = words(&attempt("NV12", 1920, 1080, &[(0, 1920), (1920 * 1080, 1920)]), "Mali-G52");
        assert!(found.iter().any(|text| text.ends_with("use 2088960")), "{found:?}");
        // mpp #707: 24 bits.
        assert!(words(&attempt("RGB888", 64, 64, &[(0, 192)]), "Mali-G610")[0].contains("use XRGB8888"));
        // minimyth2 #73: NV15 on Midgard, and not on Valhall.
        let nv15 = attempt("NV15", 64, 64, &[(0, 128), (128 * 64, 128)]);
        assert!(words(&nv15, "Mali-T860").iter().any(|text| text.contains("P010")));
        assert!(!words(&nv15, "Mali-G610").iter().any(|text| text.contains("P010")));
        // The Xilinx page.
        assert!(words(&attempt("RGBA8888", 64, 64, &[(0, 256)]), "Mali-400 MP")[0].contains("ABGR8888"));
        // Sunshine PR 5288: a modifier of the capture that the GPU does not know.
        let tiled = Attempt { modifier: Some("0x0100000000000001".into()), ..attempt("XRGB8888", 64, 64, &[(0, 256)]) };
        assert!(words(&tiled, "lima")[0].contains("not among LINEAR"));
        // What breaks nothing.
        assert_eq!(words(&attempt("NV12", 1920, 1080, &[(0, 1920), (2_088_960, 1920)]), "Mali450"), [""; 0]);
    }
}
