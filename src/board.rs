//! Facts about one board: nodes, libraries, alignments, known faults. Data only; opens nothing.
//!
//! In: a TOML file of `board-configs/` (its README lists every key) or the built-in generic board.
//! Out: a validated [`Board`]. Not here: opening what it names (`device`, `egl`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

pub use facts::{ENCODERS, Encode, Fault, Limits, Measured};

use crate::config;
use crate::error::{Error, ErrorKind, Result, Span, nearest, read_text};
use crate::layout::Constraints;

mod facts;

/// The files of these names.
macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../board-configs/", $name, ".toml")))),*]
    };
}

/// The board files shipped with the crate: (file name without `.toml`, text).
const SHIPPED: &[(&str, &str)] = shipped![
    "allwinner-lima",
    "allwinner-mali",
    "amlogic-g12",
    "amlogic-lima",
    "generic",
    "mediatek",
    "nvidia-headless",
    "qemu-virt",
    "raspberry-pi",
    "rockchip-mali",
    "rockchip-rk3288",
    "rockchip-rk3399",
    "rockchip-rk356x",
    "rockchip-rk3588",
    "zynqmp-lima",
    "zynqmp-mali",
];

/// Where the kernel says which board this is: NUL-separated strings.
const COMPATIBLE: &str = "/proc/device-tree/compatible";

/// Where the kernel lists DRM nodes.
const DRM_CLASS: &str = "/sys/class/drm";

/// Facts about one board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Board {
    /// For people and reports.
    pub name: String,
    /// How the board is recognised.
    #[serde(default, rename = "match")]
    pub matches: Matches,
    /// Which DRM nodes to use.
    #[serde(default)]
    pub drm: Drm,
    /// How to reach EGL and GLES.
    #[serde(default)]
    pub egl: Egl,
    /// How to allocate.
    #[serde(default)]
    pub allocate: Allocate,
    /// Video encoders.
    #[serde(default)]
    pub encode: Encode,
    /// Numbers of the GPU.
    #[serde(default)]
    pub limits: Limits,
    /// Who measured these facts.
    pub measured: Option<Measured>,
    /// What is known to go wrong.
    #[serde(default)]
    pub fault: Vec<Fault>,
}

/// How a board is recognised: every list that is not empty must have an entry that is found on the machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Matches {
    /// Strings of `/proc/device-tree/compatible`.
    pub compatible: Vec<String>,
    /// Kernel drivers of DRM nodes.
    pub drm_drivers: Vec<String>,
    /// Parts of `GL_RENDERER`; left out of account where no driver has been asked.
    pub gl_renderer: Vec<String>,
}

/// What a machine says of itself.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Strings of `/proc/device-tree/compatible`.
    pub compatible: Vec<String>,
    /// Kernel drivers of its DRM nodes.
    pub drm_drivers: Vec<String>,
    /// `GL_RENDERER`, where a driver has been asked.
    pub gl_renderer: Option<String>,
}

impl Machine {
    /// This machine, without its GL driver. Reads what the kernel says; opens no node.
    pub fn this() -> Self {
        let compatible = std::fs::read(COMPATIBLE).unwrap_or_default();
        let strings = compatible.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let mut drm_drivers = Vec::new();
        for entry in std::fs::read_dir(DRM_CLASS).into_iter().flatten().flatten() {
            for driver in drivers_of(&entry.path().join("device")) {
                if !drm_drivers.contains(&driver) {
                    drm_drivers.push(driver);
                }
            }
        }
        Self {
            compatible: strings.map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            drm_drivers,
            gl_renderer: None,
        }
    }
}

/// The driver of a device in sysfs, and those of its virtio functions: virtio-gpu's device is the bus's, `virtio-pci`.
fn drivers_of(device: &Path) -> Vec<String> {
    let name = |folder: &Path| Some(std::fs::read_link(folder.join("driver")).ok()?.file_name()?.to_str()?.to_owned());
    let mut functions: Vec<_> =
        std::fs::read_dir(device).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    functions.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("virtio")));
    functions.sort();
    std::iter::once(device).chain(functions.iter().map(|path| &**path)).filter_map(name).collect()
}

impl Matches {
    /// How well it fits: 0 where it does not, else more for each list, most for the device tree.
    pub fn fits(&self, machine: &Machine) -> u32 {
        let has = |list: &[String], name: &String| list.contains(name);
        let renderer = machine.gl_renderer.as_deref().unwrap_or_default();
        let mut score = 0;
        for (wanted, weight, found) in [
            (&self.compatible, 4, self.compatible.iter().any(|name| has(&machine.compatible, name))),
            (&self.drm_drivers, 2, self.drm_drivers.iter().any(|name| has(&machine.drm_drivers, name))),
            (&self.gl_renderer, 1, self.gl_renderer.iter().any(|part| renderer.contains(part.as_str()))),
        ] {
            if wanted.is_empty() || (weight == 1 && machine.gl_renderer.is_none()) {
                continue;
            }
            if !found {
                return 0;
            }
            score += weight;
        }
        score
    }
}

