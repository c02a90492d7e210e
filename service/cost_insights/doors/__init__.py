"""Doors: the protocols by which callers reach the service. They hold no logic of their own."""
