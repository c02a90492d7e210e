"""The tables, the same on SQLite and PostgreSQL.

Times are microseconds since 1970 in UTC, amounts are picocents (10⁻¹² of a
cent), both as integers of 64 bits or more; a sum is never stored in a column that
could round it. Customers and series carry a small dense `number` inside their
organization, so that an event names them in four bytes each.

A key begins with what a distributed PostgreSQL can shard on: `event` is spread
by `id`, everything else is small. For the same reason, and because the numbers
of an event come from the transaction that stores it, `event` has no foreign keys.
"""

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql


class BinaryUuid(sa.TypeDecorator[uuid.UUID]):
    """A UUID: `uuid` on PostgreSQL, 16 bytes on SQLite."""

    impl = sa.LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(sa.LargeBinary(16))

    def process_bind_param(self, value: uuid.UUID | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return value.bytes

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> uuid.UUID | None:
        if value is None or isinstance(value, uuid.UUID):
            return value
        return uuid.UUID(bytes=value)


class WideInteger(sa.TypeDecorator[int]):
    """An integer of more than 64 bits: `numeric` on PostgreSQL, decimal digits on SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.Numeric(38, 0))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return str(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value)


Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text that is compared and ordered by its code points, whatever the locale of the database."""

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

organization = sa.Table(
    "organization",
    metadata,
    sa.Column("number", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("id", BinaryUuid, nullable=False, unique=True),
    sa.Column("name", Key, nullable=False, unique=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    # The next number of each kind. Whoever needs a new one locks this row until
    # the end of the transaction, so that numbers are dense.
    sa.Column("customers_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("series_count", sa.Integer, nullable=False, server_default="0"),
    # The last number that was given to a record of revenue.
    sa.Column("records_count", sa.BigInteger, nullable=False, server_default="0"),
    # Events before this time were pruned and live on in cells; none were where null.
    sa.Column("events_from_us", sa.BigInteger),
    # What all tokens together may send; the default of the service where null, no limit where 0.
    sa.Column("events_per_second", sa.Integer),
    sa.Column("requests_per_second", sa.Integer),
    # The number of customers, likewise.
    sa.Column("customers_max", sa.Integer),
    # The number of series that cells tell apart, likewise.
    sa.Column("series_max", sa.Integer),
    # The series in whose cells those beyond the limit are counted; there are none where null.
    # Their own numbers are -1, -2 and so on, of which so many were given out.
    sa.Column("other_series", sa.Integer),
    sa.Column("folded_count", sa.Integer, nullable=False, server_default="0"),
    # Whether cells hold the tokens of all events: those that earlier versions have stored are
    # counted in the background.
    sa.Column("tokens_counted", sa.Boolean, nullable=False, server_default=sa.false()),
)
"""The tenants; every other row belongs to one."""

access_token = sa.Table(
    "access_token",
    metadata,
    sa.Column("id", BinaryUuid, primary_key=True),
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), nullable=False
    ),
    sa.Column("token_sha256", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("hint", sa.Text, nullable=False),  # its last four characters
    sa.Column("scopes", sa.Text, nullable=False),  # sorted, with blanks between
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger),  # never where null
    sa.Column("revoked_us", sa.BigInteger),
    # To about a minute; never where null.
    sa.Column("last_used_us", sa.BigInteger),
    # The subject of the client certificate that it is, whose hash stands in place of that of a
    # secret; it has a secret where null.
    sa.Column("certificate", sa.Text),
    # What callers may send with it; no limit of its own where null.
    sa.Column("events_per_second", sa.Integer),
    sa.Column("requests_per_second", sa.Integer),
)
"""The tokens, secrets or certificates, with which clients act as an organization; only a hash is
stored."""

secret = sa.Table(
    "secret",
    metadata,
    sa.Column("name", Key, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
"""Random bytes that all processes on the database share and nobody else knows. Migrations make
them; `page_tokens` authenticates page tokens."""

customer = sa.Table(
    "customer",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", BinaryUuid, nullable=False, unique=True),
    sa.Column("external_id", Key, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("organization_number", "external_id"),
)
"""The customers who cause costs."""

series = sa.Table(
    "series",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # Absent parts are empty, not null, so that the unique constraint holds.
    sa.Column("event_name", Key, nullable=False),
    sa.Column("llm_vendor", Key, nullable=False),
    sa.Column("llm_model", Key, nullable=False),
    sa.Column("product_id", Key, nullable=False),
    sa.UniqueConstraint(
        "organization_number",
        "event_name",
        "llm_vendor",
        "llm_model",
        "product_id",
        name="series_parts_key",
    ),
)
"""The distinct (event name, LLM vendor, LLM model, product id)."""

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", BinaryUuid, primary_key=True),
    sa.Column("organization_number", sa.Integer, nullable=False),
    sa.Column("series_number", sa.Integer, nullable=False),
    sa.Column("customer_number", sa.Integer, nullable=False),
    sa.Column("timestamp_us", sa.BigInteger, nullable=False),
    sa.Column("cost_picocents", sa.BigInteger),  # no cost where null
    sa.Column("content_digest", sa.BigInteger, nullable=False),  # 0 without external_id
    sa.Column("parent_id", BinaryUuid),
    sa.Column("external_id", Key),
    sa.Column("external_member_id", sa.Text),
    sa.Column("llm", sa.JSON),
    sa.Column("metadata", sa.JSON, nullable=False),
    # CRC-32 of the other columns, as native computes it; of rows that earlier versions stored
    # there is none.
    sa.Column("checksum", sa.Integer),
    # A Bloom filter of the members of the metadata, as native computes it; likewise.
    sa.Column("metadata_signature", sa.BigInteger),
    # With the numbers and the signature, so that of a time only the events of a customer or of a
    # name, or those that may hold a member, are read. An index of customers or names would find
    # them too, but in it each new event has another place.
    sa.Index(
        "event_organization_number_timestamp_us_signature_idx",
        "organization_number",
        "timestamp_us",
        "customer_number",
        "series_number",
        "metadata_signature",
    ),
    # Only of events with a parent: all others cost nothing.
    sa.Index(
        "event_parent_id_idx",
        "parent_id",
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    ),
)
"""The events. Rows never change; pruning deletes old ones."""

event_type = sa.Table(
    "event_type",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("event_name", Key, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("label_property", sa.Text, nullable=False),  # none where empty
    sa.Column("modified_us", sa.BigInteger, nullable=False),
)
"""The labels of names of events, of those names that a caller gave one."""

metric_dashboard = sa.Table(
    "metric_dashboard",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("id", BinaryUuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),  # an array of slugs
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("modified_us", sa.BigInteger),  # never where null
)
"""Named lists of metrics that callers saved."""

pruned_event = sa.Table(
    "pruned_event",
    metadata,
    sa.Column("id", BinaryUuid, primary_key=True),
    sa.Column("content_digest", sa.BigInteger, nullable=False),
)
"""The ids of pruned events that could be sent again: each must count once."""

batch = sa.Table(
    "batch",
    metadata,
    sa.Column("organization_number", sa.Integer, primary_key=True),
    # Random, so that no id is ever used again: what a process caches by id stays valid. The first 8
    # bytes are those of the commit.
    sa.Column("id", BinaryUuid, primary_key=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),
    # The cells of the tokens of these events; there are none where null.
    sa.Column("tokens", sa.LargeBinary),
)
"""The cells of the events of one commit, until they are compacted."""

compaction = sa.Table(
    "compaction",
    metadata,
    sa.Column("id", BinaryUuid, primary_key=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    # The first 8 bytes of the id of each batch, which the batches of one commit share.
    sa.Column("commits", sa.LargeBinary, nullable=False),
)
"""The compactions of the last minutes: whoever lost the answer to a commit finds it in `batch`, or
here where its batch was compacted since."""

segment = sa.Table(
    "segment",
    metadata,
    sa.Column("organization_number", sa.Integer, primary_key=True),
    sa.Column("id", BinaryUuid, primary_key=True),  # random, as that of a batch
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("span", sa.Integer, nullable=False),
    sa.Column("customer_first", sa.Integer, nullable=False),
    sa.Column("customer_last", sa.Integer, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    # The customers are at its end so that of a month's hundreds of segments only those
    # of the customers that are asked for are looked at.
    sa.Index(
        "segment_organization_number_kind_span_customers_idx",
        "organization_number",
        "kind",
        "span",
        "customer_first",
        "customer_last",
    ),
)
"""The cells of all compacted batches, by kind, span of time and range of customers.

Rows never change: a segment that grows is replaced by one of another id. Of one kind,
span and range there may be several, which add up.
"""

# "order" would have to be quoted in plain SQL.
paid_order = sa.Table(
    "paid_order",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("order_id", Key, primary_key=True),
    sa.Column("customer_number", sa.Integer, nullable=False),
    # Absent texts are empty, here and below.
    sa.Column("product_id", Key, nullable=False),
    sa.Column("billing_type", sa.Text, nullable=False),  # one_time or recurring
    sa.Column("subscription_id", Key, nullable=False),
    # Amounts are in the currency, but for fees, which are always in usd. What an
    # amount is in usd stands beside it, rounded half-even: databases round otherwise.
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),  # times 10¹²
    sa.Column("net_picocents", WideInteger, nullable=False),
    sa.Column("net_usd_picocents", WideInteger, nullable=False),
    sa.Column("applied_balance_picocents", WideInteger, nullable=False),
    sa.Column("applied_balance_usd_picocents", WideInteger, nullable=False),
    sa.Column("fee_picocents", WideInteger, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("paid_us", sa.BigInteger, nullable=False),
    sa.Index(
        "paid_order_organization_number_created_us_order_id_idx",
        "organization_number",
        "created_us",
        "order_id",
    ),
    sa.Index(
        "paid_order_customer_number_created_us_order_id_idx",
        "organization_number",
        "customer_number",
        "created_us",
        "order_id",
    ),
)
"""Paid orders. Rows are only added, and completed if an order arrives in parts."""

order_part = sa.Table(
    "order_part",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("order_id", Key, primary_key=True),
    # The system event that it came by: order.paid, balance.order or balance.credit_order.
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("customer_number", sa.Integer, nullable=False),
    # A value that a part does not say is empty, 0 or false.
    sa.Column("product_id", Key, nullable=False),
    sa.Column("billing_type", sa.Text, nullable=False),
    sa.Column("subscription_id", Key, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),
    sa.Column("amount_picocents", WideInteger, nullable=False),
    # Whether what settled a debt is already taken off the amount.
    sa.Column("is_net", sa.Boolean, nullable=False),
    sa.Column("applied_balance_picocents", WideInteger, nullable=False),
    sa.Column("fee_picocents", WideInteger, nullable=False),
    sa.Column("time_us", sa.BigInteger, nullable=False),
)
"""The parts of orders that system events told; the row of `paid_order` follows from them. Orders
that were recorded whole have none. Rows are only ever added."""

refund = sa.Table(
    "refund",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("refund_id", Key, primary_key=True),
    # One of refund, refund_reversal, dispute and dispute_reversal.
    sa.Column("kind", sa.Text, nullable=False),
    # May be recorded later, so it is no foreign key. Its time, customer and
    # product are the refund's, once it is there.
    sa.Column("order_id", Key, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),  # times 10¹²
    sa.Column("amount_picocents", WideInteger, nullable=False),  # never negative
    # The amount that the refund adds to revenue: negative for a refund and a dispute.
    sa.Column("adjustment_usd_picocents", WideInteger, nullable=False),
    sa.Column("fee_picocents", WideInteger, nullable=False),  # in usd
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Index(
        "refund_organization_number_created_us_refund_id_idx",
        "organization_number",
        "created_us",
        "refund_id",
    ),
    sa.Index("refund_organization_number_order_id_idx", "organization_number", "order_id"),
)
"""Refunds, disputes and their reversals. Rows are only added."""

subscription = sa.Table(
    "subscription",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("subscription_id", Key, primary_key=True),
    sa.Column("customer_number", sa.Integer, nullable=False),
    sa.Column("product_id", Key, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("amount_picocents", WideInteger, nullable=False),
    sa.Column("recurring_interval", sa.Text, nullable=False),  # day, week, month or year
    sa.Column("recurring_interval_count", sa.Integer, nullable=False),
    sa.Column("started_us", sa.BigInteger, nullable=False),
    sa.Column("trial_end_us", sa.BigInteger),  # no trial where null
    sa.Column("canceled_us", sa.BigInteger),  # never where null, here and below
    sa.Column("cancel_reason", sa.Text, nullable=False),
    sa.Column("uncanceled_us", sa.BigInteger),
    sa.Column("ends_us", sa.BigInteger),
    sa.Column("ended_us", sa.BigInteger),
    sa.Column("update_us", sa.BigInteger, nullable=False),
    # The number of this state, in one sequence with the ledger: a reader who has read up to
    # a number finds everything newer behind it.
    sa.Column("record_number", sa.BigInteger, nullable=False),
    sa.Index(
        "subscription_organization_number_started_us_subscription_id_idx",
        "organization_number",
        "started_us",
        "subscription_id",
    ),
    sa.Index(
        "subscription_organization_number_record_number_idx",
        "organization_number",
        "record_number",
    ),
)
"""The state of each subscription, which follows from its statements; a new state replaces the
row."""

subscription_statement = sa.Table(
    "subscription_statement",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    # A digest of all that follows, so that what is sent again is known.
    sa.Column("statement_id", Key, primary_key=True),
    sa.Column("subscription_id", Key, nullable=False),
    # state, or the system event that it came by.
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("time_us", sa.BigInteger, nullable=False),
    # As above; what a statement does not say is null.
    sa.Column("customer_number", sa.Integer),
    sa.Column("product_id", Key),
    sa.Column("currency", sa.Text),
    sa.Column("amount_picocents", WideInteger),
    sa.Column("recurring_interval", sa.Text),
    sa.Column("recurring_interval_count", sa.Integer),
    sa.Column("started_us", sa.BigInteger),
    sa.Column("trial_end_us", sa.BigInteger),
    sa.Column("canceled_us", sa.BigInteger),
    sa.Column("cancel_reason", sa.Text),
    sa.Column("uncanceled_us", sa.BigInteger),
    sa.Column("ends_us", sa.BigInteger),
    sa.Column("ended_us", sa.BigInteger),
    sa.Index(
        "subscription_statement_kind_time_us_statement_id_idx",
        "organization_number",
        "subscription_id",
        "kind",
        "time_us",
        "statement_id",
    ),
)
"""Statements of subscriptions, each a state or a change. Rows are only added."""

checkout = sa.Table(
    "checkout",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("checkout_id", Key, primary_key=True),
    sa.Column("customer_number", sa.Integer, nullable=False),  # -1 without a customer
    sa.Column("product_id", Key, nullable=False),
    sa.Column("billing_type", sa.Text, nullable=False),  # one_time, recurring or empty
    # open, confirmed, expired, failed or succeeded
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("opened_us", sa.BigInteger),
    # The time at which it counts; null where it does not.
    sa.Column("counted_us", sa.BigInteger),
    sa.Column("update_us", sa.BigInteger, nullable=False),
    # A digest of the state, which tells states of one time apart.
    sa.Column("state_id", sa.Text, nullable=False),
    sa.Column("record_number", sa.BigInteger, nullable=False),  # as that of a subscription
    sa.Index(
        "checkout_organization_number_created_us_checkout_id_idx",
        "organization_number",
        "created_us",
        "checkout_id",
    ),
    sa.Index(
        "checkout_organization_number_record_number_idx",
        "organization_number",
        "record_number",
    ),
)
"""The latest state of each checkout; a later state replaces the row."""

seat = sa.Table(
    "seat",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    sa.Column("seat_id", Key, primary_key=True),
    sa.Column("customer_number", sa.Integer, nullable=False),  # of who pays
    # One of the two is empty.
    sa.Column("subscription_id", Key, nullable=False),
    sa.Column("order_id", Key, nullable=False),
    sa.Column("product_id", Key, nullable=False),
    sa.Column("billing_type", sa.Text, nullable=False),  # one_time or recurring
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("claimed_us", sa.BigInteger),
    sa.Column("revoked_us", sa.BigInteger),
    sa.Column("update_us", sa.BigInteger, nullable=False),
    sa.Column("state_id", sa.Text, nullable=False),  # as that of a checkout
    sa.Column("record_number", sa.BigInteger, nullable=False),
    sa.Index(
        "seat_organization_number_created_us_seat_id_idx",
        "organization_number",
        "created_us",
        "seat_id",
    ),
    sa.Index(
        "seat_organization_number_record_number_idx",
        "organization_number",
        "record_number",
    ),
)
"""The latest state of each seat; a later state replaces the row."""

ledger_entry = sa.Table(
    "ledger_entry",
    metadata,
    sa.Column(
        "organization_number", sa.Integer, sa.ForeignKey("organization.number"), primary_key=True
    ),
    # From 1, without gaps, in the order of commits: the number is taken from the row
    # of the organization, which stays locked until then.
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    # The time of revenue and net revenue, and that of the three below it.
    sa.Column("revenue_us", sa.BigInteger, nullable=False),
    sa.Column("order_us", sa.BigInteger, nullable=False),
    sa.Column("customer_number", sa.Integer, nullable=False),  # -1 where it is not known
    sa.Column("product_id", Key, nullable=False),
    sa.Column("billing_type", sa.Text, nullable=False),
    sa.Column("subscription_id", Key, nullable=False),
    # The currency and rate of the order; meaningless where `orders` is 0.
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("exchange_rate_e12", sa.BigInteger, nullable=False),
    # All in usd.
    sa.Column("revenue_picocents", WideInteger, nullable=False),
    sa.Column("net_revenue_picocents", WideInteger, nullable=False),
    sa.Column("records", sa.SmallInteger, nullable=False),  # 1, or -1 to take one back
    sa.Column("orders", sa.SmallInteger, nullable=False),  # likewise, or 0
    sa.Column("order_revenue_picocents", WideInteger, nullable=False),
    sa.Column("order_net_revenue_picocents", WideInteger, nullable=False),
)
"""The amounts that orders and refunds add to metrics. Rows are only ever added: a change adds a
negative row, so that sums of rows are always right."""
