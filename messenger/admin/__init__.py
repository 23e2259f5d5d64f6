"""messenger-admin: what an operator does by hand. One file per command; what they share is in `house` and `people`."""
