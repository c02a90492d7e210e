"""The operations of the compatible API: requests of HTTP in, JSON out, and nothing of HTTP itself.

Its paths, parameters and shapes are those that the published SDKs of that API send and accept.
"""

from cost_insights.api.compatible.calls import CompatibleParts, compatible_calls
from cost_insights.api.compatible.endpoints import (
    ENDPOINTS,
    CompatibleAnswer,
    CompatibleCall,
    CompatibleRequest,
    Endpoint,
)

__all__ = [
    "ENDPOINTS",
    "CompatibleAnswer",
    "CompatibleCall",
    "CompatibleParts",
    "CompatibleRequest",
    "Endpoint",
    "compatible_calls",
]
