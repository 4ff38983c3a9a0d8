//! What two ends of PipeWire agree on, as its objects: formats, buffers, metadata.
//!
//! In: what we have, or the bytes of an object. Out: the bytes of objects, or what the other end wants.
//! Not here: when they are sent (`output`, `input`).
//!
//! Numbers of formats are those of GStreamer up to 64, and so are those of colours.

use std::io::Cursor;

use ::pipewire::spa;
use spa::pod::deserialize::PodDeserializer;
use spa::pod::serialize::PodSerializer;
use spa::pod::{ChoiceValue, Object, Pod, Property, PropertyFlags, Value};
use spa::sys as ids;
use spa::utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle, SpaTypes};

use crate::color::{Color, Siting};
use crate::error::{Error, Result};
use crate::format::{Fourcc, Modifier};
use crate::layout::Size;
use crate::share::unixfd::{caps, video_format};
use crate::sys::pipewire as raw;

use super::OP;

/// The last format whose number is GStreamer's.
const LAST_COMMON: i32 = 64;

/// What the frames of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixel format.
    pub fourcc: Fourcc,
    /// Visible size.
    pub size: Size,
    /// Frames per second as a fraction; `None` where it varies.
    pub rate: Option<(u32, u32)>,
    /// What the numbers mean.
    pub color: Color,
}

/// What a format says of modifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Modifiers {
    /// Nothing: memory files, or dma-bufs that the CPU maps.
    None,
    /// Any of these; whoever makes the memory chooses.
    Offered(Vec<Modifier>),
    /// This one.
    Fixed(Modifier),
}

/// An object, as bytes.
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    fn new(object: Object) -> Result<Self> {
        let written = PodSerializer::serialize(Cursor::new(Vec::new()), &Value::Object(object));
        let (cursor, _) = written.map_err(|error| Error::failed(OP, format!("an object of ours: {error:?}")))?;
        Ok(Self(cursor.into_inner()))
    }
}

/// The objects, as the library takes them.
pub(super) fn pods(all: &[Bytes]) -> Vec<&Pod> {
    all.iter().filter_map(|bytes| Pod::from_bytes(&bytes.0)).collect()
}

/// PipeWire's number of a format.
///
/// # Errors
/// `Unsupported` where it has none.
pub(super) fn number(fourcc: Fourcc) -> Result<u32> {
    let number = video_format::number(fourcc);
    u32::try_from(number).ok().filter(|_| number <= LAST_COMMON).ok_or_else(|| {
        Error::unsupported(OP, format!("{fourcc}: PipeWire has no name for the format"))
            .with_hint("give the pass format = \"ABGR8888\"")
    })
}

fn fourcc(number: u32) -> Result<Fourcc> {
    let known = video_format::FORMATS.iter().find(|(_, known, _)| i64::from(*known) == i64::from(number));
    known
        .filter(|(_, known, _)| *known <= LAST_COMMON)
        .map(|(_, _, fourcc)| *fourcc)
        .ok_or_else(|| Error::unsupported(OP, format!("video format {number} of PipeWire has no DRM name here")))
}

fn one(key: u32, value: Value) -> Property {
    Property::new(key, value)
}

fn choice<T: spa::pod::CanonicalFixedSizedPod>(of: ChoiceEnum<T>) -> Choice<T> {
    Choice(ChoiceFlags::empty(), of)
}

fn flags(mask: u32) -> Value {
    let mask = mask as i32;
    Value::Choice(ChoiceValue::Int(choice(ChoiceEnum::Flags { default: mask, flags: vec![mask] })))
}

fn modifier_property(modifiers: &Modifiers) -> Option<Property> {
    let (value, flags) = match modifiers {
        Modifiers::None => return None,
        Modifiers::Fixed(modifier) => (Value::Long(modifier.0 as i64), PropertyFlags::MANDATORY),
        Modifiers::Offered(list) => {
            let alternatives: Vec<i64> = list.iter().map(|modifier| modifier.0 as i64).collect();
            let default = alternatives.first().copied()?;
            let of = ChoiceEnum::Enum { default, alternatives };
            (Value::Choice(ChoiceValue::Long(choice(of))), PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE)
        }
    };
    Some(Property { key: ids::SPA_FORMAT_VIDEO_modifier, flags, value })
}

