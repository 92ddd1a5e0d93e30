"""`intertie connections rotate-secret`: a new secret for who sends webhooks, with time for both to be known."""

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import registry_pb2
from intertie_cli import options
from intertie_cli.connections import Id
from intertie_cli.options import SECRET_HELP
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import verb

SECRET_BYTES = 32
MOST_HOURS = 30 * 24

_SECRET = "config_json.webhook_secret"
#: who make the secret themselves: one of ours is good only once they have it, which they may not take
_ISSUERS = {"stripe": "Stripe", "slack": "Slack", "shopify": "Shopify"}

Overlap = Annotated[
    float, typer.Option("--overlap", min=0, max=MOST_HOURS, help="Hours for which the old secret stays good too.")
]
RevokeNow = Annotated[bool, typer.Option("--revoke-now", help="The old secret ends at once, and one before it too.")]
Secret = Annotated[
    str | None, typer.Option("--secret", help=f"The new secret, where the provider makes it: {SECRET_HELP}")
]


async def rotate_secret(
    session: Session, id: Id, overlap: Overlap = 24, revoke_now: RevokeNow = False, secret: Secret = None
) -> None:
    """Replace the webhook_secret. The new one is printed once; the old one stays good for a while."""
    current = await session.registry.GetConnection(registry_pb2.GetConnectionRequest(id=id))
    config = _config(current)
    scheme = str(config.get("webhook_auth") or "secret")
    if scheme == "none" or _SECRET not in current.secrets_set:
        raise UsageError(f"connection {id} verifies by no webhook_secret; set one with `intertie connections update`")
    new = options.secret(secret, "--secret") if secret is not None else new_secret(scheme)
    keys = {"webhook_secret": new, "webhook_secret_previous": None, "webhook_secret_previous_expires_at": None}
    request = registry_pb2.UpdateConnectionRequest(
        connection=registry_pb2.Connection(id=id, config_json=options.merged(current.config_json, keys)),
        update_mask=FieldMask(paths=["config_json"]),
    )
    ends = None if revoke_now or not overlap else datetime.now(UTC) + timedelta(hours=overlap)
    if ends is not None:
        request.keep_webhook_secret_until.CopyFrom(_timestamp(ends))
    await session.registry.UpdateConnection(request)
    shown = {
        "connection": id,
        "system": current.system,
        "webhook_auth": scheme,
        # One that was given is known to whoever gave it; it need not stand on a screen.
        "webhook_secret": None if secret is not None else new,
        "old_secret_ends_at": None if ends is None else ends.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if session.printer.is_json:
        session.printer.json(shown)
    else:
        session.printer.fields(shown)
    session.printer.note(_remark(scheme, is_given=secret is not None, ends=shown["old_secret_ends_at"]))


def add_to(app: typer.Typer) -> None:
    """Adds the verb to the group of connections."""
    verb(app, "rotate-secret")(rotate_secret)


def new_secret(scheme: str) -> str:
    """A secret from the system's source of randomness, in the form that the scheme has for it."""
    raw = secrets.token_bytes(SECRET_BYTES)
    if scheme == "standard-webhooks":
        return "whsec_" + base64.b64encode(raw).decode("ascii")
    return raw.hex()


def _remark(scheme: str, *, is_given: bool, ends: object) -> str:
    until = f"; the old one is good until {ends}" if ends else "; the old one is refused from now on"
    if scheme in _ISSUERS and not is_given:
        return (
            f"the secret is not shown again{until}. {_ISSUERS[scheme]} makes its secrets itself: if it does not take "
            "this one, rotate there and name its secret with --secret"
        )
    if is_given:
        return f"the secret that was given is good from now on{until}"
    return f"the secret is not shown again: give it to the sender{until}"


def _config(connection: registry_pb2.Connection) -> dict[str, object]:
    try:
        config = json.loads(connection.config_json or b"{}")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
