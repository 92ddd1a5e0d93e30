"""What is used of `jsonata-python`, imported without what its import does to the process.

It raises the recursion limit to 10,000, at which C code (the JSON scanner) can exhaust a thread's stack and kill the
process.
"""

# The order of these statements is the point of this file, so no sorting of imports here.
# ruff: noqa: E402

import sys

_recursion_limit = sys.getrecursionlimit()

from jsonata.functions import Functions  # type: ignore[import-untyped]
from jsonata.jexception import JException  # type: ignore[import-untyped]
from jsonata.jsonata import Jsonata  # type: ignore[import-untyped]
from jsonata.parser import Parser  # type: ignore[import-untyped]
from jsonata.regex_engine import RegexFlags  # type: ignore[import-untyped]
from jsonata.utils import Utils  # type: ignore[import-untyped]

sys.setrecursionlimit(_recursion_limit)

__all__ = ["Functions", "JException", "Jsonata", "Parser", "RegexFlags", "Utils"]
