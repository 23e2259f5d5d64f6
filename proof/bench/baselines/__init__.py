"""The baselines beside the figures: the same work with one part taken away, measured in the same minutes."""
