"""What the service says of itself in its log."""

from cost_insights.logs.repeated import RepeatedLines

__all__ = ["RepeatedLines"]
