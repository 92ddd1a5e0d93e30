"""`intertie mappings`: how the records of systems become rows; what a mapping would do, and what is wrong with it."""

from typing import Annotated

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from intertie.ingest.v1 import ingest_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import NotFound
from intertie_cli import cells, options, previews
from intertie_cli.options import Limit, System, Yes, confirm
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("mappings", "How the records of systems become rows of tables.")

Reference = Annotated[str, typer.Argument(help="SYSTEM/MAPPING, or the mapping's number.")]
OptionalReference = Annotated[str, typer.Argument(help="SYSTEM/MAPPING, or the number of a saved mapping.")]
Config = Annotated[
    str | None, typer.Option("--config", help="The configuration: a JSON object, @FILE, or - for standard input.")
]
Target = Annotated[str | None, typer.Option("--target-table", help="The table that the rows go into, with its prefix.")]
Source = Annotated[str | None, typer.Option("--source-table", help="The table or endpoint that a sync reads.")]
Frequency = Annotated[
    str | None, typer.Option("--sync-frequency", help="realtime, hourly, daily, weekly or manual (default).")
]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Whether the mapping takes records.")]
SkipTarget = Annotated[
    bool, typer.Option("--skip-target-validation", help="Save without asking mapper whether the target fits.")
]
Records = Annotated[
    list[str] | None, typer.Option("--record", help="A record to try: a JSON object or @FILE; may be repeated.")
]

COLUMNS: list[Column] = [
    ("id", lambda mapping: str(mapping.id)),
    ("system", lambda mapping: mapping.system),
    ("mapping", lambda mapping: mapping.mapping_name),
    ("target", lambda mapping: mapping.target_table),
    ("source", lambda mapping: mapping.source_table),
    ("frequency", lambda mapping: mapping.sync_frequency),
    ("active", lambda mapping: cells.yes(mapping.is_active)),
    ("last sync", lambda mapping: cells.moment(mapping.last_sync_at)),
    ("changed", lambda mapping: cells.moment(mapping.updated_at)),
]


@verb(app, "list")
async def list_mappings(session: Session, system: System = "", limit: Limit = 50) -> None:
    """List mappings."""
    request = registry_pb2.ListMappingsRequest(system=system)
    mappings = await collect(session.registry.ListMappings, request, "mappings", limit)
    session.printer.items(mappings, COLUMNS, none="There are no mappings.")


@verb(app, "get")
async def get_mapping(session: Session, mapping: Reference) -> None:
    """Show a mapping with its configuration."""
    session.printer.item(await find(session, mapping))


@verb(app, "create")
async def create_mapping(
    session: Session,
    mapping: Annotated[str, typer.Argument(help="SYSTEM/MAPPING: of which system, and the name of the new one.")],
    target_table: Annotated[str, typer.Option("--target-table", help="The table that the rows go into.")],
    config: Annotated[str, typer.Option("--config", help="A JSON object, @FILE, or - for standard input.")],
    sync_frequency: Frequency = None,
    source_table: Source = None,
    active: Active = None,
    skip_target_validation: SkipTarget = False,
) -> None:
    """Create a mapping; it is checked against its target table first."""
    system, name = _names(mapping)
    created = registry_pb2.Mapping(
        system=system,
        mapping_name=name,
        target_table=target_table,
        mapping_config=options.document(config),
        sync_frequency=sync_frequency or "",
        source_table=source_table or "",
    )
    if active is not None:
        created.is_active = active
    request = registry_pb2.CreateMappingRequest(mapping=created, skip_target_validation=skip_target_validation)
    session.printer.item(await session.registry.CreateMapping(request))


@verb(app, "update")
async def update_mapping(
    session: Session,
    mapping: Reference,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    target_table: Target = None,
    config: Config = None,
    sync_frequency: Frequency = None,
    source_table: Source = None,
    active: Active = None,
    skip_target_validation: SkipTarget = False,
) -> None:
    """Change what is named; the rest stays. A configuration is replaced as a whole."""
    changes = {
        "mapping_name": name,
        "target_table": target_table,
        "mapping_config": None if config is None else options.document(config),
        "sync_frequency": sync_frequency,
        "source_table": source_table,
        "is_active": active,
    }
    named = {field: value for field, value in changes.items() if value is not None}
    if not named:
        raise UsageError("nothing to change was named; see `intertie mappings update --help`")
    found = await find(session, mapping)
    request = registry_pb2.UpdateMappingRequest(
        mapping=registry_pb2.Mapping(id=found.id, **named),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=list(named)),
        skip_target_validation=skip_target_validation,
    )
    session.printer.item(await session.registry.UpdateMapping(request))


