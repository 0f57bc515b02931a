"""Aisle on one machine, without a container: database, cache and the product's processes."""
