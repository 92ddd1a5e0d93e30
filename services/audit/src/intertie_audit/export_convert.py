"""Between the messages of an export and what it is made of."""

from collections.abc import Mapping

from intertie.audit.v1 import audit_pb2
from intertie_audit import convert
from intertie_audit.export import Outline, Part, Wanted
from intertie_audit.model import SystemFilter
from intertie_chassis.errors import InvalidArgument

MOST_BYTES = 1024 * 1024
"""What a message holds before it is sent; one part more may make it longer."""
_MOST_PAYLOAD = 12 * 1024 * 1024
"""A larger one, which only rows of others have, is left out: both must fit a message of 32 MiB."""
_MOST_PLACE = 2**63 - 1


def wanted(request: audit_pb2.ExportEntriesRequest, system: SystemFilter | None) -> Wanted:
    """What is to be exported. Raises InvalidArgument."""
    for name in ("from_sequence", "to_sequence"):
        if getattr(request, name) < 0:
            raise InvalidArgument(f"{name} must not be negative", violations=[(name, "must be 0 or positive")])
    if request.to_sequence and request.from_sequence > request.to_sequence:
        raise InvalidArgument(
            "the first place must not lie behind the last one",
            violations=[("from_sequence", "must not be greater than to_sequence")],
        )
    same = audit_pb2.ListEntriesRequest(
        system=request.system, module=request.module, status=request.status, query_type=request.query_type
    )
    if request.HasField("created_after"):
        same.created_after.CopyFrom(request.created_after)
    if request.HasField("created_before"):
        same.created_before.CopyFrom(request.created_before)
    return Wanted(convert.list_filter(same, system), request.from_sequence, request.to_sequence)


def anchor(outline: Outline) -> audit_pb2.ChainAnchor:
    """What the first link is linked to, and how many follow."""
    return audit_pb2.ChainAnchor(
        sequence=outline.anchor.sequence, head=outline.anchor.head, total=min(outline.total, _MOST_PLACE)
    )


def link(part: Part, names: Mapping[int, str]) -> audit_pb2.ChainLink:
    """One part; payloads are whole, however long the log shows them elsewhere."""
    message = audit_pb2.ChainLink(sequence=part.sequence, digest=part.digest or b"", canonical=part.canonical or b"")
    if part.entry is not None:
        message.entry.CopyFrom(convert.entry_message(part.entry, names))
        message.entry.sequence = part.sequence
        for name, had_one in zip(("request_payload", "response_payload"), part.had_payloads, strict=True):
            payload = getattr(part.entry, name)
            raw = (payload or "").encode()
            setattr(message.entry, name, raw if len(raw) <= _MOST_PAYLOAD else b"")
            message.entry.is_payload_expired |= had_one and payload is None
    return message
