"""Data sets of TensorFlow Datasets, prepared here: the photos they hold, as photos of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import DataError, ImageError
from kvgg_jax.core.places import Url
from kvgg_jax.data.sources.tfds import TensorFlowDataSet, is_tfds, scan_tfds
from support.commands import TINY, kvgg
from support.elsewhere import prepare_data_set
from support.folders import image
from support.runs import draw_photos

pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what writes a data set
]
pytest.importorskip("tensorflow_datasets", reason="needs the extra tfds")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Of two classes."""
    for name in ("b/1.png", "b/2.jpg", "a/1.png"):
        image(tmp_path / "photos" / name, "JPEG" if name.endswith("jpg") else "PNG")
    return tmp_path / "photos"


def refused(address: str) -> str:
    with pytest.raises(DataError) as caught:
        scan_tfds(Url(address))
    return str(caught.value)


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record", "parquet"])
def test_a_prepared_data_set_is_a_set_of_photos(
    photos: Path, tmp_path: Path, file_format: str
) -> None:
    """Of sorted classes, though theirs are not; the bytes are those of the files, in any order."""
    splits = ("train", "validation")
    address = prepare_data_set(
        photos, tmp_path, ["b", "a", "none"], splits, file_format=file_format
    )
    found = scan_tfds(Url(address))
    assert (found.paths, found.labels, found.classes, found.parts) == (
        tuple(f"{split}/00000{i}" for split in splits for i in range(3)),
        (0, 1, 1) * 2,
        ("a", "b"),
        ("train",) * 3 + ("val",) * 3,
    )
    files = [photos / "a" / "1.png", photos / "b" / "1.png", photos / "b" / "2.jpg"]
    for i in (5, 0, 4, 1, 2, 3):
        assert found.read(i) == files[i % 3].read_bytes()
    assert tuple(found.source.list_keys()) == found.paths
    assert scan_tfds(Url(f"{address}@validation")).paths == found.paths[3:]
    assert refused(f"{address}@dev") == (
        f"{address}@dev: there is no split dev. It has: train, validation."
    )
    with pytest.raises(ImageError) as caught:
        found.source.read("train/000003")
    assert str(caught.value) == f"{address}/train/000003: does not exist. Check the data set."


