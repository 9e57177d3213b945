"""XLA's own convolution, and the gradients that JAX derives."""

from __future__ import annotations

import numpy as np

from kvgg_jax.models.kernels.stock import convolve, gradients_of
from support.convolutions import draw, error, exact, stock


def test_it_is_the_direct_form_in_its_gradients_too():
    x, w, g = draw((2, 5, 4, 3), 6)
    found = (convolve(x, w), *gradients_of(convolve)(x, w, g))
    for ours, reference in zip(found, exact(x, w, g), strict=True):
        assert error(ours, reference) < 1e-5


def test_strides_padding_and_groups_are_those_of_xla():
    x, w, _ = draw((2, 7, 6, 4), 8)
    how = {"strides": (2, 1), "padding": "VALID", "groups": 2}
    np.testing.assert_array_equal(convolve(x, w[:, :, :2], **how), stock(x, w[:, :, :2], **how))
