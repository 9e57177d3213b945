"""Who is let in by name; the rest of the guard is tested with the server in test_app."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")
from kvgg_jax.web.serve.middleware import Hosts, is_loopback, name_of


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
    hosts = Hosts(bound)
    assert [name for name in right if not hosts(name)] == []
    assert [name for name in wrong if hosts(name)] == []


def test_a_further_name_can_be_given() -> None:
    """As behind a proxy; in any case of letters."""
    hosts = Hosts("127.0.0.1", ("Beans.Example",))
    assert hosts("beans.example")
    assert not hosts("other.example")


@pytest.mark.parametrize(
    ("origin", "host", "is_own"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", False),
        ("https://beans.example", "127.0.0.1:8000", True),  # a proxy that gives its own Host
        ("https://beans.example:8443", "beans.example", True),  # one that drops the port
        ("https://other.example", "127.0.0.1:8000", False),
        ("https://192.0.2.1", "beans.example", False),
        ("null", "127.0.0.1:8000", False),
    ],
)
def test_a_page_of_its_own_is_known_behind_a_proxy_too(origin, host, is_own) -> None:
    """By the name that `--allow-host` gives it; an address is not enough."""
    assert Hosts("0.0.0.0", ("Beans.Example",)).is_page(origin, host) == is_own


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_only_loopback_is_for_this_machine_alone(host: str, is_own: bool) -> None:
    """All else is warned of."""
    assert is_loopback(host) == is_own
