"""What a model is asked to do: labelled rows, label names, metric."""
