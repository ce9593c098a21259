"""Lines over time as SVG, drawn here; a table behind each has the same numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from markupsafe import Markup

_WIDTH: Final = 420
_HEIGHT: Final = 180
_LEFT: Final = 44
_BOTTOM: Final = 24
_TOP: Final = 10
_RIGHT: Final = 8
_NICE: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a value per point, None where there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same times.

    Attributes:
        title: What it shows.
        unit: Of the values; empty: a number of things.
        times: The time of day of each point, UTC.
        gaps: The places of points that may lack something.
        series: The lines.
    """

    title: str
    unit: str
    times: tuple[str, ...]
    gaps: frozenset[int]
    series: tuple[Series, ...]

    @property
    def top(self) -> float:
        """The value at the upper edge: a round one, not below any."""
        most = max((value for line in self.series for value in line.values if value), default=0)
        return _round_up(most)

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened, as far as is known."""
        return not any(value for line in self.series for value in line.values)

    def svg(self) -> Markup:
        """The picture; for who doesn't see it, the table tells."""
        parts = [
            Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
                _WIDTH, _HEIGHT, self.title
            )
        ]
        parts += [self._gap(place) for place in sorted(self.gaps)]
        parts += [self._grid(value) for value in _grid_values(self.top)]
        parts += [self._time(place) for place in self._labelled()]
        parts += [self._line(number, line) for number, line in enumerate(self.series, 1)]
        return Markup().join([*parts, Markup("</svg>")])

    def rows(self) -> list[tuple[str, list[float | None], bool]]:
        """The points in which something happened: time, values, and whether some may be missing."""
        found = [
            (time, [line.values[place] for line in self.series], place in self.gaps)
            for place, time in enumerate(self.times)
        ]
        return [row for row in found if any(row[1]) or row[2]]

    def _x(self, place: float) -> float:
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT) / max(len(self.times) - 1, 1)

    def _y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value * (_HEIGHT - _TOP - _BOTTOM) / self.top

    def _labelled(self) -> range:
        return range(0, len(self.times), max(len(self.times) // 6, 1))

    def _gap(self, place: int) -> Markup:
        begin, end = self._x(place - 0.5), self._x(place + 0.5)
        return Markup('<rect class="gap" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
            max(begin, _LEFT), _TOP, end - max(begin, _LEFT), _HEIGHT - _TOP - _BOTTOM
        )

    def _grid(self, value: float) -> Markup:
        y = self._y(value)
        return Markup(
            '<line class="axis" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, y, y, _LEFT - 5, y + 4, _short(value))

    def _time(self, place: int) -> Markup:
        return Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            self._x(place), _HEIGHT - 6, self.times[place]
        )

    def _line(self, number: int, line: Series) -> Markup:
        """The line, broken where there is no value; a lone point is a short dash."""
        path, pen_is_down = [], False
        for place, value in enumerate(line.values):
            if value is None:
                pen_is_down = False
                continue
            point = f"{self._x(place):.1f},{self._y(value):.1f}"
            path.append(f"L{point}" if pen_is_down else f"M{point}h1")
            pen_is_down = True
        style = "solid" if number % 2 else "dashed"
        return Markup('<g class="series-{}"><path class="{}" d="{}"/></g>').format(
            number, style, " ".join(path)
        )


def charts(activity: Mapping[str, Any], begin: str, end: str) -> tuple[Chart, ...]:
    """The pictures of an answer of `GET /v1/activity`, from a time to another, both whole steps."""
    found = {point["at"]: point for point in activity["points"]}
    ats = _ats(begin, end, activity["step_ms"])
    points = [found.get(at) for at in ats]
    times = tuple(at[11:16] for at in ats)
    gaps = frozenset(place for place, one in enumerate(points) if one and not one["complete"])

    def chart(title: str, unit: str, *series: Series) -> Chart:
        return Chart(title, unit, times, gaps, series)

    return (
        chart(
            "Runs started, and ended by status",
            "",
            _sums("started", points),
            _sums("completed", points),
            Series("cancelled", tuple(_cancelled(point) for point in points)),
            _sums("failed", points),
            _sums("expired", points),
            _sums("skipped", points),
        ),
        chart("Cancels by cause", "", *_by_cause(points)),
        chart(
            "How long cancels by events took",
            "ms",
            Series("p50", tuple(_latency(point, "p50_ms") for point in points)),
            Series("p99", tuple(_latency(point, "p99_ms") for point in points)),
        ),
    )


def _sums(name: str, points: Sequence[Mapping[str, Any] | None]) -> Series:
    return Series(name, tuple(0 if point is None else point[name] for point in points))


def _cancelled(point: Mapping[str, Any] | None) -> int:
    return 0 if point is None else sum(point["cancelled"].values())


def _by_cause(points: Sequence[Mapping[str, Any] | None]) -> list[Series]:
    causes = sorted({cause for point in points if point for cause in point["cancelled"]})
    return [
        Series(
            cause.replace("_", " "),
            tuple(0 if point is None else point["cancelled"].get(cause, 0) for point in points),
        )
        for cause in causes
    ]


def _latency(point: Mapping[str, Any] | None, name: str) -> float | None:
    if point is None or point["cancel_latency"] is None:
        return None
    value: float | None = point["cancel_latency"][name]
    return value


def _ats(begin: str, end: str, step_ms: int) -> list[str]:
    first, last = datetime.fromisoformat(begin), datetime.fromisoformat(end)
    step = timedelta(milliseconds=step_ms)
    count = (last - first) // step
    return [f"{first + place * step:%Y-%m-%dT%H:%M:%S}.000Z" for place in range(count)]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, … that isn't below."""
    size = 1.0
    while value > size * _NICE[-1]:
        size *= 10
    return size * next(one for one in _NICE if value <= size * one)


def _grid_values(top: float) -> list[float]:
    """Where lines are drawn up to the upper edge: round values, whole ones where that is one."""
    count = {"1": 1 if top == 1 else 2, "2": 2, "5": 5}[str(int(top))[0]]
    return [top * place / count for place in range(count + 1)]


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}" if value % size == 0 else f"{value / size:.1f}{unit}"
    return f"{value:g}" if value == int(value) else f"{value:.1f}"
