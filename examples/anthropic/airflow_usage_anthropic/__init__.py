"""Archives the costs and the usage of an Anthropic organization."""
