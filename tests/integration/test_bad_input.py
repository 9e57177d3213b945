"""What goes wrong at the user's side: one message on stderr, an exit code, nothing half written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kvgg_jax.core.config import RunConfig
from kvgg_jax.core.errors import RunError
from kvgg_jax.runs import catalog
from kvgg_jax.runs.folder import Run
from support.commands import TINY, kvgg, message
from support.runs import LEGAL, draw_photos

TEXT = "is text, not an image. Replace or remove it."


pytestmark = pytest.mark.usefixtures("thin_network", "blank")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def beans(here: Path) -> Path:
    """`beans`: three classes of four photos, below the current folder."""
    return draw_photos(here / "beans", per_class=4)


@pytest.fixture
def run(here: Path, finished: Path) -> Path:
    """`runs/x`: a finished run, below the current folder."""
    shutil.copytree(finished, here / "runs" / "x")
    return Path("runs/x")


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def clear(folder: str) -> None:
    for path in Path(folder).iterdir():
        path.unlink()


# The folder of photos

Spoil = Callable[[], object]
FOLDERS: dict[str, tuple[Spoil, str]] = {
    "missing folder": (
        lambda: shutil.rmtree("beans"),
        "beans does not exist. Expected beans/<class>/<image files>.",
    ),
    "file for folder": (
        lambda: [shutil.rmtree("beans"), Path("beans").touch()],
        "beans is a file, not a folder. Expected beans/<class>/<image files>.",
    ),
    "one class": (
        lambda: [shutil.rmtree("beans/blue"), shutil.rmtree("beans/green")],
        "beans has 1 class folder ('red'); a classifier needs 2. "
        "Expected beans/<class>/<image files>.",
    ),
    "empty class": (
        lambda: clear("beans/green"),
        "beans/green has no images. Add photos of class 'green', or remove the folder.",
    ),
    "no images": (
        lambda: [clear(f"beans/{name}") for name in ("blue", "green", "red")],
        "beans has no images in its class folders. Expected beans/<class>/<image files>.",
    ),
    "no class folders": (
        lambda: [shutil.rmtree(f"beans/{name}") for name in ("blue", "green", "red")],
        "beans has no class folders. Expected beans/<class>/<image files>.",
    ),
    "an unreadable image": (
        lambda: Path("beans/green/green_02.png").write_text("no picture"),
        f"1 of 12 images cannot be read:\n  beans/green/green_02.png: {TEXT}\n"
        "Remove or replace them, or leave them out: --skip-bad.",
    ),
    "several unreadable images": (
        lambda: [Path(f"beans/green/green_0{i}.png").write_text("no picture") for i in (3, 1)],
        f"2 of 12 images cannot be read:\n  beans/green/green_01.png: {TEXT}\n"
        f"  beans/green/green_03.png: {TEXT}\n"
        "Remove or replace them, or leave them out: --skip-bad.",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_train_explains_a_folder_that_will_not_do(beans: Path, case: str) -> None:
    """Exit code 1, the message alone on stderr, and no run begun."""
    spoil, expected = FOLDERS[case]
    spoil()
    expected = expected.replace("beans", str(beans))  # the run keeps an absolute path
    result = kvgg("train", "--data", "beans", *TINY)
    said = message(result).splitlines(keepends=True)
    note = [line for line in said if not line.startswith(f"12 photos of 3 classes in {beans}")]
    assert (result.exit_code, "".join(note)) == (1, f"Error: {expected}\n")
    assert result.stdout == ""
    assert everything(Path("runs")) == {}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ("--batch-size", "11"),
            "--batch-size 11 is larger than the training set (10 images in {beans}). "
            "Choose 10 or less.",
        ),
        (
            ("--val-split", "0.01"),
            "{beans}: 12 images with --val-split 0.01 leave 12 for training and 0 for validation; "
            "each needs at least 1. Add photos or change the share.",
        ),
    ],
    ids=["batch larger than the set", "share too small"],
)
def test_train_explains_numbers_that_do_not_suit_the_folder(
    beans: Path, flags: tuple[str, ...], expected: str
) -> None:
    """With the numbers of the folder, before a picture is read."""
    result = kvgg("train", "--data", "beans", *TINY, *flags)
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        f"Error: {expected.format(beans=beans)}",
    )
    assert everything(Path("runs")) == {}


def test_skip_bad_goes_on_and_lists_what_it_left(beans: Path) -> None:
    """On stderr and in run.json; the split holds the others."""
    bad = beans / "green" / "green_02.png"
    bad.write_text("no picture")
    result = kvgg("train", "--data", "beans", *TINY, "--epochs", "1", "--name", "x", "--skip-bad")
    assert result.exit_code == 0, result.output
    left = [line for line in result.stderr.splitlines() if line.startswith("Left out")]
    assert left == [f"Left out: {bad}: {TEXT}"]
    made = Run(Path("runs/x"))
    assert made.info()["data"]["left_out"] == [f"{bad}: {TEXT}"]
    kept = made.split().all.files()
    assert sorted(kept) == [path for path in sorted(beans.glob("*/*")) if path != bad]


def test_skip_bad_still_needs_pictures_for_both_parts(beans: Path) -> None:
    """What is left for validation cannot be nothing."""
    for path in beans.glob("*/*_0[123].png"):
        path.write_text("no picture")
    for path in sorted(beans.glob("*/*_00.png"))[1:]:
        path.write_text("no picture")
    result = kvgg("train", "--data", "beans", *TINY, "--skip-bad")
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        f"Error: {beans}: without its 11 unreadable images, 1 are left for training and 0 for "
        "validation; each needs at least 1. Replace them or add photos.",
    )
    assert everything(Path("runs")) == {}


def test_skip_bad_still_needs_pictures_of_every_class(beans: Path) -> None:
    """As an empty class is refused, so is one of which nothing can be read."""
    for path in (beans / "green").iterdir():
        path.write_text("no picture")
    result = kvgg("train", "--data", "beans", *TINY, "--skip-bad")
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        f"Error: {beans}/green has no readable images. "
        "Add photos of class 'green', or remove the folder.",
    )
    assert everything(Path("runs")) == {}


# Flags and configuration files

HEAD = "is not a head: use full, slim, gap, linear, or layer sizes such as 256,128."
FLAGS = {
    "--image-size 16": "--image-size 16: too small: a network needs at least 32 pixels per side.",
    "--image-size 31": "--image-size 31: too small: a network needs at least 32 pixels per side.",
    "--head big": f"--head big: 'big' {HEAD}",
    "--head 256,": f"--head 256,: '256,' {HEAD}",
    "--head 256,0": f"--head 256,0: '256,0' {HEAD}",
    "--head -5": f"--head -5: '-5' {HEAD}",
    "--epochs 0": "--epochs 0: input should be greater than or equal to 1.",
    "--time 2": "--time 2: '2' is not a time: write it as 2h, 90m, 45s or 1h30m.",
    "--time 1h0.5m": "--time 1h0.5m: '1h0.5m' is not a time: write it as 2h, 90m, 45s or 1h30m.",
    "--time 0s": "--time 0s: '0s' must be longer than 0.",
    "--time 1h --freeze backbone --weights imagenet": (
        "--time 1h: train.time 1h has no effect: a linear head on a frozen backbone is solved, in "
        "one epoch."
    ),
    "--batch-size 0": "--batch-size 0: input should be greater than or equal to 1.",
    "--lr -1": "--lr -1.0: input should be greater than 0.",
    "--lr nan": "--lr nan: input should be a finite number.",
    "--lr inf": "--lr inf: input should be a finite number.",
    "--dropout 1": "--dropout 1.0: input should be less than 1.",
    "--val-split 0": "--val-split 0.0: input should be greater than 0.",
    "--schedule step": (
        "--schedule step: input should be 'exponential', 'cosine', 'one-cycle' or 'constant'."
    ),
    "--warmup-steps -1": "--warmup-steps -1: input should be greater than or equal to 0.",
    "--label-smoothing 1": "--label-smoothing 1.0: input should be less than 1.",
    "--weight-decay -1": "--weight-decay -1.0: input should be greater than or equal to 0.",
    "--class-weight even": "--class-weight even: input should be 'none' or 'balanced'.",
    "--balance --class-weight balanced": (
        "--balance, --class-weight balanced: data.balance and train.class_weight = balanced both "
        "make up for uneven classes: use one of them."
    ),
    "--ema 1": "--ema 1.0: input should be less than 1.",
    "--seed -1": "--seed -1: input should be greater than or equal to 0.",
    "--arch vgg12": (
        "--arch vgg12: 'vgg12' is not a network: use vgg11, vgg13, vgg16, vgg19, one of Keras "
        "Applications, such as efficientnetv2-b0, hub:PRESET, or register one of your own "
        "(docs/backbones.md)."
    ),
    "--arch resnet50v3": (
        "--arch resnet50v3: 'resnet50v3' is not a network: use vgg11, vgg13, vgg16, vgg19, one of "
        "Keras Applications, such as efficientnetv2-b0, hub:PRESET, or register one of your own "
        "(docs/backbones.md). Did you mean 'resnet50v2'?"
    ),
    "--precision half": "--precision half: input should be 'float32' or 'bfloat16'.",
    "--split random": "--split random: input should be 'keras', 'stratified' or 'grouped'.",
    "--augment some": (
        "--augment some: input should be 'none', 'light', 'strong' or 'randaugment'."
    ),
    "--mix some": "--mix some: input should be 'none', 'mixup' or 'cutmix'.",
    "--crop 1": "--crop 1.0: input should be less than 1.",
    "--crop 0": "--crop 0.0: input should be greater than 0.",
    "--erase 25": "--erase 25.0: input should be less than or equal to 1.",
    "--mix-alpha 2": "--mix-alpha 2.0: input should be less than or equal to 1.",
    "--set optim.decaysteps=50": (
        "--set optim.decaysteps=50: unknown key 'optim.decaysteps'. "
        "Did you mean 'optim.decay_steps'?"
    ),
    "--set lr=1": "--set lr=1: unknown key 'lr'. Did you mean 'optim.lr'?",
    "--set qqq=1": f"--set qqq=1: unknown key 'qqq'. Legal keys: {LEGAL}.",
    "--set optim.lr": ("--set optim.lr: expected KEY=VALUE, such as --set optim.decay_steps=50."),
    "--set optim.lr=fast": "--set optim.lr=fast: input should be a valid number.",
    "--set optim.lr.x=3": "--set optim.lr.x=3: input should be a valid number.",
    "--set train.epochs=2.5": "--set train.epochs=2.5: input should be a valid integer.",
    "--epochs x": (
        "Invalid value for '--epochs': Input should be a valid integer, unable to parse string as "
        "an integer"
    ),
    "--lr fast": (
        "Invalid value for '--lr': Input should be a valid number, unable to parse string as a "
        "number"
    ),
    "--epoch 3": "No such option: --epoch (Possible options: --arch, --epochs, --process)",
    "extra": "Got unexpected extra argument(s) (extra)",
}


@pytest.mark.parametrize("flags", FLAGS)
def test_a_flag_that_cannot_be_right_is_refused(here: Path, flags: str) -> None:
    """Exit code 2; the flag as typed and the reason; the folder is not even looked at."""
    result = kvgg("train", "--data", "nowhere", *flags.split(" "))
    assert (result.exit_code, message(result)) == (2, f"Error: {FLAGS[flags]}\n")
    assert (result.stdout, list(here.iterdir())) == ("", [])


FILES = {
    "[optim]\nlearning_rate = 1": (
        "my.toml: unknown key 'optim.learning_rate'. Did you mean 'optim.decay_rate'?"
    ),
    "[train]\nepoch = 3": "my.toml: unknown key 'train.epoch'. Did you mean 'train.epochs'?",
    "[optimizer]\nlr = 1": ("my.toml: unknown key 'optimizer'. Did you mean 'optim.optimizer'?"),
    "[qqq]\nlr = 1": f"my.toml: unknown key 'qqq'. Legal keys: {LEGAL}.",
    "[train]\nepochs = 0": (
        "my.toml: train.epochs = 0: input should be greater than or equal to 1."
    ),
    '[train]\nepochs = "3"': "my.toml: train.epochs = '3': input should be a valid integer.",
    '[model]\nhead = "big"': f"my.toml: model.head = 'big': 'big' {HEAD}",
    "[train": (
        "my.toml is not valid TOML: Expected ']' at the end of a table declaration "
        "(at end of document)."
    ),
    "seed = 1\nseed = 2": (
        "my.toml is not valid TOML: Cannot overwrite a value (at end of document)."
    ),
}


@pytest.mark.parametrize("text", FILES)
def test_a_config_file_that_cannot_be_right_is_refused(here: Path, text: str) -> None:
    """Exit code 1; the file, the key, its value and the reason."""
    Path("my.toml").write_text(text)
    result = kvgg("train", "--data", "nowhere", "--config", "my.toml")
    assert (result.exit_code, message(result)) == (1, f"Error: {FILES[text]}\n")
    assert [path.name for path in here.iterdir()] == ["my.toml"]


def test_a_config_file_that_is_not_utf_8_is_refused(here: Path) -> None:
    """TOML is UTF-8 by its definition."""
    Path("my.toml").write_bytes(b"# caf\xe9\n")
    result = kvgg("train", "--config", "my.toml")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: my.toml is not valid TOML: 'utf-8' codec can't decode byte 0xe9 in position 5: "
        "invalid continuation byte.\n",
    )


@pytest.mark.parametrize(
    ("file", "reason"), [("my.toml", "No such file or directory"), (".", "Is a directory")]
)
def test_a_config_file_that_cannot_be_read_is_named(here: Path, file: str, reason: str) -> None:
    """The system's reason, in one line."""
    result = kvgg("train", "--config", file)
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: Cannot read the config file {file}: {reason}.\n",
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "evaluate --split dev",
            "Invalid value for '--split': Value error, 'dev' is not one of 'val', 'test', 'all'.",
        ),
        (
            "predict x.png --csv --json",
            "--csv, --json and --output cannot be combined; choose one.",
        ),
        (
            "predict x.png --top 0",
            "Invalid value for '--top': Input should be greater than or equal to 1",
        ),
        ("predict", "Missing argument 'images'."),
        (
            "explain x.png --method cam",
            "Invalid value for '--method': Value error, 'cam' is not one of 'grad-cam', "
            "'integrated-gradients'.",
        ),
        ("summary --head big", f"--head big: 'big' {HEAD}"),
        (
            "summary --image-size 16",
            "--image-size 16: too small: a network needs at least 32 pixels per side.",
        ),
        ("fly", "No such command 'fly'."),
    ],
)
def test_other_commands_refuse_what_cannot_be_right(here: Path, words: str, expected: str) -> None:
    """Exit code 2, as for every command line that makes no sense."""
    result = kvgg(*words.split())
    assert (result.exit_code, message(result)) == (2, f"Error: {expected}\n")
    assert (result.stdout, list(here.iterdir())) == ("", [])


