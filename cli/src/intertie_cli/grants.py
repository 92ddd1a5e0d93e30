"""`intertie grants`: which module may use which system."""

from typing import Annotated, Any

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import NotFound
from intertie_cli import cells, options
from intertie_cli.options import Limit, System, Yes, confirm
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("grants", "Which module may use which system.")

Reference = Annotated[str, typer.Argument(help="MODULE/SYSTEM, or the grant's number.")]
Access = Annotated[str | None, typer.Option("--access", help="read (default), write or read_write.")]
Permissions = Annotated[
    str | None, typer.Option("--permissions", help="Allowed queries and endpoints: a JSON object, @FILE, or -.")
]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Whether the grant holds.")]
Expires = Annotated[
    str | None, typer.Option("--expires", help="When it ends: 2027-01-31T12:00:00Z (UTC without a zone), or never.")
]

COLUMNS: list[Column] = [
    ("id", lambda grant: str(grant.id)),
    ("module", lambda grant: grant.module_name),
    ("system", lambda grant: grant.system),
    ("access", lambda grant: grant.access_type.replace("_", " and ")),
    ("permissions", lambda grant: cells.short(grant.query_permissions)),
    ("active", lambda grant: cells.yes(grant.is_active)),
    ("expires", lambda grant: cells.moment(grant.expires_at) if grant.HasField("expires_at") else ""),
    ("changed", lambda grant: cells.moment(grant.updated_at)),
]


@verb(app, "list")
async def list_grants(
    session: Session,
    system: System = "",
    module: Annotated[str, typer.Option("--module", help="Of this module.")] = "",
    limit: Limit = 50,
) -> None:
    """List grants."""
    request = registry_pb2.ListGrantsRequest(system=system, module_name=module)
    grants = await collect(session.registry.ListGrants, request, "grants", limit)
    session.printer.items(grants, COLUMNS, none="There are no grants.")


@verb(app, "get")
async def get_grant(session: Session, grant: Reference) -> None:
    """Show a grant."""
    session.printer.item(await find(session, grant))


@verb(app, "create")
async def create_grant(
    session: Session,
    module: Annotated[str, typer.Argument(help="The module.")],
    system: Annotated[str, typer.Argument(help="The name of the system.")],
    access: Access = None,
    permissions: Permissions = None,
    active: Active = None,
    expires: Expires = None,
) -> None:
    """Let a module use a system."""
    grant = registry_pb2.Grant(
        module_name=module,
        system=system,
        access_type=access or "",
        query_permissions=b"" if permissions is None else options.document(permissions, "--permissions"),
        expires_at=None if expires is None else options.ending(expires, "--expires"),
    )
    if active is not None:
        grant.is_active = active
    session.printer.item(await session.registry.CreateGrant(registry_pb2.CreateGrantRequest(grant=grant)))


@verb(app, "update")
async def update_grant(
    session: Session,
    grant: Reference,
    access: Access = None,
    permissions: Permissions = None,
    active: Active = None,
    expires: Expires = None,
) -> None:
    """Change what is named; the rest stays."""
    changes = {
        "access_type": access,
        "query_permissions": None if permissions is None else options.document(permissions, "--permissions"),
        "is_active": active,
    }
    named: dict[str, Any] = {field: value for field, value in changes.items() if value is not None}
    if expires is not None:
        named["expires_at"] = options.ending(expires, "--expires")
    if not named:
        raise UsageError("nothing to change was named; see `intertie grants update --help`")
    found = await find(session, grant)
    request = registry_pb2.UpdateGrantRequest(
        grant=registry_pb2.Grant(id=found.id, **named),
        update_mask=FieldMask(paths=list(named)),
    )
    session.printer.item(await session.registry.UpdateGrant(request))


@verb(app, "delete")
async def delete_grant(session: Session, grant: Reference, yes: Yes = False) -> None:
    """Take a grant away."""
    found = await find(session, grant)
    confirm(f"Take the grant of {found.module_name} on {found.system} away?", yes)
    await session.registry.DeleteGrant(registry_pb2.DeleteGrantRequest(id=found.id))
    session.printer.note(f"took the grant of {found.module_name} on {found.system} away")


async def find(session: Session, reference: str) -> registry_pb2.Grant:
    """The grant of a number or of MODULE/SYSTEM. Raises NotFound when there is none."""
    number = options.reference_number(reference)
    if number is not None:
        return await session.registry.GetGrant(registry_pb2.GetGrantRequest(id=number))
    module, slash, system = reference.partition("/")
    if not (slash and module and system):
        raise UsageError(f"{reference}: write a grant as MODULE/SYSTEM, or give its number")
    request = registry_pb2.ListGrantsRequest(module_name=module, system=system)
    found = (await session.registry.ListGrants(request)).grants
    if not found:
        raise NotFound(
            f"{module} has no grant on {system}; `intertie grants list` shows those there are",
            reason="GRANT_NOT_FOUND",
        )
    return found[0]
