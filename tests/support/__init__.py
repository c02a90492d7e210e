"""The foundation of tests: real databases, running servers, callers."""
