//! What must travel beside a memory fd so that the other side can take it, and is checked there before a driver sees it.
//!
//! In: numbers of the side that made the memory. Out: text for a message, or an error that names what does not match.
//! Not here: sending fds (`share`).
//!
//! # References
//! Vulkan 1.3 "External Memory Handle Types Compatibility": `deviceUUID` and `driverUUID` must match for opaque fds

use serde::{Deserialize, Serialize};

use super::device::{Info, hex};
use crate::error::{Error, Result};

/// What kind of fd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandleKind {
    /// Memory of a buffer. Only the same driver on the same device reads it.
    OpaqueFd,
    /// Memory of an image in the device's own layout, likewise.
    OpaqueImageFd,
}

/// What the maker of memory tells who takes it, beside the fd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle {
    /// The kind of fd.
    pub kind: HandleKind,
    /// The device that the memory is on.
    pub device_uuid: [u8; 16],
    /// The driver that made it.
    pub driver_uuid: [u8; 16],
    /// Size of the memory: an import must give the same.
    pub memory_bytes: u64,
    /// Size of the buffer over it, from the first byte.
    pub buffer_bytes: u64,
    /// `VkBufferUsageFlags` of the buffer: an import must give the same.
    pub usage: u32,
    /// The memory was allocated for one buffer alone: an import must say so too.
    pub dedicated: bool,
}

impl Handle {
    /// Fails unless the memory can be taken by `device` as `kind`.
    ///
    /// # Errors
    /// `InvalidInput`, with both sides' numbers.
    pub fn check(&self, device: &Info, kind: HandleKind) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid("vulkan handle", what));
        self.check_device(kind, &device.device_uuid, &device.name)?;
        if self.driver_uuid != device.driver_uuid {
            return refuse(format!(
                "the memory was made by the driver {}, this is {}: both processes must have the same",
                hex(&self.driver_uuid),
                hex(&device.driver_uuid)
            ));
        }
        Ok(())
    }

    /// Fails unless the memory is of this kind, on the device that has this UUID, and holds its buffer: all that an API
    /// without a driver UUID (CUDA) can be asked.
    ///
    /// # Errors
    /// `InvalidInput`, with both sides' numbers.
    pub fn check_device(&self, kind: HandleKind, uuid: &[u8; 16], name: &str) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid("vulkan handle", what));
        if self.kind != kind {
            return refuse(format!("the fd is {:?}, {kind:?} is wanted", self.kind));
        }
        if self.device_uuid != *uuid {
            let (there, here) = (hex(&self.device_uuid), hex(uuid));
            return refuse(format!("the memory is on the device {there}, this is {here} ({name})"))
                .map_err(|error: Error| error.with_hint("open the device by this UUID, or share a dma-buf instead"));
        }
        if self.buffer_bytes == 0 || self.buffer_bytes > self.memory_bytes {
            return refuse(format!("a buffer of {} bytes in a memory of {}", self.buffer_bytes, self.memory_bytes));
        }
        Ok(())
    }

    /// As JSON, for a message.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and a name")
    }

    /// Reads [`Handle::to_text`].
    ///
    /// # Errors
    /// `InvalidInput` where it is something else.
    pub fn from_text(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::invalid("vulkan handle", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        Info {
            name: "here".into(),
            device_uuid: [1; 16],
            driver_uuid: [2; 16],
            primary_node: None,
            render_node: None,
            is_software: true,
            version: (1, 3),
        }
    }

    #[test]
    fn what_does_not_match_is_named() {
        let handle = Handle {
            kind: HandleKind::OpaqueFd,
            device_uuid: [1; 16],
            driver_uuid: [2; 16],
            memory_bytes: 4096,
            buffer_bytes: 4000,
            usage: 3,
            dedicated: false,
        };
        assert_eq!(Handle::from_text(&handle.to_text()).unwrap(), handle);
        handle.check(&info(), HandleKind::OpaqueFd).unwrap();
        for (wrong, words) in [
            (Handle { device_uuid: [9; 16], ..handle.clone() }, "on the device 0909"),
            (Handle { driver_uuid: [9; 16], ..handle.clone() }, "by the driver 0909"),
            (Handle { buffer_bytes: 4097, ..handle.clone() }, "4097 bytes in a memory of 4096"),
            (Handle { buffer_bytes: 0, ..handle.clone() }, "0 bytes"),
        ] {
            let error = wrong.check(&info(), HandleKind::OpaqueFd).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(Handle::from_text("{\"kind\":\"dma-buf\"}").is_err());
    }
}
