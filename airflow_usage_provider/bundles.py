"""The packaged DAGs as a DAG bundle: what pip installed is what Airflow parses."""

from __future__ import annotations

from pathlib import Path

from airflow.dag_processing.bundles.base import BaseDagBundle

_PACKAGE = Path(__file__).parent


class UsageDagBundle(BaseDagBundle):
    """
    Serves the DAGs of the installed package.

    Add it to ``[dag_processor] dag_bundle_config_list`` beside the bundles that are there, on every component.
    """

    supports_versioning = False

    @property
    def path(self) -> Path:
        """Folder of the DAG files; in a source checkout, the one beside the package."""
        packaged = _PACKAGE / "dags"
        return packaged if packaged.is_dir() else _PACKAGE.parent / "dags"

    def get_current_version(self) -> None:
        """There is none: the package's version is the DAGs' version."""

    def refresh(self) -> None:
        """Nothing to do: the files change when pip changes them."""