# Where runs are


@pytest.mark.parametrize("command", [("evaluate",), ("predict", "x.png")], ids=" ".join)
def test_a_run_that_is_not_there_is_an_error(run: Path, command: tuple[str, ...]) -> None:
    """Where it was looked for, and what runs there are."""
    result = kvgg(*command, "--run", "nope")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: No run at nope or runs/nope. Runs there: x. "
        "Use one of them; kvgg runs lists all.\n",
    )
    shutil.rmtree("runs")
    result = kvgg(*command)
    assert (result.exit_code, message(result)) == (
        1,
        "Error: No finished run in runs. Train one first: kvgg train --data DIR.\n",
    )


def test_resume_wants_a_run_too(here: Path) -> None:
    """`--resume nope`."""
    result = kvgg("train", "--resume", "nope")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: No run at nope or runs/nope. Train one first: kvgg train --data DIR.\n",
    )


@pytest.mark.parametrize("command", [("evaluate",), ("predict", "x.png")], ids=" ".join)
def test_a_run_without_a_checkpoint_is_an_error(run: Path, command: tuple[str, ...]) -> None:
    """It says how to get one."""
    shutil.rmtree(run / "checkpoints")
    result = kvgg(*command, "--run", "x")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: runs/x has no checkpoint yet. Let it finish an epoch: kvgg train --resume runs/x\n",
    )


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "run.json",
            "{",
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("run.json", "[]", "expected an object"),
        ("run.json", '{"status": "finished", "data": 5}', "expected an object"),
        ("classes.json", "{}", "expected a list of names"),
        ("split.csv", "a,b\n", "expected the columns path,class,part"),
    ],
)
def test_a_damaged_file_of_a_run_is_named(run: Path, name: str, text: str, reason: str) -> None:
    """The one that has to be put back."""
    (run / name).write_text(text)
    result = kvgg("evaluate", "--run", "x")
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: {run / name} is damaged: {reason}.\n",
    )


