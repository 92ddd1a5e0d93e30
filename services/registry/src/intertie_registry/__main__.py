"""The registry's process: ``python -m intertie_registry [serve|migrate|adopt|status]``."""

import sys

from intertie_chassis.command import main
from intertie_registry.adopt import adopt
from intertie_registry.assembly import compose
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.settings import RegistrySettings


async def serve(settings: RegistrySettings) -> None:
    """Serves until told to stop."""
    await (await compose(settings)).run()


if __name__ == "__main__":
    sys.exit(main("registry", serve, RegistrySettings, MIGRATIONS, adopt))
