"""Run the networks: pixels in; output bytes, and the name of what produced them, out.

The rule kept here: only a file whose SHA-256 stands in its manifest is ever run, and only after it has given the known
answers. Outputs always travel with the network's hash and the numeric profile, because int8 outputs differ between
runtimes. Nobody re-runs a network to decipher.
"""
