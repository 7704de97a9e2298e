"""Learning: from sample rows and B to a model, without any knowledge of the compiler."""