fn head() -> Vec<Property> {
    vec![
        one(ids::SPA_FORMAT_mediaType, Value::Id(Id(ids::SPA_MEDIA_TYPE_video))),
        one(ids::SPA_FORMAT_mediaSubtype, Value::Id(Id(ids::SPA_MEDIA_SUBTYPE_raw))),
    ]
}

fn format_object(properties: Vec<Property>) -> Result<Bytes> {
    let type_ = SpaTypes::ObjectParamFormat.as_raw();
    Bytes::new(Object { type_, id: ids::SPA_PARAM_EnumFormat, properties })
}

/// The format of frames of ours.
pub(super) fn offer(picture: &Picture, modifiers: &Modifiers) -> Result<Bytes> {
    let mut properties = head();
    properties.push(one(ids::SPA_FORMAT_VIDEO_format, Value::Id(Id(number(picture.fourcc)?))));
    properties.extend(modifier_property(modifiers));
    let Size { width, height } = picture.size;
    properties.push(one(ids::SPA_FORMAT_VIDEO_size, Value::Rectangle(Rectangle { width, height })));
    let (num, denom) = picture.rate.unwrap_or((0, 1));
    properties.push(one(ids::SPA_FORMAT_VIDEO_framerate, Value::Fraction(Fraction { num, denom })));
    let is_yuv = picture.fourcc.format()?.is_yuv();
    let id = |key, number| one(key, Value::Id(Id(number)));
    if is_yuv {
        properties.push(id(
            ids::SPA_FORMAT_VIDEO_chromaSite,
            match picture.color.siting {
                Siting::Center => ids::SPA_VIDEO_CHROMA_SITE_JPEG,
                Siting::Left => ids::SPA_VIDEO_CHROMA_SITE_MPEG2,
                Siting::TopLeft => ids::SPA_VIDEO_CHROMA_SITE_COSITED,
            },
        ));
    }
    let [range, matrix, transfer, primaries] = caps::color_numbers(&picture.color, is_yuv);
    properties.push(id(ids::SPA_FORMAT_VIDEO_colorRange, range));
    properties.push(id(ids::SPA_FORMAT_VIDEO_colorMatrix, matrix));
    properties.push(id(ids::SPA_FORMAT_VIDEO_transferFunction, transfer));
    properties.push(id(ids::SPA_FORMAT_VIDEO_colorPrimaries, primaries));
    format_object(properties)
}

/// Any frames of which we know what they are.
pub(super) fn wish(modifiers: &Modifiers) -> Result<Bytes> {
    let mut properties = head();
    let known = video_format::FORMATS.iter().filter(|(_, number, _)| *number <= LAST_COMMON);
    let alternatives: Vec<Id> = known.map(|(_, number, _)| Id(*number as u32)).collect();
    let of = ChoiceEnum::Enum { default: Id(number(Fourcc::ABGR8888)?), alternatives };
    properties.push(one(ids::SPA_FORMAT_VIDEO_format, Value::Choice(ChoiceValue::Id(choice(of)))));
    properties.extend(modifier_property(modifiers));
    let rectangle = |width, height| Rectangle { width, height };
    let of = ChoiceEnum::Range { default: rectangle(1280, 720), min: rectangle(1, 1), max: rectangle(65536, 65536) };
    properties.push(one(ids::SPA_FORMAT_VIDEO_size, Value::Choice(ChoiceValue::Rectangle(choice(of)))));
    let fraction = |num| Fraction { num, denom: 1 };
    let of = ChoiceEnum::Range { default: fraction(30), min: fraction(0), max: fraction(1000) };
    properties.push(one(ids::SPA_FORMAT_VIDEO_framerate, Value::Choice(ChoiceValue::Fraction(choice(of)))));
    format_object(properties)
}

