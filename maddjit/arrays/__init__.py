"""Arrays as every room takes them: number formats, layouts, checks, conversion, and files."""
