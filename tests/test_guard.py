"""Who is let in by name; the rest of the guard is tested with the server in test_app."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
from kvgg_jax.serving.guard import allowed_hosts, is_loopback, name_of

pytestmark = pytest.mark.extras


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8000", "127.0.0.1"),
        ("LocalHost", "localhost"),
        ("[::1]:8000", "::1"),
        ("", ""),
        ("[broken", ""),
        ("user@localhost", "localhost"),
    ],
)
def test_a_host_header_has_a_name(host: str, name: str) -> None:
    """Without its port."""
    assert name_of(host) == name


@pytest.mark.parametrize(
    ("bound", "right", "wrong"),
    [
        ("127.0.0.1", ("127.0.0.1", "127.0.0.2", "localhost", "::1"), ("192.0.2.1", "a.example")),
        ("localhost", ("localhost", "127.0.0.1"), ("localhost.example", "")),
        ("0.0.0.0", ("192.0.2.1", "127.0.0.1", "localhost", "2001:db8::1"), ("a.example", "0")),
        ("beans.example", ("beans.example", "192.0.2.1"), ("a.example",)),
    ],
)
def test_a_server_has_the_names_of_where_it_listens(bound, right, wrong) -> None:
    """A foreign page has to come under a name of its own, which is none of them."""
    is_host = allowed_hosts(bound)
    assert [name for name in right if not is_host(name)] == []
    assert [name for name in wrong if is_host(name)] == []


def test_a_further_name_can_be_given() -> None:
    """As behind a proxy; in any case of letters."""
    is_host = allowed_hosts("127.0.0.1", ("Beans.Example",))
    assert is_host("beans.example")
    assert not is_host("other.example")


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_loopback_is_for_this_machine_alone(host: str, is_own: bool) -> None:
    """All else is warned of."""
    assert is_loopback(host) == is_own
