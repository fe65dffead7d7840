"""The pages of the UI by themselves, as Airflow's API server mounts them; who may see them is not asked."""

from __future__ import annotations

import socket

import uvicorn

from airflow_usage_provider.ui.app import build_app


def main() -> None:
    """Print the port, then serve for ever."""
    app = build_app(require=lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


main()
