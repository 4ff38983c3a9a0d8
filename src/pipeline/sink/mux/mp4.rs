//! MP4 files: one track of video, its samples as they come, the tables at the end.
//!
//! In: pieces. Out: the file. Times are in microseconds, as V4L2 has them.
//!
//! # References
//! ISO/IEC 14496-12:2022, 8; ISO/IEC 14496-15

use std::path::Path;

use mp4_atom::{
    Avc1, Co64, Colr, Ctts, CttsEntry, Dinf, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, FixedPoint, FourCC, Ftyp,
    Hdlr, Hvc1, Mdhd, Mdia, Minf, Moov, Mvhd, Stbl, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry,
    Tkhd, Trak, Url, Visual, Vmhd,
};

use crate::color::Range;
use crate::error::{Error, Result};
use crate::v4l2::encoder::Piece;

use super::super::output::Output;
use super::Track;
use super::units::Packer;

/// Per second.
const TICKS: u32 = 1_000_000;
/// Samples that lie together.
const CHUNK: usize = 32;

/// A file being written.
pub struct Mp4 {
    file: Output,
    track: Track,
    packer: Packer,
    samples: Vec<Row>,
    /// Where `mdat` begins.
    data_at: u64,
}

/// A sample in the tables.
#[derive(Clone, Copy)]
struct Row {
    at: u64,
    bytes: u32,
    ticks: u64,
    is_key: bool,
}

fn wrong(error: mp4_atom::Error) -> Error {
    Error::failed("mux", format!("MP4: {error}"))
}

fn fixed<T: Copy + Default>(value: T) -> FixedPoint<T> {
    FixedPoint::new(value, T::default())
}

/// How often each value comes in a row.
fn runs<T: PartialEq + Copy>(values: impl Iterator<Item = T>) -> Vec<(u32, T)> {
    let mut runs: Vec<(u32, T)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, same)) if *same == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    runs
}

impl Mp4 {
    pub(super) fn begin(mut file: Output, path: &Path, track: Track) -> Result<Self> {
        if file.is_stream() {
            let detail =
                format!("{}: an MP4 file is finished at its beginning, which a pipe has let go", path.display());
            return Err(Error::unsupported("file", detail).with_hint("a Matroska file (.mkv) goes through pipes"));
        }
        let brands = ["isom", "iso6", "mp41"]
            .map(|brand| FourCC::from(<[u8; 4]>::try_from(brand.as_bytes()).unwrap_or_default()));
        let ftyp = Ftyp { major_brand: brands[0], minor_version: 512, compatible_brands: brands.to_vec() };
        let mut head = Vec::new();
        ftyp.encode(&mut head).map_err(wrong)?;
        let data_at = head.len() as u64;
        head.extend_from_slice(&mdat(0));
        file.write_all(&head)?;
        let packer = Packer::new(&track.codec);
        Ok(Self { file, track, packer, samples: Vec::new(), data_at })
    }

    pub(super) fn piece(&mut self, piece: Piece<'_>) -> Result<()> {
        let Some(sample) = self.packer.pack(piece)? else { return Ok(()) };
        let bytes = u32::try_from(sample.bytes.len()).map_err(|_| Error::failed("mux", "a picture of 4 GiB"))?;
        let ticks = (sample.timestamp_ns + 500) / 1000;
        self.samples.push(Row { at: self.file.bytes(), bytes, ticks, is_key: sample.is_key });
        self.file.write_all(&sample.bytes)
    }

    pub(super) fn finish(mut self) -> Result<Output> {
        let end = self.file.bytes();
        let mut tables = Vec::new();
        self.moov()?.encode(&mut tables).map_err(wrong)?;
        self.file.write_all(&tables)?;
        self.file.rewrite(self.data_at, &mdat(end - self.data_at))?;
        Ok(self.file)
    }

