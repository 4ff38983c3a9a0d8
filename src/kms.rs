//! A display: pictures of ours on a connector, by atomic commits with fences in both directions.
//!
//! In: a card, a connector, buffers with fences. Out: pictures on the screen, one per refresh; each buffer back when the
//! next one is shown. Not here: drawing, memory.
//!
//! Nothing is taken from others: where somebody else is the master of the card, or its virtual terminal is shown, opening
//! fails. What was shown before is shown again at the end.
//!
//! # References
//! `Documentation/gpu/drm-kms.rst`

use std::any::Any;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use drm::control::{Device as _, Mode, ResourceHandle, connector, crtc, plane};
use drm::{ClientCapability, Device as _};

use crate::buffer::{Buffer, Memory, MemoryId};
use crate::device::DrmNode;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::fence::Fence;
use crate::format::{Fourcc, Modifier};
use crate::layout::{Layout, Size};
use crate::sys::kms as sys;

mod formats;

/// A display that takes longer than this for a picture hangs.
const HANG: Duration = Duration::from_secs(10);
/// Framebuffers that are remembered.
const REMEMBERED: usize = 16;

/// What is shown where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The card, by path or driver name; the first with a screen where nothing is said.
    pub device: Option<String>,
    /// The connector, as `HDMI-A-1`; the first with a screen where nothing is said.
    pub connector: Option<String>,
    /// What is shown is written back, where the card has a connector for that.
    pub write_back: bool,
}

/// Names of an object's properties, with their numbers and values.
type Properties = HashMap<String, (u32, u64)>;

/// A connector that can be used.
struct Found {
    node: DrmNode,
    connector: connector::Handle,
    name: String,
    modes: Vec<Mode>,
}

/// One of our buffers as the card knows it.
struct Framebuffer {
    key: (Layout, Vec<MemoryId>),
    id: u32,
    handles: Vec<u32>,
}

/// A picture that is, or is going to be, on the screen.
struct Shown {
    _buffer: Buffer,
    _keep: Box<dyn Any + Send + Sync>,
    /// Signals when it is there.
    fence: Option<Fence>,
}

/// A connector of a card, with a mode set.
pub struct Screen {
    node: DrmNode,
    name: String,
    size: Size,
    crtc: u32,
    plane: u32,
    crtc_properties: Properties,
    plane_properties: Properties,
    /// The write-back connector and its properties.
    write_back: Option<(u32, Properties)>,
    formats: Vec<(Fourcc, Modifier)>,
    /// What the first commit sets beside the plane.
    mode: Vec<(sys::Property, u64)>,
    /// What puts everything back.
    restore: Vec<(sys::Property, u64)>,
    blobs: Vec<u64>,
    framebuffers: Vec<Framebuffer>,
    /// On the screen, and on its way there.
    shown: Option<Shown>,
    next: Option<Shown>,
    count: u64,
}

fn failed(op: &'static str, node: &DrmNode) -> impl Fn(std::io::Error) -> Error {
    let name = format!("{} ({})", node.path().display(), node.driver());
    move |error| Error::from_io(op, &name, error)
}

fn properties<T: ResourceHandle>(node: &DrmNode, handle: T) -> Result<Properties> {
    let set = node.get_properties(handle).map_err(failed("DRM_IOCTL_MODE_OBJ_GETPROPERTIES", node))?;
    let mut found = HashMap::new();
    for (property, value) in &set {
        let info = node.get_property(*property).map_err(failed("DRM_IOCTL_MODE_GETPROPERTY", node))?;
        found.insert(info.name().to_string_lossy().into_owned(), (u32::from(*property), *value));
    }
    Ok(found)
}

/// The number of a property.
fn id(properties: &Properties, name: &str) -> Result<u32> {
    let found = properties.get(name).map(|(id, _)| *id);
    found.ok_or_else(|| Error::unsupported("kms", format!("the driver has no property {name}")))
}

