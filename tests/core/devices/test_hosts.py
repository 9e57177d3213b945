"""A process by itself; `test_several_processes.py` starts several."""

from __future__ import annotations

import pytest

from kvgg_jax.core.devices import hosts
from kvgg_jax.core.devices.stopping import agreed
from kvgg_jax.core.errors import RunError


def test_a_process_by_itself_is_the_main_one_and_asks_nobody() -> None:
    """Its answers are its own, as they are: no JSON, no wait."""
    value = object()
    assert (hosts.are_several(), hosts.is_main()) == (False, True)
    assert hosts.from_main(lambda: value) is value

    def stop() -> bool:
        return True

    assert agreed(stop) is stop


def test_a_fault_of_a_process_by_itself_is_raised() -> None:
    """Without a fault nothing is."""
    hosts.check_all(None)
    with pytest.raises(RunError) as caught:
        hosts.check_all("no photos")
    assert str(caught.value) == "no photos"
