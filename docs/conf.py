"""The documentation as a site: ``make docs``. The pages are Markdown, and read as well without it."""

from __future__ import annotations

from airflow_usage_provider import __version__

project = "airflow-usage-provider"
author = "the authors of airflow-usage-provider"
copyright = author  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["benchmarks/*"]
suppress_warnings = ["misc.highlighting_failure"]  # SQL of engines that the highlighter does not know
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}  # nothing is fetched while the pages are made

html_theme = "furo"
html_title = f"airflow-usage-provider {release}"
html_static_path: list[str] = []