impl Found {
    /// The connector that is wanted.
    fn find(options: &Options) -> Result<Self> {
        let mut cards: Vec<PathBuf> = match &options.device {
            Some(path) if path.starts_with('/') => vec![path.into()],
            _ => std::fs::read_dir("/dev/dri")
                .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                .unwrap_or_default(),
        };
        cards.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("card")));
        cards.sort();
        let mut there = Vec::new();
        let mut drivers = Vec::new();
        for path in cards {
            let node = match DrmNode::open(&path) {
                Ok(node) => node,
                Err(error) if options.device.as_deref() == path.to_str() => return Err(error),
                Err(_) => continue,
            };
            drivers.push(node.driver().to_owned());
            let named = |name: &String| name == node.driver() || path.to_str() == Some(name);
            if !options.device.as_ref().is_none_or(named) {
                continue;
            }
            let Ok(resources) = node.resource_handles() else { continue };
            // Only the master may have connectors looked at anew; whoever else is has done that.
            let is_master = node.acquire_master_lock().is_ok();
            for handle in resources.connectors() {
                let info = node.get_connector(*handle, true).map_err(failed("DRM_IOCTL_MODE_GETCONNECTOR", &node))?;
                let name = info.to_string();
                let connected = match info.state() {
                    connector::State::Connected => true,
                    connector::State::Unknown => !is_master,
                    connector::State::Disconnected => false,
                };
                let wanted = options.connector.as_ref().map_or(connected, |wanted| *wanted == name);
                if wanted && connected {
                    let modes = info.modes().to_vec();
                    return Ok(Self { node, connector: *handle, name, modes });
                }
                if wanted {
                    let detail = format!("{name} of {}: no screen is connected", path.display());
                    return Err(Error::new(ErrorKind::NotFound, "connector", detail));
                }
                there.push(name);
            }
        }
        match (&options.connector, &options.device) {
            (Some(wanted), _) if !there.is_empty() => {
                let hint = match nearest(wanted, there.iter().map(String::as_str)) {
                    Some(name) => format!("did you mean \"{name}\"?"),
                    None => format!("there is {}", there.join(", ")),
                };
                let detail = format!("there is no connector \"{wanted}\"");
                Err(Error::new(ErrorKind::NotFound, "connector", detail).with_hint(hint))
            }
            (_, Some(wanted)) if !drivers.contains(wanted) && !wanted.starts_with('/') => {
                let hint = match nearest(wanted, drivers.iter().map(String::as_str)) {
                    Some(name) => format!("did you mean \"{name}\"?"),
                    None => format!("there is {}", drivers.join(", ")),
                };
                Err(Error::new(ErrorKind::NotFound, "device", format!("there is no card \"{wanted}\"")).with_hint(hint))
            }
            _ => Err(Error::new(ErrorKind::NotFound, "connector", "no screen is connected to any card")
                .with_hint("`darkframe probe` lists the cards")),
        }
    }
}

