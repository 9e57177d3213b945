"""The contestant of `benchmarks/gpu.py` in PyTorch: a VGG with a dense layer after the average."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from kvgg_jax.core.state import Batch


def is_there() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def make_step(
    blocks: Sequence[Sequence[int]], batch: Batch, precision: str, *, classes: int
) -> Callable[[], float]:
    """A step with Adam, channels last and compiled, on the GPU if there is one; it gives the loss.

    `precision` is float32, tf32 or bfloat16.
    """
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "float32"
    layers: list[nn.Module] = []
    before = 3
    for block in blocks:
        for channels in block:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
            before = channels
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    model = nn.Sequential(*layers).to(device, memory_format=torch.channels_last)
    optimizer, compiled = torch.optim.Adam(model.parameters(), lr=1e-4), torch.compile(model)
    images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2)
    labels = torch.from_numpy(batch.labels).to(device).long()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = nn.functional.cross_entropy(compiled(images.float() / 255), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step
