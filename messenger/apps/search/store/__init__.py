"""What search asks of the database: documents (searching), how the index is made anew (index), tasks."""
