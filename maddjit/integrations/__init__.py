"""maddjit inside other libraries: a module each, which needs the extra of the same name."""
