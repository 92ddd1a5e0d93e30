"""How a client reaches Intertie: addresses, token, certificates, and what goes along with every call."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intertie_client.plans import Terms
from intertie_client.tls import Tls, TlsFiles
from intertie_client.tokens import Token, module_in, source_of
from intertie_client.tracing import trace_headers

PROCESSES = ("registry", "ingest", "pull", "mapper")
"""The processes that answer modules."""
DEFAULT_ADDRESSES = {
    "registry": "127.0.0.1:50051",
    "ingest": "127.0.0.1:50052",
    "mapper": "127.0.0.1:50053",
    "pull": "127.0.0.1:50055",
}
"""Where they are on one machine, as `intertie up` starts them."""

Metadata = Callable[[], Iterable[tuple[str, str]]]
"""Gives further metadata of a call."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that a client is made of."""

    addresses: Mapping[str, str]
    """By process; a proxy's stands for all."""
    is_proxied: bool
    terms: Terms
    named_module: str = ""
    token: Callable[[], str] | None = field(default=None, repr=False)
    tls: TlsFiles | None = field(default=None, repr=False)
    metadata: Metadata | None = None

    def address(self, process: str) -> str:
        """Where a process is reached. Raises ValueError when nobody said."""
        found = self.addresses.get(process)
        if not found:
            raise ValueError(f"this client has no address of {process}: name it, or a proxy's for all")
        return found

    def module(self) -> str:
        """The module's name, as given or as its token has it. Raises ValueError without either."""
        name = self.named_module or (module_in(self.token()) if self.token is not None else "")
        if not name:
            raise ValueError("name the module: Client(…, module=…); the token does not say which it is")
        return name

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        """The metadata of a call. Raises Unauthenticated without a token where there should be one."""
        entries = [("x-request-id", request_id), *trace_headers()]
        if self.token is not None:
            entries.append(("authorization", f"Bearer {self.token()}"))
        if self.metadata is not None:
            entries.extend(self.metadata())
        return entries


def setup_of(
    address: str | None,
    services: Mapping[str, str | None],
    token: Token | None,
    tls: Tls | None,
    module: str | None,
    metadata: Metadata | None,
    terms: Terms,
) -> Setup:
    """The setup of a client's arguments. Raises ValueError for what does not go together."""
    given = {name: where for name, where in services.items() if where}
    if address and given:
        raise ValueError("either a proxy's address or the services' own, not both")
    if not address and not given:
        raise ValueError("a client needs an address: a proxy's, or those of the services that it calls")
    terms.until(None)
    return Setup(
        addresses=dict.fromkeys(PROCESSES, address) if address else given,
        is_proxied=bool(address),
        terms=terms,
        named_module=module or "",
        token=source_of(token),
        tls=None if tls is None else TlsFiles(tls),
        metadata=metadata,
    )


def arguments_from(env: Mapping[str, str] | None) -> dict[str, Any]:
    """The arguments of a client as the environment has them. Raises ValueError for half a configuration of TLS."""
    environment = os.environ if env is None else env

    def value(name: str) -> str:
        return environment.get(f"INTERTIE_{name}", "")

    arguments: dict[str, Any] = {}
    if value("ADDRESS"):
        arguments["address"] = value("ADDRESS")
    else:
        for process in PROCESSES:
            arguments[process] = value(f"{process.upper()}_ADDRESS") or DEFAULT_ADDRESSES[process]
    if value("TOKEN"):
        arguments["token"] = value("TOKEN")
    elif value("TOKEN_FILE"):
        arguments["token"] = Path(value("TOKEN_FILE"))
    if value("MODULE"):
        arguments["module"] = value("MODULE")
    tls = _tls_from(value)
    return arguments if tls is None else {**arguments, "tls": tls}


def _tls_from(value: Callable[[str], str]) -> Tls | None:
    ca, certificate, key = (value(f"TLS_{name}") or None for name in ("CA", "CERTIFICATE", "KEY"))
    if value("TLS_DIR"):
        directory, module = Path(value("TLS_DIR")), value("MODULE")
        own = directory / f"module-{module}.pem"
        if not module and not (certificate and key):
            raise ValueError("INTERTIE_TLS_DIR holds the module's certificate under its name: set INTERTIE_MODULE, too")
        return Tls(ca or directory / "ca.pem", certificate or own, key or own.with_suffix(".key"))
    return Tls(ca, certificate, key) if ca or certificate or key else None
