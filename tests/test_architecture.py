"""The shape of the package: rooms, gates, names, docstrings. `docs/architecture.md` draws it."""

from __future__ import annotations

import ast
import graphlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.runs import ROOT

PACKAGE = ROOT / "kvgg_jax"
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
GATES = {"keras": "core/keras_gate.py", "tensorflow": "core/tf_gate.py"}
CHILD = "export/saved_model_child.py"  # a process of its own, that imports nothing of the package


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that can run; what only a type checker reads is left out."""
    for node in ast.iter_child_nodes(tree):
        if not is_for_types_only(node):
            yield node
            yield from statements(node)


def imports(tree: ast.Module) -> set[str]:
    """Full names of what a module imports, anywhere in it: `from a import b` gives `a.b`."""
    names: set[str] = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


ROOMS = {
    "core", "data", "models", "runs", "inference", "training", "evaluation", "export", "web", "cli",
}  # fmt: skip
MOST = 15  # modules in one folder


def test_the_package_has_ten_rooms() -> None:
    """Beside them lie the public names alone."""
    assert {path.name for path in PACKAGE.iterdir() if path.suffix == ".py"} == {
        "__init__.py",
        "api.py",
    }
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == ROOMS


def test_no_folder_holds_more_than_fifteen_modules() -> None:
    """A stranger finds the room for a change in a minute."""
    counts = Counter(Path(module).parent.as_posix() for module in MODULES)
    assert {folder: count for folder, count in counts.items() if count > MOST} == {}


def test_each_room_says_what_belongs_there() -> None:
    """In the one line that its `__init__` holds."""
    for path in PACKAGE.glob("*/**/__init__.py"):
        tree = ast.parse(path.read_text())
        assert len((ast.get_docstring(tree) or "").splitlines()) == 1, path
        assert len(tree.body) == 1, path


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Within one package either."""
    order = graphlib.TopologicalSorter({module: own_imports(module) for module in MODULES})
    assert set(order.static_order()) == set(MODULES)  # CycleError otherwise


def own_imports(module: str) -> set[str]:
    """The modules of the package that `module` imports, as file names."""
    found: set[str] = set()
    for name in imports(MODULES[module]):
        parts = name.split(".")[1:] if name.startswith("kvgg_jax.") else []
        candidates = ("/".join(parts[:n]) + ".py" for n in range(len(parts), 0, -1))
        found |= {next((c for c in candidates if c in MODULES), module)} - {module}
    return found


@pytest.mark.parametrize("library", GATES)
def test_a_heavy_library_enters_by_its_gate_alone(library: str) -> None:
    """Else the backend depends on who came first, or TensorFlow takes the GPU."""
    entries = {
        module
        for module, tree in MODULES.items()
        if any(name.split(".")[0] == library for name in imports(tree))
    }
    assert entries == {GATES[library], CHILD}
    assert own_imports(CHILD) == set()


def test_keras_comes_before_tensorflow() -> None:
    """`import tensorflow` imports Keras, which then cannot be told its backend any more."""
    assert "kvgg_jax.core.keras_gate" in imports(MODULES["core/tf_gate.py"])


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in MODULES
        if name.startswith(("cli/main", "cli/app", "cli/options", "cli/commands", "cli/console"))
        or name in ("core/config.py", "core/errors.py", "core/text.py", "core/events.py")
    ],
)
def test_what_help_needs_imports_nothing_heavy_at_its_top(module: str) -> None:
    """`--help` and a wrong flag are answered before JAX, NumPy or Keras start."""
    top = [node for node in MODULES[module].body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.split(".")[0] for name in imports(ast.Module(top, []))}
    heavy = {"jax", "jinja2", "keras", "matplotlib", "numpy", "orbax", "sklearn", "scipy"}
    assert names & {*heavy, "tensorflow"} == set()


@pytest.mark.parametrize("library", ["scipy", "sklearn"])
def test_a_library_of_figures_is_imported_by_the_function_that_needs_it(library: str) -> None:
    """It takes a second, which `predict`, and `report` of a kept evaluation, have no use for."""
    for module, tree in MODULES.items():
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert library not in {name.split(".")[0] for name in imports(ast.Module(top, []))}, module


NETWORK = re.compile(
    r"""block\d | block_?\{ | startswith\(.block | conv\d | \bfc[\d{] | predictions/ | max_pool
    | (?<!self\.)_(conv|pool|bn|relu)\b | (//|%)\ ?32 | \bpoolings | (five|5)\ (blocks|stages)""",
    re.VERBOSE,
)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("models/")])
def test_no_module_outside_models_names_a_layer_a_block_or_the_stride(module: str) -> None:
    """They ask the backbone, so that another one is one file."""
    lines = (PACKAGE / module).read_text().splitlines()
    assert [line for line in lines if NETWORK.search(line)] == []


def test_no_module_is_called_utils() -> None:
    """A helper lives with its one user until it has two."""
    vague = {"common", "helper", "helpers", "misc", "tools", "util", "utils"}
    assert {Path(module).stem for module in MODULES} & vague == set()


@pytest.mark.parametrize("module", MODULES)
def test_whatever_is_public_says_what_it_is(module: str) -> None:
    """Modules, classes and functions without an underscore have a docstring."""
    tree = MODULES[module]
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    public = [node for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"]
    bare = [
        getattr(node, "name", module) for node in (tree, *public) if not ast.get_docstring(node)
    ]
    assert bare == []


def test_a_test_file_is_named_after_the_module_it_tests() -> None:
    """And lies in the same room; the others are of all files, or of the whole program."""
    tests = ROOT / "tests"
    paths = [path.relative_to(tests) for path in tests.rglob("test_*.py")]
    in_rooms = [path for path in paths if path.parent.name and path.parts[0] != "integration"]
    named = {(p.parent / p.name.removeprefix("test_")).as_posix() for p in in_rooms}
    assert named - MODULES.keys() == set()
