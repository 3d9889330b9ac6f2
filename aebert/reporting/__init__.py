"""Pareto fronts as tables, CSV, PNG and HTML."""
