"""The HTTP door: the compatible API, every RPC as JSON, and what containers ask."""
