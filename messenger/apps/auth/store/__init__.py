"""The statements: one function, one statement. Moments are the database's, so the clocks of workers do not matter."""
