"""Self-hosted cost insights: what each customer costs, exact to 10⁻¹² of a cent."""
