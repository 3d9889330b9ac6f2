"""Encoder families: the only place that knows module names."""
