"""What a launch uses of its machine: processors, memory and GPUs, sampled, kept, and judged. Standard library only."""
