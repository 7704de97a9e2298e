"""(A_train, B) → model: trees, prototypes, tables; knows nothing of LLVM."""
