"""What the command reads from its environment beside what all processes read."""

from pydantic import Field, SecretStr

from intertie_chassis.listening import reached_at
from intertie_chassis.settings import Settings

SERVICES = ("registry", "ingest", "mapper", "audit", "pull")
"""The services that the command calls."""


class CliSettings(Settings):
    """The settings of the `intertie` command."""

    token: SecretStr | None = Field(
        None, description="The token that the `intertie` command calls with. Unset: the data directory's admin token."
    )

    demo_listen: str = Field(
        "",
        description="Where the demo's external API listens, which `intertie up --demo` runs. Empty: on a free port of "
        "the loopback, the same each time while it stays free.",
    )

    def address_of(self, service: str) -> str:
        """Where a service is reached: its address if that is set, else where it listens.

        A service that listens on all addresses is reached on the loopback.
        """
        if f"{service}_address" in self.model_fields_set:
            return str(getattr(self, f"{service}_address"))
        return reached_at(getattr(self, f"{service}_listen"))
