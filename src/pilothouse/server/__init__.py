"""The server around the parts: its configuration, its processes, its folder."""
