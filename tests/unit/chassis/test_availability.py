"""Looks at a store that is away: whatever they meet, they go on until it answers."""

from collections.abc import Iterator

from intertie_chassis.availability import Availability
from waiting import eventually


async def test_a_look_that_fails_in_any_way_is_no_answer() -> None:
    """A driver's own fault at a server that is half there must not end the looks: nobody else gives reason for one."""
    found: Iterator[bool | Exception] = iter([ValueError("odd"), ConnectionResetError(), RuntimeError("odd"), True])

    async def look() -> bool:
        answer = next(found)
        if isinstance(answer, Exception):
            raise answer
        return answer

    await _comes_back(Availability("", look, _nothing))


async def test_what_cannot_be_thrown_away_does_not_end_the_looks() -> None:
    answers = iter([False, True])

    async def look() -> bool:
        return next(answers)

    async def discard() -> None:
        raise ValueError("the pool is odd")

    availability = Availability("", look, discard)
    availability.suspect()
    await eventually(lambda: availability.is_away)
    await eventually(lambda: not availability.is_away)
    await availability.close()


async def _comes_back(availability: Availability) -> None:
    availability.begin_away()
    assert availability.is_away
    await eventually(lambda: not availability.is_away)
    await availability.close()


async def _nothing() -> None:
    return
