"""Torture: the real product under seeded faults, journals kept outside of it, and checkers that read nothing else."""
