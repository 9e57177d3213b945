"""kvgg_jax in a program of somebody else: what that program has set stays as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kvgg_jax
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

def note_changes():
    # what differs since the last call
    before, after = states[-1], state()
    states.append(after)
    found.append({key: [before[key], after[key]] for key in after if before[key] != after[key]})

random.seed(0)
found, states = [], [state()]
"""
LIBRARIES = """
os.environ["KERAS_BACKEND"] = "jax"
import keras, jax, tensorflow, matplotlib, orbax.checkpoint, orbax.checkpoint.experimental.v1
tensorflow.constant(0)
"""
LIGHT = """
import kvgg_jax
assert os.environ["KERAS_BACKEND"] == "jax"
assert not {"keras", "orbax", "tensorflow"} & set(sys.modules)
"""
HEAVY = "import kvgg_jax.api, kvgg_jax.core.tf_gate"
USE = """
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
list(kvgg_jax.explain(["photos/red/red_00.png"], run))
kvgg_jax.export("keras", run)
kvgg_jax.list_runs()
"""
REST = {
    "resume": "kvgg_jax.resume(run, epochs=2)",
    "load_classifier": "kvgg_jax.load_classifier(run).model",
    "vgg": "kvgg_jax.vgg(classes=4, image_size=32)",
    "check_data": "kvgg_jax.check_data('photos', against='others')",
    "audit": "kvgg_jax.audit('photos', config=config.with_model(weights=str(run)))",
    "apply_moves": """
from pathlib import Path
from kvgg_jax.evaluation.label_audit.moves import write_moves
write_moves(kvgg_jax.audit('photos', config=config.with_model(weights=str(run))), Path('moves.csv'))
kvgg_jax.apply_moves('moves.csv', dry_run=False)
""",
    "pack_data": "kvgg_jax.pack_data('photos', 'packed', size=32)",
    "verify_data": "kvgg_jax.verify_data('packed')",
    "calibrate": "kvgg_jax.calibrate(run, data='others')",
    "compare_runs": "kvgg_jax.compare_runs([run, kvgg_jax.train(config, name='y').run])",
    "crossval": "kvgg_jax.crossval(config.with_data(split='stratified'), folds=2)",
    "lr_find": "kvgg_jax.lr_find(config, steps=10)",
    "tune": "kvgg_jax.tune(config, {'model.dropout': (0.0, 0.1)}, trials=2)",
    "report": "kvgg_jax.report(run)",
    "model_card": "kvgg_jax.model_card(run)",
    "fit": """
batch = numpy.zeros((4, 32, 32, 3), "uint8"), numpy.arange(4) % 3
model = kvgg_jax.vgg(config.model, classes=3, image_size=32)
kvgg_jax.fit(model, [batch], [batch], folder="own", epochs=1)
""",
    "embed": "list(kvgg_jax.embed('others', run))",
    "similar": "list(kvgg_jax.similar('others', run))",
    "rank_unsure": "kvgg_jax.rank_unsure('others', run)",
    "export": "[kvgg_jax.export(one, run) for one in ('saved-model', 'stablehlo')]",
}
TELL = "import json; json.dump(found, open('found.json', 'w'))"


def run_python(folder: Path, *code: str) -> str:
    """What a program of its own in `folder` prints, without what the tests have set."""
    left_out = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "JAX_COMPILATION_CACHE_DIR")
    own = {key: value for key, value in os.environ.items() if key not in left_out}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=folder,
        env={**own, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def changes(folder: Path, *steps: str) -> list[dict[str, Any]]:
    """What each step of a program of its own changes: name -> before and after."""
    run_python(folder, STATE, *(f"{step}\nnote_changes()" for step in steps), TELL)
    return json.loads((folder / "found.json").read_text())


def test_importing_and_calling_it_changes_no_more_than_importing_its_libraries(
    tmp_path: Path,
) -> None:
    """Keras, JAX, TensorFlow, Orbax and Matplotlib; its name alone loads none of them.

    It trains with all kinds of chance, evaluates, predicts, explains and exports.
    """
    draw_photos(tmp_path / "photos", per_class=8)
    (by_libraries,) = changes(tmp_path, LIBRARIES)
    assert changes(tmp_path, LIGHT, HEAVY, USE) == [{}, by_libraries, {}]
    assert "JAX's cache" not in by_libraries


@pytest.mark.faults  # it trains many times
def test_no_public_function_changes_anything_of_its_host(tmp_path: Path) -> None:
    """One by one; those of the test above are called first."""
    draw_photos(tmp_path / "photos", per_class=8)
    others = draw_photos(tmp_path / "others", per_class=8, size=40)
    for number in range(4):  # mistakes to calibrate by
        shutil.move(others / "red" / f"red_{number:02}.png", others / "green")
    called = set(re.findall(r"kvgg_jax\.([a-z_]+)\(", USE)) | REST.keys()
    values = {"ModelConfig", "RunConfig", "KvggError", "__version__"}
    values.add("register_backbone")  # changes a table of its own
    assert called == set(kvgg_jax.__all__) - values
    found = changes(tmp_path, HEAVY, USE, *REST.values())
    assert dict(zip(REST, found[2:], strict=True)) == {name: {} for name in REST}


SETTINGS = {
    "image_data_format": ("channels_first", "channels_last"),
    "floatx": ("float64", "float32"),
    "dtype_policy": ("mixed_bfloat16", "float32"),
}
HOST = f"""
import kvgg_jax, keras
for name, (found, needed) in {SETTINGS}.items():
    set_it = getattr(keras.config, "set_" + name)
    set_it(found)
    try:
        kvgg_jax.vgg
    except kvgg_jax.KvggError as error:
        print(error)
    set_it(needed)
"""


def test_a_host_that_sets_keras_otherwise_is_told(tmp_path: Path) -> None:
    """Rather than given another network, or set otherwise itself."""
    assert run_python(tmp_path, HOST).splitlines() == [
        f"Keras has {name} = {found}; kvgg_jax needs {needed}. "
        f"Change it in keras.json, or call keras.config.set_{name}({needed!r}) before."
        for name, (found, needed) in SETTINGS.items()
    ]


COMMAND = """
import sys
from kvgg_jax.cli.main import main
sys.argv = ["kvgg", "--version"]
try:
    main()
except SystemExit:
    pass
"""


def test_the_command_sets_keras_whatever_its_file_says_and_keeps_compiled_programs(
    tmp_path: Path,
) -> None:
    """It owns its process, where a host would be told."""
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float64", "image_data_format": "channels_first"}'
    )
    home = f"import os; os.environ['KERAS_HOME'] = {str(tmp_path)!r}"
    gate = "from kvgg_jax.core.keras_gate import keras; print(keras.config.floatx())"
    host = f"import kvgg_jax\ntry: {gate}\nexcept kvgg_jax.KvggError as error: print(error)"
    folder = "import jax, kvgg_jax.models.compile; print(jax.config.jax_compilation_cache_dir)"
    told, _, floats, kept = run_python(tmp_path, home, host, COMMAND, gate, folder).splitlines()
    assert told.startswith("Keras has image_data_format = channels_first; kvgg_jax needs")
    assert floats == "float32"
    assert Path(kept).parent == cache_folder() / "xla"
