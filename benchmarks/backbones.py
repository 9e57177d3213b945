"""What there is to know of each backbone, as the Markdown table of docs/backbones.md.

python benchmarks/backbones.py
"""

from __future__ import annotations

from kvgg_jax import ModelConfig
from kvgg_jax.core.tables.architectures import ARCHITECTURES
from kvgg_jax.models.cost import describe
from kvgg_jax.models.registry import choose_backbone


def row(name: str) -> str:
    """Sizes in pixels; parameters and FLOPs at the native size, without a head."""
    backbone = choose_backbone(ModelConfig(arch=name))
    size = backbone.native_size
    found = describe(ModelConfig(arch=name, head="gap"), classes=2, image_size=size)
    body = [layer for layer in found if not layer.is_head]
    params = sum(layer.params for layer in body) / 1e6
    flops = sum(layer.flops for layer in body) / 1e9
    sizes = f"{backbone.depth} | {backbone.min_size} | {size}"
    return f"| `{name}` | {sizes} | {params:.1f} M | {flops:.1f} G |"


def main() -> None:
    print("| `--arch` | stages | smallest px | native px | parameters | FLOPs |")
    print("|---|---|---|---|---|---|")
    for name in ARCHITECTURES:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
