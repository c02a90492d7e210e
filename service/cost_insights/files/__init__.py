"""Files of events: reading them, and sending them to a service."""
