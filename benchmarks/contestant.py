"""One contestant of `benchmarks/peers.py`, in a process of its own with its own backend.

VGG16 with the slim head, or a network of Keras with the head `gap`; random weights and pictures, 4
classes. It prints the seconds from its start to the end of the first run, then runs once for each
line on stdin and prints the seconds; when stdin ends, its peak memory in MiB.
"""

import time

STARTED = time.perf_counter()

import argparse
import functools
import os
import resource
import sys
from collections.abc import Callable

BLOCKS = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
HEAD = (1024, 512)
KERAS = {"efficientnetv2-b0": "EfficientNetV2B0", "resnet50v2": "ResNet50V2"}
Run = Callable[[], object]


def pictures(size: int, count: int):  # noqa: ANN201  # NumPy arrays, imported late
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, rng.integers(0, 4, count, np.int32)


def kvgg(task: str, arch: str, size: int, count: int, *, accumulate: int = 1) -> Run:
    import jax
    import numpy as np

    from kvgg_jax.core.state import Batch
    from kvgg_jax.core.tables.model import ModelConfig
    from kvgg_jax.core.tables.optim import OptimConfig
    from kvgg_jax.models.build import vgg
    from kvgg_jax.models.compile import compile_step
    from kvgg_jax.models.functional import make_predict_step
    from kvgg_jax.training.optimizers import build_optimizer
    from kvgg_jax.training.step import init_state, make_train_step, zero_tally

    config = ModelConfig(arch=arch, head="slim" if arch == "vgg16" else "gap")
    model = vgg(config, classes=4, image_size=size)
    images, labels = pictures(size, count)
    optimizer = build_optimizer(OptimConfig(), model)
    state = init_state(model, optimizer)
    if task == "forward":
        weights = state.params, state.model_state
        predict = compile_step("prediction", make_predict_step(config), *weights, images)
        return lambda: jax.device_get(predict(*weights, images))
    batch = Batch(images, labels, np.ones(count, np.float32))
    made = make_train_step(model, optimizer, accumulate=accumulate)
    step = compile_step("training", made, state, zero_tally(), batch, donate=(0,))

    def run() -> None:
        nonlocal state
        state, tally = step(state, zero_tally(), batch)
        float(tally.loss)

    return run


def keras_network(arch: str, size: int, *, classes: int):  # noqa: ANN201  # keras.Model
    """With Keras' own layers, on whatever backend is set; from images in [0, 1]."""
    import keras

    if arch != "vgg16":
        image = keras.Input((size, size, 3))
        body = getattr(keras.applications, KERAS[arch])(
            weights=None, include_top=False, pooling="avg"
        )
        return keras.Model(image, keras.layers.Dense(classes)(body(image)))
    model = keras.Sequential([keras.Input((size, size, 3))])
    for block in BLOCKS:
        for channels in block:
            model.add(keras.layers.Conv2D(channels, 3, padding="same", activation="relu"))
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    for units in HEAD:
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dense(classes))
    return model


def keras_on(backend: str) -> Callable[[str, str, int, int], Run]:
    def make(task: str, arch: str, size: int, count: int) -> Run:
        os.environ["KERAS_BACKEND"] = backend
        import keras

        model = keras_network(arch, size, classes=4)
        schedule = keras.optimizers.schedules.ExponentialDecay(1e-4, 20, 0.95, staircase=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
        images, labels = pictures(size, count)
        scaled = images.astype("float32") / 255
        if task == "forward":
            return lambda: model.predict_on_batch(scaled)
        return lambda: model.train_on_batch(scaled, labels)

    return make


def torch_in(precision: str) -> Callable[[str, str, int, int], Run]:
    def make(task: str, arch: str, size: int, count: int) -> Run:
        assert arch == "vgg16", "PyTorch takes part with VGG16 alone"
        import torch
        from torch import nn

        layers: list[nn.Module] = []
        before, side = 3, size
        for block in BLOCKS:
            for channels in block:
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
                before = channels
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers.append(nn.Flatten())
        before *= side * side
        for units in HEAD:
            layers += [nn.Linear(before, units), nn.ReLU(inplace=True)]
            before = units
        model = nn.Sequential(*layers, nn.Linear(before, 4)).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
        images, labels = pictures(size, count)
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255  # strides: channels last
        y = torch.from_numpy(labels).long()
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

        def forward() -> None:
            with torch.inference_mode(), autocast:
                model(x)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with autocast:
                loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            loss.item()

        return forward if task == "forward" else step

    return make


CONTESTANTS: dict[str, Callable[[str, str, int, int], Run]] = {
    "kvgg_jax": kvgg,
    "kvgg_jax-accumulate-4": functools.partial(kvgg, accumulate=4),
    "keras-jax": keras_on("jax"),
    "keras-tensorflow": keras_on("tensorflow"),
    "torch": torch_in("float32"),
    "torch-bfloat16": torch_in("bfloat16"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("task", choices=("step", "forward"))
    parser.add_argument("--arch", default="vgg16", choices=("vgg16", *KERAS))
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    args = parser.parse_args()
    if args.name.startswith("kvgg_jax"):
        from kvgg_jax.cli.huge_pages import restart_with_huge_pages
        from kvgg_jax.core.process import own_process

        restart_with_huge_pages()  # as `kvgg train` does
        own_process()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes elsewhere
    run = CONTESTANTS[args.name](args.task, args.arch, args.image_size, args.batch_size)
    run()
    print(time.perf_counter() - STARTED, file=answers)
    for _ in sys.stdin:
        started = time.perf_counter()
        run()
        print(time.perf_counter() - started, file=answers)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=answers)


if __name__ == "__main__":
    main()
