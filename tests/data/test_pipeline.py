"""Images -> full-size batches, in an order that depends on (seed, epoch) and nothing else."""

from __future__ import annotations

import gc
import importlib
import shutil
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base as Tag

from kvgg_jax import RunConfig, evaluate, load_classifier, predict
from kvgg_jax.core import tf_gate
from kvgg_jax.core.state import Batch, Tally
from kvgg_jax.core.tables.data import Resize
from kvgg_jax.data.cache import ALIGNMENT, Chosen, in_memory
from kvgg_jax.data.decode.image import load
from kvgg_jax.data.pipeline import Pipeline, as_tensor, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.sources.folder import Folder, scan
from kvgg_jax.evaluation import evaluate as evaluation
from kvgg_jax.inference import classifier as classifier_module
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import setup, trainer
from support.runs import Trained


def numbered(count: int) -> DecodedImages:
    """`count` images of one pixel; image i is grey i and of class i % 3."""
    paths = tuple(f"{i}.png" for i in range(count))
    samples = Samples(Folder(Path("r")), paths, tuple(i % 3 for i in range(count)), ("a", "b", "c"))
    return DecodedImages(
        samples, np.arange(count, dtype=np.uint8).repeat(3).reshape(count, 1, 1, 3)
    )


def pipeline(count: int, batch_size: int, *, seed: int | None = 1) -> Pipeline:
    return Pipeline(hold(numbered(count)), np.arange(count), batch_size=batch_size, seed=seed)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b)
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def greys(batches: list[Batch]) -> list[int]:
    """The numbers of the images that count, in order."""
    return [
        int(image[0, 0, 0])
        for batch in batches
        for image, weight in zip(batch.images, batch.weight, strict=True)
        if weight
    ]


def test_weights_count_in_training_alone() -> None:
    """Image i counts i + 1 times, a filler never."""
    decoded = numbered(5)
    weights = tuple(float(i + 1) for i in range(5))
    weighted = replace(decoded, samples=replace(decoded.samples, weights=weights))
    store = hold(weighted)
    batches = list(Pipeline(store, np.arange(5), batch_size=4, seed=1, weighted=True).epoch(1))
    for batch in batches:
        numbers = batch.images[:, 0, 0, 0]
        counted = batch.weight > 0
        np.testing.assert_array_equal(batch.weight[counted], numbers[counted] + 1.0)
    assert sorted(greys(batches)) == [0, 1, 2, 3, 4]
    plain = list(Pipeline(store, np.arange(5), batch_size=4).epoch(1))
    assert np.concatenate([batch.weight for batch in plain]).tolist() == [1.0] * 5 + [0.0] * 3


@pytest.mark.parametrize("kind", ["in place", "copied", "by Python"])
def test_images_are_let_go_with_their_pipeline(kind: str) -> None:
    """TensorFlow keeps what it was given to call; a search would keep the photos of each trial."""
    decoded = numbered(10)
    if kind == "in place":
        images = in_memory(decoded.images.shape)
        images[:] = decoded.images
        decoded = replace(decoded, images=images)
    kept = weakref.ref(decoded.images)
    if kind == "by Python":
        decoded = replace(decoded, images=Chosen(decoded.images, np.arange(10)))
    batches = Pipeline(hold(decoded), np.arange(10), batch_size=4, seed=1)
    assert len(list(batches.epoch(1))) == 3
    images = decoded = batches = None
    gc.collect()
    assert kept() is None


