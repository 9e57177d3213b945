"""The options of a command that are settings come from the fields of `core/tables` alone."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from kvgg_jax.cli import main
from kvgg_jax.cli.flags import Given, as_flags
from kvgg_jax.cli.options import takes_settings
from kvgg_jax.core.config import SETTINGS
from kvgg_jax.core.errors import UsageError
from kvgg_jax.core.settings import PARTS, Part, Setting

FLAGS = {setting.key: setting for setting in SETTINGS.values() if setting.flag}


def options_of(*command: str) -> dict[str, Any]:
    """The parameters of a command of `kvgg` by their first flag."""
    found: Any = get_command(main.app)
    for name in command:
        found = found.commands[name]
    return {option.opts[0]: option for option in found.get_params(typer.Context(found))}


@pytest.mark.parametrize("setting", FLAGS.values(), ids=FLAGS)
def test_train_has_the_flag_help_and_default_of_every_setting(setting: Setting) -> None:
    """The help is the first sentence of the description."""
    option = options_of("train")[str(setting.flag)]
    default = None if setting.default == () else setting.default
    assert (option.default, option.help) == (default, as_flags(setting.help))
    assert setting.description.startswith(setting.help.removesuffix("."))
    negated = [f"--no-{str(setting.flag)[2:]}"] if setting.type is bool else []
    assert option.secondary_opts == negated


def taken(*command: str) -> set[str]:
    """The keys of the settings that a command takes."""
    options = options_of(*command)
    return {key for key, setting in FLAGS.items() if setting.flag in options}


def affecting(*parts: Part) -> set[str]:
    """The keys of the settings with a flag that affect one of the parts."""
    return {key for key, setting in FLAGS.items() if setting.affects & {*parts}}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train", affecting(*PARTS)),
        ("tune", affecting(*PARTS)),
        ("crossval", affecting(*PARTS) - {"data.val_split"}),
        ("lr-find", affecting(*(PARTS - {"epochs", "saving"})) - {"optim.lr"}),
        ("summary", affecting("network")),
        ("bench", affecting("network", "step")),
        (
            "audit",
            {
                *("data.root", "data.image_size", "data.resize", "data.skip_bad", "data.cache"),
                *("model.arch", "model.width", "model.batch_norm", "model.weights"),
                *("train.batch_size", "seed"),
            },
        ),
        ("data check", affecting("photos") - {"data.dir", "data.skip_bad"}),
        ("data pack", {"data.val", "data.test", "data.root", "data.resize", "data.skip_bad"}),
        ("data preview", affecting("images")),
    ],
)
def test_a_command_takes_the_settings_that_affect_what_it_does(
    command: str, expected: set[str]
) -> None:
    """And `--config` and `--set`, whatever they are."""
    assert taken(*command.split()) == expected
    assert {"--config", "--set"} < options_of(*command.split()).keys()


def test_bench_takes_the_settings_of_augmentation() -> None:
    """A step costs what it costs with them."""
    assert {"data.augment", "data.augment_color", "data.crop", "data.erase"} < taken("bench")


@pytest.fixture
def given() -> list[Given]:
    """What the commands of `app` got."""
    return []


@pytest.fixture
def app(given: list[Given]) -> typer.Typer:
    """A program of one command, whose batches are of 4 by default."""
    app = typer.Typer()

    @app.command(cls=takes_settings(without={"optim.lr"}, defaults={"train.batch_size": 4}))
    def try_it(
        ctx: typer.Context, rounds: Annotated[int, typer.Option(help="How many.")] = 3
    ) -> None:
        given.append(ctx.obj)

    return app


def test_what_was_typed_reaches_the_command_and_nothing_else(
    app: typer.Typer, given: list[Given]
) -> None:
    """A value that equals the default counts as typed, so that it wins over a config file."""
    words = ["--rounds", "4", "--head", "gap", "--no-batch-norm", "--data", "a/", "--epochs", "20"]
    assert CliRunner().invoke(app, [*words, "--set", "seed=1", "--set", "seed=2"]).exit_code == 0
    (found,) = given
    assert found.flags == {
        "seed": ("--set seed=2", 2),
        "data.dir": ("--data a", "a"),
        "model.head": ("--head gap", "gap"),
        "model.batch_norm": ("--no-batch-norm", False),
        "train.epochs": ("--epochs 20", 20),
    }
    assert CliRunner().invoke(app, ["--lr", "1"]).exit_code == 2


@pytest.mark.parametrize("text", ["model.head=slim", "model={head='slim'}"])
def test_a_flag_and_a_set_of_one_key_are_refused(
    app: typer.Typer, given: list[Given], text: str
) -> None:
    """One of the two would be ignored in silence."""
    assert CliRunner().invoke(app, ["--head", "gap", "--set", text]).exit_code == 0
    with pytest.raises(UsageError) as caught:
        given[0].resolve()
    assert str(caught.value) == f"--set {text} and --head gap set the same key; give one of them."


def test_an_empty_data_folder_is_refused(app: typer.Typer, given: list[Given]) -> None:
    """`--data "$PHOTOS"` of an unset variable must not train on the current folder."""
    assert CliRunner().invoke(app, ["--data", ""]).exit_code == 0
    with pytest.raises(UsageError) as caught:
        given[0].resolve()
    assert str(caught.value) == "--data : is empty; name the folder of the photos."


def test_a_default_of_the_command_gives_way_to_a_config_file_and_to_a_flag(
    app: typer.Typer, given: list[Given], tmp_path: Any
) -> None:
    """`bench` times 8 photos a step by default."""
    (tmp_path / "own.toml").write_text("seed = 1\n")
    file = ["--config", str(tmp_path / "own.toml")]
    for words in ([], file, ["--batch-size", "5"], [*file, "--batch-size", "5"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert [one.resolve().train.batch_size for one in given] == [4, 32, 5, 5]
    assert "[default: 4]" in CliRunner().invoke(app, ["--help"]).stdout
