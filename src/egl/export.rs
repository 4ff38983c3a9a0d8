//! Images out of the process: the memory of an image as a [`Buffer`] of dma-bufs.
//!
//! In: an [`Image`], of a texture or of a buffer. Out: a [`Buffer`] whose fds are new and the caller's.
//! Not here: images of textures (`gles::image`), waiting for what was drawn ([`Gl::fence`](crate::gles::Gl::fence)).
//!
//! # References
//! `EGL_MESA_image_dma_buf_export`

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{Display, EglError, Image, raw};
use crate::buffer::{Buffer, Provenance};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::{Layout, PlaneLayout, Size};

const QUERY: &str = "eglExportDMABUFImageQueryMESA";
const EXPORT: &str = "eglExportDMABUFImageMESA";

/// What the driver said about an image. The arrays began as -1: what it leaves alone stays that.
#[derive(Clone, Copy, Debug)]
struct Answer {
    fourcc: i32,
    planes: i32,
    modifiers: [u64; 4],
    strides: [i32; 4],
    offsets: [i32; 4],
}

impl Image {
    /// Gives the memory out as dma-bufs. Does not block: wait for what was drawn into it first, or send the fence along
    /// ([`Gl::fence`](crate::gles::Gl::fence)).
    ///
    /// The fds are new and belong to the buffer. Drivers choose the layout of a texture: ask for the modifier before
    /// the memory is mapped or handed to other hardware.
    ///
    /// # Errors
    /// `Unsupported`: the display has no `EGL_MESA_image_dma_buf_export`, the driver refuses (memory that it cannot
    /// share, software rasterisers without DRM nodes), or it does not say where every plane lies, or says what cannot be:
    /// Mesa 26 on llvmpipe gives every plane of an imported NV12 the offset 0.
    #[doc(alias = "eglExportDMABUFImageMESA")]
    #[doc(alias = "eglExportDMABUFImageQueryMESA")]
    #[doc(alias = "EGL_MESA_image_dma_buf_export")]
    pub fn export(&self) -> Result<Buffer> {
        let display = self.display();
        let functions = display.functions();
        let (Some(query), Some(export)) = (functions.export_query, functions.export) else {
            let detail = format!("{self:?}: {display} does not offer it");
            return Err(Error::unsupported("EGL_MESA_image_dma_buf_export", detail)
                .with_hint("allocate a Buffer first and draw into it (Image::import)"));
        };
        let mut answer = Answer { fourcc: 0, planes: 0, modifiers: [u64::MAX; 4], strides: [-1; 4], offsets: [-1; 4] };
        begin(display);
        // SAFETY: a live image of this display; the extension writes one modifier for each plane, of which it allows 4.
        let asked = unsafe {
            query(display.raw(), self.as_ptr(), &mut answer.fourcc, &mut answer.planes, answer.modifiers.as_mut_ptr())
        };
        if asked == 0 {
            return Err(self.refused(QUERY));
        }
        let mut raw_fds = [-1; 4];
        begin(display);
        // SAFETY: as above; all three arrays have 4 places, one for each plane.
        let exported = unsafe {
            export(
                display.raw(),
                self.as_ptr(),
                raw_fds.as_mut_ptr(),
                answer.strides.as_mut_ptr(),
                answer.offsets.as_mut_ptr(),
            )
        };
        // Owned before anything can fail, so that nothing leaks.
        let fds = own(raw_fds);
        if exported == 0 {
            return Err(self.refused(EXPORT));
        }
        tracing::debug!(image = ?self, ?answer, fds = ?raw_fds, "exported");
        for fd in fds.iter().flatten() {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
                .map_err(|errno| Error::from_errno("fcntl", "FD_CLOEXEC on an exported dma-buf", errno))?;
        }
        let (layout, fds) = answer.layout(self.size(), fds).map_err(|error| error.in_context(format!("{self:?}")))?;
        let reasons = vec![format!("{EXPORT} of {self:?} on {display}")];
        let buffer = Buffer::with_provenance(layout, fds, Provenance { allocator: "exported".into(), reasons }, None)?;
        for plane in 1..buffer.layout().planes().len() {
            let place = |plane: usize| (buffer.plane_id(plane), buffer.layout().planes()[plane].offset_bytes);
            if let Some(other) = (0..plane).find(|other| place(*other) == place(plane)) {
                let detail = format!(
                    "{self:?}: the driver says that planes {other} and {plane} lie in one place: {}",
                    buffer.layout()
                );
                return Err(Error::unsupported(EXPORT, detail));
            }
        }
        Ok(buffer)
    }

    fn refused(&self, op: &'static str) -> Error {
        let display = self.display();
        let why = match display.library().last_error() {
            EglError::SUCCESS => "the driver refused without setting an error".to_owned(),
            error => error.to_string(),
        };
        Error::unsupported(op, format!("{self:?} on {display}: {why}{}", raw::driver_message()))
            .with_hint("this driver cannot share the memory: allocate a Buffer and draw into it (Image::import)")
    }
}

/// Forgets errors of earlier calls.
fn begin(display: &Display) {
    raw::clear_driver_message();
    display.library().last_error();
}

