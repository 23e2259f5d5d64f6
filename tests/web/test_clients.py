"""Whose address counts (reliability.md AT-L1 and AT-L2)."""

from typing import Any

import pytest

from messenger.web.clients import find_address, name_peer, proxies

TRUSTED = proxies(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7", "unix"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        pytest.param("198.51.100.1", ["203.0.113.9"], "198.51.100.1", id="a stranger may claim anything"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="a proxy that says who"),
        pytest.param("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9", id="what the client wrote is left of it"),
        pytest.param("10.0.0.1", ["203.0.113.9, 10.0.0.2, 192.0.2.7"], "203.0.113.9", id="a chain of proxies"),
        pytest.param("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9", id="two header lines are one list"),
        pytest.param("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all are ours: the farthest"),
        pytest.param("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9", id="port"),
        pytest.param("10.0.0.1", ["[2001:db8::5]:443"], "2001:db8::5", id="IPv6 with port"),
        pytest.param("10.0.0.1", ["2001:DB8::5"], "2001:db8::5", id="IPv6 in capitals"),
        pytest.param("10.0.0.1", ["fe80::1%eth0"], "fe80::1", id="zone"),
        pytest.param("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9", id="IPv4 in IPv6"),
        pytest.param("10.0.0.1", ['"203.0.113.9"'], "203.0.113.9", id="quotes"),
        pytest.param("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1", id="garbage counts for the proxy"),
        pytest.param("10.0.0.1", ["203.0.113.9, _hidden, 10.0.0.2"], "10.0.0.2", id="garbage behind a proxy"),
        pytest.param("10.0.0.1", [", ,"], "10.0.0.1", id="empty hops"),
        pytest.param("10.0.0.1", ["[::1", "\udcff\x00"], "10.0.0.1", id="half a bracket and bytes"),
        pytest.param("2001:db8:1::9", ["203.0.113.9"], "203.0.113.9", id="IPv6 proxy"),
        pytest.param("unix", ["203.0.113.9"], "203.0.113.9", id="a proxy on this machine"),
    ],
)
def test_the_rightmost_hop_that_is_not_ours_counts(peer: str, forwarded: list[str], address: str) -> None:
    assert find_address(peer, forwarded, TRUSTED) == address


def test_nobody_is_trusted_unasked() -> None:
    for peer in ("127.0.0.1", "10.0.0.1", "::1", "unix"):
        assert find_address(peer, ["203.0.113.9"], proxies([])) == peer


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (("203.0.113.9", 4711), "203.0.113.9"),
        (("::ffff:203.0.113.9", 4711, 0, 0), "203.0.113.9"),
        (("fe80::1%eth0", 4711, 0, 2), "fe80::1"),
        ("", "unix"),
        ("/run/proxy.sock", "unix"),
        (None, "unix"),
    ],
)
def test_a_peer_is_named_without_port_and_zone(peer: Any, name: str) -> None:
    assert name_peer(peer) == name


@pytest.mark.parametrize("name", ["proxy.local", "10.0.0.0/64", "", "10.0.0.1:80"])
def test_a_proxy_that_is_no_address_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        proxies([name])
