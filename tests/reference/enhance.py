#!/usr/bin/env python3
"""What the `enhance` pipeline must yield, computed in double precision with numpy alone.

It shares no code with Darkframe: it is the other side of a comparison. Row 0 is the top row everywhere.

    camera    frame of a y4m clip, 4:2:0 sited left, BT.601 limited range -> RGB. Luma sample for sample; chroma
              bilinear: sample k of a chroma row sits on luma column 2k, row k between luma rows 2k and 2k + 1.
    grade     c = clamp(c * exposure, 0, 1); c = mix(c, c * c * (3 - 2 * c), contrast)
    blur_h    9 taps of a Gaussian (sigma in pixels, weights add up to 1), clamped to the edge
    blur_v    the same, down
    unsharp   clamp(graded + amount * (graded - blurred), 0, 1)
    vignette  c * (1 - strength * smoothstep(0.45, 0.95, length(uv - 0.5) * 1.41421356)), uv at pixel centres

After each step but `camera` the picture is stored as 8-bit RGBA, rounded to nearest, and the next step reads that
(`--exact` stores nothing in between: what a pipeline fused into one pass tends to).

    enhance.py clip.y4m 0 out.png                     the result; .rgba writes raw RGBA, .yuv raw I420
    enhance.py clip.y4m 0 out.png --step blur_v       stop after that step
    enhance.py clip.y4m 0 --check ours.rgba           compare raw RGBA with the result; exit 1 if further than --within
"""

import argparse
import struct
import sys
import zlib

import numpy as np

STEPS = ("camera", "grade", "blur_h", "blur_v", "unsharp", "vignette")
EXPOSURE, CONTRAST, SIGMA, TAPS, AMOUNT, STRENGTH = 1.08, 0.35, 2.0, 9, 0.6, 0.35


def read_y4m(path, index):
    """Planes Y, U, V (uint8) of frame `index`, from 0."""
    with open(path, "rb") as file:
        magic, *tags = file.readline().decode("ascii").split()
        tag = {t[0]: t[1:] for t in tags if t[0] != "X"}
        if magic != "YUV4MPEG2" or tag.get("C") != "420mpeg2" or "XCOLORRANGE=FULL" in tags:
            raise SystemExit(f"{path}: a YUV4MPEG2 clip with C420mpeg2 and limited range is needed")
        w, h = int(tag["W"]), int(tag["H"])
        cw, ch = (w + 1) // 2, (h + 1) // 2
        for _ in range(index + 1):
            if not file.readline().startswith(b"FRAME"):
                raise SystemExit(f"{path}: no frame {index}")
            data = file.read(w * h + 2 * cw * ch)
    if len(data) != w * h + 2 * cw * ch:
        raise SystemExit(f"{path}: frame {index} is cut short")
    data = np.frombuffer(data, np.uint8)
    u, v = data[w * h :].reshape(2, ch, cw)
    return data[: w * h].reshape(h, w), u, v


def linear(samples, at, axis):
    """Samples along `axis` at the fractional positions `at`, clamped to the edge."""
    at = np.clip(at, 0.0, samples.shape[axis] - 1.0)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, samples.shape[axis] - 1)
    f = (at - low).reshape([-1 if i == axis else 1 for i in range(2)])
    return samples.take(low, axis) * (1.0 - f) + samples.take(high, axis) * f


def yuv_to_rgb(y, u, v):
    """BT.601 limited range, left-sited 4:2:0 -> RGB in 0..1."""
    h, w = y.shape
    luma = (y.astype(float) - 16.0) / 219.0
    across, down = np.arange(w) / 2.0, (np.arange(h) - 0.5) / 2.0
    cb, cr = ((linear(linear(p.astype(float), across, 1), down, 0) - 128.0) / 224.0 for p in (u, v))
    r = luma + 1.402 * cr
    b = luma + 1.772 * cb
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    return np.clip(np.stack((r, g, b), axis=-1), 0.0, 1.0)


