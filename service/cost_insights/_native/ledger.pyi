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
"""The facts that a `Ledger` adds up, by the names that `LedgerTally.column` takes. Facts of
several periods add up, except for these, which describe the end of a period:
subscriptions (in each period those of the whole span), active_subscriptions,
committed_subscriptions, mrr, committed_mrr, trial_mrr, trial_committed_mrr,
active_customers, churn_canceled, churn_base, seats (as subscriptions), seats_total,
seats_claimed, seat_customers."""

@final
class LedgerQuestion:
    """A question to a ledger: the periods, the records that count, and the facts.

    It never changes.
    """

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
        `bounds_us[i + 1]`, in microseconds since 1970. `whole_bounds_us` are the
        bounds of the periods if the span did not cut the first and the last; `by_year`
        says whether the periods are years. Only records whose values are in each list
        count; None leaves nothing out. Facts that are not asked for, and the history, cost
        nothing; None asks for all facts.
        Raises ValueError if there is no period, bounds descend or do not belong
        together, or there is no such fact."""

@final
class LedgerTally:
    """The sums of each group and period."""

    @property
    def groups(self) -> int: ...
    @property
    def slots(self) -> int:
        """The number of values of each fact in a group."""
    def column(self, fact: str) -> list[int]:
        """The numbers of a fact, that of slot s of group g at `g * slots + s`. Raises
        ValueError where the question did not ask for it."""
    def history(self, fact: str) -> list[int]:
        """The sum of `revenue` or `net_revenue` before the first period, by group.
        Raises as `column` does."""

@final
class Ledger:
    """The revenue records of one organization, ready to be added up.

    Several threads may use it: additions wait for each other and for answers.
    """

    def __new__(cls) -> Ledger: ...
    @property
    def position(self) -> int:
        """The greatest record number up to which the ledger holds all records; 0 at first."""
    @property
    def bytes(self) -> int:
        """The bytes of memory it takes, roughly."""
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
        order revenue, net order revenue, 1 or −1 if it takes another one back),
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
        """The products that have an order of one of the types or, if `recurring` is one
        of them, a subscription; records without a product are left out."""
    def tally(
        self,
        question: LedgerQuestion,
        *,
        by: str = "",
        keys: Sequence[int | str] = (),
    ) -> LedgerTally:
        """Adds up the records that count, by period and group: one group per customer
        number or product id in `keys`, and a last one for all others. Without `by` there
        are no keys and one group. Raises OverflowError if a sum has more than 127 bits,
        ValueError if the keys do not fit, MemoryError for too many groups."""
    def rank(
        self, question: LedgerQuestion, *, by: str
    ) -> tuple[list[int] | list[str], LedgerTally]:
        """The customer numbers or product ids of the records of the span in ascending order,
        and a tally with a group for each and one slot: the sum over the periods or, for
        facts that describe the end of a period, the value of the last one. Records without
        a customer are left out. Raises as `tally` does."""
