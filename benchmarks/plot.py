"""A run's rates as a picture: horizontal bars as SVG, with the spread of the rounds and the goals."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from figures import Figure, Run
from goals import GOALS

_SHOWN = (
    ("ceiling.insert", "#9aa5b1"),
    ("ceiling.http", "#9aa5b1"),
    ("one_by_one", "#c98a3d"),
    ("accepted.mariadb", "#2f6f9f"),
    ("accepted.sqlite", "#2f6f9f"),
    ("sustained.mariadb", "#3f8f6b"),
    ("sustained.sqlite", "#3f8f6b"),
)
"""What is compared, each with its colour: the ceilings, the reference, accepting, end to end."""

_WIDTH, _LABELS, _RIGHT = 880, 320, 90
_ROW, _BAR, _TOP, _BOTTOM = 34, 18, 46, 56
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, the least and the most of its rounds, and at which values marks stand."""

    label: str
    value: float
    least: float
    most: float
    colour: str
    marks: tuple[float, ...] = ()


def render(run: Run) -> str:
    """The rates of a run that has them; figures that do not count are left out."""
    figures = run.figures()
    shown = [(figures[name], colour) for name, colour in _SHOWN if name in figures and not figures[name].invalid]
    title = f"Deliveries a second on {run.machine.get('cores', '?')} cores (medians; rounds: {run.rounds})"
    return bars(title, [_bar(figure, colour) for figure, colour in shown])


def bars(title: str, shown: Sequence[Bar]) -> str:
    """An SVG document. The axis begins at zero and ends behind the longest bar."""
    step = axis_step(max((max(bar.most, *bar.marks) if bar.marks else bar.most for bar in shown), default=1.0))
    end = step * 5
    height = _TOP + _ROW * len(shown) + _BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1f2933">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for number in range(6):
        at = _across(step * number, end)
        lines.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}" stroke="#e4e7eb"/>')
        lines.append(_text(at, height - _BOTTOM + 18, f"{step * number:,.0f}", "middle", "#616e7c"))
    for row, bar in enumerate(shown):
        lines += _drawn(bar, _TOP + _ROW * row + (_ROW - _BAR) // 2, end)
    lines.append(_text(16, height - 12, "lines across a bar: at least, and aim; whiskers: rounds", "start", "#616e7c"))
    return "\n".join([*lines, "</svg>", ""])


def axis_step(longest: float) -> float:
    """The least round number of which five reach as far as the longest bar."""
    power = 1.0
    while power * 10 * 5 < longest:
        power *= 10
    return next(power * step for step in _STEPS if power * step * 5 >= longest)


def _drawn(bar: Bar, top: int, end: float) -> list[str]:
    zero, middle = _across(0, end), top + _BAR / 2
    least, most = _across(bar.least, end), _across(bar.most, end)
    lines = [
        _text(_LABELS - 12, top + 14, bar.label, "end"),
        f'<rect x="{zero:.1f}" y="{top}" width="{_across(bar.value, end) - zero:.1f}" height="{_BAR}" '
        f'fill="{bar.colour}"/>',
        f'<path d="M{least:.1f} {middle}H{most:.1f}M{least:.1f} {middle - 4}v8M{most:.1f} {middle - 4}v8" '
        'stroke="#1f2933" fill="none"/>',
        _text(max(most, *(_across(mark, end) for mark in bar.marks), zero) + 8, top + 14, f"{bar.value:,.0f}", "start"),
    ]
    lines += [
        f'<line x1="{_across(mark, end):.1f}" x2="{_across(mark, end):.1f}" y1="{top - 4}" y2="{top + _BAR + 4}" '
        'stroke="#b23b3b" stroke-width="2"/>'
        for mark in bar.marks
    ]
    return lines


def _bar(figure: Figure, colour: str) -> Bar:
    goal = GOALS.get(figure.name)
    marks = (goal.at_least, goal.aim) if goal else ()
    return Bar(figure.title, figure.value, min(figure.rounds), max(figure.rounds), colour, marks)


def _across(value: float, end: float) -> float:
    return _LABELS + value / end * (_WIDTH - _LABELS - _RIGHT)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#1f2933") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
