"""Background jobs, each of which runs on one process at a time."""

from cost_insights.jobs.leases import COMPACTION, Lease
from cost_insights.jobs.runner import Job, Runner

__all__ = ["COMPACTION", "Job", "Lease", "Runner"]
