"""What accuracy.py compares: each trains from random weights until its minutes are over.

`folder` has `train` and `val`, with a folder per class. After each epoch a row is written: seconds
since the start of the process, validation accuracy.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.monotonic()
WORKERS = 2
CONTESTANTS: dict[str, tuple[int, ...]] = {
    "kvgg_jax-fast": (48, 64),
    "yolo11n-cls": (224, 64),
    "yolo11s-cls": (224, 64),
    "timm-resnet18": (224, 64),
    "timm-mobilenetv3_small_100": (224, 64),
    "torchvision-efficientnet_b0": (224, 64),
    "keras-notebook": (224, 64),
}
"""Name -> its size by default, and a small one."""

Tell = Callable[[float], None]
"""What hears the accuracy of each epoch."""


def kvgg_jax(folder: Path, tell: Tell, args: argparse.Namespace) -> None:
    """A recipe of ours, with its minutes."""
    from kvgg_jax import train
    from kvgg_jax.core.config_file import load_recipe, with_values
    from kvgg_jax.core.events import EpochEnded, Event

    values: dict[str, object] = {
        "seed": args.seed,
        "data.dir": str(folder),
        "data.image_size": args.size,
        "train.time": f"{args.minutes * 60:.0f}s",
        "train.patience": 1000,
    }
    recipe = load_recipe(args.name.partition("-")[2])
    config = with_values(recipe, values, where="the benchmark")

    def hear(event: Event) -> None:
        if isinstance(event, EpochEnded):
            tell(event.row.val_accuracy)

    train(
        config,
        out=folder.parent / "runs",
        name=f"{args.size}-{args.seed}",
        emit=hear,
        overwrite=True,
    )


def yolo(folder: Path, tell: Tell, args: argparse.Namespace) -> None:
    """Ultralytics' defaults for classification; its `time` ends it."""
    from ultralytics import YOLO

    model = YOLO(f"{args.name}.yaml")
    model.add_callback(
        "on_fit_epoch_end", lambda trainer: tell(trainer.metrics["metrics/accuracy_top1"])
    )
    model.train(
        data=str(folder), imgsz=args.size, time=args.minutes / 60, device="cpu", workers=WORKERS,
        seed=args.seed, pretrained=False, plots=False, project=str(folder.parent / "yolo"),
        exist_ok=True,
    )  # fmt: skip


def torch_network(name: str, classes: int) -> Any:
    """Of timm or torchvision, with random weights."""
    library, _, arch = name.partition("-")
    if library == "timm":
        import timm

        return timm.create_model(arch, pretrained=False, num_classes=classes)
    import torchvision

    return torchvision.models.get_model(arch, weights=None, num_classes=classes)


def torch_fit(folder: Path, tell: Tell, args: argparse.Namespace) -> None:
    """timm's transforms for training, AdamW under a cosine over the minutes, batches of 32.

    timm and torchvision offer networks and leave the loop to a script.
    """
    import timm
    import torch
    from torch.utils.data import DataLoader

    torch.manual_seed(args.seed)
    train, val = (timm.data.ImageDataset(str(folder / part)) for part in ("train", "val"))
    size = (3, args.size, args.size)
    train.transform = timm.data.create_transform(size, is_training=True)
    val.transform = timm.data.create_transform(size, crop_pct=1.0, crop_mode="squash")
    model = torch_network(args.name, len(train.reader.class_to_idx))
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    kept = {"num_workers": WORKERS, "persistent_workers": True}
    batches = DataLoader(train, 32, shuffle=True, drop_last=True, **kept)
    begun = time.monotonic()

    def share() -> float:
        return min((time.monotonic() - begun) / (60 * args.minutes), 1.0)

    while share() < 1:
        model.train()
        for images, labels in batches:
            if share() >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 + math.cos(math.pi * share())) / 2
            loss = criterion(model(images.to(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        right = 0
        with torch.inference_mode():
            for images, labels in DataLoader(val, 32, num_workers=WORKERS):
                right += int((model(images).argmax(-1) == labels).sum())
        tell(right / len(val))


def keras_fit(folder: Path, tell: Tell, args: argparse.Namespace) -> None:
    """The write-up's notebook: VGG16, dense layers of 4096, Adam at 1e-4, `model.fit`."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # noqa: TID251  # as the notebook does

    keras.utils.set_random_seed(args.seed)
    train, val = (
        keras.utils.image_dataset_from_directory(
            folder / part, image_size=(args.size, args.size), shuffle=part == "train", verbose=False
        )
        for part in ("train", "val")
    )
    layers = keras.layers
    body = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(args.size, args.size, 3)
    )
    top = [layers.Flatten(), layers.Dense(4096, "relu"), layers.Dense(4096, "relu")]
    top.append(layers.Dense(len(train.class_names), "softmax"))
    model = keras.Sequential([layers.Rescaling(1 / 255), body, *top])
    model.compile(
        keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    begun = time.monotonic()

    class Clock(keras.callbacks.Callback):
        def is_over(self) -> bool:
            return time.monotonic() - begun >= 60 * args.minutes

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training |= self.is_over()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            tell(logs["val_accuracy"])
            self.model.stop_training |= self.is_over()

    model.fit(train, validation_data=val, epochs=10_000, callbacks=[Clock()], verbose=0)


def fit_of(name: str) -> Callable[[Path, Tell, argparse.Namespace], None]:
    kinds = {"kvgg_jax": kvgg_jax, "yolo11n": yolo, "yolo11s": yolo, "keras": keras_fit}
    return kinds.get(name.partition("-")[0], torch_fit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rows", type=int, default=1, help="file descriptor")
    args = parser.parse_args()
    with os.fdopen(args.rows, "w") as rows:

        def tell(accuracy: float) -> None:
            rows.write(f"{time.monotonic() - STARTED:.1f},{accuracy:.4f}\n")
            rows.flush()

        fit_of(args.name)(args.folder.absolute(), tell, args)


if __name__ == "__main__":
    main()
