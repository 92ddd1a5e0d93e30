"""From where and how often deliveries are taken: terms of a system, the order of what is looked at, and one answer."""

from collections.abc import Callable
from typing import Any

import pytest

from ingest_samples import INCIDENT, JSON, SECRET, configuration, desk, mapping, nobody, raw, system
from intertie_chassis.errors import IntertieError, to_status
from intertie_chassis.ids import new_ulid
from intertie_chassis.principals import Principal
from intertie_ingest.admission import Rate, Sources, Terms, compile_terms
from intertie_ingest.configuration import CompiledSystem, Configuration, StoredConnection, StoredSystem, compile_system
from intertie_ingest.delivery import Desk
from intertie_ingest.errors import RateLimited, SourceNotAllowed, WrongSecret
from intertie_ingest.model import Delivery, RawDelivery, Route
from intertie_ingest.turnstile import Allowances, Turnstile

WRONG = {**JSON, "x-webhook-secret": [b"wrong"]}
PUSH = {"system": "law_enforcement", "mapping": "incidents_to_events", "data": INCIDENT}
ELSEWHERE = "198.51.100.1"


def terms(**options: Any) -> Configuration:
    """A configuration whose system has these terms."""
    return configuration(system(mapping(), webhook_secret=SECRET, **options))


def refusal(config: Configuration, delivery: RawDelivery) -> IntertieError:
    """Why the delivery is refused."""
    with pytest.raises(IntertieError) as caught:
        desk(config).take(delivery)
    return caught.value


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        (["140.82.112.0/20"], ["140.82.112.0", "140.82.127.255", "::ffff:140.82.113.1"], ["140.82.128.0", "::1"]),
        (["192.0.2.1"], ["192.0.2.1"], ["192.0.2.0", "192.0.2.2", "", "unknown", "192.0.2.1.1", "::ffff:192.0.2.2"]),
        (["2001:db8::/32", "10.0.0.0/8"], ["2001:db8:ffff::1", "10.255.0.1"], ["2001:db9::", "11.0.0.0", "9.255.0.1"]),
        (["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"], ["10.0.0.1", "10.1.0.1", "10.200.0.1"], ["11.0.0.1"]),
        (["0.0.0.0/0"], ["1.2.3.4"], ["2001:db8::1"]),
        (["::/0"], ["2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]),
        ([f"10.0.{n}.0/25" for n in range(250)], ["10.0.0.1", "10.0.249.127"], ["10.0.0.128", "10.0.250.1"]),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_sources_hold_just_their_networks(networks: list[str], inside: list[str], outside: list[str]) -> None:
    """To the address, in both families; what is no address is nowhere."""
    sources = compile_terms({"allowed_sources": networks}).sources
    assert sources is not None
    assert [sources.allow(peer) for peer in inside] == [True] * len(inside)
    assert [sources.allow(peer) for peer in outside] == [False] * len(outside)


def test_an_address_that_is_not_allowed_is_answered_as_a_wrong_secret_is() -> None:
    """To the byte; only the log of rejections tells them apart. A wrong secret from there says no more."""
    config = terms(allowed_sources=["192.0.2.0/24"])
    answer = to_status(refusal(config, raw(headers=WRONG, peer="192.0.2.1")))
    for delivery in (
        raw(peer=ELSEWHERE),
        raw(headers=WRONG, peer=ELSEWHERE),
        raw(peer=""),
        raw(PUSH, route=Route.PUSH),
    ):
        error = refusal(config, delivery)
        assert isinstance(error, SourceNotAllowed)
        assert error.noted_reason == "SOURCE_NOT_ALLOWED"
        assert to_status(error) == answer
    assert type(refusal(config, raw(headers=WRONG, peer="192.0.2.1"))) is WrongSecret
    assert isinstance(desk(config).take(raw(peer="192.0.2.255")), Delivery)


def test_an_open_push_comes_from_an_allowed_address_too() -> None:
    """`push_auth: none` lets the loopback in, unless the list leaves it out."""
    delivery = raw(PUSH, route=Route.PUSH, headers=JSON)
    config = terms(push_auth="none", allowed_sources=["192.0.2.0/24"])
    assert isinstance(refusal(config, delivery), SourceNotAllowed)
    assert desk(terms(push_auth="none", allowed_sources=["127.0.0.1"])).take(delivery)


def test_who_comes_with_a_token_is_known_by_it() -> None:
    """Addresses are of the system's own sender; an operator's token is good from everywhere."""
    config = terms(allowed_sources=["192.0.2.0/24"])
    delivery = raw(PUSH, route=Route.PUSH, headers={**JSON, "authorization": [b"Bearer a"]}, peer=ELSEWHERE)
    assert desk(config, lambda token: Principal("operator", "", "somebody", "token-1")).take(delivery)


def counting(config: Configuration, seen: list[int], principal_of: Any = nobody) -> Desk:
    """A desk that notes whose rate was taken from."""

    def admit(admitted: CompiledSystem) -> None:
        seen.append(admitted.id)

    return Desk(config, principal_of, new_ulid, 1_700_000_000.0, 1024 * 1024, admit=admit)


def test_nobody_without_the_secret_takes_from_a_rate() -> None:
    """Wrong secrets, addresses and names cost the system nothing; what is verified costs one, JSON or not."""
    seen: list[int] = []
    config = terms(allowed_sources=["127.0.0.1"])
    for delivery in (raw(headers=WRONG), raw(peer=ELSEWHERE), raw(name="nobody"), raw(headers=JSON)):
        with pytest.raises(WrongSecret):
            counting(config, seen).take(delivery)
    assert seen == []
    counting(config, seen).take(raw())
    with pytest.raises(IntertieError):
        counting(config, seen).take(raw(b"no json"))
    assert seen == [1, 1]
    pushed = raw(PUSH, route=Route.PUSH, headers={**JSON, "authorization": [b"Bearer a"]})
    counting(config, seen, lambda token: Principal("admin", "", "somebody", "token-1")).take(pushed)
    assert seen == [1, 1, 1]


@pytest.mark.parametrize(
    "options",
    [{"rate_limit": 5}, {"rate_limit": {"per_second": 0}}, {"max_in_flight": 0}, {"allowed_sources": ["all"]}],
    ids=str,
)
def test_what_sql_put_there_and_nobody_understands_closes_the_system(options: dict[str, Any]) -> None:
    """The right secret from the right address is refused, an open push too; the log says why."""
    compiled = compile_system(system(mapping(), webhook_secret=SECRET, push_auth="none", **options))
    assert [
        problem for problem in compiled.problems if next(iter(options)) in problem and "nothing is let in" in problem
    ]
    config = Configuration.of([compiled])
    assert type(refusal(config, raw())) is WrongSecret
    assert type(refusal(config, raw(PUSH, route=Route.PUSH, headers=JSON))) is WrongSecret


def test_an_allow_list_that_is_not_heard_is_told() -> None:
    """In a connection that does not verify it counts for nothing, which somebody should know."""
    connections = (
        StoredConnection(1, True, b'{"webhook_secret": "s"}'),
        StoredConnection(2, True, b'{"allowed_sources": ["10.0.0.0/8"]}'),
    )
    compiled = compile_system(StoredSystem(1, "police", True, connections))
    assert compiled.terms == Terms()
    assert [problem for problem in compiled.problems if "connection 2: allowed_sources" in problem]


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait(call: Callable[..., None], *arguments: Any) -> float | None:
    """How long the caller is told to wait; None when it is let in."""
    try:
        call(*arguments)
    except RateLimited as error:
        return error.retry_after
    return None


def test_a_system_has_its_own_rate_or_that_of_the_settings() -> None:
    """Exact, with the time at which there is room again; systems do not share."""
    clock = Clock()
    gate = Turnstile(Allowances(rate=1, burst=2), clock)
    own = Terms(Rate(10, 3))
    assert [wait(gate.admit, 1, Terms()) for _ in range(3)] == [None, None, 1.0]
    assert [wait(gate.admit, 2, own) for _ in range(4)] == [None, None, None, pytest.approx(0.1)]
    clock.now += 0.1
    assert [wait(gate.admit, 2, own), wait(gate.admit, 1, Terms())] == [None, pytest.approx(0.9)]
    assert all(wait(Turnstile().admit, 1, Terms()) is None for _ in range(1000))


def test_failures_of_an_address_are_bounded_over_all_systems() -> None:
    """So many, then nothing of it is looked at until its time; IPv6 by /64; who is not known is not counted."""
    clock = Clock()
    gate = Turnstile(Allowances(failures_per_minute=3), clock)
    for peer in ("2001:db8::1", "2001:db8::2", "2001:db8::3"):
        assert wait(gate.require_few_failures, peer) is None
        gate.failed(peer)
    assert wait(gate.require_few_failures, "2001:db8::4") == pytest.approx(20.0)
    assert wait(gate.require_few_failures, "2001:db8:0:1::1") is None
    clock.now += 20
    assert wait(gate.require_few_failures, "2001:db8::4") is None
    for _ in range(10):
        gate.failed("")
    assert wait(gate.require_few_failures, "") is None


def test_a_number_at_once_is_free_again_when_one_has_ended() -> None:
    """A system's own, else that of the settings."""
    gate = Turnstile(Allowances(in_flight=2))
    assert [wait(gate.enter, 1, Terms()) for _ in range(3)] == [None, None, 1]
    assert [wait(gate.enter, 2, Terms(max_in_flight=1)) for _ in range(2)] == [None, 1]
    gate.leave(1)
    assert [wait(gate.enter, 1, Terms()) for _ in range(2)] == [None, 1]
    for number in (1, 1, 2):
        gate.leave(number)
    assert not gate._in_flight


def test_sources_of_nothing_allow_nothing() -> None:
    """What refusals are measured against."""
    assert not Sources([]).allow("127.0.0.1")
