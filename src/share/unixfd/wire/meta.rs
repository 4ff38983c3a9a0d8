//! What is attached to a frame: records with a name, of which one says where the planes are.
//!
//! In: the bytes behind a NEW_BUFFER's memories. Out: [`Meta`]s, and back. Little-endian on any host.
//! Not here: whether planes lie inside memory (`planes`).

use crate::error::{Error, Result};

use super::super::OP;
use super::Reader;

/// A piece of information attached to a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meta {
    /// Where the planes are.
    Video(VideoMeta),
    /// One that is skipped.
    Other {
        /// Its registered name.
        name: String,
        /// Its version.
        version: u8,
        /// Its bytes.
        payload: Vec<u8>,
    },
}

/// `GstVideoMeta`: where the planes of a picture are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoMeta {
    /// `GstVideoFrameFlags`
    pub flags: i32,
    /// `GstVideoFormat`
    pub format: i32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1 to 4 planes. Offsets count through all memories of the frame, one after the other.
    pub planes: Vec<VideoPlane>,
    /// Pixels beyond the picture: top, bottom, left, right.
    pub padding: [u32; 4],
}

/// One plane of a [`VideoMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoPlane {
    /// First byte.
    pub offset_bytes: u64,
    /// From row to row; negative where rows go upwards.
    pub stride_bytes: i32,
    /// Alignment of the stride, as a mask.
    pub stride_align: u32,
}

const VIDEO_META: &str = "GstVideoMeta";

impl Meta {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        let total = reader.u32_le("meta")? as usize;
        // The length counts its own four bytes.
        let body = total.checked_sub(4).ok_or_else(|| {
            Error::invalid(OP, format!("NEW_BUFFER, meta at byte {}: a length of {total}", reader.at - 4))
        })?;
        let mut reader = Reader::new(reader.take(body, "meta")?, "meta");
        let name_bytes = reader.u32_le("name length")? as usize;
        let name = reader.take(name_bytes, "name")?;
        let name = std::str::from_utf8(name).map_err(|_| Error::invalid(OP, "meta: a name that is not UTF-8"))?;
        let [nul, version] = reader.array("version")?;
        if nul != 0 {
            return Err(Error::invalid(OP, format!("meta \"{name}\": the name does not end where its length says")));
        }
        if name == VIDEO_META && version == 0 {
            return VideoMeta::parse(&mut reader).map(Self::Video);
        }
        Ok(Self::Other { name: name.to_owned(), version, payload: reader.rest().to_vec() })
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend([0; 4]);
        let (name, version) = match self {
            Self::Video(_) => (VIDEO_META, 0),
            Self::Other { name, version, .. } => (name.as_str(), *version),
        };
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend([0, version]);
        match self {
            Self::Video(video) => video.encode(bytes),
            Self::Other { payload, .. } => bytes.extend(payload),
        }
        let total = (bytes.len() - start) as u32;
        bytes[start..start + 4].copy_from_slice(&total.to_le_bytes());
    }
}

impl VideoMeta {
    fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        reader.what = VIDEO_META;
        let flags = reader.u32_le("flags")? as i32;
        let format = reader.u32_le("format")? as i32;
        let (width, height) = (reader.u32_le("width")?, reader.u32_le("height")?);
        let count = reader.u32_le("n_planes")?;
        if !(1..=4).contains(&count) {
            return Err(Error::invalid(OP, format!("GstVideoMeta: {count} planes; 1 to 4 are possible")));
        }
        let mut planes = vec![VideoPlane::default(); count as usize];
        for plane in &mut planes {
            plane.offset_bytes = u64::from_le_bytes(reader.array("offset")?);
        }
        for plane in &mut planes {
            plane.stride_bytes = reader.u32_le("stride")? as i32;
        }
        let mut padding = [0; 4];
        for side in &mut padding {
            *side = reader.u32_le("padding")?;
        }
        for plane in &mut planes {
            plane.stride_align = reader.u32_le("stride_align")?;
        }
        Ok(Self { flags, format, width, height, planes, padding })
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.format.to_le_bytes());
        for value in [self.width, self.height, self.planes.len() as u32] {
            bytes.extend(value.to_le_bytes());
        }
        self.planes.iter().for_each(|plane| bytes.extend(plane.offset_bytes.to_le_bytes()));
        self.planes.iter().for_each(|plane| bytes.extend(plane.stride_bytes.to_le_bytes()));
        self.padding.iter().for_each(|side| bytes.extend(side.to_le_bytes()));
        self.planes.iter().for_each(|plane| bytes.extend(plane.stride_align.to_le_bytes()));
    }
}
