"""Ways in. Doors decode, authenticate, call and encode; they hold no logic."""
