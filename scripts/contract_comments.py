"""The comments of the contracts, which generated code does not have: by the full name of what they are about."""

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2

CONTRACTS = Path(__file__).resolve().parent.parent / "protos"
#: the googleapis-common-protos wheel puts google/api/*.proto here
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

Path_ = tuple[int, ...]
_FILE, _MESSAGE, _ENUM = (
    descriptor_pb2.FileDescriptorProto,
    descriptor_pb2.DescriptorProto,
    descriptor_pb2.EnumDescriptorProto,
)
_SERVICE = descriptor_pb2.ServiceDescriptorProto


def comments() -> dict[str, str]:
    """Read every .proto file of ours: ``intertie.registry.v1.System.system_name`` → what stands above it."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "contracts.binpb"
        names = sorted(str(path.relative_to(CONTRACTS)) for path in (CONTRACTS / "intertie").rglob("*.proto"))
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{CONTRACTS}", f"-I{SITE_PACKAGES}"]
        command += ["--include_source_info", f"--descriptor_set_out={output}", *names]
        subprocess.run(command, check=True, cwd=CONTRACTS)
        files = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    found: dict[str, str] = {}
    for file in files.file:
        texts = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
        for path, name in _named(file):
            if text := _plain(texts.get(path, "")):
                found[name] = text
    return found


def _plain(comment: str) -> str:
    """Lines joined into paragraphs, without the space that follows the slashes."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)


def _named(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[Path_, str]]:
    """Each thing's path in the descriptor (field numbers and indexes, as SourceCodeInfo has it) and its full name."""
    for i, service in enumerate(file.service):
        path, name = (_FILE.SERVICE_FIELD_NUMBER, i), f"{file.package}.{service.name}"
        yield path, name
        for j, method in enumerate(service.method):
            yield (*path, _SERVICE.METHOD_FIELD_NUMBER, j), f"{name}.{method.name}"
    for i, message in enumerate(file.message_type):
        yield from _of_message(message, (_FILE.MESSAGE_TYPE_FIELD_NUMBER, i), file.package)
    for i, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, (_FILE.ENUM_TYPE_FIELD_NUMBER, i), file.package)


def _of_message(message: descriptor_pb2.DescriptorProto, path: Path_, scope: str) -> Iterator[tuple[Path_, str]]:
    name = f"{scope}.{message.name}"
    yield path, name
    for i, field in enumerate(message.field):
        yield (*path, _MESSAGE.FIELD_FIELD_NUMBER, i), f"{name}.{field.name}"
    for i, nested in enumerate(message.nested_type):
        yield from _of_message(nested, (*path, _MESSAGE.NESTED_TYPE_FIELD_NUMBER, i), name)
    for i, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, (*path, _MESSAGE.ENUM_TYPE_FIELD_NUMBER, i), name)


def _of_enum(enum: descriptor_pb2.EnumDescriptorProto, path: Path_, scope: str) -> Iterator[tuple[Path_, str]]:
    name = f"{scope}.{enum.name}"
    yield path, name
    for i, value in enumerate(enum.value):
        # Values are named in their enum's scope here, so that two enums' values never meet.
        yield (*path, _ENUM.VALUE_FIELD_NUMBER, i), f"{name}.{value.name}"