impl Screen {
    /// Becomes master of the card and finds the way to the connector; shows nothing yet.
    ///
    /// # Errors
    /// `NotFound`, `op` being the key: no such card or connector, with the nearest; `PermissionDenied` where somebody else
    /// is the card's master; `Unsupported` where the driver is not atomic.
    pub fn open(options: &Options, size: Size) -> Result<Self> {
        let Found { node, connector, name, modes } = Found::find(options)?;
        node.acquire_master_lock().map_err(|error| {
            let detail = format!("{} ({}): {error}", node.path().display(), node.driver());
            Error::new(ErrorKind::PermissionDenied, "DRM_IOCTL_SET_MASTER", detail)
                .with_hint("somebody else shows pictures there: end the compositor, or leave its virtual terminal")
        })?;
        for capability in [ClientCapability::UniversalPlanes, ClientCapability::Atomic] {
            node.set_client_capability(capability, true).map_err(|error| {
                let detail = format!("{}: {} is not atomic: {error}", node.path().display(), node.driver());
                Error::unsupported("DRM_IOCTL_SET_CLIENT_CAP", detail)
            })?;
        }
        if options.write_back {
            node.set_client_capability(ClientCapability::WritebackConnectors, true).map_err(|error| {
                Error::unsupported("DRM_IOCTL_SET_CLIENT_CAP", format!("write-back connectors: {error}"))
            })?;
        }
        let Some(mode) = modes.iter().find(|mode| mode.size() == (size.width as u16, size.height as u16)) else {
            let mut sizes: Vec<String> =
                modes.iter().map(|mode| format!("{}x{}", mode.size().0, mode.size().1)).collect();
            sizes.dedup();
            return Err(Error::invalid("size", format!("{name} has no mode of {size}"))
                .with_hint(format!("give the pass a size that it has: {}", sizes.join(", "))));
        };
        let resources = node.resource_handles().map_err(failed("DRM_IOCTL_MODE_GETRESOURCES", &node))?;
        let crtc = Self::crtc(&node, &resources, connector)?;
        let plane = Self::plane(&node, &resources, crtc)?;
        let crtc_properties = properties(&node, crtc)?;
        let plane_properties = properties(&node, plane)?;
        let connector_properties = properties(&node, connector)?;
        let write_back = match options.write_back {
            true => Some(Self::write_back(&node, &resources)?),
            false => None,
        };
        let info = node.get_plane(plane).map_err(failed("DRM_IOCTL_MODE_GETPLANE", &node))?;
        let listed = plane_properties.get("IN_FORMATS").filter(|(_, blob)| *blob != 0);
        let formats = match listed.and_then(|(_, blob)| node.get_property_blob(*blob).ok()) {
            Some(blob) => formats::read(&blob)?,
            // Before modifiers what a driver shows lies row by row.
            None => info.formats().iter().map(|code| (Fourcc(*code), Modifier::LINEAR)).collect(),
        };
        let (crtc, plane) = (u32::from(crtc), u32::from(plane));
        let mut screen = Self {
            name: format!("{name} of {}", node.path().display()),
            node,
            size,
            crtc,
            plane,
            crtc_properties,
            plane_properties,
            write_back,
            formats,
            mode: Vec::new(),
            restore: Vec::new(),
            blobs: Vec::new(),
            framebuffers: Vec::new(),
            shown: None,
            next: None,
            count: 0,
        };
        screen.remember(connector.into(), &connector_properties)?;
        screen.set_mode(connector.into(), &connector_properties, *mode)?;
        Ok(screen)
    }

    fn crtc(
        node: &DrmNode,
        resources: &drm::control::ResourceHandles,
        connector: connector::Handle,
    ) -> Result<crtc::Handle> {
        let info = node.get_connector(connector, false).map_err(failed("DRM_IOCTL_MODE_GETCONNECTOR", node))?;
        let current = info.current_encoder().and_then(|encoder| node.get_encoder(encoder).ok()?.crtc());
        let possible = || {
            let encoders = info.encoders().iter().filter_map(|encoder| node.get_encoder(*encoder).ok());
            encoders.flat_map(|encoder| resources.filter_crtcs(encoder.possible_crtcs())).next()
        };
        current.or_else(possible).ok_or_else(|| Error::unsupported("kms", "no CRTC leads to this connector"))
    }

    /// The primary plane of a CRTC.
    fn plane(node: &DrmNode, resources: &drm::control::ResourceHandles, crtc: crtc::Handle) -> Result<plane::Handle> {
        const PRIMARY: u64 = 1;
        let handles = node.plane_handles().map_err(failed("DRM_IOCTL_MODE_GETPLANERESOURCES", node))?;
        for handle in handles {
            let info = node.get_plane(handle).map_err(failed("DRM_IOCTL_MODE_GETPLANE", node))?;
            let leads = resources.filter_crtcs(info.possible_crtcs()).contains(&crtc);
            let kind = properties(node, handle)?.get("type").map(|(_, value)| *value);
            if leads && kind == Some(PRIMARY) {
                return Ok(handle);
            }
        }
        Err(Error::unsupported("kms", "the CRTC has no primary plane"))
    }

