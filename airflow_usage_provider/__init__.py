"""Archives LLM usage and cost of SaaS vendors to S3, so that each figure can be traced to the bytes the vendor sent."""

__version__ = "0.1.0"
