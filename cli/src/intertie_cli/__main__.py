"""`python -m intertie_cli`: the same as `intertie`."""

from intertie_cli.app import main

if __name__ == "__main__":
    main()
