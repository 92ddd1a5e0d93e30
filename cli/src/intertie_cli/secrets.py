"""`intertie secrets`: how the credentials in the database are kept, and the keys that they are sealed with."""

import asyncio
import sys
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from intertie.registry.v1 import secrets_pb2
from intertie_chassis.sealing import SealingKey
from intertie_cli import cells
from intertie_cli.output import Column, Printer
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("secrets", "How the credentials in the database are kept, and the keys that they are sealed with.")

KEYS: list[Column] = [
    ("key", lambda key: key.key_id),
    ("use", lambda key: "seals" if key.is_present else "opens" if key.is_known else "missing"),
    ("credentials", lambda key: cells.number(key.sealed) or "0"),
]
PLACES: list[Column] = [
    ("connection", lambda place: cells.number(place.connection_id)),
    ("system", lambda place: place.system),
    ("field", lambda place: place.field),
    ("problem", lambda place: place.problem),
]

Walk = AsyncIterable[secrets_pb2.SealSecretsResponse] | AsyncIterable[secrets_pb2.RotateSecretsResponse]
Show = Callable[[secrets_pb2.SecretsProgress], None]


@verb(app, "status")
async def show_status(session: Session) -> None:
    """Show how many credentials are sealed with which key, and where any stand in clear text or cannot be opened."""
    status = await session.secrets.GetSecretsStatus(secrets_pb2.GetSecretsStatusRequest())
    printer = session.printer
    if printer.is_json:
        printer.item(status)
        return
    printer.items(status.keys, KEYS, none="There is no sealing key.")
    printer.line(f"\n{status.sealed} sealed, {len(status.clear)} in clear text, {len(status.unreadable)} unreadable")
    if status.clear:
        printer.line("\nIn clear text; `intertie secrets seal` encrypts them:")
        printer.items(status.clear, PLACES, none="")
    if status.unreadable:
        printer.line("\nSealed, and cannot be opened; their connections are closed until they are set anew:")
        printer.items(status.unreadable, PLACES, none="")


@verb(app, "seal")
async def seal_secrets(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be encrypted.")] = False,
) -> int:
    """Encrypt, where they stand, credentials that SQL or an existing application wrote in clear text.

    May be stopped and run again at any time.
    """
    walk = session.secrets.SealSecrets(secrets_pb2.SealSecretsRequest(dry_run=dry_run))
    return await _follow(session, walk, "would be sealed" if dry_run else "sealed")


@verb(app, "rotate")
async def rotate_secrets(
    session: Session,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a new key first, where registry keeps its keys in a file.")
    ] = False,
    drop_old_keys: Annotated[
        bool,
        typer.Option(
            "--drop-old-keys",
            help="Forget, at the end, the keys of that file that seal nothing any more; backups need them.",
        ),
    ] = False,
) -> int:
    """Encrypt with the present key what other keys sealed, while everything runs.

    May be stopped and run again (then without --new-key) at any time.
    """
    request = secrets_pb2.RotateSecretsRequest(new_key=new_key, drop_old_keys=drop_old_keys)
    return await _follow(session, session.secrets.RotateSecrets(request), "sealed anew")


@verb(app, "keygen")
async def make_key(session: Session) -> None:
    """Print a new key, a line as key files and INTERTIE_SECRETS_KEYS hold it, and nothing else."""
    key = SealingKey.new()
    if session.printer.is_json:
        session.printer.json({"key_id": key.id, "line": key.line()})
    else:
        session.printer.line(key.line())


async def _follow(session: Session, walk: Walk, done: str) -> int:
    """Shows how far a walk is until it has ended, and what it came to; 1 when something could not be done."""
    progress = secrets_pb2.SecretsProgress()
    printer = session.printer
    try:
        with _display(printer) as show:
            async for answer in walk:
                progress = answer.progress
                show(progress)
    except asyncio.CancelledError:
        printer.note(f"stopped after {progress.connections_done} connections; run it again to go on")
        raise
    if printer.is_json:
        printer.item(progress)
    else:
        key = f" with the key {progress.key_id}" if progress.key_id else ""
        printer.line(f"{progress.connections_total} connections, {progress.changed} credentials {done}{key}")
        if progress.problems:
            printer.items(progress.problems, PLACES, none="")
    return 1 if progress.problems else 0


@contextmanager
def _display(printer: Printer) -> Iterator[Show]:
    """A bar at a terminal, on standard error; elsewhere nothing."""
    if not sys.stderr.isatty() or printer.is_json:
        yield lambda progress: None
        return
    columns = (TextColumn("connections"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda progress: bar.update(
            task, completed=progress.connections_done, total=progress.connections_total or None
        )
