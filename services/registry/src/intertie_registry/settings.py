"""What the registry reads from its environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from intertie_chassis.settings import Settings


class RegistrySettings(Settings):
    """The settings of all processes, and the registry's own."""

    registry_poll_seconds: float = Field(
        0.5,
        ge=0.05,
        le=1.0,
        description="How often the registry looks whether SQL, or another replica, has changed the configuration.",
    )
    secrets_sealing: Literal["on", "off"] = Field(
        "on",
        description="Whether credentials that a call writes are sealed in the database. `off` for as long as an "
        "existing PHP application reads the same rows: what stands in clear text stays so then.",
    )
    secrets_keys: SecretStr | None = Field(
        None,
        description="Keys that seal credentials: `<key id>:<base64 of 32 bytes>`, one a line or with commas between; "
        "the first seals, all open. Unset, and the next two, too: `keys/secrets.keys` in the data directory, made at "
        "first start.",
    )
    secrets_keys_file: Path | None = Field(
        None, description="File with such keys, one a line; read again when it changes."
    )
    secrets_keys_command: str | None = Field(
        None,
        description="Command that prints such keys; run without a shell, for at most 10 s, at the start, before each "
        "sealing or rotation, and when a key is missed.",
    )
