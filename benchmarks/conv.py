"""Each distinct 3x3 convolution of VGG16, Keras' own against ours: forward and both gradients.

python benchmarks/conv.py --image-size 224 --batch-size 8

Times alternate between the two; each figure is the fastest of `--repeats`, in ms.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.models.cost import describe
from kvgg_jax.models.kernels.conv import conv3x3


def stock(x: Array, w: Array) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)


def passes(conv: Callable[[Array, Array], Array]) -> list[Callable[..., Array]]:
    """Forward, input gradient and weight gradient as functions of (x, w, g), compiled."""
    return [
        jax.jit(lambda x, w, g: conv(x, w)),
        jax.jit(lambda x, w, g: jax.vjp(conv, x, w)[1](g)[0]),
        jax.jit(lambda x, w, g: jax.vjp(conv, x, w)[1](g)[1]),
    ]


def fastest(functions: list[Callable[..., Array]], args: tuple[Array, ...], n: int) -> list[float]:
    """Milliseconds of each function, taken in turn."""
    best = [float("inf")] * len(functions)
    for repeat in range(n + 1):  # the first, which compiles, does not count
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
        rows = zip(passes(stock), passes(conv3x3), strict=True)
        times = [fastest(list(pair), arrays, args.repeats) for pair in rows]
        text = "  ".join(f"{old:8.1f} -> {new:6.1f}" for old, new in times)
        print(f"{args.batch_size} x {side}, {shape[1]} -> {channels}: {text}", flush=True)


if __name__ == "__main__":
    main()
