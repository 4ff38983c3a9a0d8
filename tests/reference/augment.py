#!/usr/bin/env python3
"""What examples/augment.toml must yield, computed in double precision with numpy alone; it shares no code with Darkframe.

    augment.py DATASET.rgba AUGMENTED.rgba PICTURES_%04d.png [FRAME...]

Compares the frames (all where none is given) of the raw file within one code value, and the PNGs with the raw file
exactly. Prints what was random, so that a constant does not pass for it. Exit status 1 where something is wrong.
"""

import sys

import numpy as np
from PIL import Image

SOURCE, TARGET, SEED, JITTER = 64, 56, 7, 0.25
MASK = 0xFFFFFFFF


def pcg(value):
    state = (value * 747796405 + 2891336453) & MASK
    word = (((state >> ((state >> 28) + 4)) ^ state) * 277803737) & MASK
    return (word >> 22) ^ word


def augment(picture, frame):
    number = lambda index: pcg((pcg((frame + pcg(SEED)) & MASK) + index) & MASK) >> 8
    factor = lambda index: 1 + JITTER * (number(index) / 2**23 - 1)
    x, y = (number(index) % (SOURCE - TARGET + 1) for index in (0, 1))
    mirrored = number(2) % 2 == 1
    c = picture[y : y + TARGET, x : x + TARGET, :3] / 255.0
    if mirrored:
        c = c[:, ::-1]
    c = (c - 0.5) * factor(3) + 0.5
    c = c * factor(4)
    luma = (c @ [0.2126, 0.7152, 0.0722])[..., None]
    c = np.clip(luma + (c - luma) * factor(5), 0, 1)
    return np.floor(c * 255 + 0.5), (x, y, mirrored)


def main():
    dataset = np.fromfile(sys.argv[1], np.uint8).reshape(-1, SOURCE, SOURCE, 4)
    augmented = np.fromfile(sys.argv[2], np.uint8).reshape(-1, TARGET, TARGET, 4)
    if len(dataset) != len(augmented):
        sys.exit(f"{len(dataset)} pictures became {len(augmented)}")
    frames = [int(frame) for frame in sys.argv[4:]] or range(len(dataset))
    furthest, seen = 0, set()
    for frame in frames:
        want, what = augment(dataset[frame], frame)
        got = augmented[frame]
        off = np.abs(got[..., :3].astype(int) - want).max()
        furthest = max(furthest, off)
        seen.add(what)
        if off > 1 or (got[..., 3] != 255).any():
            sys.exit(f"frame {frame}: off by {off}, alpha from {got[..., 3].min()}")
        png = np.asarray(Image.open(sys.argv[3] % frame).convert("RGBA"))
        if not np.array_equal(png, got):
            sys.exit(f"frame {frame}: the PNG is another picture than the raw frame")
    print(f"{len(frames)} frames, furthest {furthest:.0f}, {len(seen)} different crops")
    if len(frames) > 50 and len(seen) < len(frames) // 10:
        sys.exit("that is not random")


if __name__ == "__main__":
    main()
