"""A run that was cut and resumed is, to the bit, the run that was never cut."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError
from kvgg_jax.core.events import EpochEnded, Event, Note, Progress, Warned
from kvgg_jax.core.state import TrainState, Weights, discard
from kvgg_jax.core.tables.model import ModelConfig
from kvgg_jax.core.tables.optim import OptimConfig
from kvgg_jax.data.pipeline import Pipeline, hold
from kvgg_jax.data.reader import DecodedImages
from kvgg_jax.data.samples import Samples
from kvgg_jax.data.shards.pack import pack_data
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.evaluation.evaluate import evaluate
from kvgg_jax.inference.classifier import load_classifier
from kvgg_jax.models.build import vgg
from kvgg_jax.runs.checkpoint import Checkpoints
from kvgg_jax.runs.folder import Run
from kvgg_jax.training import trainer
from kvgg_jax.training.augment.levels import make_augment
from kvgg_jax.training.ema import with_ema_weights
from kvgg_jax.training.optimizers import build_optimizer
from kvgg_jax.training.step import init_state
from kvgg_jax.training.trainer import TrainResult, resume, train
from support.faults import states, timeless
from support.runs import Trained, eventful, one_program_per_step

STEPS = 4  # an epoch: 29 pictures in batches of 8, the last one padded


pytestmark = pytest.mark.usefixtures("thin_network", "blank", "compiled_once")


class Lab(NamedTuple):
    """Photos, and two runs on them that were never cut: of 4 epochs and of 2."""

    photos: Path
    whole: Run
    two: Run
    end: tuple[TrainState, Weights]
    """The last state and the best weights of the first."""

    def config(self, **tables: dict[str, Any]) -> RunConfig:
        return eventful(self.photos, **tables)


@pytest.fixture(scope="module")
def compiled_once() -> Iterator[None]:
    """`test_faults.py` compiles anew, in another process."""
    with one_program_per_step():
        yield


@pytest.fixture(scope="module")
def lab(whole: Trained, tmp_path_factory: pytest.TempPathFactory, compiled_once: None) -> Lab:
    out = tmp_path_factory.mktemp("resume")
    two = train(eventful(whole.photos, train={"epochs": 2}), out=out, name="two")
    return Lab(whole.photos, Run(whole.run), Run(two.run), states(whole.run))


@pytest.fixture
def two(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the finished run of two epochs, to be changed."""
    return shutil.copytree(lab.two.path, tmp_path / "two")


def cut(config: RunConfig, out: Path, when: Callable[[Event], bool]) -> Path:
    """A run that Ctrl-C ended at the first event for which `when` holds."""

    def press(event: Event) -> None:
        if when(event):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, out=out, name="cut", emit=press)
    return out / "cut"


def at_the_end_of(epoch: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, EpochEnded) and event.row.epoch == epoch


def amid(stage: str, epoch: int) -> Callable[[Event], bool]:
    return lambda event: (
        isinstance(event, Progress) and (event.stage, event.epoch, event.done) == (stage, epoch, 1)
    )


def assert_same(left: object, right: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, left, right)


def assert_is_the_whole_run(result: TrainResult, lab: Lab) -> None:
    """Same rows, same last weights, dropout seeds and Adam slots, same best weights, same files."""
    assert timeless(result.history) == timeless(lab.whole.history())
    assert result.reason == "all 4 epochs are done"
    assert_same(states(result.run), lab.end)
    assert Run(result.run).history() == result.history
    assert Run(result.run).info()["status"] == "finished"
    assert Run(result.run).config() == lab.config()


@pytest.mark.parametrize(
    "when",
    [at_the_end_of(2), amid("training", 3), amid("validating", 3), amid("training", 1)],
    ids=["after epoch 2", "in epoch 3", "validating epoch 3", "in epoch 1"],
)
def test_a_run_that_was_cut_and_resumed_is_the_run_that_was_never_cut(lab, tmp_path, when):
    """With dropout, batch norm, augmentation and a padded batch: not one bit differs."""
    run = cut(lab.config(), tmp_path, when)
    assert Run(run).info()["status"] == "unfinished"
    assert_is_the_whole_run(resume(out=tmp_path), lab)


