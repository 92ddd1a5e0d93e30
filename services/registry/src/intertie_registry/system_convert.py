"""Systems between the contract and the model."""

from intertie.registry.v1 import registry_pb2
from intertie_registry.changes import Changes
from intertie_registry.fields import Fields
from intertie_registry.mask_convert import named_fields
from intertie_registry.model import SYSTEM_TYPES, ModuleSystem, System
from intertie_registry.moment_convert import timestamp

_CHANGEABLE = ("display_name", "system_type", "description", "is_active")


def new_system(request: registry_pb2.CreateSystemRequest) -> System:
    """The system to create. Raises InvalidArgument that names every field at fault."""
    wanted, fields = request.system, Fields("system")
    system = System(
        id=0,
        system_name=fields.name("system_name", wanted.system_name),
        display_name=fields.text("display_name", wanted.display_name, 255),
        system_type=fields.word("system_type", wanted.system_type, SYSTEM_TYPES, "api"),
        description=fields.text("description", wanted.description),
        is_active=wanted.is_active if wanted.HasField("is_active") else True,
    )
    fields.require_none()
    return system


def system_changes(request: registry_pb2.UpdateSystemRequest) -> Changes:
    """What an update changes. Raises InvalidArgument that names every field at fault."""
    wanted, fields = request.system, Fields("system")
    if not wanted.system_name:
        fields.refuse("system_name", "must say which system")
    named = named_fields(wanted, request.update_mask, fields, changeable=_CHANGEABLE, identity=("system_name",))
    changes: Changes = {}
    if "display_name" in named:
        changes["display_name"] = fields.text("display_name", wanted.display_name, 255)
    if "system_type" in named:
        changes["system_type"] = fields.word("system_type", wanted.system_type, SYSTEM_TYPES, "api")
    if "description" in named:
        changes["description"] = fields.text("description", wanted.description)
    if "is_active" in named:
        changes["is_active"] = wanted.is_active if wanted.HasField("is_active") else True
    fields.require_none()
    return changes


def system_message(system: System) -> registry_pb2.System:
    """The system as callers see it."""
    return registry_pb2.System(
        id=system.id,
        system_name=system.system_name,
        display_name=system.display_name,
        system_type=system.system_type,
        description=system.description,
        is_active=system.is_active,
        created_at=timestamp(system.created_at),
        updated_at=timestamp(system.updated_at),
    )


def module_system_message(system: ModuleSystem) -> registry_pb2.ModuleSystem:
    """A system as a module sees it."""
    return registry_pb2.ModuleSystem(
        system_name=system.system_name,
        display_name=system.display_name,
        system_type=system.system_type,
        access_type=system.access_type,
        connection_status=system.connection_status,
    )
