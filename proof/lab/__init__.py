"""Real processes, people outside of them, and proxies between: what tests, torture and bench stand on."""
