"""Recording in the user's own process: what an agent does, sent to the server without ever being in its way."""