    fn write_back(node: &DrmNode, resources: &drm::control::ResourceHandles) -> Result<(u32, Properties)> {
        for handle in resources.connectors() {
            let info = node.get_connector(*handle, false).map_err(failed("DRM_IOCTL_MODE_GETCONNECTOR", node))?;
            if info.interface() == connector::Interface::Writeback {
                return Ok((u32::from(*handle), properties(node, *handle)?));
            }
        }
        Err(Error::unsupported("kms", format!("{} writes nothing back", node.driver())))
    }

    /// Notes what puts everything back.
    fn remember(&mut self, connector: u32, connector_properties: &Properties) -> Result<()> {
        let info = self.node.get_crtc(drm::control::from_u32(self.crtc).ok_or_else(|| Error::failed("kms", "CRTC 0"))?);
        let info = info.map_err(failed("DRM_IOCTL_MODE_GETCRTC", &self.node))?;
        // The mode's own blob goes when nobody uses it any more.
        let mode = match info.mode() {
            Some(mode) => self.blob(mode)?,
            None => 0,
        };
        let value = |properties: &Properties, name: &str| properties.get(name).map_or(0, |(_, value)| *value);
        self.restore = vec![
            ((connector, id(connector_properties, "CRTC_ID")?), value(connector_properties, "CRTC_ID")),
            ((self.crtc, id(&self.crtc_properties, "MODE_ID")?), mode),
            ((self.crtc, id(&self.crtc_properties, "ACTIVE")?), value(&self.crtc_properties, "ACTIVE")),
        ];
        for name in ["FB_ID", "CRTC_ID", "SRC_X", "SRC_Y", "SRC_W", "SRC_H", "CRTC_X", "CRTC_Y", "CRTC_W", "CRTC_H"] {
            let property = (self.plane, id(&self.plane_properties, name)?);
            self.restore.push((property, value(&self.plane_properties, name)));
        }
        Ok(())
    }

    fn blob(&mut self, mode: Mode) -> Result<u64> {
        let blob =
            self.node.create_property_blob(&mode).map_err(failed("DRM_IOCTL_MODE_CREATEPROPBLOB", &self.node))?;
        let blob: u64 = blob.into();
        self.blobs.push(blob);
        Ok(blob)
    }

    /// Tells how the first commit sets the mode.
    fn set_mode(&mut self, connector: u32, connector_properties: &Properties, mode: Mode) -> Result<()> {
        let blob = self.blob(mode)?;
        self.mode = vec![
            ((connector, id(connector_properties, "CRTC_ID")?), self.crtc.into()),
            ((self.crtc, id(&self.crtc_properties, "MODE_ID")?), blob),
            ((self.crtc, id(&self.crtc_properties, "ACTIVE")?), 1),
        ];
        Ok(())
    }

    /// What it is, for messages: `Virtual-1 of /dev/dri/card2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Pictures shown.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Fails unless the plane shows this format so laid out.
    ///
    /// # Errors
    /// `Unsupported`, `op` being `format`, with what it shows.
    pub fn check(&self, fourcc: Fourcc, modifier: Modifier) -> Result<()> {
        let modifier = if modifier == Modifier::INVALID { Modifier::LINEAR } else { modifier };
        if self.formats.contains(&(fourcc, modifier)) {
            return Ok(());
        }
        let of: Vec<String> = self
            .formats
            .iter()
            .filter(|(known, _)| *known == fourcc)
            .map(|(_, modifier)| modifier.to_string())
            .collect();
        if !of.is_empty() {
            let detail = format!("{} shows {fourcc} not with modifier {modifier}", self.name);
            return Err(Error::unsupported("format", detail).with_hint(format!("it shows {}", of.join(", "))));
        }
        let mut names: Vec<String> = self.formats.iter().map(|(known, _)| known.to_string()).collect();
        names.dedup();
        Err(Error::unsupported("format", format!("{} does not show {fourcc}", self.name))
            .with_hint(format!("give the pass a format that it shows: {}", names.join(", "))))
    }

