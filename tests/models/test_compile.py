"""The cache of compiled programs saves time and never changes a result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from kvgg_jax.core.process import cache_folder
from kvgg_jax.models.compile import compile_step, keep_compiled_programs


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A compilation cache of this test's own."""
    old = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    keep_compiled_programs()
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", old)
    compilation_cache.reset_cache()


def garble(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"emptied": b"", "truncated": content[:-9], "flipped": content}[how])


@pytest.mark.parametrize("how", ["emptied", "truncated", "flipped"])
def test_a_broken_cache_is_compiled_again_with_the_same_result(cache, how):
    """A crash in the middle of writing an entry leaves such files."""

    def step(x):
        return jnp.sin(x) @ x.T

    example = np.linspace(0, 1, 48, dtype=np.float32).reshape(8, 6)
    first = np.asarray(compile_step("first", step, example)(example))
    entries = list(cache.rglob("*-cache"))
    assert entries
    for entry in entries:
        garble(entry, how)
    jax.clear_caches()
    with pytest.warns(UserWarning, match="Error reading persistent compilation cache entry"):
        again = compile_step("second", step, example)
    np.testing.assert_array_equal(again(example), first)


def test_programs_are_kept_before_any_is_compiled():
    """Keras draws first weights by programs of its own, before any step is compiled."""
    folder = Path(jax.config.values["jax_compilation_cache_dir"])
    assert folder.parent == cache_folder() / "xla"
