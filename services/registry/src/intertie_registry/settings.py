"""What the registry reads from its environment."""

from pydantic import Field

from intertie_chassis.settings import Settings


class RegistrySettings(Settings):
    """The settings of all processes, and the registry's own."""

    registry_poll_seconds: float = Field(
        0.5,
        ge=0.05,
        le=1.0,
        description="How often the registry looks whether SQL, or another replica, has changed the configuration.",
    )
