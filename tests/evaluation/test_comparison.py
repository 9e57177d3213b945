"""Runs side by side, and whether they differ on the same photos."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvgg_jax import compare_runs, evaluate
from kvgg_jax.cli.text.runs import pair_text
from kvgg_jax.core.errors import RunError, UsageError
from kvgg_jax.core.events import Event, Note
from kvgg_jax.evaluation.comparison import FEWEST, LEVEL, Pair, holm, mcnemar
from kvgg_jax.evaluation.files import COLUMNS
from kvgg_jax.runs import step_folders
from kvgg_jax.runs.folder import Run
from support.commands import kvgg
from support.evaluations import six_photos
from support.runs import draw_photos, small_config

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """The same run three times, called a, b and c."""
    for name in "abc":
        shutil.copytree(finished, tmp_path / name)
    return tmp_path


def answer(run: Path, right: Sequence[int], *, photos: Sequence[str] | None = None) -> None:
    """What `evaluate` would keep of a run that is right on these photos, where `right` is 1."""
    names = photos or [f"red/{k}.png" for k in range(len(right))]
    rows = [
        f"{name},red,{'red' if hit else 'blue'},0.9,0.9"
        for name, hit in zip(names, right, strict=True)
    ]
    (run / "predictions-val.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    best = run / "checkpoints" / "best"
    state = step_folders.name(best / str(next(iter(step_folders.steps(best)))))
    record = six_photos(run / "six").to_json()
    record |= {"state": state, "data": str(Run(run).config().data.dir)}
    (run / "evaluation-val.json").write_text(json.dumps(record))


def test_photos_that_one_alone_is_right_on_decide(out: Path) -> None:
    """Of 20 photos, a alone on 8, b alone on 1: p is 2 (1 + 9) / 2 ** 9."""
    answer(out / "a", [1] * 8 + [0] + [1] * 11)
    answer(out / "b", [0] * 8 + [1] + [1] * 11)
    events: list[Event] = []
    result = compare_runs(["a", "b"], out=out, emit=events.append)
    assert result.pairs == (Pair("a", "b", 20, 8, 1, p=20 / 512),)
    assert events == []  # nothing had to be evaluated
    assert pair_text(result.pairs[0]) == (
        "a is better than b: of 20 images, a alone is right on 8 and b alone on 1 "
        "(McNemar's test, p = 0.0391)."
    )


def test_of_several_pairs_each_p_is_adjusted(out: Path) -> None:
    """Holm: the least of three is tripled."""
    answer(out / "a", [1] * 9)
    answer(out / "b", [0] * 9)
    answer(out / "c", [1] * 8 + [0])
    pairs = compare_runs(["a", "b", "c"], out=out).pairs
    assert [(pair.first + pair.second, pair.p) for pair in pairs] == [
        ("ab", 3 * 2 / 2**9),
        ("ac", 1.0),
        ("bc", 2 * 2 / 2**8),
    ]


def test_only_photos_in_common_are_compared(out: Path) -> None:
    """Another seed gives another split."""
    answer(out / "a", [1, 1, 1], photos=["red/1.png", "red/2.png", "red/3.png"])
    answer(out / "b", [0, 1, 0], photos=["red/2.png", "red/3.png", "red/4.png"])
    (pair,) = compare_runs(["a", "b"], out=out).pairs
    assert pair == Pair("a", "b", 2, 1, 0, p=1.0)
    assert pair_text(pair) == (
        "No difference shown: of 2 images, a alone is right on 1 and b alone on 0 "
        "(McNemar's test, p = 1). So few cannot show one."
    )


def test_without_common_photos_there_is_no_test(out: Path) -> None:
    """The reason is given, and what to do; the rest is shown all the same."""
    answer(out / "a", [1], photos=["red/1.png"])
    answer(out / "b", [1], photos=["red/2.png"])
    (pair,) = compare_runs(["a", "b"], out=out).pairs
    assert pair.p is None
    assert pair_text(pair) == (
        "a and b are not tested: they have no validation photo in common. "
        "Evaluate both on photos that neither was trained on: --data DIR."
    )


def test_equal_names_in_other_folders_are_other_photos(out: Path, tmp_path: Path) -> None:
    """`red/1.png` here is not `red/1.png` there."""
    answer(out / "a", [1])
    config = small_config(tmp_path / "elsewhere", train={"epochs": 1})
    (out / "b" / "config.toml").write_text(config.to_toml())
    answer(out / "b", [1])
    (pair,) = compare_runs(["a", "b"], out=out).pairs
    here = Run(out / "a").config().data.dir
    assert pair.reason == (
        f"a has its photos in {here}, b in {tmp_path}/elsewhere. "
        "Evaluate both on one folder: --data DIR."
    )


def test_what_was_not_kept_is_evaluated_once(out: Path) -> None:
    """And kept for the next time."""
    events: list[Event] = []
    first = compare_runs(["a", "b"], out=out, emit=events.append)
    assert [event.text for event in events if isinstance(event, Note)] == [
        f"Evaluating {out}/a",
        f"Evaluating {out}/b",
    ]
    count = evaluate(out / "a").count
    assert first.pairs == (Pair("a", "b", count, 0, 0, p=1.0),)
    events.clear()
    assert compare_runs(["a", "b"], out=out, emit=events.append) == first
    assert events == []


def test_runs_can_be_evaluated_on_other_photos(out: Path, tmp_path: Path) -> None:
    """All of a folder that neither was trained on; nothing of it is kept."""
    photos = draw_photos(tmp_path / "photos", per_class=3)
    (pair,) = compare_runs(["a", "b"], data=photos, out=out).pairs
    assert pair == Pair("a", "b", 9, 0, 0, p=1.0)
    assert list(out.glob("*/predictions-*")) == []


def test_a_run_whose_photos_are_gone_is_shown_untested(out: Path, tmp_path: Path) -> None:
    """With the reason that `evaluate` gives."""
    config = small_config(tmp_path / "gone", train={"epochs": 1})
    (out / "b" / "config.toml").write_text(config.to_toml())
    answer(out / "a", [1])
    (pair,) = compare_runs(["a", "b"], out=out).pairs
    assert pair.p is None
    assert pair.reason == (
        f"b cannot be evaluated: {tmp_path / 'gone'} is not there any more. Put the folder back, "
        "or name the one that holds its photos now: `data.dir`."
    )


def test_settings_that_differ_are_shown(out: Path) -> None:
    """Those alone, with the value of each run."""
    config = small_config(Path(str(Run(out / "a").config().data.dir)), train={"epochs": 1})
    changed = config.model_copy(update={"seed": 7})
    (out / "b" / "config.toml").write_text(changed.to_toml())
    for name in "ab":
        answer(out / name, [1])
    assert compare_runs(["a", "b"], out=out).differences == {"seed": (42, 7)}


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "b", "./a"]])
def test_it_takes_two_different_runs(
    out: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they are written."""
    monkeypatch.chdir(out)
    with pytest.raises(UsageError) as caught:
        compare_runs(names, out=out)
    assert str(caught.value) == "Give two runs or more to compare, each once."


