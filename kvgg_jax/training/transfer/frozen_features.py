"""Features of the images from a frozen backbone, computed once and kept in a file for later runs.

<cache folder>/features/<digest of all that decides them>/ features.npy SHA256SUMS
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kvgg_jax.core.config import SETTINGS, RunConfig, settings
from kvgg_jax.core.devices.mesh import place_rows, run_devices
from kvgg_jax.core.errors import DataError
from kvgg_jax.core.events import Emit, Note, Progress, ignore
from kvgg_jax.core.files import sweep
from kvgg_jax.core.keras_gate import keras
from kvgg_jax.core.process import cache_folder
from kvgg_jax.core.state import AnyArray, Weights
from kvgg_jax.data.cache import Chosen
from kvgg_jax.data.pipeline import Store, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.models.build import Built
from kvgg_jax.models.compile import compile_step
from kvgg_jax.models.functional import Network
from kvgg_jax.models.heads import choose_head
from kvgg_jax.models.registry import choose_backbone
from kvgg_jax.runs import digests

VERSION = 3  # of the backbone's arithmetic; a change of a single bit raises it
KEPT = 4  # sets of features, the newest
FILE = "features.npy"
PART = ".{}.part"  # the folder of a set that is not complete


def are_constant(config: RunConfig) -> bool:
    """Whether an image has the same features in each epoch, and they may be kept."""
    data, whole = config.data, config.model.freeze == "backbone"
    changed = data.crop or data.erase or not data.augment == data.mix == "none"
    return whole and not changed and data.cache != "none"


def head_on_features(
    config: RunConfig, built: Built, decoded: DecodedImages, weights: Weights, *, emit: Emit
) -> tuple[keras.Model, Store]:
    """The head, and the features that the rest of the network with these weights gives it."""
    constant = features(config, decoded, weights, folder=cache_folder(), emit=emit)
    return built.head, hold(decoded)._replace(images=constant)


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
    images. Raises DataError when there is no room for them.
    """
    stage_of = choose_backbone(config.model).stage_of
    arrays = {n: one for part in weights for n, one in part.items() if stage_of(n) is not None}
    where = folder / "features" / _key(config, decoded, arrays)
    order = np.argsort(np.array(decoded.digests()), kind="stable")  # in the file, for any run
    try:
        if not digests.fault(where):
            emit(Note(f"The features of the frozen blocks are in {where}"))
            with contextlib.suppress(OSError):  # another user's cache
                where.touch()  # the newest are kept
        else:
            where.parent.mkdir(parents=True, exist_ok=True)
            sweep(where.parent, PART.format("*"))
            made = where.with_name(PART.format(where.name))
            made.mkdir(exist_ok=True)
            _compute(made / FILE, config, Chosen(decoded.images, order), arrays, emit)
            _publish(made, where)
        found = np.asarray(np.load(where / FILE, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        raise DataError(
            f"Cannot keep the features of the photos in {where.parent}: {error.strerror}. "
            "Make room there, or compute them again in each epoch: `data.cache = none`."
        ) from None
    return Chosen(found, np.argsort(order))


def _key(config: RunConfig, decoded: DecodedImages, arrays: dict[str, AnyArray]) -> str:
    """A digest of the weights, of the images, and of what computes."""
    digest, device = hashlib.sha256(), run_devices()[0].device_kind
    # how convolutions are computed depends on the size of a part, whatever the batch
    config = config.with_train(batch_size=config.train.part_size, accumulate=1)
    values, shape = settings(config), [*decoded.images.shape]
    how = [values[key] for key, setting in SETTINGS.items() if "features" in setting.affects]
    pooling = choose_head(config.model).pooling
    digest.update(repr([VERSION, *how, pooling, shape, jax.__version__, device]).encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    digest.update("".join(sorted(decoded.digests())).encode())
    return digest.hexdigest()[:32]


def _publish(made: Path, where: Path) -> None:
    """Move complete features into place, and remove the oldest sets."""
    try:
        digests.seal(made)
        if digests.fault(where):  # else another run, which may be reading, has published the same
            shutil.rmtree(where, ignore_errors=True)
            made.rename(where)
    except FileNotFoundError:  # the other run has moved them at this moment
        if digests.fault(where):
            raise
    shutil.rmtree(made, ignore_errors=True)
    others = [path for path in where.parent.glob("[!.]*") if path != where]  # whatever the clock
    with contextlib.suppress(OSError):  # another run may remove the same ones
        for old in sorted(others, key=lambda path: path.stat().st_mtime)[: 1 - KEPT]:
            shutil.rmtree(old)  # whoever reads it keeps what it has opened


def _compute(
    file: Path, config: RunConfig, images: Chosen, arrays: dict[str, AnyArray], emit: Emit
) -> None:
    """Write the features of `images` to `file`, as `np.save` would."""
    count, batch = images.shape[0], config.train.part_size
    network = Network(config.model, config.train.precision)
    example = place_rows(np.zeros((batch, *images.shape[1:]), np.uint8))

    def step(weights: dict[str, AnyArray], images: AnyArray) -> Array:
        maps = network.stage_maps(weights, images)
        return network.features(weights, maps).astype(jnp.float32)

    shape = (count, *jax.eval_shape(step, arrays, example).shape[1:])
    compiled = compile_step("features", step, arrays, example, emit=emit)
    row = 4 * math.prod(shape[1:])
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        first = stream.tell()
        # A stopped run has left the first rows, the last of them perhaps in part. Nothing is cut
        # off: another run may be writing the same rows at this moment.
        done = (stream.seek(0, os.SEEK_END) - first) // row // batch * batch
        stream.seek(first + done * row)
        for start in range(done, count, batch):
            rows = np.arange(start, min(start + batch, count))
            found = np.asarray(compiled(arrays, place_rows(images[np.resize(rows, batch)])))
            stream.write(found[: len(rows)].tobytes())
            stream.flush()
            emit(Progress("computing features", start + len(rows), count))