/// What was chosen, where there was a choice: the value that stands first.
fn chosen<T: spa::pod::CanonicalFixedSizedPod + Copy>(Choice(_, of): &Choice<T>) -> T {
    match of {
        ChoiceEnum::None(value) => *value,
        ChoiceEnum::Range { default, .. }
        | ChoiceEnum::Step { default, .. }
        | ChoiceEnum::Enum { default, .. }
        | ChoiceEnum::Flags { default, .. } => *default,
    }
}

/// What a format that came says.
///
/// # Errors
/// `Unsupported` where it is no video, or one of which we do not know what it is; `InvalidInput` for sizes.
pub(super) fn read(pod: &Pod) -> Result<(Picture, Modifiers)> {
    let wrong = |what: &str| Error::invalid(OP, format!("a format: {what}"));
    let Ok((_, Value::Object(object))) = PodDeserializer::deserialize_any_from(pod.as_bytes()) else {
        return Err(wrong("it is no object"));
    };
    let find = |key: u32| object.properties.iter().find(|property| property.key == key);
    let id = |key: u32| match find(key).map(|property| &property.value) {
        Some(Value::Id(id)) => Some(id.0),
        Some(Value::Choice(ChoiceValue::Id(choice))) => Some(chosen(choice).0),
        _ => None,
    };
    let raw_video = (Some(ids::SPA_MEDIA_TYPE_video), Some(ids::SPA_MEDIA_SUBTYPE_raw));
    if (id(ids::SPA_FORMAT_mediaType), id(ids::SPA_FORMAT_mediaSubtype)) != raw_video {
        return Err(
            Error::unsupported(OP, "the stream is no raw video").with_hint("take a camera or a screen, undecoded")
        );
    }
    let fourcc = fourcc(id(ids::SPA_FORMAT_VIDEO_format).ok_or_else(|| wrong("it has no pixel format"))?)?;
    let size = match find(ids::SPA_FORMAT_VIDEO_size).map(|property| &property.value) {
        Some(Value::Rectangle(size)) => Size::new(size.width, size.height),
        Some(Value::Choice(ChoiceValue::Rectangle(choice))) => {
            let size = chosen(choice);
            Size::new(size.width, size.height)
        }
        _ => return Err(wrong("it has no size")),
    };
    size.check()?;
    let rate = match find(ids::SPA_FORMAT_VIDEO_framerate).map(|property| &property.value) {
        Some(Value::Fraction(rate)) => Some(*rate),
        Some(Value::Choice(ChoiceValue::Fraction(choice))) => Some(chosen(choice)),
        _ => None,
    };
    let rate = rate.filter(|rate| rate.num > 0 && rate.denom > 0).map(|rate| (rate.num, rate.denom));
    let is_yuv = fourcc.format()?.is_yuv();
    let said = |key| id(key).unwrap_or(0);
    let mut color = if is_yuv { Color::guess(size) } else { Color::SRGB };
    match said(ids::SPA_FORMAT_VIDEO_chromaSite) {
        ids::SPA_VIDEO_CHROMA_SITE_JPEG => color.siting = Siting::Center,
        ids::SPA_VIDEO_CHROMA_SITE_MPEG2 => color.siting = Siting::Left,
        ids::SPA_VIDEO_CHROMA_SITE_COSITED => color.siting = Siting::TopLeft,
        _ => {}
    }
    let numbers = [
        ids::SPA_FORMAT_VIDEO_colorRange,
        ids::SPA_FORMAT_VIDEO_colorMatrix,
        ids::SPA_FORMAT_VIDEO_transferFunction,
        ids::SPA_FORMAT_VIDEO_colorPrimaries,
    ];
    let color = caps::color_over(color, numbers.map(said), is_yuv);
    let modifiers = match find(ids::SPA_FORMAT_VIDEO_modifier) {
        None => Modifiers::None,
        Some(property) => match &property.value {
            Value::Long(modifier) => Modifiers::Fixed(Modifier(*modifier as u64)),
            Value::Choice(ChoiceValue::Long(choice)) if !property.flags.contains(PropertyFlags::DONT_FIXATE) => {
                Modifiers::Fixed(Modifier(chosen(choice) as u64))
            }
            Value::Choice(ChoiceValue::Long(choice)) => {
                let mut list = vec![Modifier(chosen(choice) as u64)];
                if let ChoiceEnum::Enum { alternatives, .. } = &choice.1 {
                    list.extend(alternatives.iter().map(|modifier| Modifier(*modifier as u64)));
                }
                Modifiers::Offered(list)
            }
            _ => return Err(wrong("its modifier is no number")),
        },
    };
    Ok((Picture { fourcc, size, rate, color }, modifiers))
}

