"""Native convolutions: the numbers of float64, and the same bits whatever the threads do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax.models.kernels.conv import conv3x3, conv3x3_valid
from kvgg_jax.models.kernels.native import build, convolution
from kvgg_jax.models.kernels.native.build import FLAGS, SOURCE
from kvgg_jax.models.kernels.native.convolution import convolve, fits, weight_grad
from kvgg_jax.models.kernels.native.library import load
from support.convolutions import draw, error, exact, results, stock
from support.native import needs_library
from support.runs import PATIENCE, ROOT

pytestmark = needs_library
PAIRS = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
"""Channels in and out of VGG11 to 19, but for the first layer."""
ODD = [(1, 13, 17), (2, 25, 3), (3, 5, 31), (33, 1, 9), (5, 4, 4), (2, 16, 64)]


@jax.jit
def native(x, w, g):
    return convolve(x, w), convolve(g, w, turned=True), weight_grad(x, g)


@pytest.mark.parametrize(("cin", "cout"), PAIRS)
def test_the_error_against_float64_is_below_5e_6_for_the_channels_of_every_vgg(cin, cout):
    x, w, g = draw((2, 11, 14, cin), cout)
    for ours, reference in zip(native(x, w, g), exact(x, w, g), strict=True):
        assert error(ours, reference) < 5e-6


@pytest.mark.parametrize("sides", ODD)
def test_so_it_is_for_odd_sides_and_batches(sides):
    x, w, g = draw((*sides, 32), 96)
    for ours, reference in zip(native(x, w, g), exact(x, w, g), strict=True):
        assert ours.shape == reference.shape
        assert error(ours, reference) < 5e-6


def test_many_tiles_are_summed_in_parts():
    """One long sum in float32 would have an error of 2e-5."""
    x, w, g = draw((4, 96, 96, 32), 32)
    assert error(native(x, w, g)[2], exact(x, w, g)[2]) < 5e-6


def test_conv3x3_and_its_gradients_are_native_where_it_fits():
    x, w, g = draw((8, 12, 12, 64), 32)
    assert fits(x.shape, 32)
    library = load()
    program = results.lower(conv3x3, x, w, g).as_text()
    assert program.count(f"@{library.convolve}") == 2
    assert program.count(f"@{library.weight_gradient}") == 1
    for ours, reference in zip(results(conv3x3, x, w, g), native(x, w, g), strict=True):
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize(("side", "calls"), [(16, 2), (15, 0)])
def test_without_padding_it_is_the_inner_part_where_that_is_not_small(side, calls):
    x, w, _ = draw((4, side, side, 32), 64)
    g = jax.random.normal(jax.random.key(1), (4, side - 2, side - 2, 64))
    program = results.lower(conv3x3_valid, x, w, g).as_text()
    assert program.count(f"@{load().convolve}") == calls
    expected = results(partial(stock, padding="VALID"), x, w, g)
    for ours, reference in zip(results(conv3x3_valid, x, w, g), expected, strict=True):
        assert ours.shape == reference.shape
        assert error(ours, reference) < 1e-5


@pytest.mark.parametrize(
    ("shape", "cout", "fit"),
    [
        ((8, 12, 12, 64), 64, True),
        ((1, 12, 12, 64), 64, False),  # few tiles
        ((32, 2, 2, 64), 64, False),  # small images
        ((8, 12, 12, 3), 64, False),
        ((8, 12, 12, 64), 40, False),
    ],
)
def test_few_tiles_and_odd_channels_take_another_way(shape, cout, fit):
    assert fits(shape, cout) is fit
    x, w, _ = draw(shape, cout)
    assert ("kvgg_convolve" in jax.jit(conv3x3).lower(x, w).as_text()) is fit


@pytest.mark.parametrize(("cin", "cout"), [(0, 64), (64, 0)])
def test_no_channels_take_another_way_too(cin, cout):
    assert not fits((8, 12, 12, cin), cout)


def test_second_derivatives_are_those_of_xla():
    x, w, _ = draw((8, 12, 12, 32), 32)

    def penalty(convolution, x, w):
        """Of the gradients' norm, as in Gulrajani et al. 2017, arXiv:1704.00028."""
        gradients = jax.grad(lambda x, w: (convolution(x, w) ** 2).sum(), (0, 1))(x, w)
        return sum((one**2).sum() for one in gradients)

    both = (jax.grad(partial(penalty, one), (0, 1))(x, w) for one in (conv3x3, stock))
    for ours, theirs in zip(*both, strict=True):
        assert error(ours, theirs) < 2e-5


def call(target, inputs, outputs, **attributes):
    """Of arrays of zeros."""
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in outputs]
    return jax.ffi.ffi_call(target, results)(*map(jnp.zeros, inputs), **attributes)


