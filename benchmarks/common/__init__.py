"""Pages and records, which all benchmarks have."""