    fn moov(&self) -> Result<Moov> {
        let mvhd = |duration| Mvhd {
            timescale: TICKS,
            duration,
            rate: fixed(1),
            volume: fixed(1),
            next_track_id: 2,
            ..Mvhd::default()
        };
        if self.samples.is_empty() {
            return Ok(Moov { mvhd: mvhd(0), ..Moov::default() });
        }
        let times = Times::new(&self.samples, self.frame_ticks())?;
        let duration = times.first + times.duration;
        let (width, height) = self.size()?;
        let trak = Trak {
            tkhd: Tkhd {
                track_id: 1,
                duration,
                enabled: true,
                in_movie: true,
                width: fixed(width),
                height: fixed(height),
                ..Tkhd::default()
            },
            edts: times.edits(),
            mdia: Mdia {
                mdhd: Mdhd { timescale: TICKS, duration: times.duration, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "VideoHandler".into() },
                minf: Minf {
                    vmhd: Some(Vmhd::default()),
                    dinf: Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url::default())] } },
                    stbl: self.tables(&times)?,
                    ..Minf::default()
                },
            },
            ..Trak::default()
        };
        Ok(Moov { mvhd: mvhd(duration), trak: vec![trak], ..Moov::default() })
    }

    fn size(&self) -> Result<(u16, u16)> {
        let size = self.track.size;
        let side = |side: u32| {
            u16::try_from(side).map_err(|_| Error::unsupported("mux", format!("{size}: an MP4 has 65535 at most")))
        };
        Ok((side(size.width)?, side(size.height)?))
    }

    fn frame_ticks(&self) -> u64 {
        (self.track.rate.timestamp_ns(1) / 1000).max(1)
    }

    fn tables(&self, times: &Times) -> Result<Stbl> {
        let rows = &self.samples;
        let keys: Vec<u32> = (1..).zip(rows).filter(|(_, row)| row.is_key).map(|(number, _)| number).collect();
        let chunk_sizes = runs(rows.chunks(CHUNK).map(<[Row]>::len));
        let mut first_chunk = 1;
        let chunks = chunk_sizes.into_iter().map(|(count, samples)| {
            let entry = StscEntry { first_chunk, samples_per_chunk: samples as u32, sample_description_index: 1 };
            first_chunk += count;
            entry
        });
        let deltas = runs(times.deltas.iter().copied());
        let offsets = runs(times.offsets.iter().copied());
        Ok(Stbl {
            stsd: self.description()?,
            stts: Stts {
                entries: deltas
                    .into_iter()
                    .map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta })
                    .collect(),
            },
            ctts: times.offsets.iter().any(|offset| *offset != 0).then(|| Ctts {
                entries: offsets
                    .into_iter()
                    .map(|(sample_count, sample_offset)| CttsEntry { sample_count, sample_offset })
                    .collect(),
            }),
            // Without the table every sample is a key.
            stss: (keys.len() < rows.len()).then_some(Stss { entries: keys }),
            stsc: Stsc { entries: chunks.collect() },
            stsz: Stsz { samples: StszSamples::Different { sizes: rows.iter().map(|row| row.bytes).collect() } },
            co64: Some(Co64 { entries: rows.chunks(CHUNK).map(|rows| rows[0].at).collect() }),
            ..Stbl::default()
        })
    }

    fn description(&self) -> Result<Stsd> {
        let (width, height) = self.size()?;
        let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
        let (primaries, transfer, matrix) = self.track.color_codes();
        let colr = Some(Colr::Nclx {
            colour_primaries: primaries.into(),
            transfer_characteristics: transfer.into(),
            matrix_coefficients: matrix.into(),
            full_range_flag: self.track.color.range == Range::Full,
        });
        let codec = if let Some(avcc) = self.packer.avcc()? {
            Avc1 { visual, avcc, colr, btrt: None, pasp: None, taic: None, fiel: None, spatial: None }.into()
        } else if let Some(hvcc) = self.packer.hvcc()? {
            Hvc1 { visual, hvcc, colr, ..Hvc1::default() }.into()
        } else {
            return Err(Error::unsupported("codec", format!("an MP4 file carries no {}", self.track.codec)));
        };
        Ok(Stsd { codecs: vec![codec] })
    }
}

/// The header of the samples, with the long form of their size.
fn mdat(bytes: u64) -> [u8; 16] {
    let mut head = [0; 16];
    head[..4].copy_from_slice(&1u32.to_be_bytes());
    head[4..8].copy_from_slice(b"mdat");
    head[8..].copy_from_slice(&bytes.max(16).to_be_bytes());
    head
}

/// When samples are decoded and shown.
struct Times {
    /// When the first one is shown.
    first: u64,
    /// How long a picture may have to wait for those that are decoded before it and shown behind it.
    wait: u64,
    /// Of the track.
    duration: u64,
    /// From one decoding to the next.
    deltas: Vec<u32>,
    /// From decoding to showing.
    offsets: Vec<i64>,
}

impl Times {
    /// Pictures are decoded in the order of the samples, at the times of all of them in their order, so early that none is
    /// shown before it is decoded.
    fn new(rows: &[Row], frame_ticks: u64) -> Result<Self> {
        let mut decoded: Vec<u64> = rows.iter().map(|row| row.ticks).collect();
        decoded.sort_unstable();
        let wait = rows.iter().zip(&decoded).map(|(row, decoded)| decoded.saturating_sub(row.ticks)).max().unwrap_or(0);
        let far = |ticks: u64| {
            let detail = format!("{:.0} s from one picture to the next", ticks as f64 / f64::from(TICKS));
            Error::unsupported("mux", detail).with_hint("an MP4 file has 4294 s at most")
        };
        let gaps = decoded.windows(2).map(|pair| pair[1] - pair[0]).chain([frame_ticks]);
        let deltas = gaps.map(|gap| u32::try_from(gap).map_err(|_| far(gap))).collect::<Result<Vec<_>>>()?;
        let offset = |(row, decoded): (&Row, &u64)| {
            i32::try_from(row.ticks + wait - decoded).map(i64::from).map_err(|_| far(row.ticks + wait - decoded))
        };
        let offsets = rows.iter().zip(&decoded).map(offset).collect::<Result<Vec<_>>>()?;
        let duration = deltas.iter().map(|delta| u64::from(*delta)).sum();
        Ok(Self { first: decoded[0], wait, duration, deltas, offsets })
    }

    /// An empty edit up to the first picture, and the waiting left out.
    fn edits(&self) -> Option<Edts> {
        let empty = (self.first > 0).then(|| ElstEntry {
            segment_duration: self.first,
            media_time: None,
            media_rate: fixed(1),
        });
        let rest = ElstEntry { segment_duration: self.duration, media_time: Some(self.wait), media_rate: fixed(1) };
        (self.first > 0 || self.wait > 0)
            .then(|| Edts { elst: Some(Elst { entries: empty.into_iter().chain([rest]).collect() }) })
    }
}
