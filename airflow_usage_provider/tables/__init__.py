"""Tables: Parquet made from the archive alone, for people to query."""
