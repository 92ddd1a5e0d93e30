"""`intertie token`: tokens for people, modules and services, and an end to them."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from intertie_chassis.errors import StartupError
from intertie_chassis.identity import KeyRing
from intertie_chassis.issued_tokens import IssuedToken
from intertie_cli import cells
from intertie_cli.options import Yes, confirm
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("token", "Tokens for people, modules and services.")

Subject = Annotated[str, typer.Option("--subject", help="For this subject.")]
Role = Annotated[str, typer.Option("--role", help="Of this role; module or service alone means all of them.")]


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


@verb(app, "list")
async def list_tokens(
    session: Session,
    subject: Subject = "",
    role: Role = "",
    active: Annotated[bool, typer.Option("--active", help="Only those that hold.")] = False,
) -> None:
    """List the tokens that were issued here. Those that services mint for themselves each hour are not written down."""
    tokens = _chosen(existing_keys(session).issued_tokens(), subject, role, active=active)
    if session.printer.is_json:
        session.printer.json([_document(token) for token in tokens])
    elif tokens:
        headings = ["id", "role", "subject", "issued", "expires", "state"]
        session.printer.rows(headings, (list(_document(token).values())[: len(headings)] for token in tokens))
    else:
        session.printer.note("There are no such tokens.")


@verb(app, "revoke")
async def revoke_tokens(
    session: Session,
    tokens: Annotated[
        list[str] | None, typer.Argument(help="Ids of tokens, or - to read a token itself from standard input.")
    ] = None,
    subject: Subject = "",
    role: Role = "",
    yes: Yes = False,
) -> None:
    """Refuse tokens from now on: those named, or all that a subject or a role has. Takes effect within 5 seconds."""
    if bool(tokens) == bool(subject or role):
        raise UsageError("name the tokens to revoke by their ids, or by --subject and --role")
    keys = existing_keys(session)
    if tokens == ["-"]:
        ids = [keys.revoke_text(sys.stdin.read().strip())]
        session.printer.note(f"revoked {ids[0]}")
    else:
        ids = tokens or [token.id for token in _chosen(keys.issued_tokens(), subject, role, active=True)]
        if not ids:
            session.printer.note("there are no active tokens of this kind: nothing was revoked")
            return
        if not tokens:
            confirm(f"Revoke {_count(len(ids))}?", yes)
        count = keys.revoke(ids)
        before = f"; {len(ids) - count} had been revoked before" if count < len(ids) else ""
        session.printer.note(f"revoked {_count(count)}{before}")
    if keys.admin_token_id() in ids:
        session.printer.note(
            f"the admin token in {session.settings.data_dir} is among them: the next start, or `intertie token issue`, "
            "makes a new one"
        )


def existing_keys(session: Session) -> KeyRing:
    """The data directory's keys. Raises StartupError when there are none: a command that only looks makes none."""
    keys = KeyRing(session.settings.data_dir)
    if not keys.can_sign:
        raise StartupError(f"there are no keys in {session.settings.data_dir}; name the data directory with --data-dir")
    return keys


def _chosen(tokens: list[IssuedToken], subject: str, role: str, *, active: bool) -> list[IssuedToken]:
    return [
        token
        for token in tokens
        if (not subject or token.subject == subject)
        and (not role or role in (token.role, token.role.partition(":")[0]))
        and (not active or token.state == "active")
    ]


def _document(token: IssuedToken) -> dict[str, str]:
    times = {"issued_at": cells.second(token.issued_at), "expires_at": cells.second(token.expires_at)}
    document = {**asdict(token), **times}
    return {name: document[name] for name in ("id", "role", "subject", *times, "state", "key_id")}


def _count(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"
