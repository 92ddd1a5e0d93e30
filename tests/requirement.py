"""What tests need from the machine: a test without it is skipped and told of at the end, or fails where it is required.

``INTERTIE_REQUIRE=mariadb,envoy`` names what must be there: with it a missing part fails the test instead.
"""

import os
from collections import Counter
from typing import NoReturn

import pytest

#: what was missing, and how many tests were skipped for it
missed: Counter[str] = Counter()


def missing(name: str, remedy: str) -> NoReturn:
    """Skip the running test because ``name`` is not here, or fail it when ``INTERTIE_REQUIRE`` names it."""
    if name in os.environ.get("INTERTIE_REQUIRE", "").split(","):
        pytest.fail(f"INTERTIE_REQUIRE names {name}, but it is not here: {remedy}", pytrace=False)
    missed[f"{name} ({remedy})"] += 1
    pytest.skip(f"without {name}: {remedy}")
