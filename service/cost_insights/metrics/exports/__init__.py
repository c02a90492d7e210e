"""Exports of answers and of costs in full detail, as lines of text."""
