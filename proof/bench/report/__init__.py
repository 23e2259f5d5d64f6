"""What a run says: medians with their spread, ratios with a verdict, pictures."""
