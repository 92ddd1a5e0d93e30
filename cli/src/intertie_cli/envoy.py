"""`intertie envoy`: writes the configuration of an Envoy in front of the suite, made from what the services say."""

import asyncio
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Annotated

import typer

from intertie_chassis.errors import StartupError, Unauthenticated
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.settings import SERVICES
from intertie_gateway.envoy import binary, difference, document, listeners, reflected, routes, straight, tls
from intertie_gateway.envoy.clusters import Address
from intertie_gateway.settings import GatewaySettings

_UPSTREAM = ("envoy.pem", "envoy.key", "ca.pem")
_CALL_SECONDS = 30.0
"""What a service allows a call whose caller names no deadline."""

_Listen = Annotated[str, typer.Option(help="Where Envoy takes HTTP.")]
_Grpc = Annotated[str, typer.Option(help="Where Envoy takes gRPC for modules. Empty: nowhere.")]
_Stats = Annotated[str, typer.Option(help="Where Envoy shows GET /stats/prometheus and /ready. Empty: nowhere.")]
_Admin = Annotated[str, typer.Option(help="Where Envoy has its admin page; keep it on the loopback.")]
_Gateway = Annotated[
    str, typer.Option(help="Where Envoy reaches the gateway; else where INTERTIE_GATEWAY_LISTEN says.")
]
_Out = Annotated[Path | None, typer.Option(help="Directory of the files; else `envoy` in the data directory.")]
_Seen = Annotated[str, typer.Option(help="The same directory as Envoy sees it, in a container say.")]
_Watched = Annotated[
    bool, typer.Option("--watched", help="Files for clusters, listeners and routes that a running Envoy watches.")
]
_Certs = Annotated[
    str,
    typer.Option(help=f"Directory with {', '.join(_UPSTREAM)}, to call services with TLS; else INTERTIE_TLS_DIR."),
]
_Certificate = Annotated[str, typer.Option(help="The certificate, in PEM, that both listeners show.")]
_Key = Annotated[str, typer.Option(help="Its private key.")]
_Clients = Annotated[str, typer.Option(help="The authority whose certificates callers of the gRPC listener must have.")]
_HttpClients = Annotated[str, typer.Option(help="The same of the HTTP listener.")]
_Hops = Annotated[int, typer.Option(min=0, max=10, help="Proxies before Envoy whose X-Forwarded-For is believed.")]
_Check = Annotated[bool, typer.Option("--check", help="Let Envoy validate it; what it refuses is not written.")]
_Diff = Annotated[
    bool, typer.Option("--diff", help="Write nothing; show what would change. Exit code 1 when something would.")
]


async def configure(
    session: Session,
    out: _Out = None,
    watched: _Watched = False,
    diff: _Diff = False,
    check: _Check = False,
    listen: _Listen = "127.0.0.1:8000",
    grpc_listen: _Grpc = "127.0.0.1:50050",
    stats_listen: _Stats = "127.0.0.1:9902",
    admin: _Admin = "127.0.0.1:9901",
    gateway: _Gateway = "",
    certificate: _Certificate = "",
    key: _Key = "",
    client_ca: _Clients = "",
    http_client_ca: _HttpClients = "",
    certs: _Certs = "",
    trusted_hops: _Hops = 0,
    seen_at: _Seen = "",
) -> int | None:
    """Write the configuration of an Envoy in front of the suite, made from what the running services say.

    Plain requests of annotated methods go straight to their services as gRPC; what is odd, holds JSON documents or is
    delivered goes to the gateway, so that both edges answer alike. The same services give the same files.
    """
    settings = GatewaySettings.load()
    directory = (out or session.settings.data_dir / "envoy").absolute()
    plan = document.Plan(
        services={name: Address.parse(session.settings.address_of(name), name) for name in SERVICES},
        gateway=Address.parse(gateway or _reached(settings.gateway_listen), "--gateway"),
        listen=Address.parse(listen, "--listen"),
        grpc_listen=Address.parse(grpc_listen, "--grpc-listen") if grpc_listen else None,
        admin=Address.parse(admin, "--admin"),
        stats_listen=Address.parse(stats_listen, "--stats-listen") if stats_listen else None,
        limits=listeners.Limits(
            settings.gateway_max_body_bytes,
            settings.gateway_headers_seconds,
            settings.gateway_body_seconds,
            settings.gateway_idle_seconds,
            trusted_hops,
        ),
        times=routes.Times(settings.gateway_deadline_seconds, _CALL_SECONDS),
        most_calls=settings.max_concurrent_calls,
        most_connections=settings.gateway_max_connections,
        tls=_tls(session, certs, (certificate, key), (client_ca, http_client_ca), is_here=not seen_at),
        directory=PurePath(seen_at) if seen_at else directory,
        counts_addresses=bool(settings.gateway_address_rate or settings.gateway_address_in_flight),
        is_watched=watched,
    )
    told = reflected.together({name: await _ask(session, name) for name in SERVICES})
    files = document.files(plan, told)
    if check:
        program = await asyncio.to_thread(binary.check, plan, told)
        session.printer.note(f"{program} finds the configuration valid")
    found = difference.changes(directory, files)
    if diff:
        if found:
            session.printer.line(difference.told(found))
        session.printer.note(f"{len(found)} files of {directory} would change" if found else "nothing would change")
        return 1 if found else None
    difference.place(directory, found)
    _say_what_was_written(session, directory, plan, told, found)
    return None


