"""The image, built for real and run as an orchestrator would run it."""
