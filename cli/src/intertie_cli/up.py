"""`intertie up`: the whole suite on this machine, until Ctrl-C."""

import asyncio
import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from intertie_chassis.errors import StartupError, Unavailable
from intertie_chassis.identity import KeyRing
from intertie_chassis.listening import is_loopback
from intertie_chassis.tls_files import TlsFiles
from intertie_cli import addresses, demo, owners
from intertie_cli.journal import Journal
from intertie_cli.session import Session
from intertie_cli.settings import CliSettings
from intertie_cli.supervisor import DEMO, PARTS, Supervisor

READY = "intertie is ready"
_DATABASE_PAUSE = 2.0


async def run_suite(
    session: Session,
    with_demo: Annotated[
        bool, typer.Option("--demo", help="Load the demo when the registry is empty; on the loopback only.")
    ] = False,
    metrics_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65_000,
            help="Show the metrics of all processes on the loopback: registry's on this port, the others' on the next "
            "ones, the gateway's on the last. 0: where the settings say so.",
        ),
    ] = 0,
) -> int:
    """Run the suite: registry, audit, ingest, pull, mapper and gateway, each a process of its own.

    Makes the tables (never in a database that holds other ones), starts again what crashes, stops everything on Ctrl-C.
    """
    settings = session.settings
    if with_demo:
        _refuse_a_public_demo(settings)
    tls = _certificates(settings)
    KeyRing(settings.data_dir).ensure()
    with _only_one(settings.data_dir):
        parts = (DEMO, *PARTS) if with_demo else PARTS
        names = tuple(part.name for part in parts)
        if with_demo and not settings.demo_listen:
            settings = settings.model_copy(update={"demo_listen": addresses.kept(demo.address_file(settings.data_dir))})
        if metrics_port:
            settings = addresses.with_metrics(settings, tuple(part.name for part in PARTS), metrics_port)
        addresses.check_free(settings, names)
        journal = Journal.of(settings)
        reached = addresses.reached(settings, names)
        environment = addresses.environment(settings, reached, journal.format)
        stop, at_once = _signals(journal)
        if not await _unless(stop, _migrate(session, environment, journal)):
            return 0
        supervisor = Supervisor(parts, environment, reached, journal, tls)
        supervisor.start()
        try:
            if await _unless(stop, _begin(session, supervisor, reached)):
                await stop.wait()
        finally:
            journal.say("stopping")
            await supervisor.stop(at_once)
            journal.say("all processes have ended")
    return 0


def _refuse_a_public_demo(settings: CliSettings) -> None:
    """Raises StartupError when others than this machine could reach the demo."""
    if not is_loopback(settings.gateway_listen):
        raise StartupError(
            f"the demo's secret is public and its pushes need none, so --demo is refused on {settings.gateway_listen}: "
            "let the gateway listen on the loopback (INTERTIE_GATEWAY_LISTEN=127.0.0.1:8080), or leave --demo out"
        )
    if settings.demo_listen and not is_loopback(settings.demo_listen):
        raise StartupError(
            f"the demo's token is public, so --demo is refused on {settings.demo_listen}: "
            "let its API listen on the loopback (INTERTIE_DEMO_LISTEN=127.0.0.1:8090), or leave one of the two out"
        )


def _certificates(settings: CliSettings) -> TlsFiles | None:
    """The command's own certificate, when the suite is to speak TLS.

    Raises StartupError when it cannot be used, or when all processes would share one.
    """
    if settings.tls_certificate or settings.tls_key or (settings.tls_ca and settings.tls_dir is None):
        raise StartupError(
            "INTERTIE_TLS_CERTIFICATE and INTERTIE_TLS_KEY are those of one process, and `intertie up` runs several, "
            "each with a certificate of its own: set INTERTIE_TLS_DIR (`intertie certs init` makes such a directory)"
        )
    return TlsFiles.of(settings, "cli")


async def _begin(session: Session, supervisor: Supervisor, reached: dict[str, str]) -> None:
    """Waits for all, loads the demo if it is one of them, and says what to do next."""
    await supervisor.wait_until_ready()
    with_demo = DEMO.name in reached
    left_out = await demo.load(session, reached[DEMO.name]) if with_demo else None
    url = f"http://{reached['gateway']}"
    lines = ["", f"{READY}: {url}", ""]
    if left_out:
        lines += [left_out, ""]
    if with_demo:
        lines += [demo.commands(url, _own_name(session))]
    session.printer.line("\n".join(lines))


async def _migrate(session: Session, environment: dict[str, str], journal: Journal) -> None:
    """Makes or mends the tables on MySQL, waiting for the database when it is away; embedded files do it themselves.

    Raises StartupError for a database that holds tables which are not ours.
    """
    settings = session.settings
    shared = [owner for owner in owners.OWNERS if not settings.database_url_for(owner).startswith("sqlite")]
    if not shared:
        return
    while True:
        try:
            for said in await owners.migrate(environment, await owners.states(environment, shared)):
                journal.say(said)
            return
        except Unavailable as error:
            journal.say(f"waiting for the database: {error.message}", "warning")
            await asyncio.sleep(_DATABASE_PAUSE)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Does the work unless told to stop meanwhile; gives whether it was done."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.wait((doing,))
        return False
    doing.result()
    return True


def _signals(journal: Journal) -> tuple[asyncio.Event, asyncio.Event]:
    """Events for the first and for the second Ctrl-C; a terminal that is closed counts, too."""
    stop, at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            journal.say("killing all processes", "warning")
            at_once.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop, at_once


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Holds the data directory: two suites on the same embedded files would each believe to be the only writer."""
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 20).decode().strip()
            raise StartupError(
                f"another `intertie up` (process {pid}) runs on {data_dir}: stop it, or name another --data-dir"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _own_name(session: Session) -> str:
    """How this command is called from the present directory, for the same data directory."""
    script = Path(sys.executable).parent / "intertie"
    here = Path.cwd()
    if script.exists():
        name = str(script.relative_to(here)) if script.is_relative_to(here) else str(script)
    else:
        name = f"{sys.executable} -m intertie_cli"
    data_dir = session.settings.data_dir
    default = type(session.settings).model_fields["data_dir"].default
    if data_dir == default:
        return shlex.quote(name) if " " in name and script.exists() else name
    return f"INTERTIE_DATA_DIR={shlex.quote(str(data_dir.absolute()))} {name}"