/// Which DRM nodes to use. A node is a path (`/dev/dri/card0`) or a driver's name (`rockchip`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drm {
    /// The node for EGL and GBM; the first render node that works where it is left out.
    pub render: Option<String>,
    /// The primary node for dumb buffers; the first that has them where it is left out.
    pub dumb: Option<String>,
}

/// How to reach EGL and GLES.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Egl {
    /// Names or paths of libEGL, tried in order; the first that opens is used.
    pub libraries: Vec<String>,
    /// Names or paths of libGLESv2, likewise. A vendor blob that is both is named in both lists.
    pub gles_libraries: Vec<String>,
    /// Names or paths of libgbm, likewise.
    pub gbm_libraries: Vec<String>,
    /// Platforms tried in order.
    pub platforms: Vec<EglPlatform>,
    /// Libraries made global before libEGL is opened, where they exist.
    pub preload: Vec<String>,
}

/// Where an EGL display comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EglPlatform {
    /// `EGL_KHR_platform_gbm`: a GBM device on a DRM node.
    Gbm,
    /// `EGL_EXT_platform_device`.
    Device,
    /// `EGL_MESA_platform_surfaceless`.
    Surfaceless,
    /// `eglGetDisplay(EGL_DEFAULT_DISPLAY)`: vendor headless blobs.
    Default,
}

impl std::fmt::Display for EglPlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Gbm => "gbm",
            Self::Device => "device",
            Self::Surfaceless => "surfaceless",
            Self::Default => "default",
        })
    }
}

impl Default for Egl {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Self {
            libraries: names(&["libEGL.so.1", "libEGL.so", "libMali.so.1", "libmali.so.1", "libMali.so", "libmali.so"]),
            gles_libraries: names(&[
                "libGLESv2.so.2",
                "libGLESv2.so",
                "libMali.so.1",
                "libmali.so.1",
                "libMali.so",
                "libmali.so",
            ]),
            gbm_libraries: names(&["libgbm.so.1", "libgbm.so", "libMali.so.1", "libmali.so.1"]),
            platforms: vec![EglPlatform::Gbm, EglPlatform::Surfaceless, EglPlatform::Device, EglPlatform::Default],
            preload: names(&["libm.so.6"]),
        }
    }
}

/// How to allocate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Allocate {
    /// Allocators tried in order.
    pub order: Vec<AllocatorKind>,
    /// Names under `/dev/dma_heap`, tried in order.
    pub heaps: Vec<String>,
    /// Every stride is a multiple of this many bytes.
    pub stride_align_bytes: u32,
    /// Every plane offset is a multiple of this many bytes.
    pub offset_align_bytes: u32,
    /// The luma plane holds a multiple of this many rows.
    pub height_align_rows: u32,
    /// Each row has room for a multiple of this many pixels.
    pub width_align_pixels: u32,
    /// Scanout and video blocks read through no IOMMU: their buffers must be contiguous.
    pub contiguous_for_hardware: bool,
}

/// One way to make memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllocatorKind {
    /// DRM dumb buffers.
    Dumb,
    /// GBM buffer objects.
    Gbm,
    /// `/dev/dma_heap/*`.
    DmaHeap,
    /// `/dev/udmabuf` over a sealed memfd.
    Udmabuf,
    /// A sealed memfd: no dma-buf, other processes only.
    Memfd,
}

impl AllocatorKind {
    /// All of them, in the default order.
    pub const ALL: [Self; 5] = [Self::Dumb, Self::Gbm, Self::DmaHeap, Self::Udmabuf, Self::Memfd];
}

impl std::fmt::Display for AllocatorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Dumb => "dumb",
            Self::Gbm => "gbm",
            Self::DmaHeap => "dma-heap",
            Self::Udmabuf => "udmabuf",
            Self::Memfd => "memfd",
        })
    }
}

impl std::str::FromStr for AllocatorKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = Self::ALL.map(|kind| kind.to_string());
        if let Some(at) = names.iter().position(|name| name == text) {
            return Ok(Self::ALL[at]);
        }
        let hint = nearest(text, names.iter().map(String::as_str))
            .map_or_else(|| format!("valid: {}", names.join(", ")), |name| format!("did you mean {name}?"));
        Err(Error::invalid("allocator", format!("\"{text}\" is no allocator")).with_hint(hint))
    }
}

