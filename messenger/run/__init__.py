"""What starts and ends: the commands for people, and one run of each server."""
