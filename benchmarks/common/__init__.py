"""What benchmarks share: arguments, tables, records."""
