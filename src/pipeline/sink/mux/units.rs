//! H.264 and H.265 as containers want them: units with their length before them, and the parameter sets apart.
//!
//! In: pieces with start codes. Out: samples, and the configuration records `avcC` and `hvcC`.
//! Not here: the containers.
//!
//! # References
//! ITU-T H.264 and H.265, 7.3 and annex B; ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1

use std::num::NonZeroUsize;

use h264_reader::nal::sps::{ChromaFormat, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};
use mp4_atom::{Avcc, AvccExt, HvcCArray, Hvcc};

use crate::error::{Error, Result};
use crate::v4l2::encoder::Piece;

/// What a unit is, as far as containers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A part of a picture.
    Picture { is_key: bool },
    /// Video, sequence or picture parameters.
    Parameters,
    /// What else goes before a picture or behind it.
    Other,
}

/// One picture, as it lies in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its units.
    pub bytes: Vec<u8>,
    /// Its time.
    pub timestamp_ns: u64,
    /// It can be decoded without those before.
    pub is_key: bool,
}

/// Makes samples of pieces.
#[derive(Debug)]
pub struct Packer {
    codec: Codec,
    /// Each parameter set once, in the order in which they came.
    sets: Vec<Vec<u8>>,
    /// What came before its picture did.
    early: Vec<u8>,
    has_begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    H264,
    Hevc,
    /// Pieces are samples.
    Other,
}

/// The units of a piece that has start codes.
fn units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = after_start_code(bytes);
    std::iter::from_fn(move || {
        let here = left?;
        let (unit, next) = match here.windows(3).position(|window| window == [0, 0, 1]) {
            Some(at) => (&here[..at], Some(&here[at + 3..])),
            None => (here, None),
        };
        left = next;
        // A start code may have more zeros, and a unit ends with none.
        Some(&unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)])
    })
    .filter(|unit| !unit.is_empty())
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.windows(3).position(|window| window == [0, 0, 1])?;
    Some(&bytes[at + 3..])
}

impl Codec {
    fn kind(self, unit: &[u8]) -> u8 {
        match self {
            Self::Hevc => unit[0] >> 1 & 0x3f,
            _ => unit[0] & 0x1f,
        }
    }

    fn role(self, unit: &[u8]) -> Role {
        match (self, self.kind(unit)) {
            (Self::H264, 5) => Role::Picture { is_key: true },
            (Self::H264, 1..=4) => Role::Picture { is_key: false },
            (Self::H264, 7 | 8 | 13) => Role::Parameters,
            (Self::Hevc, 16..=23) => Role::Picture { is_key: true },
            (Self::Hevc, 0..=31) => Role::Picture { is_key: false },
            (Self::Hevc, 32..=34) => Role::Parameters,
            _ => Role::Other,
        }
    }
}

impl Packer {
    /// For pieces of the codec of this name.
    pub fn new(codec: &str) -> Self {
        let codec = match codec {
            "h264" => Codec::H264,
            "hevc" => Codec::Hevc,
            _ => Codec::Other,
        };
        Self { codec, sets: Vec::new(), early: Vec::new(), has_begun: false }
    }

    /// The sample of a piece; none where it has headers alone, which then go with the next.
    ///
    /// # Errors
    /// `Failed`: no start code, no parameter sets before the first picture, or others later on.
    pub fn pack(&mut self, piece: Piece<'_>) -> Result<Option<Sample>> {
        let Piece { bytes, timestamp_ns, is_key } = piece;
        if self.codec == Codec::Other {
            return Ok(Some(Sample { bytes: bytes.to_vec(), timestamp_ns, is_key }));
        }
        if after_start_code(bytes).is_none() {
            return Err(Error::failed("mux", format!("a piece of {} bytes has no start code", bytes.len())));
        }
        let mut sample = std::mem::take(&mut self.early);
        let (mut has_picture, mut key) = (false, false);
        for unit in units(bytes) {
            match self.codec.role(unit) {
                Role::Parameters => {
                    self.keep(unit)?;
                    continue;
                }
                Role::Picture { is_key } => {
                    has_picture = true;
                    key |= is_key;
                }
                Role::Other => {}
            }
            let length = u32::try_from(unit.len()).map_err(|_| Error::failed("mux", "a unit of more than 4 GiB"))?;
            sample.extend_from_slice(&length.to_be_bytes());
            sample.extend_from_slice(unit);
        }
        if !has_picture {
            self.early = sample;
            return Ok(None);
        }
        if !self.has_begun && self.sets.is_empty() {
            let detail = "the stream begins with a picture, without parameter sets";
            let hint = "an encoder's control may say where its headers go: `v4l2-ctl -L` shows header_mode or such";
            return Err(Error::failed("mux", detail).with_hint(hint));
        }
        self.has_begun = true;
        Ok(Some(Sample { bytes: sample, timestamp_ns, is_key: key }))
    }

