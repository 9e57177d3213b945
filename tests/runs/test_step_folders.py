"""Saved steps come and go whole."""

from __future__ import annotations

from pathlib import Path

from kvgg_jax.runs import digests, step_folders
from kvgg_jax.runs.step_folders import KEPT


def save(folder: Path, step: int) -> Path:
    """A step with one file."""
    final = folder / str(step)
    saving = step_folders.prepare(final)
    saving.mkdir()
    (saving / "weights").write_text(str(step))
    step_folders.publish(saving, final)
    return final


def test_the_newest_steps_are_kept_and_their_digests_fit(tmp_path: Path) -> None:
    """The steps before them go, and nothing unfinished is left."""
    for step in (2, 10, 9, 12):
        save(tmp_path, step)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["12", "9"]
    assert list(step_folders.steps(tmp_path)) == [12, 9]
    assert KEPT == 2
    assert digests.fault(tmp_path / "12") is None


def test_a_step_takes_the_place_of_the_old_one_and_of_newer_ones(tmp_path: Path) -> None:
    """A run that went back has no step of the way that it left."""
    for step in (4, 8, 4):
        save(tmp_path, step)
    assert [path.name for path in tmp_path.iterdir()] == ["4"]


def test_newer_steps_can_be_dropped(tmp_path: Path) -> None:
    """Those with a higher number alone."""
    for step in (4, 8):
        save(tmp_path, step)
    step_folders.drop_newer(tmp_path, 4)
    assert list(step_folders.steps(tmp_path)) == [4]


def test_a_step_is_named_by_its_number_and_its_content(tmp_path: Path) -> None:
    """The newest of a folder; one that is gone, and a folder without any."""
    first = save(tmp_path, 4)
    name = step_folders.name(first)
    assert name == f"4-{digests.identity(first)[:16]}" == step_folders.newest(tmp_path)
    assert step_folders.name(tmp_path / "5") == "5-gone"
    assert step_folders.newest(tmp_path / "none") is None


def test_what_a_crash_has_left_is_cleared_up(tmp_path: Path) -> None:
    """In each kind's folder; whole steps and other names stay."""
    save(tmp_path / "best", 4)
    for name in ("8.saving", "2.gone", "6.orbax-checkpoint-tmp", "notes"):
        (tmp_path / "best" / name).mkdir()
    step_folders.clear_up(tmp_path)
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["4", "notes"]
