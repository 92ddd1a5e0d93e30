"""Runs the gateway: ``python -m intertie_gateway``."""

import sys

from intertie_chassis import program
from intertie_gateway import workers
from intertie_gateway.settings import GatewaySettings


def main() -> int:
    """Serves until told to stop; gives the exit code."""
    arguments = [argument for argument in sys.argv[1:] if argument != workers.WORKER]
    return program.main("gateway", workers.run, GatewaySettings, arguments)


if __name__ == "__main__":
    sys.exit(main())
