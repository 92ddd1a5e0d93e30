"""`intertie token`: tokens for people, modules and services."""

from typing import Annotated

import typer

from intertie_chassis.identity import KeyRing
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("token", "Tokens for people, modules and services.")


@app.callback()
def tokens() -> None:
    """Tokens for people, modules and services."""


@verb(app, "issue")
async def issue_token(
    session: Session,
    role: Annotated[str, typer.Option("--role", help="admin, operator, viewer, module:NAME or service:NAME.")],
    subject: Annotated[
        str | None, typer.Option("--subject", help="Whom it is for, as the audit shows it. Default: the role.")
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.001, max=3650, help="How long it is valid.")] = 90,
) -> None:
    """Print a new token, and nothing else. It is signed with the data directory's key, so no service is asked."""
    keys = KeyRing(session.settings.data_dir)
    if not keys.can_sign:
        session.printer.note(f"there is no signing key in {session.settings.data_dir} yet: making one")
    session.printer.line(keys.issue(role, subject, days))