impl Default for Allocate {
    fn default() -> Self {
        let mali = Constraints::MALI;
        Self {
            order: AllocatorKind::ALL.to_vec(),
            heaps: ["linux,cma", "reserved", "default_cma_region", "system"].map(str::to_owned).to_vec(),
            stride_align_bytes: mali.stride_align_bytes,
            offset_align_bytes: mali.offset_align_bytes,
            height_align_rows: mali.height_align_rows,
            width_align_pixels: mali.width_align_pixels,
            contiguous_for_hardware: true,
        }
    }
}

impl Allocate {
    /// The alignments as constraints.
    pub fn constraints(&self) -> Constraints {
        Constraints {
            stride_align_bytes: self.stride_align_bytes,
            offset_align_bytes: self.offset_align_bytes,
            height_align_rows: self.height_align_rows,
            width_align_pixels: self.width_align_pixels,
            ..Constraints::NONE
        }
    }
}

impl Board {
    /// The shipped board that fits this machine best, by its device tree and its DRM drivers, else the generic one.
    ///
    /// # Errors
    /// `Config` where a shipped file is broken (a test holds that none is).
    pub fn detect() -> Result<Self> {
        Ok(Self::fitting(&Machine::this())?.map_or_else(Self::generic, |(_, board)| board))
    }

