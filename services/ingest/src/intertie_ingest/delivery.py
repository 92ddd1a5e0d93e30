"""From the bytes of a delivery to records with a place in the cache: verify, parse, route.

Pure: clock and ids are passed in. The order matters: content type, then who it is, then what it says. Nothing that is
not verified is looked up or compared with what came before.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from json import JSONDecoder, decoder

from intertie_chassis.errors import InvalidArgument, PermissionDenied
from intertie_chassis.principals import Principal
from intertie_ingest import errors, grants
from intertie_ingest.admission import NOWHERE
from intertie_ingest.configuration import CompiledMapping, CompiledSystem, Configuration
from intertie_ingest.media_types import MediaType, media_type
from intertie_ingest.model import Delivery, RawDelivery, Route, RoutedRecord
from intertie_ingest.routing import Patience, payload_id, place
from intertie_ingest.signatures import CLOSED, Headers, Mismatch, Repeated, Verifier
from intertie_mapping.documents import Document, Record, parse
from intertie_mapping.errors import DocumentError, DocumentReason
from intertie_mapping.forms import parse_form
from intertie_mapping.values import JsonObject

MOST_NAME_CHARACTERS = 100
MOST_KEY_CHARACTERS = 255
MOST_RECORDS = 5000

# The scanners of the standard library give the place where a value ends; typeshed knows neither.
_scan: Callable[[str, int], tuple[object, int]] = vars(JSONDecoder())["scan_once"]
_scan_text: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the body of a push says."""

    system: str
    mapping: str
    document: Document


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes deliveries one by one; holds what all of them need."""

    configuration: Configuration
    #: whom a bearer token speaks for; raises Unauthenticated
    principal_of: Callable[[str], Principal]
    new_id: Callable[[], str]
    #: seconds since 1970, now
    now: float
    max_body_bytes: int
    patience: Patience = field(default_factory=Patience)
    #: takes a verified delivery from its system's rate; raises RateLimited
    admit: Callable[[CompiledSystem], None] = lambda system: None

    def take(self, raw: RawDelivery) -> Delivery:
        """The delivery, ready to be committed. Raises IntertieError that says why not."""
        if len(raw.body) > self.max_body_bytes:
            raise errors.BodyTooLarge(f"the body is larger than {self.max_body_bytes} bytes")
        kind, content_type = media_type(raw.headers)
        if raw.route is Route.PUSH:
            return self._take_push(raw, kind, content_type)
        check_name("system", raw.system)
        system = self.configuration.by_name.get(raw.system)
        signed_id = self._verify(system, raw)
        if system is None:
            raise errors.WrongSecret
        self.admit(system)
        document = _parse(_parse_json if kind is MediaType.JSON else parse_form, raw.body)
        key = delivery_key(system, raw.headers, document, signed_id)
        return self._delivery(raw, system, None, document, key, content_type, f"system:{system.name}", "")

    def take_pushed(self, raw: RawDelivery, pushed: Pushed, principal: Principal, key: str | None) -> Delivery:
        """A push by a known caller. Raises IntertieError that says why not."""
        system = self._system_for(principal, pushed.system)
        self.admit(system)
        module = principal.name if principal.role == "module" else ""
        if key is not None and module:
            # A module must not use up the keys of the system itself, or of another module.
            key = _fitting(f"module:{module}:{key}")
        mapping = system.route(pushed.mapping)
        if mapping is None:
            raise errors.MappingNotFound(metadata={"system": system.name, "mapping": pushed.mapping})
        actor = principal.subject or principal.label
        return self._delivery(raw, system, mapping, pushed.document, key, raw_content_type(raw), actor, module)

    def _take_push(self, raw: RawDelivery, kind: MediaType, content_type: str) -> Delivery:
        pushed = pushed_by(raw.body, kind)
        token = _bearer(raw.headers)
        if token is not None:
            return self.take_pushed(raw, pushed, self.principal_of(token), header_key(raw.headers))
        system = self.configuration.by_name.get(pushed.system)
        is_open = system is not None and system.is_active and system.is_push_open and system.terms.allow(raw.peer)
        if is_open and _is_loopback(raw.peer):
            signed_id, key_from = None, header_key(raw.headers)
        else:
            signed_id = self._verify(system, raw)
            key_from = None
        if system is None:
            raise errors.WrongSecret
        self.admit(system)
        mapping = system.route(pushed.mapping)
        if mapping is None:
            raise errors.MappingNotFound(metadata={"system": system.name, "mapping": pushed.mapping})
        key = key_from or delivery_key(system, raw.headers, pushed.document, signed_id)
        return self._delivery(raw, system, mapping, pushed.document, key, content_type, f"system:{system.name}", "")

    def _verify(self, system: CompiledSystem | None, raw: RawDelivery) -> str | None:
        # An unknown or inactive system costs a comparison too, and gets the same answer.
        verifier: Verifier = system.verifier if system is not None and system.is_active else CLOSED
        # Every refusal has looked at the address once and at the secret once, so that neither can be told from outside.
        sources = system.terms.sources if system is not None else None
        allowed = sources is None or sources.allow(raw.peer)
        try:
            verified = verifier.verify(raw.headers, raw.body, self.now)
        except Mismatch:
            if sources is None:
                NOWHERE.allow(raw.peer)
            raise (errors.WrongSecret() if allowed else errors.SourceNotAllowed()) from None
        except Repeated as error:
            raise _repeated(str(error)) from None
        if not allowed:
            raise errors.SourceNotAllowed
        return verified

    def _system_for(self, principal: Principal, name: str) -> CompiledSystem:
        system = self.configuration.by_name.get(name)
        if principal.role == "module":
            grants.require(system, name, principal.name, "write", self.now)
        elif principal.role not in ("operator", "admin"):
            raise PermissionDenied(f"the role {principal.label} may not push", metadata={"role": principal.label})
        if system is None or not system.is_active:
            raise errors.SystemNotFound(metadata={"system": name})
        return system

    def _delivery(
        self,
        raw: RawDelivery,
        system: CompiledSystem,
        mapping: CompiledMapping | None,
        document: Document,
        key: str | None,
        content_type: str,
        actor: str,
        module: str,
    ) -> Delivery:
        delivery_id = self.new_id()
        routes, is_push = (system.routes, False) if mapping is None else ((mapping,), True)
        external_ids: list[str] = []
        records: list[RoutedRecord] = []
        wants = partial(self.patience.wants, system.id)
        for number, record in enumerate(document.records):
            own_id = f"{delivery_id}-{number}" if document.is_array else delivery_id
            named: str | None = None
            for route in routes:
                routed = place(route, record, own_id, is_push, wants)
                if routed is not None:
                    shown, placed = routed
                    named = named or shown
                    records.append(placed)
            external_ids.append(named or payload_id(record) or own_id)
        return Delivery(
            delivery_id,
            raw.route,
            system.id,
            system.name,
            "" if mapping is None else mapping.name,
            key,
            hashlib.sha256(raw.body).digest(),
            raw.body,
            content_type,
            raw.peer[:45],
            raw.request_id[:128],
            raw.received_at,
            actor[:255],
            module,
            document.is_array,
            tuple(external_ids),
            tuple(records),
        )


def check_name(field: str, name: str) -> None:
    """Raises InvalidArgument unless it may be a name: 1 to 100 characters, no `/`, no control characters."""
    if not 1 <= len(name) <= MOST_NAME_CHARACTERS or "/" in name or not (name.isprintable() or _has_no_controls(name)):
        raise InvalidArgument(
            f"{field} must be a name of 1 to 100 characters without / and control characters",
            violations=[(field, "is not such a name")],
        )


def pushed_by(body: bytes, kind: MediaType) -> Pushed:
    """What the body of a push says; the bytes of `data` stay as they came. Raises InvalidArgument."""
    document = _parse(_parse_json if kind is MediaType.JSON else parse_form, body)
    if document.is_array:
        raise errors.InvalidJson("The body of a push must be an object with system, mapping and data.")
    whole = document.records[0]
    _refuse_repeated_keys(whole)
    violations = [(name, "must be a text") for name in ("system", "mapping") if type(whole.value.get(name)) is not str]
    data = whole.value.get("data")
    if kind is MediaType.FORM and isinstance(data, str):
        inner = data.encode()
    elif isinstance(data, dict | list):
        inner = _slice(whole.raw.decode(), "data")
    else:
        violations.append(("data", "must be an object, or an array of objects"))
    if violations:
        named = ", ".join(name for name, _ in violations)
        raise InvalidArgument(f"a push needs system, mapping and data; look at {named}", violations=violations)
    check_name("system", str(whole.value["system"]))
    pushed = _parse(_parse_json, inner)
    for record in pushed.records:
        _refuse_repeated_keys(record)
    return Pushed(str(whole.value["system"]), str(whole.value["mapping"]), pushed)


def pushed_data(system: str, mapping: str, data: bytes) -> Pushed:
    """A push whose system and mapping stand beside its data. Raises InvalidArgument."""
    check_name("system", system)
    document = _parse(_parse_json, data)
    for record in document.records:
        _refuse_repeated_keys(record)
    return Pushed(system, mapping, document)


def delivery_key(system: CompiledSystem, headers: Headers, document: Document, signed_id: str | None) -> str | None:
    """The key under which this delivery is known when it comes again; None: by its content.

    Raises InvalidArgument for a header that stands twice or is no key.
    """
    if signed_id is not None:
        return signed_id
    for name in system.key_rule.headers:
        if name in headers:
            return _key(headers, name)
    if system.key_rule.path is None or isinstance(document.value, list):
        return None
    value = system.key_rule.path(document.value)
    if isinstance(value, str) or type(value) is int:
        return _fitting(str(value)) or None
    return None


def header_key(headers: Headers) -> str | None:
    """The key in the headers of a caller that is known by its token or its address. Raises InvalidArgument."""
    for name in ("webhook-id", "idempotency-key"):
        if name in headers:
            return _key(headers, name)
    return None


def checked_key(text: str, name: str) -> str | None:
    """The key, None when empty. Raises InvalidArgument unless it is 1–255 printable ASCII characters."""
    if not text:
        return None
    if len(text) > MOST_KEY_CHARACTERS or not text.isascii() or not text.isprintable():
        raise InvalidArgument(
            f"{name} must be 1 to 255 printable ASCII characters", violations=[(name, "is no such text")]
        )
    return text


def _fitting(key: str) -> str:
    """The key, or one of its digest when it is too long: two keys that begin alike must not become one."""
    return key if len(key) <= MOST_KEY_CHARACTERS else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def raw_content_type(raw: RawDelivery) -> str:
    """The content type as sent, for the record; empty when there is none."""
    values = raw.headers.get("content-type", [b""])
    return values[0].decode("ascii", "replace")[:100]


def _key(headers: Headers, name: str) -> str | None:
    values = headers[name]
    if len(values) > 1:
        raise _repeated(name)
    return checked_key(values[0].decode("latin-1").strip(), name)


def _parse_json(body: bytes) -> Document:
    # What a delivery costs must not depend on how small its records are.
    return parse(body, MOST_RECORDS)


def _parse(parser: Callable[[bytes], Document], body: bytes) -> Document:
    try:
        return parser(body)
    except DocumentError as error:
        if error.reason is DocumentReason.TOO_MANY_RECORDS:
            raise InvalidArgument(error.message, violations=[("body", error.message)]) from None
        raise errors.InvalidJson(error.message, metadata={"fault": str(error.reason)}) from None


def _refuse_repeated_keys(record: Record) -> None:
    if record.duplicate_keys:
        keys = ", ".join(repr(key) for key in record.duplicate_keys[:5])
        raise errors.DuplicateKey(f"An object in the body has a key twice: {keys}.")


def _slice(text: str, wanted: str) -> bytes:
    """The bytes of one member of the object in `text`, which is known to be valid and to have it once."""
    for key, start, end in _members(text):
        if key == wanted:
            return text[start:end].encode()
    raise KeyError(wanted)


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    position = text.index("{") + 1
    while (quote := text.find('"', position)) >= 0:
        key, position = _scan_text(text, quote + 1, True)
        start = text.index(":", position) + 1
        while text[start] in " \t\n\r":
            start += 1
        _, end = _scan(text, start)
        yield key, start, end
        position = end


def _bearer(headers: Headers) -> str | None:
    values = headers.get("authorization", ())
    if not values:
        return None
    if len(values) > 1:
        raise _repeated("authorization")
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    # Other schemes (Basic before a proxy, say) are no tokens of ours: such a push is known by its secret.
    return token.strip() if scheme.lower() == "bearer" else None


def _repeated(header: str) -> errors.RepeatedHeader:
    return errors.RepeatedHeader(f"the header {header} must stand once", metadata={"header": header})


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _has_no_controls(name: str) -> bool:
    return not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name)


__all__ = ["Desk", "JsonObject", "Pushed"]
