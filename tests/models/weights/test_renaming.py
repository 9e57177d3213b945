"""Layers of a file under the names of a network."""

from __future__ import annotations

from kvgg_jax.models.weights.renaming import renamed

KERNEL, WIDE, NORM = [(3, 3, 3, 8)], [(3, 3, 8, 8)], [(8,), (8,)]
OURS = {"conv2d": KERNEL, "norm": NORM, "conv2d_1": WIDE, "predictions": [(8, 2), (2,)]}
THEIRS = {"conv2d_94": KERNEL, "norm": NORM, "conv2d_95": WIDE, "predictions": [(8, 9), (9,)]}


def names(theirs: dict, ours: dict) -> dict[str, str]:
    """Name that each layer gets -> name in the file."""
    return renamed({name: name for name in theirs}, theirs, ours)


def test_layers_of_other_names_are_taken_by_order():
    """Keras numbered them through a process; the head may be of other classes."""
    assert names(THEIRS, OURS) == {
        "conv2d": "conv2d_94",
        "conv2d_1": "conv2d_95",
        "norm": "norm",
        "predictions": "predictions",
    }


def test_a_layer_takes_no_name_that_another_needs():
    """Of a file whose numbers begin elsewhere within those of the network."""
    theirs = {"conv2d_1": KERNEL, "norm": NORM, "conv2d_2": WIDE}
    assert names(theirs, OURS) == {"conv2d": "conv2d_1", "conv2d_1": "conv2d_2", "norm": "norm"}


def test_another_network_is_left_as_it_is():
    """Its first layers alone would be no network."""
    ours = {f"conv2d_{n}": WIDE for n in range(20)}
    theirs = {f"conv_{n}": WIDE if n < 5 else KERNEL for n in range(20)}
    assert names(theirs, ours) == {name: name for name in theirs}


def test_layers_that_keras_numbered_otherwise_are_taken_by_order_though_names_coincide():
    """The second network of a process begins at 3; all convolutions have the same shapes."""
    ours = {f"conv2d_{n}" if n else "conv2d": WIDE for n in range(12)}
    theirs = {f"conv2d_{n}": WIDE for n in range(3, 15)}
    assert names(theirs, ours) == {
        own: f"conv2d_{n}" for own, n in zip(ours, range(3, 15), strict=True)
    }


def test_layers_inside_others_are_found_by_name_alone():
    """Attention's have the same shapes in another order."""
    ours = {"mha/query": KERNEL, "mha/key": KERNEL}
    theirs = {"mha_1/key": KERNEL, "mha_1/query": KERNEL}
    assert names(theirs, ours) == {name: name for name in theirs}
