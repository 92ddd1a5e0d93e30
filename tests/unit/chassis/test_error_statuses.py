"""Errors keep their meaning across the wire, and every reason stands in the contract."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from intertie.api.v1 import errors_pb2
from intertie_chassis import errors

CLASSES = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.IntertieError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_has_a_text_and_a_reason_of_the_contract(cls: type[errors.IntertieError]) -> None:
    error = cls()
    assert error.message == (cls.__doc__ or "").splitlines()[0]
    assert f"ERROR_REASON_{error.reason}" in dict(errors_pb2.ErrorReason.items())


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not errors.IntertieError])
def test_each_class_survives_the_wire(cls: type[errors.IntertieError]) -> None:
    sent = cls("what", reason="CONFLICT", metadata={"a": "1"}, retry_after=2.25, violations=[("f.g", "is bad")])
    status = errors.to_status(sent)
    received = errors.from_status(status_pb2.Status.FromString(status.SerializeToString()))
    # What only this side tells apart is on the wire what its code says.
    assert type(received) is (errors.Unavailable if cls is errors.StoreBusy else cls)
    assert status.code == cls.code.value[0]
    for name in ("message", "reason", "metadata", "retry_after", "violations"):
        assert getattr(received, name) == getattr(sent, name)


def test_a_status_has_exactly_one_error_info_of_our_domain() -> None:
    status = errors.to_status(errors.NotFound("x", violations=[("a", "b")], retry_after=1))
    infos = [detail for detail in status.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    info = error_details_pb2.ErrorInfo()
    assert len(infos) == 1
    assert infos[0].Unpack(info)
    assert info.domain == "intertie"
    assert len(errors.to_status(errors.NotFound()).details) == 1


def test_a_status_fits_the_metadata_however_much_is_wrong() -> None:
    much = "ü" * 5000
    error = errors.InvalidArgument(
        much, metadata={f"k{n}": much for n in range(50)}, violations=[(f"f{n}", much) for n in range(500)]
    )
    status = errors.to_status(error)
    assert status.ByteSize() < 9 * 1024
    received = errors.from_status(status)
    assert received.message.startswith("üü")
    assert received.violations[0][0] == "f0"
    assert received.violations[-1] == ("…", f"and {501 - len(received.violations)} more")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.CANCELLED, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.UNKNOWN, errors.Internal),
        (grpc.StatusCode.DATA_LOSS, errors.Internal),
        (grpc.StatusCode.OUT_OF_RANGE, errors.InvalidArgument),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
    ],
)
def test_a_failure_of_the_library_becomes_ours_without_its_words(
    code: grpc.StatusCode, expected: type[errors.IntertieError]
) -> None:
    library = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "ipv4:10.0.0.1:50051: refused")
    error = errors.from_rpc_error(library)
    assert type(error) is expected
    if expected in (errors.Unavailable, errors.DeadlineExceeded, errors.Internal):
        assert "10.0.0.1" not in error.message


def test_details_that_are_garbage_do_not_hide_the_code() -> None:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    library = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, "gone")
    assert type(errors.from_rpc_error(library)) is errors.NotFound


def test_a_time_to_wait_always_fits_into_an_answer() -> None:
    """A rate of next to nothing gives endless waiting, and one refusal that cannot be written would end its group."""
    status = errors.to_status(errors.ResourceExhausted(retry_after=float("inf")))
    answered = errors.from_status(status)
    assert answered.retry_after == errors.LONGEST_RETRY
