"""Tests of reading and sending files."""
