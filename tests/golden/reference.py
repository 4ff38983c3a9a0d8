#!/usr/bin/python3
"""What pipelines of the shader library must give, computed in double precision with numpy alone.

It shares no code with Darkframe: it reads the same pipeline file and does by itself what each shader's head promises.
Row 0 is the top row. A picture is an array of height x width x 4 in 0..1; between passes it is stored as 8 bits.

    reference.py                        compares every tests/golden/*/expected.png with what it must be
    reference.py --update               writes those that are not; ends with status 1 where it wrote any
    reference.py --media                makes tests/golden/media again (Pillow's resampling)
    reference.py --cross                compares the arithmetic here with SciPy, scikit-image, OpenCV and Pillow
    reference.py --frame 3 a.toml b.png what pipeline a.toml must give in its frame 3
    reference.py --check a.png --within 2 a.toml       compares a.png with it; status 1 where it is further off
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "reference"))
import enhance as yuv

LUMA = np.array([0.2126, 0.7152, 0.0722])


# Pictures


def stored(picture):
    """As a target of bytes holds it."""
    return yuv.to_bytes(picture) / 255.0


def load(path):
    return np.asarray(Image.open(path).convert("RGBA")) / 255.0


def save(picture, path):
    Image.fromarray(yuv.to_bytes(picture), "RGBA").save(path, optimize=True)


def opaque(rgb):
    return np.concatenate((rgb, np.ones(rgb.shape[:2] + (1,))), axis=-1)


def grid(size):
    """uv of every pixel's middle: two arrays of height x width."""
    w, h = size
    return np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h)


def size_of(picture):
    return picture.shape[1], picture.shape[0]


def texel(picture, x, y):
    """Pixels at whole numbers; edges repeat."""
    h, w = picture.shape[:2]
    return picture[np.clip(y, 0, h - 1).astype(int), np.clip(x, 0, w - 1).astype(int)]


def sample(picture, u, v, linear=True):
    h, w = picture.shape[:2]
    if not linear:
        return texel(picture, np.floor(u * w), np.floor(v * h))
    x, y = u * w - 0.5, v * h - 0.5
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = texel(picture, x0, y0) * (1 - fx) + texel(picture, x0 + 1, y0) * fx
    return top * (1 - fy) + (texel(picture, x0, y0 + 1) * (1 - fx) + texel(picture, x0 + 1, y0 + 1) * fx) * fy


def shifted(picture, dx, dy):
    """The pixel so far right and down; edges repeat."""
    h, w = picture.shape[:2]
    return picture[np.clip(np.arange(h) + dy, 0, h - 1)][:, np.clip(np.arange(w) + dx, 0, w - 1)]


def smoothstep(a, b, x):
    t = np.clip((x - a) / (b - a), 0, 1)
    return t * t * (3 - 2 * t)


# Colour


def to_linear(c):
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def to_srgb(c):
    c = np.clip(c, 0, 1)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)


def luma(picture):
    return picture[..., :3] @ LUMA


def chroma(rgb):
    y = rgb @ LUMA
    return np.stack(((rgb[..., 2] - y) / 1.8556, (rgb[..., 0] - y) / 1.5748), axis=-1)


def reinhard(x, white):
    return x * (1 + x / white**2) / (1 + x)


def hable(x, white):
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    raw = lambda x: (x * (a * x + c * b) + d * e) / (x * (a * x + b) + d * f) - e / f
    return raw(x) / raw(white)


def filmic(x, _white):
    return (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)


def read_cube(path):
    """A .cube file with the domain 0..1: entries by [blue, green, red]."""
    size, entries = 0, []
    for line in Path(path).read_text().splitlines():
        words = line.split()
        if words and words[0] == "LUT_3D_SIZE":
            size = int(words[1])
        elif words and (words[0][0].isdigit() or words[0][0] in "-+."):
            entries.append([float(word) for word in words])
    return np.array(entries).reshape(size, size, size, 3)


