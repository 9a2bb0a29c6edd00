"""What a case is run against: a callable, an address, or an agent of a framework. One file a kind."""
