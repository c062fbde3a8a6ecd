"""Show the whole way of an image on one machine, with a broker of its own; the rule: nothing leaves the loopback."""
