#!/usr/bin/env python3
"""Makes a small data set for examples/augment.toml: pieces of the two photographs at random places, as raw RGBA.

    make_dataset.py OUT.rgba [--count 1000] [--size 64]

The same bytes at every run. Needs numpy and pillow.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=Path)
    args.add_argument("--count", type=int, default=1000)
    args.add_argument("--size", type=int, default=64)
    args = args.parse_args()
    photographs = [np.asarray(Image.open(HERE / name).convert("RGBA")) for name in ("chelsea.png", "coffee.png")]
    random = np.random.RandomState(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "wb") as file:
        for index in range(args.count):
            picture = photographs[index % 2]
            y, x = (random.randint(length - args.size + 1) for length in picture.shape[:2])
            file.write(picture[y : y + args.size, x : x + args.size].tobytes())


if __name__ == "__main__":
    main()
