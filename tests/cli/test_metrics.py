"""`metrics` shows what the service answers, digit for digit."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from cost_insights.cli.metrics import aligned, shares
from tests.cli.conftest import Command
from tests.support.service import Caller, Service, event_of


def day(
    date: str, customer: str, amount: str, name: str = "llm.inference", **fields: object
) -> dict[str, object]:
    """An event at noon."""
    return {
        **fields,
        "name": name,
        "external_customer_id": customer,
        "timestamp": f"{date}T12:00:00Z",
        "cost": {"amount": amount, "currency": "usd"},
    }


@pytest.fixture
def filled(sqlite_server: Service) -> Service:
    """A service with a few events of November."""
    Caller(sqlite_server.channel()).ingest(
        *(
            event_of(event)
            for event in (
                day("2026-10-31", "a", "1000"),
                day("2026-11-01", "a", "0.1"),
                day("2026-11-01", "b", "0.2"),
                day("2026-11-03", "a", "99.999999999999", "training"),
                day("2026-11-03", "a", "-0.000000000001", "training"),
            )
        )
    )
    return sqlite_server


def rows(out: str) -> list[list[str]]:
    """The cells of each row of a table that hold something."""
    return [cells for line in out.splitlines() if (cells := line.split())]


def test_prints_a_table_with_totals_and_a_plot(command: Command, filled: Service) -> None:
    """Each period is a row, digits stand at their place, the last row has the totals."""
    done = command(
        "metrics", "--start", "2026-11-01", "--end", "2026-11-03", "--address", filled.address
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines == [
        "                                     cumulative     active          cost per",
        "day            costs (cents)            (cents)  customers  customer (cents)",
        "────────────────────────────────────────────────────────────────────────────",
        "2026-11-01               0.3             1000.3          2              0.15",
        "2026-11-02                 0             1000.3          0                 0",
        "2026-11-03   99.999999999998  1100.299999999998          1   99.999999999998",
        "",
        "total       100.299999999998  1100.299999999998          2   50.149999999999",
        "",
        "costs (cents)",
        "100┤            ▄▄▄▄▄",
        *(["   │            █████"] * 5),
        " 50┤            █████",
        *(["   │            █████"] * 5),
        "  0┤▀▀▀▀▀ ▀▀▀▀▀ ▀▀▀▀▀",
        "   └──┬───────────────",
        "    2026-11-01",
    ]


def test_no_digit_is_lost_in_a_narrow_terminal(command: Command, filled: Service) -> None:
    """What does not fit is folded; through a pipe every number stays in one piece."""
    span = ("metrics", "--start", "2026-11-03", "--end", "2026-11-03", "--address", filled.address)
    narrow = command(*span, "--metric", "costs", env={"COLUMNS": "24"}).stdout.splitlines()
    assert max(map(len, narrow)) <= 24
    first = next(at for at, line in enumerate(narrow) if line.startswith("2026-11-03"))
    assert "".join(line[11:].strip() for line in narrow[first : first + 2]) == "99.999999999998"
    piped = command(*span, env={"COLUMNS": ""}).stdout
    assert ["2026-11-03", "99.999999999998", "1100.299999999998", "1", "99.999999999998"] in rows(
        piped
    )


def test_filters_and_groups(quick: Command, filled: Service) -> None:
    """Customers, names, metrics, interval and time zone are passed on."""
    done = quick(
        *("metrics", "--start", "2026-11-01", "--end", "2026-11-30", "--interval", "month"),
        *("--timezone", "Asia/Kathmandu", "--customer", "a", "--customer", "c"),
        *("--event-name", "llm.inference", "--metric", "costs", "--address", filled.address),
    )
    assert done.returncode == 0
    assert ["2026-11", "0.1"] in rows(done.stdout)
    assert ["total", "0.1"] in rows(done.stdout)
    assert "customers" not in done.stdout


def test_prints_a_table_of_groups(command: Command, filled: Service) -> None:
    """Each group is a row with its share; then come the others and the whole."""
    done = command(
        *("metrics", "--start", "2026-11-01", "--end", "2026-11-03"),
        *("--group-by", "customer", "--groups-max", "1", "--address", filled.address),
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[8:17] == [
        "",
        "                                       active          cost per",
        "customer     costs (cents)   share  customers  customer (cents)",
        "───────────────────────────────────────────────────────────────",
        "a         100.099999999998   99.8%          1  100.099999999998",
        "1 other                0.2    0.2%          1               0.2",
        "",
        "total     100.299999999998  100.0%          2   50.149999999999",
        "",
    ]
    assert lines[17] == "costs (cents)"


def test_groups_name_what_they_are_of(quick: Command, filled: Service) -> None:
    """What is no LLM call has no name; text of others' making is shown as it is, not obeyed."""
    Caller(filled.channel()).ingest(
        event_of(
            day("2026-11-02", "c", "0.5", "[red]a\x1b", llm={"vendor": "openai", "model": "gpt-4o"})
        )
    )
    span = ("metrics", "--start", "2026-11-02", "--end", "2026-11-03", "--metric", "costs")
    by_model = quick(*span, "--group-by", "llm-model", "--address", filled.address).stdout
    assert ["gpt-4o", "0.5", "0.5%"] in rows(by_model)
    assert ["(none)", "99.999999999998", "99.5%"] in rows(by_model)
    by_name = quick(*span, "--group-by", "event-name", "--address", filled.address).stdout
    assert ["[red]a\\x1b", "0.5", "0.5%"] in rows(by_name)
    assert "others" not in by_name


