"""Airflow hooks: connections become vendors."""
