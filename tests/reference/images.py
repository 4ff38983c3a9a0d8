#!/usr/bin/python3
"""Image files of every kind, and what must be read from them, by Pillow and numpy alone.

    images.py FOLDER

Writes the files, the expected pixels (bytes R, G, B, A) and `cases.txt`, a line each:
NAME FRAME WIDTHxHEIGHT WITHIN EXPECTED KEYS, where WITHIN is how many codes a channel may be off.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, features

HERE = Path(sys.argv[1])
CASES = []
# Cr and Cb of 4:2:0 are filtered in different ways: JPEG files here keep 4:4:4.
JPEG = {"quality": 95, "subsampling": 0}


def case(name, picture, keys="", within=0, frame=0):
    rgba = np.asarray(picture.convert("RGBA")) if isinstance(picture, Image.Image) else picture
    expected = f"{len(CASES)}.rgba"
    (HERE / expected).write_bytes(np.ascontiguousarray(rgba, np.uint8).tobytes())
    CASES.append(f"{name} {frame} {rgba.shape[1]}x{rgba.shape[0]} {within} {expected} {keys}")


def picture(width, height, mode="RGB", seed=1):
    """Smooth, different in every corner, with some grain."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    grain = np.random.default_rng(seed).integers(-6, 7, (height, width))
    planes = [
        40 + 190 * x / width + grain,
        30 + 200 * y / height - grain,
        128 + 100 * np.cos(x / 5) * np.sin(y / 7),
        255 * (1 - np.clip(np.hypot(x - width / 2, y - height / 2) / (width / 2), 0, 1)),
    ]
    pixels = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def kinds():
    rgb, rgba = picture(61, 43), picture(61, 43, "RGBA")
    for name, shown, options in [
        ("plain.png", rgb, {}),
        ("alpha.png", rgba, {}),
        ("grey.png", picture(61, 43, "L"), {}),
        ("palette.png", rgb.quantize(64), {}),
        ("two.png", picture(61, 43, "1"), {}),
        ("plain.bmp", rgb, {}),
        ("plain.tif", rgb, {}),
        ("packed.tiff", rgba, {"compression": "tiff_deflate"}),
        ("lzw.tiff", rgb, {"compression": "tiff_lzw"}),
        ("still.gif", rgb.quantize(64), {}),
        ("plain.ppm", rgb, {}),
    ]:
        shown.save(HERE / name, **options)
        case(name, Image.open(HERE / name))
    if features.check("webp"):
        rgba.save(HERE / "lossless.webp", lossless=True, exact=True)
        case("lossless.webp", rgba)
        rgb.save(HERE / "lossy.webp", quality=90)
        # Both decode to the same 4:2:0; how chroma is filtered differs.
        case("lossy.webp", Image.open(HERE / "lossy.webp"), within=12)
    rgb.save(HERE / "plain.jpg", **JPEG)
    # Inverse transforms may be one code apart, and three of them make a colour.
    case("plain.jpg", Image.open(HERE / "plain.jpg"), within=3)
    picture(61, 43, "CMYK").save(HERE / "cmyk.jpg", **JPEG)
    case("cmyk.jpg", Image.open(HERE / "cmyk.jpg").convert("RGB"), within=4)
    # 16 bits a channel are rounded to 8: 65535 is 255.
    deep = np.arange(61 * 43, dtype=np.uint32).reshape(43, 61) * 24
    Image.fromarray(deep.astype(np.uint16)).save(HERE / "deep.png")
    grey = np.floor(deep * 255 / 65535 + 0.5).astype(np.uint8)
    case("deep.png", np.dstack([grey, grey, grey, np.full_like(grey, 255)]))


def orientations():
    # Not square, so that a turn shows; different in every corner, so that a flip does.
    for number in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = number
        for kind, options, within in [("jpg", JPEG, 3), ("png", {}, 0), ("tif", {}, 0), ("webp", {"lossless": True}, 0)]:
            if kind == "webp" and not features.check("webp"):
                continue
            name = f"turned-{number}.{kind}"
            if kind == "tif":
                picture(32, 20).save(HERE / name, tiffinfo={0x0112: number})
            else:
                picture(32, 20).save(HERE / name, exif=exif, **options)
            # Pillow turns TIFF files while it loads them.
            stored = Image.open(HERE / name) if kind != "tif" else picture(32, 20)
            upright = ImageOps.exif_transpose(stored) if kind != "tif" else turned(np.asarray(stored), number)
            case(name, upright, within=within)
            case(name, stored, 'orientation = "stored"', within)


def turned(pixels, number):
    """EXIF 2.32, tag 0x0112: which edge of the scene the first row and the first column are."""
    by = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
        8: lambda p: np.rot90(p, 1),
    }
    return Image.fromarray(np.ascontiguousarray(by[number](pixels)))


