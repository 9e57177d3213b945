"""Data sets of Hugging Face, made here in its format: the photos they hold, as photos of ours."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.places import Url
from kvgg_jax.data.sources.hub import HuggingFace, is_hub, scan_hub
from support.commands import TINY, kvgg
from support.elsewhere import save_as_data_set
from support.folders import image
from support.runs import draw_photos

pytestmark = pytest.mark.extras
datasets = pytest.importorskip("datasets", reason="needs the extra huggingface")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Of two classes."""
    for name in ("b/1.png", "b/2.jpg", "a/1.png"):
        image(tmp_path / "photos" / name, "JPEG" if name.endswith("jpg") else "PNG")
    return tmp_path / "photos"


def refused(address: str) -> str:
    with pytest.raises(DataError) as caught:
        scan_hub(Url(address))
    return str(caught.value)


def test_one_split_is_a_set_of_photos(photos: Path, tmp_path: Path) -> None:
    """Of sorted classes, though theirs are not; the bytes are those of the files."""
    address = save_as_data_set(photos, tmp_path / "set", ["b", "a", "none"])
    found = scan_hub(Url(address))
    assert (found.paths, found.labels, found.classes, found.parts) == (
        ("train/000000", "train/000001", "train/000002"),
        (0, 1, 1),
        ("a", "b"),
        None,
    )
    files = [photos / "a" / "1.png", photos / "b" / "1.png", photos / "b" / "2.jpg"]
    assert [found.read(i) for i in range(3)] == [file.read_bytes() for file in files]
    assert list(found.source.list_keys()) == list(found.paths)
    assert str(found.files()[2]) == f"{address}/train/000002"
    with pytest.raises(ImageError) as caught:
        found.source.read("train/000003")
    assert str(caught.value) == (f"{address}/train/000003: does not exist. Check the data set.")


def test_splits_are_parts_or_are_named(photos: Path, tmp_path: Path) -> None:
    """Those of other names have to be told apart."""
    address = save_as_data_set(photos, tmp_path / "set", ["a", "b"], ("train", "validation"))
    found = scan_hub(Url(address))
    assert found.parts == ("train",) * 3 + ("val",) * 3
    assert found.paths[3] == "validation/000000"
    assert scan_hub(Url(f"{address}@validation")).paths == found.paths[3:]
    assert refused(f"{address}@dev") == (
        f"{address}@dev: there is no split dev. It has: train, validation."
    )
    other = save_as_data_set(photos, tmp_path / "other", ["a", "b"], ("small", "large"))
    assert refused(other) == (
        f"{other} has the splits small, large, which are not train, validation and test. Name one "
        f"of each: --data {other}@small"
    )


def test_labels_may_be_text(photos: Path, tmp_path: Path) -> None:
    """A missing one is an error, and so is a set without images."""
    address = save_as_data_set(photos, tmp_path / "set", None)
    assert scan_hub(Url(address)).classes == ("a", "b")
    rows = datasets.load_from_disk(str(tmp_path / "set"))
    rows.remove_columns("image").save_to_disk(str(tmp_path / "bare"))
    assert refused(f"hf:{tmp_path}/bare") == (
        f"hf:{tmp_path}/bare has the columns label. Expected one of type Image, and one of type "
        "ClassLabel or named label."
    )
    rows = rows.map(lambda row, i: {"label": row["label"] if i else None}, with_indices=True)
    rows.save_to_disk(str(tmp_path / "gap"))
    assert refused(f"hf:{tmp_path}/gap") == (
        f"hf:{tmp_path}/gap: 1 of 3 photos of the split None have no label. Name a split that has "
        "them: hf:NAME@SPLIT"
    )


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
@pytest.mark.parametrize("as_lists", [False, True])
def test_arrays_of_pixels_are_photos(
    tmp_path: Path, channels: tuple[int, ...], as_lists: bool
) -> None:
    """As lossless files of the same pixels."""
    shape = (4, 6, *channels)
    arrays = list(np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8))
    pixels = nested("uint8", len(shape))
    if not as_lists:
        pixels = (datasets.Array3D if channels else datasets.Array2D)(shape, "uint8")
    features = datasets.Features({"pixels": pixels, "label": datasets.ClassLabel(names=["a", "b"])})
    rows = datasets.Dataset.from_dict({"pixels": arrays, "label": [0, 1]}, features=features)
    rows.save_to_disk(str(tmp_path / "set"))
    found = scan_hub(Url(f"hf:{tmp_path}/set"))
    assert (found.labels, found.classes) == ((0, 1), ("a", "b"))
    for i, array in enumerate(arrays):
        with Image.open(BytesIO(found.read(i))) as photo:
            assert photo.format == "PNG"
            np.testing.assert_array_equal(photo, array[..., 0] if channels == (1,) else array)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((3, 8, 8), np.uint8), "uint8 [3, 8, 8]"),
        (np.zeros((4, 4, 3), np.float32), "float32 [4, 4, 3]"),
        (np.zeros((4, 4, 2), np.uint8), "uint8 [4, 4, 2]"),
        (np.zeros((4, 4), np.int64), "int64 [4, 4]"),
    ],
)
def test_other_arrays_are_no_photos(tmp_path: Path, array: np.ndarray, found: str) -> None:
    """Nobody knows which of their values is white, or where their channels are."""
    rows = datasets.Dataset.from_dict({"x": [array.tolist()] * 2, "label": ["a", "b"]})
    rows = rows.cast_column("x", nested(str(array.dtype), array.ndim))
    rows.save_to_disk(str(tmp_path / "set"))
    assert refused(f"hf:{tmp_path}/set") == (
        f"hf:{tmp_path}/set: photo 0 of the split None is {found} in the column x. Expected uint8 "
        "[height, width], or [height, width, channels] with 1, 3 or 4."
    )


