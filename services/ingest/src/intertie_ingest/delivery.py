"""From the bytes of a delivery to records with a place in the cache: verify, parse, route.

Pure: clock and ids are passed in. The order matters: content type, then who it is, then what it says. Nothing that is
not verified is looked up or compared with what came before.

Classes of which each delivery makes some are not frozen, though nothing changes them: a frozen one takes ten times as
long to make.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address

from intertie_chassis.errors import InvalidArgument, PermissionDenied
from intertie_chassis.principals import Principal
from intertie_ingest import errors, grants
from intertie_ingest.admission import NOWHERE
from intertie_ingest.answers import Answer, AnswerTooLarge
from intertie_ingest.bodies import document_of
from intertie_ingest.configuration import CompiledMapping, CompiledSystem, Configuration, StoredSystem, closed_system
from intertie_ingest.delivery_keys import delivery_key, fitting, header_key, repeated, replay_mark
from intertie_ingest.media_types import MediaType, media_type
from intertie_ingest.model import Delivery, Greeting, RawDelivery, Route, RoutedRecord
from intertie_ingest.pushes import Pushed, check_name, pushed_by
from intertie_ingest.routing import Patience, payload_id, place
from intertie_ingest.signatures import Headers, Mismatch, Repeated, Verified
from intertie_mapping.documents import Document

NOBODY = closed_system(StoredSystem(0, "", False))
"""Whoever is not there."""
BY_TOKEN, BY_NOBODY = "token", "none"
"""What verified a delivery, where no secret did."""


@dataclass(slots=True)
class Admitted:
    """A delivery that comes from whom it says, as far as it was read for that."""

    raw: RawDelivery
    system: CompiledSystem
    kind: MediaType
    content_type: str
    verified: Verified
    verified_by: str
    actor: str
    #: the module that pushed; empty for others
    module: str = ""
    #: what the body of a push says
    pushed: Pushed | None = None
    #: the key that a known caller gave, which nobody else's is like
    key: str | None = None


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

    def take(self, raw: RawDelivery) -> Delivery | Greeting:
        """The delivery, ready to be committed, or a handshake. Raises IntertieError that says why not."""
        return self.routed(self.admitted(raw))

    def admitted(self, raw: RawDelivery) -> Admitted:
        """The delivery once it is known whom it comes from. Raises IntertieError that says why not.

        What this costs, when it refuses, is the same for all systems, known or not.
        """
        if len(raw.body) > self.max_body_bytes:
            raise errors.BodyTooLarge(f"the body is larger than {self.max_body_bytes} bytes")
        kind, content_type = media_type(raw.headers)
        pushed: Pushed | None = None
        name = raw.system
        if raw.route is Route.PUSH:
            pushed = pushed_by(raw.body, kind)
            token = _bearer(raw.headers)
            if token is not None:
                return self._admitted_push(raw, pushed, self.principal_of(token), header_key(raw.headers))
            name = pushed.system
        else:
            check_name("system", name)
        system = self.configuration.by_name.get(name)
        is_open = pushed is not None and system is not None and self._is_open(system, raw.peer)
        verified = Verified() if is_open else self._verify(system, raw)
        if system is None:
            raise errors.WrongSecret
        self.admit(system)
        actor, key = f"system:{system.name}", header_key(raw.headers) if is_open else None
        return Admitted(
            raw, system, kind, content_type, verified, verified.secret or BY_NOBODY, actor, pushed=pushed, key=key
        )

    def routed(self, admitted: Admitted) -> Delivery | Greeting:
        """The delivery, ready to be committed, or a handshake. Raises IntertieError that says why not.

        This may take as long as the filters of the system do.
        """
        raw, system, pushed = admitted.raw, admitted.system, admitted.pushed
        if pushed is not None:
            return self._routed_push(admitted, pushed)
        document = document_of(raw.body, admitted.kind)
        answer = _handshake(system, raw.headers, document)
        if answer is not None:
            return Greeting(system.id, system.name, admitted.verified_by, answer)
        return self._delivery(admitted, document, None)

    def take_pushed(self, raw: RawDelivery, pushed: Pushed, principal: Principal, key: str | None) -> Delivery:
        """A push by a known caller. Raises IntertieError that says why not."""
        return self._routed_push(self._admitted_push(raw, pushed, principal, key), pushed)

    def _admitted_push(self, raw: RawDelivery, pushed: Pushed, principal: Principal, key: str | None) -> Admitted:
        system = self._system_for(principal, pushed.system)
        self.admit(system)
        module = principal.name if principal.role == "module" else ""
        if key is not None and module:
            # A module must not use up the keys of the system itself, or of another module.
            key = fitting(f"module:{module}:{key}")
        actor, content_type = principal.subject or principal.label, _raw_content_type(raw)
        return Admitted(
            raw, system, MediaType.JSON, content_type, Verified(), BY_TOKEN, actor, module, pushed=pushed, key=key
        )

    def _routed_push(self, admitted: Admitted, pushed: Pushed) -> Delivery:
        mapping = admitted.system.route(pushed.mapping)
        if mapping is None:
            raise errors.MappingNotFound(metadata={"system": admitted.system.name, "mapping": pushed.mapping})
        return self._delivery(admitted, pushed.document, mapping)

    def _is_open(self, system: CompiledSystem, peer: str) -> bool:
        return system.is_active and system.is_push_open and system.terms.allow(peer) and _is_loopback(peer)

    def _verify(self, system: CompiledSystem | None, raw: RawDelivery) -> Verified:
        # Who is not there is like one that lets nobody in, and every refusal has looked at the address once.
        here = system if system is not None and system.is_active else NOBODY
        sources = here.terms.sources or NOWHERE
        allowed = sources.allow(raw.peer) or sources is NOWHERE
        try:
            return self.configuration.gate.verify(here.verifier, raw.headers, raw.body, self.now, is_allowed=allowed)
        except Mismatch:
            raise (errors.WrongSecret() if allowed else errors.SourceNotAllowed()) from None
        except Repeated as error:
            raise errors.RepeatedHeader(str(error), metadata={"header": error.header}) from None

    def _system_for(self, principal: Principal, name: str) -> CompiledSystem:
        system = self.configuration.by_name.get(name)
        if principal.role == "module":
            grants.require(system, name, principal.name, "write", self.now)
        elif principal.role not in ("operator", "admin"):
            raise PermissionDenied(f"the role {principal.label} may not push", metadata={"role": principal.label})
        if system is None or not system.is_active:
            raise errors.SystemNotFound(metadata={"system": name})
        return system

    def _delivery(self, admitted: Admitted, document: Document, mapping: CompiledMapping | None) -> Delivery:
        raw, system = admitted.raw, admitted.system
        digest = hashlib.sha256(raw.body).digest()
        key, is_proven = admitted.key, True
        if key is None and admitted.verified_by != BY_TOKEN:
            key, is_proven = delivery_key(system.key_rule, raw.headers, document, admitted.verified)
        delivery_id = self.new_id()
        external_ids, records = self._records(delivery_id, system, document, mapping)
        return Delivery(
            delivery_id,
            raw.route,
            system.id,
            system.name,
            "" if mapping is None else mapping.name,
            key,
            digest,
            raw.body,
            admitted.content_type,
            raw.peer[:45],
            raw.request_id[:128],
            raw.received_at,
            admitted.actor[:255],
            admitted.module,
            document.is_array,
            external_ids,
            records,
            verified_by=admitted.verified_by,
            replay_mark=None if is_proven else replay_mark(admitted.verified, digest),
            response=system.response if raw.route is Route.WEBHOOK else None,
            traceparent=raw.traceparent,
        )

    def _records(
        self, delivery_id: str, system: CompiledSystem, document: Document, mapping: CompiledMapping | None
    ) -> tuple[tuple[str, ...], tuple[RoutedRecord, ...]]:
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
        return tuple(external_ids), tuple(records)


def _handshake(system: CompiledSystem, headers: Headers, document: Document) -> Answer | None:
    try:
        answers = (handshake.answered(headers, document) for handshake in system.handshakes)
        return next((answer for answer in answers if answer is not None), None)
    except Repeated as error:
        raise errors.RepeatedHeader(str(error), metadata={"header": error.header}) from None
    except AnswerTooLarge:
        raise InvalidArgument("the handshake says more than its answer may hold") from None


def _raw_content_type(raw: RawDelivery) -> str:
    """The content type as sent, for the record; empty when there is none."""
    values = raw.headers.get("content-type", [b""])
    return values[0].decode("ascii", "replace")[:100]


def _bearer(headers: Headers) -> str | None:
    values = headers.get("authorization", ())
    if not values:
        return None
    if len(values) > 1:
        raise repeated("authorization")
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    # Other schemes (Basic before a proxy, say) are no tokens of ours: such a push is known by its secret.
    return token.strip() if scheme.lower() == "bearer" else None


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
