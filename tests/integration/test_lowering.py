"""The training step for GPUs that are not here: lowered for CUDA, on meshes of many devices."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

import jax
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.devices.mesh import BATCH
from kvgg_jax.core.state import Batch, Tally, TrainState, empty_batch
from kvgg_jax.models.build import build
from kvgg_jax.training.setup import build_start
from kvgg_jax.training.step import TrainStep, make_train_step, zero_tally

ARCHITECTURES = ["vgg16", pytest.param("efficientnetv2-b0", marks=pytest.mark.backbones)]
PER_DEVICE, SIZE = 2, 224
OPERATIONS = re.compile(r"(?:stablehlo|mhlo|sdy)\.(\w+)")
HOST = {"custom_call", "send", "recv", "infeed", "outfeed"}  # what asks the host in mid-step


@cache
def made(arch: str) -> tuple[TrainStep, TrainState, Tally]:
    """A step, and a state and sums as shapes."""
    config = RunConfig(model={"arch": arch, "head": "gap"})
    network = build(config.model, classes=4, image_size=SIZE, precision="float32", seed=0)
    optimizer, state = build_start(config, network.model, steps=1)
    return make_train_step(network.model, optimizer), *jax.eval_shape(lambda: (state, zero_tally()))


def lowered(arch: str, devices: int) -> Counter[str]:
    """How often each operation is in the step for CUDA, and how many convolutions it has."""
    step, *state = made(arch)
    mesh = AbstractMesh((devices,), (BATCH,))

    def placed(tree: Any, *axes: str) -> Any:
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding), tree
        )

    batch: Batch = placed(empty_batch(PER_DEVICE * devices, SIZE), BATCH)
    with jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(step, donate_argnums=0).trace(*placed(state), batch)
        return Counter(OPERATIONS.findall(traced.lower(lowering_platforms=("cuda",)).as_text()))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("devices", [8, 64, 512])
def test_a_step_for_gpus_has_stock_convolutions_and_never_asks_the_host(
    arch: str, devices: int
) -> None:
    """No loop of Winograd's bands, no callback, no transfer; the same program for any mesh."""
    found = lowered(arch, devices)
    assert found["while"] == 0
    assert not HOST & found.keys()
    assert found == lowered(arch, 8)
    if arch == "vgg16":  # 13 forward, 13 for the weights, and for the inputs of all but the first
        assert found["convolution"] == 38


def test_the_same_step_for_cpus_has_the_loops() -> None:
    """So the test above can fail."""
    step, *state = made("vgg16")
    batch = empty_batch(PER_DEVICE, SIZE)
    traced = jax.jit(step).trace(*state, batch)
    text = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert Counter(OPERATIONS.findall(text))["while"] > 0
