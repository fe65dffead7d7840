"""Langdock."""
