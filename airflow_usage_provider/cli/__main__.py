"""``python -m airflow_usage_provider.cli`` is ``usage-archive``."""

import sys

from airflow_usage_provider.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
