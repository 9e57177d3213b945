"""The shape of the package: floors, gates, names, docstrings. `docs/architecture.md` draws it."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "kvgg_jax"
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
GATES = {"keras": "keras_gate.py", "tensorflow": "data/tf_gate.py"}
BROAD_TESTS = {
    "architecture",
    "bad_input",
    "browser",
    "docs",
    "faults",
    "fuzz",
    "hostile",
    "learns",
    "names",
    "no_code",
    "read_only",
    "resume",
    "stdout",
}  # of the whole program


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


def own_imports(module: str) -> set[str]:
    """The modules of the package that `module` imports, as file names."""
    found: set[str] = set()
    for name in imports(MODULES[module]):
        parts = name.split(".")[1:] if name.startswith("kvgg_jax.") else []
        candidates = ("/".join(parts[:n]) + ".py" for n in range(len(parts), 0, -1))
        found |= {next((c for c in candidates if c in MODULES), module)} - {module}
    return found


def floors() -> dict[str, int]:
    """Module -> floor, from the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE)
    return {name: int(floor) for floor, names in rows for name in re.findall(r"`(.*?)`", names)}


def test_every_module_has_its_floor() -> None:
    """The table in docs/architecture.md names each module once, and none that is gone."""
    assert sorted(floors()) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_floor_or_below(module: str) -> None:
    """Never from above: a change upstairs cannot break what lies below."""
    floor = floors()
    assert {name: floor[name] for name in own_imports(module) if floor[name] > floor[module]} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not on one floor either."""
    order = graphlib.TopologicalSorter({module: own_imports(module) for module in MODULES})
    assert set(order.static_order()) == set(MODULES)  # CycleError otherwise


@pytest.mark.parametrize("library", GATES)
def test_a_heavy_library_enters_by_its_gate_alone(library: str) -> None:
    """Else the backend depends on who came first, or TensorFlow takes the GPU."""
    entries = {
        module
        for module, tree in MODULES.items()
        if any(name.split(".")[0] == library for name in imports(tree))
    }
    assert entries == {GATES[library]}


def test_keras_comes_before_tensorflow() -> None:
    """`import tensorflow` imports Keras, which then cannot be told its backend any more."""
    assert "kvgg_jax.core.keras_gate" in imports(MODULES["data/tf_gate.py"])


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in MODULES
        if name.startswith(("cli", "commands", "config", "errors", "console"))
    ],
)
def test_what_help_needs_imports_nothing_heavy_at_its_top(module: str) -> None:
    """`--help` and a wrong flag are answered before JAX, NumPy or Keras start."""
    top = [node for node in MODULES[module].body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.split(".")[0] for name in imports(ast.Module(top, []))}
    assert names & {"jax", "keras", "matplotlib", "numpy", "orbax", "tensorflow"} == set()


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
    """Or after a matter of the whole program, named above."""
    names = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    modules = [Path(module).with_suffix("") for module in MODULES]
    known = {module.name for module in modules} | {"_".join(module.parts) for module in modules}
    assert names - known == BROAD_TESTS