def fits():
    """Pillow's Lanczos, alpha weighted, is what `fit` promises."""
    for name, (width, height), mode in [("wide.png", (120, 50), "RGB"), ("high.png", (37, 90), "RGBA")]:
        shown = picture(width, height, mode)
        shown.save(HERE / name)
        rgba = shown.convert("RGBA")
        # Two passes, each rounded to bytes, with coefficients of other precision; with alpha, colours are multiplied
        # by it and divided again.
        within = 3 if mode == "RGBA" else 2

        def scaled(box, size):
            # RGBa is RGBA with colours weighted by alpha.
            return rgba.convert("RGBa").resize(size, Image.LANCZOS, box).convert("RGBA")

        for to in [(64, 48), (200, 180), (17, 60)]:
            size = f'size = "{to[0]}x{to[1]}"'
            case(name, scaled((0, 0, width, height), to), size + '; fit = "stretch"', within)
            scale = min(to[0] / width, to[1] / height)
            inner = tuple(max(1, int(np.floor(length * scale + 0.5))) for length in (width, height))
            framed = Image.new("RGBA", to, (51, 102, 204, 255))
            framed.paste(scaled((0, 0, width, height), inner), ((to[0] - inner[0]) // 2, (to[1] - inner[1]) // 2))
            case(name, framed, size + '; background = "#3366cc"', within)
            scale = max(to[0] / width, to[1] / height)
            seen = (to[0] / scale, to[1] / scale)
            left, top = (width - seen[0]) / 2, (height - seen[1]) / 2
            box = (left, top, min(left + seen[0], width), min(top + seen[1], height))
            case(name, scaled(box, to), size + '; fit = "cover"', within)


def profiles():
    # A display profile of a wide gamut: made of primaries, as no file of one ships everywhere.
    srgb = ImageCms.createProfile("sRGB")
    wide = HERE / "wide.icc"
    wide.write_bytes(matrix_profile())
    shown = picture(61, 43)
    shown.save(HERE / "wide-gamut.png", icc_profile=wide.read_bytes())
    converted = ImageCms.profileToProfile(
        shown, ImageCms.ImageCmsProfile(str(wide)), srgb, 1
    )
    case("wide-gamut.png", converted, within=2)
    case("wide-gamut.png", shown, 'profile = "ignore"')
    shown.save(HERE / "srgb.png", icc_profile=ImageCms.ImageCmsProfile(srgb).tobytes())
    case("srgb.png", shown)
    shown.save(HERE / "damaged-profile.png", icc_profile=wide.read_bytes()[:90])
    case("damaged-profile.png", shown)


def matrix_profile():
    """ICC.1:2010, a display profile of three primaries (Display P3's, adapted to D50) and a gamma of 2.2."""
    fixed = lambda number: int(round(number * 65536)).to_bytes(4, "big", signed=True)
    xyz = lambda *numbers: b"XYZ \0\0\0\0" + b"".join(map(fixed, numbers))
    text = b"desc\0\0\0\0" + (5).to_bytes(4, "big") + b"wide\0" + bytes(78)
    curve = b"curv\0\0\0\0" + (1).to_bytes(4, "big") + int(2.2 * 256).to_bytes(2, "big") + b"\0\0"
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.51512, 0.2412, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
        b"cprt": b"text\0\0\0\0CC0\0",
    }
    table, body = len(tags).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + (start + len(body)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        body += value
    size = (start + len(body)).to_bytes(4, "big")
    head = size + bytes(4) + b"\x02\x10\0\0" + b"mntr" + b"RGB " + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return head + bytes(128 - len(head)) + table + body


def animations():
    pictures = [picture(40, 30, seed=seed) for seed in range(4)]
    pictures = [Image.fromarray(np.roll(np.asarray(p), 7 * i, 1)) for i, p in enumerate(pictures)]
    rest = {"save_all": True, "append_images": pictures[1:], "loop": 0}
    pictures[0].save(HERE / "moving.png", duration=40, default_image=False, **rest)
    for frame, shown in enumerate(pictures):
        case("moving.png", shown, frame=frame)
    reduced = [p.quantize(100) for p in pictures]
    reduced[0].save(HERE / "moving.gif", duration=40, save_all=True, append_images=reduced[1:], loop=0, optimize=False)
    opened = Image.open(HERE / "moving.gif")
    for frame in (2, 0, 3):
        opened.seek(frame)
        case("moving.gif", opened.convert("RGBA"), frame=frame)
    if features.check("webp_anim"):
        pictures[0].save(HERE / "moving.webp", duration=40, lossless=True, **rest)
        for frame in (1, 3, 0):
            # Each is blended over the one before, in fixed point.
            case("moving.webp", pictures[frame], within=1, frame=frame)


for make in (kinds, orientations, fits, profiles, animations):
    make()
(HERE / "cases.txt").write_text("\n".join(CASES) + "\n")
