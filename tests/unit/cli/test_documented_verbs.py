"""What the documentation shows without running it is still a command that there is, with options that it takes."""

import re
import shlex
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from documented_blocks import PAGES, blocks
from intertie_cli.app import app
from source_tree import ROOT

#: a command in a sentence; two of the texts in code style are none
NAMED = re.compile(r"`intertie\s+(?!is ready|audit chain)(?P<noun>[a-z]+)(?:\s+(?P<verb>[a-z-]+))?[^`]*`")
#: a line that calls the command, perhaps with variables before it
CALL = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?intertie (?P<words>.*)$")


def _shown() -> list[str]:
    """What stands behind `intertie` in the blocks that are not run."""
    texts = [block.text for page in PAGES for block in blocks(page) if "no-run" in block.info]
    lines = [line.strip() for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return sorted({called["words"].partition(" | ")[0] for line in lines if (called := CALL.match(line))})


def _require_taken(words: list[str]) -> None:
    """Raise what the command line would say of them; nothing is called."""
    command: Any = typer.main.get_command(app)
    context = None
    while isinstance(command, TyperGroup):
        context = command.make_context("intertie", list(words), parent=context, resilient_parsing=True)
        found = command.get_command(context, words[0])
        assert found, f"there is no `{words[0]}`"
        command, words = found, words[1:]
    command.make_context("intertie", list(words), parent=context)


def test_there_are_some() -> None:
    assert len(_shown()) > 10


@pytest.mark.parametrize("line", _shown())
def test_a_command_that_is_shown_can_be_typed(line: str) -> None:
    """Its verb exists, and its arguments are taken."""
    _require_taken(shlex.split(line, comments=True))


@pytest.mark.parametrize("line", ["sync walk", "sync run city_roads", "db status --colour"])
def test_a_command_that_there_is_not_is_found_out(line: str) -> None:
    """The verb, an argument that is needed, an option."""
    with pytest.raises(Exception, match=r"walk|mapping|MAPPING|--colour"):
        _require_taken(shlex.split(line))


@pytest.mark.parametrize("page", PAGES)
def test_a_text_names_verbs_that_there_are(page: str) -> None:
    """Of the commands that stand in sentences, noun and verb."""
    text = re.sub(r"^ *```.*?^ *```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    nouns: Any = typer.main.get_command(app)
    for named in NAMED.finditer(text):
        noun = nouns.commands.get(named["noun"])
        assert noun, named[0]
        assert named["verb"] is None or not isinstance(noun, TyperGroup) or named["verb"] in noun.commands, named[0]
