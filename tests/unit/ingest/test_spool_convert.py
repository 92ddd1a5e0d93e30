"""What the spool keeps of a delivery is the delivery, and nothing that its sender is known by."""

from types import SimpleNamespace
from typing import Any

import pytest

from ingest_samples import JSON, SECRET, configuration, delivery, mapping, raw, system
from intertie_ingest.model import Delivery, Route
from intertie_ingest.spool_convert import content_of, delivery_of

FORM = {**JSON, "content-type": [b"application/x-www-form-urlencoded"], "x-webhook-secret": [SECRET.encode()]}
PUSH = {"system": "law_enforcement", "mapping": "incidents_to_events", "data": {"id": 7, "n": 1.50}}
SEVERAL = configuration(
    system(
        mapping(1, "first", version_field="v"),
        mapping(2, "second", frequency="manual", external_id_field="other.id"),
        webhook_secret=SECRET,
        webhook_response={"status": 201, "content_type": "application/json", "body": '{"got": "{delivery_id}"}'},
    )
)


def row(one: Delivery) -> Any:
    """The row of the spool, as far as the delivery is made of it."""
    return SimpleNamespace(
        delivery_id=one.delivery_id,
        system_id=one.system_id,
        delivery_key=one.delivery_key,
        replay_mark=one.replay_mark,
        digest=one.digest,
        is_array=one.is_array,
        content=content_of(one),
        body=one.body,
    )


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({"id": 1, "title": "é☂ 🚒 \x00"}, {}),
        (b'  {"id": 1}\n', {"key": "k"}),
        ([{"id": 1}, {"id": 2, "v": "3"}], {"config": SEVERAL}),
        ({"id": 1, "v": {}}, {"config": SEVERAL}),
        (b"id=1&title=a+form", {"headers": FORM}),
        (PUSH, {"route": Route.PUSH}),
        ({"id": 1}, {"config": configuration(system())}),
    ],
    ids=["text", "key-and-blanks", "array", "fault", "form", "push", "unrouted"],
)
def test_a_delivery_comes_back_as_it_was(body: object, options: dict[str, Any]) -> None:
    """Whatever came, to the last byte and bit."""
    one = delivery(body, **options)
    assert delivery_of(row(one)) == one


def test_no_secret_is_kept() -> None:
    """What verified a delivery is named, not kept."""
    one = delivery({"id": 1})
    assert SECRET in str(raw({"id": 1}).headers)
    assert SECRET.encode() not in content_of(one)
    assert one.verified_by.encode() in content_of(one)
