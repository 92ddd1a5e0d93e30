"""What the contracts say of a field, beyond its type."""

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from intertie.api.v1 import options_pb2


def message_of(field: FieldDescriptor) -> Descriptor:
    """The type of a message field. Raises TypeError for a field of another kind."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} is no message")
    return field.message_type


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """The type of an enum field. Raises TypeError for a field of another kind."""
    if field.enum_type is None:
        raise TypeError(f"{field.full_name} is no enum")
    return field.enum_type


def is_document(field: FieldDescriptor) -> bool:
    """Whether the field's bytes are a JSON document, which stands in HTTP bodies as it is."""
    return field.type == FieldDescriptor.TYPE_BYTES and bool(field.GetOptions().Extensions[options_pb2.json])


def is_output_only(field: FieldDescriptor) -> bool:
    """Whether only the service sets the field."""
    return field_behavior_pb2.OUTPUT_ONLY in behaviors(field)


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request must give the field."""
    return field_behavior_pb2.REQUIRED in behaviors(field)


def is_input_only(field: FieldDescriptor) -> bool:
    """Whether the field goes in and never comes out."""
    return field_behavior_pb2.INPUT_ONLY in behaviors(field)


def behaviors(field: FieldDescriptor) -> list[int]:
    """All that google.api.field_behavior says of the field."""
    return list(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])


def is_optional(field: FieldDescriptor) -> bool:
    """Whether the field is declared ``optional``: the compiler wraps it into a oneof of its own, which is no choice."""
    oneof = field.containing_oneof
    return oneof is not None and len(oneof.fields) == 1 and oneof.name == f"_{field.name}"
