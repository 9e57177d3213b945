"""The heads, from the features of a backbone to logits: a name and a function for each."""

from __future__ import annotations

from kvgg_jax.models.backbone import Head, Layers, T

LAST = "predictions"


def average_head(layers: Layers[T], features: T) -> T:
    """Global average pooling, then the logits."""
    x = layers.average(features, "gap")
    return layers.logits(layers.dropout(x, "gap_dropout"), LAST)


def dense_head(*sizes: int) -> Head:
    """Hidden layers of these sizes, dropout after each."""

    def head(layers: Layers[T], features: T) -> T:
        x = layers.flatten(features, "flatten")
        for i, units in enumerate(sizes, 1):
            x = layers.dropout(layers.dense(x, units, f"fc{i}"), f"fc{i}_dropout")
        return layers.logits(x, LAST)

    return head


HEADS: dict[str, Head] = {
    "full": dense_head(4096, 4096),
    "slim": dense_head(1024, 512),
    "gap": average_head,
}


def parse_head(head: str) -> Head:
    """The head of that name, or with hidden layers of the sizes listed: `"256,128"`."""
    return HEADS[head] if head in HEADS else dense_head(*map(int, head.split(",")))
