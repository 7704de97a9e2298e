"""The compiler: a model becomes a plan, the plan LLVM IR, the IR machine code for a target."""