def test_batches_of_images_in_memory_are_made_by_tensorflow_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No thread of it waits for Python, and the images are not copied."""
    images = in_memory((5, 4, 4, 3))
    images[:] = np.random.default_rng(0).integers(0, 256, images.shape)
    store = hold(replace(numbered(5), images=images))
    asked = list(
        Pipeline(
            store._replace(images=Chosen(images, np.arange(5))), np.arange(5), batch_size=2
        ).epoch(1)
    )
    monkeypatch.delattr(tf_gate.tf, "numpy_function")
    assert same(list(Pipeline(store, np.arange(5), batch_size=2).epoch(1)), asked)
    assert np.shares_memory(np.from_dlpack(as_tensor(images)), images)


@pytest.mark.parametrize("change", [lambda a: a[1:], lambda a: a[:, 1:], lambda a: a.view()])
def test_an_array_that_tensorflow_cannot_read_in_place_is_copied(
    change: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    """At an odd address TensorFlow would abort; one that is read-only cannot be shared."""
    array = in_memory((3, 4, 4, 3))
    array[:] = 7
    changed = change(array)
    changed.flags.writeable = changed.ctypes.data % ALIGNMENT > 0
    tensor = as_tensor(changed)
    array[:] = 8
    assert (tensor.numpy() == 7).all()


def test_an_epoch_is_a_function_of_seed_and_epoch_alone() -> None:
    """Two pipelines, one of which has already run, give the same batches: nothing to save."""
    used = pipeline(10, 4)
    list(used.epoch(1))
    assert same(list(used.epoch(2)), list(pipeline(10, 4).epoch(2)))


def test_every_image_comes_once_an_epoch_with_its_class() -> None:
    """A shuffle loses nothing."""
    batches = list(pipeline(10, 4).epoch(5))
    assert sorted(greys(batches)) == list(range(10))
    for batch in batches:
        assert batch.labels.tolist() == [int(i) % 3 for i in batch.images[:, 0, 0, 0]]


def test_other_epochs_and_other_seeds_have_another_order() -> None:
    """Reshuffled every epoch."""
    orders = [tuple(pipeline(10, 4, seed=s).order(e)) for s in (1, 2) for e in (1, 2, 3)]
    assert len(set(orders)) == 6


def test_without_a_seed_the_order_is_kept() -> None:
    """As evaluation wants it: probabilities come in the order of the files."""
    assert greys(list(pipeline(10, 4, seed=None).epoch(0))) == list(range(10))


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 12), batch_size=st.integers(1, 14))
def test_all_batches_are_full_and_the_weights_add_up_to_the_images(
    count: int, batch_size: int
) -> None:
    """One shape for the compiler, whatever the numbers."""
    pipe = pipeline(count, batch_size)
    batches = list(pipe.epoch(1))
    assert len(batches) == pipe.steps == -(-count // batch_size)
    assert {batch.images.shape for batch in batches} == {(batch_size, 1, 1, 3)}
    assert sorted(greys(batches)) == list(range(count))


def test_the_last_batch_is_filled_with_real_images_of_weight_0() -> None:
    """The epoch's first images again: batch norm would see black squares otherwise."""
    first, _, last = pipeline(10, 4).epoch(1)
    assert last.weight.tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(last.images[2:], first.images[:2])
    np.testing.assert_array_equal(last.labels[2:], first.labels[:2])


def test_a_late_start_is_the_tail_of_the_epoch() -> None:
    """What a resume in the middle of an epoch will ask for."""
    pipe = pipeline(10, 4)
    whole = list(pipe.epoch(3))
    for start in range(4):
        assert same(list(pipe.epoch(3, start=start)), whole[start:])


def test_images_are_kept_and_sent_as_uint8() -> None:
    """A quarter of float32's memory, in the cache and on the way to the device."""
    store = hold(numbered(6))
    batch = next(Pipeline(store, np.arange(6), batch_size=4).epoch(0))
    assert (store.images.dtype.name, store.labels.dtype.name) == ("uint8", "int32")
    assert [str(part.dtype) for part in batch] == ["uint8", "int32", "float32"]


def test_a_pipeline_serves_the_rows_it_is_given() -> None:
    """Training and validation share one store."""
    store, rows = hold(numbered(10)), np.array([7, 2, 5])
    pipe = Pipeline(store, rows, batch_size=2)
    assert (pipe.count, greys(list(pipe.epoch(0)))) == (3, [7, 2, 5])


