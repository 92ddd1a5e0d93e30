"""A delivery as the spool keeps it, and back: its body as it came, beside it as JSON all that the commit needs.

No header of the request is among it, so no secret is.
"""

from datetime import datetime
from typing import Any

import orjson

from intertie_ingest.answers import Template
from intertie_ingest.model import Delivery, Fault, Route, RoutedRecord


def content_of(delivery: Delivery) -> bytes:
    """All of a delivery but its body and what the spool has columns for."""
    answer = delivery.response
    traced = {"traceparent": delivery.traceparent} if delivery.traceparent else {}
    return orjson.dumps(
        {
            **traced,
            "route": delivery.route.value,
            "system": delivery.system,
            "mapping": delivery.mapping,
            "content_type": delivery.content_type,
            "source": delivery.source,
            "request_id": delivery.request_id,
            "received_at": delivery.received_at.isoformat(),
            "actor": delivery.actor,
            "module": delivery.module,
            "verified_by": delivery.verified_by,
            "external_ids": delivery.external_ids,
            "records": [_shown(record, delivery.body) for record in delivery.records],
            "response": None if answer is None else [answer.status, answer.content_type, answer.parts],
        }
    )


def delivery_of(row: Any) -> Delivery:
    """The delivery of a row of the spool. Raises ValueError, KeyError or TypeError for one that is none."""
    content, body = orjson.loads(row.content), bytes(row.body)
    answer = content["response"]
    return Delivery(
        row.delivery_id,
        Route(content["route"]),
        row.system_id,
        content["system"],
        content["mapping"],
        row.delivery_key,
        bytes(row.digest),
        body,
        content["content_type"],
        content["source"],
        content["request_id"],
        datetime.fromisoformat(content["received_at"]),
        content["actor"],
        content["module"],
        bool(row.is_array),
        tuple(content["external_ids"]),
        tuple(_record(shown, body) for shown in content["records"]),
        verified_by=content["verified_by"],
        replay_mark=None if row.replay_mark is None else bytes(row.replay_mark),
        response=None if answer is None else Template(answer[0], answer[1], tuple(answer[2])),
        traceparent=content.get("traceparent", ""),
    )


def _shown(record: RoutedRecord, body: bytes) -> dict[str, Any]:
    fault = record.fault
    return {
        "mapping_id": record.mapping_id,
        "external_id": record.external_id,
        # A body of one record is that record: it need not stand there twice.
        "data": None if record.data.encode() == body else record.data,
        "digest": record.digest.hex(),
        "version_key": record.version_key,
        "is_released": record.is_released,
        "fault": None if fault is None else [fault.reason, fault.field, fault.message],
    }


def _record(shown: dict[str, Any], body: bytes) -> RoutedRecord:
    return RoutedRecord(
        shown["mapping_id"],
        shown["external_id"],
        body.decode() if shown["data"] is None else shown["data"],
        bytes.fromhex(shown["digest"]),
        shown["version_key"],
        shown["is_released"],
        None if shown["fault"] is None else Fault(*shown["fault"]),
    )
