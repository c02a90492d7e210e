"""Placeholder."""

import sqlalchemy as sa

from cost_insights._native import Ledger


class Ledgers:
    def current(self, connection: sa.Connection, organization_number: int) -> Ledger:
        raise NotImplementedError
