"""Mappings between the contract and the model."""

from intertie.registry.v1 import registry_pb2
from intertie_mapping.configuration import Configuration
from intertie_mapping.errors import ConfigurationFault
from intertie_registry.changes import Changes
from intertie_registry.errors import InvalidMapping
from intertie_registry.fields import Fields
from intertie_registry.mask_convert import named_fields
from intertie_registry.model import SYNC_FREQUENCIES, Mapping
from intertie_registry.moment_convert import timestamp

_CHANGEABLE = (
    "system",
    "mapping_name",
    "source_table",
    "target_table",
    "mapping_config",
    "sync_frequency",
    "is_active",
)
_MOST_CONFIG = 256 * 1024


def new_mapping(request: registry_pb2.CreateMappingRequest) -> Mapping:
    """The mapping to create, its system named. Raises InvalidArgument or InvalidMapping with everything at fault."""
    wanted, fields = request.mapping, Fields("mapping")
    mapping = Mapping(id=0, system_id=0, **_values(wanted, set(_CHANGEABLE), fields))
    fields.require_none(InvalidMapping)
    return mapping


def mapping_changes(request: registry_pb2.UpdateMappingRequest) -> Changes:
    """What an update changes. Raises InvalidArgument or InvalidMapping with everything at fault."""
    wanted, fields = request.mapping, Fields("mapping")
    if not wanted.id:
        fields.refuse("id", "must say which mapping")
    named = named_fields(wanted, request.update_mask, fields, changeable=_CHANGEABLE, identity=("id", "system"))
    values = _values(wanted, named, fields)
    fields.require_none(InvalidMapping)
    return values


def mapping_message(mapping: Mapping) -> registry_pb2.Mapping:
    """The mapping as callers see it."""
    return registry_pb2.Mapping(
        id=mapping.id,
        system=mapping.system,
        mapping_name=mapping.mapping_name,
        source_table=mapping.source_table,
        target_table=mapping.target_table,
        mapping_config=mapping.mapping_config.encode(),
        sync_frequency=mapping.sync_frequency,
        last_sync_at=timestamp(mapping.last_sync_at),
        next_sync_at=timestamp(mapping.next_sync_at),
        is_active=mapping.is_active,
        created_at=timestamp(mapping.created_at),
        updated_at=timestamp(mapping.updated_at),
    )


def _values(wanted: registry_pb2.Mapping, named: set[str], fields: Fields) -> Changes:
    """The named fields, checked."""
    values: Changes = {}
    if "system" in named:
        values["system"] = fields.name("system", wanted.system)
    if "mapping_name" in named:
        values["mapping_name"] = fields.name("mapping_name", wanted.mapping_name)
    if "source_table" in named:
        values["source_table"] = fields.text("source_table", wanted.source_table, 100)
    if "target_table" in named:
        values["target_table"] = fields.name("target_table", wanted.target_table)
    if "mapping_config" in named:
        values["mapping_config"] = _config(wanted.mapping_config, fields)
    if "sync_frequency" in named:
        values["sync_frequency"] = fields.word("sync_frequency", wanted.sync_frequency, SYNC_FREQUENCIES, "manual")
    if "is_active" in named:
        values["is_active"] = wanted.is_active if wanted.HasField("is_active") else True
    return values


def _config(body: bytes, fields: Fields) -> str:
    """The configuration as it was written: mapper and ingest compile what people see."""
    document = fields.document("mapping_config", body, most=_MOST_CONFIG)
    if document is None:
        return ""
    try:
        Configuration.from_value(document, strict=True)
    except ConfigurationFault as fault:
        fields.problems("mapping_config", fault.problems)
    return body.decode().strip()
