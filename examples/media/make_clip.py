#!/usr/bin/env python3
"""Make the demo clip and stills of this folder from free photographs.

The photographs (`coffee`, `rocket`, `chelsea`) come with the Python package scikit-image; README.md names
their authors and licences. The camera pans and zooms over two of them with a dissolve between, and another
back from the second to the first at the end, so that the clip can be played in a loop.

Needs numpy, Pillow and scikit-image. Deterministic: the same versions of them give the same bytes.
Examples:
    make_clip.py                                      clip.y4m, coffee.png, chelsea.png beside this script
    make_clip.py --nv12 clip.nv12                     the same frames as raw NV12, and nothing else
    make_clip.py --y4m hd.y4m --size 1280x720 --frames 75 --fps 25
"""

import argparse
import pathlib

import numpy as np
import skimage.data
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent

# Camera paths: (centre x, centre y, width) of the view in the photograph's pixels, at the start and the end.
COFFEE_PATH = ((305.0, 172.0, 590.0), (292.0, 124.0, 400.0))
ROCKET_PATH = ((322.0, 300.0, 400.0), (320.0, 215.0, 620.0))
STILL_SIZE = (324, 216)


def planes(photograph):
    """Three float images, so that no step before the last rounds to 8 bits."""
    return [Image.fromarray(photograph[..., i].astype(np.float32)) for i in range(3)]


def view(photograph, path, t, size):
    """What the camera sees at t in 0..1: R'G'B' in 0..255, shape (height, width, 3)."""
    (x0, y0, w0), (x1, y1, w1) = path
    width = w0 * (w1 / w0) ** t  # a steady zoom is geometric
    s = (width - w0) / (w1 - w0)
    height = width * size[1] / size[0]
    left = x0 + (x1 - x0) * s - width / 2
    top = y0 + (y1 - y0) * s - height / 2
    left = min(max(left, 0.0), photograph[0].width - width)
    top = min(max(top, 0.0), photograph[0].height - height)
    box = (left, top, left + width, top + height)
    seen = [np.asarray(p.resize(size, Image.Resampling.LANCZOS, box=box), np.float64) for p in photograph]
    return np.clip(np.stack(seen, axis=-1), 0.0, 255.0)


def clip(size, count):
    """The frames: the first photograph for half of them, the second for the other half, dissolving."""
    shots = [(planes(skimage.data.coffee()), COFFEE_PATH), (planes(skimage.data.rocket()), ROCKET_PATH)]
    half = count // 2
    fade = max(count // 9, 1)  # frames of each dissolve, taken from the end of a shot
    length = half + fade

    def shot(which, at):
        return view(*shots[which], at / (length - 1), size)

    # Each shot comes in while the one before runs on for `fade` frames. The clip begins after the first
    # dissolve, which so comes last: frame 0 is a plain photograph, and the loop closes.
    for n in range(fade, fade + 2 * half):
        which, at = divmod(n % (2 * half), half)
        weight = (at + 1) / (fade + 1) if at < fade else 1.0
        rgb = shot(which, at)
        if weight < 1.0:
            weight = weight * weight * (3.0 - 2.0 * weight)
            rgb = rgb * weight + shot(1 - which, half + at) * (1.0 - weight)
        yield rgb


def yuv420(rgb):
    """BT.601, limited range, 4:2:0 with left siting: chroma sample k sits on luma column 2k, between two rows."""
    r, g, b = (rgb[..., i] / 255.0 for i in range(3))
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    out = [16.0 + 219.0 * luma]
    for c in ((b - luma) / 1.772, (r - luma) / 1.402):
        c = np.pad(c, ((0, 0), (1, 1)), mode="edge")
        c = (c[:, 0:-2:2] + 2.0 * c[:, 1:-1:2] + c[:, 2::2]) / 4.0
        out.append(128.0 + 224.0 * (c[0::2] + c[1::2]) / 2.0)
    return [np.floor(p + 0.5).astype(np.uint8) for p in out]


def still(photograph):
    """The photograph cut to 3:2 about its centre and scaled."""
    height, width = photograph.shape[:2]
    w, h = min(width, height * 3 / 2), min(height, width * 2 / 3)
    box = ((width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2)
    return Image.fromarray(photograph).resize(STILL_SIZE, Image.Resampling.LANCZOS, box=box)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--y4m", type=pathlib.Path, metavar="OUT", help="write the frames as YUV4MPEG2")
    args.add_argument("--nv12", type=pathlib.Path, metavar="OUT", help="write the frames as raw NV12, no header")
    args.add_argument("--size", default="424x240", help="WIDTHxHEIGHT in pixels, both even (default 424x240)")
    args.add_argument("--frames", type=int, default=36, help="how many, even (default 36)")
    args.add_argument("--fps", type=int, default=15, help="frames per second (default 15)")
    args = args.parse_args()
    width, height = (int(n) for n in args.size.split("x"))
    if width % 2 or height % 2 or args.frames % 2 or width < 2 or height < 2 or args.frames < 4:
        raise SystemExit("make_clip.py: width, height and the number of frames must be even, and 4 frames at least")
    if not args.y4m and not args.nv12:
        args.y4m = HERE / "clip.y4m"
        for name in ("coffee", "chelsea"):
            still(getattr(skimage.data, name)()).save(HERE / f"{name}.png", optimize=True)

    y4m = args.y4m.open("wb") if args.y4m else None
    nv12 = args.nv12.open("wb") if args.nv12 else None
    if y4m:
        tags = f"W{width} H{height} F{args.fps}:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED"
        y4m.write(f"YUV4MPEG2 {tags}\n".encode())
    for rgb in clip((width, height), args.frames):
        y, u, v = yuv420(rgb)
        if y4m:
            y4m.write(b"FRAME\n" + y.tobytes() + u.tobytes() + v.tobytes())
        if nv12:
            nv12.write(y.tobytes() + np.stack((u, v), axis=-1).tobytes())


if __name__ == "__main__":
    main()
