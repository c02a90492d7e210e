"""Files of events, read line by line."""
