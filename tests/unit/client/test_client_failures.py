"""What gRPC raises, as the client's errors: by code and reason, without what nobody should see."""

import pickle
import re
from collections.abc import Iterable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from intertie_chassis import errors as chassis_errors
from intertie_client import errors
from intertie_client.failures import from_rpc_error
from source_tree import ROOT

REASONS = (ROOT / "protos/intertie/api/v1/errors.proto").read_text(encoding="utf-8")


def failed(code: grpc.StatusCode, status: status_pb2.Status | bytes | None = None, text: str = "") -> Any:
    """What grpc.aio raises for such an answer."""
    raw = status if isinstance(status, bytes | None) else status.SerializeToString()
    trailing = grpc.aio.Metadata(*([("grpc-status-details-bin", raw)] if raw is not None else []))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, text, "a debug text with tcp:10.0.0.7:50052")


def sent_by_a_service(error: chassis_errors.IntertieError) -> errors.IntertieError:
    """What a service raises, as the client raises it."""
    return from_rpc_error(failed(error.code, chassis_errors.to_status(error), error.message), "request-1")


def test_everything_that_a_service_says_arrives() -> None:
    """Code, reason, text, values, fields at fault, when to come again, and the id of the request."""
    error = sent_by_a_service(
        chassis_errors.InvalidArgument(
            "the id is a list",
            metadata={"system": "police"},
            violations=[("data", "must be a text")],
            retry_after=1.5,
        )
    )
    assert type(error) is errors.InvalidArgument
    assert (error.code, error.reason, error.message) == ("INVALID_ARGUMENT", "INVALID_REQUEST", "the id is a list")
    assert (error.metadata, error.retry_after, error.request_id) == ({"system": "police"}, 1.5, "request-1")
    assert error.violations == (errors.FieldViolation("data", "must be a text"),)
    assert str(error) == "the id is a list (INVALID_REQUEST)"


@pytest.mark.parametrize("reason", errors.BY_REASON)
def test_every_reason_with_a_class_is_one_of_the_contract_with_that_code(reason: str) -> None:
    """So that whoever catches the code's class catches it, too."""
    comment = re.search(rf"((?:  //.*\n)+)  ERROR_REASON_{reason} =", REASONS)
    assert comment is not None
    code = re.findall(r"\(([A-Z_]+)(?:, HTTP \d+)?\)", comment[1])[-1]
    assert issubclass(errors.BY_REASON[reason], errors.BY_CODE[code])
    info = error_details_pb2.ErrorInfo(reason=reason, domain="intertie")
    status = status_pb2.Status(message="no")
    status.details.add().Pack(info)
    assert type(from_rpc_error(failed(grpc.StatusCode[code], status))) is errors.BY_REASON[reason]


def subclasses(cls: type[errors.IntertieError]) -> Iterable[type[errors.IntertieError]]:
    """All classes below, at any depth."""
    for one in cls.__subclasses__():
        yield one
        yield from subclasses(one)


def test_every_code_of_grpc_is_an_error_of_ours() -> None:
    """With details or without; a code that means nothing to us is the base class."""
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        error = from_rpc_error(failed(code, None, "library text"))
        assert isinstance(error, errors.IntertieError)
        assert error.code in (code.name, "UNKNOWN"), code
    assert {cls.code for cls in subclasses(errors.IntertieError)} <= {code.name for code in grpc.StatusCode} | {
        "UNKNOWN"
    }


def test_too_much_at_once_says_when_to_come_again() -> None:
    """RateLimited where the service names a time, whatever the reason; a message that is too large is another thing."""
    limited = sent_by_a_service(chassis_errors.ResourceExhausted(reason="OVERLOADED", retry_after=3))
    assert (type(limited), limited.reason, limited.retry_after) == (errors.RateLimited, "OVERLOADED", 3.0)
    assert type(sent_by_a_service(chassis_errors.ResourceExhausted())) is errors.ResourceExhausted
    large = from_rpc_error(
        failed(grpc.StatusCode.RESOURCE_EXHAUSTED, None, "Received message larger than max (9 vs. 4)")
    )
    assert type(large) is errors.TooLarge


def test_what_the_external_api_answered_is_told() -> None:
    """Its status, as a number."""
    refused = sent_by_a_service(
        chassis_errors.FailedPrecondition(reason="EXTERNAL_REFUSED", metadata={"upstream_status": "422"})
    )
    assert isinstance(refused, errors.ExternalRefused)
    assert refused.upstream_status == 422


def test_a_reason_of_another_domain_or_code_is_not_taken_for_ours() -> None:
    """A proxy may have reasons of its own."""
    for domain, code in (("example.com", grpc.StatusCode.PERMISSION_DENIED), ("intertie", grpc.StatusCode.ABORTED)):
        status = status_pb2.Status(message="no")
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason="GRANT_EXPIRED", domain=domain))
        assert not isinstance(from_rpc_error(failed(code, status)), errors.GrantExpired)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_the_library_s_own_text_stays_in_the_cause(code: grpc.StatusCode) -> None:
    """Addresses within the network are nobody's concern."""
    error = from_rpc_error(failed(code, b"\xff no status", "failed to connect to tcp:10.0.0.7:50052"))
    assert "10.0.0.7" not in f"{error} {error!r}"
    assert type(error) is errors.BY_CODE[code.name]


def test_an_error_crosses_to_another_process() -> None:
    """As multiprocessing sends it."""
    error = errors.RateLimited("slow down", metadata={"system": "police"}, retry_after=2, request_id="r")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), vars(copy), str(copy)) == (type(error), vars(error), str(error))
