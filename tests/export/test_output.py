"""A file comes whole or not at all, and never in the place of something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvgg_jax.core.errors import RunError
from kvgg_jax.export.output import check_free, delivered


def test_a_file_and_what_explains_it_are_put_in_place(tmp_path: Path) -> None:
    """In a folder that is made; nothing else is left there."""
    with delivered(tmp_path / "new" / "x") as new:
        new.write_text("file")
        new.with_name("x.json").write_text("beside")
        assert not (tmp_path / "new" / "x").exists()
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {
        "x": "file",
        "x.json": "beside",
    }


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    """Whole: no file of the old one stays."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    with delivered(tmp_path / "x") as new:
        (new / "below").mkdir(parents=True)
        (new / "below" / "file").touch()
    assert [path.name for path in (tmp_path / "x").rglob("*")] == ["below", "file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(tmp_path: Path, error: type[BaseException]) -> None:
    """Ctrl-C too."""
    (tmp_path / "x").write_text("old")

    def fail(new: Path) -> None:
        new.write_text("half")
        raise error

    with pytest.raises(error), delivered(tmp_path / "x") as new:
        fail(new)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x": "old"}


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """With the next move."""
    (tmp_path / "file").touch()
    with pytest.raises(RunError) as caught, delivered(tmp_path / "file" / "x"):
        pass
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'file' / 'x'}: File exists. Choose another --output."
    )


def test_what_is_there_is_refused_without_overwrite(tmp_path: Path) -> None:
    """A file, a link that leads nowhere, a folder; an empty folder is as good as none."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    check_free(tmp_path / "folder", overwrite=False)
    (tmp_path / "folder" / "photo.png").touch()
    for name in ("file", "link", "folder"):
        with pytest.raises(RunError) as caught:
            check_free(tmp_path / name, overwrite=False)
        assert str(caught.value) == (
            f"{tmp_path / name} already exists. Choose another --output, or replace it with "
            "--overwrite."
        )


def test_overwrite_replaces_what_is_of_the_kind_and_nothing_else(tmp_path: Path) -> None:
    """A folder of photos is no SavedModel, and no file."""
    (tmp_path / "file").touch()
    for name, file in (("photos", "1.png"), ("model", "mark")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    check_free(tmp_path / "file", overwrite=True)
    check_free(tmp_path / "model", overwrite=True, mark="mark")
    for name, mark in (("photos", "mark"), ("photos", None), ("model", None), ("file", "mark")):
        with pytest.raises(RunError) as caught:
            check_free(tmp_path / name, overwrite=True, mark=mark)
        assert str(caught.value) == (
            f"{tmp_path / name} is not what is to be written there, so --overwrite leaves it alone."
        )


def test_a_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    """`Path.exists` and its like raise for it."""
    long = tmp_path / ("n" * 300)
    check_free(long, overwrite=False)
    with pytest.raises(RunError, match="File name too long"), delivered(long):
        pass
