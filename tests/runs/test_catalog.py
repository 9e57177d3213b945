"""Run folders in `--out`: named, found and ordered."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax import load_classifier
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.runs.catalog import check_name, choose, create, find
from kvgg_jax.runs.folder import FIT, Run
from kvgg_jax.runs.lock import locked
from support.runs import Trained
from support.users import nobody

pytestmark = pytest.mark.usefixtures("thin_network")


def copy_run(source: Path, target: Path, **info: Any) -> Path:
    """A run folder of its own, with some fields of `run.json` changed."""
    shutil.copytree(source, target)
    Run(target).update_info(**info)
    return target


def test_a_run_that_is_not_there_is_looked_for_by_folder_and_by_name(
    trained: Trained, tmp_path: Path
) -> None:
    """The message says both places and what runs there are."""
    copy_run(trained.run, tmp_path / "first")
    with pytest.raises(RunError) as caught:
        load_classifier("nope", out=tmp_path)
    assert str(caught.value) == (
        f"No run at nope or {tmp_path}/nope. Runs there: first. "
        "Use one of them; kvgg runs lists all."
    )
    with pytest.raises(RunError) as caught:
        load_classifier("nope", out=tmp_path / "none")
    assert str(caught.value) == (
        f"No run at nope or {tmp_path}/none/nope. Train one first: kvgg train --data DIR."
    )
    with pytest.raises(RunError) as caught:
        load_classifier(out=tmp_path / "none")
    assert str(caught.value) == (
        f"No finished run in {tmp_path}/none. Train one first: kvgg train --data DIR."
    )


def test_the_newest_finished_run_is_the_default(trained: Trained, tmp_path: Path) -> None:
    """By the time it was created, not by name; a run still under way is passed over."""
    for name, day, status in (
        ("zebra", "2026-01-01", "finished"),
        ("ant", "2026-01-02", "finished"),
        ("bee", "2026-01-03", "unfinished"),
    ):
        copy_run(trained.run, tmp_path / name, created=f"{day}T00:00:00+00:00", status=status)
    assert load_classifier(out=tmp_path).run.path == tmp_path / "ant"
    assert load_classifier("zebra", out=tmp_path).run.path == tmp_path / "zebra"


def test_the_newest_run_is_the_one_made_last_whatever_the_clock_said(trained, tmp_path):
    """By number; runs without one by their moment, in whatever time zone it is written."""
    for name, number, created in (
        ("a", None, "2026-11-24T09:30:00+09:00"),  # 00:30 UTC
        ("b", None, "2026-11-24T01:00:00+00:00"),
        ("c", 2, "2025-01-01T00:00:00+00:00"),  # the clock was set back
        ("d", 1, "2026-12-01T00:00:00+00:00"),
    ):
        run = Run(shutil.copytree(trained.run, tmp_path / name))
        info = {**run.info(), "created": created, "number": number}
        run.write("run.json", json.dumps({k: v for k, v in info.items() if v is not None}))
    assert find(out=tmp_path).path.name == "c"
    for name in ("c", "d"):
        shutil.rmtree(tmp_path / name)
    assert find(out=tmp_path).path.name == "b"


@pytest.mark.parametrize("name", [".foo.new", ".foo.lock", ".hidden", "comparison.png"])
def test_a_name_that_the_program_uses_itself_is_refused(name: str) -> None:
    """A later run `foo` would delete the first, and a hidden one would never be listed."""
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert str(caught.value) == (
        f"--name {name}: kvgg uses this name for files of its own. Choose another, without a dot "
        "at its start."
    )


def test_a_name_or_folder_that_checkpoints_cannot_be_read_from_is_refused(tmp_path: Path) -> None:
    """Orbax takes a bracket in a path for a pattern, and finds nothing."""
    reason = "checkpoints in a folder whose path has a [ could not be read again."
    with pytest.raises(UsageError) as caught:
        check_name("a[1]")
    assert str(caught.value) == f"--name a[1]: {reason} Choose another name."
    out = tmp_path / "photos [2024]" / "runs"
    with pytest.raises(RunError) as refused:
        choose(RunConfig(), out=out)
    assert str(refused.value) == f"{out}: {reason} Choose another folder with --out."
    assert not out.parent.exists()


def test_a_blank_name_is_refused() -> None:
    """No list would show it."""
    with pytest.raises(UsageError, match="a run name is one folder name"):
        check_name(" ")


class Killed(BaseException):
    """The process ends here."""


def written(name: str) -> dict[str, str]:
    """The files of a run that is called so in its `run.json`."""
    return {"run.json": json.dumps({"name": name, "status": "finished"})}


def overwrite_until(moment: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a run, and be killed before the folder is moved or removed for the n-th time."""
    left = iter(range(moment))

    def killed(do: Any) -> Any:
        def do_or_die(folder: Path, *args: Any, **options: Any) -> Any:
            if folder.is_dir() and next(left, None) is None:
                raise Killed
            return do(folder, *args, **options)

        return do_or_die

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed(Path.replace))
        patch.setattr(shutil, "rmtree", killed(shutil.rmtree))
        with pytest.raises(Killed):
            create(path, RunConfig(), written("new"), overwrite=True)


