"""What other tools wrote, as traces: transcripts, trajectories, evaluation logs and OTLP files, read in the user's process."""
