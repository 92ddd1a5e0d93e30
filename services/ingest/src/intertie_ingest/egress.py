"""Which addresses may be reached from here: what is routed on the Internet, and what a connection's networks open.

`ipaddress.is_global` is no guard: in Python 3.11 it lets through multicast, site-local and every IPv6 address that
embeds an IPv4 one, of which one embeds 127.0.0.1. So the networks stand here, one by one.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from intertie_ingest.errors import AddressNotAllowed, ConnectionUnusable, ExternalUnavailable

Address: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]
#: From a name and a port to the addresses that the name has; raises OSError or UnicodeError
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

RESOLVE_SECONDS = 5.0
_MOST_NETWORKS = 100
#: what a host's name or number may be written with: also in other scripts, but no delimiter of a URL, blank or zone id
_HOST = re.compile(r"[^\x00-\x20\x7f/\\?#@:%\[\]<>^|\"'`{}]{1,253}")

_CLOSED: Networks = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host; also the unspecified address
        "169.254.0.0/16",  # link-local, with the clouds' metadata
        "100.100.100.200/32",  # metadata: Alibaba
        "168.63.129.16/32",  # metadata: Azure, in public space
        "192.0.0.0/24",  # protocol assignments; metadata of Oracle
        "192.0.2.0/24",  # documentation
        "198.51.100.0/24",
        "203.0.113.0/24",
        "192.31.196.0/24",  # AS112
        "192.175.48.0/24",
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarking
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",  # unspecified
        "fd00:ec2::/32",  # metadata: AWS
        "fd20:ce::/32",  # metadata: Google
        "100::/64",  # discard
        "100:0:0:1::/64",  # dummy prefix
        "2001:1::/32",  # protocol assignments: PCP, TURN
        "2001:2::/48",  # benchmarking
        "2001:3::/32",  # AMT
        "2001:4:112::/48",  # AS112
        "2001:10::/28",  # ORCHID
        "2001:20::/28",  # ORCHIDv2
        "2001:30::/28",  # drone remote ids
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)
"""Nothing opens these."""

_PRIVATE: Networks = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
    )
)
"""A connection's networks open these."""

_ROUTED_V6 = IPv6Network("2000::/3")
"""All that is routed in IPv6; what is neither here nor private is refused without having a name."""

_EMBEDDING: tuple[tuple[IPv6Network, int, int], ...] = (
    # the network, by how many bits the IPv4 address stands left of the end, and what it is combined with (Teredo)
    (IPv6Network("::ffff:0:0/96"), 0, 0),
    (IPv6Network("::ffff:0:0:0/96"), 0, 0),  # SIIT
    (IPv6Network("::/96"), 0, 0),
    (IPv6Network("64:ff9b::/96"), 0, 0),
    (IPv6Network("64:ff9b:1::/48"), 0, 0),
    (IPv6Network("2002::/16"), 80, 0),
    (IPv6Network("2001::/32"), 0, 0xFFFFFFFF),
)
"""Networks whose addresses embed one of IPv4. A connection's networks open them, if the embedded one may be reached."""


class Egress:
    """Says to which addresses a host and port may be connected."""

    def __init__(self, own: Collection[tuple[str, int]] = (), *, resolve: Resolve | None = None) -> None:
        """Args:
        own: the suite's listeners as (host, port), which are never reached, whatever a connection's networks open;
            with a host that is no address, or 0.0.0.0 or ::, the port is refused at every address of this machine.
        resolve: how names become addresses; default: as this machine does it.
        """
        self._own = frozenset((_parsed(host), port) for host, port in own)
        self._resolve = resolve or _resolve

    async def addresses(self, host: str, port: int, networks: Networks) -> list[str]:
        """The addresses to connect to instead of the name, in the order to try them: at least one, all checked.

        The name is resolved once, and refused when a single one of its addresses is: connecting to anything else than
        what this gives would open the door to a name that changes its mind. Raises AddressNotAllowed, and
        ExternalUnavailable for a name that has no address.
        """
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not 0 < port < 65536:
            raise AddressNotAllowed
        literal = _parsed(host)
        if literal is not None:
            found = [literal]
        elif _HOST.fullmatch(host):
            found = await self._look_up(host, port)
        else:
            raise AddressNotAllowed
        if not all(may_be_reached(address, networks) and not self._is_own(address, port) for address in found):
            raise AddressNotAllowed
        return list(dict.fromkeys(str(address) for address in found))

    async def _look_up(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                answers = await self._resolve(host, port)
        except UnicodeError:  # no name in any script
            raise AddressNotAllowed from None
        except (OSError, TimeoutError):
            answers = ()
        if not answers:
            raise ExternalUnavailable("the host's name cannot be resolved at the moment")
        found = [_parsed(answer) for answer in answers]
        addresses = [address for address in found if address is not None]
        if len(addresses) < len(found):
            raise AddressNotAllowed
        return addresses

    def _is_own(self, address: Address, port: int) -> bool:
        for reached in (address, *_embedded(address)):
            for own, own_port in self._own:
                if own_port != port:
                    continue
                if own == reached:
                    return True
                if (own is None or own.is_unspecified or own.is_loopback) and reached.is_loopback:
                    return True
                if (own is None or own.is_unspecified) and _is_of_this_machine(reached):
                    return True
        return False


def may_be_reached(address: Address, networks: Networks) -> bool:
    """Whether an address is routed on the Internet, or private and in one of the networks."""
    if _in(address, _CLOSED):
        return False
    opened = _in(address, networks)
    embedded = _embedded(address)
    # ::1 lies in the network of the IPv4-compatible addresses and is none.
    if embedded and not address.is_loopback:
        return opened and all(may_be_reached(inner, networks) for inner in embedded)
    if _in(address, _PRIVATE):
        return opened
    return isinstance(address, IPv4Address) or address in _ROUTED_V6


def networks_of(options: Mapping[str, Any]) -> Networks:
    """The connection's `allowed_networks`: private networks and addresses that it may reach.

    0.0.0.0/0 and ::/0 open all private ones, and still nothing that is never opened (link-local with the clouds'
    metadata, multicast, reserved and the like). Raises ConnectionUnusable, for people.
    """
    listed = options.get("allowed_networks")
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise ConnectionUnusable('allowed_networks must be a list of networks or addresses, such as ["10.1.0.0/16"]')
    if len(listed) > _MOST_NETWORKS:
        raise ConnectionUnusable(f"allowed_networks must not have more than {_MOST_NETWORKS} entries")
    networks = []
    for text in listed:
        try:
            networks.append(ip_network(text.strip()))
        except ValueError:
            message = f"allowed_networks: {text[:100]!r} is no network or address such as 10.1.0.0/16 or 10.1.2.3"
            raise ConnectionUnusable(message) from None
    return tuple(networks)


async def _resolve(host: str, port: int) -> Sequence[str]:
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]


def _parsed(text: str) -> Address | None:
    """The address that is written so; None for a name, and for an address with a zone, which is nobody's to choose."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def _in(address: Address, networks: Networks) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _embedded(address: Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    return [
        IPv4Address((int(address) >> shift & 0xFFFFFFFF) ^ mask)
        for network, shift, mask in _EMBEDDING
        if address in network
    ]


def _is_of_this_machine(address: Address) -> bool:
    """Whether this machine has the address: only its own can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
