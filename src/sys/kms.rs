//! Atomic commits with fences, which crate drm passes on as plain numbers.
//!
//! # References
//! `include/uapi/drm/drm_mode.h`, `Documentation/gpu/drm-kms.rst` ("Explicit Fencing Properties")

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

/// `DRM_MODE_ATOMIC_TEST_ONLY`
pub const TEST_ONLY: u32 = 0x100;
/// `DRM_MODE_ATOMIC_NONBLOCK`
pub const NONBLOCK: u32 = 0x200;
/// `DRM_MODE_ATOMIC_ALLOW_MODESET`
pub const ALLOW_MODESET: u32 = 0x400;

/// A property of an object, by their numbers.
pub type Property = (u32, u32);

/// Sets properties in one go, all or none. Each of `fences` is a property that takes the address of a number
/// (`OUT_FENCE_PTR`, `WRITEBACK_OUT_FENCE_PTR`); the fences come back in their order.
pub fn commit(
    node: BorrowedFd<'_>,
    flags: u32,
    values: &[(Property, u64)],
    fences: &[Property],
) -> std::io::Result<Vec<Option<OwnedFd>>> {
    let mut out: Vec<i32> = vec![-1; fences.len()];
    let base = out.as_mut_ptr();
    let mut all: Vec<(Property, u64)> = values.to_vec();
    for (index, property) in fences.iter().enumerate() {
        // Inside the vector, which is neither moved nor touched until the request has returned.
        all.push((*property, base.wrapping_add(index) as u64));
    }
    // The request wants all properties of an object one behind the other.
    all.sort_by_key(|((object, _), _)| *object);
    let (mut objects, mut counts) = (Vec::new(), Vec::new());
    for ((object, _), _) in &all {
        match objects.last() == Some(object) {
            true => *counts.last_mut().unwrap_or(&mut 0) += 1,
            false => {
                objects.push(*object);
                counts.push(1u32);
            }
        }
    }
    let mut properties: Vec<u32> = all.iter().map(|((_, property), _)| *property).collect();
    let mut numbers: Vec<u64> = all.iter().map(|(_, value)| *value).collect();
    let done = drm_ffi::mode::atomic_commit(node, flags, &mut objects, &mut counts, &mut properties, &mut numbers);
    // SAFETY: the kernel writes these numbers during the request only; reading them anew keeps the compiler from
    // believing that they are still -1.
    let written: Vec<i32> = (0..out.len()).map(|index| unsafe { base.wrapping_add(index).read_volatile() }).collect();
    // SAFETY: a number that is not -1 is a new fd for this caller alone.
    let fds = written.into_iter().map(|fd| (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })).collect();
    drop(out);
    done.map(|()| fds)
}
