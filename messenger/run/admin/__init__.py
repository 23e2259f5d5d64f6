"""messenger-admin: the commands of an operator, one file each. They share `context` and `people`."""
