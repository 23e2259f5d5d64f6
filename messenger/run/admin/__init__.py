"""messenger-admin: what an operator does by hand. A file for each command; they share `context` and `people`."""
