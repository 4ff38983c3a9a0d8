#!/usr/bin/env python3
"""Makes turntable.gltf and turntable.bin: two photographs in a frame on a round plinth, a red ball and a glass one.

    python3 make_model.py                  # beside the script; needs nothing but Python

Everything is computed here; the photographs are coffee.png and chelsea.png beside it. The node `frame` holds the
boards and the photographs, `plinth` holds everything. Indexed triangles with normals; the photographs have texture
coordinates; the glass ball's material has alpha and both sides.
"""

import json
import math
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Model:
    def __init__(self):
        self.bytes = bytearray()
        self.views, self.accessors, self.meshes, self.materials, self.nodes = [], [], [], [], []

    def accessor(self, rows, component, kind):
        code, size = {5126: ("f", 4), 5123: ("H", 2)}[component]
        flat = [value for row in rows for value in row]
        start = len(self.bytes)
        self.bytes += struct.pack(f"<{len(flat)}{code}", *flat)
        self.bytes += b"\0" * (-len(self.bytes) % 4)
        self.views.append({"buffer": 0, "byteOffset": start, "byteLength": len(flat) * size})
        accessor = {"bufferView": len(self.views) - 1, "componentType": component, "count": len(rows), "type": kind}
        if kind == "VEC3":
            # As they are stored: 32 bits.
            stored = [struct.unpack("<3f", struct.pack("<3f", *row)) for row in rows]
            accessor["min"] = [min(column) for column in zip(*stored)]
            accessor["max"] = [max(column) for column in zip(*stored)]
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def mesh(self, name, vertices, indices, material):
        """Vertices are (place, normal, texture coordinates)."""
        attributes = {
            "POSITION": self.accessor([v[0] for v in vertices], 5126, "VEC3"),
            "NORMAL": self.accessor([v[1] for v in vertices], 5126, "VEC3"),
        }
        if vertices[0][2] is not None:
            attributes["TEXCOORD_0"] = self.accessor([v[2] for v in vertices], 5126, "VEC2")
        corners = self.accessor([(index,) for index in indices], 5123, "SCALAR")
        self.meshes.append(
            {"name": name, "primitives": [{"attributes": attributes, "indices": corners, "material": material}]}
        )
        return len(self.meshes) - 1

    def node(self, name, **keys):
        self.nodes.append({"name": name, **keys})
        return len(self.nodes) - 1


def quad(width, height):
    w, h = width / 2, height / 2
    corners = [(-w, h, 0, 0), (-w, -h, 0, 1), (w, -h, 1, 1), (w, h, 1, 0)]
    return [((x, y, 0.0), (0.0, 0.0, 1.0), (u, v)) for x, y, u, v in corners], [0, 1, 2, 0, 2, 3]


def box(x, y, z):
    vertices, indices = [], []
    for axis in range(3):
        for sign in (1, -1):
            normal = [0.0] * 3
            normal[axis] = float(sign)
            across, up = (axis + 1) % 3, (axis + 2) % 3
            first = len(vertices)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                place = [0.0] * 3
                place[axis], place[across], place[up] = float(sign), float(a * sign), float(b)
                place = (place[0] * x / 2, place[1] * y / 2, place[2] * z / 2)
                vertices.append((place, tuple(normal), None))
            indices += [first, first + 1, first + 2, first, first + 2, first + 3]
    return vertices, indices


def cylinder(radius, height, segments):
    vertices, indices = [], []
    ring = [(math.sin(2 * math.pi * s / segments), math.cos(2 * math.pi * s / segments)) for s in range(segments + 1)]
    for x, z in ring:
        vertices.append(((radius * x, height / 2, radius * z), (x, 0.0, z), None))
        vertices.append(((radius * x, -height / 2, radius * z), (x, 0.0, z), None))
    for s in range(segments):
        a = 2 * s
        indices += [a, a + 1, a + 3, a, a + 3, a + 2]
    for side in (1.0, -1.0):
        first = len(vertices)
        vertices.append(((0.0, side * height / 2, 0.0), (0.0, side, 0.0), None))
        vertices += [((radius * x, side * height / 2, radius * z), (0.0, side, 0.0), None) for x, z in ring]
        for s in range(segments):
            a, b = first + 1 + s, first + 2 + s
            indices += [first, a, b] if side > 0 else [first, b, a]
    return vertices, indices


