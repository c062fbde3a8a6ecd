"""The chaotic image cipher: pure functions from bytes to bytes; no clock, no random source, no disk.

It hides an image's structure under a key stream of its own. It is never the only protection: the sealed image is
encrypted with AES-256-GCM and signed, and every guarantee rests on that (THREATS.md).
"""
