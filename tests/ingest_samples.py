"""What tests of ingest are made of: systems as registry stores them, raw deliveries, and committed groups."""

import json
from datetime import datetime
from typing import Any

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import Unauthenticated
from intertie_chassis.ids import new_ulid
from intertie_chassis.principals import Principal
from intertie_ingest.configuration import (
    Configuration,
    StoredConnection,
    StoredGrant,
    StoredMapping,
    StoredSystem,
    compile_system,
)
from intertie_ingest.delivery import Desk
from intertie_ingest.model import Delivery, RawDelivery, Route

SECRET = "your_webhook_secret"
JSON = {"content-type": [b"application/json"]}
SIGNED = {**JSON, "x-webhook-secret": [SECRET.encode()]}
INCIDENT = {
    "event_type": "incident_created",
    "id": "12345",
    "title": "Traffic Accident",
    "location": "Main St",
    "date": "2025-01-20",
}
MAPPING = {"field_mappings": {"title": "event_title", "date": "date"}}


def mapping(
    number: int = 1,
    name: str = "incidents_to_events",
    *,
    is_active: bool = True,
    frequency: str = "realtime",
    config: bytes | None = None,
    **options: Any,
) -> StoredMapping:
    """A mapping of the seed's kind; `options` are added to its configuration."""
    return StoredMapping(number, name, is_active, frequency, config or json.dumps({**MAPPING, **options}).encode())


def system(
    *mappings: StoredMapping,
    number: int = 1,
    name: str = "law_enforcement",
    is_active: bool = True,
    grants: tuple[StoredGrant, ...] = (),
    **config: Any,
) -> StoredSystem:
    """A system with one connection, whose `config_json` holds the secret unless `config` says otherwise."""
    options = json.dumps(config or {"webhook_secret": SECRET, "push_auth": "none"}).encode()
    return StoredSystem(number, name, is_active, (StoredConnection(number, True, options),), mappings, grants)


def configuration(*systems: StoredSystem) -> Configuration:
    """The configuration of these systems; of one with the seed's mapping when there are none."""
    return Configuration.of([compile_system(stored) for stored in systems or (system(mapping()),)])


def raw(
    body: object = INCIDENT,
    *,
    route: Route = Route.WEBHOOK,
    name: str = "law_enforcement",
    headers: dict[str, list[bytes]] | None = None,
    key: str | None = None,
    peer: str = "127.0.0.1",
    received_at: datetime | None = None,
) -> RawDelivery:
    """A delivery as the gateway hands it on; a body that is no bytes is made JSON."""
    sent = dict(SIGNED if headers is None else headers)
    if key is not None:
        sent["idempotency-key"] = [key.encode()]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = name if route is Route.WEBHOOK else ""
    return RawDelivery(route, named, content, sent, peer, received_at or utc_now(), "request-1")


def nobody(token: str) -> Principal:
    """Verifies no token."""
    raise Unauthenticated


def desk(config: Configuration | None = None, principal_of: Any = nobody, now: float = 1_700_000_000.0) -> Any:
    """A Desk at a fixed time; what it takes is a delivery, or whatever the test expects."""
    return Desk(config or configuration(), principal_of, new_ulid, now, 1024 * 1024)


def delivery(body: object = INCIDENT, config: Configuration | None = None, **options: Any) -> Delivery:
    """A delivery that is ready to be committed."""
    taken = desk(config).take(raw(body, **options))
    assert isinstance(taken, Delivery)
    return taken
