//! The machine's nodes: DRM devices, dma-heaps, udmabuf, and who they are.
//!
//! In: a [`Board`]. Out: opened files with names for errors and reports, and [`Device::allocate`].
//! Not here: making memory (`allocator`), EGL (`egl::display` takes the render node from here).

use std::any::Any;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::board::Board;
use crate::error::{Error, ErrorKind, Result};

/// One opened DRM node. Clones share the file.
#[derive(Clone, Debug)]
pub struct DrmNode(Arc<DrmNodeInner>);

#[derive(Debug)]
struct DrmNodeInner {
    path: PathBuf,
    driver: String,
    file: File,
}

impl DrmNode {
    /// Opens a node for reading and writing and asks its driver's name.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied` (the hint names the group), `Unsupported` where it is no DRM node.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::options().read(true).write(true).open(path).map_err(|error| {
            let error = Error::from_io("open", path.display(), error);
            match error.kind() {
                ErrorKind::PermissionDenied => {
                    error.with_hint("add this user to the groups that own the nodes of /dev/dri (video, render)")
                }
                _ => error,
            }
        })?;
        let driver = drm::Device::get_driver(&RawNode(&file))
            .map_err(|error| Error::unsupported("DRM_IOCTL_VERSION", format!("{}: {error}", path.display())))?
            .name()
            .to_string_lossy()
            .into_owned();
        // Who opens a card first becomes its master, and would keep a display from others as long as it is open.
        let _ = drm::Device::release_master_lock(&RawNode(&file));
        Ok(Self(Arc::new(DrmNodeInner { path: path.to_owned(), driver, file })))
    }

    /// `/dev/dri/…`
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The kernel driver's name: `virtio_gpu`, `panfrost`, `rockchip`, …
    pub fn driver(&self) -> &str {
        &self.0.driver
    }

    /// A render node (`renderD*`): no dumb buffers, no modesetting.
    pub fn is_render(&self) -> bool {
        self.0.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"))
    }
}

impl AsFd for DrmNode {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl drm::Device for DrmNode {}
impl drm::control::Device for DrmNode {}

struct RawNode<'a>(&'a File);

impl AsFd for RawNode<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for RawNode<'_> {}

/// The machine's nodes, as far as this user may open them.
#[derive(Clone, Debug)]
pub struct Device {
    board: Arc<Board>,
    nodes: Vec<DrmNode>,
    refused: Vec<Refused>,
    /// Opened allocators. The type is the `allocator` layer's own: this layer does not know it.
    allocators: Arc<OnceLock<Box<dyn Any + Send + Sync>>>,
}

/// A node that is there and could not be opened.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The node.
    pub path: PathBuf,
    /// Why, as text.
    pub why: String,
}

impl Device {
    /// Looks at every node of `/dev/dri`. A machine without any is fine: frames are then copied.
    ///
    /// # Errors
    /// Those of a node that the board names.
    pub fn open(board: &Board) -> Result<Self> {
        let mut device =
            Self { board: Arc::new(board.clone()), nodes: Vec::new(), refused: Vec::new(), allocators: Arc::default() };
        let mut paths: Vec<PathBuf> = std::fs::read_dir("/dev/dri")
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("card") || name.starts_with("renderD")
        });
        paths.sort();
        for path in paths {
            match DrmNode::open(&path) {
                Ok(node) => device.nodes.push(node),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "DRM node not used");
                    device.refused.push(Refused { path, why: error.to_string() });
                }
            }
        }
        for wanted in [&device.board.drm.render, &device.board.drm.dumb].into_iter().flatten() {
            device.find(wanted)?;
        }
        Ok(device)
    }

    /// The allocators that were opened on this device, made by `new` at the first call.
    pub(crate) fn allocator_cache<T: Send + Sync + 'static>(&self, new: impl FnOnce() -> T) -> &T {
        let any = self.allocators.get_or_init(|| Box::new(new()));
        any.downcast_ref().expect("only the allocator layer stores something here")
    }

    /// The facts this device was opened with.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Every DRM node that could be opened, by path.
    pub fn nodes(&self) -> &[DrmNode] {
        &self.nodes
    }

    /// Nodes that are there and could not be opened.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// A node by path or driver name.
    ///
    /// # Errors
    /// `NotFound` with what is there; the node's own error where it could not be opened.
    pub fn find(&self, wanted: &str) -> Result<&DrmNode> {
        let found = self.nodes.iter().find(|node| node.driver() == wanted || node.path() == Path::new(wanted));
        found.ok_or_else(|| {
            if let Some(refused) = self.refused.iter().find(|refused| refused.path == Path::new(wanted)) {
                return Error::new(ErrorKind::PermissionDenied, "drm node", refused.why.clone());
            }
            let there: Vec<String> =
                self.nodes.iter().map(|node| format!("{} ({})", node.path().display(), node.driver())).collect();
            let there = if there.is_empty() { "no DRM node at all".into() } else { there.join(", ") };
            Error::new(ErrorKind::NotFound, "drm node", format!("\"{wanted}\" is not on this machine"))
                .with_hint(format!("there is {there}; set [drm] in the board file to a path or a driver name"))
        })
    }

    /// The nodes on which GBM and EGL are tried, best first: the board's, then render nodes, then primary nodes.
    pub fn render_candidates(&self) -> Vec<&DrmNode> {
        if let Some(wanted) = &self.board.drm.render {
            return self.find(wanted).into_iter().collect();
        }
        let (render, primary): (Vec<_>, Vec<_>) = self.nodes.iter().partition(|node| node.is_render());
        render.into_iter().chain(primary).collect()
    }

    /// The primary nodes on which dumb buffers are tried, best first.
    pub fn dumb_candidates(&self) -> Vec<&DrmNode> {
        if let Some(wanted) = &self.board.drm.dumb {
            // By driver name the primary node is meant, also where its render node comes first.
            let primary = self.nodes.iter().filter(|node| !node.is_render());
            return primary.filter(|node| node.driver() == wanted || node.path() == Path::new(wanted)).collect();
        }
        self.nodes.iter().filter(|node| !node.is_render()).collect()
    }
}
