"""The tests' own waiting: it ends as soon as the probe holds, and says why when it never does."""

import pytest

from waiting import eventually


async def test_returns_the_first_true_answer() -> None:
    """Plain and async probes are asked again until they answer something true."""
    answers = iter([0, None, "", 7])
    assert await eventually(lambda: next(answers)) == 7

    later = iter([False, True])

    async def probe() -> bool:
        return next(later)

    assert await eventually(probe) is True


async def test_a_failed_assertion_means_not_yet() -> None:
    """An assertion in the probe is retried, and its text survives when time is up."""
    calls = []

    def probe() -> bool:
        calls.append(1)
        assert len(calls) > 2, "too early"
        return True

    assert await eventually(probe)


async def test_says_what_it_last_saw() -> None:
    """When time is up the error carries the last answer, or the last assertion's text."""

    def refuse() -> bool:
        raise AssertionError("never so")

    with pytest.raises(AssertionError, match="never so"):
        await eventually(refuse, timeout=0)
    with pytest.raises(AssertionError, match="last: 0"):
        await eventually(lambda: 0, timeout=0)
