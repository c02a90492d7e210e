"""Reading files of events."""
