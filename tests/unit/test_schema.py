"""What a stream's columns mean is said once, refused where it does not hold together, and read without a guess."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_usage_provider.exceptions import ConfigurationError
from airflow_usage_provider.schema import KINDS, StreamSchema, parse_value, value_at
from airflow_usage_provider.vendors.keywordsai.schemas import users_schema
from airflow_usage_provider.vendors.langdock.schemas import export_schema
from airflow_usage_provider.vendors.schemas import find_schema

COLUMNS = {"id": "text", "cost": "money", "currency": "text", "n": "count", "when": "time", "amount.value": "money"}
COST = {"cost": "cost", "currency": "USD"}


@pytest.mark.parametrize(
    ("identity", "columns", "roles", "message"),
    [
        ("id", COLUMNS, {}, r"identity is the text 'id'.*\('id',\)"),
        (5, COLUMNS, {}, "identity is 5"),
        (("id", "id"), COLUMNS, {}, "each once"),
        (("key",), COLUMNS, {}, "identity names 'key', which is no column"),
        ((7,), COLUMNS, {}, "identity is"),
        (([],), COLUMNS, {}, "identity is"),
        ((), ["id"], {}, "columns is"),
        ((), {"": "text"}, {}, "strings that are not empty"),
        ((), {"id": None}, {}, "strings that are not empty"),
        ((), {"id": "string"}, {}, "column 'id' is of kind 'string', which does not exist"),
        ((), COLUMNS, {"price": "cost"}, "role 'price' does not exist"),
        ((), COLUMNS, {"cost": None}, "roles is"),
        ((), COLUMNS, {"cost": "total", "currency": "USD"}, "names 'total', which is no column"),
        ((), COLUMNS, {"cost": "n", "currency": "USD"}, "of kind count.*It must be money"),
        ((), COLUMNS, {"requests": "cost"}, "of kind money.*It must be count"),
        ((), COLUMNS, {"cost": "cost"}, "role 'cost' is given without 'currency'"),
        ((), COLUMNS, {"currency": "USD"}, "role 'currency' is given without 'cost'"),
        ((), COLUMNS, {"cost": "cost", "currency": "usd"}, "currency is 'usd'"),
        ((), COLUMNS, {**COST, "cost_scale": "1/100"}, "cost_scale is '1/100'"),
        ((), COLUMNS, {**COST, "cost_scale": "0"}, "cost_scale is '0'"),
        ((), COLUMNS, {**COST, "cost_scale": "-0.01"}, "cost_scale is '-0.01'"),
        ((), COLUMNS, {"cost_scale": "0.01"}, "'cost_scale' is given without 'cost'"),
        ((), COLUMNS, {**COST, "charges": " "}, "charges is empty"),
        ((), COLUMNS, {"charges": "api"}, "role 'charges' is given without 'cost'"),
        ((), COLUMNS, {"principal": "id"}, "'principal' is given without 'principal_kind'"),
        ((), COLUMNS, {"principal": "id", "principal_kind": "team"}, "principal_kind is 'team'"),
        ((), COLUMNS, {"principal": "when", "principal_kind": "user"}, "It must be text or count"),
        ((), COLUMNS, {"principal_name": "id"}, "'principal_name' is given without 'principal'"),
    ],
)
def test_what_does_not_hold_together_is_refused_when_it_is_said(
    identity: Any, columns: Any, roles: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        StreamSchema(identity, columns, roles)


def test_a_schema_is_a_value() -> None:
    schema = StreamSchema(("id",), COLUMNS, {**COST, "cost_scale": "0.01", "charges": "api"})
    assert schema == StreamSchema(["id"], COLUMNS, dict(schema.roles))  # type: ignore[arg-type]
    assert hash(schema) == hash(pickle.loads(pickle.dumps(schema)))
    assert StreamSchema.from_dict(schema.as_dict()) == schema
    assert schema.cost_scale == Decimal("0.01")
    assert StreamSchema().cost_scale == 1
    assert (schema.kind("n"), schema.kind("who knows")) == ("count", "text")
    with pytest.raises(TypeError):
        schema.columns["n"] = "text"  # type: ignore[index]


def test_roles_may_name_columns_within_objects() -> None:
    schema = StreamSchema((), COLUMNS, {"cost": "amount.value", "currency": "currency"})
    record = {"amount": {"value": "0.06"}}
    assert parse_value(schema.kind("amount.value"), value_at(record, schema.roles["cost"])) == Decimal("0.06")


def test_a_schema_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    schema = StreamSchema.from_dict(
        {
            "identity": ["id"],
            "columns": {"id": "text", "cost": "money", "tags": "map", "odd": {"of": "later"}},
            "roles": {
                **COST,
                "principal": "id",
                "principal_kind": "team",
                "taxes": "cost",
                "model": 5,
                "requests": [1],
            },
            "units": {},
        }
    )
    assert schema == StreamSchema(("id",), {"id": "text", "cost": "money", "tags": "text", "odd": "text"}, COST)
    assert StreamSchema.from_dict({}) == StreamSchema()


def test_a_cost_whose_scale_is_not_known_is_none() -> None:
    document = StreamSchema((), COLUMNS, {**COST, "charges": "api"}).as_dict()
    document["roles"]["cost_scale"] = "1/100"
    assert dict(StreamSchema.from_dict(document).roles) == {}


@pytest.mark.parametrize(
    "document", [{"columns": []}, {"columns": ["id"]}, {"roles": "cost"}, {"identity": ["id"]}, {"identity": "id"}]
)
def test_a_schema_of_a_manifest_that_is_none_is_refused_as_ours(document: dict[str, Any]) -> None:
    if document == {"columns": []}:
        assert StreamSchema.from_dict(document) == StreamSchema()
        return
    with pytest.raises(ConfigurationError):
        StreamSchema.from_dict(document)


GOOD = [
    ("text", "007", "007"),
    ("text", " ", " "),
    ("text", 7, "7"),
    ("text", True, "true"),
    ("text", {"a": [Decimal("1.10"), "ü"]}, '{"a":["1.10","ü"]}'),
    ("text", Decimal("9" * 5000), "9" * 5000),
    ("text", "\ud83d", "\\ud83d"),
    ("json", '{"a": 1}', '{"a": 1}'),
    ("json", {"a": None}, '{"a":null}'),
    ("flag", "TRUE", True),
    ("flag", " false", False),
    ("flag", 1, True),
    ("flag", "0", False),
    ("flag", False, False),
    ("count", "3", 3),
    ("count", " 3 ", 3),
    ("count", "+3", 3),
    ("count", "-3", -3),
    ("count", "2.0", 2),
    ("count", "1e3", 1000),
    ("count", 2**70, 2**70),
    ("count", "9007199254740993", 9007199254740993),
    ("count", "9" * 1000, 10**1000 - 1),
    ("number", "1.5", 1.5),
    ("number", 3, 3.0),
    ("number", Decimal("1e308"), 1e308),
    ("money", "4.9e-9", Decimal("4.9e-9")),
    ("money", Decimal("12345678901234567890.123456789"), Decimal("12345678901234567890.123456789")),
    ("money", ".5", Decimal("0.5")),
    ("money", "5.", Decimal(5)),
    ("money", 0, Decimal(0)),
    ("date", "2026-11-20", date(2026, 11, 20)),
    ("date", "2026-11-20T00:00:00.000Z", date(2026, 11, 20)),
    ("date", "2026-11-20 00:00", date(2026, 11, 20)),
    ("date", "2026-11-20T00:00:00+02:00", date(2026, 11, 20)),
    ("time", "2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
    ("time", "2024-06-07 17:35:34.452434+00:00", datetime(2024, 6, 7, 17, 35, 34, 452434, UTC)),
    ("time", "2024-06-07T17:35:34", datetime(2024, 6, 7, 17, 35, 34, tzinfo=UTC)),
    ("time", "2024-06-07 17:35:34 UTC", datetime(2024, 6, 7, 17, 35, 34, tzinfo=UTC)),
    ("time", "2026-11-20T01:30:00+05:30", datetime(2026, 11, 19, 20, tzinfo=UTC)),
    ("time", "2026-11-20T01:30:00-0800", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
    ("time", 1795824000, datetime(2026, 11, 28, tzinfo=UTC)),
    ("time", "1795824000.000001", datetime(2026, 11, 28, 0, 0, 0, 1, UTC)),
    ("time", 0, None),
    ("time", "0", None),
    ("time", "0.0", None),
]


@pytest.mark.parametrize(("kind", "value", "read"), GOOD)
def test_a_value_is_read_as_what_its_kind_says(kind: str, value: Any, read: Any) -> None:
    result = parse_value(kind, value)
    assert result == read
    assert type(result) is type(read)


@pytest.mark.parametrize("kind", KINDS)
def test_null_and_the_empty_cell_are_no_value(kind: str) -> None:
    assert parse_value(kind, None) is parse_value(kind, "") is None
    assert parse_value(kind, " \t") == (" \t" if kind in ("text", "json") else None)


NO_NUMBER = [
    "1,234.56",
    "1.234,56",
    "0,05",
    "1,234",
    "$1.20",
    "1.20 USD",
    "1_000",
    "1 000",
    "1\u00a0000",
    "\uff11\uff12",
    "٣",
    "²",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "0x10",
    "1e",
    "e5",
    ".",
    "--1",
    "(5)",
    "5%",
    "n/a",
    "null",
    "None",
    "1\n",
    "1e9999999999",
    "1e200000000",
    "1e-200000000",
    Decimal("1e200000000"),
    Decimal("NaN"),
    Decimal("Infinity"),
    float("nan"),
    float("inf"),
    "9" * 5000,
    Decimal("9" * 5000),
    10**5000,
    True,
    False,
    [1],
    {"value": 1},
]


@pytest.mark.parametrize("kind", ["count", "number", "money"])
@pytest.mark.parametrize("value", NO_NUMBER, ids=lambda value: "x" if isinstance(value, int) else str(value)[:20])
def test_a_number_is_written_plainly_or_it_is_none(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"not |number|neither|digits"):
        parse_value(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("count", "1.5"),
        ("count", "1e-3"),
        ("count", Decimal("0.1")),
        ("number", "1e400"),
        ("number", "1e-400"),
        ("flag", "yes"),
        ("flag", "t"),
        ("flag", "2"),
        ("flag", "1.0"),
        ("flag", [True]),
        ("date", "2026-11-20T10:00:00"),
        ("date", "2026-11-20T00:00:00.001"),
        ("date", "20.11.2026"),
        ("date", "11/20/2026"),
        ("date", "2026-11-31"),
        ("date", "2026-W47-5"),
        ("date", "20261120"),
        ("date", 20261120),
        ("date", "\uff12\uff10\uff12\uff16-11-20"),
        ("date", True),
        ("date", "0"),
        ("time", "yesterday"),
        ("time", "20261120"),
        ("time", 20261120),
        ("time", "1795824000000"),
        ("time", "-1"),
        ("time", "1e200000000"),
        ("time", "2026-11-20 25:00:00"),
        ("time", "2026-11-20x10:00:00"),
        ("time", "20.11.2026 10:00"),
        ("time", "10:00"),
        ("time", "2026-11-20 10:00:00 CET"),
        ("time", "2026-11-20 10:00:00+99:00"),
        ("time", "9999-12-31T23:59:59-01:00"),
        ("time", "0001-01-01T00:00:00+01:00"),
        ("time", True),
        ("time", False),
        ("time", [0]),
        ("time", {}),
    ],
)
def test_what_could_be_read_in_two_ways_is_read_in_none(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"not |number|neither|digits"):
        parse_value(kind, value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15))
def test_money_comes_back_digit_by_digit(amount: Decimal) -> None:
    assert parse_value("money", str(amount)).as_tuple() == amount.as_tuple()


@given(st.text(max_size=12), st.sampled_from(KINDS))
def test_whatever_a_cell_holds_it_is_a_value_or_a_value_error(cell: str, kind: str) -> None:
    try:
        value = parse_value(kind, cell)
    except ValueError:
        return
    assert value is not None or not cell.strip() or kind == "time"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", 1),
        ("o", {"p": {"q": 2}, "l": [{"q": 3}], "n": None}),
        ("o.p.q", 2),
        ("o.n", None),
        ("o.x", None),
        ("o.p.q.r", None),
        ("o.l.0.q", None),
        ("o.l.q", None),
        ("a.b", "a member of that very name"),
        ("none.at.all", None),
    ],
)
def test_a_path_leads_through_objects_and_not_through_lists(name: str, value: Any) -> None:
    record = {
        "a": 1,
        "a.b": "a member of that very name",
        "o": {"p": {"q": 2}, "l": [{"q": 3}], "n": None},
    }
    assert value_at(record, name) == value


@pytest.mark.parametrize(
    ("vendor", "stream", "schema"),
    [
        ("langdock", "api_keys", export_schema("api_keys")),
        ("langdock", "api_keys_by_model", export_schema("api_keys", "model")),
        ("langdock", "models_by_source", export_schema("models", "source")),
        ("keywordsai", "users", users_schema(stream="users", summary_type="daily", environment=None)),
        ("keywordsai", "users_test", users_schema(stream="users", summary_type="daily", environment="test")),
        ("keywordsai", "users_weekly", users_schema(stream="users", summary_type="weekly", environment=None)),
        ("keywordsai", "users_all_test", users_schema(stream="users", summary_type="all", environment="test")),
        ("keywordsai", "users_list_test", users_schema(stream="users_list", summary_type="daily", environment="test")),
        ("keywordsai", "keys", None),
        ("langdock", "invoices", None),
        ("acme", "users", None),
    ],
)
def test_a_stream_of_ours_is_known_by_its_name_in_the_archive(
    vendor: str, stream: str, schema: StreamSchema | None
) -> None:
    assert find_schema(vendor, stream) == schema
