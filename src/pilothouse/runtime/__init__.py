"""What keeps an agent to its task whatever the size of the data: framework-free cores, plain functions and state."""
