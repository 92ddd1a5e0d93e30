"""The verbs of a server process with tables: ``python -m intertie_registry [serve|migrate|adopt|status]``.

Its faults are told, and end it, as `program` says.
"""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import exc

from intertie_chassis import program
from intertie_chassis.adoption import Adopter, adopt_database
from intertie_chassis.database import Database
from intertie_chassis.migrations import Migrations
from intertie_chassis.settings import Settings

S = TypeVar("S", bound=Settings)


Warn = Callable[[Database], Awaitable[list[str]]]
"""What an operator should know about the tables of an owner, each in one line; shown by the verb status."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that one process has beside those of all."""

    name: str
    help: str
    #: gets the settings, gives the exit code
    run: Callable[[Any], Awaitable[int]]


def main(
    owner_name: str,
    serve: Callable[[S], Awaitable[None]],
    settings_type: type[S],
    migrations: Migrations,
    adopt: Adopter | None = None,
    arguments: list[str] | None = None,
    *,
    module: str | None = None,
    warn: Warn | None = None,
    verbs: Sequence[Verb] = (),
) -> int:
    """Runs the verb on the command line and gives the process's exit code.

    Args:
        owner_name: registry, ingest, pull, mapper or audit; also the name in the logs.
        serve: builds the server and runs it until told to stop. On embedded SQLite the migrations have run before.
        migrations: the owner's.
        adopt: plans what an existing database needs; see `adoption`.
        arguments: instead of the command line, for tests.
        module: what `python -m` runs, when it is not the package that is named like the owner.
        warn: what the verb status tells beside the state of the tables, once they fit.
        verbs: more of them.
    """
    parser = _parser(module or f"intertie_{owner_name}", adopt is not None, verbs)
    options = parser.parse_args(arguments)

    def work() -> int:
        settings = program.begin(owner_name, settings_type)
        for verb in verbs:
            if options.verb == verb.name:
                return program.run(verb.run(settings))
        if options.verb == "serve":
            program.run(_serve(serve, settings, migrations))
        elif options.verb == "migrate":
            program.run(_migrate(settings, migrations))
        elif options.verb == "status":
            program.run(_status(settings, migrations, warn))
        elif adopt is not None:
            program.run(_adopt(settings, migrations, adopt, options.dry_run))
        return 0

    try:
        return program.exit_code(owner_name, work)
    except exc.SQLAlchemyError as error:
        # Of the person who runs this command, on their terminal: here the database's own words help.
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        print(f"{owner_name}: the database refused: {cause}", file=sys.stderr)  # noqa: T201
        return program.EXIT_CONFIG


def _parser(module: str, can_adopt: bool, more: Sequence[Verb]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", required=False)
    verbs.add_parser("serve", help="answer calls (the default)")
    verbs.add_parser("migrate", help="make the tables, or bring them up to this version")
    verbs.add_parser("status", help="print the state of the tables as JSON")
    if can_adopt:
        verb = verbs.add_parser("adopt", help="take over the tables of an existing deployment")
        verb.add_argument("--dry-run", action="store_true", help="print the statements and change nothing")
    for one in more:
        verbs.add_parser(one.name, help=one.help)
    parser.set_defaults(verb="serve", dry_run=False)  # after the verbs, whose own default would be None
    return parser


async def _serve(serve: Callable[[S], Awaitable[None]], settings: S, migrations: Migrations) -> None:
    database = await _open(settings, migrations)
    try:
        # An embedded file belongs to nobody else; a MySQL database is migrated when its operator says so.
        if database.dialect == "sqlite":
            await migrations.upgrade(database, settings.table_prefix)
    finally:
        await database.close()
    program.spare_what_stays()
    await serve(settings)


async def _migrate(settings: Settings, migrations: Migrations) -> None:
    database = await _open(settings, migrations)
    try:
        ran = await migrations.upgrade(database, settings.table_prefix)
        print(f"{migrations.owner}: " + (f"ran {', '.join(ran)}" if ran else "nothing to do"))  # noqa: T201
    finally:
        await database.close()


async def _status(settings: Settings, migrations: Migrations, warn: Warn | None) -> None:
    database = await _open(settings, migrations)
    try:
        state = await migrations.state(database, settings.table_prefix)
        answer = {
            "owner": migrations.owner,
            "dialect": database.dialect,
            "current": state.current,
            "head": state.head,
            "state": state.state,
            "warnings": [
                *(f"{migrations.owner}: the database may lose acknowledged data: {one}" for one in database.weaknesses),
                *(await warn(database) if warn and state.state == "current" else []),
            ],
        }
        print(json.dumps(answer))  # noqa: T201
    finally:
        await database.close()


async def _adopt(settings: Settings, migrations: Migrations, adopt: Adopter, dry_run: bool) -> None:
    database = await _open(settings, migrations)
    try:
        await adopt_database(database, settings.table_prefix, migrations, adopt, dry_run=dry_run)
    finally:
        await database.close()


async def _open(settings: Settings, migrations: Migrations) -> Database:
    return await Database.open(settings.database_url_for(migrations.owner), table_prefix=settings.table_prefix)
