"""Charges as rows of FOCUS, the FinOps Open Cost and Usage Specification. The numbered rules are in docs/focus.md.

One mapping, two names: what 1.4 renamed is written under its older name where 1.2 is asked for. No vendor is named
here, and no price, SKU or category is invented that the vendor did not say.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_usage_provider.tables.charges import iter_charges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_usage_provider.archive.objects import Objects
    from airflow_usage_provider.tables.charges import Charge, View

VERSIONS = ("1.4", "1.2")
COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
#: Columns of 1.4 in order, with their types: money, quantity, text, time, count. Ours begin with ``x_``.
COLUMNS: Mapping[str, str] = {
    "BilledCost": "money",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "time",
    "BillingPeriodStart": "time",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "time",
    "ChargePeriodStart": "time",
    "ContractedCost": "money",
    "EffectiveCost": "money",
    "HostProviderName": "text",
    "InvoiceId": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "money",
    "PricingQuantity": "quantity",
    "PricingUnit": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceProviderName": "text",
    "ServiceSubcategory": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "x_ModelId": "text",
    "x_PrincipalId": "text",
    "x_PrincipalKind": "text",
    "x_PrincipalName": "text",
    "x_CredentialId": "text",
    "x_InputTokens": "count",
    "x_OutputTokens": "count",
    "x_CacheReadTokens": "count",
    "x_CacheWriteTokens": "count",
    "x_SnapshotId": "text",
    "x_Revision": "count",
}
_OLDER = {"ServiceProviderName": "ProviderName", "HostProviderName": "PublisherName"}
_TOKENS = {
    "input_tokens": "x_InputTokens",
    "output_tokens": "x_OutputTokens",
    "cache_read_tokens": "x_CacheReadTokens",
    "cache_write_tokens": "x_CacheWriteTokens",
}


def columns_of(spec: str, *, names: bool = False) -> dict[str, str]:
    """
    Return the columns of a version, with their types, sorted as the version names them.

    :param names: whether people's names are among them.
    """
    chosen = {name: kind for name, kind in COLUMNS.items() if names or name != "x_PrincipalName"}
    if spec == "1.2":
        chosen = {_OLDER.get(name, name): kind for name, kind in chosen.items()}
    return dict(sorted(chosen.items(), key=lambda item: item[0].startswith("x_")))


def iter_focus_rows(objects: Objects, view: View, spec: str) -> Iterator[dict[str, Any]]:
    """
    Yield the charges of a view as rows of a version; what is null is left out.

    :raises UnreadableValueError: a cost cannot be read.
    """
    same = _day_columns(view, spec)
    for charge in iter_charges(objects, view):
        yield {**same, **_charge_columns(charge)}


def _charge_columns(charge: Charge) -> dict[str, Any]:
    row = {
        **dict.fromkeys(COSTS, charge.cost),
        "BillingCurrency": charge.currency,
        "ChargeDescription": _describe(charge),
        **_quantity(charge),
        **{column: charge.counts[role] for role, column in _TOKENS.items() if role in charge.counts},
    }
    if charge.model is not None:
        row["x_ModelId"] = charge.model
    if charge.principal is None:
        return row
    row |= {"x_PrincipalId": charge.principal, "x_PrincipalKind": charge.principal_kind}
    row["x_PrincipalName"] = charge.principal_name
    if charge.principal_kind == "api_key":
        row["x_CredentialId"] = charge.principal
    if charge.principal_kind == "project":
        row |= {"SubAccountId": charge.principal, "SubAccountName": charge.principal_name}
    return row


def _day_columns(view: View, spec: str) -> dict[str, Any]:
    """Return what is the same in every row of a day."""
    series, first = view.day.series, view.day.usage_date.replace(day=1)
    host, provider = ("HostProviderName", "ServiceProviderName") if spec != "1.2" else ("PublisherName", "ProviderName")
    return {
        "BillingAccountId": series.account,
        "BillingAccountName": series.account,
        "BillingPeriodStart": datetime.combine(first, time(), UTC),
        "BillingPeriodEnd": datetime.combine((first + timedelta(days=31)).replace(day=1), time(), UTC),
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": view.window.start.astimezone(UTC),
        "ChargePeriodEnd": view.window.end.astimezone(UTC),
        host: series.vendor if spec == "1.2" else "Not Applicable",
        provider: series.vendor,
        "InvoiceIssuerName": series.vendor,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": f"{series.vendor} {view.pot}",
        "ServiceSubcategory": "Generative AI",
        "x_SnapshotId": view.manifest.snapshot_id,
        "x_Revision": view.manifest.revision,
    }


def _quantity(charge: Charge) -> dict[str, Any]:
    """Return what was counted: requests, else tokens, else the day itself."""
    counts = charge.counts
    if "requests" in counts:
        return {"PricingQuantity": Decimal(counts["requests"]), "PricingUnit": "Requests"}
    if "input_tokens" in counts or "output_tokens" in counts:
        tokens = counts.get("input_tokens", 0) + counts.get("output_tokens", 0)
        return {"PricingQuantity": Decimal(tokens), "PricingUnit": "Tokens"}
    return {"PricingQuantity": Decimal(1), "PricingUnit": "Days"}


def _describe(charge: Charge) -> str:
    """Say what was used on which day, in ASCII, as the specification's validator wants text; ids have their columns."""
    what = charge.model or charge.view.day.series.stream
    return f"{what} on {charge.view.day.usage_date}".encode("ascii", "backslashreplace").decode()