def test_a_missing_file_of_a_run_is_named(run: Path) -> None:
    """A run folder copied by halves."""
    (run / "split.csv").unlink()
    result = kvgg("evaluate", "--run", "x")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: runs/x has no readable split.csv: No such file or directory.\n",
    )


def test_the_classes_of_a_run_must_be_those_of_the_folder(run: Path, beans: Path) -> None:
    """A class that the run never saw has no true answer."""
    (beans / "red").rename(beans / "yellow")
    result = kvgg("evaluate", "--run", "x", "--data", "beans")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: beans has classes that runs/x does not know: yellow. It knows: blue, green, red.\n",
    )
    assert not list(run.glob("confusion*"))


def test_photos_that_have_gone_are_named_at_evaluation(run: Path, beans: Path) -> None:
    """`split.csv` names the files; a folder without them is not judged by what is left."""
    text = (run / "split.csv").read_text()
    (gone,) = (line.split(",")[0] for line in text.splitlines()[-1:])
    (beans / gone).unlink()
    result = kvgg("evaluate", "--run", "x", "--data", "beans", "--split", "val")
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: 1 of 2 images cannot be read:\n  beans/{gone}: does not exist. Check the path.\n"
        "Remove or replace them, or leave them out: --skip-bad.\n",
    )


@pytest.mark.parametrize(
    ("out", "reason"), [("file", "File exists"), ("file/runs", "Not a directory")]
)
def test_an_output_that_cannot_be_written_is_found_before_the_long_work(
    beans: Path, out: str, reason: str
) -> None:
    """A file is in the way (permissions would not stop root, under whom tests may run)."""
    Path("file").write_text("precious")
    result = kvgg("train", "--data", "beans", *TINY, "--out", out)
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: Cannot write to {out}: {reason}. Choose another folder with --out.\n",
    )
    assert Path("file").read_text() == "precious"