/// How many buffers of which memory.
pub(super) struct Buffers {
    pub(super) count: ChoiceEnum<i32>,
    /// Memories of one buffer, without timelines.
    pub(super) blocks: ChoiceEnum<i32>,
    /// Bytes and stride of the only memory, for those that map it.
    pub(super) only: Option<(u64, u32)>,
    /// `SPA_DATA_*`, as a mask.
    pub(super) kinds: u32,
    /// Two memories more, which are timelines.
    pub(super) timelines: bool,
}

fn int(of: ChoiceEnum<i32>) -> Value {
    match of {
        ChoiceEnum::None(value) => Value::Int(value),
        of => Value::Choice(ChoiceValue::Int(choice(of))),
    }
}

impl Buffers {
    pub(super) fn bytes(self) -> Result<Bytes> {
        let mut properties = vec![
            one(ids::SPA_PARAM_BUFFERS_buffers, int(self.count)),
            one(ids::SPA_PARAM_BUFFERS_blocks, int(self.blocks)),
        ];
        if let Some((size, stride)) = self.only {
            let number = |value: u64| Value::Int(i32::try_from(value).unwrap_or(i32::MAX));
            properties.push(one(ids::SPA_PARAM_BUFFERS_size, number(size)));
            properties.push(one(ids::SPA_PARAM_BUFFERS_stride, number(stride.into())));
        }
        properties.push(one(ids::SPA_PARAM_BUFFERS_dataType, flags(self.kinds)));
        if self.timelines {
            // Without it the other end would take these buffers and know nothing of the two memories more.
            properties.push(Property {
                key: raw::BUFFERS_META_TYPE,
                flags: PropertyFlags::MANDATORY,
                value: Value::Int(1 << raw::META_SYNC_TIMELINE),
            });
        }
        let type_ = SpaTypes::ObjectParamBuffers.as_raw();
        Bytes::new(Object { type_, id: ids::SPA_PARAM_Buffers, properties })
    }
}

/// Metadata with each buffer.
pub(super) fn meta(kind: u32, size_bytes: usize) -> Result<Bytes> {
    let properties = vec![
        one(ids::SPA_PARAM_META_type, Value::Id(Id(kind))),
        one(ids::SPA_PARAM_META_size, Value::Int(size_bytes as i32)),
    ];
    let type_ = SpaTypes::ObjectParamMeta.as_raw();
    Bytes::new(Object { type_, id: ids::SPA_PARAM_Meta, properties })
}

/// Time and number with each buffer.
pub(super) fn header() -> Result<Bytes> {
    meta(ids::SPA_META_Header, raw::HEADER_BYTES)
}

/// A counter with each buffer of who reads it: without one it counts as given back after a cycle.
pub(super) fn busy() -> Result<Bytes> {
    meta(ids::SPA_META_Busy, raw::BUSY_BYTES)
}

