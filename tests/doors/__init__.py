"""Tests of the doors over real sockets."""