def rgb_to_yuv(rgb):
    """RGB in 0..1, even size -> planes Y, U, V (uint8): BT.601 limited, 4:2:0 by [1 2 1]/4 across (left-sited), [1 1]/2 down."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    planes = [16.0 + 219.0 * luma]
    for chroma in ((b - luma) / 1.772, (r - luma) / 1.402):
        left = np.concatenate((chroma[:, :1], chroma[:, 1:-1:2]), axis=1)
        across = (left + 2.0 * chroma[:, 0::2] + chroma[:, 1::2]) / 4.0
        planes.append(128.0 + 224.0 * (across[0::2] + across[1::2]) / 2.0)
    return [np.floor(p + 0.5).astype(np.uint8) for p in planes]


def to_bytes(c):
    """0..1 -> 8 bits, as a UNORM8 target stores it."""
    return np.floor(np.clip(c, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def blur(c, axis):
    reach = TAPS // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SIGMA) ** 2)
    weights /= weights.sum()
    padded = np.pad(c, [(reach, reach) if i == axis else (0, 0) for i in range(3)], mode="edge")
    size = c.shape[axis]
    return sum(w * padded.take(range(i, i + size), axis) for i, w in enumerate(weights))


def vignette(c):
    h, w = c.shape[:2]
    x = (np.arange(w) + 0.5) / w - 0.5
    y = (np.arange(h) + 0.5) / h - 0.5
    far = np.hypot(x[None, :], y[:, None]) * 1.41421356
    t = np.clip((far - 0.45) / (0.95 - 0.45), 0.0, 1.0)
    return c * (1.0 - STRENGTH * t * t * (3.0 - 2.0 * t))[..., None]


def enhance(planes, last="vignette", exact=False):
    """RGB in 0..1 after the step `last`."""

    def store(c):
        return c if exact else to_bytes(c) / 255.0

    camera = yuv_to_rgb(*planes)
    c = np.clip(camera * EXPOSURE, 0.0, 1.0)
    graded = store(c * (1.0 - CONTRAST) + c * c * (3.0 - 2.0 * c) * CONTRAST)
    results = {"camera": camera, "grade": graded}
    results["blur_h"] = store(blur(graded, 1))
    results["blur_v"] = store(blur(results["blur_h"], 0))
    results["unsharp"] = store(np.clip(graded + AMOUNT * (graded - results["blur_v"]), 0.0, 1.0))
    results["vignette"] = store(vignette(results["unsharp"]))
    return results[last]


def rgba(c):
    alpha = np.full(c.shape[:2] + (1,), 255, np.uint8)
    return np.concatenate((to_bytes(c), alpha), axis=-1)


def png(pixels):
    """RGBA, uint8 -> the bytes of a PNG."""
    h, w = pixels.shape[:2]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.concatenate((np.zeros((h, 1), np.uint8), pixels.reshape(h, w * 4)), axis=1)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + chunk(b"IEND", b"")


def check(path, want, within):
    """Compare, print one line, and say whether all is near enough."""
    got = np.fromfile(path, np.uint8)
    if got.size != want.size:
        raise SystemExit(f"{path}: {got.size} bytes, not {want.size}")
    off = np.abs(got.reshape(want.shape).astype(int) - want)
    y, x, channel = np.unravel_index(off.argmax(), off.shape)
    counts = ", ".join(f"{n} by {d}" for d, n in enumerate(np.bincount(off.ravel())) if d and n)
    print(f"{path}: furthest {off.max()} at x {x} y {y} channel {'RGBA'[channel]}; values off: {counts or 'none'}")
    return off.max() <= within


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("clip", help="a .y4m file")
    args.add_argument("frame", type=int, help="which frame, from 0")
    args.add_argument("out", nargs="?", help="file to write: .png, .rgba (raw RGBA) or .yuv (raw I420)")
    args.add_argument("--step", choices=STEPS, default=STEPS[-1], help="the last step to do (default vignette)")
    args.add_argument("--exact", action="store_true", help="do not round between the steps")
    args.add_argument("--check", metavar="RGBA", help="a raw RGBA frame to compare with the result")
    args.add_argument("--within", type=int, default=1, help="code values that --check allows (default 1)")
    args = args.parse_args()
    result = enhance(read_y4m(args.clip, args.frame), args.step, args.exact)
    if args.out:
        if args.out.endswith(".yuv"):
            data = b"".join(p.tobytes() for p in rgb_to_yuv(to_bytes(result) / 255.0))
        else:
            data = png(rgba(result)) if args.out.endswith(".png") else rgba(result).tobytes()
        with open(args.out, "wb") as file:
            file.write(data)
    if args.check and not check(args.check, rgba(result), args.within):
        sys.exit(1)


if __name__ == "__main__":
    main()
