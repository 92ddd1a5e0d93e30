"""`intertie keys`: the keys that sign tokens."""

from typing import Annotated

import typer

from intertie_chassis.issued_tokens import ListedKey
from intertie_cli import cells
from intertie_cli.options import Yes, confirm
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.tokens import existing_keys
from intertie_cli.verbs import group, verb

app = group("keys", "The keys that sign tokens.")


@verb(app, "list")
async def list_keys(session: Session) -> None:
    """List the keys: the one that signs, the next one, those that still verify, and those that are over."""
    keys = existing_keys(session).listed_keys()
    if session.printer.is_json:
        session.printer.json([_document(key) for key in keys])
    else:
        headings = ["id", "state", "signs since", "ends", "active tokens"]
        session.printer.rows(headings, (list(map(str, _document(key).values())) for key in keys))


@verb(app, "rotate")
async def rotate_keys(
    session: Session,
    stage: Annotated[
        bool, typer.Option("--stage", help="Only publish the next key, which the next rotate lets sign.")
    ] = False,
    overlap: Annotated[
        float | None,
        typer.Option(
            "--overlap",
            min=0,
            max=3650,
            help="Days that the old key goes on verifying. Default: as long as its tokens.",
        ),
    ] = None,
) -> None:
    """Let a new key sign. What the old one signed holds for its time; running processes take the new one themselves."""
    if stage and overlap is not None:
        raise UsageError("--overlap says when the old key ends, and --stage leaves the old key as it is")
    ring = existing_keys(session)
    if stage:
        session.printer.line(ring.stage())
        session.printer.note(
            f"published in {ring.jwks_path}: copy that file to wherever tokens are verified, then rotate again"
        )
        return
    old = ring.rotate(overlap)
    session.printer.line(next(key.id for key in ring.listed_keys() if key.state == "signing"))
    session.printer.note(
        f"the key before, {old.id}, verifies until {cells.second(old.not_after)} UTC; "
        f"`intertie keys withdraw {old.id}` ends it now. The admin token is a new one."
    )


@verb(app, "withdraw")
async def withdraw_key(
    session: Session,
    key: Annotated[str, typer.Argument(help="The key's id, as `intertie keys list` shows it.")],
    yes: Yes = False,
) -> None:
    """Refuse all that a key has signed, from now on and for good. Takes effect within 5 seconds."""
    ring = existing_keys(session)
    active = next((each.tokens for each in ring.listed_keys() if each.id == key), 0)
    confirm(f"Refuse all that the key {key} signed ({active} active tokens, and those of services)?", yes)
    ring.withdraw(key)
    session.printer.note(f"withdrew the key {key}")


def _document(key: ListedKey) -> dict[str, str | int]:
    times = {"signs_since": cells.second(key.signs_since), "not_after": cells.second(key.not_after)}
    return {"id": key.id, "state": key.state, **times, "active_tokens": key.tokens}