X, W, G, POINTS = (2, 5, 5, 32), (3, 3, 32, 64), (2, 5, 5, 64), (36, 33, 64)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((X, W), (G, (36, 32, 64))),
        ((X, W), ((2, 5, 4, 64), POINTS)),
        ((X, W[1:]), (G, POINTS)),
        ((X[1:], W), (G, POINTS)),
        ((X, (3, 3, 64, 32)), (G, POINTS)),
        ((X, (2, 3, 32, 64)), (G, POINTS)),
        ((X, (3, 3, 32, 40)), ((2, 5, 5, 40), (36, 33, 40))),
        (((2, 5, 5, 24), (3, 3, 24, 64)), (G, (36, 25, 64))),
        (((2, 5, 5, 0), (3, 3, 0, 64)), (G, POINTS)),
    ],
)
def test_a_call_with_shapes_that_do_not_fit_is_an_error(inputs, outputs):
    """And reads or writes nothing."""
    call(load().convolve, (X, W), (G, POINTS), turned=False)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID_ARGUMENT"):
        call(load().convolve, inputs, outputs, turned=False)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ((X, G), ((3, 3, 64, 32), (0,))),
        ((X, (2, 5, 4, 64)), (W, (0,))),
        ((X, G[1:]), (W, (0,))),
        (((0, 5, 5, 32), (0, 5, 5, 64)), (W, (0,))),
        (((2, 5, 5, 24), G), ((3, 3, 24, 64), (0,))),
        (((8, 32, 32, 32), (8, 32, 32, 64)), (W, (0,))),  # of several parts
    ],
)
def test_so_it_is_for_the_weight_gradient(inputs, outputs):
    call(load().weight_gradient, (X, G), (W, (0,)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID_ARGUMENT"):
        call(load().weight_gradient, inputs, outputs)


def test_bfloat16_in_gives_bfloat16_out_within_its_rounding():
    x, w, g = draw((8, 12, 12, 64), 64, dtype="bfloat16")
    reference = exact(*(a.astype(jnp.float32) for a in (x, w, g)))
    for ours, theirs in zip(results(conv3x3, x, w, g), reference, strict=True):
        assert ours.dtype == jnp.bfloat16
        assert error(ours, theirs) < 5e-3


def test_vmap_takes_one_after_the_other():
    x, w, _ = draw((8, 12, 12, 32), 32)
    both = jax.vmap(conv3x3)(jnp.stack([x, 2 * x]), jnp.stack([w, w]))
    np.testing.assert_array_equal(both[0], conv3x3(x, w))
    np.testing.assert_array_equal(both[1], conv3x3(2 * x, w))


PROGRAM = """
import hashlib
from kvgg_jax.models.kernels.conv import conv3x3
from support.convolutions import draw, results
arrays = draw((3, 40, 21, 64), 160)
for _ in range(3):
    print(hashlib.sha256(b"".join(map(bytes, results(conv3x3, *arrays)))).hexdigest())
"""


def test_the_bits_are_the_same_on_1_2_and_8_threads():
    digests = set()
    for threads in (1, 2, 8):  # NPROC is what XLA takes for its pool
        env = os.environ | {"NPROC": str(threads), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        digests.update(done.stdout.split())
    assert len(digests) == 1


@pytest.mark.sanitizers
@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_no_access_is_out_of_bounds_and_no_two_race(sanitizer, lanes, tmp_path):
    """Three calls at once on 0 to 8 threads; each gives the bits of one alone on one thread."""
    program = tmp_path / "harness"
    flags = ["-std=c++17", "-O1", "-g", "-march=native", "-pthread", f"-DKVGG_LANES={lanes}"]
    checks = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    headers = ["-isystem", jax.ffi.include_dir(), "-I", str(SOURCE.parent)]
    source = Path(__file__).with_name("harness.cc")
    command = ["c++", *flags, *checks, *headers, str(source), "-o", str(program)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    done = subprocess.run([program], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "the same bits\n"), done.stderr


@pytest.mark.sanitizers
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("lanes", [8, 16])
def test_vectors_of_either_width_give_the_numbers_of_float64(lanes, compiler, cache, monkeypatch):
    """This processor takes one of them, others the other."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setattr(build, "FLAGS", (*FLAGS, f"-DKVGG_LANES={lanes}"))
    library = load.__wrapped__()
    monkeypatch.setattr(convolution, "load", lambda: library)
    assert library.channels == 2 * lanes
    x, w, g = draw((4, 21, 30, 64), 160)
    for ours, reference in zip(native.__wrapped__(x, w, g), exact(x, w, g), strict=True):
        assert error(ours, reference) < 5e-6
