"""What a connection says of webhooks is judged here as ingest judges it, and a rotation keeps the right secret."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_ingest.answers import compile_response
from intertie_ingest.handshakes import compile_handshakes
from intertie_ingest.signature_options import compile_verifier
from intertie_ingest.signatures import Misconfigured
from intertie_registry import connection_convert, verification, webhook_options
from intertie_registry.changes import KEPT_UNTIL, applied_to_connection
from intertie_registry.model import Connection

HMAC = {"webhook_auth": "hmac", "webhook_secret": "s"}
SHAKE = {"field": "a", "equals": "b"}
CONFIGS: list[dict[str, Any]] = [
    {"webhook_secret": "s"},
    {"webhook_auth": "github"},
    {"webhook_auth": "stripe", "webhook_secret": "s"},
    {"webhook_auth": "standard-webhooks", "webhook_secret": "whsec_c2VjcmV0"},
    {"webhook_auth": "standard-webhooks", "webhook_secret": "whsec_%%"},
    {"webhook_auth": "standard-webhooks", "webhook_secret": "whsec_"},
    {"webhook_auth": "standard-webhooks", "webhook_secret": "whpk_c2VjcmV0"},
    {"webhook_auth": "standard-webhooks", "webhook_secret": "whpk_" + "A" * 43 + "="},
    {"webhook_secret": "s", "webhook_secret_previous": "t"},
    {
        "webhook_secret": "s",
        "webhook_secret_previous": "t",
        "webhook_secret_previous_expires_at": "2026-01-31T12:00:00Z",
    },
    {"webhook_secret": "s", "webhook_secret_previous": "t", "webhook_secret_previous_expires_at": "soon"},
    HMAC,
    *(
        {**HMAC, "webhook_hmac": {"header": "X-Sig", **options}}
        for options in (
            {},
            {"algorithm": "sha512", "encoding": "base64", "prefix": "s="},
            {"algorithm": "md5"},
            {"algorithm": []},
            {"encoding": "base32"},
            {"prefix": "é"},
            {"signed": "{timestamp}.{body}", "timestamp_header": "X-Time", "tolerance_seconds": 60},
            {"signed": "{timestamp}.{body}"},
            {"timestamp_header": "X-Time"},
            {"signed": "{body}{body}"},
            {"signed": "x" * 201 + "{body}"},
            {"tolerance_seconds": 0},
            {"tolerance_seconds": True},
            {"id_header": "X-Sig", "signed": "{id}{body}"},
            {"id_header": "X-Id", "signed": "{id}{body}", "replay": "refuse_same_body"},
            {"id_header": "X-Id", "signed": "{id}{body}"},
            {"id_header": "X-Id", "signed": "{body}{id}"},
            {"id_header": "X-Id", "signed": "{id}.{body}"},
            {"replay": "refuse_same_body"},
            {"replay": "allow"},
            {"header": "a b"},
            {"header": None},
            {"typo": 1},
        )
    ),
    *(
        {"webhook_secret": "s", "webhook_handshakes": shakes}
        for shakes in (
            [SHAKE],
            [],
            {},
            [5],
            [{**SHAKE, "header": "x"}],
            [{"header": "X-Event", "equals": "ping", "status": 204}],
            [{"header": "X-Event", "equals": 5}],
            [{"field": "a", "equals": True, "body": "{b.c}"}],
            [{"field": "a..b", "equals": "c"}],
            [{**SHAKE, "body": "{a..b}"}],
            [{**SHAKE, "status": 300}],
            [{**SHAKE, "content_type": "text/html"}],
            [{**SHAKE, "content_type": "application/problem+json; charset=utf-8"}],
            [{**SHAKE, "body": "x" * 4097}],
            [{**SHAKE, "more": 1}],
            [SHAKE] * 21,
        )
    ),
    *(
        {"webhook_secret": "s", "webhook_response": response}
        for response in ({}, [], {"body": "{delivery_id} {external_id}"}, {"body": "{x}"}, {"status": 205, "body": "x"})
    ),
]


def fits_ingest(config: dict[str, Any]) -> bool:
    try:
        compile_verifier(config)
        compile_handshakes(config)
        compile_response(config)
    except Misconfigured:
        return False
    return True


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_registry_and_ingest_judge_alike(config: dict[str, Any]) -> None:
    """What is saved verifies, and what would let nobody in is not saved."""
    found = [*verification.problems(config), *webhook_options.problems(config), *verification.lacking(config)]
    assert (not found) == fits_ingest(config), found


def stored(**config: Any) -> Connection:
    return Connection(1, 1, "api", system="police", config_json=json.dumps(config))


def changed(current: Connection, **config: Any) -> Any:
    after = applied_to_connection(current, {"config_json": config, KEPT_UNTIL: "2026-12-01T12:00:00Z"})
    return json.loads(after.config_json)


def test_a_secret_that_is_replaced_becomes_the_previous_one() -> None:
    """With its end; one before it is gone; the rest stays as the request says."""
    older = {"webhook_secret_previous": "oldest", "webhook_secret_previous_expires_at": "2026-01-01T00:00:00Z"}
    assert changed(stored(webhook_secret="old", **older), webhook_secret="new", note=1) == {
        "webhook_secret": "new",
        "webhook_secret_previous": "old",
        "webhook_secret_previous_expires_at": "2026-12-01T12:00:00Z",
        "note": 1,
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"webhook_secret": "new"}),
        ({"webhook_secret": "s"}, {}),
        ({"webhook_secret": "s"}, {"webhook_secret": "s"}),
    ],
    ids=["none-before", "none-named", "the-same"],
)
def test_a_rotation_needs_an_old_secret_and_a_new_one(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Else the end would be of nothing, or the secret its own predecessor."""
    with pytest.raises(InvalidArgument):
        changed(stored(**before), **after)


@pytest.mark.parametrize(("days", "fits"), [(-1, False), (0, False), (1, True), (31, False)])
def test_an_overlap_ends_within_thirty_days(days: int, fits: bool) -> None:
    """Two secrets for ever are one too many."""
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    request = registry_pb2.UpdateConnectionRequest(
        connection=registry_pb2.Connection(id=1, config_json=b'{"webhook_secret": "new"}'),
        keep_webhook_secret_until=until,
    )
    if fits:
        assert datetime.fromisoformat(connection_convert.connection_changes(request)[KEPT_UNTIL]).tzinfo
    else:
        with pytest.raises(InvalidArgument) as refused:
            connection_convert.connection_changes(request)
        assert [field for field, _ in refused.value.violations] == ["keep_webhook_secret_until"]
