"""The HTTP door: the compatible API, every RPC as JSON, and the health checks of containers."""
