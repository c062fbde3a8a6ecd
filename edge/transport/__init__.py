"""Carry messages between the two ends: one Protocol, the real broker behind it, and a fake world that behaves the same.

The rule: a transport promises nothing. It loses, repeats and reorders; only a signed receipt says that an image arrived.
"""
