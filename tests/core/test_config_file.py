"""A configuration from defaults, a TOML file and flags; what is wrong with them."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.config_file import load_recipe, parse_set, resolve, with_values
from kvgg_jax.core.errors import ConfigError, UsageError
from kvgg_jax.core.text import escape_name
from support.runs import LEGAL


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    """Each key is taken from the first of the three that has it."""
    file = tmp_path / "c.toml"
    file.write_text('seed = 7\n[optim]\nlr = 0.01\ndecay_steps = 50\n[model]\nhead = "gap"\n')
    flags = {"optim.lr": ("--lr 0.5", 0.5), "train.epochs": ("--epochs 3", 3)}
    assert resolve(file, flags) == RunConfig(
        seed=7,
        model={"head": "gap"},
        optim={"lr": 0.5, "decay_steps": 50},
        train={"epochs": 3},
    )
    assert resolve() == RunConfig()


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[optim]\ndecay_step = 1", "optim.decay_step", "Did you mean 'optim.decay_steps'?"),
        ("epochs = 3", "epochs", "Did you mean 'train.epochs'?"),
        ("[train]\nlr = 0.1", "train.lr", "Did you mean 'optim.lr'?"),
        ("zzz = 1", "zzz", f"Legal keys: {LEGAL}."),
    ],
)
def test_an_unknown_key_in_a_file_names_the_nearest_legal_one(tmp_path, text, key, hint):
    """A typing error must not be a silent default."""
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(file)
    assert str(caught.value) == f"{file}: unknown key {key!r}. {hint}"


def test_an_unknown_key_in_a_flag_is_a_usage_error():
    """It is the command line's fault, so it ends with exit code 2."""
    with pytest.raises(UsageError) as caught:
        resolve(None, dict([parse_set("optim.decay_step=3")]))
    assert str(caught.value) == (
        "--set optim.decay_step=3: unknown key 'optim.decay_step'. "
        "Did you mean 'optim.decay_steps'?"
    )
    assert caught.value.exit_code == 2


def test_replaced_values_leave_it_known_what_else_was_set():
    """Defaults are not taken for settings that somebody gave."""
    config = RunConfig(train={"time": "1m"})
    found = with_values(config, {"train.patience": 3, "optim.lr": 0.1}, where="test")
    assert found == RunConfig(train={"time": "1m", "patience": 3}, optim={"lr": 0.1})
    assert found.train.model_fields_set == {"time", "patience"}


def test_none_takes_back_what_a_recipe_sets(tmp_path):
    """Where that is the default; elsewhere, and in quotes, it is the word."""
    file = tmp_path / "c.toml"
    file.write_text('[optim]\nunfreeze_every = 1\n[data]\naugment = "light"\n')
    words = ["optim.unfreeze_every=none", "data.augment= none", 'data.dir="none"']
    config = resolve(file, dict(map(parse_set, words)))
    assert config == RunConfig(data={"dir": "none"})


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [
        ("optim.optimizer=adm", "adam"),
        ("optim.optimizer=AdamW", "adamw"),
        ("optim.optimizer=rmspropp", "rmsprop"),
        ("optim.schedule=onecycle", "one-cycle"),
        ("optim.loss=crossentropy", "cross-entropy"),
        ("data.augment=randaug", "randaugment"),
        ("model.head=slin", "slim"),
        ('train.track=["tensorbord"]', "tensorboard"),
        ("model.freeze=backbon", "backbone"),
    ],
)
def test_a_wrong_choice_names_the_nearest_one(flag, nearest):
    """After those that there are."""
    with pytest.raises(UsageError) as caught:
        resolve(None, dict([parse_set(flag)]))
    assert str(caught.value).endswith(f". Did you mean {nearest!r}?")


