"""Reading traces: search, show, chart, explain. Every verb is a plain function of a store and a project."""
