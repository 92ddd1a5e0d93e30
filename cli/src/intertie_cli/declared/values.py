"""Whether a value is one that its field may have. What is wrong is noted with its place, and never with a secret."""

from datetime import UTC, datetime
from typing import Any

from intertie_cli.declared.fields import Field
from intertie_cli.declared.nodes import Node, Problem
from intertie_mapping.configuration import Configuration
from intertie_mapping.errors import ConfigurationFault

_MOST_NAME = 100
_FLAGS = {"true": True, "false": False}


def value(field: Field, node: Node, problems: list[Problem]) -> Any:
    """The value of a field that is given; what it is worth when something is wrong does not matter."""
    text = node.scalar if isinstance(node.scalar, str) else None
    fault, found = "", node.plain()
    if field.form in ("name", "text"):
        fault = _text_fault(field, node, text)
    elif field.form == "word":
        fault = "" if found in field.words else f"must be one of {', '.join(field.words)}"
    elif field.form == "whole":
        # What a variable holds is a text, also where a number is wanted.
        if node.written is not None and text is not None and text.isascii() and text.isdigit() and len(text) < 10:
            found = int(text)
        most = field.most or 0
        fault = "" if type(found) is int and 0 <= found <= most else f"must be a whole number from 0 to {most}"
        if field.default and found == 0:
            found = field.default
    elif field.form == "flag":
        if node.written is not None:
            found = _FLAGS.get(text or "", found)
        fault = "" if isinstance(found, bool) else "must be true or false"
    elif field.form == "object":
        fault = "" if node.entries is not None else "must be an object"
    elif field.form == "permissions":
        fault = (
            ""
            if text is None and not isinstance(found, bool | int | float)
            else "must be an object, or a list of texts"
        )
        found = found or None if not isinstance(found, list) else found
    elif field.form == "time":
        found, fault = _time(text)
    if fault:
        problems.append(Problem(node.place, f"{field.name} {fault}"))
    return found


def secret(field: Field, node: Node, problems: list[Problem]) -> str | None:
    """A credential: a text, or null, which takes it away."""
    if node.is_null:
        return None
    if not isinstance(node.scalar, str) or not node.scalar:
        text = "must be a text, null to take it away, or left out to keep it as it is"
        problems.append(Problem(node.place, f"{field.name} {text}"))
        return None
    if field.most is not None and len(node.scalar) > field.most:
        problems.append(Problem(node.place, f"{field.name} must have at most {field.most} characters"))
    return node.scalar


def check_mapping(config: Any, node: Node | None, problems: list[Problem]) -> None:
    """Notes what the mapping language does not allow."""
    if not isinstance(config, dict) or node is None:
        return
    try:
        Configuration.from_value(_with_number(config), strict=True)
    except ConfigurationFault as fault:
        for path, text in fault.problems:
            problems.append(Problem(node.nearest(path).place, f"mapping_config{f'.{path}' if path else ''}: {text}"))
    sync = config.get("sync")
    if isinstance(sync, dict) and "connection" in sync:
        at = node.nearest("sync.connection").place
        if not isinstance(sync["connection"], str) or not sync["connection"]:
            problems.append(Problem(at, "mapping_config.sync.connection must be the name of a connection"))
        if "connection_id" in sync:
            problems.append(Problem(at, "mapping_config.sync has either connection or connection_id"))


def _with_number(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with a number where the file has a connection's name."""
    return with_connection(config, 1)


def with_connection(config: dict[str, Any], number: int | None) -> dict[str, Any]:
    """The configuration as registry takes it: the number of the connection that `sync.connection` names; None: none."""
    sync = config.get("sync")
    if not isinstance(sync, dict) or "connection" not in sync:
        return config
    named = {key: item for key, item in sync.items() if key != "connection"}
    return {**config, "sync": named if number is None else {**named, "connection_id": number}}


def moment(at: datetime) -> str:
    """A time as files have it, to the second."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _text_fault(field: Field, node: Node, text: str | None) -> str:
    if text is None:
        kind = "an object" if node.entries is not None else "a list" if node.items is not None else "no text"
        return f"must be a text, and is {kind}; quote it if it is one"
    most = _MOST_NAME if field.form == "name" else field.most
    if most is not None and len(text) > most:
        return f"must have at most {most} characters"
    if field.form == "name" and not text:
        return "must not be empty"
    if field.form == "name" and ("/" in text or text != text.strip() or text in (".", "..")):
        return "must not be . or .., hold / or begin or end with a space"
    return "must not hold a NUL character" if "\0" in text else ""


def _time(text: str | None) -> tuple[str | None, str]:
    fault = "must be a time with its zone, such as 2027-01-31T12:00:00Z"
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None, fault
    return (None, fault) if at.tzinfo is None else (moment(at), "")
