"""The sealed image of PROTOCOL.md, section 2: wire (bytes), sign (manifests and receipts), seal (header and body)."""
