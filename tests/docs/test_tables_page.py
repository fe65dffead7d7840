"""Every Python block of docs/tables.md is run on the example's tables; Spark's where PySpark is."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from blocks import ROOT, Block, find_blocks

from airflow_usage_provider.archive.catalog import Selection
from airflow_usage_provider.archive.objects import FolderObjects
from airflow_usage_provider.tables.athena import write_athena

PAGE = "docs/tables.md"
OWN_NAME = "s3://company-llm-usage/archive/"
SPEND = {"acme": Decimal("1.62000049"), "eu/beta": Decimal("2.00")}
ENGINES = {"pandas": "import pandas", "polars": "import polars", "pyarrow": "import pyarrow", "spark": "spark.read"}
READ = {
    "pandas": lambda spend: dict(spend.items()),
    "polars": lambda spend: dict(spend.iter_rows()),
    "pyarrow": lambda spend: dict(
        zip(spend["account"].to_pylist(), spend["total_cost_usd_sum"].to_pylist(), strict=True)
    ),
    "spark": lambda spend: {row["account"]: row["cost"] for row in spend.collect()},
}


def find_block(engine: str) -> Block:
    (block,) = [block for block in find_blocks("python") if block.page == PAGE and ENGINES[engine] in block.code]
    return block


def run(block: Block, folder: Path, **names: Any) -> Any:
    exec(block.code.replace(OWN_NAME, f"{folder}/"), names)
    return names["spend"]


def test_every_python_block_of_the_page_is_run_here():
    assert sum(block.page == PAGE for block in find_blocks("python")) == len(READ)


@pytest.mark.parametrize("engine", ["pandas", "polars", "pyarrow"])
def test_an_engine_adds_up_what_the_archive_holds(engine, synced_folder):
    pytest.importorskip(engine)
    assert READ[engine](run(find_block(engine), synced_folder)) == SPEND


def test_spark_adds_up_what_the_archive_holds(synced_folder):
    pyspark = pytest.importorskip("pyspark.sql")
    spark = pyspark.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        assert READ["spark"](run(find_block("spark"), synced_folder, spark=spark)) == SPEND
    finally:
        spark.stop()


def test_athenas_statement_on_the_page_is_the_one_the_command_prints(synced_folder):
    statements = write_athena(FolderObjects(synced_folder), Selection(), f"{OWN_NAME}tables")
    (agents,) = [each for each in statements if each.startswith("CREATE EXTERNAL TABLE `langdock_agents` (")]
    begin, end = (ROOT / PAGE).read_text().partition("CREATE EXTERNAL TABLE `langdock_agents`")[2].split("  …\n")
    assert agents.startswith("CREATE EXTERNAL TABLE `langdock_agents`" + begin)
    assert agents.endswith(end.partition("\n```")[0])
