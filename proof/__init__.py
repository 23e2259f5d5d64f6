"""What shows that the product keeps its promises, and how fast: a laboratory, the torture, the bench."""
