//! Pictures of any size to pictures of one: where the picture lies in the new frame, and its resampling.
//!
//! In: a [`Picture`] and a [`Framing`]. Out: a picture of the framing's size.
//! Not here: scaling on the GPU (`shaders/lanczos.frag`, `shaders/bicubic.frag`).
//!
//! Resampling is Lanczos with three lobes, widened where it makes smaller, on the numbers as they are (not in linear
//! light), colours weighted by alpha: what Pillow does.

use fast_image_resize as resize;

use crate::error::{Error, Result};
use crate::layout::Size;

use super::super::super::description::Fit;
use super::Picture;

/// The size that pictures get, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Framing {
    /// The size of every picture.
    pub size: Size,
    /// How a picture of other proportions gets there.
    pub fit: Fit,
    /// R, G, B, A of what a contained picture leaves free.
    pub background: [u8; 4],
}

/// Where a picture goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// The part of the picture that is seen: left, top, width, height, in its pixels.
    pub part: [f64; 4],
    /// Left and top in the frame.
    pub place: (u32, u32),
    /// Size in the frame.
    pub size: Size,
}

impl Framing {
    /// Where a picture of size `from` goes.
    pub fn placement(&self, from: Size) -> Placement {
        let to = self.size;
        let [width, height] = [from.width, from.height].map(f64::from);
        let ratios = [f64::from(to.width) / width, f64::from(to.height) / height];
        let whole = [0.0, 0.0, width, height];
        match self.fit {
            Fit::Stretch => Placement { part: whole, place: (0, 0), size: to },
            Fit::Contain => {
                let scale = ratios[0].min(ratios[1]);
                let length = |length: f64, most: u32| ((length * scale).round() as u32).clamp(1, most);
                let size = Size::new(length(width, to.width), length(height, to.height));
                Placement { part: whole, place: ((to.width - size.width) / 2, (to.height - size.height) / 2), size }
            }
            Fit::Cover => {
                let scale = ratios[0].max(ratios[1]);
                let seen = [f64::from(to.width) / scale, f64::from(to.height) / scale];
                let seen = [seen[0].min(width), seen[1].min(height)];
                let part = [(width - seen[0]) / 2.0, (height - seen[1]) / 2.0, seen[0], seen[1]];
                Placement { part, place: (0, 0), size: to }
            }
        }
    }

    /// Gives `picture` the framing's size.
    ///
    /// # Errors
    /// `Failed` where the picture's bytes are not those of its size.
    pub fn place(&self, picture: Picture) -> Result<Picture> {
        if picture.size == self.size {
            return Ok(picture);
        }
        let Placement { part: [left, top, width, height], place, size } = self.placement(picture.size);
        let failed = |error: &dyn std::fmt::Display| Error::failed("resize", error.to_string());
        let kind = resize::PixelType::U8x4;
        let from = resize::images::ImageRef::new(picture.size.width, picture.size.height, &picture.pixels, kind)
            .map_err(|error| failed(&error))?;
        let mut scaled = resize::images::Image::new(size.width, size.height, kind);
        let options = resize::ResizeOptions::new()
            .resize_alg(resize::ResizeAlg::Convolution(resize::FilterType::Lanczos3))
            .crop(left, top, width, height)
            .use_alpha(true);
        resize::Resizer::new().resize(&from, &mut scaled, &options).map_err(|error| failed(&error))?;
        let mut notes = picture.notes;
        notes.push(format!("scaled from {} to {size}", picture.size));
        let scaled = scaled.into_vec();
        if size == self.size {
            return Ok(Picture { size, pixels: scaled, notes });
        }
        let mut pixels = self.background.repeat(self.size.pixels() as usize);
        let (row_bytes, stride) = (size.width as usize * 4, self.size.width as usize * 4);
        let rows = pixels.chunks_exact_mut(stride).skip(place.1 as usize);
        for (target, row) in rows.zip(scaled.chunks_exact(row_bytes)) {
            target[place.0 as usize * 4..][..row_bytes].copy_from_slice(row);
        }
        Ok(Picture { size: self.size, pixels, notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(fit: Fit, from: (u32, u32), to: (u32, u32)) -> Placement {
        let size = |(width, height)| Size::new(width, height);
        Framing { size: size(to), fit, background: [0; 4] }.placement(size(from))
    }

    #[test]
    fn places_are_those_of_the_geometry() {
        // 400x200 in 100x100: half as high as wide; 25 rows above and below.
        let contained = placement(Fit::Contain, (400, 200), (100, 100));
        assert_eq!((contained.place, contained.size), ((0, 25), Size::new(100, 50)));
        // 3x2 in 10x10: 10 x 6.67, the row that is over below.
        let contained = placement(Fit::Contain, (3, 2), (10, 10));
        assert_eq!((contained.place, contained.size), ((0, 1), Size::new(10, 7)));
        // A line stays visible.
        assert_eq!(placement(Fit::Contain, (60_000, 1), (10, 10)).size, Size::new(10, 1));
        // Of 400x200 the middle 200x200 covers 100x100.
        assert_eq!(placement(Fit::Cover, (400, 200), (100, 100)).part, [100.0, 0.0, 200.0, 200.0]);
        // Of 30x50 in 20x10: 30 wide, 15 high, between the 35 rows that are over.
        assert_eq!(placement(Fit::Cover, (30, 50), (20, 10)).part, [0.0, 17.5, 30.0, 15.0]);
        assert_eq!(placement(Fit::Stretch, (30, 50), (20, 10)).part, [0.0, 0.0, 30.0, 50.0]);
    }
}
