"""Looking for what a kernel does wrong: by search, and by going through everything in a bound."""
