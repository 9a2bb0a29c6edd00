"""Tools for agents without a shell: the Model Context Protocol over stdio and HTTP, thin over the same API as the CLI.

Nothing here imports the SDK but ``server``, ``stdio`` and ``http``, which are loaded when somebody connects.
"""
