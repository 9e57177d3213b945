"""`kvgg summary`: what a network costs."""

from __future__ import annotations

import json
import re

import pytest

from support.commands import kvgg

pytestmark = pytest.mark.usefixtures("thin_network")


def test_summary_adds_up_a_network() -> None:
    """VGG16 with the slim head at 4 classes and 224 px; the layers' rows add up to the totals."""
    result = kvgg("summary", "--head", "slim")
    lines = result.stdout.splitlines()
    assert lines[0] == "VGG16, head slim, 4 classes, 224 x 224 pixels"
    rows = [re.split(r"\s*│\s*", line.strip("│ ")) for line in lines if line.startswith("│")]
    assert len(rows) == 13 + 5 + 3
    assert rows[0] == ["block1_conv1", "224 x 224 x 64", "1,792", "173.4", "12,544"]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 40_932_676
    assert lines[-4:] == [
        "Parameters: 40,932,676, of which 26,217,988 in the head (64.05%)",
        "FLOPs for one image: 30.75 G forward, 92.06 G training (a multiply-add is two)",
        "Memory at batch 32, float32: 1,859.1 MiB of activations kept for the backward pass; "
        "2,483.7 MiB with weights, gradients and the moments of Adam",
        "Weights: 156.1 MiB",
    ]


def test_compare_is_honest_about_what_the_slim_head_saves() -> None:
    """78.07 % of the head, and what that is of the whole: worked out by hand from the paper."""
    result = kvgg("summary", "--compare")
    assert result.stdout.splitlines()[-1] == (
        "The slim head saves 78.07% of the head's parameters. Of the whole network that is 69.52% "
        "of parameters and weight bytes, 36.46% of training memory, but only 0.60% of the forward "
        "and 0.60% of the training FLOPs: the convolutions do the work."
    )
    rows = [re.split(r"\s*│\s*", x.strip("│ ")) for x in result.stdout.splitlines() if x[:1] == "│"]
    assert rows[:2] == [
        ["parameters", "134,276,932", "40,932,676", "14,716,740", "14,726,980"],
        ["in the head", "119,562,244", "26,217,988", "2,052", "12,292"],
    ]


def test_summary_json_has_the_figures_of_the_tables() -> None:
    """Whole numbers, for a batch."""
    one = json.loads(kvgg("summary", "--head", "full", "--batch-size", "1", "--json").stdout)
    both = json.loads(kvgg("summary", "--compare", "--batch-size", "1", "--json").stdout)
    layers = one.pop("layers")
    assert list(both) == ["full", "slim", "gap", "linear"]
    assert both["full"] == one
    assert (one["params"], one["head_params"]) == (134_276_932, 119_562_244)
    assert sum(layer["params"] for layer in layers) == one["params"]
    assert sum(layer["flops"] for layer in layers) == one["forward_flops"]
