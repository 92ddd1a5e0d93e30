"""How long a test's own databases are waited for: longer than the product waits for one.

A machine that tests share with others stands still for seconds now and then, and what looks for its database in that
time finds it away, rightly. Tests of outages take the product's own limits (the fixture ``usual_limits``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from intertie_chassis import availability, mysql

_SECONDS = 30
_LIMITS = ((mysql, "_CONNECT_SECONDS"), (availability, "_ANSWER_SECONDS"))
_USUAL = tuple(getattr(module, name) for module, name in _LIMITS)


def use() -> None:
    """Wait so long from now on, in this process; those that tests start keep the product's limits."""
    for module, name in _LIMITS:
        setattr(module, name, _SECONDS)


@contextmanager
def usual() -> Iterator[None]:
    """The product's own limits, for a while."""
    for (module, name), seconds in zip(_LIMITS, _USUAL, strict=True):
        setattr(module, name, seconds)
    try:
        yield
    finally:
        use()
