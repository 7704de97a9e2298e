"""Tables and margins for naming each row's largest outputs."""
