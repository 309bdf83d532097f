"""Makes the fixtures of tests/preprocess.rs and tests/picture.rs with Pillow.

    pip install pillow numpy
    python tests/data/preprocess/generate.py      # from the repository root

Each case in cases.json is a source picture, a resize, a crop, and Pillow's result as PNG.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def sources():
    rng = np.random.default_rng(0)
    cat = Image.open(HERE.parents[2] / "assets" / "cat.png").convert("RGB")
    x = np.arange(20000)
    stripes = np.stack([(x % 251), (x // 7) % 256, 255 * ((x // 100) % 2)], -1).astype(np.uint8)
    return {
        "photo": cat.crop((120, 60, 120 + 131, 60 + 99)),
        "noise": Image.fromarray(rng.integers(0, 256, (23, 37, 3), dtype=np.uint8)),
        # Black and white only: the cubic overshoots and must be clamped between the passes.
        "edges": Image.fromarray((rng.integers(0, 2, (31, 29, 3)) * 255).astype(np.uint8)),
        "tall": Image.fromarray(rng.integers(0, 256, (311, 5, 3), dtype=np.uint8)),
        "wide": Image.fromarray(np.stack([stripes, stripes // 2, 255 - stripes])),
        "pixel": Image.new("RGB", (1, 1), (12, 200, 99)),
        "alpha": Image.fromarray(rng.integers(0, 256, (20, 26, 4), dtype=np.uint8), "RGBA"),
        "grey": Image.fromarray(rng.integers(0, 256, (27, 21), dtype=np.uint8), "L"),
    }


# source, shorter side, crop rows, crop columns; margins of 1, 3, 5 and 7 halve to 0, 2, 2 and 4.
SIZES = [
    ("photo", 64, 56, 56),
    ("photo", 40, 37, 33),
    ("photo", 99, 96, 99),
    ("photo", 150, 60, 40),
    ("noise", 16, 15, 13),
    ("noise", 23, 23, 23),
    ("noise", 61, 56, 54),
    ("noise", 3, 3, 2),
    ("noise", 1, 1, 1),
    ("edges", 10, 10, 10),
    ("edges", 17, 12, 16),
    ("edges", 50, 43, 45),
    ("tall", 4, 4, 4),
    ("tall", 48, 48, 40),
    ("wide", 2, 2, 2),
    ("wide", 24, 24, 20),
    ("pixel", 8, 8, 8),
    ("alpha", 12, 11, 12),
    ("grey", 14, 14, 12),
]


def torchvision(image, shorter, rows, columns, resampling):
    """torchvision.transforms.Resize(shorter) and CenterCrop((rows, columns)) on a PIL image."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    longer = int(shorter * long / short)
    image = image.resize((shorter, longer) if width <= height else (longer, shorter), resampling)
    left = int(round((image.width - columns) / 2.0))
    top = int(round((image.height - rows) / 2.0))
    return image.crop((left, top, left + columns, top + rows))


def resizes():
    cases = []
    images = sources()
    for name, image in images.items():
        image.save(HERE / f"{name}.png", optimize=True)
    for source, shorter, rows, columns in SIZES:
        for filter_name, resampling in FILTERS.items():
            expected = f"{source}-{shorter}-{rows}x{columns}-{filter_name}.png"
            result = torchvision(images[source].convert("RGB"), shorter, rows, columns, resampling)
            result.save(HERE / expected, optimize=True)
            cases.append({"source": f"{source}.png", "resize": {"shorter": shorter, "filter": filter_name},
                          "crop": [rows, columns], "expected": expected})
    (HERE / "cases.json").write_text(json.dumps(cases, indent=0) + "\n")


def orientations():
    """Eight JPEGs that all show `upright.png` once their EXIF orientation is obeyed."""
    colours = [(220, 40, 40), (40, 200, 60), (50, 60, 210), (230, 220, 60), (20, 20, 20), (240, 240, 240)]
    upright = Image.new("RGB", (48, 32))
    for i, colour in enumerate(colours):
        upright.paste(colour, (i % 3 * 16, i // 3 * 16, i % 3 * 16 + 16, i // 3 * 16 + 16))
    upright.save(HERE / "upright.png", optimize=True)
    t = Image.Transpose
    # The inverse of what a viewer does for each orientation.
    stored = {1: None, 2: t.FLIP_LEFT_RIGHT, 3: t.ROTATE_180, 4: t.FLIP_TOP_BOTTOM, 5: t.TRANSPOSE,
              6: t.ROTATE_90, 7: t.TRANSVERSE, 8: t.ROTATE_270}
    for orientation, transpose in stored.items():
        image = upright if transpose is None else upright.transpose(transpose)
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(HERE / f"orientation{orientation}.jpg", quality=95, subsampling=0, exif=exif)


def bombs():
    """Tiny files that declare 4·10^9 or more pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    (HERE / "bomb.png").write_bytes(png)
    screen = struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00\x3b"
    (HERE / "bomb.gif").write_bytes(b"GIF89a" + screen + frame)


resizes()
orientations()
bombs()