async def _ask(session: Session, service: str) -> reflected.Reflected:
    """Raises what the channel raises, in the words of the command, and StartupError."""
    try:
        return await reflected.ask(session.channel(service))
    except StartupError as error:
        raise StartupError(f"{service} on {session.settings.address_of(service)}: {error}") from None
    except Unauthenticated as error:
        raise Unauthenticated(f"{service} does not tell its contracts: {error.message}") from None


def _reached(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return f"{'127.0.0.1' if host in ('', '0.0.0.0') else '[::1]' if host == '[::]' else host}:{port}"


def _tls(session: Session, certs: str, served: tuple[str, str], clients: tuple[str, str], *, is_here: bool) -> tls.Tls:
    """Raises UsageError for half a pair, StartupError for a file that is not there."""
    if bool(served[0]) != bool(served[1]):
        raise UsageError("--certificate and --key go together")
    if any(clients) and not served[0]:
        raise UsageError("--client-ca and --http-client-ca need --certificate: without TLS nobody shows one")
    own = certs or (str(session.settings.tls_dir) if session.settings.tls_dir is not None else "")
    paths = [str(PurePath(own) / file) for file in _UPSTREAM] if own else ["", "", ""]
    upstream_certificate, upstream_key, authority, certificate, key, client_ca, http_client_ca = (
        PurePath(Path(path).absolute()) if path and is_here else PurePath(path) if path else None
        for path in (*paths, *served, *clients)
    )
    for path in (upstream_certificate, upstream_key, authority, certificate, key, client_ca, http_client_ca):
        if is_here and path is not None and not Path(path).is_file():
            remedy = "; `intertie certs issue envoy` makes it" if PurePath(path).name.startswith("envoy.") else ""
            raise StartupError(f"TLS: {path} is not there{remedy}")
    return tls.Tls(
        tls.Pair(upstream_certificate, upstream_key) if upstream_certificate and upstream_key else None,
        authority,
        tls.Pair(certificate, key) if certificate and key else None,
        client_ca,
        http_client_ca,
    )


def _say_what_was_written(
    session: Session,
    directory: Path,
    plan: document.Plan,
    told: reflected.Contracts,
    found: list[difference.Change],
) -> None:
    judged = document.judged(plan, told)
    count = sum(isinstance(one, straight.Straight) for one in judged)
    start = replace(plan, directory=directory).directory / document.BOOTSTRAP
    if session.printer.is_json:
        session.printer.json({"directory": str(directory), "changed": [change.name for change in found]})
    elif found:
        session.printer.line(f"{directory}: wrote {', '.join(change.name for change in found if change.after)}")
    else:
        session.printer.line(f"{directory}: nothing has changed")
    session.printer.note(
        f"{count} of {len(judged)} annotated routes go straight to their services when a request is plain; start it "
        f"with `envoy -c {start}`, and name its address in the gateway's INTERTIE_GATEWAY_TRUSTED_PROXIES"
    )
