"""Declared parts as the contracts' messages."""

import json
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import registry_pb2
from intertie_cli.declared.credential_changes import expected_values
from intertie_cli.declared.fields import SECRETS
from intertie_cli.declared.live import State
from intertie_cli.declared.pairs import Pair
from intertie_cli.declared.values import with_connection


def of(pair: Pair, number: int | None) -> Any:
    """The message of a part; `number` is that of the connection that a mapping names."""
    if pair.declared.kind == "mapping":
        return mapping(pair, number)
    make = {"system": system, "connection": connection, "grant": grant}
    return make[pair.declared.kind](pair)


def system(pair: Pair) -> registry_pb2.System:
    """A system, whole."""
    return registry_pb2.System(system_name=pair.declared.key[0], **pair.declared.values_but("system_name"))


def connection(pair: Pair) -> registry_pb2.Connection:
    """A connection, whole, with the credentials that are given."""
    part, live = pair.declared, pair.live
    fields = part.values_but("name", "config_json")
    fields |= {name: part.secrets[name] or "" for name in SECRETS if name in part.secrets}
    config = dict(part.config or {})
    for key, value in expected_values(pair)["config_json"].items():
        # What a rotation of secrets has left for a while stays.
        config.setdefault(key, value)
    if live is None or live.is_named:
        config["name"] = part.key[1]
    return registry_pb2.Connection(
        id=live.id if live is not None else 0, config_json=_document(config) if config else b"", **fields
    )


def mapping(pair: Pair, number: int | None) -> registry_pb2.Mapping:
    """A mapping, whole; `number` is that of the connection that it names, None when it has none yet."""
    fields = pair.declared.values_but("mapping_config")
    config = with_connection(pair.declared.values["mapping_config"], number)
    return registry_pb2.Mapping(
        id=pair.live.id if pair.live is not None else 0, mapping_config=_document(config), **fields
    )


def grant(pair: Pair) -> registry_pb2.Grant:
    """A grant, whole."""
    fields = pair.declared.values_but("query_permissions", "expires_at")
    permissions, ends = pair.declared.values["query_permissions"], pair.declared.values["expires_at"]
    message = registry_pb2.Grant(
        id=pair.live.id if pair.live is not None else 0,
        query_permissions=b"" if permissions is None else _document(permissions),
        **fields,
    )
    if ends is not None:
        timestamp = Timestamp()
        timestamp.FromDatetime(datetime.fromisoformat(ends))
        message.expires_at.CopyFrom(timestamp)
    return message


def number_of(pair: Pair, state: State) -> int | None:
    """The number of the connection that a mapping reads through; None when it names none, or that is not there yet."""
    name = pair.declared.reads_through
    found = state.named("connection", (pair.declared.system, name)) if name else []
    return found[0].id if found else None


def _document(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
