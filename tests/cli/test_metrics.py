"""`metrics` shows what the service answers, digit for digit."""

import datetime as dt
import json
import subprocess
from decimal import Decimal

import pytest

from cost_insights.cli.metrics import FLAGS, aligned, shares
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
    assert set(FLAGS) == set(GetMetricsRequest.DESCRIPTOR.fields_by_name)


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
    """The same service with revenue, and with products."""
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
        "                                                                   gross",
        "day         revenue (cents)     costs (cents)     margin (cents)  margin",
        "────────────────────────────────────────────────────────────────────────",
        "2026-11-01             2000               0.3             1999.7   50.0%",
        "2026-11-02                1              42.5              -41.5   47.9%",
        "2026-11-03            100.5   99.999999999998     0.500000000002   45.6%",
        "",
        "total                2101.5  142.799999999998  1958.700000000002   45.6%",
        "",
        "revenue █▒ and costs ▒░ (cents): █ is margin, ░ is loss",
    ]
    assert lines[10].startswith("2000┤█████")
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
        "                                                                 gross",
        "customer  revenue (cents)     costs (cents)     margin (cents)  margin",
        "──────────────────────────────────────────────────────────────────────",
        "b                       0               2.7               -2.7       -",
        "c                       1                 0                  1  100.0%",
        "a                  2100.5  140.099999999998  1960.400000000002   45.7%",
        "",
        "total              2101.5  142.799999999998  1958.700000000002   45.6%",
    ]


def test_what_has_no_product_is_told(quick: Command, earning: Service) -> None:
    """Where products are chosen a line says which costs are of none."""
    chosen = ("--product", "pro", "--product", "free", "--group-by", "product")
    done = quick(*SPAN, *chosen, "--address", earning.address)
    assert ["pro", "2100.5", "40", "2060.5", "98.1%"] in rows(done.stdout)
    assert ["free", "1", "2.5", "-1.5", "-150.0%"] in rows(done.stdout)
    assert (
        "unattributed: 100.299999999998 cents, 70.2% of the costs, are of no product\n"
        in done.stdout
    )
    one_time = quick(*SPAN, "--billing-type", "one-time", "--address", earning.address).stdout
    assert ["total", "2001", "42.5", "1958.5", "97.9%"] in rows(one_time)
    recurring = quick(
        *SPAN, "--billing-type", "recurring", "--metric", "revenue", "--address", earning.address
    ).stdout
    assert ["total", "100.5"] in rows(recurring)
    assert "costs (cents)" not in recurring
    assert "unattributed" not in quick(*SPAN, "--address", earning.address).stdout


def test_groups_of_events_show_costs(quick: Command, earning: Service) -> None:
    """Revenue has no event name, so groups of these have their share of the costs."""
    done = quick(*SPAN, "--group-by", "event-name", "--address", earning.address)
    assert ["training", "99.999999999998", "70.0%", "1", "99.999999999998"] in rows(done.stdout)
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
    assert ["training", "99.999999999998", "-"] in rows(quick(*SPAN, *asked).stdout)


def test_every_metric_can_be_shown(quick: Command, filled: Service) -> None:
    """Each slug is a column of its own, under a heading that fits."""
    for slug in METRICS:
        done = quick(*SPAN, "--metric", slug, "--address", filled.address)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert len(next(row for row in rows(done.stdout) if row[0] == "total")) == 2


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
    """What callers sent may be meant for the terminal; it is shown, not obeyed."""
    Caller(filled.channel()).ingest(event_of(day("2026-11-02", "\x1b[2J", "1")))
    asked = (*SPAN, "--csv", "--metric", "costs", "--group-by", "customer")
    assert ",\x1b[2J,false," in quick(*asked, "--address", filled.address).stdout
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ",\\x1b[2J,false," in quick(*asked, "--address", filled.address).stdout


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


def test_digits_are_aligned_at_the_point() -> None:
    """Digits below each other mean the same power of ten; no digit is added or taken away."""
    assert aligned(["1", "-20.5", "0.125", "3."]) == ["1    ", "-20.5  ", "0.125", "3.   "]
    assert aligned(["1", "2"]) == ["1", "2"]
    assert aligned([]) == []
