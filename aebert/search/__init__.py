"""Search of architectures under a budget."""
