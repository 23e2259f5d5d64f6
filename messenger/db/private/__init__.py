"""The PostgreSQL of our own: found, started, shared by several servers, and ended by its keeper."""
