"""Customers: their numbers inside an organization, and finding them by name."""

from cost_insights.customers.cache import CustomerCache, CustomerName
from cost_insights.customers.lookup import customer_numbers, parse_uuid
from cost_insights.customers.numbering import NO_LIMITS, DefaultLimits
from cost_insights.customers.reader import CustomerReader, StoredCustomer

__all__ = [
    "NO_LIMITS",
    "CustomerCache",
    "CustomerName",
    "CustomerReader",
    "DefaultLimits",
    "StoredCustomer",
    "customer_numbers",
    "parse_uuid",
]
