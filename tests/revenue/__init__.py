"""Tests of orders, refunds and subscriptions."""
