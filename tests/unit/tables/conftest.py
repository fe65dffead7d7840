"""Tables are an extra: without pyarrow there is nothing to test."""

from importlib.util import find_spec

if find_spec("pyarrow") is None:
    collect_ignore_glob = ["test_*.py"]