def sphere(columns, rows):
    vertices, indices = [], []
    for row in range(rows + 1):
        down = math.pi * row / rows
        for column in range(columns + 1):
            round_ = 2 * math.pi * column / columns
            n = (math.sin(down) * math.sin(round_), math.cos(down), math.sin(down) * math.cos(round_))
            vertices.append((n, n, None))
    for row in range(rows):
        for column in range(columns):
            a = row * (columns + 1) + column
            b = a + columns + 1
            indices += [a, b, b + 1, a, b + 1, a + 1]
    return vertices, indices


model = Model()


def material(name, factor, **keys):
    surface = {"baseColorFactor": factor, "metallicFactor": 0.0, **keys.pop("surface", {})}
    model.materials.append({"name": name, "pbrMetallicRoughness": surface, **keys})
    return len(model.materials) - 1


wood = material("wood", [0.35, 0.16, 0.06, 1.0])
dark = material("board", [0.035, 0.03, 0.03, 1.0])
red = material("red", [0.75, 0.03, 0.02, 1.0])
glass = material("glass", [0.25, 0.6, 0.9, 0.45], alphaMode="BLEND", doubleSided=False)
photos = [
    material(name, [1.0, 1.0, 1.0, 1.0], surface={"baseColorTexture": {"index": index}})
    for index, name in enumerate(["coffee", "chelsea"])
]

ball = sphere(32, 20)
picture = [model.mesh(f"photo {index}", *quad(1.5, 1.0), photos[index]) for index in range(2)]
long, short = model.mesh("long board", *box(1.66, 0.08, 0.1), dark), model.mesh("short board", *box(0.08, 1.0, 0.1), dark)
frame = [
    model.node("front", mesh=picture[0], translation=[0, 0, 0.03]),
    # Half a turn about y.
    model.node("back", mesh=picture[1], translation=[0, 0, -0.03], rotation=[0, 1, 0, 0]),
    model.node("top", mesh=long, translation=[0, 0.54, 0]),
    model.node("bottom", mesh=long, translation=[0, -0.54, 0]),
    model.node("left", mesh=short, translation=[-0.79, 0, 0]),
    model.node("right", mesh=short, translation=[0.79, 0, 0]),
]
# Leaning back a little.
lean = math.radians(-8) / 2
children = [
    model.node("frame", children=frame, translation=[0, 0.68, 0], rotation=[math.sin(lean), 0, 0, math.cos(lean)]),
    model.node("red ball", mesh=model.mesh("red ball", *ball, red), translation=[0.75, 0.3, 0.75], scale=[0.2] * 3),
    model.node("glass ball", mesh=model.mesh("glass ball", *ball, glass), translation=[-0.6, 0.38, 0.8], scale=[0.28] * 3),
]
root = model.node("plinth", mesh=model.mesh("plinth", *cylinder(1.3, 0.2, 64), wood), children=children)

document = {
    "asset": {"version": "2.0", "generator": "make_model.py", "copyright": "CC0 1.0"},
    "scene": 0,
    "scenes": [{"nodes": [root]}],
    "nodes": model.nodes,
    "meshes": model.meshes,
    "materials": model.materials,
    "textures": [{"source": 0, "sampler": 0}, {"source": 1, "sampler": 0}],
    "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
    "images": [{"uri": "coffee.png"}, {"uri": "chelsea.png"}],
    "accessors": model.accessors,
    "bufferViews": model.views,
    "buffers": [{"uri": "turntable.bin", "byteLength": len(model.bytes)}],
}
(HERE / "turntable.bin").write_bytes(model.bytes)
(HERE / "turntable.gltf").write_text(json.dumps(document, indent=1) + "\n")