/// Points of timelines with each buffer.
pub(super) fn points() -> Result<Bytes> {
    meta(raw::META_SYNC_TIMELINE, raw::SYNC_TIMELINE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header's constants beside the table.
    #[test]
    fn format_numbers_are_those_of_the_header() {
        for (fourcc, expected) in [
            (Fourcc::ABGR8888, ids::SPA_VIDEO_FORMAT_RGBA),
            (Fourcc::XBGR8888, ids::SPA_VIDEO_FORMAT_RGBx),
            (Fourcc::ARGB8888, ids::SPA_VIDEO_FORMAT_BGRA),
            (Fourcc::XRGB8888, ids::SPA_VIDEO_FORMAT_BGRx),
            (Fourcc::RGBA8888, ids::SPA_VIDEO_FORMAT_ABGR),
            (Fourcc::BGR888, ids::SPA_VIDEO_FORMAT_RGB),
            (Fourcc::RGB888, ids::SPA_VIDEO_FORMAT_BGR),
            (Fourcc::RGB565, ids::SPA_VIDEO_FORMAT_RGB16),
            (Fourcc::R8, ids::SPA_VIDEO_FORMAT_GRAY8),
            (Fourcc::R16, ids::SPA_VIDEO_FORMAT_GRAY16_LE),
            (Fourcc::YUV420, ids::SPA_VIDEO_FORMAT_I420),
            (Fourcc::YVU420, ids::SPA_VIDEO_FORMAT_YV12),
            (Fourcc::YUV422, ids::SPA_VIDEO_FORMAT_Y42B),
            (Fourcc::YUV444, ids::SPA_VIDEO_FORMAT_Y444),
            (Fourcc::YUV411, ids::SPA_VIDEO_FORMAT_Y41B),
            (Fourcc::NV12, ids::SPA_VIDEO_FORMAT_NV12),
            (Fourcc::NV21, ids::SPA_VIDEO_FORMAT_NV21),
            (Fourcc::NV16, ids::SPA_VIDEO_FORMAT_NV16),
            (Fourcc::NV61, ids::SPA_VIDEO_FORMAT_NV61),
            (Fourcc::NV24, ids::SPA_VIDEO_FORMAT_NV24),
            (Fourcc::P010, ids::SPA_VIDEO_FORMAT_P010_10LE),
            (Fourcc::YUYV, ids::SPA_VIDEO_FORMAT_YUY2),
            (Fourcc::UYVY, ids::SPA_VIDEO_FORMAT_UYVY),
            (Fourcc::YVYU, ids::SPA_VIDEO_FORMAT_YVYU),
            (Fourcc::VYUY, ids::SPA_VIDEO_FORMAT_VYUY),
            (Fourcc::YUV410, ids::SPA_VIDEO_FORMAT_YUV9),
            (Fourcc::YVU410, ids::SPA_VIDEO_FORMAT_YVU9),
        ] {
            assert_eq!(number(fourcc).unwrap(), expected, "{fourcc}");
            assert_eq!(super::fourcc(expected).unwrap(), fourcc);
        }
        assert!(number(Fourcc::NV15).unwrap_err().to_string().contains("no name"));
        assert!(super::fourcc(ids::SPA_VIDEO_FORMAT_v308).is_err());
    }

    #[test]
    fn what_is_offered_is_read_as_it_was_meant() {
        for (fourcc, color) in [(Fourcc::ABGR8888, Color::SRGB), (Fourcc::NV12, Color::HD), (Fourcc::R8, Color::SRGB)] {
            let picture = Picture { fourcc, size: Size::new(33, 7), rate: Some((30000, 1001)), color };
            for modifiers in
                [Modifiers::None, Modifiers::Fixed(Modifier::LINEAR), Modifiers::Fixed(Modifier(0x0800_0000_0000_0051))]
            {
                let bytes = [offer(&picture, &modifiers).unwrap()];
                assert_eq!(read(pods(&bytes)[0]).unwrap(), (picture, modifiers));
            }
            let bytes = [offer(&picture, &Modifiers::Offered(vec![Modifier::LINEAR, Modifier(7)])).unwrap()];
            let (_, offered) = read(pods(&bytes)[0]).unwrap();
            let Modifiers::Offered(list) = offered else { panic!("{offered:?}") };
            assert!(list.contains(&Modifier::LINEAR) && list.contains(&Modifier(7)));
        }
    }
}
