//! Matroska and WebM files: one track of video, in clusters as they come, with an index at the end.
//!
//! In: pieces. Out: the file. Times are in hundredths of a millisecond: a block's is 16 bits from its cluster's.
//!
//! # References
//! RFC 9559

use mkv_element::ClusterBlock;
use mkv_element::io::blocking_impl::WriteTo;
use mkv_element::prelude::*;
use mp4_atom::Atom;

use crate::color::Range as Codes;
use crate::error::{Error, Result};
use crate::v4l2::encoder::Piece;

use super::super::output::Output;
use super::units::{Packer, Sample};
use super::{Container, Track};

/// Nanoseconds.
const TICK: u64 = 10_000;
/// Room for what is known at the end.
const HEAD: usize = 128;
/// A segment's header: its name, and its size in eight bytes.
const SEGMENT: [u8; 4] = [0x18, 0x53, 0x80, 0x67];
/// Of a size that is not known.
const UNKNOWN: [u8; 8] = [1, 255, 255, 255, 255, 255, 255, 255];

/// A file being written.
pub struct Matroska {
    file: Output,
    track: Track,
    container: Container,
    packer: Packer,
    cluster: Option<Cluster>,
    cues: Vec<CuePoint>,
    /// Where the segment's inside begins; none before the first picture.
    inside_at: Option<u64>,
    /// Where `Tracks` begins.
    tracks_at: u64,
    last_ticks: u64,
}

fn wrong(error: mkv_element::Error) -> Error {
    Error::failed("mux", format!("Matroska: {error}"))
}

fn encode(element: &impl WriteTo, into: &mut Vec<u8>) -> Result<()> {
    element.write_to(into).map_err(wrong)
}

impl Matroska {
    pub(super) fn begin(file: Output, track: Track, container: Container) -> Self {
        let packer = Packer::new(&track.codec);
        let (cues, cluster) = (Vec::new(), None);
        Self { file, track, container, packer, cluster, cues, inside_at: None, tracks_at: 0, last_ticks: 0 }
    }

    pub(super) fn piece(&mut self, piece: Piece<'_>) -> Result<()> {
        let Some(sample) = self.packer.pack(piece)? else { return Ok(()) };
        let inside_at = match self.inside_at {
            Some(at) => at,
            None => self.head()?,
        };
        let ticks = (sample.timestamp_ns + TICK / 2) / TICK;
        self.last_ticks = self.last_ticks.max(ticks);
        let begun = self.cluster.as_ref().map(|cluster| i16::try_from(ticks as i64 - *cluster.timestamp as i64));
        let relative = match begun {
            Some(Ok(relative)) if !sample.is_key => relative,
            _ => {
                self.end_cluster()?;
                if sample.is_key {
                    self.cues.push(cue(ticks, self.file.bytes() - inside_at));
                }
                self.cluster = Some(Cluster { timestamp: Timestamp(ticks), ..Cluster::default() });
                0
            }
        };
        if let Some(cluster) = &mut self.cluster {
            cluster.blocks.push(ClusterBlock::Simple(block(relative, &sample)));
        }
        Ok(())
    }

    fn end_cluster(&mut self) -> Result<()> {
        let Some(cluster) = self.cluster.take() else { return Ok(()) };
        let mut bytes = Vec::new();
        encode(&cluster, &mut bytes)?;
        self.file.write_all(&bytes)
    }

    /// Everything before the first cluster.
    fn head(&mut self) -> Result<u64> {
        let mut bytes = Vec::new();
        let doc_type = if self.container == Container::WebM { "webm" } else { "matroska" };
        let ebml = Ebml {
            ebml_version: Some(EbmlVersion(1)),
            ebml_read_version: Some(EbmlReadVersion(1)),
            ebml_max_id_length: EbmlMaxIdLength(4),
            ebml_max_size_length: EbmlMaxSizeLength(8),
            doc_type: Some(DocType(doc_type.into())),
            doc_type_version: Some(DocTypeVersion(4)),
            doc_type_read_version: Some(DocTypeReadVersion(2)),
            ..Ebml::default()
        };
        encode(&ebml, &mut bytes)?;
        bytes.extend_from_slice(&SEGMENT);
        bytes.extend_from_slice(&UNKNOWN);
        let inside_at = bytes.len() as u64;
        let tracks = Tracks { track_entry: vec![self.entry()?], ..Tracks::default() };
        self.tracks_at = HEAD as u64;
        if self.file.is_stream() {
            // Nothing will be known later.
            self.tracks_at = 0;
            encode(&self.info(None), &mut bytes)?;
        } else {
            bytes.extend_from_slice(&filled(Vec::new())?);
        }
        encode(&tracks, &mut bytes)?;
        self.file.write_all(&bytes)?;
        self.inside_at = Some(inside_at);
        Ok(inside_at)
    }

    fn info(&self, ticks: Option<u64>) -> Info {
        Info {
            timestamp_scale: TimestampScale(TICK),
            duration: ticks.map(|ticks| Duration(ticks as f64)),
            muxing_app: MuxingApp("darkframe".into()),
            writing_app: WritingApp("darkframe".into()),
            ..Info::default()
        }
    }