    fn keep(&mut self, unit: &[u8]) -> Result<()> {
        if self.sets.iter().any(|set| set == unit) {
            return Ok(());
        }
        if self.has_begun {
            let detail = "the stream's parameter sets change behind its first picture, and a file has them once";
            return Err(Error::failed("mux", detail).with_hint("write the stream as it is, to a file as out.h264"));
        }
        self.sets.push(unit.to_vec());
        Ok(())
    }

    fn of_kind(&self, kind: u8) -> Vec<Vec<u8>> {
        self.sets.iter().filter(|set| self.codec.kind(set) == kind).cloned().collect()
    }

    /// What `avcC` says: none of other codecs.
    ///
    /// # Errors
    /// `Failed`: parameters that cannot be read.
    pub fn avcc(&self) -> Result<Option<Avcc>> {
        if self.codec != Codec::H264 {
            return Ok(None);
        }
        let wrong = |detail: String| Error::failed("mux", format!("sequence parameters of H.264: {detail}"));
        let (sequence, picture) = (self.of_kind(7), self.of_kind(8));
        let first = sequence.first().ok_or_else(|| wrong("there are none".into()))?;
        let &[_, profile, compatibility, level, ..] = first.as_slice() else {
            return Err(wrong(format!("{} bytes", first.len())));
        };
        let read = SeqParameterSet::from_bits(BitReader::new(ByteReader::skipping_h264_header(&first[..])))
            .map_err(|error| wrong(format!("{error:?}")))?;
        // ISO/IEC 14496-15, 5.3.3.1.2: what the older profiles do not have.
        let ext = (!matches!(profile, 66 | 77 | 88)).then(|| AvccExt {
            chroma_format: match read.chroma_info.chroma_format {
                ChromaFormat::Monochrome => 0,
                ChromaFormat::YUV422 => 2,
                ChromaFormat::YUV444 => 3,
                ChromaFormat::YUV420 | ChromaFormat::Invalid(_) => 1,
            },
            bit_depth_luma: read.chroma_info.bit_depth_luma_minus8 + 8,
            bit_depth_chroma: read.chroma_info.bit_depth_chroma_minus8 + 8,
            sequence_parameter_sets_ext: self.of_kind(13),
        });
        Ok(Some(Avcc {
            configuration_version: 1,
            avc_profile_indication: profile,
            profile_compatibility: compatibility,
            avc_level_indication: level,
            length_size: 4,
            sequence_parameter_sets: sequence,
            picture_parameter_sets: picture,
            ext,
        }))
    }

    /// What `hvcC` says: none of other codecs.
    ///
    /// # Errors
    /// `Failed`: parameters that cannot be read.
    pub fn hvcc(&self) -> Result<Option<Hvcc>> {
        if self.codec != Codec::Hevc {
            return Ok(None);
        }
        let wrong = |detail: String| Error::failed("mux", format!("sequence parameters of H.265: {detail}"));
        let sequence = self.of_kind(33);
        let first = sequence.first().ok_or_else(|| wrong("there are none".into()))?;
        let mut hvcc = hevc_sequence(first).map_err(|error| wrong(format!("{error:?}")))?;
        let arrays = [32, 33, 34].map(|kind| (kind, self.of_kind(kind)));
        hvcc.arrays = arrays
            .into_iter()
            .map(|(nal_unit_type, nalus)| HvcCArray { completeness: true, nal_unit_type, nalus })
            .collect();
        Ok(Some(hvcc))
    }
}

