#!/usr/bin/env python3
"""Makes what some examples need beside the clip: screen.png, barrel.png, film.cube, photos/.

    python3 -m venv venv && venv/bin/pip install numpy pillow scikit-image opencv-python-headless
    venv/bin/python make_more.py                  # beside the script

screen.png  the cup of coffee.png, cut out along ellipses, before a green screen: a soft edge, and green light on the cup.
barrel.png  a brick wall (skimage.data.brick) as a wide lens sees it: k1 -0.32, k2 0.1, focal length 240 pixels.
photos/     six photographs as cameras leave them: of different shapes, one of them on its side with a note (EXIF) to turn it.
film.cube   11 entries a side: an S-curve, shadows to teal, highlights to orange, less saturation.
"""

from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

HERE = Path(__file__).resolve().parent


def screen():
    cup = np.asarray(Image.open(HERE / "coffee.png").convert("RGB"))
    matte = np.zeros(cup.shape[:2])
    # The saucer and the rim of the cup are ellipses.
    cv2.ellipse(matte, (150, 125), (106, 82), 10, 0, 360, 1.0, -1)
    cv2.ellipse(matte, (157, 63), (63, 52), 0, 0, 360, 1.0, -1)
    matte = cv2.GaussianBlur(matte, (0, 0), 1.0)
    green = np.array([40.0, 178.0, 66.0]) * (1.0 + 0.06 * np.linspace(-1, 1, cup.shape[1]))[:, None]
    # Light from the screen falls on what is near to its edge.
    near = 1.0 - cv2.GaussianBlur(matte, (0, 0), 6.0)
    lit = cup * (1.0 - 0.25 * near[..., None]) + green * (0.25 * near[..., None])
    picture = lit * matte[..., None] + green * (1.0 - matte[..., None])
    Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8)).save(HERE / "screen.png", optimize=True)


def barrel():
    wall = Image.fromarray(skimage.data.brick()).resize((432, 432), Image.LANCZOS)
    wall = np.asarray(wall).astype(np.float32)
    width, height = 324, 216
    camera = np.array([[240, 0, 161.5], [0, 240, 107.5], [0, 0, 1]])
    seen = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 1, 2).astype(np.float64)
    right = cv2.undistortPoints(seen, camera, np.array([-0.32, 0.1, 0, 0, 0]), P=camera).reshape(height, width, 2)
    at = (right + np.array([54, 108])).astype(np.float32)
    picture = cv2.remap(wall, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8)).save(HERE / "barrel.png", optimize=True)


def film():
    side = np.linspace(0, 1, 11)
    b, g, r = np.meshgrid(side, side, side, indexing="ij")
    c = np.stack((r, g, b), -1).reshape(-1, 3)
    c = c * 0.55 + 0.45 * c * c * (3 - 2 * c)
    y = c @ [0.2126, 0.7152, 0.0722]
    c = y[:, None] + (c - y[:, None]) * 0.85
    dark, light = (1 - y)[:, None] ** 2, y[:, None] ** 1.5
    c = np.clip(c + dark * [-0.03, 0.035, 0.06] + light * [0.06, 0.015, -0.07], 0, 1)
    lines = ["# Darkframe: an S-curve, teal shadows, orange highlights", 'TITLE "film"', "LUT_3D_SIZE 11"]
    lines += ["{:.4f} {:.4f} {:.4f}".format(*entry) for entry in c]
    (HERE / "film.cube").write_text("\n".join(lines) + "\n")


def photos():
    coffee, cat = (Image.open(HERE / name).convert("RGB") for name in ("coffee.png", "chelsea.png"))
    wall, green = (Image.open(HERE / name).convert("RGB") for name in ("barrel.png", "screen.png"))
    upright = cat.crop((90, 0, 252, 216))
    on_its_side = Image.Exif()
    on_its_side[0x0112] = 6  # "the first row is the right side of the scene": turn it to the right
    folder = HERE / "photos"
    folder.mkdir(exist_ok=True)
    coffee.save(folder / "photo-1.jpg", quality=85)
    upright.transpose(Image.ROTATE_90).save(folder / "photo-2.jpg", quality=85, exif=on_its_side)
    cat.save(folder / "photo-3.jpg", quality=85)
    green.crop((60, 10, 276, 216)).save(folder / "photo-4.jpg", quality=85)
    wall.crop((0, 54, 324, 162)).save(folder / "photo-9.jpg", quality=85)
    coffee.crop((90, 0, 234, 216)).save(folder / "photo-10.jpg", quality=85)


screen()
barrel()
film()
photos()
