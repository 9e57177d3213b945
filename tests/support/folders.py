"""Folders of photos for tests, drawn file by file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

KINDS = {".JPG": "JPEG", ".png": "PNG", ".Jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF"}


def image(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), "red").save(path, kind)
    return path


def mixed_folder(root: Path) -> Path:
    """Three classes of unlike size, nested folders and every suffix that Keras reads."""
    for name, count in (("ripe", 17), ("Green", 11), ("over ripe", 9)):
        for i in range(count):
            suffix = list(KINDS)[i % len(KINDS)]
            inner = ("", "day 1", "day 1/late", "day-2")[i % 4]
            image(root / name / inner / f"{'zI'[i % 2]}{i * 7 % 10}{i}{suffix}", KINDS[suffix])
    return root
