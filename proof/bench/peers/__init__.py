"""Other servers of the same work, as a careful developer would write them, to stand beside the product.

All keep the same tables (schema.sql) in a PostgreSQL like the product's, on the same core. Nothing here is a dependency
of the product: what the peers need is installed into the user's cache (installed.py).
"""
