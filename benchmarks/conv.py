"""Each distinct 3x3 convolution of VGG16: Keras' own, ours in JAX, ours in native code.

python benchmarks/conv.py --image-size 224 --batch-size 8

Milliseconds of the forward pass, the input gradient and the weight gradient: the fastest of
`--repeats`, which take turns.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import jax
import jax.numpy as jnp
from jax import Array

from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.cost import describe
from kvgg_jax.models.kernels import stock
from kvgg_jax.models.kernels.conv import conv3x3
from kvgg_jax.models.kernels.native import convolution

Compiled = Callable[..., Array]


def compiled(function: Compiled, args: tuple[Array, ...], *, native: bool = True) -> Compiled:
    """`function`, or what it is on a machine that has no C++ compiler."""
    jax.clear_caches()  # of what was traced
    here = nullcontext() if native else patch.object(convolution, "fits", return_value=False)
    with here:
        return jax.jit(function).lower(*args).compile()


def passes(conv: Callable[[Array, Array], Array]) -> list[Compiled]:
    """Forward, input gradient and weight gradient as functions of (x, w, g)."""
    return [
        lambda x, w, g: conv(x, w),
        lambda x, w, g: jax.vjp(conv, x, w)[1](g)[0],
        lambda x, w, g: jax.vjp(conv, x, w)[1](g)[1],
    ]


def fastest(functions: list[Callable[..., Array]], args: tuple[Array, ...], n: int) -> list[float]:
    """Milliseconds of each function, taken in turn."""
    best = [float("inf")] * len(functions)
    for repeat in range(n + 1):  # the first does not count
        for k, function in enumerate(functions):
            started = time.perf_counter()
            jax.block_until_ready(function(*args))
            if repeat:
                best[k] = min(best[k], 1e3 * (time.perf_counter() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print("| images x side, channels | forward | input gradient | weight gradient |")
    print("|---|---|---|---|")
    layers = describe(ModelConfig(head="gap"), classes=2, image_size=args.image_size)
    before, seen = 3, set()
    for layer in layers:
        if "conv" not in layer.name:
            continue
        side, _, channels = layer.output
        shape, before = (side, before, channels), channels
        if shape in seen:
            continue
        seen.add(shape)
        x = jnp.ones((args.batch_size, side, side, shape[1]))
        arrays = (x, jnp.ones((3, 3, shape[1], channels)), jnp.ones((*x.shape[:3], channels)))
        rows = zip(passes(stock.convolve), passes(conv3x3), strict=True)
        times = []
        for old, new in rows:
            ways = [compiled(old, arrays), compiled(new, arrays, native=False)]
            times.append(fastest([*ways, compiled(new, arrays)], arrays, args.repeats))
        text = " | ".join(" / ".join(f"{one:.0f}" for one in row) for row in times)
        print(f"| {args.batch_size} x {side}, {shape[1]} -> {channels} | {text} |", flush=True)


if __name__ == "__main__":
    main()
