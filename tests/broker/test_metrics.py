"""Alerts and dashboards ask for what real processes show, and Prometheus finds it there."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.kafka.producers import Sender
from tests.support import watching
from tests.support.deadline import eventually
from tests.support.prometheus import Prometheus
from tests.support.promql import Matcher
from tests.support.services import API, READ_MODEL, Service
from tests.support.worker import Backend, Shop
from topology import topics

pytestmark = [
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(300),
]
PATIENCE_S = 90
# What Prometheus makes of alerts itself.
ALERTS = {"alertname", "alertstate", "severity"}
# Series that only trouble makes, by what is asked for; nothing here provokes it.
TROUBLE = {
    ("countermand_api_calls_total", Matcher("status", "=~", "5..")),
    ("countermand_dead_letters_total", Matcher("stage", "=", "joiner")),
    ("countermand_dead_letters_total", Matcher("stage", "=", "worker")),
}
# Without trouble these have no series at all: their labels are those with which they are declared.
SILENT = {
    "countermand_kafka_certificate_expiry_timestamp_seconds": {"certificate"},
    "countermand_late_events_total": {"topic"},
    "countermand_updates_ignored_total": {"reason"},
    "countermand_worker_ignored_records_total": {"topic"},
}


# Panels that only trouble, or TLS, gives something to show.
QUIET = {
    "countermand-api: Failed calls",
    "countermand-joiner: Dead letters",
    "countermand-joiner: Updates ignored",
    "countermand-on-call: Kafka's certificates",
    "countermand-router: Kafka's certificates",
    "countermand-router: Late records",
    "countermand-worker: Dead letters",
    "countermand-worker: Records ignored",
}


class Series(NamedTuple):
    """One line of a page."""

    metric: str
    labels: Mapping[str, str]


class Watched(NamedTuple):
    """The lines of each process's page, and the Prometheus that reads all of them."""

    pages: dict[str, list[Series]]
    prometheus: Prometheus

    @property
    def labels(self) -> dict[str, set[str]]:
        """The labels of each metric."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for page in self.pages.values():
            for metric, labels in page:
                found[metric] |= set(labels)
        return found | {"ALERTS": ALERTS} | SILENT


def page_of(process: Service) -> list[Series]:
    """What a process shows."""
    page = httpx.get(f"{process.url}/metrics", timeout=PATIENCE_S).raise_for_status().text
    return [
        Series(sample.name, sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]


@pytest.fixture(scope="module")
def watched(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Every kind of process, after a run, a cancel and a record that nobody can use."""
    folder = tmp_path_factory.mktemp("watched")
    url = {"DATABASE_URL": f"sqlite:///{folder}/watched.db"}
    with ExitStack() as stack:
        backend = Backend(kafka, folder)
        stack.callback(backend.close)
        backend.start()
        copies = [Service(role, backend.settings, folder, extra=url) for role in (READ_MODEL, API)]
        for one in copies:
            stack.callback(one.end)
            one.start()
        shop = stack.enter_context(Shop(backend))
        processes = [backend.router, backend.joiner, *copies, shop.start()]
        play(backend, shop)
        eventually(lambda: all(one.is_ready for one in processes), PATIENCE_S)
        # A call without an end is none that is slow.
        httpx.get(f"{copies[1].url}/live", timeout=PATIENCE_S)
        # Changes that a read model reads together are counted one by one, but written as the last.
        eventually(lambda: copies[0].metric('countermand_read_model_rows_total{step="count"}'))
        targets = {one.role: one.url.removeprefix("http://") for one in processes}
        prometheus = stack.enter_context(Prometheus(folder, targets))
        eventually(lambda: len(prometheus.query("up == 1")) == len(processes), PATIENCE_S)
        yield Watched({one.role: page_of(one) for one in processes}, prometheus)


def play(backend: Backend, shop: Shop) -> None:
    """One run completes, one is cancelled in a step, and one record is no event."""
    sender = Sender(backend.settings)
    sender.send(backend.settings.topic(topics.EVENTS), b"no event")
    sender.flush()
    shop.request("done", "step")
    shop.request("stopped", "hold step")
    shop.reaches("done", "completed")
    shop.begins("stopped", "step")
    shop.cancel("stopped")
    shop.reaches("stopped", "cancelled")
    shop.open_gate("stopped")
    shop.stops("stopped")


def test_each_process_says_which_it_is(watched: Watched) -> None:
    """By the name of its command, whatever a scraper calls it."""
    told = {
        role: [one.labels["process"] for one in page if one.metric == "countermand_build_info"]
        for role, page in watched.pages.items()
    }
    assert told == {role: [role] for role in ("router", "joiner", "read-model", "api", "worker")}


def test_all_that_is_asked_for_is_on_a_page(watched: Watched) -> None:
    """Each metric by its name, with each label that a query chooses, sums or joins by."""
    labels, wrong = watched.labels, []
    for who, query in watching.queries().items():
        metrics = {selector.metric for selector in query.selectors}
        wrong += [f"{who}: no metric {metric}" for metric in metrics - labels.keys()]
        known = watching.TARGET_LABELS.union(*(labels.get(metric, set()) for metric in metrics))
        wrong += [f"{who}: no label {label}" for label in query.labels - known]
        for metric, matchers in query.selectors:
            unknown = {one.label for one in matchers} - labels.get(metric, set())
            wrong += [f"{who}: no label {one}" for one in unknown - watching.TARGET_LABELS]
    assert wrong == []


def test_each_value_that_is_chosen_is_one_that_a_label_has(watched: Watched) -> None:
    """A misspelt `outcome` would make an alert that never fires."""
    every = [series for page in watched.pages.values() for series in page]
    wrong = [
        f"{who}: {metric} {matcher}"
        for who, query in watching.queries().items()
        for metric, matchers in query.selectors
        if metric != "ALERTS"
        for matcher in matchers
        if matcher.label not in watching.TARGET_LABELS and (metric, matcher) not in TROUBLE
        if not any(one.metric == metric and chosen(matcher, one.labels) for one in every)
    ]
    assert wrong == []
    routes = {one.labels["route"] for one in every if one.metric == "countermand_api_calls_total"}
    assert {"/live", "/healthz/ready"} <= routes  # which queries leave out


def chosen(matcher: Matcher, labels: Mapping[str, str]) -> bool:
    """Whether a matcher chooses a series."""
    return matcher.label in labels and matcher.takes(labels[matcher.label])


def test_prometheus_evaluates_every_rule(watched: Watched) -> None:
    """The first dead letter of a reason is told at once, though its series was never at zero."""
    rules = eventually(watched.prometheus.rules, PATIENCE_S)
    assert {
        rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"
    } == {}
    assert {rule["name"] for rule in rules} == {one.name for one in watching.alerts()}
    firing = 'ALERTS{alertname="CountermandDeadLetters", alertstate="firing"}'
    [alert] = eventually(lambda: watched.prometheus.query(firing), PATIENCE_S)
    assert (alert["metric"]["stage"], alert["metric"]["reason"]) == ("router", "not_json")


def test_each_panel_shows_something(watched: Watched) -> None:
    """But for what only trouble shows: labels are joined as they really are."""

    def empty() -> set[str]:
        return {
            f"{one.dashboard}: {one.title}"
            for one in watching.panels()
            if not watched.prometheus.query(one.query)
        }

    eventually(lambda: empty() <= QUIET, PATIENCE_S)
    titles = {f"{one.dashboard}: {one.title}" for one in watching.panels()}
    assert titles >= QUIET