/// ITU-T H.265, 7.3.2.2.1 and 7.3.3, as far as the depths.
fn hevc_sequence(unit: &[u8]) -> std::result::Result<Hvcc, BitReaderError> {
    const HEADER: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    let mut bits = BitReader::new(ByteReader::skipping_bytes(unit, HEADER));
    bits.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers: u8 = bits.read::<3, u8>("sps_max_sub_layers_minus1")?;
    let temporal_id_nested = bits.read_bit("sps_temporal_id_nesting_flag")?;
    let general_profile_space = bits.read::<2, u8>("general_profile_space")?;
    let general_tier_flag = bits.read_bit("general_tier_flag")?;
    let general_profile_idc = bits.read::<5, u8>("general_profile_idc")?;
    let compatibility: u32 = bits.read::<32, u32>("general_profile_compatibility_flag")?;
    let constraints: u64 = bits.read::<48, u64>("general_constraint_flags")?;
    let general_level_idc = bits.read::<8, u8>("general_level_idc")?;
    let mut skipped = 0;
    for _ in 0..sub_layers {
        if bits.read_bit("sub_layer_profile_present_flag")? {
            skipped += 88;
        }
        if bits.read_bit("sub_layer_level_present_flag")? {
            skipped += 8;
        }
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - u32::from(sub_layers)), "reserved_zero_2bits")?;
    }
    bits.skip(skipped, "sub_layers")?;
    bits.read_ue("sps_seq_parameter_set_id")?;
    let chroma = bits.read_ue("chroma_format_idc")?;
    if chroma == 3 {
        bits.read_bit("separate_colour_plane_flag")?;
    }
    bits.read_ue("pic_width_in_luma_samples")?;
    bits.read_ue("pic_height_in_luma_samples")?;
    if bits.read_bit("conformance_window_flag")? {
        for _ in 0..4 {
            bits.read_ue("conf_win_offset")?;
        }
    }
    let mut depth = |name| bits.read_ue(name).map(|depth| depth.min(7) as u8);
    let (bit_depth_luma_minus8, bit_depth_chroma_minus8) = (depth("bit_depth_luma")?, depth("bit_depth_chroma")?);
    let constraint_bytes = constraints.to_be_bytes();
    let mut general_constraint_indicator_flags = [0; 6];
    general_constraint_indicator_flags.copy_from_slice(&constraint_bytes[2..]);
    Ok(Hvcc {
        general_profile_space,
        general_tier_flag,
        general_profile_idc,
        general_profile_compatibility_flags: compatibility.to_be_bytes(),
        general_constraint_indicator_flags,
        general_level_idc,
        chroma_format_idc: chroma.min(3) as u8,
        bit_depth_luma_minus8,
        bit_depth_chroma_minus8,
        num_temporal_layers: sub_layers + 1,
        temporal_id_nested,
        length_size_minus_one: 3,
        ..Hvcc::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: &[u8]) -> Piece<'_> {
        Piece { bytes, timestamp_ns: 7, is_key: false }
    }

    #[test]
    fn units_are_what_is_between_start_codes() {
        let bytes = [0, 0, 0, 1, 9, 16, 0, 0, 1, 0x65, 1, 0, 3, 0, 0, 0, 1, 0x41];
        let found: Vec<&[u8]> = units(&bytes).collect();
        assert_eq!(found, [&[9, 16][..], &[0x65, 1, 0, 3], &[0x41]]);
        assert_eq!(units(&[0, 0, 1]).count() + units(&[1, 2, 3]).count() + units(&[]).count(), 0);
    }

    #[test]
    fn headers_wait_for_their_picture_and_stay_the_same() {
        let mut packer = Packer::new("h264");
        assert!(packer.pack(piece(&[1, 2, 3])).unwrap_err().to_string().contains("no start code"));
        assert!(packer.pack(piece(&[0, 0, 1, 0x65, 9])).unwrap_err().to_string().contains("without parameter sets"));
        assert_eq!(packer.pack(piece(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 1, 6, 5])).unwrap(), None);
        let sample = packer.pack(piece(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 9])).unwrap().unwrap();
        assert_eq!(
            sample,
            Sample { bytes: vec![0, 0, 0, 2, 6, 5, 0, 0, 0, 2, 0x65, 9], timestamp_ns: 7, is_key: true }
        );
        assert!(!packer.pack(piece(&[0, 0, 1, 0x41, 9])).unwrap().unwrap().is_key);
        assert!(packer.pack(piece(&[0, 0, 1, 0x67, 2])).unwrap_err().to_string().contains("change"));
        // What cannot be read is an error, not a panic.
        assert!(packer.avcc().is_err());
    }
}
