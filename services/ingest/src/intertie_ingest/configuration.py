"""What ingest must know of each system, compiled from the stored configuration: who may deliver, for which mappings.

Whatever is stored compiles: a fault closes the door that it belongs to, or sets aside what comes through it, and is
kept to be told of (`CompiledSystem.problems`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from intertie_ingest.admission import OPTIONS, Terms, Unclear, compile_terms
from intertie_ingest.answers import Template, compile_response
from intertie_ingest.grants import NEVER, Grant
from intertie_ingest.handshakes import Handshake, compile_handshakes
from intertie_ingest.model import Fault, RecordReason
from intertie_ingest.signature_gate import Gate
from intertie_ingest.signature_options import compile_verifier
from intertie_ingest.signature_schemes import CLOSED
from intertie_ingest.signatures import Misconfigured, Verifier
from intertie_mapping.configuration import Configuration as MappingDocument
from intertie_mapping.errors import ConfigurationFault
from intertie_mapping.paths import PathError, compile_path
from intertie_mapping.plan import Plan, compile_plan

KEY_HEADERS = ("webhook-id", "svix-id", "idempotency-key", "x-github-delivery", "x-shopify-webhook-id")
"""Where a delivery key may stand, in this order, when whoever holds the secret wrote the headers."""


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """A connection as registry has it. What follows on the configuration comes to pull only."""

    id: int
    is_active: bool
    config_json: bytes = field(repr=False)
    connection_type: str = ""
    db_host: str = ""
    #: 0: not given
    db_port: int = 0
    db_name: str = ""
    db_username: str = ""
    db_password: str = field(default="", repr=False)
    db_driver: str = ""
    api_base_url: str = ""
    api_auth_type: str = ""
    api_auth_token: str = field(default="", repr=False)
    #: seconds; 0: not given
    api_timeout: int = 0
    #: why it must not be used; empty when it may be
    problem: str = ""


@dataclass(frozen=True, slots=True)
class StoredMapping:
    """A mapping as registry has it."""

    id: int
    name: str
    is_active: bool
    sync_frequency: str
    mapping_config: bytes
    #: the table or endpoint that a sync reads
    source_table: str = ""


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A grant as registry has it."""

    module: str
    access_type: str
    is_active: bool
    #: JSON that says which queries and endpoints; empty: all
    query_permissions: bytes = b""
    #: seconds since 1970
    ends_at: float = NEVER


