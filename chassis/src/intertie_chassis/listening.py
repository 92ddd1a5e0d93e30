"""The addresses that processes listen on, ``host:port``."""

import ipaddress


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach the address."""
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reached_at(listen: str) -> str:
    """Where a process that listens on this ``host:port`` is reached from its own machine."""
    host, _, port = listen.rpartition(":")
    return f"{_REACHED_BY.get(host, host)}:{port}"


_REACHED_BY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}
