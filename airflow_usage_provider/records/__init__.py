"""Bytes become records, and are proven whole. Knows neither HTTP nor S3."""