@dataclass(frozen=True, slots=True)
class StoredSystem:
    """A system with all that belongs to it, as registry has it."""

    id: int
    name: str
    is_active: bool
    connections: tuple[StoredConnection, ...] = ()
    mappings: tuple[StoredMapping, ...] = ()
    grants: tuple[StoredGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Where a system's deliveries carry their key."""

    #: headers, the first that is there decides
    headers: tuple[str, ...] = KEY_HEADERS
    #: reads it from the body, when no header has it
    path: Any = None


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A mapping that routes."""

    id: int
    name: str
    is_active: bool
    #: whether its records go to mapper at once
    is_realtime: bool
    #: None when the stored configuration cannot be compiled
    plan: Plan | None
    #: why it cannot
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class CompiledSystem:
    """A system that takes deliveries."""

    id: int
    name: str
    is_active: bool
    verifier: Verifier
    #: whether a push from the loopback needs no secret
    is_push_open: bool
    key_rule: KeyRule
    #: all of them by id, active or not
    mappings: tuple[CompiledMapping, ...]
    #: the active ones, which a webhook is for
    routes: tuple[CompiledMapping, ...]
    #: each module's active grant
    grants: Mapping[str, Grant]
    #: what is wrong with the stored configuration, for the log
    problems: tuple[str, ...] = ()
    #: from where and how often its deliveries are taken
    terms: Terms = field(default_factory=Terms)
    #: what is answered and not stored
    handshakes: tuple[Handshake, ...] = ()
    #: what accepted webhooks are answered; None: as usual
    response: Template | None = None

    def route(self, name: str) -> CompiledMapping | None:
        """The active mapping of this name; the first by id should SQL have made two."""
        return next((mapping for mapping in self.routes if mapping.name == name), None)


@dataclass(frozen=True, slots=True)
class Configuration:
    """All systems."""

    by_id: Mapping[int, CompiledSystem] = field(default_factory=dict)
    by_name: Mapping[str, CompiledSystem] = field(default_factory=dict)
    mappings: Mapping[int, CompiledMapping] = field(default_factory=dict)
    #: mappings whose records mapper may be handed: they and their systems are active
    active_mappings: frozenset[int] = frozenset()
    #: what stands before all of them
    gate: Gate = field(default_factory=lambda: Gate.of(()))

    @classmethod
    def of(cls, systems: Iterable[CompiledSystem]) -> "Configuration":
        """The configuration of these systems."""
        ordered = sorted(systems, key=lambda system: system.id)
        return cls(
            {system.id: system for system in ordered},
            {system.name: system for system in reversed(ordered)},
            {mapping.id: mapping for system in ordered for mapping in system.mappings},
            frozenset(mapping.id for system in ordered if system.is_active for mapping in system.routes),
            Gate.of(system.verifier for system in ordered),
        )


def compile_system(stored: StoredSystem) -> CompiledSystem:
    """Compiles a system; what is wrong with it goes into `problems`."""
    problems: list[str] = []
    options, door = _verification(stored, problems)
    terms = _terms(stored, options, problems)
    if terms is None:
        options, door, terms = {}, _Door(), Terms()
    mappings = tuple(compile_mapping(mapping, problems) for mapping in sorted(stored.mappings, key=lambda one: one.id))
    return CompiledSystem(
        stored.id,
        stored.name,
        stored.is_active,
        door.verifier,
        options.get("push_auth", "secret") == "none",
        _key_rule(options, problems),
        mappings,
        tuple(mapping for mapping in mappings if mapping.is_active),
        {grant.module: Grant(grant.access_type, grant.ends_at) for grant in stored.grants if grant.is_active},
        tuple(problems),
        terms,
        door.handshakes,
        door.response,
    )


def closed_system(stored: StoredSystem) -> CompiledSystem:
    """A system that lets nothing in and routes nothing, whatever is stored of it."""
    return CompiledSystem(stored.id, stored.name, stored.is_active, CLOSED, False, KeyRule(), (), (), {})


def compile_mapping(stored: StoredMapping, problems: list[str]) -> CompiledMapping:
    """Compiles a mapping; what is wrong with it becomes its fault, and is added to `problems`."""
    is_realtime = stored.sync_frequency == "realtime"
    try:
        plan = compile_plan(MappingDocument.from_json(stored.mapping_config))
    except ConfigurationFault as error:
        text = f"The configuration of mapping {stored.name!r} is not valid: {error}"[:1000]
        problems.append(text)
        path = error.problems[0][0] if error.problems else ""
        fault = Fault(RecordReason.INVALID_MAPPING, path or "mapping_config", text)
        return CompiledMapping(stored.id, stored.name, stored.is_active, is_realtime, None, fault)
    return CompiledMapping(stored.id, stored.name, stored.is_active, is_realtime, plan)


@dataclass(frozen=True, slots=True)
class _Door:
    """How a system's deliveries are verified and answered; closed unless it is said how."""

    verifier: Verifier = CLOSED
    handshakes: tuple[Handshake, ...] = ()
    response: Template | None = None


def _verification(stored: StoredSystem, problems: list[str]) -> tuple[dict[str, Any], _Door]:
    """The options of the system's first active connection that says how to verify, and what they compile to."""
    found: list[tuple[int, dict[str, Any]]] = []
    rest: dict[str, Any] = {}
    for connection in sorted(stored.connections, key=lambda one: one.id):
        if not connection.is_active or not connection.config_json.strip():
            continue
        try:
            options = orjson.loads(connection.config_json)
        except orjson.JSONDecodeError:
            options = "unreadable"
        if options is None or options == []:
            continue  # what PHP writes for an empty configuration
        if not isinstance(options, dict):
            # It may have been meant to say how: a later connection must not open what this one was to close.
            problems.append(f"connection {connection.id}: config_json is not a JSON object; nothing is let in")
            found.append((connection.id, {"webhook_auth": "unreadable"}))
        elif "webhook_secret" in options or "webhook_auth" in options:
            found.append((connection.id, options))
        elif options.get("push_auth") == "none":
            rest = rest or options
    if not found:
        return rest, _Door()
    if len(found) > 1:
        others = ", ".join(str(number) for number, _ in found[1:])
        problems.append(f"connection {found[0][0]} verifies; the secrets of connections {others} are not used")
    number, options = found[0]
    try:
        return options, _Door(compile_verifier(options), compile_handshakes(options), compile_response(options))
    except Misconfigured as error:
        if options.get("webhook_auth") != "unreadable":
            problems.append(f"connection {number}: {error}; nothing is let in")
        return {}, _Door()


def _terms(stored: StoredSystem, options: dict[str, Any], problems: list[str]) -> Terms | None:
    """The terms of the connection that verifies; None when they cannot be understood, so that nothing is let in."""
    if "allowed_sources" not in options:
        problems.extend(
            f"connection {connection.id}: allowed_sources counts only in the connection that verifies"
            for connection in stored.connections
            if connection.is_active and b'"allowed_sources"' in connection.config_json
        )
    try:
        return compile_terms({name: options.get(name) for name in OPTIONS})
    except Unclear as error:
        problems.append(f"{error}; nothing is let in")
        return None


def _key_rule(options: Mapping[str, Any], problems: list[str]) -> KeyRule:
    """Headers choose a key only where the holder of the secret wrote them: a scheme that signs the body alone does not
    prove them, so there the key comes from the body or from the one header that the provider has for it."""
    scheme = options.get("webhook_auth", "secret")
    headers, path = _KEYS_BY_SCHEME.get(scheme, ((), None))
    header, configured = options.get("delivery_key_header"), options.get("delivery_key_path")
    if isinstance(header, str) and header:
        headers = (header.lower(), *headers) if scheme in ("secret", "none") else (header.lower(),)
    elif header is not None:
        problems.append("delivery_key_header must be the name of a header")
    if isinstance(configured, str) and configured:
        path = configured
        headers = headers if scheme in ("secret", "none") or header else ()
    elif configured is not None:
        problems.append("delivery_key_path must be a path into the body")
    try:
        return KeyRule(headers, compile_path(path) if path else None)
    except PathError as error:
        problems.append(f"delivery_key_path: {error}")
        return KeyRule(headers)


_KEYS_BY_SCHEME: dict[str, tuple[tuple[str, ...], str | None]] = {
    "secret": (KEY_HEADERS, None),
    "none": (KEY_HEADERS, None),
    "standard-webhooks": ((), None),  # the signed id is the key
    "github": (("x-github-delivery",), None),
    "shopify": (("x-shopify-webhook-id",), None),
    "stripe": ((), "id"),
    "slack": ((), "event_id"),
    "hmac": ((), None),
}
