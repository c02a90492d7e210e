"""Metrics: what was spent, earned and kept, per period."""

from cost_insights.metrics.answer import (
    Answer,
    Group,
    Numbers,
    Unattributed,
)
from cost_insights.metrics.dashboards import Dashboard, DashboardChange, Dashboards
from cost_insights.metrics.definitions import METRICS, Metric, MetricType
from cost_insights.metrics.exports.writer import ExportFormat, MetricsExporter
from cost_insights.metrics.limits import LIMITS, NUMBERS_MAX, SUGGESTED_DATE_MIN
from cost_insights.metrics.periods import Interval
from cost_insights.metrics.question import GroupBy, MetricsQuestion, checked_question
from cost_insights.metrics.reader import MetricsReader
from cost_insights.metrics.sources.facts import Total
from cost_insights.metrics.sources.ledger_cache import LedgerCache
from cost_insights.metrics.sources.snapshot import Caches

__all__ = [
    "LIMITS",
    "METRICS",
    "NUMBERS_MAX",
    "SUGGESTED_DATE_MIN",
    "Answer",
    "Caches",
    "Dashboard",
    "DashboardChange",
    "Dashboards",
    "ExportFormat",
    "Group",
    "GroupBy",
    "Interval",
    "LedgerCache",
    "Metric",
    "MetricType",
    "MetricsExporter",
    "MetricsQuestion",
    "MetricsReader",
    "Numbers",
    "Total",
    "Unattributed",
    "checked_question",
]
