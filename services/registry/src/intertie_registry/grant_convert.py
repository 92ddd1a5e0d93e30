"""Grants between the contract and the model."""

from datetime import datetime

from intertie.registry.v1 import registry_pb2
from intertie_registry import permissions
from intertie_registry.changes import Changes
from intertie_registry.fields import Fields
from intertie_registry.mask_convert import named_fields
from intertie_registry.model import ACCESS_TYPES, Grant
from intertie_registry.moment_convert import timestamp

_CHANGEABLE = ("module_name", "system", "access_type", "query_permissions", "is_active", "expires_at")
_LATEST = datetime(2038, 1, 19, 3, 14, 7)
"""A TIMESTAMP of MySQL ends here, and of most versions of MariaDB."""


def new_grant(request: registry_pb2.CreateGrantRequest) -> Grant:
    """The grant to create, its system named. Raises InvalidArgument that names every field at fault."""
    wanted, fields = request.grant, Fields("grant")
    grant = Grant(id=0, system_id=0, **_values(wanted, set(_CHANGEABLE), fields))
    fields.require_none()
    return grant


def grant_changes(request: registry_pb2.UpdateGrantRequest) -> Changes:
    """What an update changes. Raises InvalidArgument that names every field at fault."""
    wanted, fields = request.grant, Fields("grant")
    if not wanted.id:
        fields.refuse("id", "must say which grant")
    identity = ("id", "system", "module_name")
    named = named_fields(wanted, request.update_mask, fields, changeable=_CHANGEABLE, identity=identity)
    values = _values(wanted, named, fields)
    fields.require_none()
    return values


def grant_message(grant: Grant) -> registry_pb2.Grant:
    """The grant as callers see it."""
    return registry_pb2.Grant(
        id=grant.id,
        module_name=grant.module_name,
        system=grant.system,
        access_type=grant.access_type,
        query_permissions=grant.query_permissions.encode(),
        is_active=grant.is_active,
        created_at=timestamp(grant.created_at),
        updated_at=timestamp(grant.updated_at),
        expires_at=timestamp(grant.expires_at),
    )


def access_response(grant: Grant | None, access: str) -> registry_pb2.CheckAccessResponse:
    """Whether a grant, if there is one, allows the access."""
    if grant is None or not grant.covers(access):
        return registry_pb2.CheckAccessResponse(allowed=False)
    return registry_pb2.CheckAccessResponse(allowed=True, grant=grant_message(grant))


def asked_access(request: registry_pb2.CheckAccessRequest) -> str:
    """`read` or `write`. Raises InvalidArgument for another word, or an empty name."""
    fields = Fields("")
    fields.name("module", request.module)
    fields.name("system", request.system)
    access = fields.word("access", request.access, ("read", "write"), "read")
    fields.require_none()
    return access


def _values(wanted: registry_pb2.Grant, named: set[str], fields: Fields) -> Changes:
    """The named fields, checked."""
    values: Changes = {}
    if "module_name" in named:
        values["module_name"] = fields.name("module_name", wanted.module_name)
    if "system" in named:
        values["system"] = fields.name("system", wanted.system)
    if "access_type" in named:
        values["access_type"] = fields.word("access_type", wanted.access_type, ACCESS_TYPES, "read")
    if "query_permissions" in named:
        body = wanted.query_permissions
        if body.strip():
            fields.json("query_permissions", body, permissions.problems)
        values["query_permissions"] = body.decode("utf-8", "replace").strip()
    if "is_active" in named:
        values["is_active"] = wanted.is_active if wanted.HasField("is_active") else True
    if "expires_at" in named:
        values["expires_at"] = _end(wanted, fields)
    return values


def _end(wanted: registry_pb2.Grant, fields: Fields) -> datetime | None:
    """When it is to end, to the second; None for never."""
    if not wanted.HasField("expires_at"):
        return None
    try:
        end = wanted.expires_at.ToDatetime().replace(microsecond=0)
    except (ValueError, OverflowError):
        fields.refuse("expires_at", "is no time")
        return None
    if not datetime(1970, 1, 1) < end <= _LATEST:
        fields.refuse("expires_at", f"must be between 1970 and {_LATEST.isoformat()}Z; leave it out for no end")
    return end
