"""The pull protocol of PROTOCOL.md, section 5: messages (bytes), send (the device's end), receive (the receiver's)."""
