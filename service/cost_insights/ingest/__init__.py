"""Events on their way in."""

from cost_insights.ingest.compactor import Compactor
from cost_insights.ingest.ingestor import Ingested, Ingestor
from cost_insights.ingest.stream import Acknowledgement, EventStream

__all__ = ["Acknowledgement", "Compactor", "EventStream", "Ingested", "Ingestor"]
