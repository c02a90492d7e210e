"""Answers, and costs in full detail, written as lines of text."""
