"""What a frozen backbone makes of the pictures, computed once and kept in a file for the next run.

<cache folder>/features/<digest of all that decides them>/ features.npy SHA256SUMS
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.devices import run_devices
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Note, Progress, ignore
from kvgg_jax.core.files import sweep
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.state import AnyArray, Weights
from kvgg_jax.data.cache import Chosen
from kvgg_jax.data.pipeline import Store, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.models.build import head_of
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import Network
from kvgg_jax.models.registry import BACKBONES
from kvgg_jax.runs import digests

VERSION = 2  # of the backbone's arithmetic; a change that moves a bit raises it
KEPT = 4  # sets of features, the newest
FILE = "features.npy"


def are_constant(config: RunConfig) -> bool:
    """Whether a picture has the same features in each epoch, and they may be kept."""
    data, whole = config.data, config.model.freeze == "blocks"
    return whole and data.augment == data.mix == "none" and data.cache != "none"


def trainable_part(
    config: RunConfig, model: keras.Model, decoded: DecodedImages, weights: Weights, *, emit: Emit
) -> tuple[keras.Model, Store]:
    """What is trained, and on what: the network on pictures, or its head on their features."""
    store = hold(decoded)
    if not are_constant(config):
        return model, store
    constant = features(config, decoded, weights, folder=cache_folder(), emit=emit)
    return head_of(model), store._replace(images=constant)


def features(
    config: RunConfig,
    decoded: DecodedImages,
    weights: Weights,
    *,
    folder: Path,
    emit: Emit = ignore,
) -> Chosen:
    """Float32 [count, height, width, channels], in the order of `decoded`, on disk.

    They are computed unless an earlier run has left them in `folder`, whatever the order of its
    pictures. Raises DataError when there is no room for them.
    """
    arrays = {name: array for part in weights for name, array in part.items()}
    stages = BACKBONES[config.model.arch].stages
    arrays = {name: array for name, array in arrays.items() if name.startswith(stages)}
    where = folder / "features" / _key(config, decoded, arrays)
    try:
        if not digests.fault(where):
            emit(Note(f"The features of the frozen blocks are in {where}"))
            with contextlib.suppress(OSError):  # a cache of others
                where.touch()  # the newest are kept
        else:
            _fill(where, config, decoded, arrays, emit)
        found = np.asarray(np.load(where / FILE, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        raise DataError(
            f"Cannot keep the features of the photos in {where.parent}: {error.strerror}. "
            "Make room there, or compute them anew each epoch: `data.cache = none`."
        ) from None
    return Chosen(found, np.argsort(_order(decoded)))


def _order(decoded: DecodedImages) -> NDArray[np.int64]:
    """In which their features are in the file: by digest, so that any run finds its own."""
    return np.argsort(np.array(decoded.digests()), kind="stable")


def _key(config: RunConfig, decoded: DecodedImages, arrays: dict[str, AnyArray]) -> str:
    """A digest of the weights, of the pictures, and of what computes."""
    digest, device = hashlib.sha256(), run_devices()[0].device_kind
    # how convolutions are computed depends on the size of a part, whatever the batch
    config = config.with_train(batch_size=config.train.part_size, accumulate=1)
    values, shape = settings(config), [*decoded.images.shape]
    how = [values[key] for key, setting in SETTINGS.items() if "features" in setting.affects]
    digest.update(repr([VERSION, *how, shape, jax.__version__, device]).encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    digest.update("".join(sorted(decoded.digests())).encode())
    return digest.hexdigest()[:32]


def _fill(
    where: Path, config: RunConfig, decoded: DecodedImages, arrays: dict[str, AnyArray], emit: Emit
) -> None:
    """Make the folder `where`: it is there whole or not at all."""
    where.parent.mkdir(parents=True, exist_ok=True)
    sweep(where.parent, f".{'?' * 8}")
    with tempfile.TemporaryDirectory(prefix=".", dir=where.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        _write(made / FILE, config, decoded, arrays, emit)
        digests.seal(made)
        if digests.fault(where):  # else another run has made it meanwhile, and may be reading
            shutil.rmtree(where, ignore_errors=True)
            made.rename(where)
    for old in sorted(where.parent.glob("[!.]*"), key=_used, reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)  # whoever reads it keeps what it has opened


def _used(path: Path) -> float:
    """When; long ago where another run has just removed it."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _write(
    file: Path, config: RunConfig, decoded: DecodedImages, arrays: dict[str, AnyArray], emit: Emit
) -> None:
    batch, images = config.train.part_size, decoded.images
    count, *image = images.shape
    order, network = _order(decoded), Network(config.model, config.train.precision)
    example = np.zeros((batch, *image), np.uint8)

    def step(weights: dict[str, AnyArray], images: AnyArray) -> Array:
        maps = network.feature_maps(weights, images)
        return network.features(weights, maps).astype(jnp.float32)

    one = jax.eval_shape(step, arrays, example).shape[1:]
    compiled = compile_step("features", step, arrays, example, emit=emit)
    with file.open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, *one)}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, count, batch):
            rows = order[start : start + batch]
            found = np.asarray(compiled(arrays, images[np.resize(rows, batch)]))
            stream.write(found[: len(rows)].tobytes())
            emit(Progress("computing features", start + len(rows), count))
