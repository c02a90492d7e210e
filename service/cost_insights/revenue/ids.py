"""Ids of records that are derived from their content.

They are stored, and a record that is sent again is recognized by its id: none may ever be
computed in another way. `tests/vectors` pins each.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable


def derived_refund_id(
    *,
    kind: str,
    order_id: str,
    currency: str,
    exchange_rate_e12: int,
    amount_picocents: int,
    fee_picocents: int,
    created_us: int,
) -> str:
    """The id of a refund that names none: the first 16 bytes of SHA-256 as a UUID."""
    content = (
        kind,
        order_id,
        currency,
        exchange_rate_e12,
        amount_picocents,
        fee_picocents,
        created_us,
    )
    # Stored ids are digests of Python's notation of this tuple.
    digest = hashlib.sha256(repr(content).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16]))


def statement_id(
    *,
    subscription_id: str,
    kind: str,
    time_us: int,
    external_customer_id: str | None,
    stated: Iterable[str | int | None],
) -> str:
    """The id of a statement: the first 32 hexadecimal digits of SHA-256 of its JSON.

    `stated` holds the values of the columns that statements say, in the order of
    `revenue/statements.py`. The customer counts by its external id: its number depends on
    which customer came first.
    """
    content = json.dumps([subscription_id, kind, time_us, external_customer_id, *stated])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def state_id(external_customer_id: str | None, stated: Iterable[str | int | None]) -> str:
    """The id of a state of a checkout or a seat: as that of a statement, of other columns.

    `stated` holds the values of all columns but numbers of ours, in the order of the table.
    """
    content = json.dumps([external_customer_id, *stated])
    return hashlib.sha256(content.encode()).hexdigest()[:32]
