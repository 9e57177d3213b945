"""Sessions: `nox -s tests`, `lint`, `types`, `docs` ... What they install stands in pyproject."""

import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.error_on_missing_interpreters = True
PROJECT = nox.project.load_toml("pyproject.toml")
PINNED = ("-c", str(Path("constraints.txt").absolute()))
# Where no test runs: what is not imported need not be compiled. Within a test it would warn.
UNCOMPILED = ("--no-compile", *PINNED)
INTEGRATION = "tests/integration"
PARALLEL = ("-n", "logical", "--maxprocesses", "4", "--dist", "loadfile")


def group(name: str) -> list[str]:
    return nox.project.dependency_groups(PROJECT, name)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of each module, on all cores up to four; arguments go to pytest."""
    session.install(*PINNED, "-e", ".", *group("tests"))
    session.run("pytest", *PARALLEL, f"--ignore={INTEGRATION}", *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Run the tests of the whole program, as users, hosts and several processes have it."""
    session.install(*PINNED, "-e", ".", *group("tests"))
    session.run("pytest", *PARALLEL, INTEGRATION, *session.posargs)


@nox.session
def extras(session: nox.Session) -> None:
    """Run the tests of the optional libraries that the default tests lack."""
    names = [name for name in PROJECT["project"]["optional-dependencies"] if name[:4] != "cuda"]
    session.install(*PINNED, "-e", f".[{','.join(names)}]", *group("tests"), *group("stores"))
    session.run("pytest", *PARALLEL, "-m", "extras", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Harm real runs in every way, for some 20 minutes; prints the table of docs/reliability.md."""
    session.install(*PINNED, "-e", ".", *group("tests"))
    whole = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}  # the programs that users run
    session.run("pytest", "-m", "faults", *session.posargs, env=whole)


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run the C++ code under AddressSanitizer, UBSan and ThreadSanitizer."""
    session.install(*PINNED, "-e", ".", *group("tests"))
    session.run("pytest", "-m", "sanitizers", *session.posargs)


@nox.session
def backbones(session: nox.Session) -> None:
    """Take real backbones of Keras through everything, for some 20 minutes."""
    session.install(*PINNED, "-e", ".[hub,onnx,safetensors,tune]", *group("tests"))
    session.run("pytest", "-m", "backbones", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Show on an NVIDIA GPU what only a GPU can show; fails where there is none."""
    session.install(*PINNED, "-e", ".[cuda13]", *group("tests"))
    whole = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    session.run("pytest", "-m", "gpu", *session.posargs, env=whole)


@nox.session
def skypilot(session: nox.Session) -> None:
    """Check deploy/sky.yaml by SkyPilot itself, which refuses a field that it does not know."""
    session.install("skypilot>=0.14")  # in no group: its versions of libraries are not ours
    session.run("python", "-c", "import sky; sky.Task.from_yaml('deploy/sky.yaml')")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, and that packages import downward only."""
    session.install(*UNCOMPILED, *group("lint"))
    session.install("--no-deps", "-e", ".")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    session.install(*UNCOMPILED, *group("types"))
    session.install("--no-deps", "-e", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the notebook, and build the site of documents into build/site.

    A cell that fails and a link that leads nowhere are errors.
    """
    session.install(*UNCOMPILED, "-e", ".", *group("docs"))
    session.run("python", "docs/notebook.py")
    session.run("mkdocs", *(session.posargs or ("build", "--strict")))


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the terminal pictures of the README anew, from a run on the demo set."""
    session.install(*PINNED, "-e", ".")
    session.run("python", "docs/pictures.py")


@nox.session
def peers(session: nox.Session) -> None:
    """Time kvgg_jax beside its peers; arguments go to benchmarks/peers.py."""
    session.install(*PINNED, "-e", ".", *group("peers"))
    session.run("python", "benchmarks/peers.py", *session.posargs)


@nox.session
def accuracy(session: nox.Session) -> None:
    """Train kvgg_jax and other programs for the same minutes; arguments go to accuracy.py."""
    session.install(*PINNED, "-e", ".", *group("rivals"))
    session.run("python", "benchmarks/accuracy.py", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Install the wheel into an empty environment, train for seconds on the demo set, predict."""
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ".")
        (wheel,) = Path(folder).glob("*.whl")
        session.install(*UNCOMPILED, str(wheel))
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):
        session.run("kvgg", "--help")
        session.run("kvgg", "recipes")
        session.run("kvgg", "summary", "--recipe", "quick")
        tiny = "--image-size 32 --arch vgg11 --head gap --epochs 1 --name tiny"
        quick = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XDG_CACHE_HOME": f"{folder}/cache"}
        session.run("kvgg", "train", *tiny.split(), env=quick)
        session.run("kvgg", "data", "demo", "beans", "--per-class", "2")
        session.run("kvgg", "predict", "beans", "--json")
