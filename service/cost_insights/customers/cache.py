"""A cache of customers' numbers, which never change."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping

CustomerName = uuid.UUID | str
"""The UUID of a customer, or the caller's own identifier."""


class CustomerCache:
    """The numbers of customers by what questions call them, shared by all threads.

    The least recently used customer is evicted first. A customer keeps its number and both its
    names for ever, so only customers that do not exist must be looked for again.
    """

    def __init__(self, customers_max: int = 10_000) -> None:
        self._customers_max = customers_max
        self._numbers: OrderedDict[tuple[int, CustomerName], int] = OrderedDict()
        self._lock = threading.Lock()

    def known(
        self, organization_number: int, names: Iterable[CustomerName]
    ) -> dict[CustomerName, int]:
        """The numbers of the cached customers among these."""
        known: dict[CustomerName, int] = {}
        with self._lock:
            for name in names:
                key = (organization_number, name)
                if (number := self._numbers.get(key)) is not None:
                    self._numbers.move_to_end(key)
                    known[name] = number
        return known

    def remember(self, organization_number: int, numbers: Mapping[CustomerName, int]) -> None:
        """Adds customers, which must be committed."""
        with self._lock:
            for name, number in numbers.items():
                self._numbers[organization_number, name] = number
            while len(self._numbers) > self._customers_max:
                self._numbers.popitem(last=False)
