"""The learner of additive codes: prototypes in directions of A·B, and the integers that run."""
