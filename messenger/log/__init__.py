"""The ordered log: what happened, in one order, for everybody who may know of it.

The database is the truth; what this room keeps in memory is only where this process stands in it.
"""
