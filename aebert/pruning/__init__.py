"""Architectures, their cost, which units to keep, and the smaller model that results."""
