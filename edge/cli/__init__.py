"""The command lines: the only place that reads arguments, builds the parts, and joins them."""