@pytest.mark.parametrize("name", ["a/b", "/tmp/x", "..", ".", "a/"])
def test_a_name_that_is_no_name_of_a_folder_is_refused(beans: Path, name: str) -> None:
    """Nobody would find the run by it later; and `..` is no place for one."""
    result = kvgg("train", "--data", "beans", *TINY, "--name", name)
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        2,
        f"Error: --name {name}: a run name is one folder name. "
        "Choose its parent folder with --out.",
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("flag", "code", "said"),
    [
        ("--name", 2, f"Error: --name {'n' * 20}...: a run name has at most 200 bytes."),
        ("--weights", 1, f"Error: --weights {'n' * 300}: there is no such file, and no run "),
    ],
)
def test_a_name_longer_than_any_file_has_is_no_traceback(
    beans: Path, flag: str, code: int, said: str
) -> None:
    """The system refuses to look for it."""
    result = kvgg("train", "--data", "beans", *TINY, flag, "n" * 300)
    assert (result.exit_code, message(result).splitlines()[-1][: len(said)]) == (code, said)


def test_overwrite_looks_once_more_before_it_replaces(beans: Path) -> None:
    """Photos are read in between; and what a link leads to is not replaced by way of it."""
    config = RunConfig()
    path = catalog.choose(config, out=Path("runs"), name="x", overwrite=True)
    path.mkdir(parents=True)
    (path / "precious").touch()
    with pytest.raises(RunError) as caught:
        catalog.create(path, config, {}, overwrite=True)
    text = "is not a run folder, so --overwrite does not replace it."
    assert str(caught.value) == f"runs/x {text}"
    assert (path / "precious").exists()
    Path("run").mkdir()
    Path("run/config.toml").touch()
    Path("runs/link").symlink_to(Path("run").absolute())
    with pytest.raises(RunError) as caught:
        catalog.choose(config, out=Path("runs"), name="link", overwrite=True)
    assert str(caught.value) == f"runs/link {text}"


