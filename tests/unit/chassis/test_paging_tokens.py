"""Page tokens fit the request that they continue, and no other; sizes have their bounds."""

import base64

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from hypothesis import given
from hypothesis import strategies as st

from intertie_chassis.errors import InvalidArgument
from intertie_chassis.ids import is_request_id, new_ulid
from intertie_chassis.paging import decode_token, encode_token, page_size

positions = st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=40)), max_size=4)


@given(positions, st.text(max_size=20))
def test_a_token_gives_its_position_back_to_the_same_request(position: list[str | int], argument: str) -> None:
    request = StringValue(value=argument)
    assert decode_token(encode_token(position, request), request) == position


def test_the_first_page_has_no_token() -> None:
    assert decode_token("", StringValue()) is None


def test_a_token_of_another_request_is_refused() -> None:
    token = encode_token([1], StringValue(value="a"))
    for other in (StringValue(value="b"), StringValue(), ServerReflectionRequest(host="a")):
        with pytest.raises(InvalidArgument) as caught:
            decode_token(token, other)
        assert caught.value.reason == "INVALID_PAGE_TOKEN"
        assert caught.value.violations[0][0] == "page_token"


@given(st.text(max_size=80))
def test_what_is_no_token_is_refused(text: str) -> None:
    if text:
        with pytest.raises(InvalidArgument):
            decode_token(text, StringValue(value="a"))


def test_a_token_that_holds_something_else_is_refused() -> None:
    request = StringValue()
    digest = base64.urlsafe_b64decode(encode_token([], request) + "==")[:9]
    for body in (b"7", b'{"a":1}', b"[1.5]", b"[null]", b"[true]", b"[[1]]", b"", b"[" * 5000):
        with pytest.raises(InvalidArgument):
            decode_token(base64.urlsafe_b64encode(digest + body).decode().rstrip("="), request)


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_sizes_are_clamped(asked: int, size: int) -> None:
    assert page_size(asked) == size


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        page_size(-1)
    assert caught.value.violations[0][0] == "page_size"


def test_ulids_sort_by_time_and_are_request_ids() -> None:
    ids = [new_ulid() for _ in range(3)]
    assert all(len(each) == 26 and is_request_id(each) for each in ids)
    assert ids[0][:10] <= ids[2][:10]


@pytest.mark.parametrize("text", ["", " ", "a\n", "a b", "ä", "-a", "a" * 129])
def test_a_request_id_is_harmless(text: str) -> None:
    assert not is_request_id(text)
