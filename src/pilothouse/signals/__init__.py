"""What is wrong with a trace: rules over plain facts, without a language model and without a store."""
