"""No command of the documentation hides from being run: what is shell says so, and what is not run says why."""

import re
from collections import Counter

import pytest

from documented_blocks import PAGES, blocks, pattern
from intertie_ingest.model import RecordReason
from intertie_mapper.errors import TargetReason
from intertie_mapping.errors import Reason
from source_tree import ROOT

#: why a block may be shown without being run
EXCUSES = {
    "starts the suite",
    "hosts of your own",
    "another machine",
    "a MariaDB server of yours",
    "the database of an existing deployment",
    "containers",
    "takes long",
}
#: the blocks that are not run, by page: one more is a decision
NOT_RUN = {
    "CONTRIBUTING.md": 1,
    "README.md": 2,
    "docs/adopting.md": 5,
    "docs/cli.md": 2,
    "docs/client.md": 2,
    "docs/deploy.md": 4,
    "docs/envoy.md": 2,
    "docs/identity.md": 1,
    "docs/operations.md": 3,
    "docs/quick-start.md": 2,
    "docs/reliability.md": 1,
    "docs/spool.md": 1,
    "docs/tls.md": 1,
}
_TYPED = re.compile(
    r"^(?:\$ )?(?:\.venv/bin/)?(?:intertie(?! is)|curl|make|docker|kubectl|helm|pip|python) ", re.MULTILINE
)


def test_shell_is_run_or_says_why_not() -> None:
    """A block is ``sh``, or ``sh no-run: `` and one of a few reasons. `docs/` holds no other spelling of shell."""
    shell = [block for page in PAGES for block in blocks(page) if block.language in {"sh", "bash", "shell", "console"}]
    excuses = {f"sh no-run: {excuse}" for excuse in EXCUSES}
    odd = [block for block in shell if not block.is_run and block.info not in excuses]
    assert [f"{block.page}:{block.line} {block.info}" for block in odd] == []


def test_what_is_not_run_is_counted() -> None:
    """Page by page, so that a command is not taken out of the tests by the way."""
    skipped = Counter(block.page for page in PAGES for block in blocks(page) if "no-run" in block.info)
    assert dict(skipped) == NOT_RUN


@pytest.mark.parametrize("page", PAGES)
def test_a_command_does_not_pass_for_a_text(page: str) -> None:
    """A block without a language, or of text, is what something prints."""
    hidden = [block.line for block in blocks(page) if block.language in {"", "text"} and _TYPED.search(block.text)]
    assert hidden == []


def test_an_output_is_held_against_what_is_shown() -> None:
    """Ids, times and numbers of rows may differ, and lines stand between; words may not differ."""
    shown = 'ID  NAME   SINCE\n7   tide   2026-01-31 08:00:00\n…\n{"id":"7","delivery_id":"01KAP3…","done":true}\n'
    printed = 'hello\nID  NAME  SINCE\n12  tide  2027-02-01 09:30:00\n\n{"id":"12","delivery_id":"01KBX","done":true}\n'
    assert pattern(shown).search(printed)
    assert not pattern(shown).search(printed.replace("tide", "ebb"))
    assert not pattern(shown).search(printed.replace("true", "false"))


def test_troubleshooting_knows_the_reasons_by_their_names() -> None:
    """What it says of records that were set aside is about reasons that there are."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    section = page.partition("## It was set aside")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    assert named
    assert named <= {reason.value for reason in (*Reason, *TargetReason, *RecordReason)}
