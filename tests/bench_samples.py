"""A run of the benchmark that was never made, for tests of what is done with one."""

from figures import Figure, Grid, Outcome, Run


def run_of(*figures: Figure) -> Run:
    """A run of one part with these figures."""
    grid = Grid("What it costs", ("process", "µs"), (("gateway", "100"),))
    return Run(
        command="make bench",
        at="2026-01-01T00:00:00+00:00",
        rounds=3,
        is_quick=False,
        machine={"processor": "abacus", "cores": "2"},
        versions={"Python": "3.11"},
        database="--durable",
        outcomes=(Outcome("accepted", figures, (grid,), ("Measured with care.",), "", 12.0),),
    )
