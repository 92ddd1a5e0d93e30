"""Hooks of mkdocs.yml: what the forge's Markdown needs before the site's parser reads it as it is meant.

The pages are written for the forge, where most people read them. The two differ in three ways that matter here: the
words behind a fence's language, by which tests find examples; how far the text of a list is indented; and links out of
docs/.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
#: pages of the repository's root that are pages of the site, too
ROOT_PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md")

_FENCE = re.compile(r"^(?P<start>\s*```\w+)[ \t]+.*$", re.MULTILINE)
#: a fence that stands in no list, whose lines are as they are; or one line of a numbered list's text
_NUMBERED = re.compile(r"^```.*?^```$|^ {3}(?=\S)", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"(?<=\]\()(?P<target>[^)#\s:]+)(?=[)#])")


class TwoSpaces(Extension):  # type: ignore[misc]  # it has no types of its own
    """The text of a list stands two spaces in, as the forge takes it, and not four."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 the library's name
        """Called by the parser when it is made, before other extensions add to what is built here anew."""
        md.tab_length = 2
        md.build_parser()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give the parser our indentation."""
    extensions: list[Any] = config["markdown_extensions"]
    extensions.insert(0, TwoSpaces())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the root's pages in, with their links as seen from docs/."""
    for name in ROOT_PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=_TARGET.sub(_from_docs, text)))
    return files


def on_page_markdown(markdown: str, **arguments: Any) -> str:
    """Leave of a fence its language, and of a link to the root's pages what the site has of it."""
    path = arguments["page"].file.src_uri
    readable = _NUMBERED.sub(lambda match: match[0] if match[0].strip() else "  ", markdown)
    readable = _FENCE.sub(r"\g<start>", readable)
    if path in ROOT_PAGES:
        return readable

    def on_the_site(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(path), match["target"]))
        if target not in ROOT_PAGES:
            return match["target"]
        return posixpath.relpath(target, posixpath.dirname(path) or ".")

    return _TARGET.sub(on_the_site, readable)


def _from_docs(match: re.Match[str]) -> str:
    return match["target"].removeprefix("docs/")
