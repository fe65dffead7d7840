"""Keywords AI and Langdock as one small HTTP server, for the demo, tests and benchmarks.

The sandbox imports nothing from the provider package: what it does, it does from the vendors' documentation alone.
"""
