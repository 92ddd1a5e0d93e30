"""Which fields an update names: those of its mask, or without one those that are set."""

from collections.abc import Collection

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from intertie_registry.fields import Fields


def named_fields(
    message: Message, mask: FieldMask | None, fields: Fields, *, changeable: Collection[str], identity: Collection[str]
) -> set[str]:
    """The fields to change. `*` names all that can change; paths that do not exist are noted in `fields`.

    What only comes out (times, ids), and the identity by which the resource is found, may be named and changes nothing:
    so what was read can be edited and sent back whole.
    """
    if mask is None or not mask.paths:
        return {field.name for field, _ in message.ListFields()} & set(changeable)
    named: set[str] = set()
    for path in mask.paths:
        if path == "*":
            named |= set(changeable) - set(identity)
        elif path in changeable:
            named.add(path)
        elif path not in message.DESCRIPTOR.fields_by_name:
            known = ", ".join(sorted(set(changeable) - set(identity)))
            fields.refuse_path(path, f"is no field that can change; those are {known}")
    return named
