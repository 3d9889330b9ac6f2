"""Architectures and their cost, the choice of the units to keep, and the smaller model that results."""
