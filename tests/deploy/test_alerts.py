"""Alerts: sound rules, cases that fire and that don't, and a section for whoever is woken up."""

import re
import subprocess
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from tests.support import promql, watching
from tests.support.watching import RULES, RULES_TEST, Alert

PAGE = "docs/operating.md"
# What each section of the page says, in this order.
PARTS = ["Means", "Look", "Do"]
METRIC = re.compile(r"`(countermand_\w+)(?:\{[^`]*\})?`")
SHOWN = re.compile(r"\$labels\.(\w+)|\$(value)")


def of(alert: Alert) -> str:
    """The id of a test."""
    return alert.name


each_alert = pytest.mark.parametrize("alert", watching.alerts(), ids=of)


def page() -> str:
    """The page for whoever operates it."""
    return (watching.ROOT / PAGE).read_text("utf-8")


def sections() -> dict[str, str]:
    """The sections about alerts, by their titles."""
    _, _, below = page().partition("\n## Alerts\n")
    chapter = re.split(r"^## ", below, flags=re.MULTILINE)[0]
    _, *parts = re.split(r"^### (.*)\n", chapter, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows() -> list[list[str]]:
    """The cells of the tables under "What to watch"."""
    _, _, below = page().partition("\n## What to watch\n")
    chapter = re.split(r"^## ", below, flags=re.MULTILINE)[0]
    lines = [line for line in chapter.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip() for cell in row] for row in cells if row[0].strip() != "metric"]


def cases() -> dict[str, list[Any]]:
    """What each case of `promtool test rules` expects, by its name."""
    tests = yaml.safe_load(RULES_TEST.read_text("utf-8"))["tests"]
    return {
        test["name"]: [
            sample for asked in test["promql_expr_test"] for sample in asked["exp_samples"]
        ]
        for test in tests
    }


def told(command: str, path: str) -> subprocess.CompletedProcess[str]:
    """What promtool says about a file."""
    given = [str(watching.promtool()), *command.split(), path]
    return subprocess.run(given, check=False, capture_output=True, text=True)


@pytest.mark.network
def test_rules_are_sound() -> None:
    """As Prometheus reads them, templates of texts included."""
    checked = told("check rules --lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.network
@pytest.mark.slow
def test_alerts_fire_when_they_should_and_else_keep_quiet() -> None:
    """By cases near their bounds, in which no other alert fires either."""
    tested = told("test rules", str(RULES_TEST))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@each_alert
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(alert: Alert) -> None:
    """The former expects this alert alone, the latter none."""
    found = cases()
    [fires] = found[f"{alert.name} fires"]
    assert fires == {"labels": f'{{alertname="{alert.name}"}}', "value": 1}
    assert found[f"{alert.name} keeps quiet"] == []


@each_alert
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(alert: Alert) -> None:
    """In a section of its own, which says what it means, how to look and what to do."""
    assert alert.labels.keys() == {"severity"}
    assert alert.labels["severity"] in {"critical", "warning"}
    assert alert.annotations.keys() == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"{PAGE}#{alert.name.lower()}"
    parts = re.findall(r"^\*\*(\w+)\.\*\* \S", sections()[alert.name], re.MULTILINE)
    assert parts == PARTS


def test_no_section_is_about_an_alert_that_there_is_no_more() -> None:
    """They stand in the order of the rules."""
    assert list(sections()) == [alert.name for alert in watching.alerts()]


@each_alert
def test_the_text_of_an_alert_shows_labels_that_it_has(alert: Alert) -> None:
    """Those by which it sums, or those of its metrics."""
    query = promql.read(alert.expr)
    shown = {label for text in alert.annotations.values() for label, _ in SHOWN.findall(text)}
    if query.kept is not None:
        assert shown - {""} <= query.kept


def test_each_alert_is_in_the_table_and_each_row_has_its_alert() -> None:
    """With the metrics that the alert really looks at."""
    asked = {
        alert.name: {selector.metric for selector in promql.read(alert.expr).selectors}
        for alert in watching.alerts()
    }
    named = set()
    for metrics, link, when in rows():
        match = re.fullmatch(r"\[(\w+)\]\(#(\w+)\)", link)
        assert match is not None, link
        assert match[1].lower() == match[2]
        used = {re.sub("_bucket$", "", metric) for metric in asked[match[1]]}
        assert set(METRIC.findall(metrics)) <= used != set()
        assert when
        named.add(match[1])
    assert named == set(asked)


@pytest.mark.parametrize(
    ("expression", "metrics", "labels", "kept"),
    [
        ("increase(a_total[5m]) > 0", ["a_total"], set(), None),
        ('1 - a / b{c=~"x|y", d!="e"} > 0.8', ["a", "b"], set(), None),
        ("sum by (c, d) (rate(a[5m])) unless on (e) b offset 15m", ["a", "b"], set("cde"), "cd"),
        ('a * on (x) group_left (y) b{z="{by (q)}"} or vector(0)', ["a", "b"], {"x", "y"}, None),
        ("histogram_quantile(0.99, sum by (le) (a_bucket)) - time()", ["a_bucket"], {"le"}, ["le"]),
    ],
)  # fmt: skip
def test_names_are_found_in_queries(
    expression: str, metrics: list[str], labels: set[str], kept: Iterable[str] | None
) -> None:
    """Functions, operators, numbers, times and texts are no names."""
    query = promql.read(expression)
    assert [selector.metric for selector in query.selectors] == metrics
    assert query.labels == labels
    assert query.kept == (None if kept is None else set(kept))


def test_matchers_take_what_prometheus_takes() -> None:
    """Patterns match the whole of a value."""
    [selector] = promql.read('a{b="x", c!="x", d=~"5..", e!~"/healthz/.*|/live"}').selectors
    is_x, not_x, like, unlike = selector.matchers
    assert (is_x.takes("x"), is_x.takes("y"), not_x.takes("x"), not_x.takes("y")) == (
        True, False, False, True,
    )  # fmt: skip
    assert (like.takes("503"), like.takes("5033"), like.takes("200")) == (True, False, False)
    assert (unlike.takes("/live"), unlike.takes("/healthz/x"), unlike.takes("/alive")) == (
        False, False, True,
    )  # fmt: skip
