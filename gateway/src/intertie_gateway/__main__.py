"""Runs the gateway: ``python -m intertie_gateway``."""

import sys

from intertie_chassis import command
from intertie_gateway import workers
from intertie_gateway.settings import GatewaySettings


def main() -> int:
    """Serves until told to stop; gives the exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != workers.WORKER]
    return command.main("gateway", workers.run, GatewaySettings, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
