"""What blocks cost in milliseconds: measured latency tables, devices, and estimates of boards that are not at hand."""
