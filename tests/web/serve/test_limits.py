"""What may be in progress at one time."""

from __future__ import annotations

import pytest

from kvgg_jax.core.errors import UsageError
from kvgg_jax.web.serve.limits import CapacityLimit, Full, Limits, client_of


def test_capacity_is_given_back_whatever_happens() -> None:
    """All of it or nothing is taken."""
    room = CapacityLimit(3, each=3)
    with room.take("a", 2):
        with pytest.raises(Full), room.take("a", 2):
            pass
        with room.take("a", 1):
            assert room.used == 3
    with pytest.raises(KeyError), room.take("a", 2):
        raise KeyError
    assert (room.used, room.__dict__["_by_client"]) == (0, {})


def test_capacity_is_taken_bit_by_bit() -> None:
    """What was taken until there was no more is given back."""
    room = CapacityLimit(3, each=3)
    with room.take("a") as more:
        for taken in (1, 2, 3):
            more(1)
            assert room.used == taken
        with pytest.raises(Full):
            more(1)
    assert room.used == 0


def test_a_client_gets_its_share_and_leaves_the_rest_to_others() -> None:
    """All together get no more than there is."""
    room = CapacityLimit(3, each=2)
    with room.take("a", 2):
        with pytest.raises(Full), room.take("a", 1):
            pass
        with room.take("b", 1), pytest.raises(Full), room.take("c", 1):
            pass


def test_behind_a_proxy_all_clients_are_one() -> None:
    """So what one may have is what all may have."""
    assert Limits().capacity(8, 2).each == 2
    assert Limits(shared=True).capacity(8, 2).each == 8


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_address_or_a_network_that_one_may_own(address: str, client: str) -> None:
    """Who has an IPv6 address has 2**64 of them."""
    assert client_of(address) == client


def test_a_request_that_could_never_be_answered_is_a_usage_error() -> None:
    """It would have more photos, or one more pixels, than may be in progress."""
    never = "such a request could never be answered. Raise the first or lower the second."
    with pytest.raises(UsageError) as caught:
        Limits(waiting=8)
    assert str(caught.value) == f"--queue 8 is less than --max-files 32: {never}"
    with pytest.raises(UsageError) as caught:
        Limits(request_pixels=40_000_000)
    assert str(caught.value) == (
        f"--max-request-megapixels 40 is less than --max-megapixels 50: {never}"
    )