def test_a_name_that_is_a_file_is_not_overwritten(beans: Path) -> None:
    """Not even when told to: it is no run."""
    Path("runs").mkdir()
    Path("runs/x").write_text("precious")
    result = kvgg("train", "--data", "beans", *TINY, "--name", "x", "--overwrite")
    assert (result.exit_code, message(result).splitlines()[-1]) == (
        1,
        "Error: runs/x is not a run folder, so --overwrite does not replace it.",
    )
    assert Path("runs/x").read_text() == "precious"


def test_a_failed_overwrite_leaves_the_old_run_whole(run: Path, beans: Path) -> None:
    """The photos are checked before anything is removed."""
    (beans / "red" / "red_00.png").write_text("no picture")
    before = everything(run)
    result = kvgg("train", "--data", "beans", *TINY, "--name", "x", "--overwrite")
    assert result.exit_code == 1
    assert everything(run) == before


def test_a_confusion_matrix_that_cannot_be_drawn_is_said(run: Path, beans: Path) -> None:
    """Something is in its way; the figures stand, and no temporary file stays."""
    (run / "confusion-all.png").mkdir()
    result = kvgg("evaluate", "--run", "x", "--data", "beans")
    assert result.exit_code == 0
    assert (
        "Cannot write runs/x/confusion-all.png: Is a directory. "
        "The evaluation is shown and not kept.\n"
    ) in result.stderr
    assert [path.name for path in run.glob(".*")] == []


