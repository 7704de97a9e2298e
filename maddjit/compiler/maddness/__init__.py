"""The plan of a MADDNESS kernel: encode, scan, settle, core, and the layout of its constants."""
