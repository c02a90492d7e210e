"""Metrics: what was spent, earned and kept, per period."""

from cost_insights.metrics.answer import (
    MetricsAnswer,
    MetricsGroup,
    MetricsNumbers,
    UnattributedCosts,
)
from cost_insights.metrics.export import ExportFormat, MetricsExporter
from cost_insights.metrics.facts import Total
from cost_insights.metrics.limits import LIMITS, SUGGESTED_DATE_MIN
from cost_insights.metrics.periods import Interval
from cost_insights.metrics.query import MetricsReader
from cost_insights.metrics.question import GroupBy, MetricsQuestion, question
from cost_insights.metrics.slugs import METRICS, Metric, MetricType

__all__ = [
    "LIMITS",
    "METRICS",
    "SUGGESTED_DATE_MIN",
    "ExportFormat",
    "GroupBy",
    "Interval",
    "Metric",
    "MetricType",
    "MetricsAnswer",
    "MetricsExporter",
    "MetricsGroup",
    "MetricsNumbers",
    "MetricsQuestion",
    "MetricsReader",
    "Total",
    "UnattributedCosts",
    "question",
]