def trilinear(table, rgb):
    last = table.shape[0] - 1
    at = np.clip(rgb, 0, 1) * last
    low = np.minimum(np.floor(at).astype(int), last - 1)
    f = at - low
    out = 0
    for corner in range(8):
        bits = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        weight = np.where(bits, f, 1 - f).prod(axis=-1)
        r, g, b = np.moveaxis(low + bits, -1, 0)
        out = out + weight[..., None] * table[b, g, r]
    return out


# Resampling


def lanczos(x, lobes):
    return np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


def cubic(x, b, c):
    """Mitchell and Netravali 1988."""
    x = np.abs(x)
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c
    return np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6


def resample(picture, axis, count, kernel, stretches):
    """Along one axis to `count` pixels; taps beyond the edge are left out."""
    have = picture.shape[axis]
    stretch = max(have / count, 1.0) if stretches else 1.0
    middle = (np.arange(count) + 0.5) * have / count
    weights = kernel((np.arange(have) + 0.5 - middle[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, picture, (1, axis)), 0, axis)


# One function for each shader, by its file's name: inputs by name, uniforms, size of the target, linear or nearest.

SHADERS = {}


def shader(function):
    SHADERS[function.__name__.replace("_", "-") + ".frag"] = function
    return function


def same(i, name, size, linear=True):
    """The input at every pixel of the target."""
    return i[name] if size_of(i[name]) == tuple(size) else sample(i[name], *grid(size), linear)


def with_alpha(rgb, picture):
    return np.concatenate((np.clip(rgb, 0, 1), picture[..., 3:]), axis=-1)


@shader
def copy(i, u, size, linear):
    return same(i, "source", size, linear)


@shader
def grade(i, u, size, linear):
    s = same(i, "source", size)
    c = np.clip(s[..., :3] * u["exposure"], 0, 1)
    return with_alpha(c + (c * c * (3 - 2 * c) - c) * u["contrast"], s)


@shader
def blur(i, u, size, linear):
    dx, dy = u["direction"]
    weights = np.exp(-0.5 * (np.arange(-4, 5) / 2.0) ** 2)
    weights /= weights.sum()
    return sum(w * shifted(i["source"], k * dx, k * dy) for k, w in zip(range(-4, 5), weights))


@shader
def unsharp(i, u, size, linear):
    s, b = i["source"], i["blurred"]
    return with_alpha(s[..., :3] + u["amount"] * (s - b)[..., :3], s)


@shader
def vignette(i, u, size, linear):
    x, y = grid(size)
    radius = np.hypot(x - 0.5, y - 0.5) * np.sqrt(2)
    s = same(i, "source", size)
    return with_alpha(s[..., :3] * (1 - u["strength"] * smoothstep(0.45, 0.95, radius))[..., None], s)


@shader
def over(i, u, size, linear):
    below = same(i, "base", size)
    x, y = grid(size)
    left, top, width, height = u["place"]
    x, y = (x - left) / width, (y - top) / height
    inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
    above = sample(i["top"], np.clip(x, 0, 1), np.clip(y, 0, 1), linear)
    share = (above[..., 3] * u["opacity"] * inside)[..., None]
    return with_alpha(below[..., :3] * (1 - share) + above[..., :3] * share, below)


@shader
def plasma(i, u, size, linear, time=0.0):
    x, y = grid(size)
    turn = u["scale"] * 2 * np.pi
    x, y = x * size[0] / size[1] * turn, y * turn
    v = np.sin(x + time) + np.sin(y * 0.7 - time * 1.3) + np.sin((x + y) * 0.6 + time * 0.7)
    v = v + np.sin(np.hypot(x - 3 * np.sin(time * 0.5), y - 3 * np.cos(time * 0.4)))
    return opaque(0.5 + 0.5 * np.cos(v[..., None] * 0.8 + np.array([0, 2.1, 4.2])))


@shader
def color(i, u, size, linear):
    s = same(i, "source", size)
    light = to_linear(s[..., :3]) * np.array(u["white"]) * 2.0 ** u["exposure"]
    grey = (light @ LUMA)[..., None]
    return with_alpha(to_srgb(grey + (light - grey) * u["saturation"]), s)


@shader
def tone(i, u, size, linear):
    s = same(i, "source", size)
    light = to_linear(s[..., :3]) * 2.0 ** u["exposure"]
    return with_alpha(to_srgb([reinhard, hable, filmic][u["curve"]](light, u["white"])), s)


@shader
def bicubic(i, u, size, linear):
    kernel = lambda x: cubic(x, *u["bc"])
    return np.clip(resample(resample(i["source"], 1, size[0], kernel, False), 0, size[1], kernel, False), 0, 1)


@shader
def lanczos_half(i, u, size, linear):
    axis = 1 if u["direction"][0] else 0
    return np.clip(resample(i["source"], axis, size[1 - axis], lambda x: lanczos(x, u["lobes"]), True), 0, 1)


SHADERS["lanczos.frag"] = SHADERS.pop("lanczos-half.frag")


@shader
def bilateral(i, u, size, linear):
    s = i["source"][..., :3]
    total = weighed = 0
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            if dx * dx + dy * dy <= 9:
                c = shifted(s, dx, dy)
                unlike = np.abs(c - s).sum(axis=-1)
                weight = np.exp(-(dx * dx + dy * dy) / 2 / u["sigma_space"] ** 2 - unlike**2 / 2 / u["sigma_range"] ** 2)
                total, weighed = total + weight[..., None], weighed + weight[..., None] * c
    return with_alpha(weighed / total, i["source"])


@shader
def sobel(i, u, size, linear):
    y = luma(i["source"])
    x_gradient = sum(k * (shifted(y, 1, d) - shifted(y, -1, d)) for d, k in ((-1, 1), (0, 2), (1, 1)))
    y_gradient = sum(k * (shifted(y, d, 1) - shifted(y, d, -1)) for d, k in ((-1, 1), (0, 2), (1, 1)))
    length = np.minimum(np.hypot(x_gradient, y_gradient) * u["gain"], 1)
    return opaque(np.repeat(length[..., None], 3, axis=2))


def warped(picture, x, y, linear):
    """The picture at pixels x, y; transparent black outside. Nothing may lie so near the edge that rounding decides."""
    w, h = size_of(picture)
    u, v = (x + 0.5) / w, (y + 0.5) / h
    edge = min(np.abs(e).min() for e in (u, 1 - u, v, 1 - v))
    assert edge > 1e-6, f"a pixel lies {edge} from the edge: choose other numbers"
    inside = (u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)
    return sample(picture, np.clip(u, 0, 1), np.clip(v, 0, 1), linear) * inside[..., None]


def distorted(u, size):
    """Where the lens puts each pixel of the right picture."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    (fx, fy), (cx, cy), (k1, k2, k3), (p1, p2) = u["focal"], u["center"], u["k"], u["p"]
    x, y = (x - cx) / fx, (y - cy) / fy
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return xd * fx + cx, yd * fy + cy


@shader
def lens(i, u, size, linear):
    return warped(i["source"], *distorted(u, size), linear)


@shader
def perspective(i, u, size, linear):
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    q = np.array(u["homography"]).reshape(3, 3) @ np.stack((x.ravel(), y.ravel(), np.ones(x.size)))
    picture = warped(i["source"], (q[0] / q[2]).reshape(x.shape), (q[1] / q[2]).reshape(x.shape), linear)
    return picture * (q[2] >= 0).reshape(x.shape)[..., None]


@shader
def chroma_key(i, u, size, linear):
    f, b = same(i, "front", size), same(i, "back", size)
    key = chroma(np.array(u["key"]))
    c = chroma(f[..., :3])
    matte = (smoothstep(u["near"], u["far"], np.hypot(*np.moveaxis(c - key, -1, 0))) * f[..., 3])[..., None]
    ahead = key / np.hypot(*key)
    excess = np.maximum(c @ ahead - np.abs(c[..., 0] * ahead[1] - c[..., 1] * ahead[0]), 0)
    c = c - ahead * (excess * u["spill"])[..., None]
    y = luma(f)
    red, blue = y + 1.5748 * c[..., 1], y + 1.8556 * c[..., 0]
    clean = np.clip(np.stack((red, (y - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue), axis=-1), 0, 1)
    return with_alpha(b[..., :3] * (1 - matte) + clean * matte, b)


@shader
def lut(i, u, size, linear):
    s = same(i, "source", size)
    return with_alpha(s[..., :3] + (trilinear(i["lut"], s[..., :3]) - s[..., :3]) * u["amount"], s)


@shader
def deinterlace_bob(i, u, size, linear):
    s = i["source"]
    h = s.shape[0]
    out = s.copy()
    for y in range(1 - u["field"], h, 2):
        around = [n for n in (y - 1, y + 1) if 0 <= n < h]
        out[y] = s[around].mean(axis=0)
    return out


@shader
def deinterlace_blend(i, u, size, linear):
    s = i["source"]
    return (shifted(s, 0, -1) + 2 * s + shifted(s, 0, 1)) / 4


@shader
def weave(i, u, size, linear):
    out = i["early"].copy()
    out[1 - u["first"] :: 2] = i["late"][1 - u["first"] :: 2]
    return out


@shader
def waveform(i, u, size, linear):
    w, h = size
    x, y = grid((w, 128))
    columns = sample(i["source"], x, y, False)[..., :3]
    columns = columns + (luma(columns)[..., None] - columns) * u["luma"]
    level = np.arange(h)[::-1, None, None]
    out = np.zeros((h, w, 3))
    for row in columns:
        out += np.maximum(1 - np.abs(row[None] * (h - 1) - level), 0)
    out = out * u["gain"] / 128
    # The nearest row to each quarter, or both where it lies between.
    quarter = (h - 1) / 4
    off = np.abs(level[:, 0, 0] - quarter * np.floor(level[:, 0, 0] / quarter + 0.5))
    assert np.abs(off - 0.5).min() > 1e-3, "a line lies between two rows: choose another height"
    out[off < 0.5] = np.maximum(out[off < 0.5], 0.25)
    return opaque(np.clip(out, 0, 1))


@shader
def histogram(i, u, size, linear):
    w, h = size
    counted = sample(i["source"], *grid((64, 64)), False)[..., :3].reshape(-1, 1, 3)
    share = np.maximum(1 - np.abs(counted * (w - 1) - np.arange(w)[:, None]), 0).mean(axis=0)
    return opaque(np.repeat(np.sqrt(np.minimum(share * u["gain"], 1))[None], h, axis=0))


@shader
def histogram_bars(i, u, size, linear):
    x, y = grid(size)
    height = sample(i["counts"], x, 0 * y + 0.5, False)[..., :3]
    return opaque((height >= 1 - y[..., None]) * 1.0)


@shader
def split(i, u, size, linear):
    x, _ = grid(size)
    off = (x - u["at"]) * size[0]
    c = np.where((off < 0)[..., None], same(i, "left", size), same(i, "right", size))[..., :3]
    return opaque(np.where((np.abs(off) < 0.5 * u["line"])[..., None], 1.0, c))


@shader
def temporal_denoise(i, u, size, linear):
    s, p = i["source"], i["previous"]
    off = np.abs(s - p)[..., :3].max(axis=-1)
    alike = 1 - smoothstep(u["still"], u["moving"], off)
    share = (u["strength"] * alike * (p[..., 3] >= 0.5))[..., None]
    return with_alpha(s[..., :3] * (1 - share) + p[..., :3] * share, s)


@shader
def sheet(i, u, size, linear, frame=0):
    p, photo = i["previous"], i["photo"]
    out = np.where(p[..., 3:] >= 0.5, p[..., :3], u["paper"])
    row, column = divmod(frame, int(u["columns"]))
    width, height = size[0] // int(u["columns"]), size[1] // int(u["rows"])
    if row >= u["rows"]:
        return opaque(out)
    w, h = size_of(photo)
    scale = min((width - 2 * u["margin"]) / w, (height - 2 * u["margin"]) / h)
    x, y = grid((width, height))
    x, y = (x - 0.5) * width / (w * scale) + 0.5, (y - 0.5) * height / (h * scale) + 0.5
    inside = ((x >= 0) & (x <= 1) & (y >= 0) & (y <= 1))[..., None]
    cell = np.where(inside, sample(photo, np.clip(x, 0, 1), np.clip(y, 0, 1), linear)[..., :3], u["paper"])
    out[row * height : (row + 1) * height, column * width : (column + 1) * width] = cell
    return opaque(out)


# Pipelines


class Pipeline:
    def __init__(self, path):
        self.folder = Path(path).parent
        self.text = tomllib.loads(Path(path).read_text())
        self.done = {}

    def last_frame(self):
        """The last frame of the key `frames`; 0 without it."""
        return int(str(self.text.get("frames", "0..1")).split("..")[-1]) - 1

    def source(self, name, frame):
        keys = self.text["source"][name]
        path = self.folder / keys["file"]
        if path.suffix == ".cube":
            return read_cube(path)
        if path.suffix == ".y4m":
            start = int(str(keys.get("range", "0..")).split("..")[0] or 0)
            return opaque(yuv.yuv_to_rgb(*yuv.read_y4m(path, start + frame)))
        return load(path)

    def picture(self, name, frame):
        """What a source or pass gives in one frame."""
        if (name, frame) not in self.done:
            self.done[name, frame] = self.drawn(name, frame)
        return self.done[name, frame]

    def drawn(self, name, frame):
        if name in self.text.get("source", {}):
            return self.source(name, frame)
        keys = self.text["pass"][name]
        inputs = keys.get("inputs", {})
        inputs = {n: n for n in inputs} if isinstance(inputs, list) else inputs
        before = [as_name for as_name, of in inputs.items() if of == "@previous"]
        inputs = {as_name: self.picture(of, frame) for as_name, of in inputs.items() if of != "@previous"}
        size = keys.get("size", "as-input")
        first = next(iter(inputs.values()), None)
        if size == "as-input":
            size = size_of(first)
        elif size.endswith("%"):
            size = [max(1, int(n * float(size[:-1]) / 100 + 0.5)) for n in size_of(first)]
        else:
            size = [int(n) for n in size.split("x")]
        for as_name in before:
            inputs[as_name] = self.picture(name, frame - 1) if frame else np.zeros((size[1], size[0], 4))
        function = SHADERS[Path(keys["shader"]).name]
        moving = {"frame": frame} if function is sheet else {}
        return stored(function(inputs, keys.get("uniforms", {}), size, keys.get("filter", "linear") == "linear", **moving))

    def expected(self, sink, frame=0):
        return stored(self.picture(self.text["sink"][sink]["input"], frame))


# Work


def cases():
    return sorted(path.parent for path in HERE.glob("*/pipeline.toml"))


def compare(update):
    """Every expected picture beside what it must be."""
    wrong = []
    for case in cases():
        pipeline = Pipeline(case / "pipeline.toml")
        want = yuv.to_bytes(pipeline.expected("picture", pipeline.last_frame()))
        path = case / "expected.png"
        have = yuv.to_bytes(load(path)) if path.exists() else np.zeros(0)
        # Another numpy sums in another order, and a tie is rounded the other way.
        off = np.abs(have.astype(int) - want) if have.shape == want.shape else np.array([255])
        if off.max() <= 1 and (off > 0).mean() < 0.001:
            continue
        wrong.append(case.name)
        print(f"{case.name}: expected.png {'written' if update else 'is not what the reference gives'}")
        if update:
            save(want / 255.0, path)
    print(f"{len(cases())} cases, {len(wrong)} {'written: run again' if update else 'wrong'}")
    return not wrong


def media():
    """Small pictures from the shipped photographs, and what keying and tables need."""
    folder, photographs = HERE / "media", HERE.parent.parent / "examples" / "media"
    folder.mkdir(exist_ok=True)

    def cut(name, box, size, to):
        picture = Image.open(photographs / name).convert("RGB").crop(box).resize(size, Image.BOX)
        picture.save(folder / to, optimize=True)
        return np.asarray(picture) / 255.0

    cut("coffee.png", (18, 6, 306, 198), (96, 64), "photo.png")
    cut("chelsea.png", (60, 20, 204, 116), (36, 24), "small.png")
    cat = cut("chelsea.png", (18, 6, 306, 198), (96, 64), "back.png")
    x, y = grid((96, 64))
    # A photograph in an oval before a green screen, with a soft edge and green light on it.
    matte = smoothstep(1.05, 0.95, np.hypot((x - 0.5) / 0.36, (y - 0.5) / 0.42))[..., None]
    screen = np.array([0.12, 0.72, 0.22]) * (0.9 + 0.2 * x[..., None])
    save(opaque(cat * 0.9 * matte + 0.1 * screen * matte + screen * (1 - matte)), folder / "screen.png")
    # A disc with alpha.
    disc = smoothstep(1.0, 0.8, np.hypot(x - 0.5, y - 0.5) * 2)
    save(np.stack((x, 1 - y, 0.5 + 0 * x, disc), axis=-1)[::2, ::2], folder / "disc.png")
    # Six frames of a photograph and a square that moves, with noise: 4:2:0, sited left, BT.601 limited.
    random = np.random.default_rng(3)
    clip = b"YUV4MPEG2 W48 H32 F15:1 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n"
    still = np.asarray(Image.open(folder / "photo.png").resize((48, 32), Image.BOX)) / 255.0
    for frame in range(6):
        moved = still.copy()
        moved[10:20, 6 * frame : 6 * frame + 8] = [0.9, 0.9, 0.2]
        noisy = np.clip(moved + random.normal(0, 0.03, moved.shape), 0, 1)
        clip += b"FRAME\n" + b"".join(plane.tobytes() for plane in yuv.rgb_to_yuv(noisy))
    (folder / "noisy.y4m").write_bytes(clip)
    # An odd table: curves, and channels that mix.
    side = np.linspace(0, 1, 9)
    lines = ["# A table with curves and mixed channels, for the golden cases", 'TITLE "odd"', "LUT_3D_SIZE 9"]
    for b in side:
        for g in side:
            for r in side:
                c = np.clip([r**0.8 * 0.9 + 0.1 * b, 0.7 * g * g + 0.25 * r + 0.02, 1 - 0.8 * (1 - b) ** 1.5 - 0.2 * g], 0, 1)
                lines.append("{:.5f} {:.5f} {:.5f}".format(*c))
    (folder / "odd.cube").write_text("\n".join(lines) + "\n")


def cross():
    """The arithmetic here beside that of well-known libraries; differences in codes of 255."""
    import cv2
    import scipy.interpolate
    import scipy.ndimage
    import skimage.color

    photo, small = load(HERE / "media/photo.png")[..., :3], load(HERE / "media/small.png")
    worst = 0.0

    def near(title, ours, theirs, codes):
        nonlocal worst
        off = np.abs(ours - theirs).max() * 255
        worst = max(worst, off / codes)
        print(f"{title}: {off:.3f} codes apart, {codes} allowed {'ok' if off <= codes else 'FAILED'}")

    near("sRGB to linear, luminance: skimage.color.rgb2xyz", to_linear(photo) @ LUMA, skimage.color.rgb2xyz(photo)[..., 1], 0.02)
    gauss = blur({"source": blur({"source": photo}, {"direction": [1, 0]}, None, 0)}, {"direction": [0, 1]}, None, 0)
    theirs = scipy.ndimage.gaussian_filter(photo, (2, 2, 0), mode="nearest", truncate=2.0)
    near("blur: scipy.ndimage.gaussian_filter", gauss, theirs, 0.001)
    y = luma(photo)
    theirs = np.hypot(scipy.ndimage.sobel(y, 0, mode="nearest"), scipy.ndimage.sobel(y, 1, mode="nearest")) * 0.25
    near("sobel: scipy.ndimage.sobel", sobel({"source": photo}, {"gain": 0.25}, None, 0)[..., 0], np.minimum(theirs, 1), 0.001)
    ours = bilateral({"source": opaque(photo)}, {"sigma_space": 1.5, "sigma_range": 0.25}, None, 0)[..., :3]
    theirs = cv2.bilateralFilter(photo.astype(np.float32), 7, 0.25, 1.5, borderType=cv2.BORDER_REPLICATE)
    near("bilateral: cv2.bilateralFilter", ours, theirs, 0.1)
    # Pillow stores 8 bits after each half, as a pipeline does.
    def pillow(picture, size, how):
        return np.asarray(Image.fromarray(yuv.to_bytes(picture), "RGBA").convert("RGB").resize(size, how)) / 255.0

    for size in ((90, 60), (20, 11)):
        half = stored(resample(small, 1, size[0], lambda x: lanczos(x, 3), True))
        ours = stored(resample(half, 0, size[1], lambda x: lanczos(x, 3), True))[..., :3]
        near(f"lanczos to {size}: PIL.Image.LANCZOS", ours, pillow(small, size, Image.LANCZOS), 1.001)
    ours = bicubic({"source": small}, {"bc": [0, 0.5]}, (90, 60), 0)[..., :3]
    near("bicubic, Catmull-Rom: PIL.Image.BICUBIC", ours, pillow(small, (90, 60), Image.BICUBIC), 1.2)
    near("bilinear: PIL.Image.BILINEAR", sample(small, *grid((90, 60)))[..., :3], pillow(small, (90, 60), Image.BILINEAR), 1.2)
    u = {"focal": [80, 82], "center": [46.5, 30.2], "k": [-0.28, 0.09, -0.01], "p": [0.002, -0.003]}
    camera = np.array([[80, 0, 46.5], [0, 82, 30.2], [0, 0, 1]], float)
    maps = cv2.initUndistortRectifyMap(camera, np.array([-0.28, 0.09, 0.002, -0.003, -0.01]), None, camera, (96, 64), cv2.CV_32FC1)
    x, y = distorted(u, (96, 64))
    near("lens, in pixels / 255: cv2.initUndistortRectifyMap", np.stack((x, y)) / 255, np.stack(maps) / 255, 0.001)
    target = np.array([[10, 6], [90, 2], [84, 60], [4, 52]], np.float32)
    matrix = cv2.getPerspectiveTransform(target, np.array([[0, 0], [95, 0], [95, 63], [0, 63]], np.float32))
    ours = perspective({"source": opaque(photo)}, {"homography": matrix.ravel()}, (96, 64), True)[8:50, 14:80, :3]
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    at = np.moveaxis(cv2.perspectiveTransform(np.stack((x, y), -1).astype(float), matrix), -1, 0)[::-1]
    theirs = np.stack([scipy.ndimage.map_coordinates(photo[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
    near("perspective: cv2.perspectiveTransform and scipy map_coordinates", ours, theirs[8:50, 14:80], 0.01)
    table = read_cube(HERE / "media/odd.cube")
    side = np.linspace(0, 1, table.shape[0])
    theirs = scipy.interpolate.RegularGridInterpolator((side,) * 3, table)(photo[..., ::-1])
    near("table: scipy RegularGridInterpolator", trilinear(table, photo), theirs, 0.001)
    return worst <= 1


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("pipeline", nargs="?", help="a pipeline of the library's shaders")
    args.add_argument("out", nargs="?", help="the PNG to write")
    args.add_argument("--sink", help="which sink of the pipeline (default its only one)")
    args.add_argument("--frame", type=int, default=0, help="which frame")
    args.add_argument("--check", metavar="PNG", help="a picture to compare")
    args.add_argument("--within", type=int, default=1, help="codes that --check allows (default 1)")
    for flag in ("--update", "--media", "--cross"):
        args.add_argument(flag, action="store_true")
    args = args.parse_args()
    if args.media:
        media()
    elif args.cross:
        sys.exit(not cross())
    elif args.pipeline:
        pipeline = Pipeline(args.pipeline)
        want = pipeline.expected(args.sink or next(iter(pipeline.text["sink"])), args.frame)
        if args.out:
            save(want, args.out)
        if args.check:
            have = load(args.check)
            if have.shape != want.shape:
                sys.exit(f"{args.check}: {have.shape}, not {want.shape}")
            off = int(np.abs(yuv.to_bytes(have).astype(int) - yuv.to_bytes(want)).max())
            print(f"{args.check}: furthest {off}, {args.within} allowed")
            sys.exit(off > args.within)
    else:
        sys.exit(not compare(args.update))


if __name__ == "__main__":
    main()