def test_long_values_are_folded(command: Command, filled: Service) -> None:
    """A long identifier takes several lines and leaves every number in one piece."""
    customer = "".join(f"<{n:02}>" for n in range(64))
    Caller(filled.channel()).ingest(event_of(day("2026-11-02", customer, "1234567.123456789")))
    done = command(
        *("metrics", "--start", "2026-11-02", "--end", "2026-11-02", "--group-by", "customer"),
        *("--metric", "costs", "--metric", "cost_per_user", "--address", filled.address),
    )
    lines = done.stdout.splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("<00>"))
    assert lines[first].split()[1:] == ["1234567.123456789", "100.0%", "1234567.123456789"]
    assert "".join(line[:32] for line in lines[first : first + 8]) == customer
    assert max(map(len, lines)) <= 80


def test_groups_without_members_are_not_shown(quick: Command, filled: Service) -> None:
    """What only history has costs nothing in the span, and JSON has it."""
    asked = ("metrics", "--start", "2026-11-02", "--end", "2026-11-02", "--group-by", "customer")
    done = quick(*asked, "--address", filled.address)
    assert "others" not in done.stdout
    assert ["total", "0", "-", "0", "0"] in rows(done.stdout)
    (others,) = json.loads(quick(*asked, "--json", "--address", filled.address).stdout)["groups"]
    assert (others["others"], others["totals"]["cumulative_costs"]) == (True, "1000.3")


def test_filters_of_llm_calls(quick: Command, filled: Service) -> None:
    """Vendors and models are passed on; the empty text is what is no LLM call."""
    Caller(filled.channel()).ingest(
        *(
            event_of(day("2026-11-02", "c", amount, llm={"vendor": vendor, "model": model}))
            for amount, vendor, model in (("1", "v", "m"), ("2", "v", "n"), ("4", "w", "m"))
        )
    )
    span = ("metrics", "--start", "2026-11-01", "--end", "2026-11-02", "--metric", "costs")
    for flags, costs in (
        (["--llm-vendor", "v"], "3"),
        (["--llm-vendor", "v", "--llm-model", "m"], "1"),
        (["--llm-model", "m", "--llm-model", "n"], "7"),
        (["--llm-vendor", ""], "0.3"),
    ):
        done = quick(*span, *flags, "--address", filled.address)
        assert ["total", costs] in rows(done.stdout)


def test_shares_are_of_the_whole() -> None:
    """A share has one decimal, half-even, whatever the size of the sums; none is of zero."""
    whole = Decimal(2 * 10**40)
    assert shares([Decimal(10**40), Decimal(25 * 10**36), whole]) == ["50.0%", "0.1%", "100.0%"]
    assert shares([whole / 2000 * 3, whole]) == ["0.2%", "100.0%"]
    assert shares([Decimal(-3), Decimal(5), Decimal(2)]) == ["-150.0%", "250.0%", "100.0%"]
    assert shares([Decimal(1), Decimal(-1), Decimal(0)]) == ["-", "-", "-"]


def test_prints_json(quick: Command, filled: Service) -> None:
    """The answer as JSON is that of the contract, with amounts as text."""
    done = quick(
        *("metrics", "--start", "2026-11-03", "--end", "2026-11-03", "--metric", "costs"),
        *("--json", "--address", filled.address),
    )
    assert json.loads(done.stdout) == {
        "periods": [{"timestamp": "2026-11-03T00:00:00+00:00", "costs": "99.999999999998"}],
        "totals": {"costs": "99.999999999998"},
        "metrics": [
            {"slug": "costs", "display_name": "Costs", "type": "METRIC_TYPE_CURRENCY_SUB_CENT"}
        ],
    }


def test_without_a_span_it_shows_the_last_thirty_days(quick: Command, filled: Service) -> None:
    """Today is the last day, in the time zone that is asked for."""
    zone = dt.timezone(dt.timedelta(hours=14))
    before = dt.datetime.now(zone).date()
    done = quick(
        "metrics", "--timezone", "Pacific/Kiritimati", "--json", "--address", filled.address
    )
    days = [period["timestamp"][:10] for period in json.loads(done.stdout)["periods"]]
    assert len(days) == 30
    assert days[-1] in {before.isoformat(), dt.datetime.now(zone).date().isoformat()}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--metric", "cost"],
            (
                "metrics[0]: 'cost' is no metric; allowed are costs, cumulative_costs, "
                "active_user_by_event, cost_per_user (VALUE_UNKNOWN)"
            ),
        ),
        (["--start", "2026-11-31", "--end", "2026-12-01"], "(DATE_INVALID)"),
        (["--start", "2026-12-01", "--end", "2026-11-01"], "(SPAN_REVERSED)"),
        (
            ["--start", "2026-01-01", "--end", "2026-02-01", "--interval", "hour"],
            "(SPAN_TOO_LONG)",
        ),
    ],
)
def test_what_the_service_refuses_is_one_line(
    quick: Command, filled: Service, arguments: list[str], line: str
) -> None:
    """A refusal is what the service says, with its reason, and exit code 1."""
    done = quick("metrics", *arguments, "--address", filled.address)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cost-insights: ")
    assert done.stderr.endswith(f"{line}\n")
    assert done.stderr.count("\n") == 1


def test_digits_are_aligned_at_the_point() -> None:
    """Digits below each other mean the same power of ten; no digit is added or taken away."""
    assert aligned(["1", "-20.5", "0.125", "3."]) == ["1    ", "-20.5  ", "0.125", "3.   "]
    assert aligned(["1", "2"]) == ["1", "2"]
    assert aligned([]) == []