    /// The card's number of a buffer.
    fn framebuffer(&mut self, buffer: &Buffer) -> Result<u32> {
        let key = (buffer.layout().clone(), buffer.ids().collect::<Vec<_>>());
        if let Some(known) = self.framebuffers.iter().position(|known| known.key == key) {
            let known = self.framebuffers.remove(known);
            let id = known.id;
            self.framebuffers.push(known);
            return Ok(id);
        }
        if buffer.memory() != Memory::DmaBuf {
            return Err(Error::unsupported("kms", "pictures that lie in memory files cannot be shown: no dma-buf"));
        }
        let layout = buffer.layout();
        let (mut handles, mut pitches, mut offsets) = ([0; 4], [0; 4], [0; 4]);
        let mut modifiers = [0; 4];
        let mut own = Vec::new();
        for (index, plane) in layout.planes().iter().enumerate() {
            let handle = drm_ffi::gem::fd_to_handle(self.node.as_fd(), buffer.plane_fd(index)).map_err(|error| {
                Error::from_io("DRM_IOCTL_PRIME_FD_TO_HANDLE", format!("{}: {layout}", self.name), error)
                    .with_hint("many displays show their own memory only: allocate dumb buffers of that card")
            })?;
            handles[index] = handle.handle;
            if !own.contains(&handle.handle) {
                own.push(handle.handle);
            }
            pitches[index] = plane.stride_bytes;
            offsets[index] = u32::try_from(plane.offset_bytes)
                .map_err(|_| Error::invalid("kms", format!("{layout}: offsets beyond 32 bits")))?;
            modifiers[index] = layout.modifier.0;
        }
        const WITH_MODIFIERS: u32 = 2;
        let size = layout.size;
        let flags = if layout.modifier == Modifier::INVALID { 0 } else { WITH_MODIFIERS };
        let node = self.node.as_fd();
        let add = |flags: u32, modifiers: &[u64; 4]| {
            drm_ffi::mode::add_fb2(
                node,
                size.width,
                size.height,
                layout.fourcc.0,
                &handles,
                &pitches,
                &offsets,
                modifiers,
                flags,
            )
        };
        // Drivers that know no modifiers refuse the flag.
        let made = add(flags, &modifiers).or_else(|error| match layout.modifier {
            Modifier::LINEAR => add(0, &[0; 4]),
            _ => Err(error),
        });
        let made = made.map_err(|error| {
            for handle in &own {
                let _ = drm_ffi::gem::close(self.node.as_fd(), *handle);
            }
            Error::from_io("DRM_IOCTL_MODE_ADDFB2", format!("{}: {layout}", self.name), error)
        })?;
        self.framebuffers.push(Framebuffer { key, id: made.fb_id, handles: own });
        if self.framebuffers.len() > REMEMBERED {
            let oldest = self.framebuffers.remove(0);
            self.forget(&oldest);
        }
        Ok(made.fb_id)
    }

    fn forget(&self, framebuffer: &Framebuffer) {
        let _ = drm_ffi::mode::rm_fb(self.node.as_fd(), framebuffer.id);
        for handle in &framebuffer.handles {
            let _ = drm_ffi::gem::close(self.node.as_fd(), *handle);
        }
    }

