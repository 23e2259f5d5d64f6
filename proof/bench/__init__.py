"""What holds the claims of this product against the real thing: processes, crowds, torture, load."""
