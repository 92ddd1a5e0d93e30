"""HTTP connections that lead only to addresses that were checked."""

import ssl
from collections.abc import Iterable

import httpcore
import httpx

from intertie_ingest.egress import Egress, Networks

CONNECT_SECONDS = 5.0
_KEEP_SECONDS = 30.0


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to what egress gives for a name, and to nothing else.

    The name is resolved here and nowhere else, right before connecting, so that no second answer can differ from the
    one that was checked. TLS and the Host header go on to use the name.
    """

    def __init__(self, egress: Egress, networks: Networks) -> None:
        self._egress = egress
        self._networks = networks
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that takes one. Raises what egress raises, and httpcore's errors."""
        failure: Exception | None = None
        for address in await self._egress.addresses(host, port, self._networks):
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        """Waits; httpcore's own retries, which are off, would use it."""
        await self._sockets.sleep(seconds)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """HTTP/1.1 over a `CheckedBackend`: no proxies, no environment, no sockets of the file system."""

    def __init__(self, egress: Egress, networks: Networks, tls: ssl.SSLContext, most_connections: int) -> None:
        """Args:
        most_connections: how many there are at once; further requests wait for one.
        """
        super().__init__(verify=tls, trust_env=False)
        # httpx has no parameter for it. The pool that it made has no connections yet, and so nothing to close.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=most_connections,
            max_keepalive_connections=most_connections,
            keepalive_expiry=_KEEP_SECONDS,
            network_backend=CheckedBackend(egress, networks),
        )
