"""Another user than root, as whom the tests often run and whom permissions do not stop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Within the block, the user `nobody`, who can enter `folder`.

    Not below `tmp_path`, which lies in a folder of root's. Import before it what is needed.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder.chmod(0o755)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
