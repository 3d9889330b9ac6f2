"""Latency, throughput, size and memory of the files that ship."""
