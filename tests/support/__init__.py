"""What tests stand on: real databases, running servers, callers."""
