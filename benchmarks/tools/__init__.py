"""The contenders. Each module is one process: it imports, then works, then prints what it saw of itself."""
