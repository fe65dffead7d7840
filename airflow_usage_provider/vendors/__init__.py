"""What only one vendor knows: its API and its streams."""