@pytest.mark.parametrize("flag", ["model.arch=vgg12", "optim.optimizer=newton", "optim.loss=l1"])
def test_no_choice_is_named_where_several_or_none_are_near(flag):
    """All that there are stand in the message."""
    with pytest.raises(UsageError) as caught:
        resolve(None, dict([parse_set(flag)]))
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("train.epochs=0", "input should be greater than or equal to 1"),
        ("train.epochs=many", "input should be a valid integer"),
        ("train.epochs=2.5", "input should be a valid integer"),
        ("optim.lr=0", "input should be greater than 0"),
        ("optim.lr=nan", "input should be a finite number"),
        ("optim.lr.x=1", "input should be a valid number"),
        ("optim={lr=-1}", "input should be greater than 0"),
        ("data.val_split=1", "input should be less than 1"),
        ("data.image_size=31", "too small: a network needs at least 32 pixels per side"),
        ("seed=-1", "input should be greater than or equal to 0"),
        (
            "model.arch=vgg17",
            "'vgg17' is not a network: use vgg11, vgg13, vgg16, vgg19, one of Keras Applications, "
            "such as efficientnetv2-b0, hub:PRESET, or register one of your own "
            "(docs/backbones.md)",
        ),
        ("model.batch_norm=1", "input should be a valid boolean"),
        ("data.dir=", "is empty; name the folder of the photos"),
        (
            "model.head=0",
            "'0' is not a head: use full, slim, gap, linear, or layer sizes such as 256,128",
        ),
        ("model.head=true", "input should be a valid string"),
        ("model=3", "input should be a valid dictionary or instance of ModelConfig"),
        (
            "model.head=huge",
            "'huge' is not a head: use full, slim, gap, linear, or layer sizes such as 256,128",
        ),
        ("model.freeze=5", "input should be 'none', '1', '2', '3', '4' or 'backbone'"),
        (
            "model.freeze=backbone",
            "freeze backbone keeps random weights: set `model.weights` too",
        ),
        (f"model.head={'9' * 5000}", "a head has at most 8 layers of at most 65536 units"),
        ("model.head='65537'", "a head has at most 8 layers of at most 65536 units"),
        ("model.head='1,1,1,1,1,1,1,1,1'", "a head has at most 8 layers of at most 65536 units"),
        (
            "model.head='8,0'",
            "'8,0' is not a head: use full, slim, gap, linear, or layer sizes such as 256,128",
        ),
    ],
)
def test_a_value_that_cannot_be_right_names_its_flag_and_the_reason(flag, reason):
    """The message repeats what was typed, so that it can be found and changed."""
    with pytest.raises(UsageError) as caught:
        resolve(None, dict([parse_set(flag)]))
    assert str(caught.value) == f"--set {flag}: {reason}."


def test_one_layer_size_needs_no_quotes(tmp_path):
    """TOML reads it as a number."""
    file = tmp_path / "c.toml"
    file.write_text("[model]\nhead = 1024\n")
    assert resolve(file) == resolve(None, dict([parse_set("model.head=1024")]))
    assert resolve(file).model.head == "1024"


def test_a_wrong_value_in_a_file_names_the_file_the_key_and_the_value(tmp_path):
    """The fault lies in the file even when good flags are given with it."""
    file = tmp_path / "c.toml"
    file.write_text("[optim]\nlr = -1.0\n")
    with pytest.raises(ConfigError) as caught:
        resolve(file, {"train.epochs": ("--epochs 3", 3)})
    assert str(caught.value) == f"{file}: optim.lr = -1.0: input should be greater than 0."


def test_a_file_that_is_missing_or_is_not_toml_is_a_config_error(tmp_path):
    """Both name the file."""
    missing, broken = tmp_path / "missing.toml", tmp_path / "broken.toml"
    broken.write_text("seed = ")
    with pytest.raises(ConfigError) as caught:
        resolve(missing)
    assert str(caught.value) == f"Cannot read the config file {missing}: No such file or directory."
    with pytest.raises(ConfigError) as caught:
        resolve(broken)
    assert str(caught.value) == f"{broken} is not valid TOML: Invalid value (at end of document)."


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optim.decay_steps=50", "optim.decay_steps", 50),
        ("optim.lr=1e-3", "optim.lr", 1e-3),
        ("optim.staircase=false", "optim.staircase", False),
        ("model.head=slim", "model.head", "slim"),
        ('model.head="slim"', "model.head", "slim"),
        (" model.head = 256,128 ", "model.head", "256,128"),
        ("data.dir='''a\nb'''", "data.dir", "a\nb"),
        ("data.dir=a=b", "data.dir", "a=b"),
        ("data.dir=", "data.dir", ""),
    ],
)
def test_set_reads_a_toml_value_or_else_a_bare_word(text, key, value):
    """Quotes are optional in the shell; everything after the first = is the value."""
    assert parse_set(text) == (key, (f"--set {escape_name(text)}", value))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("seed=1\nseed=2", r"seed=1\nseed=2"), ("seed=1\n[optim]", r"seed=1\n[optim]")],
)
def test_set_takes_one_key(text, shown):
    """A second line would otherwise be dropped."""
    with pytest.raises(UsageError) as caught:
        parse_set(text)
    assert str(caught.value) == f"--set {shown}: one key is set each time; repeat --set for others."


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    """As editors on Windows write it."""
    file = tmp_path / "c.toml"
    file.write_text("seed = 7\n", encoding="utf-8-sig")
    assert resolve(file).seed == 7


