"""Archives the costs and the usage of an OpenAI organization."""
