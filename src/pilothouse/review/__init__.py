"""Review: rules in natural language, held against each change to prompts, tools, models and roles."""
