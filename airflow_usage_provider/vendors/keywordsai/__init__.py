"""Keywords AI (now Respan)."""
