"""Writes a configuration as YAML that is read back as what it was, and read alike by readers of YAML 1.1 and 1.2."""

from typing import Any

import yaml

from intertie_cli.declared.scalars import is_plain_text

_WIDTH = 120


class _Dumper(yaml.SafeDumper):
    """Lists stand under their keys, indented; nothing is repeated by an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indents lists, too."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Whether a value is written anew where it stands again: always."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style: str | None = None
    if not text.isprintable() and not all(line.isprintable() for line in text.split("\n")):
        style = '"'
    elif "\n" in text:
        style = '"' if any(line != line.rstrip() for line in text.split("\n")) else "|"
    elif not is_plain_text(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(document: Any) -> str:
    """The document as a text that ends in a line end. Keys stand in the order that they have."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=_WIDTH
    )
    return text
