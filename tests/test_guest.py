"""kvgg_jax in a program of somebody else: what that program has set stays as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kvgg_jax.core.process import cache_folder
from support.runs import ROOT, draw_photos

STATE = """
import faulthandler, gc, locale, logging, os, random, resource, signal, socket, sys, threading
import warnings
import numpy, scipy.stats, sklearn.metrics
import PIL.Image

def digest(value):
    import hashlib
    return hashlib.sha256(repr(value).encode()).hexdigest()

def streams():
    return (sys.stdin, sys.stdout, sys.stderr)

STREAMS = streams()

def drawn():
    kind, keys, *rest = numpy.random.get_state()
    return kind, keys.tobytes(), rest

def state():
    import jax, matplotlib
    loggers = {name: logging.getLogger(name) for name in (None, "absl", "jax", "orbax", "PIL")}
    numbers = [n for n in signal.valid_signals() if n not in (signal.SIGKILL, signal.SIGSTOP)]
    cache = [key for key in jax.config.values if "cache" in key]
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {
        "Pillow's limit": PIL.Image.MAX_IMAGE_PIXELS,
        "loggers": {str(k): [v.level, v.disabled, len(v.handlers)] for k, v in loggers.items()},
        "logging": [logging.root.manager.disable, repr(logging.lastResort)],
        "JAX": digest([(key, value) for key, value in jax.config.values.items()]),
        "JAX's cache": {key: jax.config.values[key] for key in cache},
        "warnings": [repr(one) for one in warnings.filters],
        "signals": {str(n): repr(signal.getsignal(n)) for n in numbers},
        "wakeup": signal.set_wakeup_fd(-1),
        "socket": socket.getdefaulttimeout(),
        "streams": [[s is o, s.encoding, s.errors] for s, o in zip(STREAMS, streams())],
        "files": [[s.st_dev, s.st_ino] for s in map(os.fstat, (0, 1, 2))],
        "hooks": [repr(sys.excepthook), repr(sys.unraisablehook), repr(threading.excepthook)],
        "gc": [gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()],
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
        "environment": {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"},
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": os.getcwd(),
        "mask": [os.umask(0o22), os.umask(0o22)],
        "matplotlib": [matplotlib.get_backend(auto_select=False), digest(matplotlib.rcParams)],
        "numpy": [numpy.geterr(), numpy.get_printoptions(), digest(drawn())],
        "random": digest(random.getstate()),
        "threads": [sys.getswitchinterval(), sys.getrecursionlimit(), faulthandler.is_enabled()],
        "path": list(sys.path),
    }

def changes(before):
    after = state()
    return {key: [before[key], after[key]] for key in after if before[key] != after[key]}

random.seed(0)
before = state()
"""
LIBRARIES = """
import keras, jax, tensorflow, matplotlib, orbax.checkpoint, orbax.checkpoint.experimental.v1
tensorflow.constant(0)
"""
USE = """
import kvgg_jax
from kvgg_jax.models.registry import BACKBONES
from kvgg_jax.models.vgg import Vgg
BACKBONES["vgg11"] = Vgg(((4,), (4,), (8,), (8,), (8,)))
config = kvgg_jax.RunConfig(
    data={"dir": "photos", "image_size": 32, "augment": "light", "mix": "mixup"},
    model={"arch": "vgg11", "head": "4", "dropout": 0.3},
    train={"epochs": 1, "batch_size": 8},
)
run = kvgg_jax.train(config, name="x").run
kvgg_jax.evaluate(run)
kvgg_jax.predict(["photos"], run)
kvgg_jax.explain(["photos/red/red_00.png"], run)
kvgg_jax.export("keras", run)
kvgg_jax.list_runs()
"""
TELL = "import json; json.dump(changes(before), open('changes.json', 'w'))"


def run_python(folder: Path, *code: str) -> subprocess.CompletedProcess[str]:
    """A program of its own in `folder`, without what the tests have set."""
    left_out = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "JAX_COMPILATION_CACHE_DIR")
    own = {key: value for key, value in os.environ.items() if key not in left_out}
    return subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=folder,
        env={**own, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )


def changes(folder: Path, *code: str) -> dict[str, Any]:
    """What the last of `code` changes in a program of its own: name -> before and after."""
    *first, last = code
    done = run_python(folder, *first, STATE, last, TELL)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "changes.json").read_text())


def test_importing_it_changes_no_more_than_its_libraries_do(tmp_path: Path) -> None:
    """Here all of it, which loads Keras, JAX, TensorFlow, Orbax and Matplotlib."""
    backend = "import os; os.environ['KERAS_BACKEND'] = 'jax'"
    by_libraries = changes(tmp_path, backend, LIBRARIES)
    assert changes(tmp_path, "import kvgg_jax.api, kvgg_jax.core.tf_gate") == by_libraries


def test_importing_its_name_changes_nothing_but_the_backend(tmp_path: Path) -> None:
    """Which Keras reads as it is imported; and nothing else is loaded."""
    assert changes(tmp_path, "import kvgg_jax") == {}
    done = run_python(tmp_path, "import os, kvgg_jax; print(os.environ['KERAS_BACKEND'])")
    assert done.stdout == "jax\n"


def test_calling_its_functions_changes_nothing(tmp_path: Path) -> None:
    """Train with all kinds of chance, evaluate, predict, explain, export."""
    draw_photos(tmp_path / "photos", per_class=8)
    assert changes(tmp_path, "import kvgg_jax.api, kvgg_jax.core.tf_gate", USE) == {}


SETTINGS = {
    "image_data_format": ("channels_first", "channels_last"),
    "floatx": ("float64", "float32"),
    "dtype_policy": ("mixed_bfloat16", "float32"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_host_that_sets_keras_otherwise_is_told(tmp_path: Path, name: str) -> None:
    """Rather than given another network, or set otherwise itself."""
    found, needed = SETTINGS[name]
    host = f"import kvgg_jax, keras; keras.config.set_{name}({found!r}); kvgg_jax.vgg"
    assert run_python(tmp_path, host).stderr.splitlines()[-1] == (
        f"kvgg_jax.core.errors.KvggError: Keras has {name} = {found}; kvgg_jax needs {needed}. "
        f"Change it in keras.json, or call keras.config.set_{name}({needed!r}) before."
    )


def test_the_command_sets_keras_whatever_its_file_says(tmp_path: Path) -> None:
    """It owns its process."""
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float64", "image_data_format": "channels_first"}'
    )
    home = f"import os; os.environ['KERAS_HOME'] = {str(tmp_path)!r}"
    gate = "from kvgg_jax.core.keras_gate import keras; print(keras.config.floatx())"
    own = "from kvgg_jax.core.process import own_process; own_process()"
    assert run_python(tmp_path, home, own, gate).stdout == "float32\n"
    assert "Keras has image_data_format = channels_first" in run_python(tmp_path, home, gate).stderr


def test_compiled_programs_are_kept_for_the_command_alone(tmp_path: Path) -> None:
    """JAX keeps them for the whole process, so a host is to ask for that."""
    folder = "import jax, kvgg_jax.models.compile; print(jax.config.jax_compilation_cache_dir)"
    command = "import sys; from kvgg_jax.cli.main import main; sys.argv = ['kvgg', '--version']"
    end = "try: main()\nexcept SystemExit: pass"
    kept = run_python(tmp_path, command, end, folder).stdout.splitlines()[-1]
    assert Path(kept).parent == cache_folder() / "xla"
    assert run_python(tmp_path, folder).stdout == "None\n"