def test_a_name_is_found_where_data_sets_are_prepared(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its version or without. Of another one, the message says what to run."""
    from tensorflow_datasets.core.utils import file_utils

    prepare_data_set(photos, tmp_path / "prepared", ["a", "b"])
    monkeypatch.setattr(file_utils.constants, "DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.chdir(tmp_path)
    for name in ("made", "made:1.0.0", "made@train"):
        assert len(scan_tfds(Url(f"tfds:{name}"))) == 3
    assert refused("tfds:other/small") == (
        f"tfds:other/small is not prepared on this machine: it is not in {tmp_path}/prepared. "
        'Prepare it where there is a network: python -c "import tensorflow_datasets as tfds; '
        "tfds.load('other/small')\". One of several configurations is tfds:NAME/CONFIG. Without a "
        "network: copy the prepared folder, and give it: tfds:FOLDER"
    )


def test_a_name_that_cannot_be_is_said_to_be_so() -> None:
    """As the library says it, on one line."""
    assert refused("tfds:a b").startswith(
        "tfds:a b is not prepared on this machine: Parsing builder name string a b failed. Prepare"
    )


def test_a_folder_that_holds_no_data_set_is_said_to_be_so(tmp_path: Path) -> None:
    """Such as the one above it."""
    assert refused(f"tfds:{tmp_path}") == (
        f"tfds:{tmp_path} is not a prepared data set (Could not read dataset info from "
        f"{tmp_path}/dataset_info.json). Give the folder that holds dataset_info.json, such as "
        "tfds:DIR/beans/0.1.0"
    )


def test_photos_need_labels(photos: Path, tmp_path: Path) -> None:
    """Splits for testing often have none."""
    address = prepare_data_set(photos, tmp_path, ["a"])
    assert refused(address) == (
        f"{address}: 2 of 3 photos of the split train have no label. Name a split that has them: "
        "tfds:NAME@SPLIT"
    )


def test_the_columns_are_those_of_supervised_learning(photos: Path, tmp_path: Path) -> None:
    """Whatever comes before them; a set without such columns is refused."""
    import tensorflow_datasets as tfds

    content = (photos / "a" / "1.png").read_bytes()

    class Several(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            label = tfds.features.ClassLabel(names=["x", "y"])
            images = {"a_mask": tfds.features.Image(), "image": tfds.features.Image()}
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict({**images, "coarse": label, "fine": label}),
                supervised_keys=("image", "fine"),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(2):
                yield i, {"a_mask": b"", "image": content, "coarse": 0, "fine": i}

    made = Several(data_dir=tmp_path)
    made.download_and_prepare()
    found = scan_tfds(Url(f"tfds:{made.data_dir}"))
    assert (found.classes, found.read(0)) == (("x", "y"), content)
    bare = tfds.dataset_builders.store_as_tfds_dataset(
        "bare",
        "1.0.0",
        tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(1, 1, 1), dtype=np.float32)}
        ),
        {"train": [(0, {"image": np.zeros((1, 1, 1), np.float32)})]},
        data_dir=tmp_path,
    )
    assert refused(f"tfds:{bare.data_dir}") == (
        f"tfds:{bare.data_dir} has the features image. Expected one of type Image of whole "
        "numbers, and one of type ClassLabel."
    )


@pytest.mark.parametrize(
    ("file_format", "reason"),
    [
        ("tfrecord", "{file}: corrupted record at "),
        ("array_record", "Corrupted Riegeli/records file: chunk data hash mismatch"),
    ],
)
def test_a_damaged_file_is_found_before_training(
    photos: Path, tmp_path: Path, file_format: str, reason: str
) -> None:
    """And one that is gone."""
    address = prepare_data_set(photos, tmp_path, ["a", "b"], file_format=file_format)
    folder = Path(address.removeprefix("tfds:"))
    (file,) = folder.glob("made-train*")
    content = bytearray(file.read_bytes())
    content[300] ^= 1
    file.write_bytes(content)
    head = f"{address}: the split train cannot be read ("
    tail = f"). Remove {folder} and prepare it again, or copy it again."
    text = refused(address)
    assert text.startswith(head + reason.format(file=file))
    assert text.endswith(tail)
    file.unlink()
    text = refused(address)
    assert (text.startswith(head), text.endswith(tail), str(file) in text) == (True, True, True)


def test_photos_of_array_records_are_listed_without_tensorflow(
    photos: Path, tmp_path: Path
) -> None:
    """Whose start takes longer than all else."""
    address = prepare_data_set(photos, tmp_path, ["a", "b"], file_format="array_record")
    code = (
        "import sys; from kvgg_jax.core.places import Url; "
        "from kvgg_jax.data.sources.tfds import scan_tfds; "
        f"print(len(scan_tfds(Url({address!r})).read(0)), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size = (photos / "a" / "1.png").stat().st_size
    assert (done.stdout, done.stderr) == (f"{size} False\n", "")


def test_addresses_of_other_kinds_are_none() -> None:
    """A path that looks like one too."""
    assert is_tfds(Url("tfds:beans"))
    assert not is_tfds(Url("tfds://beans"))
    assert not is_tfds(Path("tfds:beans"))


@pytest.mark.usefixtures("thin", "blank")
def test_a_run_on_a_data_set_is_the_run_on_its_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed and evaluated too; keys differ, pixels and order do not."""
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos", per_class=6)
    prepare_data_set(tmp_path / "photos", tmp_path, ["blue", "green", "red"])
    for data, name in (("photos", "folder"), ("tfds:made/1.0.0", "tfds")):
        for words in (
            ("train", *TINY, "--data", data, "--name", name, "--epochs", "1"),
            ("train", "--resume", name, "--epochs", "2"),
            ("evaluate", "--run", name),
        ):
            result = kvgg(*words)
            assert result.exit_code == 0, result.output
    assert f'dir = "tfds:{tmp_path}/made/1.0.0"' in Path("runs/tfds/config.toml").read_text()
    folder, other = (
        np.genfromtxt(f"runs/{name}/history.csv", delimiter=",", names=True)
        for name in ("folder", "tfds")
    )
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert (folder[column] == other[column]).all()
    assert TensorFlowDataSet(Url("tfds:made")).name("train/000000") == "tfds:made/train/000000"
