"""Airflow operators: one answer of a vendor becomes one snapshot."""
