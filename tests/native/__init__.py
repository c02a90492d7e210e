"""Tests of `cost_insights._native`: vectors shared with Rust, and the slow twin."""
