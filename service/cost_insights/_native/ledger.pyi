"""The revenue records of one organization, and what they add up to."""

from collections.abc import Sequence
from typing import Final, final

__all__ = [
    "LEDGER_FACTS",
    "Ledger",
    "LedgerQuestion",
    "LedgerTally",
]

LEDGER_FACTS: Final[tuple[str, ...]]
"""What a `Ledger` adds up, as `column` of `LedgerTally` names it. A period's fact is
its own, and over periods they add up, but for these, which are of the end of a period:
subscriptions (the same in each, those of the whole span), active_subscriptions,
committed_subscriptions, mrr, committed_mrr, trial_mrr, trial_committed_mrr,
active_customers, churn_canceled, churn_base, seats (as subscriptions), seats_total,
seats_claimed, seat_customers."""

@final
class LedgerQuestion:
    """Which periods and what of a ledger is asked for. It never changes."""

    def __new__(
        cls,
        *,
        bounds_us: Sequence[int],
        whole_bounds_us: Sequence[int],
        by_year: bool,
        customers: Sequence[int] | None = None,
        products: Sequence[str] | None = None,
        billing_types: Sequence[str] | None = None,
        facts: Sequence[str] | None = None,
        history: bool = True,
    ) -> LedgerQuestion:
        """Period i holds the times from `bounds_us[i]` up to, not including,
        `bounds_us[i + 1]`, in microseconds since 1970. `whole_bounds_us` say where the
        periods would begin and end if the span did not cut the first and the last;
        `by_year` whether they are years. Only what is of one of each list counts; None
        leaves nothing out. Facts that are not asked for, and the history, cost nothing;
        None asks for all facts.
        Raises ValueError where there is no period, bounds descend or do not belong
        together, or there is no such fact."""

@final
class LedgerTally:
    """What each group and period adds up to."""

    @property
    def groups(self) -> int: ...
    @property
    def slots(self) -> int:
        """How many numbers of each fact a group has."""
    def column(self, fact: str) -> list[int]:
        """The numbers of a fact, that of slot s of group g at `g * slots + s`. Raises
        ValueError where the question did not ask for it."""
    def history(self, fact: str) -> list[int]:
        """What of `revenue` or `net_revenue` lies before the first period, by group.
        Raises as `column` does."""

@final
class Ledger:
    """The revenue records of one organization, ready to be added up.

    Several threads may use it: additions wait for each other and for answers.
    """

    def __new__(cls) -> Ledger: ...
    @property
    def position(self) -> int:
        """The greatest record number that is in it, and all before it are; 0 at first."""
    @property
    def bytes(self) -> int:
        """Roughly how much memory it takes."""
    def add(
        self,
        position: int,
        *,
        entries: Sequence[
            tuple[
                int,
                int,
                int,
                str,
                str,
                str,
                str,
                int,
                int | str,
                int | str,
                int,
                int | str,
                int | str,
                int,
            ]
        ] = (),
        subscriptions: Sequence[
            tuple[
                str,
                int,
                str,
                str,
                int | str,
                str,
                int,
                int,
                int | None,
                int | None,
                str,
                int | None,
                int | None,
                int | None,
            ]
        ] = (),
        checkouts: Sequence[tuple[str, int, str, str, str, int | None]] = (),
        seats: Sequence[tuple[str, int, str, str, int, int | None, int | None]] = (),
    ) -> None:
        """Adds the records up to a position, all or none.

        Entries are (revenue_us, order_us, customer number or −1, product id, billing
        type, subscription id, currency, exchange_rate_e12, revenue, net revenue, orders,
        order revenue, net order revenue, 1 or −1 where it takes another one back),
        amounts in picocents of usd, as integers or their decimal digits. Subscriptions are
        (subscription id, customer number, product id, currency, amount in picocents,
        recurring interval, its count, started_us, trial_end_us, canceled_us, cancel reason,
        uncanceled_us, ends_us, ended_us), and replace what was known of the subscription.
        Checkouts are (checkout id, customer number or −1, product id, billing type, status,
        the time at which it counts or None), and seats (seat id, customer number, product
        id, billing type, created_us, claimed_us, revoked_us); they replace what was known
        as well.
        Nothing happens where the position is not beyond that of the ledger. Raises
        ValueError where a number has no meaning, OverflowError where one is too great.
        """
    def billed_products(self, billing_types: Sequence[str]) -> list[str]:
        """The products that have an order of one of the types or, where `recurring` is
        one of them, a subscription; no product is none of them."""
    def tally(
        self,
        question: LedgerQuestion,
        *,
        by: str = "",
        keys: Sequence[int | str] = (),
    ) -> LedgerTally:
        """Adds up what counts, by period and group: one of each customer number or product
        id in `keys`, and one more, the last, of all others. By nothing there are no keys
        and one group. Raises OverflowError where a sum has more than 127 bits, ValueError
        where the keys do not fit, MemoryError for too many groups."""
    def rank(
        self, question: LedgerQuestion, *, by: str
    ) -> tuple[list[int] | list[str], LedgerTally]:
        """Each customer number or product id of a record of the span, in ascending order,
        and its group in a tally of one slot: sums over the periods or, of facts of the end
        of a period, that of the last. What has no customer is left out. Raises as `tally`
        does."""
