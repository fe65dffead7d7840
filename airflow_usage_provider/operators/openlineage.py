"""What OpenLineage is told of a finished task: the vendor's stream in, the archive's stream out, with its size.

Datasets are named by OpenLineage's rules: a namespace that says system and host, and a name within it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_usage_provider.archive.keys import ArchiveLocation, Series
    from airflow_usage_provider.archive.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """
    What a task archived of one stream. Small and without a secret: OpenLineage may write all that an operator holds.

    :param endpoint: namespace of the vendor's streams: ``langdock://api.langdock.com``.
    :param stream: name of the stream there: ``acme/api_keys``.
    :param bucket: where the archive is.
    :param prefix: key prefix of the stream in the archive.
    :param rows: records in the parts that were written; unchanged days wrote none.
    :param size: bytes of these parts.
    :param files: number of these parts.
    """

    endpoint: str
    stream: str
    bucket: str
    prefix: str
    rows: int
    size: int
    files: int

    @classmethod
    def of(cls, series: Series, base_url: str, location: ArchiveLocation, manifests: Sequence[Manifest]) -> Self:
        """
        Sum up what was archived.

        :param base_url: of the vendor's API; empty if nobody knows it.
        :param manifests: one for each day.
        """
        host = urlsplit(base_url).netloc
        written = [manifest for manifest in manifests if not manifest.unchanged]
        return cls(
            endpoint=f"{series.vendor}://{host}" if host else series.vendor,
            stream=f"{series.account}/{series.stream}",
            bucket=location.bucket,
            prefix=series.prefix(location),
            rows=sum(manifest.rows for manifest in written),
            size=sum(entry.bytes for manifest in written for entry in manifest.files),
            files=sum(len(manifest.files) for manifest in written),
        )

    def describe(self) -> Any:
        """Return the ``OperatorLineage``. Only OpenLineage's own provider calls this, so it is there."""
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import InputDataset, OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset as facet

        statistics = facet.OutputStatisticsOutputDatasetFacet(rowCount=self.rows, size=self.size, fileCount=self.files)
        return OperatorLineage(
            inputs=[InputDataset(namespace=self.endpoint, name=self.stream)],
            outputs=[
                OutputDataset(
                    namespace=f"s3://{self.bucket}", name=self.prefix, outputFacets={"outputStatistics": statistics}
                )
            ],
        )
