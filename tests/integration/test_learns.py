"""The whole program on pictures that can be learnt: it must learn them."""

from __future__ import annotations

from kvgg_jax.runs.folder import Run


def test_a_small_vgg_tells_three_colors_apart(whole):
    """Each validation picture is right soon; the loss, of mixed pictures, falls by a third."""
    history = Run(whole.run).history()
    assert history.best is not None
    assert history.best.val_accuracy == 1.0
    assert history.epochs[-1].loss < history.epochs[0].loss * 2 / 3
