"""Data is never run: nothing is unpickled, imported or evaluated from a run folder or a photo."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pytest

from kvgg_jax import predict
from kvgg_jax.core.errors import ConfigError, RunError
from kvgg_jax.core.text import printable
from kvgg_jax.data.sources.folder import Folder
from kvgg_jax.inference.temperature import stored
from kvgg_jax.runs.folder import Run
from support.commands import kvgg, message
from support.runs import ROOT, THIN_VGG11

pytestmark = pytest.mark.usefixtures("thin_network", "blank")

# The program under an audit hook that ends it at the first try to run what it was given.
WATCHED = f"""
import os, sys
from pathlib import Path
{THIN_VGG11}
run, photos = sys.argv[1:]

def watch(event, arguments):
    given = (run, photos)
    ran = event == "pickle.find_class" or event in ("os.system", "os.exec", "subprocess.Popen")
    if event == "exec":
        ran = arguments[0].co_filename.startswith(given)
    elif event in ("compile", "import"):
        ran = str(arguments[1]).startswith(given)
    if ran and armed:
        os.write(1, f"RAN {{event}} {{arguments}}\\n".encode())  # whole: other threads print too
        os._exit(9)

import kvgg_jax.data.pipeline, kvgg_jax.evaluation.evaluate, kvgg_jax.training.loop
armed = True
sys.addaudithook(watch)
from kvgg_jax import evaluate, load_classifier, predict
from kvgg_jax.runs import digests
from kvgg_jax.core.errors import RunError
evaluate(run)
predict([photos], run)

(step,) = Path(run, "checkpoints", "best").iterdir()
files = [file for file in step.rglob("*") if file.is_file() and file.name != digests.SUMS]
pickle = Path(run, "evaluated.pkl").read_bytes()
for file in files:  # a pickle in its place, with its digest
    content = file.read_bytes()
    file.write_bytes(pickle)
    digests.seal(step)
    try:
        load_classifier(run)
        print("loaded without", file.name)
    except RunError:
        print("refused without", file.name)
    file.write_bytes(content)
print("sound", flush=True)
__import__("pickle").loads(pickle)  # the watch is awake
"""


# The reader of weight files under the same watch.
READER = """
import os, sys
from pathlib import Path
from kvgg_jax.core.errors import WeightsError
from kvgg_jax.models.weights.files import open_weights
folder = sys.argv[1]
opened = set()

def watch(event, arguments):
    ran = event == "pickle.find_class" or event in ("os.system", "os.exec", "subprocess.Popen")
    if event == "exec":
        ran = arguments[0].co_filename.startswith(("<", folder))
    elif event in ("compile", "import"):
        ran = str(arguments[1]).startswith(folder) or arguments[0] in ("evil", "pickle", "keras")
    elif event == "open":
        opened.add(str(arguments[0]))
    if ran and armed:
        os.write(1, f"RAN {event} {arguments}\\n".encode())
        os._exit(9)

armed = True
sys.addaudithook(watch)
for file in sorted(Path(folder).iterdir()):
    try:
        with open_weights(file):
            print("read", file.name)
    except WeightsError:
        print("refused", file.name)
armed = False
print(sorted(name for name in opened if "passwd" in name))
"""


class Evil:
    """Unpickled, it makes a file `evaluated` in the current folder."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("evaluated",)


PICKLE = pickle.dumps(Evil())


@pytest.fixture
def run(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, below the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished, tmp_path / "runs" / "x"))


def test_the_pickle_would_run_if_it_were_loaded(run: Path) -> None:
    """Or the tests below prove nothing."""
    pickle.loads(PICKLE)
    assert Path("evaluated").is_dir()


