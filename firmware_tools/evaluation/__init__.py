"""What ciphers look like from outside: statistics by their published definitions. They say nothing about security."""
