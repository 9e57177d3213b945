"""Winograd convolutions, band by band."""

from __future__ import annotations

import pytest

from kvgg_jax.models.kernels import winograd


@pytest.mark.parametrize("batch", [1, 2, 7, 8, 31, 32])
@pytest.mark.parametrize("size", [(12, 12), (14, 14), (13, 57), (224, 224), (12, 2000)])
def test_bands_cover_every_pixel_and_hold_few_tiles(batch, size):
    """No row or image is left out, none of the groups or bands is empty, and none is too large."""
    bands = winograd._Bands.of((batch, *size, 64))
    images, rows = bands.groups * bands.images, 4 * bands.rows * bands.bands
    assert batch <= images < batch + bands.images
    assert size[0] <= rows < size[0] + 4 * bands.rows
    assert bands.images * bands.rows * bands.columns < 2 * max(200, bands.columns)