def test_evaluate_and_predict_unpickle_and_run_nothing(run: Path, finished: Path) -> None:
    """Python's audit events say so, with pickles and modules lying about in the run folder, and
    with a pickle in the place of each file of the checkpoint in turn."""
    (run / "evaluated.pkl").write_bytes(PICKLE)
    for name in ("sitecustomize.py", "jax.py", "checkpoints/__init__.py"):
        (run / name).write_text("import os; os.mkdir('evaluated')")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(run), str(finished.parents[1] / "photos")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    *files, sound, ran = done.stdout.splitlines()
    assert (done.returncode, sound) == (9, "sound"), done.stdout + done.stderr
    assert ran == "RAN pickle.find_class ('posix', 'mkdir')"
    assert "refused without manifest.ocdbt" in files
    assert not Path("evaluated").exists()


@pytest.mark.parametrize(
    "name",
    [
        *("config.toml", "classes.json", "split.csv", "run.json", "history.csv", "digests.csv"),
        "calibration.json",
    ],
)
def test_a_pickle_in_the_place_of_a_small_file_is_refused_and_not_run(run: Path, name: str) -> None:
    """Each is text of its own kind."""
    (run / name).write_bytes(PICKLE)
    here = Run(run)
    reads = {
        "config.toml": here.config,
        "classes.json": here.classes,
        "split.csv": lambda: here.split(Folder(Path("photos"))),
        "run.json": here.info,
        "history.csv": here.history,
        "digests.csv": here.read_digests,
        "calibration.json": lambda: stored(here),
    }
    with pytest.raises((RunError, ConfigError), match=name):
        reads[name]()
    assert not Path("evaluated").exists()


def test_class_names_of_a_run_cannot_leave_it(run: Path, finished: Path) -> None:
    """They are shown, escaped, and never become part of a path."""
    names = ["../../../escaped", "/tmp/escaped", "a\nError: \x1b[31m[red]forged"]
    (run / "classes.json").write_text(json.dumps(sorted(names)))
    text = (run / "split.csv").read_text()
    for old, new in zip(("blue", "green", "red"), sorted(names), strict=True):
        text = text.replace(f",{old},", f',"{new}",')
    (run / "split.csv").write_text(text)
    before = {path for path in run.parents[1].rglob("*") if run not in path.parents}
    result = kvgg("evaluate", "--run", run)
    assert result.exit_code == 0, result.output
    assert result.output == printable(result.output)
    assert r"│ a\nError: \x1b[31m[red]forged " in result.stdout
    assert {path for path in run.parents[1].rglob("*") if run not in path.parents} == before
    assert not (run.parents[2] / "escaped").exists()
    found = predict([finished.parents[1] / "photos"], run)
    assert {name for name, _ in found[0].top} == set(names)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "red/../../secret.png"])
def test_a_split_that_leaves_the_folder_of_photos_is_refused(run: Path, path: str) -> None:
    """A run of somebody else's cannot have files of yours read."""
    (run / "split.csv").write_text(f"path,class,part\n{path},red,val\n")
    result = kvgg("evaluate", "--run", run)
    assert (result.exit_code, message(result)) == (
        1,
        f"Error: {run / 'split.csv'} is damaged: {path!r} is not below the folder of photos.\n",
    )


def test_reading_weights_runs_nothing_and_opens_no_other_file(tmp_path: Path) -> None:
    """Pickles under every name of a weight file, a model with code, a link to another file."""
    for name in ("a.weights.h5", "b.h5", "c.keras", "d.safetensors", "e.npy"):
        (tmp_path / name).write_bytes(PICKLE)
    layer = {"module": "evil", "class_name": "Lambda", "config": {"function": "import os"}}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(layer)
    with zipfile.ZipFile(tmp_path / "g.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(layer))
        archive.writestr("model.weights.h5", (tmp_path / "f.h5").read_bytes())
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    with h5py.File(tmp_path / "i.h5", "w") as file:
        file.create_group("model_weights")
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    names = sorted(file.name for file in tmp_path.iterdir())
    said = [f"refused {name}" for name in names[:-1]] + ["read i.h5", "[]"]
    assert (done.returncode, done.stdout.splitlines()) == (0, said), done.stderr
