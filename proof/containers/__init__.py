"""What the containers promise, tried from outside while people use them: restarts that nobody notices, and kills."""
