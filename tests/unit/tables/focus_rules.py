"""What FOCUS demands of each column, 1.2 and 1.4: our own table, where the official validator knows only 1.2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

CATEGORIES = {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
NEVER_NULL = {
    "BilledCost": Decimal,
    "EffectiveCost": Decimal,
    "ListCost": Decimal,
    "ContractedCost": Decimal,
    "BillingAccountId": str,
    "BillingCurrency": str,
    "ChargeCategory": str,
    "InvoiceIssuerName": str,
    "ServiceCategory": str,
    "ServiceName": str,
    "BillingPeriodStart": datetime,
    "BillingPeriodEnd": datetime,
    "ChargePeriodStart": datetime,
    "ChargePeriodEnd": datetime,
}
OF_VERSION = {"1.2": ("ProviderName", "PublisherName"), "1.4": ("ServiceProviderName", "HostProviderName")}
NULLABLE = ("BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit")


def find_violations(row: Mapping[str, Any], spec: str) -> Iterator[str]:
    """Say what is wrong with a row."""
    required = NEVER_NULL | dict.fromkeys(OF_VERSION[spec], str)
    for name, kind in required.items():
        if not isinstance(row.get(name), kind) or row[name] == "":
            yield f"{name} is {row.get(name)!r}"
    for name in {*NULLABLE, *required} - set(row):
        yield f"{name} is missing"
    for name in (name for version, names in OF_VERSION.items() if version != spec for name in names):
        if name in row:
            yield f"{name} is of another version"
    for name, value in row.items():
        if isinstance(value, datetime) and value.utcoffset() != UTC.utcoffset(None):
            yield f"{name} is not UTC"
        if isinstance(value, float):
            yield f"{name} is a binary fraction"
        if not (name[0].isupper() or name.startswith("x_")):
            yield f"{name} is no column name"
    if row.get("ChargeCategory") not in CATEGORIES:
        yield "ChargeCategory"
    if row.get("ChargeClass") not in (None, "Correction"):
        yield "ChargeClass"
    if (row.get("PricingQuantity") is None) != (row.get("PricingUnit") is None):
        yield "PricingUnit is null exactly when PricingQuantity is"
    if row.get("ChargeCategory") == "Usage" and row.get("PricingQuantity") is None:
        yield "PricingQuantity of usage is null"
    if not (len(row["BillingCurrency"]) == 3 and row["BillingCurrency"].isupper()):
        yield "BillingCurrency"
    for period in ("Billing", "Charge"):
        if not row[f"{period}PeriodStart"] < row[f"{period}PeriodEnd"]:
            yield f"{period}Period"
    for name in ("SkuId", "SkuPriceId", "ListUnitPrice", "ContractedUnitPrice", "ConsumedQuantity"):
        if name in row:
            yield f"{name} is invented"
