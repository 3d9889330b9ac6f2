"""Measuring any models against each other, on this machine or over ssh."""
