"""The pages that people read, and the fenced blocks in them: what is shown, and what the tests run of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

from source_tree import ROOT

#: the pages whose commands are meant to be typed, as paths from the root
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
#: languages of what a command prints
OUTPUTS = ("", "text", "json", "http")

# A block begins and ends with the same fence, at the same place; one in a comment is run, and shown to nobody.
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$|^<!-- sh\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    info: str
    """What stands behind the fence, such as ``sh no-run: needs Docker``."""
    text: str
    is_behind_the_last: bool
    """Whether nothing but white space parts it from the block before."""

    @property
    def language(self) -> str:
        """The first word of the info, by which the page is coloured."""
        return self.info.split(" ")[0]

    @property
    def is_run(self) -> bool:
        """Whether it is shell that the tests run."""
        return self.info == "sh"

    @property
    def file(self) -> str | None:
        """The file that a reader would write it to, where the info names one, as in ``python send.py``."""
        named = re.fullmatch(r"\w+ (?P<file>[\w-]+\.\w+)", self.info)
        return named["file"] if named else None


@dataclass(frozen=True, slots=True)
class Command:
    """A block of shell, and what the page shows of its output, if anything; or a file to write."""

    block: Block
    shown: Block | None


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """Every block of a page, in order."""
    return tuple(_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def commands(page: str) -> list[Command]:
    """What the tests run of a page, in order."""
    found = blocks(page)
    return [
        Command(block, after if after and after.is_behind_the_last and after.info in OUTPUTS else None)
        for block, after in zip_longest(found, found[1:])
        if block.is_run or block.file
    ]


def pattern(shown: str) -> re.Pattern[str]:
    """What an output must hold to be the one that is shown: its lines in their order, others may stand between.

    `…` stands for anything. Ids, times and the numbers of rows are other ones each time.
    """
    lines = [_line(line) for line in shown.splitlines() if line.strip()]
    return re.compile(r"[^\n]*\n(?:.*\n)?[^\n]*?".join(lines), re.DOTALL)


def _blocks(page: str, text: str) -> Iterator[Block]:
    end = 0
    for match in _BLOCK.finditer(text):
        indent = match["indent"] or ""
        inside = match["hidden"] if match["hidden"] is not None else match["text"]
        yield Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            "sh" if match["hidden"] is not None else match["info"].strip(),
            re.sub(f"^{indent}", "", inside, flags=re.MULTILINE),
            not text[end : match.start()].strip(),
        )
        end = match.end()


# What is another one each time: ids, times, numbers of rows; and the ellipsis, and white space.
_VARYING = re.compile(
    r"(?P<any>\b0[0-9A-Z]*…|…)|(?P<ulid>\b0[0-9A-HJKMNP-TV-Z]{25}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?)"
    r'|(?P<row>^\d+(?=\s\s)|(?<=[{,]"id":)"?\d+"?|(?<=_ms":)\d+)|(?P<space>\s+)'
)
_PATTERNS = {
    "any": ".*?",
    "ulid": "[0-9A-Z]{26}",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
    "row": r'"?\d+"?',
    "space": r"\s+",
}


def _line(line: str) -> str:
    parts, end = [], 0
    for match in _VARYING.finditer(line := line.strip()):
        parts += [re.escape(line[end : match.start()]), _PATTERNS[match.lastgroup or "any"]]
        end = match.end()
    return "".join([*parts, re.escape(line[end:])])
