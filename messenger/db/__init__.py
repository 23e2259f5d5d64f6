"""The database: engine and transactions, the schema's migrations, the private PostgreSQL."""
