//! Known faults of drivers, as a table: what a case is known to come to, and why.

use super::{Driver, Outcome};

/// One known fault.
#[derive(Debug)]
pub struct Known {
    /// Each is a part of `GL_VERSION`, `GL_RENDERER`, or the display (EGL's words, node and kernel driver).
    pub driver: &'static [&'static str],
    /// Each is a part of the case.
    pub case: &'static [&'static str],
    /// A part of the outcome's words.
    pub outcome: &'static str,
    /// What is the matter.
    pub why: &'static str,
}

/// The table. The first row that fits counts.
pub const KNOWN: &[Known] = &[
    Known {
        driver: &["Mesa 25.", "llvmpipe"],
        case: &["memory "],
        outcome: "CRASH: SIGSEGV",
        why: "maps every imported buffer through its own DRM node, which refuses that for memory of others; then draws through NULL",
    },
    Known {
        driver: &["Mesa 25.", "llvmpipe"],
        case: &["memory ", "NV12"],
        outcome: "EGL_BAD_ALLOC",
        why: "lists YUV formats of more than one plane and refuses every import of one",
    },
    Known {
        driver: &["Mesa 25.", "llvmpipe"],
        case: &["memory "],
        outcome: "EGL_BAD_ALLOC",
        why: "maps every imported buffer through its own DRM node, which refuses that for memory of others",
    },
    Known {
        driver: &["Mesa 25.", "llvmpipe"],
        case: &["yuv "],
        outcome: "EGL_BAD_ALLOC",
        why: "lists YUV formats of more than one plane and refuses every import of one",
    },
    Known {
        driver: &["Mesa 26.", "llvmpipe"],
        case: &["yuv NV15"],
        outcome: "[255, 0, 0]",
        why: "samples tight 10-bit planes as red",
    },
    Known {
        driver: &["Mesa 26.", "llvmpipe"],
        case: &["yuv NV20"],
        outcome: "[255, 0, 0]",
        why: "samples tight 10-bit planes as red",
    },
    Known {
        driver: &["Mesa 26.", "llvmpipe"],
        case: &["yuv Y210"],
        outcome: "[0, ",
        why: "samples Y210 as green; Y212 is right",
    },
    Known {
        driver: &["Mesa 26.", "llvmpipe"],
        case: &["yuv Y216"],
        outcome: "[0, ",
        why: "samples Y216 as green; Y212 is right",
    },
    Known {
        driver: &["llvmpipe"],
        case: &["placement ", " drawn-"],
        outcome: "CRASH: SIGSEGV",
        why: "draws with stores that want 16 bytes of alignment, into targets whose stride or offset has less",
    },
    Known {
        driver: &["llvmpipe"],
        case: &["sync native-fence-pending"],
        outcome: "eglWaitSync blocks",
        why: "waits for native fences on the calling thread, without an end",
    },
    Known {
        driver: &["llvmpipe"],
        case: &["sync implicit-out"],
        outcome: "signals before the pixels",
        why: "puts no fence of its work on dma-bufs",
    },
    Known {
        driver: &["llvmpipe"],
        case: &["guard no-dma-buf"],
        outcome: "",
        why: "does not check that an fd is a dma-buf, or refuses it without an error code",
    },
    Known {
        driver: &["Mesa 26.", "llvmpipe"],
        case: &["guard too-small"],
        outcome: "an image was made",
        why: "takes pictures larger than their memory: reads run past it",
    },
    Known {
        driver: &["NVIDIA"],
        case: &["readback export"],
        outcome: "EGL_BAD_MATCH",
        why: "offers EGL_MESA_image_dma_buf_export and exports nothing without a DRM node",
    },
];

/// The row for an outcome that is a fault.
pub fn find(driver: &Driver, case: &str, outcome: &Outcome) -> Option<&'static Known> {
    if matches!(outcome, Outcome::Ok { .. } | Outcome::Unsupported { .. } | Outcome::NotTried { .. }) {
        return None;
    }
    let who = format!("{} {} {} {}", driver.version, driver.renderer, driver.egl, driver.kernel_driver);
    let what = outcome.to_string();
    let all = |parts: &[&str], text: &str| parts.iter().all(|part| text.contains(part));
    KNOWN.iter().find(|known| {
        all(known.driver, &who) && known.case.iter().all(|part| case.contains(part)) && what.contains(known.outcome)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_found_by_driver_case_and_outcome() {
        let driver = Driver {
            version: "OpenGL ES 3.2 Mesa 25.0.7-2".into(),
            renderer: "llvmpipe (LLVM 19.1.7, 128 bits)".into(),
            ..Driver::default()
        };
        let crash = Outcome::Crash { why: "SIGSEGV".into() };
        let case = "memory dma-heap(system) ABGR8888 LINEAR external";
        assert!(find(&driver, case, &crash).is_some_and(|known| known.why.contains("NULL")));
        assert!(find(&driver, "readback map", &crash).is_none());
        assert!(find(&driver, case, &Outcome::ok()).is_none());
        let other = Driver { version: "OpenGL ES 3.1 Mesa 25.0.7".into(), renderer: "Mali-G52".into(), ..driver };
        assert!(find(&other, case, &crash).is_none());
    }
}
