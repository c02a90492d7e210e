"""The dashboard and the alerts are about measurements that exist; a real Prometheus takes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cost_insights.app import define_measurements
from cost_insights.settings import Settings
from cost_insights.telemetry import Instrument, InstrumentKind, NoInstruments
from tests.support.databases import Databases
from tests.support.service import StartServer, new_event
from tests.support.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "cost-insights.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
CONFIG = DEPLOY / "prometheus" / "prometheus.yaml"

SUFFIXES = {
    InstrumentKind.COUNTER: ("",),
    InstrumentKind.GAUGE: ("",),
    InstrumentKind.HISTOGRAM: ("_bucket", "_sum", "_count"),
}
SERIES: Mapping[str, Instrument] = {
    one.shown_name + suffix: one
    for one in define_measurements(NoInstruments()).instruments.definitions
    for suffix in SUFFIXES[one.kind]
}
ADDED = {"job", "instance", "le"}
"""The labels that Prometheus and histograms add."""


def panels() -> list[Mapping[str, Any]]:
    """The panels of the dashboard that show something."""
    dashboard = json.loads(DASHBOARD.read_text())
    return [one for one in dashboard["panels"] if one["type"] != "row"]


def rules() -> list[Mapping[str, Any]]:
    """The alerts."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[Mapping[str, Any]] = group["rules"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression, after the name of what it is for."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


ALL = [pytest.param(expression, id=name) for name, expression in expressions()]


@pytest.mark.parametrize("expression", ALL)
def test_expressions_are_about_what_is_measured(expression: str) -> None:
    """An expression names measurements, labels and values of labels that exist."""
    names = set(re.findall(r"\b(?:cost_insights|process)_\w+", expression))
    assert names
    assert names <= set(SERIES)
    labels = ADDED.union(*(SERIES[name].label_names for name in names))
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        assert {one.strip() for one in grouped.split(",")} <= labels
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expression):
        definition = SERIES[name]
        for label, value in re.findall(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"', matchers):
            if label not in ADDED:
                place = definition.label_names.index(label)
                assert set(value.split("|")) <= {one[place] for one in definition.places}


def test_panels_do_not_overlap() -> None:
    """Each panel has a place of its own, a title and the source that is chosen above."""
    places: set[tuple[int, int]] = set()
    for panel in panels():
        grid = panel["gridPos"]
        taken = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert places.isdisjoint(taken), panel["title"]
        assert all(0 <= x < 24 for x, _ in taken)
        places |= taken
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_every_alert_says_what_it_means() -> None:
    """An alert has a severity, a sentence and what there is to know."""
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_prometheus_is_told_where_the_service_is() -> None:
    """The example reads the address for administrators, and the alerts beside it."""
    config = yaml.safe_load(CONFIG.read_text())
    (job,) = config["scrape_configs"]
    (targets,) = job["static_configs"]
    assert targets["targets"] == [Settings.model_fields["admin_address"].default]
    assert config["rule_files"] == [ALERTS.name]


@pytest.fixture
def prometheus() -> str:
    """The program, where it is installed."""
    program = shutil.which("prometheus")
    if program is None or shutil.which("promtool") is None:
        pytest.skip("Prometheus is not installed; tests/tools/prometheus.sh installs it")
    return program


def test_promtool_finds_no_fault(prometheus: str) -> None:
    """The rules and the configuration are those that Prometheus takes."""
    del prometheus
    done = subprocess.run(
        ["promtool", "check", "config", CONFIG], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@pytest.mark.slow
def test_prometheus_reads_the_service_and_answers_every_expression(
    prometheus: str, start_http: StartServer, databases: Databases, tmp_path: Path
) -> None:
    """A real Prometheus scrapes the service, takes the rules and evaluates each expression."""
    with (
        databases.fresh("sqlite") as url,
        start_http(url, admin_address="127.0.0.1:0") as service,
    ):
        service.stranger().ingest(new_event())
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(ALERTS)]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [service.server.admin_address]
        file = tmp_path / "prometheus.yaml"
        file.write_text(yaml.safe_dump(config))
        log = tmp_path / "log"
        with (
            log.open("w") as written,
            subprocess.Popen(
                [
                    prometheus,
                    f"--config.file={file}",
                    f"--storage.tsdb.path={tmp_path / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                ],
                stdout=written,
                stderr=written,
            ) as process,
        ):
            try:
                found = re.compile(r"msg=\"Listening on\" address=(\S+)")
                wait_until(lambda: found.search(log.read_text()) is not None)
                match = found.search(log.read_text())
                assert match is not None
                with httpx.Client(base_url=f"http://{match[1]}", timeout=30) as client:
                    ask = Query(client)
                    wait_until(lambda: ask('cost_insights_events_total{result="inserted"}') == 1)
                    assert ask("up") == 1
                    for name, expression in expressions():
                        chosen = expression.replace("$__rate_interval", "1m")
                        chosen = re.sub(r"\$(job|instance)", ".*", chosen)
                        assert ask.is_understood(chosen), name
            finally:
                process.terminate()


class Query:
    """Asks Prometheus."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _answer(self, expression: str) -> Mapping[str, Any]:
        answer = self._client.get("/api/v1/query", params={"query": expression})
        found: Mapping[str, Any] = answer.json()
        return found

    def __call__(self, expression: str) -> float | None:
        """The only value of an expression, None if it has none yet."""
        result = self._answer(expression)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def is_understood(self, expression: str) -> bool:
        """Whether Prometheus can evaluate an expression."""
        return bool(self._answer(expression)["status"] == "success")