def test_a_run_on_shards_that_was_cut_is_the_run_on_the_folder(lab, tmp_path):
    """In the middle of an epoch, each photo being read from its shard every time."""
    packed = pack_data(lab.photos, tmp_path / "packed", shard_bytes=20_000).folder
    config = eventful(packed, data={"cache": "none"})
    found = resume(cut(config, tmp_path, amid("training", 3)))
    assert timeless(found.history) == timeless(lab.whole.history())
    assert_same(states(found.run), lab.end)
    for name in ("split.csv", "digests.csv", "classes.json"):
        assert (found.run / name).read_bytes() == (lab.whole.path / name).read_bytes()


def test_the_weights_do_change_between_the_cut_and_the_end(lab):
    """Else the tests above would compare a thing with itself."""
    (before, _), (after, _) = states(lab.two.path), lab.end
    assert (int(before.step), int(after.step)) == (2 * STEPS, 4 * STEPS)
    for old, new in zip(before[1:], after[1:], strict=True):
        assert old.keys() == new.keys()
        for name, values in old.items():
            if name != "adam/learning_rate":
                assert (np.asarray(values) != np.asarray(new[name])).any(), name
    assert timeless(lab.two.history()) == timeless(lab.whole.history().upto(2))


def test_a_finished_run_is_not_resumed(lab, two):
    """There is nothing to go on with; the message says how to ask for more."""
    with pytest.raises(RunError) as caught:
        resume(two)
    assert str(caught.value) == (
        f"{two} has finished its 2 epochs. To train it further, raise `train.epochs`."
    )


def test_a_finished_run_goes_on_when_it_is_given_more_epochs(lab, two):
    """Two epochs and two more are the four of the run that was never cut."""
    assert_is_the_whole_run(resume(two, epochs=4), lab)


def test_a_run_is_not_resumed_on_other_photos(lab, two, tmp_path):
    """One changed picture makes another data set, and the history would lie."""
    photos = shutil.copytree(lab.photos, tmp_path / "photos")
    text = (two / "config.toml").read_text().replace(str(lab.photos), str(photos))
    (two / "config.toml").write_text(text)
    picture = photos / "red" / "red_03.png"
    changed = np.array(Image.open(picture))
    changed[0, 0, 0] ^= 1
    Image.fromarray(changed).save(picture)
    before = sorted((path, path.stat().st_mtime_ns) for path in two.rglob("*"))
    with pytest.raises(RunError) as caught:
        resume(two, epochs=4)
    assert str(caught.value) == (
        f"The photos in {photos} have changed since {two} started: 1 changed (red/red_03.png). "
        "Restore them, or start a new run."
    )
    assert sorted((path, path.stat().st_mtime_ns) for path in two.rglob("*")) == before


def test_patience_counts_on_across_a_resume(lab, tmp_path):
    """No accuracy rises by more than 1: patience 2 ends the run after epoch 3, cut or not."""
    config = lab.config(train={"patience": 2, "min_delta": 1.0})
    run = cut(config, tmp_path, at_the_end_of(2))
    result = resume(run)
    assert timeless(result.history) == timeless(lab.whole.history().upto(3))
    assert result.reason == "validation accuracy has not risen by more than 1 for 2 epochs"


def test_a_history_newer_than_the_checkpoint_is_cut_to_it(lab, two):
    """The row is written first: a crash before the save leaves an epoch too many in the table."""
    row = replace(lab.whole.history().epochs[2], val_accuracy=1.0, val_loss=0.0)
    Run(two).write("history.csv", lab.two.history().append(row).to_csv())
    Run(two).update_info(status="unfinished")
    assert_is_the_whole_run(resume(two, epochs=4), lab)


@pytest.mark.parametrize("left", ["nothing", "an older one"])
def test_the_best_weights_are_made_up_for_when_the_cut_fell_between_the_saves(lab, tmp_path, left):
    """The last epoch was the best, its full state is on disk, and its best weights are not."""
    run = cut(lab.config(train={"epochs": 1}), tmp_path, at_the_end_of(1))
    best = run / "checkpoints" / "best"
    if left == "nothing":
        shutil.rmtree(best)
    else:
        (best / str(STEPS)).rename(best / str(STEPS - 1))
    result = resume(run)
    assert timeless(result.history) == timeless(lab.whole.history().upto(1))
    assert {path.name for path in best.iterdir()} - {str(STEPS - 1)} == {str(STEPS)}
    last, weights = states(run)
    escape_name = with_ema_weights(last)
    assert_same(weights, (escape_name.params, escape_name.model_state))


