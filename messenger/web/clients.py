"""Where a request comes from: the peer, or what a trusted proxy says of it. Nobody else is believed.

The rightmost hop of X-Forwarded-For that is not itself trusted counts; who wrote the hops left of it is unknown.
A hop that is not an address ends the walk: the request then counts for the proxy that passed it on.
A peer on a Unix socket has no address; it is a proxy on this machine, trusted only when TRUSTED_PROXIES names `unix`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from aiohttp import web
from multidict import istr

from messenger.identity import Caller
from messenger.web.app_keys import ADDRESS, REQUEST_ID, root_of

UNIX = "unix"
IPV6_PREFIX = 64  # one household or server owns a whole /64
FORWARDED_FOR = istr("X-Forwarded-For")
FORWARDED_PROTO = istr("X-Forwarded-Proto")


@dataclass(frozen=True, slots=True)
class Proxies:
    """Whose word is taken for where a request comes from."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    def include(self, address: str) -> bool:
        if address == UNIX:
            return self.unix
        found = _parse(address)
        return found is not None and any(found in network for network in self.networks)


PROXIES: web.AppKey[Proxies] = web.AppKey("proxies", Proxies)


def proxies(names: Iterable[str]) -> Proxies:
    """From TRUSTED_PROXIES; raises ValueError for what is neither an address, a network nor `unix`."""
    networks = []
    unix = False
    for name in names:
        if name == UNIX:
            unix = True
        else:
            networks.append(ip_network(name, strict=False))
    return Proxies(tuple(networks), unix)


def find_address(peer: str, forwarded: Sequence[str], trusted: Proxies) -> str:
    """`forwarded`: the values of X-Forwarded-For in the order of their lines."""
    address = peer
    if not forwarded or not trusted.include(peer):
        return address
    for hop in reversed(",".join(forwarded).split(",")):
        found = _parse_hop(hop)
        if found is None:
            break
        address = str(found)
        if not trusted.include(address):
            break
    return address


def address_of(request: web.Request) -> str:
    known = request.get(ADDRESS)
    if known is None:
        known = name_peer(request.remote)
        if forwarded := request.headers.getall(FORWARDED_FOR, ()):
            known = find_address(known, forwarded, root_of(request)[PROXIES])
        request[ADDRESS] = known
    return known


def caller_of(request: web.Request) -> Caller:
    return Caller(address_of(request), request[REQUEST_ID])


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What one person can hop about in for free counts as one address."""
    found = _parse(address)
    if found is None:
        return address[:64]
    return str(ip_network((found.packed, IPV6_PREFIX), strict=False)) if isinstance(found, IPv6Address) else str(found)


@lru_cache(maxsize=1024)
def name_peer(peer: str | tuple[Any, ...] | None) -> str:
    """The address without port and zone; IPv4 seen through an IPv6 socket is IPv4."""
    found = _parse(str(peer[0] if isinstance(peer, tuple) else peer))
    return UNIX if found is None else str(found)


def is_secure(request: web.Request) -> bool:
    """TLS up to us, or up to a proxy that is trusted to say so."""
    if request.secure:
        return True
    said = request.headers.get(FORWARDED_PROTO)
    if said is None:
        return False
    return said.rpartition(",")[2].strip().lower() == "https" and root_of(request)[PROXIES].include(
        name_peer(request.remote)
    )


def _parse_hop(hop: str) -> IPv4Address | IPv6Address | None:
    hop = hop.strip().strip('"')
    if hop.startswith("["):  # [2001:db8::1]:443
        return _parse(hop[1:].partition("]")[0])
    if hop.count(":") == 1:  # 192.0.2.1:443
        hop = hop.partition(":")[0]
    return _parse(hop)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