def test_tensorflow_is_kept_off_every_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take all memory of a GPU that JAX needs; the gate forbids it at the import."""
    asked: list[tuple[list[object], str]] = []

    def record(devices: list[object], kind: str) -> None:
        asked.append((devices, kind))

    monkeypatch.setattr(tf_gate.tf.config, "set_visible_devices", record)
    importlib.reload(tf_gate)
    assert asked == [([], "GPU"), ([], "TPU")]


def test_tensorflow_computes_on_the_processor() -> None:
    """Also where there is a GPU: this is the state that the gate leaves."""
    visible = tf_gate.tf.config.get_visible_devices()
    assert [device.device_type for device in visible] == ["CPU"]


@dataclass
class Spy:
    """Stands in for compiled steps and keeps every uint8 image that reaches one."""

    seen: dict[str, list[NDArray[np.uint8]]] = field(default_factory=dict)

    def compile_step(self, what: str, *_: Any, **__: Any) -> Callable[..., Any]:
        return {
            "training": self.train,
            "evaluation": self.evaluate,
            "prediction": self.predict,
            "embedding": self.embed,
        }[what]

    def keep(self, what: str, images: Any, weight: Any) -> None:
        assert images.dtype == np.uint8
        real = [image for image, w in zip(images, weight, strict=True) if w]
        self.seen.setdefault(what, []).extend(real)

    def train(self, state: Any, tally: Tally, batch: Batch) -> Any:
        self.keep("training", batch.images, batch.weight)
        return state._replace(step=state.step + 1), Tally(1.0, 1.0, 1.0)

    def evaluate(self, _: Any, __: Any, batch: Batch) -> Any:
        self.keep("evaluation", batch.images, batch.weight)
        count = float(np.sum(batch.weight))
        return Tally(1.0, 1.0, count), np.zeros((len(batch.labels), 3), np.float32)

    def predict(self, _: Any, __: Any, images: Any) -> Any:
        self.keep("prediction", images, np.ones(len(images)))
        return np.zeros((len(images), 64), np.float32), np.zeros((len(images), 3), np.float32)

    def embed(self, _: Any, __: Any, batch: Batch) -> Any:
        self.keep("embedding", batch.images, batch.weight)
        return np.random.default_rng(0).random((len(batch.labels), 4), np.float32)

    def pixels(self, what: str) -> list[bytes]:
        return sorted(image.tobytes() for image in self.seen[what])


def awkward_photos(root: Path) -> Path:
    """PNG, JPEG (large, so that it is decoded at a smaller scale), turned by EXIF, see-through."""
    rng = np.random.default_rng(5)
    for name in ("blue", "green", "red"):
        (root / name).mkdir(parents=True)
        small, large = (
            Image.fromarray(rng.integers(0, 256, shape, np.uint8))
            for shape in ((40, 56, 3), (300, 420, 3))
        )
        small.save(root / name / "1.png")
        large.save(root / name / "2.jpg")
        turned = Image.Exif()
        turned[Tag.Orientation] = 6
        large.save(root / name / "3.jpg", exif=turned)
        small.convert("RGBA").save(root / name / "4.webp", lossless=True)
    return root


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_training_evaluation_and_prediction_get_the_same_pixels(
    tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, resize: Resize
) -> None:
    """Whatever the file, the three verbs show the network what `image.load` gives, bit by bit."""
    photos, spy = awkward_photos(tmp_path / "photos"), Spy()
    run = Run(shutil.copytree(trained.run, tmp_path / "run"))
    run.write("config.toml", run.config().with_data(resize=resize).to_toml())
    classifier = load_classifier(run.path)
    monkeypatch.setattr(setup, "compile_step", spy.compile_step)
    for module in (classifier_module, evaluation):
        monkeypatch.setattr(module, "compile_step", spy.compile_step)
    expected = [load(path, 32, resize) for path in scan(photos).files()]

    config = RunConfig(
        data={"dir": str(photos), "image_size": 32, "resize": resize},
        model={"arch": "vgg11", "head": "gap"},
        train={"epochs": 1, "batch_size": 4},
    )
    trainer.train(config, out=tmp_path / "runs", name="spied")
    assert len(spy.seen["training"]) == 10
    part = spy.pixels("training") + spy.pixels("evaluation")  # evaluation: of the 2 for validation
    assert sorted(part) == sorted(image.tobytes() for image in expected)

    spy.seen.clear()
    evaluate(run.path, data=photos)
    np.testing.assert_array_equal(spy.seen["evaluation"], expected)
    predict(photos, classifier)
    np.testing.assert_array_equal(spy.seen["prediction"], expected)
