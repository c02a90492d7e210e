"""`metrics` shows what the service answers, digit for digit."""

import datetime as dt
import json
import subprocess
from decimal import Decimal

import pytest

from cost_insights.cli.console import out
from cost_insights.cli.metrics_options import FLAGS
from cost_insights.cli.tables import aligned, shares
from cost_insights.metrics import METRICS
from cost_insights.v1 import revenue_pb2, revenue_service_pb2
from cost_insights.v1.metrics_service_pb2 import GetMetricsRequest
from tests.support.command_line import Command, program
from tests.support.revenue import money, new_order
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
        "                       costs             costs     active      per customer",
        "day                  (cents)         (dollars)  customers         (dollars)",
        "───────────────────────────────────────────────────────────────────────────",
        "2026-11-01               0.3             0.003          2            0.0015",
        "2026-11-02                 0              0.00          0              0.00",
        "2026-11-03   99.999999999998  0.99999999999998          1  0.99999999999998",
        "",
        "total       100.299999999998  1.00299999999998          2  0.50149999999999",
        "left out to fit 80 columns: all-time costs (dollars)",
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


@pytest.fixture
def wide(sqlite_server: Service) -> Service:
    """A service with costs and revenue of many digits, under a long name of a customer."""
    caller = Caller(sqlite_server.channel())
    caller.ingest(
        *(event_of(day("2026-11-01", f"{'customer ' * 9}", "9000000")) for _ in range(260)),
        event_of(day("2026-11-01", "b", "5678901.1234567890")),
        event_of(day("2026-11-01", "b", "0.000000000012")),
    )
    return sqlite_server


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_number_is_broken_in_a_narrow_terminal(
    quick: Command, wide: Service, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that do not fit are left out by name, or run over the edge; each number is whole."""
    monkeypatch.setattr(out, "width", columns)
    span = ("metrics", "--start", "2026-11-01", "--end", "2026-11-01", "--address", wide.address)
    in_cents, in_dollars = "2,345,678,901.123456789012", "23,456,789.01123456789012"

    def totals(*flags: str) -> list[list[str]]:
        lines = quick(*span, *flags).stdout.splitlines()
        left_out = [line for line in lines if line.startswith("left out to fit ")]
        assert bool(left_out) == (columns < 200 and "--metric" not in flags)
        return rows("\n".join(line for line in lines if line.startswith("total")))

    for flags in ([], ["--group-by", "customer"]):
        for total in totals(*flags):
            assert total[:2] == ["total", in_cents]
            # The table of periods has five columns of numbers, that of groups, too.
            assert len(total) == 6 or columns < 200
    assert totals("--metric", "costs") == [["total", in_cents, in_dollars]]
    orders = [order("1", "2026-11-01", "b", "123456789.5")]
    request = revenue_service_pb2.RecordOrdersRequest(orders=orders)
    Caller(wide.channel()).revenue.RecordOrders(request)
    for flags in ([], ["--group-by", "customer"]):
        for total in totals(*flags):
            assert total[:3] == ["total", "1,234,567.895", in_dollars]


def test_filters_and_groups(quick: Command, filled: Service) -> None:
    """Customers, names, metrics, interval and time zone are passed on."""
    done = quick(
        *("metrics", "--start", "2026-11-01", "--end", "2026-11-30", "--interval", "month"),
        *("--timezone", "Asia/Kathmandu", "--customer", "a", "--customer", "c"),
        *("--event-name", "llm.inference", "--metric", "costs", "--address", filled.address),
    )
    assert done.returncode == 0
    assert ["2026-11", "0.1", "0.001"] in rows(done.stdout)
    assert ["total", "0.1", "0.001"] in rows(done.stdout)
    assert "customers" not in done.stdout


def test_prints_a_table_of_groups(command: Command, filled: Service) -> None:
    """Each group is a row with its share; then come the others and the whole."""
    done = command(
        *("metrics", "--start", "2026-11-01", "--end", "2026-11-03"),
        *("--group-by", "customer", "--groups-max", "1", "--address", filled.address),
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines[9:19] == [
        "",
        "                     costs             costs             active",
        "customer           (cents)         (dollars)   share  customers",
        "───────────────────────────────────────────────────────────────",
        "a         100.099999999998  1.00099999999998   99.8%          1",
        "1 other                0.2             0.002    0.2%          1",
        "",
        "total     100.299999999998  1.00299999999998  100.0%          2",
        "left out to fit 80 columns: per customer (dollars)",
        "",
    ]
    assert lines[19] == "costs (cents)"


def test_groups_name_what_they_are_of(quick: Command, filled: Service) -> None:
    """An event without an LLM call has no name; text of others' making is shown as it is, not
    obeyed."""
    Caller(filled.channel()).ingest(
        event_of(
            day("2026-11-02", "c", "0.5", "[red]a\x1b", llm={"vendor": "openai", "model": "gpt-4o"})
        )
    )
    span = ("metrics", "--start", "2026-11-02", "--end", "2026-11-03", "--metric", "costs")
    by_model = quick(*span, "--group-by", "llm-model", "--address", filled.address).stdout
    assert ["gpt-4o", "0.5", "0.005"] in rows(by_model)
    assert ["(none)", "99.999999999998", "0.99999999999998"] in rows(by_model)
    by_name = quick(*span, "--group-by", "event-name", "--address", filled.address).stdout
    assert ["[red]a\\x1b", "0.5", "0.005"] in rows(by_name)
    assert "others" not in by_name


def test_long_values_are_folded(command: Command, filled: Service) -> None:
    """A long identifier takes several lines and leaves every number in one piece."""
    customer = "".join(f"<{n:02}>" for n in range(64))
    Caller(filled.channel()).ingest(event_of(day("2026-11-02", customer, "1234567.123456789")))
    done = command(
        *("metrics", "--start", "2026-11-02", "--end", "2026-11-02", "--group-by", "customer"),
        *("--metric", "costs", "--address", filled.address),
    )
    lines = done.stdout.splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("<00>"))
    assert lines[first].split()[1:] == ["1,234,567.123456789", "12,345.67123456789"]
    assert "".join(line[:32] for line in lines[first : first + 8]) == customer
    assert max(map(len, lines)) <= 80


def test_groups_without_members_are_not_shown(quick: Command, filled: Service) -> None:
    """A group that only history has costs nothing in the span, and JSON has it."""
    asked = ("metrics", "--start", "2026-11-02", "--end", "2026-11-02", "--group-by", "customer")
    done = quick(*asked, "--address", filled.address)
    assert "others" not in done.stdout
    assert ["total", "0", "0.00", "-", "0", "0.00"] in rows(done.stdout)
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
        assert ["total", costs] in [row[:2] for row in rows(done.stdout)]


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
    ("arguments", "words"),
    [
        (["--start", "2026-13-01"], "--start: '2026-13-01' is "),
        (["--start", "", "--end", "2026-11-30"], "--start: "),
        (["--start", "2026-11-01", "--end", "2026-02-30"], "--end: '2026-02-30' is "),
        (
            ["--start", "2026-12-01", "--end", "2026-11-01"],
            "--end: 2026-11-01 is before the --start 2026-12-01 (SPAN_REVERSED)",
        ),
        (
            ["--start", "2026-01-01", "--end", "2026-02-01", "--interval", "hour"],
            "(SPAN_TOO_LONG)",
        ),
        (
            ["--start", "2026-11-01", "--end", "2026-11-03", "--timezone", "Europe/Berln"],
            "--timezone: ",
        ),
        (["--metric", "costs", "--metric", "start_date"], "--metric: "),
        (["--metric", "costs", "--metric", "start_date"], "'start_date'"),
        (["--event-name", "x" * 1_000], "--event-name: "),
        (["--order-by", "cost"], "--order-by: "),
        (["--order-by", "cost", "--csv"], "--order-by: "),
        (["--order-by", "costs", "--focus"], "--order-by: rows of FOCUS have no --order-by;"),
        (
            ["--focus", "--interval", "month"],
            "--interval: rows of FOCUS have no interval; it must be left out (FIELDS_CONFLICT)",
        ),
        (["--focus", "--group-by", "customer"], "rows of FOCUS have no --group-by;"),
        (["--csv", "--totals"], "--group-by is absent or empty; it is required"),
        (
            ["--csv", "--totals", "--group-by", "customer", "--groups-max", "3"],
            "--groups-max: totals are those of every group; --groups-max must be left out",
        ),
    ],
)
def test_what_the_service_refuses_names_the_flag(
    quick: Command, filled: Service, arguments: list[str], words: str
) -> None:
    """A refusal is one line that names the flag, not the field of the request; wrong use."""
    done = quick("metrics", *arguments, "--address", filled.address)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cost-insights: --")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_field_of_the_request_has_a_flag() -> None:
    """A field that the service may refuse is known by its flag."""
    assert set(FLAGS) == {*GetMetricsRequest.DESCRIPTOR.fields_by_name, "totals"}


# Revenue


def order(
    order_id: str, date: str, customer: str, amount: str, **fields: object
) -> revenue_pb2.NewOrder:
    """An order at noon."""
    one = new_order(order_id, external_customer_id=customer, net_amount=money(amount), **fields)
    one.created_time.FromJsonString(f"{date}T12:00:00Z")
    return one


@pytest.fixture
def earning(filled: Service) -> Service:
    """The service with revenue, and with products."""
    caller = Caller(filled.channel())
    caller.ingest(
        event_of(day("2026-11-02", "a", "40", "email", product_id="pro")),
        event_of(day("2026-11-02", "b", "2.5", "email", product_id="free")),
    )
    orders = [
        order("1", "2026-11-01", "a", "2000", product_id="pro"),
        order("2", "2026-11-02", "c", "1", product_id="free"),
        order(
            "3",
            "2026-11-03",
            "a",
            "100.5",
            product_id="pro",
            billing_type=revenue_pb2.BILLING_TYPE_RECURRING,
        ),
    ]
    caller.revenue.RecordOrders(revenue_service_pb2.RecordOrdersRequest(orders=orders))
    return filled


SPAN = ("metrics", "--start", "2026-11-01", "--end", "2026-11-03")


def test_shows_margins_once_there_is_revenue(command: Command, earning: Service) -> None:
    """Revenue, costs and what is left stand beside each other, in the table and the plot."""
    done = command(*SPAN, "--address", earning.address)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[:10] == [
        "              revenue             costs             margin     margin",
        "day         (dollars)         (dollars)          (dollars)        (%)",
        "─────────────────────────────────────────────────────────────────────",
        "2026-11-01      20.00             0.003             19.997     100.0%",
        "2026-11-02       0.01             0.425             -0.415  -4,150.0%",
        "2026-11-03      1.005  0.99999999999998   0.00500000000002       0.5%",
        "",
        "total          21.015  1.42799999999998  19.58700000000002      93.2%",
        "",
        "revenue █▒ and costs ▒░ (dollars): █ is margin, ░ is loss",
    ]
    assert lines[10].startswith("20┤█████")
    assert lines[-1].strip() == "2026-11-01"


def test_groups_show_their_margins(command: Command, earning: Service) -> None:
    """Customers and products have revenue, costs and margins, in any order."""
    done = command(
        *SPAN, "--group-by", "customer", "--order-by", "cashflow asc", "--address", earning.address
    )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[8:17] == [
        "",
        "            revenue             costs             margin  margin",
        "customer  (dollars)         (dollars)          (dollars)     (%)",
        "────────────────────────────────────────────────────────────────",
        "b              0.00             0.027             -0.027       -",
        "c              0.01              0.00               0.01  100.0%",
        "a            21.005  1.40099999999998  19.60400000000002   93.3%",
        "",
        "total        21.015  1.42799999999998  19.58700000000002   93.2%",
    ]


def test_what_has_no_product_is_told(quick: Command, earning: Service) -> None:
    """If products are chosen a line says which costs are of none."""
    chosen = ("--product", "pro", "--product", "free", "--group-by", "product")
    done = quick(*SPAN, *chosen, "--address", earning.address)
    assert ["pro", "21.005", "0.40", "20.605", "98.1%"] in rows(done.stdout)
    assert ["free", "0.01", "0.025", "-0.015", "-150.0%"] in rows(done.stdout)
    assert (
        "unattributed: 100.299999999998 cents, 70.2% of the costs, name no product\n" in done.stdout
    )
    one_time = quick(*SPAN, "--billing-type", "one-time", "--address", earning.address).stdout
    assert ["total", "20.01", "0.425", "19.585", "97.9%"] in rows(one_time)
    recurring = quick(
        *SPAN, "--billing-type", "recurring", "--metric", "revenue", "--address", earning.address
    ).stdout
    assert ["total", "1.005"] in rows(recurring)
    assert "(cents)" not in recurring
    assert "unattributed" not in quick(*SPAN, "--address", earning.address).stdout


def test_groups_of_events_show_costs(quick: Command, earning: Service) -> None:
    """Revenue has no event name, so groups of these have their share of the costs."""
    done = quick(*SPAN, "--group-by", "event-name", "--address", earning.address)
    costs = ["99.999999999998", "0.99999999999998"]
    assert ["training", *costs, "70.0%", "1", costs[1]] in rows(done.stdout)
    asked = (
        "--metric",
        "revenue",
        "--metric",
        "costs",
        "--group-by",
        "event-name",
        "--address",
        earning.address,
    )
    assert ["training", "99.999999999998", "0.99999999999998", "-"] in rows(
        quick(*SPAN, *asked).stdout
    )


def test_every_metric_can_be_shown(quick: Command, filled: Service) -> None:
    """Each slug is a column of its own, under a heading that fits."""
    for slug in METRICS:
        done = quick(*SPAN, "--metric", slug, "--address", filled.address)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 80
        # Costs in both units.
        cells = 3 if slug == "costs" else 2
        assert len(next(row for row in rows(done.stdout) if row[0] == "total")) == cells


@pytest.mark.parametrize(
    ("slug", "value"),
    [
        ("cumulative_costs", "11.42799999999998"),
        ("cumulative_revenue", "21.015"),
        ("gross_margin", "9.58700000000002"),
        ("gross_margin_percentage", "45.6%"),
    ],
)
def test_all_time_numbers_say_so(quick: Command, earning: Service, slug: str, value: str) -> None:
    """A number about the time before the span is not mistaken for one of the row."""
    shown = quick(*SPAN, "--metric", slug, "--address", earning.address).stdout
    assert "all-time" in shown
    assert ["total", value] in rows(shown)


def test_a_loss_is_a_negative_margin(quick: Command, earning: Service) -> None:
    """The margin of a row is of its own revenue and costs, whatever all time has left."""
    caller = Caller(earning.channel())
    caller.ingest(event_of(day("2025-12-01", "a", "40")))
    orders = [order("4", "2025-12-01", "a", "10")]
    caller.revenue.RecordOrders(revenue_service_pb2.RecordOrdersRequest(orders=orders))
    span = ("metrics", "--start", "2025-12-01", "--end", "2025-12-02")
    shown = rows(quick(*span, "--address", earning.address).stdout)
    assert ["2025-12-01", "0.10", "0.40", "-0.30", "-300.0%"] in shown
    assert ["2025-12-02", "0.00", "0.00", "0.00", "-"] in shown
    assert ["total", "0.10", "0.40", "-0.30", "-300.0%"] in shown


# Without data


def sentence(out: str) -> str:
    """The lines below the tables."""
    return out.rstrip("\n").rpartition("\n\n")[2]


def test_without_events_it_says_when_there_are_any(quick: Command, filled: Service) -> None:
    """Instead of an empty plot stands where to look, under the same filters."""
    span = ("metrics", "--start", "2024-02-01", "--end", "2024-02-03", "--address", filled.address)
    for flags, words in (
        (
            [],
            (
                "no events in this span, 2024-02-01 to 2024-02-03; "
                "the first is from 2026-10-31, the latest from 2026-11-03"
            ),
        ),
        (
            ["--metric", "costs", "--event-name", "training", "--timezone", "Asia/Tokyo"],
            (
                "no events with these filters in this span, 2024-02-01 to 2024-02-03; "
                "the first is from 2026-11-03, the latest from 2026-11-03"
            ),
        ),
        (["--customer", "z"], "no events with these filters, in this span or any other"),
    ):
        done = quick(*span, *flags)
        assert (done.returncode, done.stderr) == (0, "")
        assert sentence(done.stdout) == words
        assert "┤" not in done.stdout
    caller = Caller(filled.channel())
    caller.ingest(event_of(day("1973-01-01", "old", "1")))
    assert "the first is from 1973-01-01, the latest from 2026-11-03" in quick(*span).stdout


def test_events_without_costs_are_no_missing_events(quick: Command, filled: Service) -> None:
    """If events cost nothing there is nothing to plot, and a line says so."""
    caller = Caller(filled.channel())
    caller.ingest(event_of(day("2025-01-01", "a", "0")))
    span = ("metrics", "--start", "2025-01-01", "--end", "2025-01-02", "--address", filled.address)
    assert sentence(quick(*span).stdout) == (
        "nothing to plot: the events in this span cost nothing"
    )


@pytest.mark.slow
def test_without_any_event_it_shows_how_to_send_one(
    command: Command, sqlite_server: Service, clean_env: dict[str, str]
) -> None:
    """The line that is printed works in a shell, and then there is something to see."""
    asked = ("metrics", "--address", sqlite_server.address)
    before = command(*asked).stdout
    assert "no events yet; to send the first one:\n\n  " in before
    pasted = subprocess.run(
        ["sh", "-c", sentence(before)], env=clean_env, capture_output=True, text=True, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    assert ["total", "0.025", "0.00025", "1", "0.00025", "0.00025"] in rows(command(*asked).stdout)


# Exports


def test_exports_csv(command: Command, filled: Service) -> None:
    """The rows of the service, byte for byte."""
    done = command(*SPAN, "--csv", "--metric", "costs", "--address", filled.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Timestamp,Costs\r\n"
        "2026-11-01T00:00:00+00:00,0.3\r\n"
        "2026-11-02T00:00:00+00:00,0\r\n"
        "2026-11-03T00:00:00+00:00,99.999999999998\r\n"
    )


def test_exports_json_lines(quick: Command, filled: Service) -> None:
    """An object a line, with the groups that were asked for."""
    done = quick(
        *("metrics", "--start", "2026-11-01", "--end", "2026-11-01", "--json-lines"),
        *("--metric", "costs", "--group-by", "customer", "--groups-max", "1"),
        *("--address", filled.address),
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"timestamp": "2026-11-01T00:00:00+00:00", "group": "b", "others": False, "costs": "0.2"},
        {"timestamp": "2026-11-01T00:00:00+00:00", "group": "", "others": True, "costs": "0.1"},
    ]
    done = quick(
        *("metrics", "--start", "2026-11-01", "--end", "2026-11-01", "--csv", "--totals"),
        *("--metric", "costs", "--group-by", "customer", "--address", filled.address),
    )
    assert done.stdout == "Group,Others,Costs\r\nb,false,0.2\r\na,false,0.1\r\n"


def test_exports_focus(quick: Command, filled: Service) -> None:
    """The costs of each day, customer and series, in dollars."""
    done = quick(*SPAN, "--focus", "--customer", "a", "--address", filled.address)
    assert [line.partition(",")[0] for line in done.stdout.splitlines()] == [
        "BilledCost",
        "0.001",
        "0.99999999999998",
    ]


def test_a_terminal_is_not_moved(
    quick: Command, filled: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text that callers meant for the terminal is shown, not obeyed."""
    Caller(filled.channel()).ingest(event_of(day("2026-11-02", "\x1b[2J", "1")))
    asked = (*SPAN, "--csv", "--metric", "costs", "--group-by", "customer")
    assert ",\x1b[2J,false," in quick(*asked, "--address", filled.address).stdout
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ",\\x1b[2J,false," in quick(*asked, "--address", filled.address).stdout


@pytest.mark.slow
def test_a_reader_that_has_seen_enough(filled: Service, clean_env: dict[str, str]) -> None:
    """An export into a pipe that nobody reads any more ends without a traceback."""
    customers = [f"{'x' * 200}{number}" for number in range(1_000)]
    Caller(filled.channel()).ingest(*(event_of(day("2026-11-02", one, "1")) for one in customers))
    with subprocess.Popen(
        program(*SPAN, "--focus", "--address", filled.address),
        env=clean_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"BilledCost,")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 130


def test_one_format_at_a_time(quick: Command) -> None:
    """Two formats at once are wrong use."""
    done = quick("metrics", "--csv", "--focus")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cost-insights: --csv and --focus exclude each other\n"
    done = quick("metrics", "--focus", "--totals")
    assert (done.returncode, done.stderr) == (
        2,
        "cost-insights: --totals needs --csv or --json-lines\n",
    )


def test_digits_are_aligned_at_the_point() -> None:
    """Digits below each other mean the same power of ten; no digit is added or taken away."""
    assert aligned(["1", "-20.5", "0.125", "3."]) == ["1    ", "-20.5  ", "0.125", "3.   "]
    assert aligned(["1", "2"]) == ["1", "2"]
    assert aligned([]) == []
