"""Questions that would take too much memory: each is refused before it is answered, with what
would fit."""

from cost_insights.errors import FieldFault, InvalidRequestError
from cost_insights.metrics.question import MetricsQuestion

RANKED_BYTES = 400
"""The memory that ranking takes for each customer, about, if it is not by the greatest costs."""

EXPORTED_BYTES = 1_000
"""The memory that the totals of each customer take, about, until they are exported."""

_MEBIBYTE = 1024 * 1024


def check_numbers(
    question: MetricsQuestion, *, periods: int, groups: int, metrics: int, numbers_max: int
) -> None:
    """Raises InvalidRequestError if an answer would hold too many numbers; `metrics` are those of
    each group."""
    whole = periods * len(question.metrics)
    # There may be one more group, of all others.
    numbers = whole + (groups + 1) * periods * metrics
    if numbers <= numbers_max:
        return
    groups_fit = (numbers_max - whole) // (periods * metrics) - 1
    raise InvalidRequestError(
        [
            FieldFault(
                "groups_max",
                "ANSWER_TOO_LARGE",
                f"the answer would hold {numbers} numbers, {metrics} metrics of {groups} "
                f"groups in {periods} periods; at most {numbers_max} are allowed; "
                f"{groups_fit} groups would fit, and more with fewer metrics or periods",
                str(question.groups_max),
                {
                    "numbers": str(numbers),
                    "numbers_max": str(numbers_max),
                    "groups_fit": str(groups_fit),
                },
            )
        ]
    )


def cells_too_large(question: MetricsQuestion, size: int, bytes_max: int) -> InvalidRequestError:
    """The error for a question whose cells have `size` bytes."""
    days = (question.end - question.start).days + 1
    days_fit = days * bytes_max // size
    fits = f"about {days_fit} days would fit" if days_fit else "not even a day would fit"
    return _too_large(
        "start_date",
        f"the sums of {days} days take {_mebibytes(size)} of memory, at most "
        f"{_mebibytes(bytes_max)} are allowed; {fits}, and more with a filter for customers",
        str(question.start),
        size,
        bytes_max,
        days_fit=days_fit,
    )


def check_ranking(question: MetricsQuestion, customers: int, bytes_max: int) -> None:
    """Raises InvalidRequestError if there are too many customers to rank them."""
    size = RANKED_BYTES * customers
    if size <= bytes_max:
        return
    slug = question.order.metric.slug
    direction = "desc" if question.order.descending else "asc"
    raise _too_large(
        "order_by",
        f"to order {customers} customers by {slug} {direction} takes {_mebibytes(size)} of "
        f"memory, at most {_mebibytes(bytes_max)} are allowed, which is enough for "
        f"{bytes_max // RANKED_BYTES}; metrics of costs alone in the order `costs desc` would "
        "fit, and so would a filter for customers",
        f"{slug} {direction}",
        size,
        bytes_max,
        customers_fit=bytes_max // RANKED_BYTES,
    )


def check_totals(customers: int, bytes_max: int) -> None:
    """Raises InvalidRequestError if there are too many customers to export the totals of each."""
    size = EXPORTED_BYTES * customers
    if size <= bytes_max:
        return
    raise _too_large(
        "totals",
        f"the totals of {customers} customers take {_mebibytes(size)} of memory, at most "
        f"{_mebibytes(bytes_max)} are allowed, which is enough for {bytes_max // EXPORTED_BYTES}; "
        "a filter for customers would fit",
        "true",
        size,
        bytes_max,
        customers_fit=bytes_max // EXPORTED_BYTES,
    )


def _too_large(
    path: str, message: str, value: str, size: int, bytes_max: int, **fits: int
) -> InvalidRequestError:
    facts = {"bytes": str(size), "bytes_max": str(bytes_max)}
    facts |= {name: str(number) for name, number in fits.items()}
    return InvalidRequestError([FieldFault(path, "QUESTION_TOO_LARGE", message, value, facts)])


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:,.1f} MiB"
