"""Tests of periods and metrics."""
