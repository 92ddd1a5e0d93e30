"""What registry holds, in the form in which a declared configuration is compared with it."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from google.protobuf.message import Message

from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_cli.declared.fields import Kind, compared
from intertie_cli.declared.model import Key, titled
from intertie_cli.declared.values import moment
from intertie_cli.pages import collect

_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Live:
    """One part as it is."""

    kind: Kind
    #: 0 of a system, which is known by its name
    id: int
    #: what it is called; of a connection without a name what it is called by its type
    key: Key
    #: the fields that can change and be seen, in the form of `Declared.values`
    values: dict[str, Any]
    #: the places of the credentials that are set
    secrets: frozenset[str] = frozenset()
    #: further keys that mean it, too
    others: tuple[Key, ...] = ()
    #: whether a connection's name stands in its config_json
    is_named: bool = False
    #: documents that are no JSON, as SQL may have left them
    broken: tuple[str, ...] = ()

    @property
    def system(self) -> str:
        """The system that it is, or belongs to."""
        return self.key[1] if self.kind == "grant" else self.key[0]

    @property
    def title(self) -> str:
        """What it is called."""
        return titled(self.kind, self.key)


@dataclass(frozen=True, slots=True)
class State:
    """All parts, by kind and then in the order of registry."""

    parts: tuple[Live, ...] = ()
    _by_key: dict[tuple[Kind, Key], list[Live]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for part in self.parts:
            for key in (part.key, *part.others):
                self._by_key.setdefault((part.kind, key), []).append(part)

    def of(self, kind: Kind) -> list[Live]:
        """The parts of a kind."""
        return [part for part in self.parts if part.kind == kind]

    def named(self, kind: Kind, key: Key) -> list[Live]:
        """The parts that a key means: one, or none; several where SQL made them, or connections have no names."""
        return self._by_key.get((kind, key), [])


async def read(registry: registry_pb2_grpc.RegistryServiceStub) -> State:
    """Everything that registry holds."""
    systems = await collect(registry.ListSystems, registry_pb2.ListSystemsRequest(), "systems", _MOST)
    connections = await collect(registry.ListConnections, registry_pb2.ListConnectionsRequest(), "connections", _MOST)
    mappings = await collect(registry.ListMappings, registry_pb2.ListMappingsRequest(), "mappings", _MOST)
    grants = await collect(registry.ListGrants, registry_pb2.ListGrantsRequest(), "grants", _MOST)
    return state(systems, connections, mappings, grants)


def state(
    systems: Iterable[registry_pb2.System],
    connections: Iterable[registry_pb2.Connection],
    mappings: Iterable[registry_pb2.Mapping],
    grants: Iterable[registry_pb2.Grant],
) -> State:
    """The parts of registry's answers."""
    named = _named(connections)
    ids = {part.id: part.key[1] for part in named}
    return State(
        (
            *(Live("system", 0, (each.system_name,), _values("system", each)) for each in systems),
            *named,
            *(_mapping(each, ids) for each in mappings),
            *(_simple("grant", each.id, (each.module_name, each.system), each) for each in grants),
        )
    )


def _named(connections: Iterable[registry_pb2.Connection]) -> list[Live]:
    """The connections; those without a name are called by their type, and where that means several by number, too."""
    connections = list(connections)
    unnamed = Counter((each.system, each.connection_type) for each in connections if not _name(each))
    taken = {(each.system, _name(each)) for each in connections}
    found = []
    for each in connections:
        name, by_type = _name(each), (each.system, each.connection_type)
        by_number = (each.system, f"{each.connection_type}-{each.id}")
        is_only = unnamed[by_type] == 1 and by_type not in taken
        key = (each.system, name) if name else by_type if is_only else by_number
        others = () if name else (by_number,) if is_only else (by_type,) if by_type not in taken else ()
        values, broken = _read("connection", each)
        config = values["config_json"] if isinstance(values["config_json"], dict) else {}
        values["config_json"] = {name: item for name, item in config.items() if name != "name"}
        found.append(
            Live("connection", each.id, key, values, frozenset(each.secrets_set), others, bool(name), tuple(broken))
        )
    return found


def _name(connection: registry_pb2.Connection) -> str:
    try:
        config = json.loads(connection.config_json or b"{}")
    except ValueError:
        return ""
    name = config.get("name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


def _mapping(mapping: registry_pb2.Mapping, connections: dict[int, str]) -> Live:
    part = _simple("mapping", mapping.id, (mapping.system, mapping.mapping_name), mapping)
    config = part.values["mapping_config"]
    sync = config.get("sync") if isinstance(config, dict) else None
    if isinstance(sync, dict) and (name := connections.get(sync.get("connection_id") or 0)):
        named = {key: item for key, item in sync.items() if key != "connection_id"}
        part.values["mapping_config"] = {**config, "sync": {"connection": name, **named}}
    return part


def _simple(kind: Kind, number: int, key: Key, message: Message) -> Live:
    values, broken = _read(kind, message)
    return Live(kind, number, key, values, broken=tuple(broken))


def _values(kind: Kind, message: Message) -> dict[str, Any]:
    return _read(kind, message)[0]


def _read(kind: Kind, message: Any) -> tuple[dict[str, Any], list[str]]:
    """The fields of a message as files have them, and those that cannot be had."""
    values: dict[str, Any] = {}
    broken: list[str] = []
    for each in compared(kind):
        value = getattr(message, each.name)
        if each.form in ("object", "permissions"):
            try:
                value = json.loads(value) if value.strip() else each.default
            except ValueError:
                broken.append(each.name)
                value = value.decode(errors="replace")
            if each.form == "permissions" and value == {}:
                value = None
        elif each.form == "time":
            value = moment(value.ToDatetime(UTC)) if message.HasField(each.name) else None
        elif each.form in ("whole", "word"):
            value = value or each.default
        values[each.name] = value
    return values, broken
