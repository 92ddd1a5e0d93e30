"""`intertie systems`: the external systems."""

from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from intertie.registry.v1 import registry_pb2
from intertie_cli import cells
from intertie_cli.options import Limit, Yes, confirm
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("systems", "The external systems.")

Name = Annotated[str, typer.Argument(help="The system's name.")]
Type = Annotated[str | None, typer.Option("--type", help="database, api or hybrid.")]
DisplayName = Annotated[str | None, typer.Option("--display-name", help="The name for people.")]
Description = Annotated[str | None, typer.Option("--description", help="What the system is.")]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Whether it may deliver and be queried.")]

COLUMNS: list[Column] = [
    ("id", lambda system: str(system.id)),
    ("name", lambda system: system.system_name),
    ("type", lambda system: system.system_type),
    ("active", lambda system: cells.yes(system.is_active)),
    ("display name", lambda system: system.display_name),
    ("description", lambda system: cells.short(system.description)),
    ("changed", lambda system: cells.moment(system.updated_at)),
]


@verb(app, "list")
async def list_systems(
    session: Session,
    active_only: Annotated[bool, typer.Option("--active-only", help="Leave out inactive ones.")] = False,
    limit: Limit = 50,
) -> None:
    """List the systems by name."""
    request = registry_pb2.ListSystemsRequest(active_only=active_only)
    systems = await collect(session.registry.ListSystems, request, "systems", limit)
    session.printer.items(systems, COLUMNS, none="There are no systems; `intertie systems create` makes one.")


@verb(app, "get")
async def get_system(session: Session, name: Name) -> None:
    """Show a system."""
    session.printer.item(await session.registry.GetSystem(registry_pb2.GetSystemRequest(system=name)))


@verb(app, "create")
async def create_system(
    session: Session,
    name: Name,
    type: Type = None,
    display_name: DisplayName = None,
    description: Description = None,
    active: Active = None,
) -> None:
    """Create a system."""
    system = registry_pb2.System(
        system_name=name, system_type=type or "", display_name=display_name or "", description=description or ""
    )
    if active is not None:
        system.is_active = active
    session.printer.item(await session.registry.CreateSystem(registry_pb2.CreateSystemRequest(system=system)))


@verb(app, "update")
async def update_system(
    session: Session,
    name: Name,
    type: Type = None,
    display_name: DisplayName = None,
    description: Description = None,
    active: Active = None,
) -> None:
    """Change what is named; the rest stays. The name itself cannot change: senders have it in their URLs."""
    changes = {
        "system_type": type,
        "display_name": display_name,
        "description": description,
        "is_active": active,
    }
    named = {field: value for field, value in changes.items() if value is not None}
    if not named:
        raise UsageError("nothing to change was named; see `intertie systems update --help`")
    request = registry_pb2.UpdateSystemRequest(
        system=registry_pb2.System(system_name=name, **named),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=list(named)),
    )
    session.printer.item(await session.registry.UpdateSystem(request))


@verb(app, "delete")
async def delete_system(session: Session, name: Name, yes: Yes = False) -> None:
    """Delete a system with its connections, mappings and grants. What it delivered stays."""
    confirm(f"Delete the system {name} with its connections, mappings and grants?", yes)
    await session.registry.DeleteSystem(registry_pb2.DeleteSystemRequest(system=name))
    session.printer.note(f"deleted the system {name}")
