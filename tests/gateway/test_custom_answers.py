"""Handshakes and answers of a connection's own, as the sender gets them; what is not safe to send is not sent."""

import pytest

from gateway_rig import PUSH, GatewayProcess, Script, accepted, problem_of
from intertie.ingest.v1 import ingest_pb2


def test_a_handshake_is_answered_as_it_says(gateway: GatewayProcess, script: Script) -> None:
    """Status, type and body, and nothing sniffs another type out of it."""
    script.accept = lambda _: ingest_pb2.AcceptResult(
        handshake=ingest_pb2.CustomResponse(status=201, content_type="text/plain", body=b"challenge")
    )
    answer = gateway.webhook()
    assert (answer.status_code, answer.content) == (201, b"challenge")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_accepted_webhook_is_answered_as_its_connection_says(gateway: GatewayProcess, script: Script) -> None:
    """In place of the usual; a 204 has neither a body nor a length."""

    def own(delivery: ingest_pb2.RawDelivery) -> ingest_pb2.AcceptResult:
        result = accepted(delivery)
        custom = ingest_pb2.CustomResponse(status=204, content_type="text/plain", body=b"never sent")
        result.acceptance.custom_response.CopyFrom(custom)
        return result

    script.accept = own
    answer = gateway.webhook()
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
    pushed = gateway.webhook(b'{"system":"law_enforcement","mapping":"m","data":{"id":1}}', PUSH)
    assert pushed.status_code == 202


@pytest.mark.parametrize(
    ("status", "content_type"),
    [
        (200, "text/plain\r\nSet-Cookie: a=b"),
        (200, "text/plain\nX: y"),
        (200, "é/x"),
        (200, ""),
        (302, "text/plain"),
        (500, "text/plain"),
        (0, "text/plain"),
    ],
)
def test_what_is_not_safe_is_not_sent(gateway: GatewayProcess, script: Script, status: int, content_type: str) -> None:
    """Whoever let it through: no header of somebody else's, no redirect."""
    script.accept = lambda _: ingest_pb2.AcceptResult(
        handshake=ingest_pb2.CustomResponse(status=status, content_type=content_type, body=b"x")
    )
    answer = gateway.webhook()
    assert answer.status_code == 500
    assert "set-cookie" not in answer.headers
    assert problem_of(answer)["details"][0]["reason"] == "INTERNAL"
