"""Tests of the gRPC door, on both databases."""