def test_a_damaged_run_cannot_be_compared(out: Path) -> None:
    """Unlike in the list, it was asked for by name."""
    (out / "b" / "classes.json").write_text("{")
    with pytest.raises(RunError, match=r"classes\.json is damaged"):
        compare_runs(["a", "b"], out=out)


def test_the_command_sets_runs_side_by_side(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column a run, a sentence a pair, and where the curves are; or the same as JSON."""
    monkeypatch.chdir(out)
    for name in "abc":
        answer(out / name, [1] * 7)
    result = kvgg("runs", "a", "b", "c", "--out", ".")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines[3:11]]
    assert [row[0] for row in rows] == [
        *("status", "validation accuracy", "validation loss", "best epoch", "parameters"),
        *("training time", "images/s", "device"),
    ]
    assert all(len(row) == 4 and row[1] == row[2] == row[3] for row in rows)
    same = "(McNemar's test, p = 1). So few cannot show one."
    assert lines[12:] == [
        *(
            f"No difference shown: of 7 images, {i} alone is right on 0 and {j} alone on 0 {same}"
            for i, j in ("ab", "ac", "bc")
        ),
        "p is adjusted for the number of pairs (Holm).",
        "Curves: comparison.png",
    ]
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    printed = json.loads(kvgg("runs", "a", "b", "--out", ".", "--json").stdout)
    assert list(printed) == ["runs", "differences", "pairs", "picture"]
    assert [one["run"] for one in printed["runs"]] == ["a", "b"]
    assert printed["pairs"] == [
        {
            **{"first": "a", "second": "b", "count": 7, "only_first": 0, "only_second": 0},
            **{"p": 1.0, "reason": None},
        }
    ]
    assert (printed["differences"], printed["picture"]) == ({}, "comparison.png")


def exact(first: int, second: int) -> float:
    """Twice the chance of the fewer heads or less, of a fair coin; 1 at most."""
    count, fewer = first + second, min(first, second)
    ways = sum(comb(count, k) for k in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * ways, 2**count)))


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    """Two-sided, of a fair coin; the order of the two does not matter."""
    assert mcnemar(first, second) == pytest.approx(exact(first, second), rel=1e-9)
    assert mcnemar(first, second) == pytest.approx(mcnemar(second, first), rel=1e-12)


def test_mcnemar_stays_exact_for_many_photos() -> None:
    """Where a float holds neither the ways nor 2 ** n."""
    assert mcnemar(560, 640) == pytest.approx(exact(560, 640), rel=1e-9)


def test_so_few_disagreements_show_nothing() -> None:
    """All on one side, five are not enough and six are."""
    assert mcnemar(FEWEST - 1, 0) == pytest.approx(2 / 32)
    assert mcnemar(FEWEST - 1, 0) > LEVEL > mcnemar(FEWEST, 0)


def test_holm_by_hand() -> None:
    """The least three times, the next twice, and none below one before it."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.5]) == [0.5]
    assert holm([]) == []