@pytest.mark.parametrize(("moment", "there"), [(0, "old"), (1, "old"), (2, "new")])
@pytest.mark.parametrize("by_name", [True, False])
def test_an_overwrite_that_is_killed_leaves_the_old_run_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, there: str, by_name: bool
) -> None:
    """Before the old one is moved aside, before the new one is moved in, before the old one is
    removed: it is found at the next start, by its name or as the newest, and can be overwritten."""
    path = create(tmp_path / "x", RunConfig(), written("old")).path
    overwrite_until(moment, path, monkeypatch)
    assert find("x" if by_name else None, out=tmp_path).info()["name"] == there
    with pytest.raises(RunError, match="already exists"):
        choose(RunConfig(), out=tmp_path, name="x")
    create(path, RunConfig(), written("third"), overwrite=True)
    assert find("x", out=tmp_path).info()["name"] == "third"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_the_name_of_an_overwrite_that_was_killed_is_not_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old run gets it back before a new one could take it; not amid a living overwrite."""
    path = create(tmp_path / "x", RunConfig(), written("old")).path
    overwrite_until(1, path, monkeypatch)
    assert not path.exists()
    with locked(path), pytest.raises(RunError, match="is in use by process"):
        choose(RunConfig(), out=tmp_path, name="x")
    with pytest.raises(RunError, match="already exists"):
        choose(RunConfig(), out=tmp_path, name="x")
    assert Run(path).info()["name"] == "old"


def test_an_overwrite_that_fails_gives_the_old_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only at the next start."""
    path = create(tmp_path / "x", RunConfig(), written("old")).path

    def fail(folder: Path, target: Path) -> Path:
        if folder.name == ".x.new":
            raise OSError(28, "No space left on device")
        return Path(shutil.move(folder, target))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RunError, match="No space left on device"):
        create(path, RunConfig(), written("new"), overwrite=True)
    assert Run(path).info()["name"] == "old"


def test_a_cross_validation_is_named_as_such(tmp_path: Path) -> None:
    """It is no run, and its folds are."""
    (tmp_path / "folds" / "fold-1").mkdir(parents=True)
    (tmp_path / "folds" / "fold-1" / "config.toml").touch()
    with pytest.raises(RunError) as caught:
        find("folds", out=tmp_path)
    folder = tmp_path / "folds"
    assert str(caught.value) == (
        f"{folder} is a cross-validation, and only predict, evaluate and serve take all of its "
        f"folds. Name one of them: {folder}/fold-1"
    )


def test_a_folder_of_fit_is_named_as_such_and_is_no_run(tmp_path: Path) -> None:
    """It has no photos that a command could use, whatever its status is."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / FIT).write_text('{"status": "finished"}')
    with pytest.raises(RunError) as caught:
        find("own", out=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'own'} was written by kvgg_jax.fit, for a network and batches of your own. "
        "Commands need a run of kvgg train; call fit with this folder again to have its best "
        "weights."
    )
    with pytest.raises(RunError) as caught:
        find(out=tmp_path)
    assert str(caught.value) == (
        f"No finished run in {tmp_path}. Train one first: kvgg train --data DIR."
    )


def test_a_run_of_another_user_is_not_said_to_be_absent() -> None:
    """Its folder may not be entered."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "theirs"
        run.mkdir(mode=0o700)
        with nobody(Path(name)), pytest.raises(RunError) as caught:
            find("theirs", out=Path(name))
    assert str(caught.value) == f"Cannot open {run}: Permission denied."
