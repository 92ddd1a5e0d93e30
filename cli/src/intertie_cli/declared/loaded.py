"""From the names of files to what they declare: read, parsed, expanded, checked, with everything that is wrong."""

from collections.abc import Iterable, Mapping

from intertie_chassis.secret_names import IsSecret, inside, is_secret
from intertie_cli.declared import expansion, files, loader, model
from intertie_cli.declared.fields import SECRETS
from intertie_cli.declared.model import Declared
from intertie_cli.declared.nodes import Node, Problem


def read(
    names: Iterable[str], environment: Mapping[str, str], *, keep_secrets: bool = False
) -> tuple[list[Declared], list[Problem], list[Problem]]:
    """What files declare, what is wrong with them, and what is worth a remark.

    With `keep_secrets` no credential is declared, whatever the files say.
    """
    sources, problems = files.read(names)
    documents: list[Node] = []
    for source in sources:
        found, wrong = loader.load(source.text, source.name)
        documents += found
        problems += wrong
    if keep_secrets:
        for document in documents:
            _take_secrets_out(document)
    missing: list[expansion.Missing] = []
    for document in documents:
        unset, wrong = expansion.expand(document, environment)
        missing += unset
        problems += wrong
    declared, wrong = model.read(documents)
    # What is wrong with a value that is not there is that it is not there.
    unknown = {each.place for each in missing}
    problems += [*(each for each in wrong if each.place not in unknown), *expansion.told(missing)]
    return declared, problems, model.in_clear(declared)


def _take_secrets_out(document: Node) -> None:
    section = (document.entries or {}).get("connections")
    for connection in (section.items if section is not None else None) or ():
        for name in SECRETS:
            (connection.entries or {}).pop(name, None)
        config = (connection.entries or {}).get("config_json")
        if config is not None:
            _without(config, is_secret)


def _without(node: Node, rule: IsSecret) -> None:
    for key in list(node.entries or ()):
        if rule(key):
            (node.entries or {}).pop(key)
        else:
            _without((node.entries or {})[key], inside(key))
    for item in node.items or ():
        _without(item, is_secret)
