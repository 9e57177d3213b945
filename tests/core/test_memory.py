"""Running out of memory: the message says what to try, and the run stays intact."""

from __future__ import annotations

import shutil
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from kvgg_jax import predict
from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import OutOfMemory
from kvgg_jax.core.memory import training_memory_advice
from kvgg_jax.evaluation import evaluate as evaluation
from kvgg_jax.inference import classifier
from support.commands import kvgg, message
from support.runs import Trained

pytestmark = pytest.mark.usefixtures("thin_network", "blank")


def settings(batch: int) -> RunConfig:
    return RunConfig(data={"image_size": 96}, train={"batch_size": batch})


def ask_for_a_petabyte() -> None:
    """In earnest, of XLA."""
    jnp.zeros((1 << 10, 1 << 40), jnp.uint8).block_until_ready()


@pytest.mark.parametrize("library", [jnp, np], ids=["XLA", "NumPy"])
def test_an_allocation_that_fails_says_which_batch_size_to_try(library):
    """A petabyte, asked for in earnest."""
    with pytest.raises(OutOfMemory) as caught, training_memory_advice(settings(32)):
        library.zeros((1 << 10, 1 << 40), library.uint8).block_until_ready()
    assert str(caught.value) == (
        "Out of memory with batches of 32 images of 96 px. Start a new run with "
        "`train.accumulate = 2` (the same steps), `train.batch_size = 16` "
        "or a smaller `data.image_size`. What this run saved is safe."
    )


def test_a_batch_of_one_can_only_have_smaller_images():
    """There is no --batch-size 0."""
    with pytest.raises(OutOfMemory) as caught, training_memory_advice(settings(1)):
        raise MemoryError
    assert str(caught.value) == (
        "Out of memory with batches of 1 images of 96 px. Start a new run with a smaller "
        "`data.image_size`. What this run saved is safe."
    )


def test_other_errors_pass_as_they_are():
    """They are not about memory."""
    with pytest.raises(RuntimeError, match=r"^INTERNAL: no$"), training_memory_advice(settings(1)):
        raise RuntimeError("INTERNAL: no")


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """There is memory for 4 images at once; gives the sizes of the batches asked for."""
    compile_step, asked = classifier.compile_step, list[int]()

    def compile_or_fail(what: str, function: Any, *example: Any, **options: Any) -> Any:
        batch = example[-1]
        asked.append(len(getattr(batch, "images", batch)))
        if asked[-1] > 4:
            return lambda *_: ask_for_a_petabyte()
        return compile_step(what, function, *example, **options)

    for module in (classifier, evaluation):
        monkeypatch.setattr(module, "compile_step", compile_or_fail)
    return asked


ADVICE_WHEN_EVALUATING = (
    "Error: Out of memory with batches of {} images of 32 px. Try --batch-size {}, or a machine "
    "with more memory."
)


@pytest.mark.parametrize(("command", "first"), [("evaluate", 8), ("predict", 32)])
def test_evaluating_names_the_batch_size_to_try_and_it_helps(
    command, first, short_of_memory, trained: Trained, tmp_path
):
    """Half of the one that was too large, until it is small enough."""
    run = shutil.copytree(trained.run, tmp_path / "x")
    arguments = [command, "--run", run, *([trained.photos] if command == "predict" else [])]
    result, tried = kvgg(*arguments), [first]
    while result.exit_code:
        half = tried[-1] // 2
        assert message(result).splitlines()[-1] == ADVICE_WHEN_EVALUATING.format(tried[-1], half)
        tried.append(half)
        result = kvgg(*arguments, "--batch-size", str(half))
    assert (tried[-1], short_of_memory) == (4, tried)


def test_calibrating_takes_a_batch_size_too(short_of_memory, trained: Trained):
    """It evaluates too."""
    result = kvgg("calibrate", "--run", trained.run, "--batch-size", "6")
    assert message(result).splitlines()[-1] == ADVICE_WHEN_EVALUATING.format(6, 3)
    assert short_of_memory == [6]


def test_the_batch_size_changes_no_answer(trained: Trained):
    """The prediction of an image does not depend on the others in its batch."""
    few, many = (predict(trained.photos, trained.run, batch_size=size) for size in (5, 32))
    assert [one.label for one in few] == [one.label for one in many]
    np.testing.assert_allclose(
        [one.probability for one in few], [one.probability for one in many], atol=1e-5
    )
