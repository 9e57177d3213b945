"""Charts of a run: drawn whatever the classes are called, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.core.history import Epoch, History
from kvgg_jax.runs.charts import curves_at_the_end, draw_curves, draw_samples
from kvgg_jax.runs.folder import Run
from support.images import ODD_NAMES, png_size


def test_classes_may_have_any_name(tmp_path: Path) -> None:
    """A folder's name is drawn as it is printed; warnings would be errors here."""
    draw_samples(np.zeros((4, 2, 2, 3), np.float32), ODD_NAMES, tmp_path / "samples.png")
    assert png_size(tmp_path / "samples.png")[0] > 600
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_curves_are_drawn_from_the_first_epoch_on(tmp_path: Path, count: int) -> None:
    """One epoch is a point, two a line; none is no chart."""
    rows = [Epoch(i, 1 / i, 0.5, 1 / i, 0.5, 1e-4, 1.0, 1.0) for i in range(1, count + 1)]
    draw_curves(History(), tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
    draw_curves(History(tuple(rows)), tmp_path / "curves.png")
    assert png_size(tmp_path / "curves.png") == (1080, 432)


def test_a_chart_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    """No temporary file beside it."""
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(RunError) as caught:
        draw_curves(History((Epoch(1, 1, 1, 1, 1, 1, 1, 1),)), tmp_path / "curves.png")
    assert str(caught.value) == f"Cannot write {tmp_path / 'curves.png'}: Is a directory."
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.usefixtures("blank")
def test_curves_are_drawn_whatever_ends_a_run_and_hide_no_error(tmp_path: Path) -> None:
    """What ended it matters more than a chart that cannot be drawn."""
    (tmp_path / "history.csv").write_text(History((Epoch(1, 1, 1, 1, 1),)).to_csv())
    with pytest.raises(KeyboardInterrupt), curves_at_the_end(Run(tmp_path)):
        raise KeyboardInterrupt
    assert (tmp_path / "curves.png").is_file()
    (tmp_path / "history.csv").write_text("damaged")
    with pytest.raises(KeyboardInterrupt), curves_at_the_end(Run(tmp_path)):
        raise KeyboardInterrupt
