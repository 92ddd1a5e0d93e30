"""The guide of the client shows what is run: each piece of Python in it stands in an example, letter for letter."""

import re
import textwrap

from intertie_client import errors
from source_tree import ROOT

GUIDE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "client" / "examples").glob("*.py")}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def stands_in(block: str, text: str) -> bool:
    """Whether the lines stand in the text, at whatever depth."""
    return any(textwrap.indent(block, " " * depth) in text for depth in (0, 4, 8, 12))


def test_each_piece_stands_in_an_example() -> None:
    """And each example is shown in part at least."""
    blocks = BLOCK.findall(GUIDE)
    homes = [{name for name, text in EXAMPLES.items() if stands_in(block, text)} for block in blocks]
    assert [block for block, home in zip(blocks, homes, strict=True) if not home] == []
    assert set().union(*homes) == set(EXAMPLES)


def test_the_errors_of_the_guide_are_those_of_the_client() -> None:
    """Every class of a code or a reason, and no other."""
    named = set(re.findall(r"^\| `([A-Z]\w+)`", GUIDE, re.MULTILINE))
    classes = {cls.__name__ for cls in (*errors.BY_CODE.values(), *errors.BY_REASON.values())}
    assert named == classes
