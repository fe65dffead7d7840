"""Measures the package against what users would pick instead; see docs/benchmarks.md."""
