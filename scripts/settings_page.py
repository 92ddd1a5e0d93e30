"""Render docs/settings.md: every environment variable that a process of the suite reads, from the settings classes."""

import importlib
import importlib.util
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from intertie_chassis.file_settings import secrets_of

#: in the order of the page; what the first has is shared, and not repeated for those that inherit it
PACKAGES = (
    "intertie_chassis",
    "intertie_registry",
    "intertie_ingest",
    "intertie_ingest.pull",
    "intertie_mapper",
    "intertie_audit",
    "intertie_gateway",
    "intertie_cli",
)

HEAD = """\
# Settings

Generated from the settings classes by `make generate`; do not edit.

Every process reads its settings from the environment, once, when it starts; a value that does not fit stops it with a
message that names the variable. Each service knows the settings of all processes and its own.

What is secret text may also stand in a file: where a `…_FILE` is named beside a variable, it takes the path of a file
with the value. The file is read once, when the process starts, without the line end; one that cannot be read stops it.
"""

TABLE_HEAD = "| variable | value | default | what it does |\n|---|---|---|---|\n"


def settings_classes(package: str) -> list[type[BaseSettings]]:
    """Find the settings classes that a package's own ``settings`` module defines."""
    name = f"{package}.settings"
    if importlib.util.find_spec(name) is None:  # a process with the shared settings only
        return []
    return [
        value
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == name
    ]


def variables(settings: type[BaseSettings], name: str, field: FieldInfo) -> list[str]:
    """Name the environment variables that fill a field, the preferred one first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    if isinstance(alias, str):
        return [alias]
    return [f"{settings.model_config.get('env_prefix', '')}{name}".upper()]


def own_fields(settings: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Give the fields that a class adds to its parents, or whose default or meaning it changes."""
    parents = [parent for parent in settings.__mro__[1:] if issubclass(parent, BaseSettings)]
    for name, field in settings.model_fields.items():
        inherited = next((parent.model_fields[name] for parent in parents if name in parent.model_fields), None)
        if inherited is None or repr(inherited) != repr(field):
            yield name, field


def type_name(annotation: Any) -> str:
    """Say in a word or two what a value must be."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(type_name(argument) for argument in arguments if argument is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is not None:
        return f"{origin.__name__} of {', '.join(type_name(argument) for argument in arguments)}"
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return ", ".join(f"`{member.value}`" for member in annotation)
        if issubclass(annotation, PurePath):
            return "path"
        if issubclass(annotation, (SecretStr, SecretBytes)):
            return "secret text"
        return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(
            annotation, annotation.__name__
        )
    return str(annotation)


def default_of(field: FieldInfo) -> str:
    """Show a default; that of a secret stays hidden."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value in ("", [], (), {}):
        return "–"
    if isinstance(value, (SecretStr, SecretBytes)):
        return "hidden"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def render() -> str:
    """Give the page's text; ValueError when a setting has no description."""
    sections = [HEAD]
    for package in PACKAGES:
        for settings in settings_classes(package):
            rows = []
            secret_names = {name for name, _ in secrets_of(settings)}
            for name, field in own_fields(settings):
                if not field.description:
                    raise ValueError(f"{package}: the setting {name} needs a description")
                shown = variables(settings, name, field)
                if name in secret_names:
                    shown = [*shown, f"{shown[0]}_FILE"]
                names = " or ".join(f"`{variable.upper()}`" for variable in shown)
                description = " ".join(field.description.split()).replace("|", "\\|")
                rows.append(f"| {names} | {type_name(field.annotation)} | {default_of(field)} | {description} |\n")
            if rows:
                title = (
                    "all processes" if package == PACKAGES[0] else package.removeprefix("intertie_").rpartition(".")[-1]
                )
                sections.append(
                    f"\n## {title}\n\n| variable | value | default | what it does |\n|---|---|---|---|\n"
                    + "".join(rows)
                )
    return "".join(sections)
