"""What is made of refused calls: soon one entry a place, then their number, and never more than some."""

from datetime import UTC, datetime

import pytest

from intertie_chassis.denials import MOST_PLACES, Denials, Place, address_of
from intertie_chassis.principals import Principal

METHOD = "/intertie.registry.v1.RegistryService/ListSystems"
EVENTS = Principal.of("module:events", "the events module", "id")
START = 1_800_000_000.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def denials(clock: Clock) -> Denials:
    return Denials(clock)


def _add(denials: Denials, *, method: str = METHOD, peer: str = "ipv4:192.0.2.1:40000", request: str = "r") -> None:
    denials.add(method, EVENTS, "PERMISSION_DENIED", 403, peer, request)


def test_the_first_is_told_at_once_and_the_rest_of_the_minute_as_one(denials: Denials, clock: Clock) -> None:
    _add(denials, request="first")
    (first,) = denials.take()
    assert first.place == Place("PERMISSION_DENIED", 403, METHOD, "the events module", "events", "192.0.2.1")
    assert (first.count, first.request_id) == (1, "first")
    for second in range(1, 31):
        clock.now = START + second
        _add(denials, request=f"later {second}")
        assert denials.take() == []
    clock.now = START + 61
    (rest,) = denials.take()
    assert (rest.place, rest.count, rest.request_id) == (first.place, 30, "later 1")
    assert rest.first_at == datetime.fromtimestamp(START + 1, UTC)
    assert rest.last_at == datetime.fromtimestamp(START + 30, UTC)
    assert rest.entry_id != first.entry_id
    assert denials.take() == []


def test_a_new_minute_begins_anew(denials: Denials, clock: Clock) -> None:
    _add(denials)
    denials.take()
    clock.now += 60
    _add(denials)
    assert [denial.count for denial in denials.take()] == [1]


def test_another_port_is_the_same_place(denials: Denials) -> None:
    _add(denials, peer="ipv4:192.0.2.1:40000")
    _add(denials, peer="ipv4:192.0.2.1:40001")
    assert [denial.count for denial in denials.take()] == [2]


def test_a_flood_from_everywhere_is_some_entries_and_no_call_is_uncounted(denials: Denials, clock: Clock) -> None:
    for number in range(10_000):
        _add(denials, peer=f"ipv4:10.0.{number // 250}.{number % 250}:1")
    told = denials.take()
    assert len(told) == MOST_PLACES + 1
    assert told[-1].place == Place("PERMISSION_DENIED", 403)
    for number in range(10_000):
        _add(denials, peer=f"ipv4:10.0.{number // 250}.{number % 250}:1")
    assert denials.take() == []
    clock.now += 60
    told += denials.take()
    assert len(told) == 2 * (MOST_PLACES + 1)
    assert sum(denial.count for denial in told) == 20_000


def test_what_was_not_taken_is_kept_up_to_a_bound(denials: Denials, clock: Clock) -> None:
    _add(denials)
    taken = denials.take()
    denials.give_back(taken)
    assert denials.take() == taken
    for _ in range(1000):
        _add(denials)
        denials.give_back(denials.take())
        clock.now += 60
    assert len(denials.take()) < 300


def test_what_nobody_takes_is_kept_up_to_a_bound(denials: Denials, clock: Clock) -> None:
    """Also in a process whose work of telling has not begun, or hangs."""
    for _minute in range(20):
        for number in range(MOST_PLACES):
            _add(denials, method=f"/{number}")
        clock.now += 60
    assert len(denials.take()) == 256


def test_the_end_takes_everything(denials: Denials) -> None:
    _add(denials)
    denials.take()
    _add(denials)
    assert denials.take() == []
    assert [denial.count for denial in denials.take(everything=True)] == [1]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:40000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:40000", "2001:db8::1"),
        ("ipv6:[::1]:40000", "::1"),
        ("unix:", "unix:"),
        ("192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_address_of_a_peer(peer: str, address: str) -> None:
    assert address_of(peer) == address
