"""What is declared: systems, connections, mappings and grants, each whole, with all that is wrong with them."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from intertie_chassis.secret_names import IsSecret, inside, is_secret, redacted
from intertie_cli.declared import values
from intertie_cli.declared.fields import FIELDS, IDENTITY, SECRETS, SECTIONS, Kind
from intertie_cli.declared.nodes import Node, Path, Place, Problem, shown_path

VERSION = 1

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """One part as it is to be."""

    kind: Kind
    key: Key
    #: the fields but for the credentials, what is left out at its default; config_json without its secrets
    values: dict[str, Any]
    #: credentials by their places; None takes one away. Those left out stay as they are
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)
    #: config_json as it is sent, with its secrets
    config: dict[str, Any] | None = field(default=None, repr=False)
    #: texts that hold variables, as they are written, by their paths
    written: dict[Path, str] = field(default_factory=dict)
    node: Node | None = field(default=None, repr=False, compare=False)

    @property
    def system(self) -> str:
        """The system that it is, or belongs to."""
        return self.key[1] if self.kind == "grant" else self.key[0]

    @property
    def title(self) -> str:
        """What it is called: ``connection police/webhooks``."""
        return titled(self.kind, self.key)

    def values_but(self, *names: str) -> dict[str, Any]:
        """The fields without some."""
        return {name: value for name, value in self.values.items() if name not in names}

    @property
    def reads_through(self) -> str:
        """The name of the connection that a mapping reads through; empty when it names none."""
        sync = (self.values.get("mapping_config") or {}).get("sync") if self.kind == "mapping" else None
        name = sync.get("connection") if isinstance(sync, dict) else None
        return name if isinstance(name, str) else ""

    def has(self, path: str) -> bool:
        """Whether something stands at a path of it."""
        return self.node is not None and self.node.nearest(path) is not self.node

    def place(self, path: str = "") -> Place:
        """Where a field of it stands."""
        return self.node.nearest(path).place if self.node is not None else Place("")


def titled(kind: Kind, key: Key) -> str:
    """What a part is called."""
    return f"{kind} {'/'.join(key)}"


def read(documents: Iterable[Node]) -> tuple[list[Declared], list[Problem]]:
    """All parts of all documents, and everything that is wrong with them."""
    declared: list[Declared] = []
    problems: list[Problem] = []
    for document in documents:
        for section, node in _sections(document, problems):
            kind = SECTIONS[section]
            if node.items is None:
                if not node.is_null:
                    problems.append(Problem(node.place, f"{section} must be a list"))
                continue
            for item in node.items:
                part = _part(kind, item, problems)
                if part is not None:
                    declared.append(part)
    return _once(declared, problems), problems


def secret_places(config: Any, at: str = "config_json", rule: IsSecret = is_secret) -> dict[str, Any]:
    """The secrets of a config_json by their places (``config_json.webhook_secret``); None where one is taken away."""
    found: dict[str, Any] = {}
    if isinstance(config, dict):
        for key, value in config.items():
            if rule(key):
                found[f"{at}.{key}"] = value
            else:
                found |= secret_places(value, f"{at}.{key}", inside(key))
    elif isinstance(config, list):
        for index, value in enumerate(config):
            found |= secret_places(value, f"{at}[{index}]")
    return found


def _sections(document: Node, problems: list[Problem]) -> list[tuple[str, Node]]:
    if document.entries is None:
        problems.append(Problem(document.place, f"must be an object with version and {', '.join(SECTIONS)}"))
        return []
    version = document.entries.get("version")
    if version is None:
        problems.append(Problem(document.place, f"says no version: write `version: {VERSION}` first"))
    elif version.scalar != VERSION or isinstance(version.scalar, bool):
        problems.append(Problem(version.place, f"version must be {VERSION}: this command knows no other"))
    known = ("version", *SECTIONS)
    problems += [_unknown(document, key, known) for key in document.entries.keys() - set(known)]
    return [(key, node) for key, node in document.entries.items() if key in SECTIONS]


def _unknown(node: Node, key: str, known: tuple[str, ...]) -> Problem:
    return Problem(node.key_places[key], f"{key!r} is not known here; there are {', '.join(known)}")


def _part(kind: Kind, node: Node, problems: list[Problem]) -> Declared | None:
    if node.entries is None:
        problems.append(Problem(node.place, f"must be an object: a {kind}"))
        return None
    known = tuple(each.name for each in FIELDS[kind])
    problems += [_unknown(node, key, known) for key in node.entries.keys() - set(known)]
    found: dict[str, Any] = {}
    secrets: dict[str, Any] = {}
    for each in FIELDS[kind]:
        given = node.entries.get(each.name)
        if each.form == "secret":
            if given is not None:
                secrets[each.name] = values.secret(each, given, problems)
        elif given is None or (given.is_null and not each.is_needed):
            if each.is_needed:
                problems.append(Problem(node.place, f"{each.name} is missing"))
            found[each.name] = each.default
        else:
            found[each.name] = values.value(each, given, problems)
    key = tuple(found[name] if isinstance(found[name], str) else "" for name in IDENTITY[kind])
    if not all(key):
        return None
    written = {path: inner.written for path, inner in node.walk() if inner.written is not None}
    part = Declared(kind, key, found, secrets, None, written, node)
    if kind == "connection":
        return _connection(part, problems)
    if kind == "mapping":
        values.check_mapping(found["mapping_config"], node.entries.get("mapping_config"), problems)
    return part


def _connection(part: Declared, problems: list[Problem]) -> Declared:
    config = part.values["config_json"]
    if not isinstance(config, dict):
        return dataclasses.replace(part, values={**part.values, "config_json": {}})
    if "name" in config:
        problems.append(Problem(part.place("config_json.name"), "name stands beside config_json, not in it"))
    secrets = part.secrets | secret_places(config)
    for at, value in secrets.items():
        if value == "" and at not in SECRETS:
            problems.append(Problem(part.place(at), f"{at} is empty; leave it out to keep it, null takes it away"))
    # As registry does: null is as good as left out, but of a secret.
    config = {key: value for key, value in config.items() if value is not None or is_secret(key)}
    shown = redacted(config)
    return dataclasses.replace(part, values={**part.values, "config_json": shown}, secrets=secrets, config=config)


def _once(declared: list[Declared], problems: list[Problem]) -> list[Declared]:
    first: dict[tuple[Kind, Key], Declared] = {}
    for part in declared:
        known = first.setdefault((part.kind, part.key), part)
        if known is not part:
            problems.append(Problem(part.place(), f"{part.title} stands twice, first at {known.place()}"))
    return list(first.values())


def in_clear(declared: Iterable[Declared]) -> list[Problem]:
    """Credentials that stand in the files themselves: they work, but whoever reads the file has them."""
    return [
        Problem(
            part.place(at), f"{at} of {part.title} stands here in clear text; write ${{NAME}}, and set that variable"
        )
        for part in declared
        for at, value in part.secrets.items()
        if isinstance(value, str) and value and not _is_from_variable(part, at)
    ]


def _is_from_variable(part: Declared, at: str) -> bool:
    return any(shown_path(path) == at for path in part.written)
