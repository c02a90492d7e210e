"""The messages and services of cost_insights.v1, generated from proto/."""
