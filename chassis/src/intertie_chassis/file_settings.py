"""Secret settings out of files: for each variable that holds a secret, ``<variable>_FILE`` names a file that holds it.

Secret stores and orchestrators hand over files; what is in the environment shows wherever containers are described.
Such a file is read once, when the process starts.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from intertie_chassis.errors import StartupError

MOST_BYTES = 64 * 1024
"""Of a file that holds one secret; more is a wrong file."""


class SecretFiles(PydanticBaseSettingsSource):
    """A source of settings: the files that ``INTERTIE_…_FILE`` name."""

    def __init__(self, settings: type[BaseSettings], environment: Mapping[str, str] | None = None) -> None:
        """Args:
        environment: instead of the process's own.
        """
        super().__init__(settings)
        self._environment = os.environ if environment is None else environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The file's text without the line end; None where no file is named.

        Raises StartupError when the file cannot be read, or the variable itself is set as well.
        """
        variable = f"{self.config.get('env_prefix', '')}{field_name}".upper()
        path = self._environment.get(f"{variable}_FILE")
        if not path:
            return None, field_name, False
        if self._environment.get(variable):
            raise StartupError(f"{variable} and {variable}_FILE are both set: set one of them")
        return _text_of(Path(path), f"{variable}_FILE"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The settings that files hold, by the names of their fields."""
        found = {name: self.get_field_value(field, name)[0] for name, field in secrets_of(self.settings_cls)}
        return {name: text for name, text in found.items() if text is not None}


def secrets_of(settings: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields that hold a secret, but for those that have a field for its file: such a file is read again."""
    for name, field in settings.model_fields.items():
        if is_secret(field.annotation) and f"{name}_file" not in settings.model_fields:
            yield name, field


def is_secret(annotation: Any) -> bool:
    """Whether a setting of this type is a secret text."""
    if get_origin(annotation) in (Union, UnionType):
        return any(is_secret(one) for one in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, SecretStr)


def _text_of(path: Path, variable: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        text = raw.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise StartupError(f"{variable}: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise StartupError(f"{variable}: {path} is not text in UTF-8") from None
    if not text or len(raw) > MOST_BYTES:
        raise StartupError(f"{variable}: {path} is {'empty' if not text else 'too long for a secret'}")
    return text