@verb(app, "delete")
async def delete_mapping(session: Session, mapping: Reference, yes: Yes = False) -> None:
    """Delete a mapping. The rows that it wrote stay."""
    found = await find(session, mapping)
    confirm(f"Delete the mapping {found.system}/{found.mapping_name}?", yes)
    await session.registry.DeleteMapping(registry_pb2.DeleteMappingRequest(id=found.id))
    session.printer.note(f"deleted the mapping {found.system}/{found.mapping_name}")


@verb(app, "validate")
async def validate_mapping(
    session: Session, mapping: OptionalReference = "", target_table: Target = None, config: Config = None
) -> int:
    """Say all that is wrong with a mapping, saved or draft, against its target as it is; exit code 1 if anything is."""
    saved = await find(session, mapping) if mapping else registry_pb2.Mapping()
    document = options.document(config) if config is not None else saved.mapping_config
    table = target_table or saved.target_table
    if not table or not document:
        raise UsageError("name a saved mapping, or give --target-table and --config")
    request = mapper_pb2.ValidateMappingRequest(target_table=table, mapping_config=document)
    answer = await session.mapper.ValidateMapping(request)
    session.printer.items(answer.problems, previews.PROBLEM_COLUMNS, none=f"fits {table}")
    return 1 if answer.problems else 0


@verb(app, "preview")
async def preview_mapping(
    session: Session,
    mapping: OptionalReference = "",
    record: Records = None,
    cached: Annotated[int, typer.Option("--cached", min=1, max=200, help="Try so many of the newest cached.")] = 20,
    set_aside: Annotated[bool, typer.Option("--set-aside", help="Of those, try what is set aside.")] = False,
    config: Config = None,
    target_table: Target = None,
    system: System = "",
) -> int:
    """Show what a mapping would do with records, and do nothing. Exit code 1 when the mapping itself is wrong.

    With --config a draft stands in for the saved configuration; without a saved mapping give --target-table, too.
    """
    saved = await find(session, mapping) if mapping else None
    if saved is None and not (target_table and config and record):
        raise UsageError("name a saved mapping, or give --target-table, --config and --record")
    if set_aside and (saved is None or record):
        raise UsageError("--set-aside tries records of a saved mapping; leave out --record")
    records = [options.document(each, "--record") for each in record or ()]
    if set_aside and saved is not None:
        records = await _set_aside(session, saved, cached)
        if not records:
            session.printer.note(f"Nothing of {saved.system}/{saved.mapping_name} is set aside.")
            return 0
    request = mapper_pb2.PreviewMappingRequest(
        mapping_id=saved.id if saved else 0,
        system=system,
        target_table=target_table or "",
        mapping_config=b"" if config is None else options.document(config),
        records=records,
        cached_records=0 if records else cached,
    )
    answer = await session.mapper.PreviewMapping(request)
    previews.show(session.printer, answer)
    return 1 if answer.problems else 0


async def _set_aside(session: Session, mapping: registry_pb2.Mapping, most: int) -> list[bytes]:
    """The newest records of a mapping that are set aside."""
    request = ingest_pb2.ListRecordsRequest(
        system=mapping.system, mapping=mapping.mapping_name, sync_status="error", page_size=most
    )
    return [record.data_json for record in (await session.ingest.ListRecords(request)).records]


async def find(session: Session, reference: str) -> registry_pb2.Mapping:
    """The mapping of a number or of SYSTEM/MAPPING. Raises NotFound, and UsageError when several have the name."""
    number = options.reference_number(reference)
    if number is not None:
        return await session.registry.GetMapping(registry_pb2.GetMappingRequest(id=number))
    system, name = _names(reference)
    request = registry_pb2.ListMappingsRequest(system=system, mapping_name=name)
    found = (await session.registry.ListMappings(request)).mappings
    if not found:
        raise NotFound(
            f"there is no mapping {reference}; `intertie mappings list` shows those there are",
            reason="MAPPING_NOT_FOUND",
        )
    if len(found) > 1:
        ids = ", ".join(str(mapping.id) for mapping in found)
        raise UsageError(f"several mappings are called {reference}; name one by its number: {ids}")
    return found[0]


def _names(reference: str) -> tuple[str, str]:
    system, slash, name = reference.partition("/")
    if not (slash and system and name):
        raise UsageError(f"{reference}: write a mapping as SYSTEM/MAPPING")
    return system, name