    /// Shows a picture at the next refresh after `fence` has signaled. Blocks until the one before is on the screen; `keep`
    /// is dropped when the next one is. With `into` what is shown is also written there, complete when the returned fence
    /// signals.
    ///
    /// # Errors
    /// `Unsupported` where the plane does not show it; `Timeout` where the display hangs; those of the driver.
    pub fn show(
        &mut self,
        buffer: Buffer,
        fence: Option<Fence>,
        keep: Box<dyn Any + Send + Sync>,
        into: Option<&Buffer>,
    ) -> Result<Option<Fence>> {
        self.check(buffer.fourcc(), buffer.layout().modifier)?;
        let framebuffer = self.framebuffer(&buffer)?;
        let plane = |name: &str| id(&self.plane_properties, name).map(|property| (self.plane, property));
        let (width, height) = (u64::from(self.size.width), u64::from(self.size.height));
        let mut values = vec![
            (plane("FB_ID")?, u64::from(framebuffer)),
            (plane("CRTC_ID")?, self.crtc.into()),
            (plane("SRC_X")?, 0),
            (plane("SRC_Y")?, 0),
            (plane("SRC_W")?, width << 16),
            (plane("SRC_H")?, height << 16),
            (plane("CRTC_X")?, 0),
            (plane("CRTC_Y")?, 0),
            (plane("CRTC_W")?, width),
            (plane("CRTC_H")?, height),
        ];
        if let Some(fence) = &fence {
            values.push((plane("IN_FENCE_FD")?, fence.as_fd().as_raw_fd() as u64));
        }
        let mut fences = vec![(self.crtc, id(&self.crtc_properties, "OUT_FENCE_PTR")?)];
        if let Some(into) = into {
            let target = self.framebuffer(into)?;
            let Some((connector, properties)) = &self.write_back else {
                return Err(Error::unsupported("kms", "this screen was opened without write-back"));
            };
            values.push(((*connector, id(properties, "CRTC_ID")?), self.crtc.into()));
            values.push(((*connector, id(properties, "WRITEBACK_FB_ID")?), target.into()));
            fences.push((*connector, id(properties, "WRITEBACK_OUT_FENCE_PTR")?));
        }
        let first = self.count == 0 && self.shown.is_none() && self.next.is_none();
        // The one before has to be there before another can come.
        self.settle()?;
        let flags = if first || into.is_some() { sys::ALLOW_MODESET } else { 0 };
        if first {
            values.extend_from_slice(&self.mode);
            sys::commit(self.node.as_fd(), flags | sys::TEST_ONLY, &values, &[])
                .map_err(self.refused("a test of it"))?;
        }
        let flags = if first { flags } else { flags | sys::NONBLOCK };
        let out = sys::commit(self.node.as_fd(), flags, &values, &fences).map_err(self.refused("it"))?;
        let mut out = out.into_iter().map(|fd: Option<OwnedFd>| fd.map(Fence::from_fd).transpose());
        let shown = out.next().transpose()?.flatten();
        let written = out.next().transpose()?.flatten();
        self.next = Some(Shown { _buffer: buffer, _keep: keep, fence: shown });
        self.count += 1;
        Ok(written)
    }

    fn refused(&self, what: &str) -> impl Fn(std::io::Error) -> Error {
        let detail = format!("{}, picture {}: the driver refuses {what}", self.name, self.count);
        move |error| {
            let failed = Error::from_io("DRM_IOCTL_MODE_ATOMIC", &detail, error);
            match failed.kind() {
                ErrorKind::PermissionDenied => failed.with_hint("somebody else has become master of the card"),
                _ => failed,
            }
        }
    }

    /// Waits until the last picture is on the screen; the one before it goes back.
    ///
    /// # Errors
    /// `Timeout` where the display hangs.
    pub fn settle(&mut self) -> Result<()> {
        let Some(next) = self.next.take() else { return Ok(()) };
        if let Some(fence) = &next.fence {
            fence.wait(Some(HANG)).map_err(|error| error.in_context(&self.name))?;
        }
        self.shown = Some(next);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.settle();
        if self.count > 0 {
            let detached: Vec<_> = self
                .write_back
                .iter()
                .filter_map(|(connector, properties)| Some(((*connector, id(properties, "CRTC_ID").ok()?), 0)))
                .collect();
            let all = |values: &[(sys::Property, u64)]| {
                let values: Vec<_> = values.iter().copied().chain(detached.iter().copied()).collect();
                sys::commit(self.node.as_fd(), sys::ALLOW_MODESET, &values, &[])
            };
            if let Err(error) = all(&self.restore) {
                // What was shown is gone with who showed it: the screen goes dark.
                let dark: Vec<_> = self.restore.iter().map(|(property, _)| (*property, 0)).collect();
                tracing::debug!(%error, screen = self.name, "what was shown before cannot be shown again");
                let _ = all(&dark);
            }
        }
        for framebuffer in &self.framebuffers {
            self.forget(framebuffer);
        }
        for blob in &self.blobs {
            let _ = self.node.destroy_property_blob(*blob);
        }
        let _ = self.node.release_master_lock();
    }
}