def test_best_holds_the_averages_that_validation_saw(lab):
    """So `evaluate` measures, to the bit, what the history says of the best epoch."""
    last, best = lab.end
    assert any((np.asarray(last.params[name]) != value).any() for name, value in best[0].items())
    found, row = evaluate(lab.whole.path), lab.whole.history().best
    assert (found.loss, found.accuracy) == (row.val_loss, row.val_accuracy)


def test_resume_takes_the_newest_run_that_is_not_finished(lab, tmp_path):
    """Without a name; and where there is none, it says so."""
    shutil.copytree(lab.two.path, tmp_path / "two")
    with pytest.raises(RunError) as caught:
        resume(out=tmp_path)
    assert str(caught.value) == (
        f"No unfinished run in {tmp_path}. Runs there: two. Use one of them; kvgg runs lists all."
    )


def damage(step: Path) -> Path:
    """Flip one bit in the largest file of a saved step."""
    file = max((path for path in step.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)
    return file.relative_to(step)


def test_a_run_whose_last_state_is_damaged_goes_on_from_the_one_before(lab, two):
    """The epoch in between is done again, and the end is that of the run never cut."""
    last = two / "checkpoints" / "last"
    name, heard = damage(last / "8"), list[Event]()
    assert_is_the_whole_run(resume(two, epochs=4, emit=heard.append), lab)
    warned, note = (e for e in heard if isinstance(e, Warned | Note) and "px:" not in e.text)
    assert warned.text == (
        f"The checkpoint {last / '8'} is damaged: {name} has changed since it was written. "
        f"Using {last / '4'} instead."
    )
    assert note.text == "Resuming in epoch 2, after step 0 of 4 (step 4 of the run)"


def test_a_run_none_of_whose_states_is_whole_is_not_begun_anew(two):
    """Damaged or gone: it says so and touches nothing."""
    last, before = two / "checkpoints" / "last", (two / "history.csv").read_text()
    old, new = damage(last / "4"), damage(last / "8")
    with pytest.raises(RunError) as caught:
        resume(two, epochs=4)
    assert str(caught.value) == (
        f"No checkpoint in {last} is intact:\n"
        f"  8: {new} has changed since it was written\n"
        f"  4: {old} has changed since it was written\n"
        "Restore a copy of one, or train again."
    )
    shutil.rmtree(last)
    with pytest.raises(RunError) as caught:
        resume(two, epochs=4)
    assert str(caught.value) == (
        f"{two / 'history.csv'} has 2 epochs, but {last} has no checkpoint. "
        "Restore a copy of it, or start a new run."
    )
    assert (two / "history.csv").read_text() == before


def test_best_weights_that_are_damaged_are_made_up_for_or_said_to_be_lost(lab, two):
    """The last state has them when its epoch was the best; else the older best ones stay."""
    best, heard = two / "checkpoints" / "best", list[Event]()
    for step in best.iterdir():
        damage(step)
    result = resume(two, epochs=4, emit=heard.append)
    assert timeless(result.history) == timeless(lab.whole.history())
    epoch = lab.two.history().best.epoch
    lost = [event.text for event in heard if isinstance(event, Warned)]
    expected = (
        f"The weights of epoch {epoch}, the best so far, are lost: {best} has no intact copy of "
        "them."
    )
    assert lost == ([] if epoch == 2 else [expected])


def test_a_run_that_patience_ended_is_not_compiled_again_only_to_end(lab, tmp_path):
    """It says why it is over, before any long work."""
    config = lab.config(train={"patience": 1, "min_delta": 1.0})
    result, heard = train(config, out=tmp_path, name="early"), list[Event]()
    assert len(result.history) == 2
    with pytest.raises(RunError) as caught:
        resume(result.run, epochs=9, emit=heard.append)
    assert str(caught.value) == (
        f"{result.run} has finished: validation accuracy has not risen by more than 1 for 1 "
        "epochs. To train longer, start a new run with a higher `train.patience`."
    )
    assert heard == []


def test_a_disk_that_fills_ends_the_run_with_what_was_saved_whole(lab, tmp_path):
    """No later than at the next save; with room again it goes on to the same end."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.row.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    try:
        with pytest.raises(RunError, match=r"^Cannot save to .*File too large"):
            train(lab.config(), out=tmp_path, name="cut", emit=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(Run(tmp_path / "cut").history()) == 2
    assert load_classifier(tmp_path / "cut").classes == ("blue", "green", "red")
    assert_is_the_whole_run(resume(tmp_path / "cut"), lab)


def test_a_photo_that_vanishes_during_training_changes_nothing(lab, tmp_path):
    """All were read before the first step; the resume then says which is gone."""
    photos = shutil.copytree(lab.photos, tmp_path / "photos")

    def remove(event: Event) -> None:
        if isinstance(event, EpochEnded):
            (photos / "red" / "red_03.png").unlink(missing_ok=True)

    config = lab.config(data={"dir": str(photos)}, train={"epochs": 2})
    result = train(config, out=tmp_path, name="run", emit=remove)
    assert timeless(result.history) == timeless(lab.two.history())
    with pytest.raises(RunError) as caught:
        resume(result.run, epochs=4)
    assert str(caught.value) == (
        f"The photos in {photos} have changed since {result.run} started: "
        "1 removed (red/red_03.png). Restore them, or start a new run."
    )


def test_two_runs_of_one_seed_are_one_to_the_bit_and_of_two_seeds_are_not(lab, trained, tmp_path):
    """With shuffling, augmentation, dropout and random first weights on; then on other seeds."""
    again = train(lab.config(train={"epochs": 2}), out=tmp_path, name="again")
    assert timeless(again.history) == timeless(lab.two.history())
    assert_same(states(again.run), states(lab.two.path))
    plain = Run(trained.run).config()
    other = train(plain.model_copy(update={"seed": 43}), out=tmp_path, name="other")
    assert timeless(other.history) != timeless(Run(trained.run).history())


def test_the_seed_covers_weights_order_augmentation_and_dropout():
    """Each is the same again for one seed, and another for another."""

    def drawn(seed: int) -> list[np.ndarray]:
        model = vgg(
            ModelConfig(arch="vgg11", head="8", dropout=0.5),
            classes=3,
            image_size=32,
            precision="float32",
            seed=seed,
        )
        state = init_state(model, build_optimizer(OptimConfig(), model))
        augment = make_augment("strong", seed=seed, image_size=32)
        assert augment is not None
        images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
        rows = np.arange(50)
        store = hold(
            DecodedImages(Samples(Folder(Path()), (), (), ()), np.zeros((0, 32, 32, 3), np.uint8))
        )
        return [
            np.asarray(state.params["block1_conv1/kernel"]),
            np.asarray(next(iter(state.model_state.values()))),
            np.asarray(augment(images, np.int32(3))),
            Pipeline(store, rows, batch_size=8, seed=seed).order(1),
        ]

    for first, same, other in zip(drawn(1), drawn(1), drawn(2), strict=True):
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()


def test_a_resume_does_not_keep_the_first_state_beside_the_saved_one(two, monkeypatch):
    """Weights and moments of a whole network, which its first step frees in a run never stopped."""
    freed: list[TrainState] = []

    def free(state: TrainState) -> None:
        freed.append(state)
        discard(state)

    monkeypatch.setattr(trainer, "discard", free)
    resume(two, epochs=3)
    assert len(freed) == 1
    arrays = [leaf for leaf in jax.tree.leaves(freed[0]) if isinstance(leaf, jax.Array)]
    assert arrays
    assert all(array.is_deleted() for array in arrays)


def test_best_weights_newer_than_a_state_are_dropped(two):
    """As the newest state was damaged; the others stay."""
    best = two / "checkpoints" / "best"
    (newest,) = sorted(best.iterdir(), key=lambda path: int(path.name))[-1:]
    before = {path.name for path in best.iterdir()}
    shutil.copytree(newest, best / "99")
    with Checkpoints(two / "checkpoints") as checkpoints:
        checkpoints.drop_best_after(98)
    assert {path.name for path in best.iterdir()} == before
