"""Who counts as one source when addresses are counted: an IPv4 address, and of IPv6 the /64 that one customer has."""

import socket

_MAPPED = bytes(10) + b"\xff\xff"
_LONGEST = 45
"""Of the text of any address; what is no address is cut to it."""


def source_of(address: str) -> str:
    """The source of a peer's address: `192.0.2.7` of itself and of `::ffff:192.0.2.7`, `2001:db8:1:2::/64` of any
    address in it. What is no address is a source of its own.
    """
    if ":" not in address:
        return address[:_LONGEST]
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address[:_LONGEST]
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"
