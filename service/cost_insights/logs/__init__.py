"""The log of the service: its lines, how they are written, and which are left out."""

from cost_insights.logs.repeated import RepeatedLines

__all__ = ["RepeatedLines"]