# Pictures to predict


def test_every_bad_picture_has_its_line(run: Path, here: Path) -> None:
    """Missing, empty, no picture: all are answered, none stops the other."""
    Path("empty.png").touch()
    Path("text.png").write_text("no picture")
    result = kvgg("predict", "gone.png", "empty.png", "text.png", "--json")
    errors = [
        "gone.png: does not exist. Check the path.",
        "empty.png: is empty (0 bytes). Replace or remove it.",
        f"text.png: {TEXT}",
    ]
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-3:] == [f"Error: {error}" for error in errors]
    assert json.loads(result.stdout) == [
        {"path": error.partition(":")[0], "error": error} for error in errors
    ]


def test_a_folder_without_pictures_cannot_be_predicted(run: Path, here: Path) -> None:
    """Nothing to answer is not a success."""
    Path("empty").mkdir()
    result = kvgg("predict", "empty")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: No photos to classify: give image files, or folders with images.\n",
    )


# Demo set


def test_the_demo_set_never_covers_what_is_there(beans: Path) -> None:
    """A folder that holds anything is left as it is."""
    before = everything(beans)
    result = kvgg("data", "demo", "beans")
    assert (result.exit_code, message(result)) == (
        1,
        "Error: beans already exists and is not empty. "
        "Choose another folder, or remove it first.\n",
    )
    assert everything(beans) == before
