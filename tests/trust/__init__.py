"""Attacks on a running service, and what must hold under them."""
