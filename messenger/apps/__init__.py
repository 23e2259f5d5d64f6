"""One folder per sub-app: the tree is the feature list."""
