"""A run as Markdown: its figures beside their goals, the details, the machine."""

from collections.abc import Sequence

from figures import Figure, Run
from goals import GOALS, Goal

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
PLOT = "performance.svg"


def render(run: Run) -> str:
    """All of it, without the plot."""
    lines = [*_goal_lines(run), *_figure_lines(run)]
    for grid in (grid for outcome in run.outcomes for grid in outcome.grids):
        lines += ["", f"**{grid.title}**", "", *table(grid.columns, grid.rows)]
    return "\n".join([*lines, *_note_lines(run), "", *_place_lines(run)]).strip() + "\n"


def published(page: str, run: Run) -> str:
    """The page with the run between its markers, in place of the last one. Raises ValueError when it has none."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"the page lacks the lines {BEGIN} and {END}")
    image = f"![accepted and end to end, beside the ceilings and the same work done one by one]({PLOT})"
    return f"{before}{BEGIN}\n{render(run)}\n{image}\n{END}{after}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def number(value: float, unit: str) -> str:
    """A value as it is read: three digits that count, or whole with commas between thousands."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}" if unit and unit != "/s" else f"{text}{unit}"


def _goal_lines(run: Run) -> list[str]:
    rows = [
        (
            figure.title,
            number(figure.value, figure.unit),
            _rounds(figure),
            number(goal.at_least, figure.unit),
            number(goal.aim, figure.unit),
            _verdict(figure, goal),
        )
        for name, goal in GOALS.items()
        if (figure := run.figures().get(name)) is not None
    ]
    return table(("what", "median", "rounds", "at least", "aim", "verdict"), rows) if rows else []


def _figure_lines(run: Run) -> list[str]:
    rows = [
        (figure.title, number(figure.value, figure.unit), _rounds(figure), _fault(figure))
        for name, figure in run.figures().items()
        if name not in GOALS
    ]
    return ["", *table(("beside them", "median", "rounds", ""), rows)] if rows else []


def _note_lines(run: Run) -> list[str]:
    lines = []
    for outcome in run.outcomes:
        said = [f"failed: {outcome.failed}"] if outcome.failed else list(outcome.notes)
        if said:
            lines.append(f"- **{outcome.part}** ({outcome.seconds:.0f} s): {' '.join(said)}")
    return ["", *lines]


def _place_lines(run: Run) -> list[str]:
    quick = "; **quick: everything is too short to be quoted**" if run.is_quick else ""
    return [
        f"**Command**: `{run.command}`, begun {run.at}; {run.rounds} rounds, of which the medians count{quick}.",
        f"**Machine**: {_listed(run.machine)}; generator, database and suite together on it.",
        f"**Versions**: {_listed(run.versions)}.",
        f"**Durable**: MariaDB with `{run.database}`; SQLite in WAL mode with `synchronous=FULL`.",
    ]


def _rounds(figure: Figure) -> str:
    return ", ".join(number(value, "") for value in figure.rounds)


def _verdict(figure: Figure, goal: Goal) -> str:
    return _fault(figure) or goal.judge(figure.value)


def _fault(figure: Figure) -> str:
    return f"invalid: {figure.invalid}" if figure.invalid else ""


def _listed(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