@pytest.mark.parametrize("text", ["optim.lr", "=3", ""])
def test_set_without_a_key_and_a_value_is_a_usage_error(text):
    """The message shows how it is meant to look."""
    with pytest.raises(UsageError) as caught:
        parse_set(text)
    assert str(caught.value) == (
        f"--set {text}: expected KEY=VALUE, such as --set optim.decay_steps=50."
    )


def test_keys_that_do_not_go_together_are_named_with_the_file_or_the_flags(tmp_path):
    """Only the flags that have to do with it."""
    why = (
        "data.balance and train.class_weight = balanced both make up for uneven classes: use one "
        "of them."
    )
    file = tmp_path / "own.toml"
    file.write_text('[data]\nbalance = true\n[train]\nclass_weight = "balanced"\n')
    with pytest.raises(ConfigError) as caught:
        resolve(file, {"train.epochs": ("--epochs 3", 3)})
    assert str(caught.value) == f"{file}: {why}"
    file.write_text("[data]\nbalance = true\n")
    flags = {
        "train.epochs": ("--epochs 3", 3),
        "train.class_weight": ("--class-weight balanced", "balanced"),
    }
    with pytest.raises(UsageError) as caught:
        resolve(file, flags)
    assert str(caught.value) == f"--class-weight balanced: {why}"


def test_flags_that_do_not_go_together_are_named_and_no_others(tmp_path):
    """The first one given may have nothing to do with it; what a file holds is the file's."""
    flags = {"model.head": ("--head gap", "gap"), "model.freeze": ("--freeze backbone", "backbone")}
    with pytest.raises(UsageError) as caught:
        resolve(None, flags)
    assert str(caught.value) == (
        "--freeze backbone: freeze backbone keeps random weights: set `model.weights` too."
    )
    file = tmp_path / "own.toml"
    file.write_text("[model]\nfreeze = 'backbone'\n")
    with pytest.raises(ConfigError) as caught:
        resolve(file, {"model.head": ("--head gap", "gap")})
    assert str(caught.value).startswith(f"{file}: model: freeze backbone keeps random weights")


@pytest.mark.parametrize(
    "text",
    ["a" + ".a" * 30_000 + " = 1", "x = {" + '"a". ' * 9000 + "a = 1}", "[" + "a." * 20_000 + "a]"],
)
def test_a_key_of_endless_parts_is_refused_before_it_is_read(tmp_path, monkeypatch, text):
    """tomllib would take half a minute over it: it is not asked."""
    asked: list[str] = []
    monkeypatch.setattr(tomllib, "loads", asked.append)
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(file)
    assert str(caught.value) == f"{file} is not valid TOML here: a key has more than 32 parts."
    assert asked == []


@pytest.mark.faults  # a regular expression does not tell its steps: only time shows them
@pytest.mark.parametrize("text", ["a" * 60_000, "a " * 30_000, '"' * 60_000, "a. " * 20_000 + "="])
def test_looking_for_such_keys_takes_no_time_itself(tmp_path, text):
    """Whatever the text."""
    file = tmp_path / "own.toml"
    file.write_text(text)
    started = time.thread_time()
    with pytest.raises(ConfigError):
        resolve(file)
    assert time.thread_time() - started < 5  # a slip there takes minutes


def test_a_recipe_is_loaded_by_name_and_a_file_by_its_path(tmp_path: Path) -> None:
    """As `--recipe` and `--config` take them."""
    assert load_recipe("fast").model.width == 0.5
    file = tmp_path / "mine.toml"
    file.write_text("seed = 7\n")
    assert load_recipe(file) == load_recipe(str(file)) == RunConfig(seed=7)
    changed = load_recipe("fast", {"data.dir": "photos", "train.epochs": 40})
    assert (changed.data.dir, changed.train.epochs, changed.model.width) == ("photos", 40, 0.5)
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        load_recipe("fast", {"train.epochs": -1})
    with pytest.raises(UsageError, match=r"No recipe is called fats\. Did you mean 'fast'\?"):
        load_recipe("fats")