/// Takes what the driver gave; a number that came twice is one fd.
fn own(raw: [i32; 4]) -> [Option<OwnedFd>; 4] {
    let mut fds: [Option<OwnedFd>; 4] = [None, None, None, None];
    for (index, number) in raw.into_iter().enumerate() {
        let known = fds.iter().flatten().any(|fd: &OwnedFd| fd.as_raw_fd() == number);
        if number >= 0 && !known {
            // SAFETY: the extension gives the caller new fds, and this number is owned by none of the others.
            fds[index] = Some(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    fds
}

impl Answer {
    /// Where the planes lie, and one fd for all of them or one for each. A plane without an fd is in that before it.
    fn layout(&self, size: Size, fds: [Option<OwnedFd>; 4]) -> Result<(Layout, Vec<OwnedFd>)> {
        let fail = |detail: String| Err(Error::unsupported(EXPORT, detail));
        let fourcc = Fourcc(self.fourcc as u32);
        let count = match usize::try_from(self.planes) {
            Ok(count @ 1..=4) => count,
            _ => return fail(format!("{fourcc} of {} planes", self.planes)),
        };
        let modifier = Modifier(self.modifiers[0]);
        if self.modifiers[..count].iter().any(|other| *other != modifier.0) {
            return fail(format!("{fourcc}: planes with different modifiers ({:x?})", &self.modifiers[..count]));
        }
        // Untouched: the driver does not say.
        let modifier = if modifier.0 == u64::MAX { Modifier::INVALID } else { modifier };
        let mut planes = Vec::with_capacity(count);
        for index in 0..count {
            let (offset, stride) = (self.offsets[index], self.strides[index]);
            match (u64::try_from(offset), u32::try_from(stride)) {
                (Ok(offset_bytes), Ok(stride_bytes)) if stride_bytes > 0 => {
                    planes.push(PlaneLayout { offset_bytes, stride_bytes });
                }
                _ => {
                    let said = format!("offset {offset}, stride {stride}");
                    return fail(format!(
                        "{fourcc}: the driver does not say where plane {index} of {count} lies ({said})"
                    ));
                }
            }
        }
        let layout = Layout::new(fourcc, size, modifier, &planes)?;
        let mut given: Vec<OwnedFd> = Vec::with_capacity(count);
        let alone = fds.iter().flatten().count() == 1;
        for fd in fds.into_iter().take(count) {
            match (fd, given.last()) {
                (Some(fd), _) => given.push(fd),
                (None, None) => return fail(format!("{fourcc}: the driver gave no fd for plane 0")),
                (None, Some(_)) if alone => {}
                (None, Some(last)) => {
                    let again = last.try_clone().map_err(|error| Error::from_io("dup", "an exported fd", error))?;
                    given.push(again);
                }
            }
        }
        Ok((layout, given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const NV12: Answer = Answer {
        fourcc: 0x3231_564e,
        planes: 2,
        modifiers: [0, 0, u64::MAX, u64::MAX],
        strides: [64, 64, -1, -1],
        offsets: [0, 4096, -1, -1],
    };

    fn fd() -> Option<OwnedFd> {
        Some(std::fs::File::open("/dev/null").unwrap().into())
    }

    #[test]
    fn one_fd_stands_for_all_planes() {
        let (layout, fds) = NV12.layout(Size::new(64, 64), [fd(), None, None, None]).unwrap();
        assert_eq!((layout.fourcc, layout.modifier, layout.planes().len()), (Fourcc::NV12, Modifier::LINEAR, 2));
        assert_eq!(layout.planes()[1], PlaneLayout { offset_bytes: 4096, stride_bytes: 64 });
        assert_eq!(fds.len(), 1);
    }

    #[test]
    fn a_plane_without_an_fd_is_in_that_before_it() {
        let yuv420 = Answer {
            fourcc: 0x3231_5559,
            planes: 3,
            modifiers: [0; 4],
            strides: [64, 32, 32, -1],
            offsets: [0, 0, 1024, -1],
        };
        let (_, fds) = yuv420.layout(Size::new(64, 64), [fd(), fd(), None, None]).unwrap();
        assert_eq!(fds.len(), 3);
        assert_eq!(own([-1; 4]).iter().flatten().count(), 0);
    }

    /// Mesa: fd, stride and offset of plane 0, the rest untouched.
    #[test]
    fn planes_that_are_not_described_are_refused() {
        let mesa = Answer { strides: [64, -1, -1, -1], offsets: [0, -1, -1, -1], ..NV12 };
        let broken = [
            (mesa, "does not say where plane 1 of 2 lies (offset -1, stride -1)"),
            (Answer { planes: 5, ..NV12 }, "5 planes"),
            (Answer { planes: -1, ..NV12 }, "-1 planes"),
            (Answer { modifiers: [0, 1, 0, 0], ..NV12 }, "different modifiers"),
            (Answer { strides: [0; 4], ..NV12 }, "plane 0 of 2"),
        ];
        for (answer, words) in broken {
            let error = answer.layout(Size::new(64, 64), [fd(), None, None, None]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(words), "{error}");
        }
        let error = NV12.layout(Size::new(64, 64), [None, None, None, None]).unwrap_err();
        assert!(error.to_string().contains("no fd for plane 0"), "{error}");
        let silent = Answer { modifiers: [u64::MAX; 4], ..NV12 };
        let (layout, _) = silent.layout(Size::new(64, 64), [fd(), None, None, None]).unwrap();
        assert_eq!(layout.modifier, Modifier::INVALID);
    }
}
