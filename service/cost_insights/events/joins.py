"""The rows of other tables that belong to an event."""

from cost_insights.store.schema import customer, event, series

OF_SERIES = (series.c.organization_number == event.c.organization_number) & (
    series.c.number == event.c.series_number
)
"""Joins an event with its series."""

OF_CUSTOMER = (customer.c.organization_number == event.c.organization_number) & (
    customer.c.number == event.c.customer_number
)
"""Joins an event with its customer."""
