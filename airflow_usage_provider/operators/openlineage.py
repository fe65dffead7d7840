"""What OpenLineage is told of a finished task: the vendor's stream in, the archive's stream out, with its size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_usage_provider.archive.manifest import Manifest


def describe_lineage(bucket: str, prefix: str, manifests: Sequence[Manifest]) -> Any:
    """
    Return the ``OperatorLineage`` of what was archived. Only OpenLineage's own provider calls this, so it is there.

    :param prefix: key prefix of the stream in the archive.
    :param manifests: one for each day; unchanged days wrote no data.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset

    written = [manifest for manifest in manifests if not manifest.unchanged]
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=sum(manifest.rows for manifest in written),
        size=sum(entry.bytes for manifest in written for entry in manifest.files),
        fileCount=sum(len(manifest.files) for manifest in written),
    )
    first = manifests[0]
    return OperatorLineage(
        inputs=[InputDataset(namespace=first.vendor, name=f"{first.account}/{first.stream}")],
        outputs=[OutputDataset(namespace=f"s3://{bucket}", name=prefix, outputFacets={"outputStatistics": statistics})],
    )
