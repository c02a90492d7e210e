"""Tests with clients that others have written."""