    /// The shipped board that fits `machine` best, with its name.
    ///
    /// # Errors
    /// As [`Board::detect`].
    pub fn fitting(machine: &Machine) -> Result<Option<(&'static str, Self)>> {
        let mut best: Option<(u32, &'static str, Self)> = None;
        for (name, board) in Self::shipped()? {
            let score = board.matches.fits(machine);
            if score > best.as_ref().map_or(0, |best| best.0) {
                best = Some((score, name, board));
            }
        }
        Ok(best.map(|(_, name, board)| (name, board)))
    }

    /// Every shipped board with its name.
    ///
    /// # Errors
    /// As [`Board::detect`].
    pub fn shipped() -> Result<Vec<(&'static str, Self)>> {
        let parse =
            |(name, text): &(&'static str, &str)| Ok((*name, Self::parse(Path::new(&format!("{name}.toml")), text)?));
        SHIPPED.iter().map(parse).collect()
    }

    /// The text of a shipped board.
    pub fn text(name: &str) -> Option<&'static str> {
        SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The board that assumes nothing.
    pub fn generic() -> Self {
        Self {
            name: "generic".into(),
            matches: Matches::default(),
            drm: Drm::default(),
            egl: Egl::default(),
            allocate: Allocate::default(),
            encode: Encode::default(),
            limits: Limits::default(),
            measured: None,
            fault: Vec::new(),
        }
    }

    /// A shipped board by name, or a file by path (anything with a `/` or ending in `.toml`).
    ///
    /// # Errors
    /// `NotFound` with the nearest name; `Config`.
    pub fn open(name_or_path: &str) -> Result<Self> {
        if name_or_path.contains('/') || name_or_path.ends_with(".toml") {
            let path = PathBuf::from(name_or_path);
            return Self::parse(&path, &read_text(&path, "board")?);
        }
        if let Some((name, text)) = SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
            return Self::parse(Path::new(&format!("{name}.toml")), text);
        }
        let names = SHIPPED.iter().map(|(name, _)| *name);
        let hint = match nearest(name_or_path, names.clone()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("shipped boards: {}", names.collect::<Vec<_>>().join(", ")),
        };
        Err(Error::new(ErrorKind::NotFound, "board", format!("no shipped board \"{name_or_path}\"")).with_hint(hint))
    }

    /// Reads the text of a board file.
    ///
    /// # Errors
    /// `Config` with the place in the text.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let text: Arc<str> = text.into();
        let board: Self = config::parse(path, &text)?;
        let zero = [
            ("stride-align-bytes", board.allocate.stride_align_bytes),
            ("offset-align-bytes", board.allocate.offset_align_bytes),
            ("height-align-rows", board.allocate.height_align_rows),
            ("width-align-pixels", board.allocate.width_align_pixels),
        ]
        .into_iter()
        .find(|(_, value)| *value == 0);
        let empty = [
            ("egl", "libraries", board.egl.libraries.is_empty()),
            ("egl", "gles-libraries", board.egl.gles_libraries.is_empty()),
            ("egl", "platforms", board.egl.platforms.is_empty()),
            ("allocate", "order", board.allocate.order.is_empty()),
        ];
        if let Some((table, key, _)) = empty.into_iter().find(|(_, _, empty)| *empty) {
            let at = text.find(&format!("\n{key}")).map_or(0, |at| at + 1);
            return Err(Error::new(ErrorKind::Config, format!("{table}.{key}"), "an empty list leaves nothing to try")
                .with_hint("remove the key to take the default")
                .with_span(Span::new(path, text.clone(), at..at + key.len())));
        }
        if let Some((node, known)) = board.encode.mistyped() {
            let at = text.find(&format!("\"{node}\"")).unwrap_or(0);
            return Err(Error::new(ErrorKind::Config, "encode.nodes", format!("\"{node}\": no encoder known here"))
                .with_hint(format!("did you mean \"{known}\"?"))
                .with_span(Span::new(path, text.clone(), at..at + node.len() + 2)));
        }
        if let Some((key, _)) = zero {
            let at = text.find(key).unwrap_or(0);
            return Err(Error::new(ErrorKind::Config, format!("allocate.{key}"), "0: alignments start at 1")
                .with_span(Span::new(path, text.clone(), at..at + key.len())));
        }
        Ok(board)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_boards_parse_and_generic_says_what_the_code_says() {
        for (name, _) in SHIPPED {
            Board::open(name).unwrap();
        }
        assert_eq!(format!("{:?}", Board::open("generic").unwrap()), format!("{:?}", Board::generic()));
    }

    #[test]
    fn the_board_with_most_in_common_fits_best() {
        let matches = |compatible: &[&str], drivers: &[&str]| Matches {
            compatible: compatible.iter().map(|name| name.to_string()).collect(),
            drm_drivers: drivers.iter().map(|name| name.to_string()).collect(),
            gl_renderer: vec!["Mali-400".into()],
        };
        let machine = |renderer: Option<&str>| Machine {
            compatible: vec!["xlnx,zynqmp-zcu102".into(), "xlnx,zynqmp".into()],
            drm_drivers: vec!["xlnx".into(), "lima".into()],
            gl_renderer: renderer.map(str::to_owned),
        };
        let plain = matches(&["xlnx,zynqmp"], &[]);
        let lima = matches(&["xlnx,zynqmp"], &["lima"]);
        assert!(lima.fits(&machine(None)) > plain.fits(&machine(None)) && plain.fits(&machine(None)) > 0);
        assert_eq!(matches(&["xlnx,zynqmp"], &["panfrost"]).fits(&machine(None)), 0);
        assert_eq!(matches(&["rockchip,rk3399"], &["lima"]).fits(&machine(None)), 0);
        assert!(lima.fits(&machine(Some("Mali-400 MP"))) > lima.fits(&machine(None)));
        assert_eq!(lima.fits(&machine(Some("Mali-G52"))), 0);
        assert_eq!(Matches::default().fits(&machine(None)), 0);
    }

    #[test]
    fn the_driver_of_a_virtio_function_is_found() {
        let folder = std::env::temp_dir().join(format!("darkframe-sysfs-{}", std::process::id()));
        let function = folder.join("virtio0");
        std::fs::create_dir_all(&function).unwrap();
        std::os::unix::fs::symlink("../../../bus/pci/drivers/virtio-pci", folder.join("driver")).unwrap();
        std::os::unix::fs::symlink("../../../../bus/virtio/drivers/virtio_gpu", function.join("driver")).unwrap();
        let found = drivers_of(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, ["virtio-pci", "virtio_gpu"]);
    }

    #[test]
    fn errors_have_places_and_hints() {
        let error = Board::parse(Path::new("b.toml"), "name = \"x\"\n[egl]\nplatform = []\n").unwrap_err();
        assert!(error.to_string().contains("b.toml:3:1") && error.to_string().contains("`platforms`"), "{error}");
        let error =
            Board::parse(Path::new("b.toml"), "name = \"x\"\n[allocate]\nstride-align-bytes = 0\n").unwrap_err();
        assert!(error.to_string().starts_with("b.toml:3:1: allocate.stride-align-bytes"), "{error}");
        let error =
            Board::parse(Path::new("b.toml"), "name = \"x\"\n[encode]\nnodes = [\"/dev/video9\", \"alegro-dvt\"]\n");
        let said = error.unwrap_err().to_string();
        assert!(
            said.starts_with("b.toml:3:25: encode.nodes") && said.contains("did you mean \"allegro-dvt\"?"),
            "{said}"
        );
        assert_eq!(Encode::kernel_names("hantro"), ["hantro-vpu"]);
        assert_eq!(Encode::kernel_names("coda"), ["coda"]);
        assert!(Board::open("generik").unwrap_err().to_string().contains("did you mean generic?"));
    }
}