    fn entry(&self) -> Result<TrackEntry> {
        let mut private = Vec::new();
        let unreadable = |error: mp4_atom::Error| Error::failed("mux", format!("Matroska: {error}"));
        let codec = match self.track.codec.as_str() {
            "h264" => {
                self.packer.avcc()?.map_or(Ok(()), |avcc| avcc.encode_body(&mut private)).map_err(unreadable)?;
                "V_MPEG4/ISO/AVC"
            }
            "hevc" => {
                self.packer.hvcc()?.map_or(Ok(()), |hvcc| hvcc.encode_body(&mut private)).map_err(unreadable)?;
                "V_MPEGH/ISO/HEVC"
            }
            "vp8" => "V_VP8",
            "vp9" => "V_VP9",
            "mjpeg" => "V_MJPEG",
            other => return Err(Error::unsupported("codec", format!("{} carries no {other}", self.container))),
        };
        let (primaries, transfer, matrix) = self.track.color_codes();
        let colour = Colour {
            matrix_coefficients: MatrixCoefficients(matrix.into()),
            transfer_characteristics: TransferCharacteristics(transfer.into()),
            primaries: Primaries(primaries.into()),
            range: Range(if self.track.color.range == Codes::Full { 2 } else { 1 }),
            ..Colour::default()
        };
        let video = Video {
            pixel_width: PixelWidth(self.track.size.width.into()),
            pixel_height: PixelHeight(self.track.size.height.into()),
            // Progressive.
            flag_interlaced: FlagInterlaced(2),
            colour: Some(colour),
            ..Video::default()
        };
        Ok(TrackEntry {
            track_number: TrackNumber(1),
            track_uid: TrackUid(1),
            track_type: TrackType(1),
            flag_lacing: FlagLacing(0),
            language: Language("und".into()),
            codec_id: CodecId(codec.into()),
            codec_private: (!private.is_empty()).then(|| CodecPrivate(private.into())),
            video: Some(video),
            ..TrackEntry::default()
        })
    }

    pub(super) fn finish(mut self) -> Result<Output> {
        self.end_cluster()?;
        // Without a picture nothing is known to write.
        let Some(inside_at) = self.inside_at else { return Ok(self.file) };
        if self.file.is_stream() {
            return Ok(self.file);
        }
        let cues_at = self.file.bytes() - inside_at;
        let mut bytes = Vec::new();
        if !self.cues.is_empty() {
            encode(&Cues { cue_point: std::mem::take(&mut self.cues), ..Cues::default() }, &mut bytes)?;
            self.file.write_all(&bytes)?;
        }
        let frame_ticks = self.track.rate.timestamp_ns(1) / TICK;
        let info = self.info(Some(self.last_ticks + frame_ticks));
        let mut head = Vec::new();
        // The index of what is where, then the times: where a position takes more bytes, so does the index.
        let mut info_at = 0;
        for _ in 0..2 {
            let mut seeks = vec![seek(Info::ID, info_at), seek(Tracks::ID, self.tracks_at)];
            if !bytes.is_empty() {
                seeks.push(seek(Cues::ID, cues_at));
            }
            head.clear();
            encode(&SeekHead { seek: seeks, ..SeekHead::default() }, &mut head)?;
            info_at = head.len() as u64;
        }
        encode(&info, &mut head)?;
        self.file.rewrite(inside_at, &filled(head)?)?;
        let size = (self.file.bytes() - inside_at) | 1 << 56;
        self.file.rewrite(inside_at - 8, &size.to_be_bytes())?;
        Ok(self.file)
    }
}

/// Filled up to the room that there is.
fn filled(mut head: Vec<u8>) -> Result<Vec<u8>> {
    let left = HEAD.checked_sub(head.len() + 2).ok_or_else(|| Error::failed("mux", "a head without room"))?;
    encode(&Void { size: left as u64 }, &mut head)?;
    if head.len() == HEAD { Ok(head) } else { Err(Error::failed("mux", format!("a head of {} bytes", head.len()))) }
}

fn seek(id: VInt64, at: u64) -> Seek {
    let name: Vec<u8> = id.as_encoded().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    Seek { crc32: None, void: None, seek_id: SeekId(name.into()), seek_position: SeekPosition(at) }
}

fn cue(ticks: u64, cluster_at: u64) -> CuePoint {
    let position = CueTrackPositions {
        cue_track: CueTrack(1),
        cue_cluster_position: CueClusterPosition(cluster_at),
        ..CueTrackPositions::default()
    };
    CuePoint { cue_time: CueTime(ticks), cue_track_positions: vec![position], ..CuePoint::default() }
}

/// The track's number, the time from the cluster's, whether it is a key, and the picture.
fn block(relative: i16, sample: &Sample) -> SimpleBlock {
    let mut bytes = Vec::with_capacity(sample.bytes.len() + 4);
    bytes.push(0x81);
    bytes.extend_from_slice(&relative.to_be_bytes());
    bytes.push(if sample.is_key { 0x80 } else { 0 });
    bytes.extend_from_slice(&sample.bytes);
    SimpleBlock(bytes.into())
}
