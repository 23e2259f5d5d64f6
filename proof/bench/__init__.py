"""The load: what the product does in a second and what it costs, beside baselines of the same minutes."""
