"""`intertie db`: brings the tables of all owners up to this version, or takes over those of an existing deployment."""

from typing import Annotated

import typer

from intertie_chassis.errors import StartupError
from intertie_cli import addresses, owners
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("db", "The tables of all owners.")


@verb(app, "status")
async def show_status(session: Session) -> int:
    """Show how the tables of each owner stand. Exit code 1 unless all fit this version."""
    found = await owners.states(_environment(session))
    if session.printer.is_json:
        session.printer.json(
            [
                {"owner": each.owner, "dialect": each.dialect, "current": each.current, "head": each.head}
                | {"state": each.state, "warnings": list(each.warnings)}
                for each in found
            ]
        )
    else:
        headings = ["owner", "database", "revision", "needed", "state", "meaning"]
        session.printer.rows(
            headings,
            ([each.owner, each.dialect, each.current, each.head, each.state, each.meaning] for each in found),
        )
        for each in found:
            for warning in each.warnings:
                session.printer.note(warning)
    return 0 if all(each.state in ("current", "ahead") for each in found) else 1


@verb(app, "migrate")
async def migrate(session: Session) -> None:
    """Make the tables of all owners, or bring them up to this version. Refused where tables are not ours: see adopt."""
    environment = _environment(session)
    said = await owners.migrate(environment, await owners.states(environment))
    for text in said or ["nothing to do: the tables of all owners fit this version"]:
        session.printer.line(text)


@verb(app, "adopt")
async def adopt(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements and change nothing.")] = False,
) -> None:
    """Take over the tables of an existing deployment: every row is kept, and what works on them today goes on working.

    Prints each statement with its reason. May be run again: what is done is not done twice.
    """
    environment = _environment(session)
    found = await owners.states(environment)
    if any(state.dialect != "mysql" for state in found):
        raise StartupError(
            "only MySQL and MariaDB databases are adopted, and INTERTIE_DATABASE_URL does not name one for every "
            "owner; embedded databases are made by themselves"
        )
    for state in found:
        if state.state == "empty":
            # An owner with a database of its own that is new: nothing to adopt there.
            if dry_run:
                session.printer.line(f"-- {state.owner}: its database is empty; its tables would be made")
                continue
            outcome = await owners.run(state.owner, "migrate", environment=environment)
        else:
            outcome = await owners.run(state.owner, "adopt", *(["--dry-run"] * dry_run), environment=environment)
        if outcome.output:
            session.printer.line(outcome.output.rstrip("\n"))
        outcome.raise_for_code()


def _environment(session: Session) -> dict[str, str]:
    return addresses.environment(session.settings, {}, "json")