def test_rows_of_several_lengths_are_no_pixels(tmp_path: Path) -> None:
    """One such photo is a damaged one."""
    pixels = [[[1, 2], [3, 4]], [[1, 2], [3]]]
    features = datasets.Features({"x": nested("uint8", 2), "label": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"x": pixels, "label": ["a", "b"]}, features=features)
    rows.save_to_disk(str(tmp_path / "set"))
    with pytest.raises(ImageError) as caught:
        scan_hub(Url(f"hf:{tmp_path}/set")).read(1)
    assert str(caught.value) == (
        f"hf:{tmp_path}/set: photo 1 of the split None is uint8 [2] in the column x. Expected "
        "uint8 [height, width], or [height, width, channels] with 1, 3 or 4."
    )


def nested(kind: str, depth: int):
    feature = datasets.Value(kind)
    for _ in range(depth):
        feature = datasets.List(feature)
    return feature


def test_a_data_set_that_is_not_here_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network, the way to do without."""

    def offline(*_: object) -> None:
        raise ConnectionError("Couldn't reach 'beans'\non the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    assert refused("hf:beans") == (
        "hf:beans cannot be loaded (Couldn't reach 'beans' on the Hub). Check the name and the "
        "network. Without a network: save it where there is one (`save_to_disk`), and give its "
        "folder: hf:FOLDER"
    )


def test_a_file_system_of_the_hub_is_no_data_set() -> None:
    """fsspec reads `hf://`."""
    assert is_hub(Url("hf:beans"))
    assert not is_hub(Url("hf://datasets/beans/photos"))
    assert not is_hub(Path("hf:beans"))


@pytest.mark.usefixtures("thin", "blank")
def test_a_run_on_a_data_set_is_the_run_on_its_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed and evaluated too; keys differ, pixels and order do not."""
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos", per_class=6)
    save_as_data_set(tmp_path / "photos", tmp_path / "set", ["blue", "green", "red"])
    for data, name in (("photos", "folder"), ("hf:set", "hub")):
        for words in (
            ("train", *TINY, "--data", data, "--name", name, "--epochs", "1"),
            ("train", "--resume", name, "--epochs", "2"),
            ("evaluate", "--run", name),
            ("report", "--run", name, "--output", "r.html"),
        ):
            result = kvgg(*words)
            assert result.exit_code == 0, result.output
    assert f'dir = "hf:{tmp_path}/set"' in Path("runs/hub/config.toml").read_text()
    folder, hub = (
        np.genfromtxt(f"runs/{name}/history.csv", delimiter=",", names=True)
        for name in ("folder", "hub")
    )
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert (folder[column] == hub[column]).all()
    assert HuggingFace(Url("hf:set")).name("train/000000") == "hf:set/train/000000"
